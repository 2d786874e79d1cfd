"""Graphs of crystals for ALIGNN: bonds between atoms, and angles between bonds.

Built with vesin and numpy in the form of ALIGNN's own graphs in plain torch, without a cap on the
number of neighbours: the usual cap of twelve cuts through shells, and then the prediction changes
with the choice of the cell.

References
----------
K. Choudhary and B. DeCost, npj Comput. Mater. 7, 185 (2021): the line graph of bonds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element, Structure

from screening.errors import ElementNotInModelError, OutOfDomainError, SettingError
from screening.linear_entropy.masses import natural_masses_amu

if TYPE_CHECKING:
    import torch

__all__ = [
    "N_SCALES",
    "CrystalGraph",
    "GraphBatch",
    "GraphBuilder",
    "batch_of",
    "batches_by_size",
    "check_bonds",
    "check_elements",
    "element_features",
]

IntArray = NDArray[np.int64]
Float32Array = NDArray[np.float32]

N_SCALES = 2
"""Numbers that the scale of a crystal's frequencies begins with."""

_HEAVIEST = 100
_LONGEST_ANGSTROM = 12.0


@dataclass(frozen=True, eq=False)
class CrystalGraph:
    """Atoms, bonds and pairs of bonds of one crystal.

    Attributes
    ----------
    numbers
        Atomic numbers, shape (atom,).
    start, end
        Atoms that each bond leads from and to, shape (bond,).
    lengths_angstrom
        Lengths of the bonds in Å, shape (bond,).
    first, second
        Bonds of each pair, the second of which starts where the first ends, shape (pair,).
    cosines
        Of the angle at the atom in the middle, shape (pair,).
    scales
        Mean over the atoms of ln of the mass in u, and ln of the volume per atom in Å³: what
        frequencies scale with, shape (`N_SCALES`,).
    """

    numbers: IntArray
    start: IntArray
    end: IntArray
    lengths_angstrom: Float32Array
    first: IntArray
    second: IntArray
    cosines: Float32Array
    scales: Float32Array

    @property
    def size(self) -> int:
        """Bonds and pairs of bonds, which time and memory are proportional to."""
        return len(self.start) + len(self.first)


@dataclass(frozen=True, eq=False)
class GraphBatch:
    """Several graphs side by side, as tensors on one device.

    Attributes
    ----------
    features
        Of the elements of the atoms, shape (atom, feature).
    start, end, lengths_angstrom, first, second, cosines
        As in `CrystalGraph`, counted through.
    scales
        As in `CrystalGraph`, shape (crystal, `N_SCALES`).
    crystal
        Which crystal each atom belongs to, shape (atom,).
    n_crystals
        Number of crystals.
    """

    features: torch.Tensor
    start: torch.Tensor
    end: torch.Tensor
    lengths_angstrom: torch.Tensor
    first: torch.Tensor
    second: torch.Tensor
    cosines: torch.Tensor
    scales: torch.Tensor
    crystal: torch.Tensor
    n_crystals: int


class GraphBuilder:
    """Builds graphs of crystals.

    Parameters
    ----------
    bond_cutoff_angstrom
        Longest bond in Å.
    angle_cutoff_angstrom
        Longest bond in Å that takes part in angles.

    Raises
    ------
    SettingError
        If one is not positive, too long, or the second is longer than the first.
    """

    def __init__(self, bond_cutoff_angstrom: float, angle_cutoff_angstrom: float) -> None:
        if not 0.0 < angle_cutoff_angstrom <= bond_cutoff_angstrom <= _LONGEST_ANGSTROM:
            raise SettingError(
                f"bonds up to {bond_cutoff_angstrom} Å, angles of bonds up to "
                f"{angle_cutoff_angstrom} Å",
                subject="cutoff_angstrom",
                hint=f"Give positive lengths up to {_LONGEST_ANGSTROM:g} Å, of angles no longer",
            )
        from vesin import NeighborList

        self._angle_cutoff = angle_cutoff_angstrom
        self._finder = NeighborList(cutoff=bond_cutoff_angstrom, full_list=True)

    def graph(self, structure: Structure) -> CrystalGraph:
        """Build the graph of one crystal."""
        numbers = np.array([site.specie.Z for site in structure], dtype=np.int64)
        cell = np.ascontiguousarray(structure.lattice.matrix)
        positions = np.ascontiguousarray(structure.cart_coords)
        start, end, vectors, lengths = self._finder.compute(positions, cell, True, "ijDd")
        start, end = start.astype(np.int64), end.astype(np.int64)
        first, second = _pairs(start, end, lengths <= self._angle_cutoff, len(numbers))
        products = np.einsum("px,px->p", vectors[first], vectors[second])
        cosines = np.clip(-products / (lengths[first] * lengths[second]), -1.0, 1.0)
        return CrystalGraph(
            numbers,
            start,
            end,
            lengths.astype(np.float32),
            first,
            second,
            cosines.astype(np.float32),
            _scales(structure, numbers),
        )


def _scales(structure: Structure, numbers: IntArray) -> Float32Array:
    mass = np.log(natural_masses_amu(numbers)).mean()
    return np.array([mass, np.log(structure.volume / len(numbers))], dtype=np.float32)


def _pairs(
    start: IntArray, end: IntArray, allowed: NDArray[np.bool_], n_atoms: int
) -> tuple[IntArray, IntArray]:
    """Pair each allowed bond with all allowed ones that start where it ends."""
    bonds = np.flatnonzero(allowed)
    ordered = bonds[np.argsort(start[bonds], kind="stable")]
    begins = np.searchsorted(start[ordered], np.arange(n_atoms + 1))
    around = end[bonds]
    counts = begins[around + 1] - begins[around]
    first = np.repeat(bonds, counts)
    within = np.arange(len(first)) - np.repeat(np.cumsum(counts) - counts, counts)
    return first, ordered[np.repeat(begins[around], counts) + within]


@cache
def element_features() -> Float32Array:
    """Return the features of all elements by atomic number, shape (atomic number, feature).

    One-hot groups, periods, electronegativities, radii, valence electrons, ionisation energies,
    electron affinities, blocks and volumes.

    References
    ----------
    T. Xie and J. C. Grossman, Phys. Rev. Lett. 120, 145301 (2018), supplement.
    """
    from jarvis.core.specie import get_node_attributes

    symbols = [str(Element.from_Z(number)) for number in range(1, _HEAVIEST + 1)]
    rows = [get_node_attributes(one, atom_features="cgcnn") for one in symbols]
    found = np.array([np.zeros(len(rows[0])), *rows], dtype=np.float32)
    found.flags.writeable = False
    return found


def check_elements(structures: Sequence[Structure], elements: Sequence[int]) -> None:
    """Refuse elements that a model does not know, before anything is computed.

    Raises
    ------
    ElementNotInModelError
        Names the first structure with one, and all such elements of it.
    """
    known = set(elements)
    for structure in structures:
        unknown = {site.specie.symbol for site in structure if site.specie.Z not in known}
        if unknown:
            raise ElementNotInModelError(
                f"the model was not trained on {', '.join(sorted(unknown))}",
                subject=structure.composition.reduced_formula,
                hint="Use another model, or a potential that knows the element",
            )


def check_bonds(structure: Structure, bond_cutoff_angstrom: float) -> None:
    """Refuse a crystal with an atom that has no neighbour within reach of the network.

    Of such an atom it would know the element alone.

    Raises
    ------
    OutOfDomainError
        Names the crystal and the reach.
    """
    bonded = structure.get_neighbor_list(bond_cutoff_angstrom)[0]
    alone = np.setdiff1d(np.arange(len(structure)), bonded)
    if len(alone):
        raise OutOfDomainError(
            f"{structure[int(alone[0])].specie.symbol} has no neighbour within "
            f"{bond_cutoff_angstrom:g} Å, as far as the network sees",
            subject=structure.composition.reduced_formula,
            hint="Use a potential, or a network of a longer bond_cutoff_angstrom",
        )


def batches_by_size(sizes: Sequence[int], largest: int, most: int) -> Iterator[list[int]]:
    """Share out graphs, in their order, to batches of limited total size.

    Parameters
    ----------
    sizes
        Of each graph.
    largest
        Largest total size of a batch of more than one graph.
    most
        Largest number of graphs of a batch.

    Yields
    ------
    list of int
        Places of the graphs.

    Examples
    --------
    >>> list(batches_by_size([3, 3, 9, 1, 1, 1], 6, 2))
    [[0, 1], [2], [3, 4], [5]]
    """
    batch: list[int] = []
    total = 0
    for place, size in enumerate(sizes):
        if batch and (total + size > largest or len(batch) == most):
            yield batch
            batch, total = [], 0
        batch.append(place)
        total += size
    if batch:
        yield batch


def batch_of(
    graphs: Sequence[CrystalGraph], features: torch.Tensor, device: torch.device
) -> GraphBatch:
    """Put graphs side by side.

    Parameters
    ----------
    graphs
        At least one.
    features
        Of the elements by atomic number, shape (atomic number, feature), on the device.
    device
        Where the tensors go.
    """
    import torch

    n_atoms = np.array([len(one.numbers) for one in graphs])
    n_bonds = np.array([len(one.start) for one in graphs])
    n_pairs = np.array([len(one.first) for one in graphs])
    atoms, bonds = _shifts(n_atoms), _shifts(n_bonds)

    def moved(values: NDArray[np.int64] | NDArray[np.float32]) -> torch.Tensor:
        return torch.from_numpy(values).to(device)

    def joined(name: str) -> torch.Tensor:
        return moved(np.concatenate([getattr(one, name) for one in graphs]))

    def counted(name: str, shifts: IntArray, counts: IntArray) -> torch.Tensor:
        own = np.concatenate([getattr(one, name) for one in graphs])
        return moved(own + np.repeat(shifts, counts))

    return GraphBatch(
        features=features[joined("numbers")],
        start=counted("start", atoms, n_bonds),
        end=counted("end", atoms, n_bonds),
        lengths_angstrom=joined("lengths_angstrom"),
        first=counted("first", bonds, n_pairs),
        second=counted("second", bonds, n_pairs),
        cosines=joined("cosines"),
        scales=moved(np.stack([one.scales for one in graphs])),
        crystal=moved(np.repeat(np.arange(len(graphs)), n_atoms)),
        n_crystals=len(graphs),
    )


def _shifts(counts: IntArray) -> IntArray:
    return np.asarray(np.cumsum(counts) - counts, dtype=np.int64)
