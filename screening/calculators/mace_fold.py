"""The neighbours that a message-passing network needs, folded by the symmetry of the cell.

The features of an atom turn with its surroundings: where an operation of the cell maps atom r
onto atom i, the features of i are those of r, turned. A displaced supercell keeps part of its
space group, so that messages are needed only into one atom of each orbit, its representative;
the features of all senders are copies. Nothing is approximated. The energy is the sum over
representatives times the sizes of their orbits. Its derivatives by the vectors between
neighbours, put on the atoms at their ends, give the energy's change under every motion that
keeps the symmetry; the mean over all operations of that is the gradient, since the gradient of
a symmetric cell is symmetric itself. A crystal without symmetry folds to itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from screening.calculators.interface import IndexArray
from screening.exact_symmetry import EXACT_ANGSTROM, ExactOperations, exact_operations
from screening.prediction import FloatArray

__all__ = ["FoldedCell", "fold_cell", "unfold_gradients"]

_SAME_SURROUNDINGS = 1e-6  # bins of a sum over neighbours; those at an edge only fold less


@dataclass(frozen=True, eq=False)
class FoldedCell:
    """Messages into one atom of each orbit.

    Attributes
    ----------
    species
        Index of the element of each atom, shape (atom,).
    representatives
        One atom of each orbit, by ascending species, shape (representative,).
    orbit_sizes
        Number of atoms that each stands for, shape (representative,).
    orbit_of_atom, operation_of_atom
        Which representative each atom is an image of, and by which operation, shape (atom,).
    operations
        The operations of the cell.
    senders
        Atoms that messages come from, shape (representative, slot).
    vectors_angstrom
        From sender to representative, shape (representative, slot, 3).
    is_message
        Which slots are filled, shape (representative, slot); empty ones have some sender and
        the vector zero.
    """

    species: IndexArray
    representatives: IndexArray
    orbit_sizes: IndexArray
    orbit_of_atom: IndexArray
    operation_of_atom: IndexArray
    operations: ExactOperations
    senders: IndexArray
    vectors_angstrom: FloatArray
    is_message: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


def fold_cell(
    cell: FloatArray,
    positions: FloatArray,
    species: IndexArray,
    cutoff_angstrom: float,
    tolerance_angstrom: float = EXACT_ANGSTROM,
) -> FoldedCell:
    """Find all messages, and those that have to be computed.

    Parameters
    ----------
    cell
        Lattice vectors as rows in Å, shape (3, 3).
    positions
        Cartesian coordinates in Å, shape (atom, 3).
    species
        Index of the element of each atom, shape (atom,).
    cutoff_angstrom
        Reach of one message.
    tolerance_angstrom
        How far the symmetry may be off.
    """
    from vesin import NeighborList

    finder = NeighborList(cutoff=cutoff_angstrom, full_list=True, sorted=False)
    receivers, senders, vectors, lengths = finder.compute(positions, cell, True, "ijDd")
    receivers, senders = receivers.astype(np.int64), senders.astype(np.int64)
    kinds = _surroundings(species, receivers, senders, lengths)
    operations = exact_operations(cell, positions, species, kinds, tolerance_angstrom)
    firsts = operations.permutations.min(axis=0)
    chosen = np.unique(firsts)
    chosen = chosen[np.argsort(species[chosen], kind="stable")]
    operation_of_atom = np.zeros(len(species), dtype=np.int64)
    n_operations = len(operations.rotations)
    operation_of_atom[operations.permutations[::-1, chosen]] = np.arange(n_operations)[::-1, None]
    row_of_atom = np.full(len(species), -1)
    row_of_atom[chosen] = np.arange(len(chosen))
    kept = np.flatnonzero(row_of_atom[receivers] >= 0)
    rows = row_of_atom[receivers[kept]]
    kept, rows = kept[np.argsort(rows, kind="stable")], np.sort(rows)
    n_messages = np.bincount(rows, minlength=len(chosen))
    slots = np.arange(len(rows)) - np.repeat(np.cumsum(n_messages) - n_messages, n_messages)
    shape = (len(chosen), max(int(n_messages.max(initial=0)), 1))
    padded_senders = np.zeros(shape, dtype=np.int64)
    padded_vectors = np.zeros((*shape, 3))
    padded_senders[rows, slots] = senders[kept]
    padded_vectors[rows, slots] = -vectors[kept]
    return FoldedCell(
        species=species,
        representatives=chosen,
        orbit_sizes=np.bincount(row_of_atom[firsts], minlength=len(chosen)),
        orbit_of_atom=row_of_atom[firsts],
        operation_of_atom=operation_of_atom,
        operations=operations,
        senders=padded_senders,
        vectors_angstrom=padded_vectors,
        is_message=np.arange(shape[1]) < n_messages[:, None],
    )


def _surroundings(
    species: IndexArray, receivers: IndexArray, senders: IndexArray, lengths: FloatArray
) -> IndexArray:
    """Label atoms by what they are and a sum over their neighbours."""
    weights = np.exp(-lengths) * np.sqrt(species[senders] + 1.0)
    sums = np.bincount(receivers, weights=weights, minlength=len(species))
    found: IndexArray = np.rint((sums + 1e3 * species) / _SAME_SURROUNDINGS).astype(np.int64)
    return found


def unfold_gradients(
    folded: FoldedCell, vector_gradients: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Turn derivatives by the vectors of messages into forces and the virial.

    Parameters
    ----------
    folded
        The messages.
    vector_gradients
        Derivative of the energy of the whole cell by the vectors in eV/Å, shape
        (representative, slot, 3); that of empty slots is not looked at.

    Returns
    -------
    tuple
        Forces in eV/Å, shape (atom, 3), and dE/dstrain in eV, shape (3, 3).
    """
    rows, slots = np.nonzero(folded.is_message)
    gradients = vector_gradients[rows, slots]
    n_atoms = len(folded.species)
    forces = np.empty((n_atoms, 3))
    senders, receivers = folded.senders[rows, slots], folded.representatives[rows]
    for axis in range(3):
        along = gradients[:, axis]
        forces[:, axis] = np.bincount(senders, weights=along, minlength=n_atoms) - np.bincount(
            receivers, weights=along, minlength=n_atoms
        )
    virial = gradients.T @ folded.vectors_angstrom[rows, slots]
    rotations, permutations = folded.operations.rotations, folded.operations.permutations
    if len(rotations) > 1:
        # the force on the image of a is that on a, turned; found here the other way round
        images = forces[permutations[:, folded.representatives]]
        means = np.einsum("gaj,gji->ai", images, rotations) / len(rotations)
        turns = rotations[folded.operation_of_atom]
        forces = np.einsum("aij,aj->ai", turns, means[folded.orbit_of_atom])
        virial = np.einsum("gki,kl,glj->ij", rotations, virial, rotations) / len(rotations)
    return forces, (virial + virial.T) / 2.0
