"""One description for one crystal, whatever cell, origin, orientation and order it came in.

The lattice is described by a basis of its shortest vectors. Several bases tie by symmetry
(48 of a cubic lattice), and every atom of the rarest element may be the origin. All these
descriptions are written in integers (bins of lengths, angles and positions) and the smallest
list wins. Ties are symmetry operations of the crystal, thus the winner is unique, and nothing
of the crystal is left out of it: equal descriptions are equal crystals within the bins.

Mirror images get one description, since improper operations are among the candidates: left-
and right-handed quartz have the same energies and the same phonons.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Lattice

from screening.digest import digest_of
from screening.errors import CellError
from screening.prediction import FloatArray
from screening.symmetry_finder import symmetry_finder

__all__ = [
    "Cell",
    "Symmetry",
    "description_digest",
    "find_symmetry",
    "reduced_vectors",
    "space_group_type",
    "standard_cell",
]

_LENGTH_BIN_ANGSTROM = 1e-3
_ANGLE_BIN_DEGREE = 2e-2
_POSITION_BINS = 720  # all of 1/2, 1/3, 1/4, 1/5, 1/6, 1/8 fall into the middle of a bin
_BINNED_LENGTH_ANGSTROM = 7.2  # per 720 bins: no bin of a position is wider than 0.01 Å
# Numbers that people type must not lie on the edge of a bin, where the last bit decides.
_MIDDLE = 0.5 + 1.4159e-4
_TIE_ANGSTROM = 5e-4
_COEFFICIENTS = np.array(
    [c for c in product((-2, -1, 0, 1, 2), repeat=3) if any(c)], dtype=np.int64
)
# Primitive vectors in rows, by the vectors of the conventional cell.
_CENTRINGS = {
    "P": np.eye(3),
    "A": np.array([[2, 0, 0], [0, 1, 1], [0, -1, 1]]) / 2,
    "C": np.array([[1, -1, 0], [1, 1, 0], [0, 0, 2]]) / 2,
    "F": np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2,
    "I": np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]) / 2,
    "R": np.array([[2, 1, 1], [-1, 1, 1], [-1, -2, 1]]) / 3,
}
_LAST_BITS = 1e-9
# The eleven pairs of space groups that are mirror images of each other: one name for both.
_ENANTIOMORPH = {
    78: 76, 95: 91, 96: 92, 145: 144, 153: 151, 154: 152, 170: 169, 172: 171, 179: 178, 181: 180,
    213: 212,
}  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """Vectors (3, 3) in Å as rows, fractions (atom, 3), atomic numbers (atom,)."""

    vectors: FloatArray
    fractions: FloatArray
    numbers: NDArray[np.int64]


@dataclass(frozen=True)
class Symmetry:
    """Space group, for each atom its orbit and Wyckoff letter, and whether mirrors are absent."""

    number: int
    symbol: str
    orbits: NDArray[np.int64]
    wyckoff_letters: tuple[str, ...]
    is_chiral: bool


Description = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""Bins of the lattice, atomic numbers, and codes of the positions in the same order."""


def find_symmetry(cell: Cell, symprec_angstrom: float, subject: str = "") -> tuple[Symmetry, Cell]:
    """Space group within a tolerance, and the idealised standard primitive cell.

    Returns
    -------
    tuple of Symmetry and Cell
        Orbits and letters belong to the atoms of the cell returned.

    Raises
    ------
    CellError
        Where no symmetry is found, not even translations: atoms coincide within the tolerance.
    """
    dataset = _dataset(cell, symprec_angstrom, subject)
    # One atom of each primitive translation, in the standard cell and in the cell given.
    in_primitive, standard = np.unique(dataset.std_mapping_to_primitive, return_index=True)
    given_primitive, given = np.unique(dataset.mapping_to_primitive, return_index=True)
    given = given[np.searchsorted(given_primitive, in_primitive)]
    transform = _CENTRINGS[dataset.international[0]]
    fractions = np.asarray(dataset.std_positions)[standard] @ np.linalg.inv(transform)
    symmetry = Symmetry(
        number=int(dataset.number),
        symbol=str(dataset.international),
        orbits=np.asarray(dataset.crystallographic_orbits, dtype=np.int64)[given],
        wyckoff_letters=tuple(np.asarray(dataset.wyckoffs)[given].tolist()),
        is_chiral=bool((np.linalg.det(dataset.rotations) > 0).all()),
    )
    numbers = np.asarray(dataset.std_types, dtype=np.int64)[standard]
    return symmetry, Cell(transform @ np.asarray(dataset.std_lattice), fractions % 1.0, numbers)


def _dataset(cell: Cell, symprec_angstrom: float, subject: str) -> Any:
    """Call the symmetry finder; its failures are errors of ours."""
    try:
        described: Any = (cell.vectors, cell.fractions % 1.0, cell.numbers)
        dataset = symmetry_finder().get_symmetry_dataset(described, symprec=symprec_angstrom)
    except Exception as error:  # releases differ: None, or an exception of their own
        raise CellError(f"no symmetry can be found: {error}", subject=subject) from error
    if dataset is None:
        raise CellError(
            "no symmetry can be found", subject=subject, hint="Look for coincident atoms"
        )
    return dataset


def standard_cell(
    cell: Cell, symprec_angstrom: float, subject: str = ""
) -> tuple[Cell, Symmetry, Description]:
    """Return the idealised standard primitive cell, its symmetry and its description.

    The cell is standardised once to find its symmetry and once more from the canonical
    description, so that the origin and the order do not depend on the input.
    """
    symmetry, ideal = find_symmetry(cell, symprec_angstrom, subject)
    description, canonical = _smallest_description(ideal, symmetry)
    final_symmetry, final = find_symmetry(canonical, symprec_angstrom, subject)
    order = _canonical_order(final)
    fractions = np.where(final.fractions[order] > 1.0 - _LAST_BITS, 0.0, final.fractions[order])
    return (
        Cell(final.vectors, fractions, final.numbers[order]),
        replace(
            final_symmetry,
            orbits=final_symmetry.orbits[order],
            wyckoff_letters=tuple(final_symmetry.wyckoff_letters[i] for i in order),
        ),
        description,
    )


def reduced_vectors(vectors: FloatArray) -> FloatArray:
    """Short vectors of the same lattice: Niggli's, or where his loop fails on noise, LLL's."""
    right_handed = vectors * np.sign(np.linalg.det(vectors))
    try:
        reduced = symmetry_finder().niggli_reduce(right_handed, eps=1e-5)
    except Exception:  # noqa: BLE001 - releases differ in what they raise; None is the failure
        reduced = None
    if reduced is None:
        reduced = Lattice(vectors).get_lll_reduced_lattice().matrix
    return np.asarray(reduced, dtype=np.float64)


def space_group_type(number: int) -> int:
    """Space group number, the same for both hands of a chiral pair.

    Examples
    --------
    >>> space_group_type(154), space_group_type(152), space_group_type(225)
    (152, 152, 225)
    """
    return _ENANTIOMORPH.get(number, number)


def description_digest(description: Description, space_group_number: int) -> str:
    """SHA-256 of a description; the space group keeps small distortions apart."""
    lattice, numbers, codes = description
    return digest_of(
        {
            "kind": "crystal-1",
            "space_group": space_group_type(space_group_number),
            "lattice": list(lattice),
            "numbers": list(numbers),
            "positions": list(codes),
        }
    )


def _canonical_order(cell: Cell) -> list[int]:
    """Order of atomic number and position, blind to the last bits."""
    bins = np.full(3, 100 * _POSITION_BINS, dtype=np.int64)
    return [int(i) for i in np.lexsort((_codes(cell.fractions, bins), cell.numbers))]


def _smallest_description(cell: Cell, symmetry: Symmetry) -> tuple[Description, Cell]:
    """Smallest of all descriptions, and the cell it belongs to."""
    lattice, bases = _shortest_bases(cell.vectors)
    lengths = np.array(lattice[:3]) * _LENGTH_BIN_ANGSTROM
    bins = _POSITION_BINS * np.maximum(1, np.ceil(lengths / _BINNED_LENGTH_ANGSTROM - 1e-9))
    bins = bins.astype(np.int64)
    origins = _origins(cell.numbers, symmetry.orbits)
    by_number = np.argsort(cell.numbers, kind="stable")
    numbers, fractions = cell.numbers[by_number], cell.fractions[by_number]
    best: tuple[NDArray[np.int64], FloatArray, FloatArray] | None = None
    for basis in bases:
        inverse = np.linalg.inv(basis)
        for origin in origins:
            shifted = (fractions - cell.fractions[origin]) @ inverse
            codes = _codes(shifted, bins)
            order = np.lexsort((codes, numbers))
            codes = codes[order]
            if best is None or _less(codes, best[0]):
                best = codes, basis @ cell.vectors, shifted[order]
    assert best is not None
    codes, vectors, positions = best
    canonical = _right_handed(Cell(vectors, positions, numbers), is_chiral=symmetry.is_chiral)
    return (lattice, tuple(map(int, numbers)), tuple(map(int, codes))), canonical


def _right_handed(cell: Cell, *, is_chiral: bool) -> Cell:
    """Give the cell right-handed axes and wipe its orientation and last bits.

    A crystal that is its own mirror image keeps its fractions, a chiral one is relabelled and
    stays of its hand. The symmetry finder breaks ties by what is wiped here: without it, equal
    crystals get equal standard cells.
    """
    swap = [1, 0, 2] if is_chiral and np.linalg.det(cell.vectors) < 0 else [0, 1, 2]
    lattice = Lattice(cell.vectors[swap])
    lengths = [round(length, 8) for length in lattice.abc]
    angles = [round(angle, 8) for angle in lattice.angles]
    vectors = np.asarray(Lattice.from_parameters(*lengths, *angles).matrix, dtype=np.float64)
    return Cell(vectors, np.round(cell.fractions[:, swap] % 1.0, 9) % 1.0, cell.numbers)


def _less(left: NDArray[np.int64], right: NDArray[np.int64]) -> bool:
    """Lexicographic order of two equally long lists."""
    different = np.flatnonzero(left != right)
    return bool(len(different)) and bool(left[different[0]] < right[different[0]])


def _codes(fractions: FloatArray, bins: NDArray[np.int64]) -> NDArray[np.int64]:
    """One integer per position: its bins along the three axes."""
    index = np.floor((fractions % 1.0) * bins + _MIDDLE).astype(np.int64) % bins
    codes: NDArray[np.int64] = (index[:, 0] * bins[1] + index[:, 1]) * bins[2] + index[:, 2]
    return codes


def _origins(numbers: NDArray[np.int64], orbits: NDArray[np.int64]) -> list[int]:
    """One atom of each orbit of the rarest element (the lightest of several)."""
    elements, counts = np.unique(numbers, return_counts=True)
    rarest = elements[np.argmin(counts)]
    members = np.flatnonzero(numbers == rarest)
    _, first = np.unique(orbits[members], return_index=True)
    return [int(atom) for atom in members[first]]


def _shortest_bases(vectors: FloatArray) -> tuple[tuple[int, ...], list[NDArray[np.int64]]]:
    """Bins of the lattice and all integer bases of shortest vectors that have them.

    Every basis attains the three successive minima of the lattice, which do not depend on how
    the lattice was given. Of those with the same lengths the ones with the smallest angles
    (by bins) are kept.
    """
    reduced = reduced_vectors(vectors)
    to_input = np.rint(reduced @ np.linalg.inv(vectors)).astype(np.int64)
    candidates = _COEFFICIENTS @ to_input
    lengths = np.linalg.norm(candidates @ vectors, axis=1)
    order = np.argsort(lengths, kind="stable")
    candidates, lengths = candidates[order], lengths[order]
    minima = _successive_minima(candidates, lengths)
    slots = [candidates[lengths <= minimum + _TIE_ANGSTROM] for minimum in minima]
    bases = np.array(
        [(a, b, c) for a, b in product(slots[0], slots[1]) for c in slots[2]], dtype=np.int64
    )
    bases = bases[np.abs(np.rint(np.linalg.det(bases))) == 1]
    metrics = _lattice_bins(bases @ vectors)
    smallest = min(map(tuple, metrics.tolist()))
    keep = (metrics == np.array(smallest)).all(axis=1)
    return tuple(smallest), list(bases[keep])


def _successive_minima(candidates: NDArray[np.int64], lengths: FloatArray) -> list[float]:
    """Lengths of the shortest vectors that span one, two and three dimensions."""
    chosen: list[int] = []
    for index in range(len(candidates)):
        trial = candidates[[*chosen, index]]
        if np.linalg.matrix_rank(trial) == len(trial):
            chosen.append(index)
        if len(chosen) == 3:  # noqa: PLR2004 - dimensions
            break
    return [float(lengths[index]) for index in chosen]


def _lattice_bins(bases: FloatArray) -> NDArray[np.int64]:
    """Bins of three lengths and three angles of each basis, shape (basis, 6)."""
    lengths = np.linalg.norm(bases, axis=2)
    units = bases / lengths[:, :, None]
    cosines = np.stack(
        [np.einsum("bi,bi->b", units[:, i], units[:, j]) for i, j in ((1, 2), (0, 2), (0, 1))],
        axis=1,
    )
    angles = np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0)))
    return np.concatenate(
        [
            np.floor(lengths / _LENGTH_BIN_ANGSTROM + _MIDDLE),
            np.floor(angles / _ANGLE_BIN_DEGREE + _MIDDLE),
        ],
        axis=1,
    ).astype(np.int64)
