"""The graph that CHGNet sees, built without loops and folded by its own symmetry.

CHGNet works on rows: one per atom, per undirected bond within 6 Å, per directed edge (the
messages of a bond to either end) and per angle between two bonds within 3 Å. Every feature is
a scalar that does not change under rotation, so two rows whose surroundings look alike hold
the same numbers in every layer. A displaced supercell keeps part of its space group, and
most of its rows are copies: :func:`fold_graph` finds them by refining colours (the test of
Weisfeiler and Leman) until the partition is equitable, and the network then runs once per
class, weighted by how many rows the class has. Nothing is approximated: on an equitable
partition the sums over neighbours, and by the chain rule the derivatives of the energy, are
the same for all members of a class. A crystal without symmetry folds to itself.

References
----------
B. Deng et al., Nature Machine Intelligence 5, 1031 (2023), methods (the network);
B. Weisfeiler and A. Leman, Nauchno-Technicheskaya Informatsia 2, 12 (1968) (the refinement).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from screening.prediction import FloatArray

__all__ = [
    "ATOM_CUTOFF_ANGSTROM",
    "BOND_CUTOFF_ANGSTROM",
    "CrystalGraph",
    "FoldedGraph",
    "build_graph",
    "cell_gradients",
    "fold_graph",
]

IndexArray = NDArray[np.int64]
_HashArray = NDArray[np.uint64]

ATOM_CUTOFF_ANGSTROM = 6.0
BOND_CUTOFF_ANGSTROM = 3.0
# Lengths (in Å) and cosines closer than this are the same value: far above the rounding of
# float64 coordinates (1e-14), far below the effect of a displacement, and worth less than
# 1e-7 eV/Å in a force, which is less than float32 resolves.
_SAME_VALUE = 2e-9


@dataclass(frozen=True)
class CrystalGraph:
    """Bonds and angles of one periodic structure.

    Attributes
    ----------
    numbers
        Atomic numbers, shape (atom,).
    first, second
        Atoms at the two ends of each undirected bond, shape (bond,). Bonds within the
        inner cutoff stand first.
    vectors_angstrom, lengths_angstrom
        From the first to the second atom, shapes (bond, 3) and (bond,).
    n_short
        Number of bonds within the inner cutoff.
    angle_starts
        Index of the first angle of each short directed bond, shape (directed + 1,);
        directed bond d < n_short leaves the first atom of bond d, and d >= n_short the second
        atom of bond d - n_short. All angles that leave along d are contiguous.
    angle_ends
        The other directed bond of each angle, shape (angle,).
    cosines
        Cosine of each angle, shape (angle,).
    """

    numbers: IndexArray
    first: IndexArray
    second: IndexArray
    vectors_angstrom: FloatArray
    lengths_angstrom: FloatArray
    n_short: int
    angle_starts: IndexArray
    angle_ends: IndexArray
    cosines: FloatArray


@dataclass(frozen=True)
class FoldedGraph:
    """One row per class of equal rows, with the number of rows in each.

    Attributes
    ----------
    numbers, atom_counts
        Atomic number and size of each class of atoms, shape (atom,).
    lengths_angstrom, bond_counts
        Length and size of each class of bonds, shape (bond,); the ``n_short`` classes within
        the inner cutoff stand first.
    edge_centers, edge_neighbors, edge_bonds, edge_weights
        Classes that each edge class joins and how many such edges one centre atom has,
        shape (edge,); sorted by centre.
    spoke_centers, spoke_bonds
        Classes of short directed bonds: the atom they leave and their bond, shape (spoke,).
    angle_spokes, angle_bonds, angle_weights, cosines, angle_counts
        Spoke that each angle leaves along, bond it ends on, how many such angles one bond of
        the spoke's class has, cosine, and size of the class, shape (angle,); sorted by spoke.
    bond_of_bond, angle_of_angle
        Class of every bond and angle of the unfolded graph.
    """

    numbers: IndexArray
    atom_counts: IndexArray
    lengths_angstrom: FloatArray
    bond_counts: IndexArray
    n_short: int
    edge_centers: IndexArray
    edge_neighbors: IndexArray
    edge_bonds: IndexArray
    edge_weights: FloatArray
    spoke_centers: IndexArray
    spoke_bonds: IndexArray
    angle_spokes: IndexArray
    angle_bonds: IndexArray
    angle_weights: FloatArray
    angle_counts: IndexArray
    cosines: FloatArray
    bond_of_bond: IndexArray
    angle_of_angle: IndexArray


def build_graph(cell: FloatArray, positions: FloatArray, numbers: IndexArray) -> CrystalGraph:
    """Find all bonds within 6 Å and all angles between bonds within 3 Å.

    Parameters
    ----------
    cell
        Lattice vectors as rows in Å, shape (3, 3).
    positions
        Cartesian coordinates in Å, shape (atom, 3).
    numbers
        Atomic numbers, shape (atom,).
    """
    from vesin import NeighborList

    finder = NeighborList(cutoff=ATOM_CUTOFF_ANGSTROM, full_list=False, sorted=False)
    first, second, shifts = finder.compute(positions, cell, True, "ijS")
    vectors = positions[second] - positions[first] + shifts @ cell
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    is_long = lengths >= BOND_CUTOFF_ANGSTROM
    order = np.argsort(is_long, kind="stable")
    first = first[order].astype(np.int64)
    second = second[order].astype(np.int64)
    vectors, lengths = vectors[order], lengths[order]
    n_short = len(lengths) - int(is_long.sum())
    starts, leaves, ends = _angles(first[:n_short], second[:n_short])
    units = vectors[:n_short] / lengths[:n_short, None]
    units = np.concatenate([units, -units])
    cosines = np.einsum("ij,ij->i", units[leaves], units[ends])
    numbers = np.asarray(numbers, dtype=np.int64)
    return CrystalGraph(numbers, first, second, vectors, lengths, n_short, starts, ends, cosines)


def _angles(first: IndexArray, second: IndexArray) -> tuple[IndexArray, IndexArray, IndexArray]:
    """All ordered pairs of different directed bonds that leave the same atom."""
    centers = np.concatenate([first, second])
    by_center = np.argsort(centers, kind="stable")
    rank = np.empty_like(by_center)
    rank[by_center] = np.arange(len(centers))
    size = np.bincount(centers, minlength=1)
    block = (np.cumsum(size) - size)[centers]
    n_partners = size[centers] - 1
    starts = np.concatenate([[0], np.cumsum(n_partners)])
    leaves = np.repeat(np.arange(len(centers)), n_partners)
    offset = np.arange(len(leaves)) - starts[leaves]
    offset += offset >= (rank - block)[leaves]  # a bond makes no angle with itself
    return starts, leaves, by_center[block[leaves] + offset]


def fold_graph(graph: CrystalGraph) -> FoldedGraph:
    """Merge all rows that the network cannot tell apart."""
    atoms, bonds = _equitable_colours(graph)
    atom_of_atom, atom_members, atom_counts = _classes(atoms)
    bond_of_bond, bond_members, bond_counts, n_short = _bond_classes(bonds, graph.n_short)
    n_bonds = len(bond_counts)

    first, second = atom_of_atom[graph.first], atom_of_atom[graph.second]
    edge_keys = np.concatenate(
        [
            (first * len(atom_counts) + second) * n_bonds + bond_of_bond,
            (second * len(atom_counts) + first) * n_bonds + bond_of_bond,
        ]
    )
    keys, edge_counts = np.unique(edge_keys, return_counts=True)
    edge_atoms, edge_bonds = np.divmod(keys, max(n_bonds, 1))
    edge_centers, edge_neighbors = np.divmod(edge_atoms, max(len(atom_counts), 1))

    short = slice(graph.n_short)
    spoke_keys = np.concatenate([first[short], second[short]]) + np.tile(
        bond_of_bond[short], 2
    ) * len(atom_counts)
    spoke_values, spoke_of_spoke = np.unique(spoke_keys, return_inverse=True)
    spoke_bonds, spoke_centers = np.divmod(spoke_values, max(len(atom_counts), 1))

    leaves = np.repeat(spoke_of_spoke, np.diff(graph.angle_starts))
    ends = np.tile(bond_of_bond[short], 2)[graph.angle_ends]
    values = _clusters(graph.cosines)
    n_values = int(values.max(initial=0)) + 1
    angle_keys = (leaves * max(n_short, 1) + ends) * n_values + values
    angle_of_angle, angle_members, angle_counts = _classes(angle_keys)
    angle_spokes = leaves[angle_members]
    return FoldedGraph(
        numbers=graph.numbers[atom_members],
        atom_counts=atom_counts,
        lengths_angstrom=graph.lengths_angstrom[bond_members],
        bond_counts=bond_counts,
        n_short=n_short,
        edge_centers=edge_centers,
        edge_neighbors=edge_neighbors,
        edge_bonds=edge_bonds,
        edge_weights=edge_counts / atom_counts[edge_centers],
        spoke_centers=spoke_centers,
        spoke_bonds=spoke_bonds,
        angle_spokes=angle_spokes,
        angle_bonds=ends[angle_members],
        angle_weights=angle_counts / bond_counts[spoke_bonds[angle_spokes]],
        angle_counts=angle_counts,
        cosines=graph.cosines[angle_members],
        bond_of_bond=bond_of_bond,
        angle_of_angle=angle_of_angle,
    )


def cell_gradients(
    graph: CrystalGraph,
    folded: FoldedGraph,
    length_gradients: FloatArray,
    cosine_gradients: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Turn derivatives of the energy by class into forces and the virial.

    Parameters
    ----------
    graph, folded
        The structure and its classes.
    length_gradients, cosine_gradients
        Derivative of the whole energy by the common length (eV/Å) and the common cosine (eV)
        of each class, shapes (bond class,) and (angle class,).

    Returns
    -------
    tuple
        Forces in eV/Å, shape (atom, 3), and dE/dstrain in eV, shape (3, 3).
    """
    from scipy.sparse import csr_array

    per_bond = (length_gradients / folded.bond_counts)[folded.bond_of_bond]
    units = graph.vectors_angstrom / graph.lengths_angstrom[:, None]
    gradients = per_bond[:, None] * units
    n_short = graph.n_short
    if len(graph.cosines):
        per_angle = (cosine_gradients / folded.angle_counts)[folded.angle_of_angle]
        spokes = np.concatenate([units[:n_short], -units[:n_short]])
        n_spokes = len(spokes)
        matrix = csr_array(
            (per_angle, graph.angle_ends, graph.angle_starts), shape=(n_spokes, n_spokes)
        )
        matrix = matrix + matrix.T  # an angle turns with either of its bonds
        pull = matrix @ spokes
        pull -= np.einsum("ij,ij->i", pull, spokes)[:, None] * spokes
        pull /= np.tile(graph.lengths_angstrom[:n_short], 2)[:, None]
        gradients[:n_short] += pull[:n_short] - pull[n_short:]
    forces = np.empty((len(graph.numbers), 3))
    for axis in range(3):
        forces[:, axis] = np.bincount(
            graph.first, weights=gradients[:, axis], minlength=len(forces)
        ) - np.bincount(graph.second, weights=gradients[:, axis], minlength=len(forces))
    return forces, graph.vectors_angstrom.T @ gradients


def _equitable_colours(graph: CrystalGraph) -> tuple[_HashArray, _HashArray]:
    """Colour atoms and bonds until no colour splits any further.

    Colours are 64-bit hashes; sums over neighbours make them independent of the order. With
    10^5 rows two unequal ones share a hash with a probability of 10^-9.
    """
    atoms = _mix(graph.numbers.astype(np.uint64))
    bonds = _mix(_clusters(graph.lengths_angstrom).astype(np.uint64) + np.uint64(1 << 32))
    n_short = graph.n_short
    turns_of = _mix(_clusters(graph.cosines).astype(np.uint64) + np.uint64(1 << 33))
    n_partners = np.diff(graph.angle_starts)
    ends = graph.angle_ends % max(n_short, 1)
    n_classes = 0
    while True:
        counts = len(np.unique(atoms)) + len(np.unique(bonds))
        if counts == n_classes or counts == len(atoms) + len(bonds):
            return atoms, bonds
        n_classes = counts
        one: _HashArray = atoms[graph.first]
        two: _HashArray = atoms[graph.second]
        sums = np.zeros_like(atoms)
        np.add.at(sums, graph.first, _mix(two * _ODD_A + bonds))
        np.add.at(sums, graph.second, _mix(one * _ODD_A + bonds))
        turns = np.zeros_like(bonds)
        if len(turns_of):
            ends_of: _HashArray = np.concatenate([one[:n_short], two[:n_short]])
            spokes: _HashArray = np.tile(bonds[:n_short], 2) + _ODD_B * ends_of
            rows = _mix(turns_of + bonds[ends])
            spoke_sums = _mix(_segment_sums(rows, n_partners) + _ODD_A * spokes)
            turns[:n_short] = spoke_sums[:n_short] + spoke_sums[n_short:]
            np.add.at(sums, graph.first[:n_short], _mix(spoke_sums[:n_short]))
            np.add.at(sums, graph.second[:n_short], _mix(spoke_sums[n_short:]))
        bonds = _mix(bonds + _ODD_A * (_mix(one) + _mix(two)) + _ODD_B * turns)
        atoms = _mix(atoms + _ODD_B * sums)


_ODD_A = np.uint64(0x9E3779B97F4A7C15)
_ODD_B = np.uint64(0xC2B2AE3D27D4EB4F)


def _mix(bits: _HashArray) -> _HashArray:
    """Scramble 64 bits (the finaliser of splitmix64)."""
    values = bits + _ODD_A
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _segment_sums(rows: _HashArray, sizes: IndexArray) -> _HashArray:
    """Sum contiguous segments, empty ones too, modulo 2^64."""
    total = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(rows)])
    ends = np.cumsum(sizes)
    sums: _HashArray = total[ends] - total[ends - sizes]
    return sums


def _clusters(values: FloatArray) -> IndexArray:
    """Label the values so that neighbours closer than the tolerance share a number."""
    order = np.argsort(values)
    steps = np.diff(values[order]) > _SAME_VALUE
    labels = np.empty(len(values), dtype=np.int64)
    labels[order] = np.concatenate([[0], np.cumsum(steps)])[: len(values)]
    return labels


def _classes(keys: NDArray[np.generic]) -> tuple[IndexArray, IndexArray, IndexArray]:
    """Class of every row, one member of every class, and the size of every class."""
    _, members, of_row, counts = np.unique(
        keys, return_index=True, return_inverse=True, return_counts=True
    )
    return of_row.astype(np.int64), members.astype(np.int64), counts.astype(np.int64)


def _bond_classes(
    colours: _HashArray, n_short: int
) -> tuple[IndexArray, IndexArray, IndexArray, int]:
    """Classes of the bonds, those within the inner cutoff first."""
    short, short_members, short_counts = _classes(colours[:n_short])
    long, long_members, long_counts = _classes(colours[n_short:])
    n_classes = len(short_counts)
    return (
        np.concatenate([short, long + n_classes]),
        np.concatenate([short_members, long_members + n_short]),
        np.concatenate([short_counts, long_counts]),
        n_classes,
    )
