"""Phonon coordinates of a supercell at every wave vector that it commensurates with.

Each pair of wave vectors q and -q gives two real coordinates per site and axis, the cosine and
the sine; a wave vector that is its own opposite gives one. Together they are an orthogonal
change of the mass-weighted Cartesian displacements, in which translation-invariant force
constants fall into one block per wave vector: the dynamical matrix.

References
----------
T. Keeratikarn and J. M. Frost, Anharmonic phonons with Gaussian processes (2024), eqs. 21-25;
there at the zone centre only, and without the normalisation by the number of cells.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from screening.anharmonic import DisplacedCells, ForceConstants
from screening.errors import WrongShapeError
from screening.prediction import FloatArray, frozen_array
from screening.supercell_symmetry import LatticeIndex, locate_atoms, phonopy_cell

__all__ = [
    "PhononCoordinates",
    "cell_periodic",
    "forces_from_coordinates",
    "phonon_coordinates",
    "to_coordinates",
    "to_displacements",
    "to_gradients",
]

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PhononCoordinates:
    """An orthonormal set of real phonon coordinates.

    Attributes
    ----------
    primitive, supercell_matrix
        Crystal and supercell; rows of the matrix are supercell vectors in primitive vectors.
    q_points
        One of each pair of opposite wave vectors in fractions of the primitive reciprocal
        lattice, the zone centre first, shape (q, 3).
    self_opposite
        Whether q and -q are the same wave vector, shape (q,).
    q_indices
        Wave vector of every coordinate, shape (coordinate,). Those of one wave vector are
        ordered by (cosine or sine, site, axis).
    transformation
        From mass-weighted displacements to coordinates, with orthonormal rows, shape
        (coordinate, atom x 3).
    masses_amu
        Of the supercell atoms, shape (atom,).
    sites, images
        Site that each atom repeats, shape (atom,), and for the first atom of every site the
        atom that sees it as atom j sees i: ``images[i, j]``, shape (atom, atom).
    """

    primitive: Structure
    supercell_matrix: IntArray
    q_points: FloatArray
    self_opposite: NDArray[np.bool_]
    q_indices: IntArray
    transformation: FloatArray
    masses_amu: FloatArray
    sites: IntArray
    images: IntArray

    @property
    def n_coordinates(self) -> int:
        """Number of coordinates."""
        return len(self.transformation)

    @property
    def firsts(self) -> IntArray:
        """Supercell atom with the smallest index on every site, shape (site,)."""
        return np.array([np.flatnonzero(self.sites == s)[0] for s in range(len(self.primitive))])


def phonon_coordinates(cells: DisplacedCells | ForceConstants) -> PhononCoordinates:
    """Build the coordinates at all wave vectors that a supercell commensurates with.

    Parameters
    ----------
    cells
        Crystal, supercell and order of its atoms.

    Raises
    ------
    InconsistentDataError
        If the supercell does not repeat the primitive cell.
    """
    matrix = np.asarray(cells.supercell_matrix, dtype=np.int64)
    sites, translations = locate_atoms(
        cells.primitive, matrix, cells.supercell_scaled_positions, cells.supercell_numbers
    )
    q_points, self_opposite = _wave_vectors(matrix)
    waves = zip(q_points, self_opposite, strict=True)
    parts = [_waves(q, sites, translations, real) for q, real in waves]
    masses = np.asarray(phonopy_cell(cells.primitive).masses, dtype=np.float64)[sites]
    return PhononCoordinates(
        primitive=cells.primitive,
        supercell_matrix=matrix,
        q_points=q_points,
        self_opposite=self_opposite,
        q_indices=np.repeat(np.arange(len(parts)), [len(part) for part in parts]),
        transformation=frozen_array(np.concatenate(parts)),
        masses_amu=frozen_array(masses),
        sites=sites,
        images=_images(matrix, sites, translations),
    )


def cell_periodic(coordinates: PhononCoordinates) -> PhononCoordinates:
    """Select the coordinates of the zone centre: displacements that repeat in every cell."""
    kept = coordinates.q_indices == 0
    return replace(
        coordinates,
        q_points=coordinates.q_points[:1],
        self_opposite=coordinates.self_opposite[:1],
        q_indices=coordinates.q_indices[kept],
        transformation=coordinates.transformation[kept],
    )


def to_coordinates(
    coordinates: PhononCoordinates, displacements_angstrom: FloatArray
) -> FloatArray:
    """Turn displacements into coordinates.

    Parameters
    ----------
    coordinates
        The basis.
    displacements_angstrom
        Cartesian displacements in Å, shape (..., atom, 3).

    Returns
    -------
    ndarray
        Coordinates in Å amu^(1/2), shape (..., coordinate).
    """
    return _flat(coordinates, displacements_angstrom, 1.0) @ coordinates.transformation.T


def to_displacements(coordinates: PhononCoordinates, amplitudes: FloatArray) -> FloatArray:
    """Cartesian displacements in Å, shape (..., atom, 3), of coordinates in Å amu^(1/2)."""
    flat = np.asarray(amplitudes) @ coordinates.transformation
    shaped = flat.reshape(*flat.shape[:-1], -1, 3)
    return np.asarray(shaped / np.sqrt(coordinates.masses_amu)[:, None])


def to_gradients(coordinates: PhononCoordinates, forces_ev_per_angstrom: FloatArray) -> FloatArray:
    """Turn forces into derivatives of the energy by the coordinates.

    Parameters
    ----------
    coordinates
        The basis.
    forces_ev_per_angstrom
        Cartesian forces in eV/Å, shape (..., atom, 3).

    Returns
    -------
    ndarray
        In eV/(Å amu^(1/2)), shape (..., coordinate).
    """
    return -_flat(coordinates, forces_ev_per_angstrom, -1.0) @ coordinates.transformation.T


def forces_from_coordinates(coordinates: PhononCoordinates, gradients: FloatArray) -> FloatArray:
    """Cartesian forces in eV/Å, shape (..., atom, 3), of derivatives by the coordinates."""
    flat = -np.asarray(gradients) @ coordinates.transformation
    shaped = flat.reshape(*flat.shape[:-1], -1, 3)
    return np.asarray(shaped * np.sqrt(coordinates.masses_amu)[:, None])


def _wave_vectors(matrix: IntArray) -> tuple[FloatArray, NDArray[np.bool_]]:
    """One of each pair of opposite wave vectors, and whether the two are the same.

    Integers, in units of the inverse volume, keep the look-up of opposite ones exact.
    """
    volume = abs(round(np.linalg.det(matrix)))
    generators = np.rint(np.linalg.inv(matrix) * volume).astype(np.int64).T
    every = np.zeros((1, 3), dtype=np.int64)
    for generator in generators:
        multiples = np.arange(volume // np.gcd.reduce([volume, *generator]))[:, None] * generator
        sums = (every[:, None] + multiples[None]).reshape(-1, 3)
        every = np.unique(sums % volume, axis=0)
    chosen, real = [], []
    for q_point in every:
        opposite = (-q_point) % volume
        if tuple(q_point) <= tuple(opposite):
            chosen.append(q_point)
            real.append(bool(np.array_equal(q_point, opposite)))
    return np.array(chosen) / volume, np.array(real)


def _waves(q_point: FloatArray, sites: IntArray, translations: IntArray, real: bool) -> FloatArray:
    """Rows of the transformation for one wave vector, shape (coordinate, atom x 3)."""
    n_sites, n_atoms = int(sites.max()) + 1, len(sites)
    angle = 2.0 * np.pi * (translations @ q_point)
    waves = (
        [np.cos(angle)] if real else [np.sqrt(2.0) * np.cos(angle), np.sqrt(2.0) * np.sin(angle)]
    )
    rows = np.zeros((len(waves), n_sites, 3, n_atoms, 3))
    for part, wave in enumerate(waves):
        for axis in range(3):
            rows[part, sites, axis, np.arange(n_atoms), axis] = wave
    return np.asarray(rows.reshape(-1, n_atoms * 3) / np.sqrt(n_atoms // n_sites))


def _images(matrix: IntArray, sites: IntArray, translations: IntArray) -> IntArray:
    """For atoms i and j, the atom that the first atom of i's site sees as i sees j."""
    index = LatticeIndex(matrix, sites, translations)
    firsts = np.array([np.flatnonzero(sites == site)[0] for site in sites])
    relative = translations[None] - translations[:, None] + translations[firsts][:, None]
    wanted = np.broadcast_to(sites[None], relative.shape[:2])
    found: IntArray = index.find(wanted, relative)
    return found


def _flat(coordinates: PhononCoordinates, vectors: FloatArray, power: float) -> FloatArray:
    """Vectors times the root of the masses to a power, shape (..., atom x 3)."""
    if np.shape(vectors)[-2:] != (len(coordinates.sites), 3):
        raise WrongShapeError(
            f"shape {np.shape(vectors)} where (..., {len(coordinates.sites)}, 3) is needed",
            subject="displacements or forces",
            hint="Give vectors of all atoms of the supercell that the coordinates belong to",
        )
    weighted = vectors * np.sqrt(coordinates.masses_amu)[:, None] ** power
    return np.asarray(weighted.reshape(*weighted.shape[:-2], -1))
