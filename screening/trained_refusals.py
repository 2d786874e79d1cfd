"""Which crystals a trained method is not for, whatever their features are.

Which modes stand at the zone centre depends on the cell, so that what learned from them speaks of
cells of the sizes that it learned.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pymatgen.core import Composition, Element

from screening.errors import ElementNotInModelError, OutOfDomainError

__all__ = ["check_learned_elements", "check_vibrates", "size_refusal"]


def check_learned_elements(numbers: Sequence[int], elements: Iterable[int]) -> None:
    """Refuse elements that were never seen.

    Parameters
    ----------
    numbers
        Atomic numbers of the sites.
    elements
        Those that were learned.

    Raises
    ------
    ElementNotInModelError
        Naming those that were not.
    """
    learned = set(elements)
    unknown = set(numbers) - learned
    if unknown:
        symbols = [Element.from_Z(number).symbol for number in numbers]
        raise ElementNotInModelError(
            f"the model never saw {_symbols(unknown)}",
            subject=Composition("".join(symbols)).reduced_formula,
            hint=f"It learned {_symbols(learned)}",
        )


def check_vibrates(n_sites: int, subject: str) -> None:
    """Refuse a primitive cell without modes at the zone centre.

    Raises
    ------
    OutOfDomainError
        If it has one atom.
    """
    if n_sites == 1:
        raise OutOfDomainError(
            "one atom has no modes at the zone centre but translations",
            subject=subject,
            hint="Use a potential for crystals with one atom in the primitive cell",
        )


def size_refusal(
    n_sites: int, sites_per_cell: tuple[int, int] | None, subject: str, *, instead: str
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
    instead
        What else can be asked.
    """
    low, high = sites_per_cell or (n_sites, n_sites)
    if low <= n_sites <= high:
        return None
    return OutOfDomainError(
        f"{n_sites} sites in the cell, {low} to {high} were learned: the modes of the zone centre"
        " of another cell are other modes",
        subject=subject,
        hint=f"Take a model of cells of this size, {instead}, or a potential",
    )


def _symbols(numbers: Iterable[int]) -> str:
    return ", ".join(Element.from_Z(number).symbol for number in sorted(numbers))
