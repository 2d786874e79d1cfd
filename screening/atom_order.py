"""Which atom of a displaced cell is which atom of the undisplaced one.

Other programs wrap atoms across the boundary, sort them by element, or move the whole crystal.
Displacements are shortest vectors between assigned atoms of an element; what cannot be told
with certainty is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from screening.errors import CellError, InconsistentDataError
from screening.prediction import FloatArray
from screening.symmetry_finder import symmetry_finder

__all__ = [
    "DEFAULT_MAX_DISTANCE_ANGSTROM",
    "AtomMatch",
    "match_atoms",
    "primitive_cell_of",
    "repeated_positions",
]

IntArray = NDArray[np.int64]

DEFAULT_MAX_DISTANCE_ANGSTROM = 0.5
_AMBIGUOUS_RATIO = 0.4  # of the nearest to the second nearest atom of the element
_RIGID_RATIO = 4.0  # of a mean displacement to the one that independent ones would leave
_LEAST_RIGID_ANGSTROM = 1e-3
_FAR = 1e6


@dataclass(frozen=True, eq=False)
class AtomMatch:
    """How the atoms of a displaced cell belong to those of the undisplaced one.

    Attributes
    ----------
    order
        For every undisplaced atom, its index in the displaced cell, shape (atom,).
    displacements_angstrom
        Displacements in Å in the order of the undisplaced atoms, without the translation of
        the whole cell, shape (atom, 3).
    translation_angstrom
        Translation of the whole cell in Å, shape (3,); zeros where there is none.
    """

    order: IntArray
    displacements_angstrom: FloatArray
    translation_angstrom: FloatArray


@dataclass(frozen=True, eq=False)
class _Cells:
    """Undisplaced and displaced atoms in Cartesian coordinates."""

    lattice: FloatArray
    reference: FloatArray
    reference_numbers: IntArray
    positions: FloatArray
    numbers: IntArray

    def offsets(self, translation: FloatArray) -> FloatArray:
        """Shortest vectors from every undisplaced to every atom, shape (atom, atom, 3)."""
        raw = self.positions[None] - translation - self.reference[:, None]
        scaled = raw @ np.linalg.inv(self.lattice)
        return np.asarray((scaled - np.rint(scaled)) @ self.lattice)


def match_atoms(
    lattice: FloatArray,
    reference_scaled_positions: FloatArray,
    reference_numbers: IntArray,
    positions_angstrom: FloatArray,
    numbers: IntArray,
    *,
    max_distance_angstrom: float = DEFAULT_MAX_DISTANCE_ANGSTROM,
) -> AtomMatch:
    """Assign the atoms of a displaced cell to those of the undisplaced one.

    Parameters
    ----------
    lattice
        Rows are the vectors of both cells in Å, shape (3, 3).
    reference_scaled_positions, reference_numbers
        Undisplaced atoms and their atomic numbers, shapes (atom, 3) and (atom,).
    positions_angstrom, numbers
        Displaced atoms in any order and image, shapes (atom, 3) and (atom,).
    max_distance_angstrom
        Largest displacement in Å that is believed.

    Raises
    ------
    InconsistentDataError
        If the cells hold other atoms, an atom is too far from every place, or two atoms are
        nearly equally near to one.
    """
    cells = _Cells(
        np.asarray(lattice, dtype=np.float64),
        np.asarray(reference_scaled_positions) @ lattice,
        np.asarray(reference_numbers),
        np.asarray(positions_angstrom, dtype=np.float64),
        np.asarray(numbers),
    )
    _check_species(cells)
    translation = np.zeros(3)
    order, moves = _assign(cells, translation)
    if np.linalg.norm(moves, axis=1).max() > max_distance_angstrom:
        order, translation = _best_translation(cells, order)
    offsets = cells.offsets(translation)
    order, moves = _assign(cells, translation)
    rigid = _rigid_part(moves)
    translation, moves = translation + rigid, moves - rigid
    _check_distances(cells, order, moves, offsets - rigid, max_distance_angstrom)
    return AtomMatch(order, moves, translation)


def primitive_cell_of(supercell: Structure, symprec_angstrom: float = 1e-4) -> Structure:
    """Find the primitive cell that a supercell repeats, in the supercell's own orientation.

    Its lattice vectors are the shortest ones; its sites are the first atoms of their kind. A
    cell that is primitive already is returned as it is.

    Parameters
    ----------
    supercell
        Undisplaced supercell.
    symprec_angstrom
        Tolerance of the symmetry search in Å.

    Raises
    ------
    CellError
        If no symmetry can be found, for example because atoms overlap.
    """
    numbers = [int(site.specie.Z) for site in supercell]
    cell = (supercell.lattice.matrix.tolist(), supercell.frac_coords.tolist(), numbers)
    spglib = symmetry_finder()
    try:
        found = spglib.get_symmetry(cell, symprec=symprec_angstrom)
    except spglib.SpglibError:
        found = None
    if found is None:
        raise CellError(
            f"no symmetry found at {symprec_angstrom} Å",
            subject=supercell.composition.reduced_formula,
            hint="Check for overlapping atoms",
        )
    same = (found["rotations"] == np.eye(3, dtype=np.int64)).all(axis=(1, 2))
    shifts = found["translations"][same]
    if len(shifts) == 1:
        return supercell.copy()
    lattice = _shortest_lattice(shifts, supercell.lattice.matrix)
    inside = np.asarray(supercell.cart_coords) @ np.linalg.inv(lattice)
    kept: list[int] = []
    for atom, position in enumerate(inside):
        others = [other for other in kept if numbers[other] == numbers[atom]]
        gaps = inside[others] - position
        away = np.linalg.norm((gaps - np.rint(gaps)) @ lattice, axis=1)
        if not others or away.min() > max(10 * symprec_angstrom, 1e-3):
            kept.append(atom)
    species = [supercell[atom].specie for atom in kept]
    return Structure(lattice, species, inside[kept], to_unit_cell=True)


def repeated_positions(
    primitive: Structure, supercell_matrix: IntArray
) -> tuple[FloatArray, IntArray]:
    """Repeat a primitive cell, in phonopy's order of atoms.

    Returns
    -------
    scaled_positions, numbers
        Atoms of the supercell, shapes (atom, 3) and (atom,).

    Raises
    ------
    InconsistentDataError
        If the matrix has no volume or is left-handed.
    """
    from phonopy.structure.cells import Supercell

    from screening.supercell_symmetry import phonopy_cell

    matrix = np.asarray(supercell_matrix, dtype=np.int64)
    if round(np.linalg.det(matrix)) <= 0:
        raise InconsistentDataError(
            f"the determinant of the supercell matrix is {np.linalg.det(matrix):.0f}",
            subject="supercell_matrix",
            hint="Give a right-handed supercell",
        )
    supercell = Supercell(phonopy_cell(primitive), matrix.T)  # phonopy's vectors are columns
    return (
        np.array(supercell.scaled_positions, dtype=np.float64),
        np.array(supercell.numbers, dtype=np.int64),
    )


def _check_species(cells: _Cells) -> None:
    expected, found = (
        dict(zip(*np.unique(numbers, return_counts=True), strict=True))
        for numbers in (cells.reference_numbers, cells.numbers)
    )
    if expected != found:
        texts = (
            ", ".join(f"{n} atoms of Z={z}" for z, n in counts.items())
            for counts in (found, expected)
        )
        raise InconsistentDataError(
            "{} in the displaced cell, {} in the undisplaced one".format(*texts),
            subject="atoms",
            hint="Give the supercell that was displaced",
        )


def _assign(cells: _Cells, translation: FloatArray) -> tuple[IntArray, FloatArray]:
    """Assign with the least squared displacements within each element."""
    from scipy.optimize import linear_sum_assignment

    offsets = cells.offsets(translation)
    squares = (offsets**2).sum(axis=2)
    squares[cells.reference_numbers[:, None] != cells.numbers[None]] = _FAR
    atoms = np.arange(len(squares))
    order = squares.argmin(axis=1)
    if len(set(order.tolist())) != len(order):
        order = linear_sum_assignment(squares)[1]
    return np.asarray(order, dtype=np.int64), offsets[atoms, order]


def _best_translation(cells: _Cells, unmoved: IntArray) -> tuple[IntArray, FloatArray]:
    """Find the translation of the whole cell after which atoms are nearest to their places.

    Every place of the rarest element may be that of its first atom.
    """
    kinds, counts = np.unique(cells.reference_numbers, return_counts=True)
    rarest = kinds[counts.argmin()]
    first = int(np.flatnonzero(cells.reference_numbers == rarest)[0])
    starts = cells.offsets(np.zeros(3))[first][cells.numbers == rarest]
    best, best_order, best_cost = np.zeros(3), unmoved, np.inf
    for start in starts[np.argsort(np.linalg.norm(starts, axis=1))]:
        order, moves = _assign(cells, start)
        translation = start + moves.mean(axis=0)
        order, moves = _assign(cells, translation)
        cost = float((moves**2).mean())
        if cost < 0.9 * best_cost:  # equal ones by translations of the lattice: the shortest
            best, best_order, best_cost = translation, order, cost
    return best_order, best


def _rigid_part(moves: FloatArray) -> FloatArray:
    """Mean displacement where it is more than what independent displacements leave."""
    mean = moves.mean(axis=0)
    spread = np.sqrt(((moves - mean) ** 2).sum(axis=1).mean() / len(moves))
    if np.linalg.norm(mean) > max(_RIGID_RATIO * spread, _LEAST_RIGID_ANGSTROM):
        return np.asarray(mean)
    return np.zeros(3)


def _check_distances(
    cells: _Cells, order: IntArray, moves: FloatArray, offsets: FloatArray, allowed: float
) -> None:
    """Refuse atoms that are far from their places, or of which another could take the place."""
    lengths = np.linalg.norm(moves, axis=1)
    worst = int(lengths.argmax())
    if lengths[worst] > allowed:
        raise InconsistentDataError(
            f"atom {order[worst] + 1} is {lengths[worst]:.3f} Å from the nearest free place of its"
            f" element, more than {allowed:g} Å",
            subject="atoms",
            hint="Give the supercell that was displaced",
        )
    distances = np.linalg.norm(offsets, axis=2)
    distances[cells.reference_numbers[:, None] != cells.numbers[None]] = np.inf
    distances[np.arange(len(order)), order] = np.inf
    others = distances.argmin(axis=1)
    seconds = distances.min(axis=1)
    for atom in np.flatnonzero(lengths > _AMBIGUOUS_RATIO * seconds):
        raise InconsistentDataError(
            f"atoms {order[atom] + 1} and {others[atom] + 1} are {lengths[atom]:.3f} and"
            f" {seconds[atom]:.3f} Å from place {atom + 1}: which belongs there is not certain",
            subject="atoms",
            hint="Displace the atoms less, or give them in the order of the supercell",
        )


def _shortest_lattice(shifts: FloatArray, lattice: FloatArray) -> FloatArray:
    """Lattice of the translations of a supercell, with its shortest vectors, right-handed."""
    steps = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    candidates = ((shifts[:, None] + steps[None]).reshape(-1, 3)) @ lattice
    lengths = np.linalg.norm(candidates, axis=1)
    candidates = candidates[np.argsort(np.round(lengths, 6), kind="stable")]
    volume = abs(float(np.linalg.det(lattice))) / len(shifts)
    chosen: list[FloatArray] = []
    for vector in candidates[1:]:
        trial = np.array([*chosen, vector])
        if np.linalg.matrix_rank(trial, tol=1e-3 * volume ** (1 / 3)) == len(trial):
            chosen.append(vector)
        if len(chosen) == len(steps[0]):
            break
    found = np.array(chosen)
    return found if np.linalg.det(found) > 0 else -found
