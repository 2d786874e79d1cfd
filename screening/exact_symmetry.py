"""Symmetry operations that a cell has to the last digits, found fast.

A displaced supercell keeps a subgroup of the operations of its crystal. Where it is used to
compute less, an operation must hold exactly: each one here maps every atom onto an atom within a
few 1e-9 Å. Candidates are all rotations that the lattice keeps, with the translations that send
one atom of the rarest kind to another; a number that is different for each point of the cell
then finds the images of all atoms by a look-up in a sorted list. A crystal without symmetry has
the identity.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from screening.canonical import reduced_vectors
from screening.prediction import FloatArray

__all__ = ["EXACT_ANGSTROM", "ExactOperations", "exact_operations"]

IntArray = NDArray[np.int64]

EXACT_ANGSTROM = 2e-9
"""Far above the rounding of coordinates (1e-14 Å), worth less than 1e-7 eV/Å in a force."""

_N_FIRST = 12
_MOST_POINTS = 4_000_000
# Wave vectors and phases of the number that tells points of the cell apart.
_WAVES = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 2, -1], [-2, 1, 3]], dtype=np.float64)
_PHASES = np.array([0.3719, 1.1283, 2.0341, 0.7713, 2.9127])
_STRENGTHS = np.array([1.0, 0.7548, 0.5698, 0.3247, 0.2451])
_COEFFICIENTS = np.array([c for c in product((-2, -1, 0, 1, 2), repeat=3) if any(c)])


@dataclass(frozen=True, eq=False)
class ExactOperations:
    """A group of operations of a periodic cell; the identity stands first.

    Attributes
    ----------
    rotations
        Proper and improper rotations of Cartesian columns, shape (operation, 3, 3).
    permutations
        Atom that each atom goes to, shape (operation, atom).
    """

    rotations: FloatArray
    permutations: IntArray


def exact_operations(
    cell: FloatArray,
    positions: FloatArray,
    numbers: IntArray,
    kinds: IntArray,
    tolerance_angstrom: float = EXACT_ANGSTROM,
) -> ExactOperations:
    """Find the operations that map a cell onto itself.

    Parameters
    ----------
    cell
        Lattice vectors as rows in Å, shape (3, 3).
    positions
        Cartesian coordinates in Å, shape (atom, 3).
    numbers
        Atomic numbers, shape (atom,).
    kinds
        Labels that no operation can change, such as atomic numbers or those of
        surroundings, shape (atom,); the finer they are, the faster it is.
    tolerance_angstrom
        How far from an atom an image may lie in Å.
    """
    points = positions @ np.linalg.inv(cell)
    places = _Places(cell, points - np.floor(points), numbers, tolerance_angstrom)
    _, label, counts = np.unique(kinds, return_inverse=True, return_counts=True)
    order = np.argsort(counts[label], kind="stable")  # the first ones exclude most
    members = np.flatnonzero(label == label[order[0]])
    first = order[:_N_FIRST]
    shifts, table = places.operations(np.eye(3)[None], members, first)
    rest = _one_of_each_orbit(members, table)
    turns = _lattice_rotations(tuple(map(tuple, cell.tolist())), tolerance_angstrom)
    turned, found = places.operations(turns, rest, first)
    basis = cell.T
    rotations = basis @ turns[turned] @ np.linalg.inv(basis)
    # a rotation, then one of the pure translations
    permutations = table[:, found].swapaxes(0, 1).reshape(-1, len(numbers))
    several = ExactOperations(np.repeat(rotations, len(shifts), axis=0), permutations)
    return several if _is_group(several) else _identity(len(numbers))


def _identity(n_atoms: int) -> ExactOperations:
    return ExactOperations(np.eye(3)[None], np.arange(n_atoms)[None])


def _is_group(operations: ExactOperations) -> bool:
    """Say whether the orbits of the atoms are orbits, as they may not be at a tolerance's edge."""
    orbits = operations.permutations.min(axis=0)
    return bool(
        (operations.permutations[0] == np.arange(len(orbits))).all()
        and (orbits[operations.permutations] == orbits).all()
    )


def _one_of_each_orbit(members: IntArray, translations: IntArray) -> IntArray:
    """Keep the first of the atoms that pure translations map onto each other."""
    found: IntArray = members[translations[:, members].min(axis=0) == members]
    return found


class _Places:
    """Look-up of atoms by where they are.

    Parameters
    ----------
    cell
        Lattice vectors as rows in Å.
    points
        Fractional coordinates, shape (atom, 3).
    numbers
        Atomic numbers.
    tolerance_angstrom
        How far from an atom an image may lie in Å.
    """

    def __init__(
        self, cell: FloatArray, points: FloatArray, numbers: IntArray, tolerance_angstrom: float
    ) -> None:
        self._cell, self._points, self._numbers = cell, points, numbers
        self._tolerance_angstrom = tolerance_angstrom
        keys = _keys(points)
        self._order = np.argsort(keys)
        self._sorted = keys[self._order]

    def operations(
        self, turns: FloatArray, targets: IntArray, first: IntArray
    ) -> tuple[IntArray, IntArray]:
        """Try each rotation with each translation that sends atom first[0] to a target.

        Returns
        -------
        tuple
            Index of the rotation, shape (found,), and permutation, shape (found, atom).
        """
        starts = turns @ self._points[first[0]]
        shifts = self._points[targets][None] - starts[:, None]
        which = np.repeat(np.arange(len(turns)), len(targets))
        shifts = shifts.reshape(-1, 3)
        _, fits = self._images(turns[which], shifts, first)
        which, shifts = which[fits], shifts[fits]
        most = max(1, _MOST_POINTS // len(self._points))
        images, fits = self._images(turns[which[:most]], shifts[:most], slice(None))
        return which[:most][fits], images[fits]

    def _images(
        self, turns: FloatArray, shifts: FloatArray, atoms: IntArray | slice
    ) -> tuple[IntArray, NDArray[np.bool_]]:
        """Nearest atoms to the images of some atoms, and whether all of them are there."""
        moved = self._points[atoms] @ turns.swapaxes(1, 2) + shifts[:, None]
        keys = _keys(moved)
        right = np.searchsorted(self._sorted, keys).clip(1, len(self._sorted) - 1)
        if len(self._sorted) == 1:
            right = np.zeros_like(right)
        left = np.maximum(right - 1, 0)
        is_left = np.abs(keys - self._sorted[left]) < np.abs(keys - self._sorted[right])
        images = self._order[np.where(is_left, left, right)]
        offsets = moved - self._points[images]
        offsets = (offsets - np.rint(offsets)) @ self._cell
        near = (np.abs(offsets) < self._tolerance_angstrom).all(axis=(1, 2))
        same = (self._numbers[images] == self._numbers[atoms]).all(axis=1)
        return images, near & same


def _keys(points: FloatArray) -> FloatArray:
    """Return a smooth periodic number of each point, which two atoms hardly share."""
    angles = 2.0 * np.pi * (points @ _WAVES.T) + _PHASES
    keys: FloatArray = np.cos(angles) @ _STRENGTHS
    return keys


@lru_cache(maxsize=32)  # all displaced cells of one crystal have the same lattice
def _lattice_rotations(
    rows: tuple[tuple[float, ...], ...], tolerance_angstrom: float
) -> FloatArray:
    """Rotations of the lattice in fractional columns, identity first, shape (rotation, 3, 3)."""
    cell = np.array(rows)
    basis = reduced_vectors(cell)
    gram = basis @ basis.T
    tolerance = 2.0 * tolerance_angstrom * np.sqrt(np.trace(gram))
    vectors = _COEFFICIENTS @ basis
    squares = np.einsum("ij,ij->i", vectors, vectors)
    choices = [_COEFFICIENTS[np.abs(squares - gram[i, i]) < tolerance] for i in range(3)]
    rows_of = np.array(list(product(*choices)))
    grams = rows_of @ gram @ rows_of.swapaxes(1, 2)
    kept = rows_of[(np.abs(grams - gram) < tolerance).all(axis=(1, 2))]
    turns = (np.linalg.inv(basis) @ kept @ basis).swapaxes(1, 2)  # Cartesian columns
    columns = cell.T
    inside = np.rint(np.linalg.inv(columns) @ turns @ columns)
    is_identity = (inside == np.eye(3)).all(axis=(1, 2))
    return np.concatenate([inside[is_identity], inside[~is_identity]])
