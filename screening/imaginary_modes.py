"""The imaginary mode of an unstable crystal as a pattern of displacements in its own cell.

A mode is followed at a wave vector that fits the computed supercell: there the force constants
give the exact frequencies, all others are interpolated. Where interpolation hints at a lower
mode, `unsampled_supercell` names the supercell that would tell. The pattern lies in the
smallest cell that repeats it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import lcm

import numpy as np
from numpy.typing import NDArray
from phonopy.harmonic.dynamical_matrix import DynamicalMatrixNAC
from phonopy.harmonic.dynmat_to_fc import get_commensurate_points
from pymatgen.core import Structure

from screening.acoustic import acoustic_mask, gamma_mask
from screening.errors import NoImaginaryModeError
from screening.harmonic import Harmonic, frequencies_at, signed_frequencies_thz
from screening.prediction import FloatArray, frozen_array
from screening.supercell_symmetry import locate_atoms, phonopy_cell

__all__ = [
    "ImaginaryMode",
    "commensurate_q_points",
    "imaginary_mode",
    "q_point_text",
    "smallest_supercell",
    "unsampled_supercell",
]

IntArray = NDArray[np.int64]
ComplexArray = NDArray[np.complex128]

_SAME_FREQUENCY_THZ = 1e-3
_SAME_SHARE = 1e-6  # of a mode on a coordinate: equal by symmetry up to rounding
_MAX_DENOMINATOR = 64
_REPETITIONS = (2, 3, 4)
_CLEARLY_LOWER_THZ = 0.1  # than the modes known, for an interpolated one to be worth computing


@dataclass(frozen=True, eq=False)
class ImaginaryMode:
    """An imaginary mode, in the smallest cell that repeats it.

    Attributes
    ----------
    frequency_thz
        Its frequency in THz, negative.
    q_point
        Its wave vector in fractions of the primitive reciprocal lattice, shape (3,).
    degeneracy
        Number of modes with this frequency at this wave vector.
    supercell_matrix
        Integers, rows are vectors of the cell in primitive vectors, shape (3, 3).
    undistorted
        That cell of the crystal, with atoms where they are.
    pattern
        Displacement of every atom where the largest is 1, shape (atom, 3).
    curvature_ev_per_angstrom2
        Second derivative of the cell's energy by the largest displacement, in eV/Å², negative.
    """

    frequency_thz: float
    q_point: FloatArray
    degeneracy: int
    supercell_matrix: IntArray
    undistorted: Structure
    pattern: FloatArray
    curvature_ev_per_angstrom2: float

    def distorted(self, amplitude_angstrom: float) -> Structure:
        """Return the crystal moved along the mode; the farthest atom by this many Å."""
        return Structure(
            self.undistorted.lattice,
            self.undistorted.species,
            self.undistorted.cart_coords + amplitude_angstrom * self.pattern,
            coords_are_cartesian=True,
        )


def imaginary_mode(
    harmonic: Harmonic,
    *,
    max_atoms: int,
    threshold_thz: float = -0.1,
    combine_degenerate: bool = False,
) -> ImaginaryMode:
    """Find the lowest mode of a crystal, which must be imaginary.

    Of wave vectors with the same frequency the one of the smallest cell is taken, and the
    first by its components. Where several modes share the frequency, the first is the one that
    moves a single coordinate most: for the tilts of a perovskite's octahedra the rotation about
    one axis.

    Parameters
    ----------
    harmonic
        Force constants.
    max_atoms
        Largest cell that may hold the mode.
    threshold_thz
        A mode below this frequency is imaginary, in THz.
    combine_degenerate
        Take the sum of all modes with the frequency instead of the first.

    Raises
    ------
    NoImaginaryModeError
        If no mode below the threshold fits such a cell.
    """
    q_points = commensurate_q_points(harmonic.supercell_matrix)
    sizes = np.array([_order(q) for q in q_points]) * harmonic.n_atoms
    lowest = _lowest_thz(harmonic, q_points)
    imaginary = lowest < threshold_thz
    allowed = imaginary & (sizes <= max_atoms)
    if not np.any(allowed):
        raise NoImaginaryModeError(
            f"{_found(lowest, sizes, imaginary=imaginary)}, where a mode below {threshold_thz:g} "
            f"THz in a cell of at most {max_atoms} atoms is needed",
            subject=harmonic.primitive.composition.reduced_formula,
            hint="Allow more atoms, or predict it in another supercell: this one does not hold "
            "the wave vector of the instability",
        )
    least = lowest[allowed].min()
    equals = np.flatnonzero(allowed & (lowest <= least + _SAME_FREQUENCY_THZ))
    chosen = min(equals, key=lambda i: (int(sizes[i]), tuple(-np.round(q_points[i], 6))))
    return _mode_at(harmonic, q_points[chosen], combine_degenerate=combine_degenerate)


def unsampled_supercell(
    harmonic: Harmonic, *, max_atoms: int, max_supercell_atoms: int, threshold_thz: float = -0.1
) -> IntArray | None:
    """Supercell that holds an instability which the computed one only interpolates.

    Interpolated frequencies are looked at where wave vectors are halves, thirds or quarters. A
    supercell of three repetitions, for one, misses the tilts of a perovskite's octahedra.

    Parameters
    ----------
    harmonic
        Force constants.
    max_atoms, max_supercell_atoms
        Largest cell that may hold the mode, and largest supercell to compute forces in.
    threshold_thz
        A mode below this frequency is imaginary, in THz.

    Returns
    -------
    ndarray or None
        Integers, shape (3, 3); None where the computed supercell holds the lowest mode.
    """
    sampled = float(_lowest_thz(harmonic, commensurate_q_points(harmonic.supercell_matrix)).min())
    best, matrix = min(threshold_thz, sampled - _CLEARLY_LOWER_THZ), None
    for count in _REPETITIONS:
        repeated = count * np.eye(3, dtype=np.int64)
        if count**3 * harmonic.n_atoms > max_supercell_atoms:
            break
        q_points = commensurate_q_points(repeated)
        fits = np.array([_order(q) for q in q_points]) * harmonic.n_atoms <= max_atoms
        lowest = float(_lowest_thz(harmonic, q_points[fits]).min())
        if lowest < best - _SAME_FREQUENCY_THZ:
            best, matrix = lowest, repeated
    return matrix


def _lowest_thz(harmonic: Harmonic, q_points: FloatArray) -> FloatArray:
    """Lowest frequency at every wave vector but for rigid translations, in THz, shape (q,)."""
    frequencies = frequencies_at(harmonic, q_points)
    acoustic = acoustic_mask(frequencies, gamma_mask(q_points))
    return np.asarray(np.where(acoustic, np.inf, frequencies).min(axis=1))


def _found(lowest: FloatArray, sizes: IntArray, *, imaginary: NDArray[np.bool_]) -> str:
    """Say what there is instead of a mode to follow."""
    index = int(np.argmin(lowest))
    where = "" if not np.any(imaginary) else f" in a cell of {sizes[index]} atoms"
    return f"the lowest mode of the computed supercell has {lowest[index]:.3f} THz{where}"


def commensurate_q_points(supercell_matrix: IntArray) -> FloatArray:
    """Wave vectors whose waves a supercell repeats, in (-1/2, 1/2], shape (q, 3).

    Parameters
    ----------
    supercell_matrix
        Integers, rows are supercell vectors in primitive vectors, shape (3, 3).

    Examples
    --------
    >>> commensurate_q_points(np.diag([2, 1, 1])).tolist()
    [[0.0, 0.0, 0.0], [0.5, 0.0, 0.0]]
    """
    size = abs(round(float(np.linalg.det(supercell_matrix))))
    # phonopy writes supercell vectors as columns
    found = np.rint(get_commensurate_points(np.asarray(supercell_matrix).T) * size)
    return np.asarray((found - size * np.ceil(found / size - 0.5)) / size + 0.0)


def smallest_supercell(q_point: FloatArray) -> IntArray:
    """Matrix of the smallest cell that repeats a wave, in Hermite's lower triangular form.

    Parameters
    ----------
    q_point
        Fractions of the primitive reciprocal lattice, shape (3,).

    Returns
    -------
    ndarray
        Integers, rows are cell vectors in primitive vectors, shape (3, 3).

    Examples
    --------
    >>> smallest_supercell(np.array([0.5, 0.5, 0.0])).tolist()
    [[2, 0, 0], [1, 1, 0], [0, 0, 1]]
    """
    order = _order(q_point)
    whole = np.rint(np.asarray(q_point) * order).astype(np.int64)

    def repeating(candidates: Iterable[tuple[int, int, int]]) -> tuple[int, int, int] | None:
        return next((row for row in candidates if int(np.dot(row, whole)) % order == 0), None)

    for a, c in product(range(1, order + 1), repeat=2):
        d, rest = divmod(order, a * c)
        rows = [
            repeating([(a, 0, 0)]),
            repeating((i, c, 0) for i in range(a)),
            repeating((i, j, d) for i, j in product(range(a), range(c))),
        ]
        if not rest and None not in rows:
            return np.array(rows, dtype=np.int64)
    raise AssertionError("every lattice has a Hermite form")


def q_point_text(q_point: FloatArray) -> str:
    """Return a wave vector as fractions: ``(1/2, 1/2, 0)``.

    Examples
    --------
    >>> q_point_text(np.array([0.5, -1 / 3, 0.0]))
    '(1/2, -1/3, 0)'
    """
    parts = (Fraction(float(x)).limit_denominator(_MAX_DENOMINATOR) for x in q_point)
    return f"({', '.join(str(part) for part in parts)})"


def _order(q_point: FloatArray) -> int:
    """Smallest integer that makes a wave vector one of the reciprocal lattice."""
    return lcm(
        *(Fraction(float(x)).limit_denominator(_MAX_DENOMINATOR).denominator for x in q_point)
    )


def _mode_at(harmonic: Harmonic, q_point: FloatArray, *, combine_degenerate: bool) -> ImaginaryMode:
    """Take the lowest mode of one wave vector as a pattern."""
    squares, vectors = _optical_modes(harmonic, q_point)
    frequencies = signed_frequencies_thz(squares)
    basis = _canonical_basis(vectors[:, frequencies <= frequencies[0] + _SAME_FREQUENCY_THZ])
    vector = basis.sum(axis=1) if combine_degenerate else basis[:, 0]
    matrix = _compact(smallest_supercell(q_point), harmonic.primitive)
    undistorted = harmonic.primitive.make_supercell(matrix, in_place=False)
    numbers = np.array([int(site.specie.Z) for site in undistorted], dtype=np.int64)
    sites, cells = locate_atoms(harmonic.primitive, matrix, undistorted.frac_coords, numbers)
    masses = np.asarray(phonopy_cell(harmonic.primitive).masses, dtype=np.float64)
    moves = vector.reshape(-1, 3) / np.sqrt(masses)[:, None]
    waves = np.exp(2j * np.pi * (cells @ q_point))
    pattern = _normalised((_best_phase(moves) * waves[:, None] * moves[sites]).real)
    inertia = float(masses[sites] @ (pattern**2).sum(axis=1))
    return ImaginaryMode(
        frequency_thz=float(frequencies[0]),
        q_point=frozen_array(q_point),
        degeneracy=basis.shape[1],
        supercell_matrix=matrix,
        undistorted=undistorted,
        pattern=frozen_array(pattern),
        curvature_ev_per_angstrom2=float(squares[0]) * inertia,
    )


def _optical_modes(harmonic: Harmonic, q_point: FloatArray) -> tuple[FloatArray, ComplexArray]:
    """Eigenvalues in eV/Å²/amu, ascending, and eigenvectors in columns, by phases of cells.

    Rigid translations are left out. Where the wave is its own negative the dynamical matrix is
    real, and so are its eigenvectors here.
    """
    matrix = harmonic.dynamical_matrices(q_point[None])[0]
    if isinstance(harmonic.dynamical_matrix, DynamicalMatrixNAC):  # whose phases are of atoms
        phases = np.exp(2j * np.pi * (harmonic.primitive.frac_coords @ q_point)).repeat(3)
        matrix = phases[:, None] * matrix * phases.conj()
    is_real = bool(gamma_mask(2.0 * q_point[None])[0])
    squares, vectors = np.linalg.eigh(matrix.real if is_real else matrix)
    optical = ~acoustic_mask(signed_frequencies_thz(squares)[None], gamma_mask(q_point[None]))[0]
    return squares[optical], np.asarray(vectors[:, optical], dtype=np.complex128)


def _canonical_basis(vectors: ComplexArray) -> ComplexArray:
    """Orthonormal basis of the same space that rounding errors do not turn."""
    rest = vectors @ vectors.conj().T
    columns = []
    for _ in range(vectors.shape[1]):
        shares = rest.diagonal().real
        pivot = int(np.flatnonzero(shares >= shares.max() - _SAME_SHARE)[0])
        column = rest[:, pivot] / np.sqrt(shares[pivot])
        columns.append(column)
        rest = rest - np.outer(column, column.conj())
    return np.stack(columns, axis=1)


def _best_phase(moves: ComplexArray) -> complex:
    """Phase at which the atom that moves farthest is at its farthest."""
    squares = (moves**2).sum(axis=1)
    reach = (np.abs(moves) ** 2).sum(axis=1) + np.abs(squares)
    farthest = int(np.flatnonzero(reach >= reach.max() * (1.0 - _SAME_SHARE))[0])
    return complex(np.exp(-0.5j * np.angle(squares[farthest])))


def _normalised(pattern: FloatArray) -> FloatArray:
    """Scale the largest displacement to 1; the first coordinate that moves goes up."""
    scaled = pattern / np.linalg.norm(pattern, axis=1).max()
    first = scaled.ravel()[np.flatnonzero(np.abs(scaled.ravel()) > _SAME_SHARE)[0]]
    return np.asarray(scaled * np.sign(first))


def _compact(matrix: IntArray, primitive: Structure) -> IntArray:
    """Replace the vectors of a cell by short ones."""
    from pymatgen.core import Lattice

    lattice = np.asarray(primitive.lattice.matrix)
    short = Lattice(matrix @ lattice).get_lll_reduced_lattice().matrix
    compact = np.rint(short @ np.linalg.inv(lattice)).astype(np.int64)
    return compact if np.linalg.det(compact) > 0 else -compact
