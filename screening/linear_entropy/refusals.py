"""Which systems a linear model of the entropy is not for, whatever their features are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from screening.descriptors.interface import AtomicSystem
from screening.errors import ElementNotInModelError, OutOfDomainError

__all__ = ["check_elements", "check_vibrates", "size_refusal"]


def check_elements(system: AtomicSystem, elements: Sequence[int]) -> None:
    """Refuse elements that were never seen.

    Parameters
    ----------
    system
        The atoms.
    elements
        Atomic numbers that were learned.

    Raises
    ------
    ElementNotInModelError
        Naming those that were not.
    """
    unknown = set(system.numbers.tolist()) - set(elements)
    if unknown:
        raise ElementNotInModelError(
            f"the model never saw {_symbols(unknown)}",
            subject=_formula(system),
            hint=f"It learned {_symbols(elements)}",
        )


def check_vibrates(system: AtomicSystem, subject: str) -> None:
    """Refuse a primitive cell without modes at the zone centre.

    Raises
    ------
    OutOfDomainError
        If it has one atom.
    """
    if len(system) == 1:
        raise OutOfDomainError(
            "one atom has no modes at the zone centre but translations",
            subject=subject,
            hint="Use a potential for crystals with one atom in the primitive cell",
        )


def size_refusal(
    n_sites: int, sites_per_cell: tuple[int, int] | None, subject: str
) -> OutOfDomainError | None:
    """Say why a cell is refused whose zone centre has other modes than those learned.

    Parameters
    ----------
    n_sites
        Of the cell.
    sites_per_cell
        Fewest and most sites of the cells that were learned; None where no zone centres were.
    subject
        Name of the crystal.
    """
    low, high = sites_per_cell or (n_sites, n_sites)
    if low <= n_sites <= high:
        return None
    return OutOfDomainError(
        f"{n_sites} sites in the cell, {low} to {high} were learned: the modes of the zone centre"
        " of another cell are other modes",
        subject=subject,
        hint="Take a model of cells of this size or of sums over a mesh, or a potential",
    )


def _symbols(numbers: Iterable[int]) -> str:
    from pymatgen.core import Element

    return ", ".join(Element.from_Z(number).symbol for number in sorted(numbers))


def _formula(system: AtomicSystem) -> str:
    from pymatgen.core import Composition, Element

    known, counts = np.unique(system.numbers, return_counts=True)
    symbols = [Element.from_Z(number).symbol for number in known.tolist()]
    return Composition(dict(zip(symbols, counts.tolist(), strict=True))).reduced_formula
