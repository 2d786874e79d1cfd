"""Band structures and densities of states of harmonic crystals."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from phonopy.harmonic.dynamical_matrix import DynamicalMatrixNAC

from screening.acoustic import acoustic_mask, gamma_mask
from screening.errors import CellError, SettingError
from screening.harmonic import (
    DEFAULT_MESH_LENGTH_ANGSTROM,
    Harmonic,
    MeshFrequencies,
    MeshModes,
    frequencies_at,
    mesh_modes,
)
from screening.prediction import BandStructure, DensityOfStates, FloatArray, frozen_array

__all__ = [
    "DEFAULT_BAND_SPACING_PER_ANGSTROM",
    "LowestFrequency",
    "band_structure",
    "density_of_states",
    "density_of_states_from_modes",
    "lowest_frequency",
]

DEFAULT_BAND_SPACING_PER_ANGSTROM = 0.01
"""Largest distance of neighbouring points of a band path in 1/Å, without 2 pi."""

_SMEARING_FRACTION = 0.01  # of the width of the spectrum, the value phonopy takes
_TAIL = 5.0  # standard deviations of a Gaussian beyond which nothing is left
_TIE_THZ = 1e-6  # the mesh is named first where both regions hold the same mode


@dataclass(frozen=True)
class LowestFrequency:
    """Lowest frequency but for the three acoustic modes at the zone centre.

    Attributes
    ----------
    frequency_thz
        In THz, imaginary ones negative.
    q_point
        Its wave vector in fractions of the primitive reciprocal lattice, shape (3,).
    region
        ``mesh`` or ``path``.
    """

    frequency_thz: float
    q_point: FloatArray
    region: Literal["mesh", "path"]


@dataclass(frozen=True)
class _Segment:
    """A straight piece of the band path between two named points."""

    names: tuple[str, str]
    ends: tuple[FloatArray, FloatArray]


def band_structure(
    harmonic: Harmonic, spacing_per_angstrom: float = DEFAULT_BAND_SPACING_PER_ANGSTROM
) -> BandStructure:
    """Frequencies along the standard path of the crystal's Bravais lattice.

    Every segment holds both of its ends, so that the zone centre has the frequencies of the
    direction from which it is approached where there are Born charges. Special points carry
    the names of the reference, ``GAMMA`` being the zone centre.

    Parameters
    ----------
    harmonic
        Force constants.
    spacing_per_angstrom
        Largest distance between neighbouring q points in 1/Å, without 2 pi.

    Raises
    ------
    CellError
        If no path is known for the cell.

    References
    ----------
    Y. Hinuma et al., Comput. Mater. Sci. 128, 140 (2017).
    """
    if not spacing_per_angstrom > 0.0:
        raise SettingError(
            f"q points {spacing_per_angstrom} 1/Å apart", subject="spacing_per_angstrom"
        )
    reciprocal = np.linalg.inv(harmonic.primitive.lattice.matrix).T
    q_blocks: list[FloatArray] = []
    directions: list[FloatArray] = []
    distance_blocks: list[FloatArray] = []
    starts: list[int] = []
    labels: list[tuple[int, str]] = []
    offset, travelled = 0, 0.0
    for segment in _path(harmonic):
        start, end = segment.ends
        length = float(np.linalg.norm((end - start) @ reciprocal))
        count = max(2, int(np.ceil(length / spacing_per_angstrom)) + 1)
        fractions = np.linspace(0.0, 1.0, count)
        q_blocks.append(start + fractions[:, None] * (end - start))
        directions.append(np.broadcast_to(end - start, (count, 3)))
        distance_blocks.append(travelled + fractions * length)
        starts.append(offset)
        labels += [(offset, segment.names[0]), (offset + count - 1, segment.names[1])]
        offset += count
        travelled += length
    q_points = np.concatenate(q_blocks)
    return BandStructure(
        q_points=frozen_array(q_points),
        distances_per_angstrom=frozen_array(np.concatenate(distance_blocks)),
        frequencies_thz=frozen_array(
            _path_frequencies(harmonic, q_points, np.concatenate(directions))
        ),
        segment_starts=tuple(starts),
        labels=tuple(labels),
    )


def _path(harmonic: Harmonic) -> list[_Segment]:
    """Segments of the path in fractions of this very cell's reciprocal lattice."""
    import seekpath

    primitive = harmonic.primitive
    cell = (
        primitive.lattice.matrix,
        primitive.frac_coords,
        [int(site.specie.Z) for site in primitive],
    )
    try:
        with warnings.catch_warnings():
            # of a cell between two lattices, or nearly a repeated one: any path serves its bands
            warnings.simplefilter("ignore", seekpath.EdgeCaseWarning)
            warnings.simplefilter("ignore", seekpath.SupercellWarning)
            found = seekpath.get_path_orig_cell(cell, symprec=harmonic.symmetry.tolerance)
    except (ValueError, KeyError, seekpath.hpkot.SymmetryDetectionError) as error:
        raise CellError(
            f"no band path is known: {error}", subject=primitive.composition.reduced_formula
        ) from error
    points = {name: np.array(q) for name, q in found["point_coords"].items()}
    return [_Segment((a, b), (points[a], points[b])) for a, b in found["path"]]


def _path_frequencies(
    harmonic: Harmonic, q_points: FloatArray, directions: FloatArray
) -> FloatArray:
    """Frequencies of the path, zone centres approached along their segments."""
    frequencies = frequencies_at(harmonic, q_points)
    if isinstance(harmonic.dynamical_matrix, DynamicalMatrixNAC):
        for index in np.flatnonzero(gamma_mask(q_points)):
            found = frequencies_at(harmonic, q_points[index : index + 1], directions[index])
            frequencies[index] = found[0]
    return frequencies


def lowest_frequency(mesh: MeshFrequencies, bands: BandStructure | None = None) -> LowestFrequency:
    """Find the lowest frequency of mesh and path.

    Parameters
    ----------
    mesh
        Frequencies on the mesh.
    bands
        Frequencies along the path, None where not computed.
    """
    best = _lowest_of(mesh.q_points, mesh.frequencies_thz, "mesh")
    if bands is not None:
        on_path = _lowest_of(bands.q_points, bands.frequencies_thz, "path")
        if on_path.frequency_thz < best.frequency_thz - _TIE_THZ:
            return on_path
    return best


def _lowest_of(
    q_points: FloatArray, frequencies: FloatArray, region: Literal["mesh", "path"]
) -> LowestFrequency:
    acoustic = acoustic_mask(frequencies, gamma_mask(q_points))
    others = np.where(acoustic, np.inf, frequencies).min(axis=1)
    index = int(np.argmin(others))
    return LowestFrequency(float(others[index]), frozen_array(q_points[index]), region)


def density_of_states(
    harmonic: Harmonic,
    mesh_length_angstrom: float = DEFAULT_MESH_LENGTH_ANGSTROM,
    smearing_thz: float | None = None,
    points: int = 401,
) -> DensityOfStates:
    """Total and site-projected density of states with Gaussian smearing.

    Parameters
    ----------
    harmonic
        Force constants.
    mesh_length_angstrom
        Length of the mesh in Å, as in `mesh_frequencies`.
    smearing_thz, points
        As in `density_of_states_from_modes`.

    Returns
    -------
    DensityOfStates
        Integrates to 3N modes per primitive cell.
    """
    modes = mesh_modes(harmonic, mesh_length_angstrom)
    return density_of_states_from_modes(modes, smearing_thz, points)


def density_of_states_from_modes(
    modes: MeshModes, smearing_thz: float | None = None, points: int = 401
) -> DensityOfStates:
    """Density of states of modes that are already known.

    Parameters
    ----------
    modes
        Frequencies and site shares on a mesh.
    smearing_thz
        Standard deviation of the Gaussians in THz; None takes 1 % of the spectrum's width.
    points
        Number of frequencies; raised where the smearing needs more to keep all modes.

    Returns
    -------
    DensityOfStates
        Integrates to 3N modes per primitive cell.
    """
    frequencies = modes.frequencies.frequencies_thz
    width = float(frequencies.max() - frequencies.min())
    sigma = max(smearing_thz or _SMEARING_FRACTION * width, 1e-3)
    grid = _frequency_grid(frequencies, sigma, points)
    mode_weights = modes.site_shares * modes.frequencies.weights[:, None, None]
    projected = _smeared(frequencies, mode_weights, grid, sigma)
    return DensityOfStates(
        frequencies_thz=frozen_array(grid),
        total_per_thz=frozen_array(projected.sum(axis=0)),
        projected_per_thz=frozen_array(projected),
    )


def _frequency_grid(frequencies: FloatArray, sigma: float, points: int) -> FloatArray:
    """Even grid that holds all tails and resolves the smearing."""
    low, high = frequencies.min() - _TAIL * sigma, frequencies.max() + _TAIL * sigma
    needed = int(np.ceil((high - low) / (0.5 * sigma))) + 1
    return np.linspace(low, high, max(points, needed))


def _smeared(
    frequencies: FloatArray, weights: FloatArray, grid: FloatArray, sigma: float
) -> FloatArray:
    """Sum of Gaussians by binning on a fine grid and convolving, shape (site, frequency)."""
    step = float(grid[1] - grid[0])
    position = (frequencies - grid[0]) / step
    lower = np.clip(np.floor(position).astype(np.int64), 0, len(grid) - 2)
    upper_share = position - lower
    kernel = _kernel(step, sigma, len(grid))
    result = np.empty((weights.shape[1], len(grid)))
    for site, own in enumerate(np.moveaxis(weights, 1, 0)):
        histogram = np.bincount(
            lower.ravel(), (own * (1.0 - upper_share)).ravel(), minlength=len(grid)
        ) + np.bincount(lower.ravel() + 1, (own * upper_share).ravel(), minlength=len(grid))
        result[site] = np.convolve(histogram, kernel, mode="same")
    return result


def _kernel(step: float, sigma: float, n_points: int) -> NDArray[np.float64]:
    """Normalised Gaussian on the grid, of odd length below that of the grid."""
    half = min(int(np.ceil(_TAIL * sigma / step)), (n_points - 1) // 2)
    kernel = np.exp(-0.5 * (np.arange(-half, half + 1) * step / sigma) ** 2)
    return np.asarray(kernel / (kernel.sum() * step))
