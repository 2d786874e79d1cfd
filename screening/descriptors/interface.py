"""What every descriptor of atomic surroundings takes, offers, and is called by.

A descriptor turns the surroundings of each atom into numbers that stay the same when the
system is turned, moved or its atoms renamed. Summed over the atoms they are extensive: what is
linear in them doubles with the system, as an entropy does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from screening.errors import (
    CellError,
    DisorderedError,
    ElementNotInModelError,
    NonFiniteInputError,
    SettingError,
    SuspiciousSpeciesError,
    WrongShapeError,
)
from screening.prediction import FloatArray, frozen_array

if TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = [
    "DESCRIPTOR_NAMES",
    "AtomicSystem",
    "Descriptor",
    "atom_counts",
    "descriptor_from",
    "sorted_elements",
]

DESCRIPTOR_NAMES = ("afs", "bso4", "scattering", "mace:<calculator>")
"""Names that `descriptor_from` knows."""

_LAST_ELEMENT = 118
_LEAST_VOLUME_FRACTION = 1e-4  # of the cuboid with the same lengths


@dataclass(frozen=True, eq=False)
class AtomicSystem:
    """Atoms in a periodic cell, or a cluster in empty space.

    Attributes
    ----------
    positions_angstrom
        Cartesian coordinates in Å, shape (atom, 3); in a cell they may lie outside of it.
    numbers
        Atomic numbers, shape (atom,).
    cell_angstrom
        Lattice vectors as rows in Å, shape (3, 3); None for a cluster.

    Raises
    ------
    WrongShapeError, NonFiniteInputError, SuspiciousSpeciesError, CellError
        If the arrays do not describe atoms.
    """

    positions_angstrom: FloatArray
    numbers: NDArray[np.int64]
    cell_angstrom: FloatArray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "positions_angstrom", frozen_array(self.positions_angstrom))
        numbers = np.array(self.numbers, dtype=np.int64)
        numbers.flags.writeable = False
        object.__setattr__(self, "numbers", numbers)
        if self.cell_angstrom is not None:
            object.__setattr__(self, "cell_angstrom", frozen_array(self.cell_angstrom))
            _check_cell(self.cell_angstrom)
        _check_atoms(self.positions_angstrom, numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    @classmethod
    def from_structure(cls, structure: Structure) -> AtomicSystem:
        """Take a crystal as it is.

        Raises
        ------
        DisorderedError
            If a site is partly occupied or shared.
        """
        if not structure.is_ordered:
            raise DisorderedError(
                "a site is partly occupied or shared",
                subject=structure.formula,
                hint="Give an ordered structure",
            )
        numbers = np.array([site.specie.Z for site in structure], dtype=np.int64)
        return cls(structure.cart_coords, numbers, structure.lattice.matrix)


def _check_cell(cell: ArrayLike) -> None:
    vectors = np.asarray(cell)
    if vectors.shape != (3, 3):
        raise WrongShapeError(
            f"a cell of shape {vectors.shape}", subject="cell_angstrom", hint="Give (3, 3) or None"
        )
    if not np.isfinite(vectors).all():
        raise NonFiniteInputError(
            "a lattice vector is not finite", subject="cell_angstrom", hint="Check the cell"
        )
    cuboid = float(np.prod(np.linalg.norm(vectors, axis=1)))
    if abs(float(np.linalg.det(vectors))) <= _LEAST_VOLUME_FRACTION * cuboid:
        raise CellError(
            "the lattice vectors span no volume",
            subject="cell_angstrom",
            hint="Give three independent lattice vectors, or None for a cluster",
        )


def _check_atoms(positions: FloatArray, numbers: NDArray[np.int64]) -> None:
    if numbers.ndim != 1 or not numbers.size or positions.shape != (numbers.size, 3):
        raise WrongShapeError(
            f"positions of shape {positions.shape} for {numbers.shape} atomic numbers",
            subject="positions_angstrom",
            hint="Give positions of shape (atom, 3) and one atomic number for each, at least one",
        )
    if numbers.min() < 1 or numbers.max() > _LAST_ELEMENT:
        raise SuspiciousSpeciesError(
            f"atomic numbers from {numbers.min()} to {numbers.max()}",
            subject="numbers",
            hint=f"Give 1 to {_LAST_ELEMENT}",
        )
    if not np.isfinite(positions).all():
        raise NonFiniteInputError(
            "a coordinate is not finite", subject="positions_angstrom", hint="Check the positions"
        )


@runtime_checkable
class Descriptor(Protocol):
    """A family of descriptors with its settings.

    Attributes
    ----------
    name
        What `descriptor_from` makes it from.
    settings
        What else it is made from, as plain JSON: `descriptor_from(name, settings)` gives it
        back. How many threads it uses is not among them, for it changes no number.
    describes_atoms
        Whether it describes single atoms; otherwise `per_atom` refuses and there are only sums.
    """

    @property
    def name(self) -> str:
        """Name that `descriptor_from` takes."""
        ...

    @property
    def settings(self) -> dict[str, Any]:
        """Settings as plain JSON."""
        ...

    @property
    def describes_atoms(self) -> bool:
        """Whether `per_atom` gives anything."""
        ...

    def n_features(self, elements: Sequence[int]) -> int:
        """Length of what `summed` returns for these elements."""
        ...

    def per_atom(self, system: AtomicSystem, elements: Sequence[int] | None = None) -> FloatArray:
        """Describe each atom.

        Parameters
        ----------
        system
            Any number of atoms.
        elements
            Atomic numbers that may occur; those of the system where None. With one channel
            per species of the neighbours they say which channels there are.

        Returns
        -------
        FloatArray
            Shape (atom, feature).

        Raises
        ------
        ElementNotInModelError
            If the system holds another element.
        OverlapError
            If two atoms are in one place.
        """
        ...

    def summed(self, system: AtomicSystem, elements: Sequence[int]) -> FloatArray:
        """Sum over the atoms, in memory that does not grow with their features.

        Parameters
        ----------
        system
            Any number of atoms.
        elements
            Atomic numbers that may occur.

        Returns
        -------
        FloatArray
            One block of features for each element of the central atom in ascending order,
            then the number of atoms of each element. Shape (feature,).

        Raises
        ------
        ElementNotInModelError, OverlapError
            As `per_atom`.
        """
        ...


def sorted_elements(elements: Sequence[int]) -> tuple[int, ...]:
    """Return different atomic numbers in ascending order.

    Raises
    ------
    SettingError
        If there are none.

    Examples
    --------
    >>> sorted_elements([30, 9, 19, 9])
    (9, 19, 30)
    """
    found = tuple(sorted({int(one) for one in elements}))
    if not found or found[0] < 1:
        raise SettingError(
            f"{list(elements)} are no elements",
            subject="elements",
            hint="Give at least one atomic number",
        )
    return found


def atom_counts(numbers: NDArray[np.int64], elements: Sequence[int]) -> FloatArray:
    """Count the atoms of each element, shape (element,).

    Raises
    ------
    ElementNotInModelError
        If there are atoms of another element.
    """
    missing = sorted({int(one) for one in np.unique(numbers)} - set(elements))
    if missing:
        raise ElementNotInModelError(
            f"no {_symbols(missing)} among the elements of the descriptor: {_symbols(elements)}",
            subject=_symbols(missing),
            hint="Train on structures that hold it too",
        )
    return np.array([np.count_nonzero(numbers == one) for one in elements], dtype=np.float64)


def _symbols(numbers: Sequence[int]) -> str:
    from pymatgen.core.periodic_table import get_el_sp

    return ", ".join(get_el_sp(one).symbol for one in numbers)


def descriptor_from(
    name: str, settings: Mapping[str, Any] | None = None, *, workers: int = 1
) -> Descriptor:
    """Make a descriptor by its name.

    Parameters
    ----------
    name
        ``afs`` (angular Fourier series), ``bso4`` (bispectrum on the 3-sphere), ``scattering``
        (solid harmonic wavelets) or ``mace:`` and what names a MACE model.
    settings
        As the descriptor's class takes them; defaults where left out.
    workers
        Threads that large systems are shared out to.

    Raises
    ------
    SettingError
        If the name or a setting is unknown or out of range.
    ModelError
        If a MACE model cannot be used.

    Examples
    --------
    >>> descriptor_from("afs", {"n_radial": 8, "l_max": 6}).n_features([26])
    57
    """
    kind = _kind(name)
    given = {**(settings or {}), "workers": workers}
    try:
        return kind(**given)
    except TypeError as error:
        raise SettingError(
            f"cannot be made with {sorted(given)}: {error}",
            subject=name,
            hint="Give settings that its class names",
        ) from error


def _kind(name: str) -> Callable[..., Descriptor]:
    """Find the class of a descriptor."""
    if name == "afs":
        from screening.descriptors.angular_fourier import AngularFourierSeries

        return AngularFourierSeries
    if name == "bso4":
        from screening.descriptors.bispectrum import Bispectrum

        return Bispectrum
    if name == "scattering":
        from screening.descriptors.scattering import SolidHarmonicScattering

        return SolidHarmonicScattering
    if name.startswith("mace:"):
        from screening.descriptors.mace_invariants import MaceInvariants

        return partial(MaceInvariants, name=name)
    raise SettingError(
        f"no descriptor {name!r}",
        subject="descriptor",
        hint=f"Known are {', '.join(DESCRIPTOR_NAMES)}",
    )
