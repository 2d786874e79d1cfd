"""From systems to rows of a regression, and what a single atom adds to such a row.

A row of the target ``entropy`` is the mean over the atoms of a system, so that errors and
novelty do not depend on its size; a row of ``formation`` is what the system has more than as
many atoms of the perfect crystal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from screening.descriptors.interface import AtomicSystem, Descriptor
from screening.descriptors.neighbours import atom_blocks
from screening.errors import TrainingSetError
from screening.linear_entropy.settings import EntropyTarget
from screening.prediction import FloatArray

if TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = [
    "RowMaker",
    "SystemRow",
    "atom_rows",
    "check_one_element",
    "species_columns",
    "structure_of",
]

_ATOMS_AT_ONCE = 65_536


@dataclass(frozen=True, eq=False)
class SystemRow:
    """One row, what it counts for, and the reference it is taken against.

    Attributes
    ----------
    features
        Shape (feature,).
    multiplier
        What a predicted target is multiplied by to be that of the whole system.
    reference
        What an atom's own features are compared with, shape (feature,): zero, or the mean of
        the perfect crystal.
    """

    features: FloatArray
    multiplier: float
    reference: FloatArray


@dataclass(frozen=True)
class RowMaker:
    """Makes rows of one descriptor and one target.

    Attributes
    ----------
    descriptor, elements, target
        What describes the surroundings, of which elements, and to what end.
    """

    descriptor: Descriptor
    elements: tuple[int, ...]
    target: EntropyTarget

    def features(self, system: AtomicSystem) -> FloatArray:
        """Sum of the features of all atoms, shape (feature,)."""
        return self.descriptor.summed(system, self.elements)

    def trace_columns(self, index: int) -> NDArray[np.int64]:
        """Columns that the traces of one element are linear in, the number of its atoms last.

        Those of its own block where atoms are described, and else all but the other numbers.
        """
        n_elements = len(self.elements)
        n_features = self.descriptor.n_features(self.elements)
        if self.descriptor.describes_atoms:
            return species_columns(n_features, n_elements, index)
        without_counts = np.arange(n_features - n_elements)
        return np.append(without_counts, n_features - n_elements + index)

    def row(self, summed: FloatArray, n_atoms: int, bulk_mean: FloatArray | None) -> SystemRow:
        """Make the row of a system of which the summed features are known.

        Parameters
        ----------
        summed
            Features summed over the system, shape (feature,).
        n_atoms
            Number of its atoms.
        bulk_mean
            Mean features of an atom of the perfect crystal, for the target ``formation``.
        """
        if self.target == "formation":
            assert bulk_mean is not None
            return SystemRow(summed - n_atoms * bulk_mean, 1.0, bulk_mean)
        return SystemRow(summed / n_atoms, float(n_atoms), np.zeros_like(summed))


def species_columns(n_features: int, n_elements: int, index: int) -> NDArray[np.int64]:
    """Columns of the block of one central element, then that of its number of atoms.

    Examples
    --------
    >>> species_columns(6, 2, 1).tolist()
    [2, 3, 5]
    """
    size = n_features // n_elements - 1
    block = np.arange(index * size, (index + 1) * size)
    return np.append(block, n_elements * size + index)


def atom_rows(
    maker: RowMaker, system: AtomicSystem
) -> Iterator[tuple[NDArray[np.int64], FloatArray]]:
    """Yield indices and rows of single atoms, some tens of thousands at a time.

    Summed, the rows of shape (atom, feature) are the features of the system.
    """
    for part, atoms in _parts(maker.descriptor, system):
        own = maker.descriptor.per_atom(part, maker.elements)[: len(atoms)]
        yield atoms, _spread_out(own, system.numbers[atoms], maker.elements)


def _parts(
    descriptor: Descriptor, system: AtomicSystem
) -> Iterator[tuple[AtomicSystem, NDArray[np.int64]]]:
    """Yield the system, or blocks of a large one with what is around their first atoms."""
    cutoff = getattr(descriptor, "cutoff_angstrom", None)
    if len(system) <= _ATOMS_AT_ONCE or cutoff is None:
        yield system, np.arange(len(system))
        return
    for block in atom_blocks(system, float(cutoff), _ATOMS_AT_ONCE):
        part = AtomicSystem(block.points_angstrom, system.numbers[block.atoms])
        yield part, block.atoms[: block.n_central]


def _spread_out(
    features: FloatArray, numbers: NDArray[np.int64], elements: Sequence[int]
) -> FloatArray:
    """Put each atom's features into the block of its element, with a one where it is counted."""
    n_elements, size = len(elements), features.shape[1]
    rows = np.zeros((len(features), n_elements * (size + 1)))
    for index, element in enumerate(elements):
        columns = species_columns(rows.shape[1], n_elements, index)
        mine = np.flatnonzero(numbers == element)
        rows[np.ix_(mine, columns[:-1])] = features[mine]
        rows[mine, columns[-1]] = 1.0
    return rows


def structure_of(system: AtomicSystem) -> Structure:
    """Take a system with a cell as a crystal."""
    from pymatgen.core import Element, Structure

    return Structure(
        np.asarray(system.cell_angstrom),
        [Element.from_Z(number) for number in system.numbers.tolist()],
        system.positions_angstrom,
        coords_are_cartesian=True,
    )


def check_one_element(system: AtomicSystem, bulk: AtomicSystem, name: str) -> None:
    """Refuse a formation entropy that would need chemical potentials.

    Raises
    ------
    TrainingSetError
        If the system and its perfect crystal are not of one and the same element.
    """
    elements = set(system.numbers.tolist()) | set(bulk.numbers.tolist())
    if len(elements) > 1:
        raise TrainingSetError(
            f"{len(elements)} elements: a formation entropy would depend on their reservoirs",
            subject=name,
            hint="Learn the entropy itself (target entropy) and subtract what is needed",
        )
