"""Which supercell carries the phonons of a crystal.

What limits a finite-displacement calculation is the distance between periodic images of the
displaced atom, i.e. the shortest lattice vector of the supercell. Candidates are multiples of
the primitive, the conventional and the reduced cell, so skewed cells get integer matrices that
are not diagonal. Only those that keep the point group count: a lost rotation costs displacements
and breaks the symmetry of the force constants.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from phonopy.structure.symmetry import Symmetry
from pymatgen.core import Structure

from screening.errors import CellError, SettingError, TooLargeError
from screening.prediction import FloatArray
from screening.supercell_symmetry import DEFAULT_SYMPREC_ANGSTROM, primitive_symmetry
from screening.symmetry_finder import symmetry_finder

__all__ = [
    "SupercellCandidate",
    "SupercellSettings",
    "choose_supercell",
    "image_distance_angstrom",
    "supercell_candidates",
    "supercell_warnings",
]

IntArray = NDArray[np.int64]

_INTEGER_TOLERANCE = 1e-4


@dataclass(frozen=True)
class SupercellSettings:
    """How large a supercell is.

    Attributes
    ----------
    min_length_angstrom
        Least distance between periodic images in Å.
    min_atoms
        Least number of atoms, so that small cells reach several shells of neighbours.
    max_atoms
        Largest number of atoms. It wins over the other two: the supercell is then the one
        with the most distant images below it, and `supercell_warnings` says so.
    """

    min_length_angstrom: float = 10.5
    min_atoms: int = 90
    max_atoms: int = 240

    def __post_init__(self) -> None:
        if not 0.0 < self.min_length_angstrom < np.inf:
            raise SettingError(
                f"the least distance between images is {self.min_length_angstrom} Å",
                subject="min_length_angstrom",
                hint="Give a positive length, usually 10 to 20 Å",
            )
        if not 1 <= self.min_atoms <= self.max_atoms:
            raise SettingError(
                f"the limits are {self.min_atoms} to {self.max_atoms} atoms",
                subject="min_atoms, max_atoms",
                hint="Give 1 <= min_atoms <= max_atoms",
            )


@dataclass(frozen=True)
class SupercellCandidate:
    """A supercell that keeps the point group: matrix, atoms and distance of its images.

    ``matrix`` holds integers as nested tuples; its rows are the supercell vectors in
    primitive vectors.
    """

    matrix: tuple[tuple[int, ...], ...]
    n_atoms: int
    image_distance_angstrom: float

    def as_array(self) -> IntArray:
        """Return the matrix as an array, shape (3, 3)."""
        return np.array(self.matrix, dtype=np.int64)


def image_distance_angstrom(lattice: FloatArray, matrix: IntArray) -> float:
    """Return the shortest lattice vector of a supercell in Å.

    Parameters
    ----------
    lattice
        Rows are the primitive vectors in Å, shape (3, 3).
    matrix
        Integers, rows are supercell vectors in primitive vectors, shape (3, 3).

    Examples
    --------
    >>> import numpy as np
    >>> image_distance_angstrom(4.0 * np.eye(3), 2 * np.eye(3, dtype=int))
    8.0
    """
    reduced = _reduced(np.asarray(matrix @ lattice, dtype=np.float64))
    # in a Niggli cell the shortest vector has no coefficient beyond one
    steps = np.array([s for s in np.ndindex(3, 3, 3) if s != (1, 1, 1)]) - 1
    return float(np.linalg.norm(steps @ reduced, axis=1).min())


def choose_supercell(
    structure: Structure,
    settings: SupercellSettings,
    symprec_angstrom: float = DEFAULT_SYMPREC_ANGSTROM,
) -> IntArray:
    """Choose the smallest supercell that keeps the point group and meets the limits.

    Parameters
    ----------
    structure
        Primitive cell.
    settings
        Limits on the distance of images and on the number of atoms.
    symprec_angstrom
        Tolerance in Å of the point group to keep.

    Returns
    -------
    ndarray
        Integers, rows are supercell vectors in primitive vectors, shape (3, 3).

    Raises
    ------
    TooLargeError
        If the cell itself has more atoms than allowed.
    """
    candidates = supercell_candidates(structure, settings.max_atoms, symprec_angstrom)
    for candidate in candidates:  # in ascending size
        if (
            candidate.image_distance_angstrom >= settings.min_length_angstrom
            and candidate.n_atoms >= settings.min_atoms
        ):
            return candidate.as_array()
    return candidates[-1].as_array()


def supercell_warnings(
    structure: Structure, matrix: IntArray, settings: SupercellSettings
) -> tuple[str, ...]:
    """Say where a supercell falls short of the wanted distance between images."""
    distance = image_distance_angstrom(structure.lattice.matrix, matrix)
    if distance >= settings.min_length_angstrom - 1e-9:
        return ()
    message = (
        f"The supercell of {len(structure) * _volume(matrix)} atoms keeps periodic images only"
        f" {distance:.1f} Å apart: {settings.min_length_angstrom:.1f} Å needs more than"
        f" {settings.max_atoms} atoms"
    )
    return (message,)


def supercell_candidates(
    structure: Structure,
    max_atoms: int,
    symprec_angstrom: float = DEFAULT_SYMPREC_ANGSTROM,
) -> tuple[SupercellCandidate, ...]:
    """Return every supercell worth its atoms, in ascending size.

    A candidate is dropped if another one with as few atoms keeps its images as far apart.

    Parameters
    ----------
    structure
        Primitive cell.
    max_atoms
        Largest number of atoms.
    symprec_angstrom
        Tolerance in Å of the point group to keep.

    Raises
    ------
    TooLargeError
        If the cell itself has more atoms than allowed.
    """
    if len(structure) > max_atoms:
        raise TooLargeError(
            f"the primitive cell has {len(structure)} atoms, the supercell may have {max_atoms}",
            subject=structure.composition.reduced_formula,
            hint="Raise max_atoms of the supercell settings",
        )
    symmetry = primitive_symmetry(structure, symprec_angstrom)
    cell = np.asarray(structure.lattice.matrix, dtype=np.float64)
    rotations = np.asarray(symmetry.pointgroup_operations, dtype=np.int64)
    largest = max_atoms // len(structure)
    bases = (np.eye(3, dtype=np.int64), _conventional(symmetry), _integers(_reduced(cell), cell))
    found = {
        _key(matrix)
        for basis in bases
        for matrix in _multiples(basis, cell, largest)
        if _keeps(rotations, matrix)
    }
    return _front([_candidate(key, cell, len(structure)) for key in found])


def _candidate(
    key: tuple[tuple[int, ...], ...], lattice: FloatArray, n_sites: int
) -> SupercellCandidate:
    matrix = np.array(key, dtype=np.int64)
    return SupercellCandidate(
        key, n_sites * _volume(matrix), image_distance_angstrom(lattice, matrix)
    )


def _front(sized: list[SupercellCandidate]) -> tuple[SupercellCandidate, ...]:
    """Keep those whose images are further apart than in every smaller cell."""
    kept: list[SupercellCandidate] = []
    ordered = sorted(
        sized, key=lambda c: (c.n_atoms, -round(c.image_distance_angstrom, 6), _skew(c.matrix))
    )
    for candidate in ordered:
        if not kept or (
            candidate.image_distance_angstrom > kept[-1].image_distance_angstrom + 1e-6
        ):
            kept.append(candidate)
    return tuple(kept)


def _skew(matrix: tuple[tuple[int, ...], ...]) -> tuple[object, ...]:
    """Order equal cells: diagonal ones first, then by their entries."""
    off_diagonal = sum(abs(matrix[i][j]) for i in range(3) for j in range(3) if i != j)
    return (off_diagonal, matrix)


def _conventional(symmetry: Symmetry) -> IntArray:
    """Return the conventional cell in primitive vectors, the cell itself if it is no multiple."""
    # spglib: (a, b, c) = (a, b, c)_std P, hence std rows = P^-T primitive rows
    matrix = np.linalg.inv(np.asarray(symmetry.dataset.transformation_matrix)).T
    rounded = np.rint(matrix).astype(np.int64)
    if np.abs(matrix - rounded).max() > _INTEGER_TOLERANCE:
        return np.eye(3, dtype=np.int64)
    return rounded


def _multiples(basis: IntArray, lattice: FloatArray, largest: int) -> Iterator[IntArray]:
    """Yield diagonal multiples of a basis whose plane distances grow together."""
    counts = np.ones(3, dtype=np.int64)
    heights = 1.0 / np.linalg.norm(np.linalg.inv(basis @ lattice), axis=0)
    while abs(_volume(basis)) * int(np.prod(counts)) <= largest:
        yield np.diag(counts) @ basis
        extent = counts * heights
        counts = counts + (extent <= extent.min() * (1.0 + 1e-6))


def _keeps(rotations: IntArray, matrix: IntArray) -> bool:
    """Whether every rotation maps the supercell lattice onto itself."""
    columns = matrix.T
    inside = np.linalg.inv(columns) @ rotations @ columns
    return bool(np.abs(inside - np.rint(inside)).max() < _INTEGER_TOLERANCE)


def _key(matrix: IntArray) -> tuple[tuple[int, ...], ...]:
    """Right-handed matrix as nested tuples."""
    right_handed = matrix if np.linalg.det(matrix) > 0 else -matrix
    return tuple(tuple(int(x) for x in row) for row in right_handed)


def _volume(matrix: IntArray) -> int:
    return round(abs(float(np.linalg.det(matrix))))


def _reduced(lattice: FloatArray) -> FloatArray:
    """Niggli-reduced rows of a lattice."""
    reduced = symmetry_finder().niggli_reduce(lattice)
    if reduced is None:
        raise CellError("the lattice cannot be reduced", hint="Check its vectors")
    return np.asarray(reduced, dtype=np.float64)


def _integers(rows: FloatArray, lattice: FloatArray) -> IntArray:
    """Return rows of a lattice as integer combinations of its primitive vectors."""
    return np.asarray(np.rint(rows @ np.linalg.inv(lattice)), dtype=np.int64)
