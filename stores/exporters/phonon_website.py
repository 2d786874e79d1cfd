"""Bands and eigenvectors as the JSON that the phononwebsite viewer animates.

References
----------
H. Miranda, phononwebsite, https://henriquemiranda.github.io/phononwebsite.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from screening.errors import InconsistentDataError
from screening.prediction import BandStructure, FloatArray
from screening.units import THZ_TO_INVERSE_CM
from stores.exporters.files import write_json

if TYPE_CHECKING:
    from screening.harmonic import Harmonic

__all__ = ["path_eigenvectors", "phononwebsite_document", "write_phononwebsite"]

ATOMS_SHOWN = 64


def path_eigenvectors(harmonic: Harmonic, band_structure: BandStructure) -> NDArray[np.complex128]:
    """Eigenvectors of the dynamical matrix at the points of a band path.

    Parameters
    ----------
    harmonic
        Force constants of the crystal the bands belong to.
    band_structure
        The path. Zone centres at the ends of its segments are approached along the segment,
        as in the bands.

    Returns
    -------
    ndarray
        Normalised, phases counted from the positions of the sites, as in phonopy; complex,
        shape (q, branch, atom, 3).
    """
    from phonopy.harmonic.dynamical_matrix import (
        diagonalize_dynamical_matrices,
        get_dynamical_matrices_at_qpoints,
    )

    starts = band_structure.segment_starts
    blocks: list[NDArray[np.complex128]] = []
    for start, end in zip(starts, [*starts[1:], len(band_structure.q_points)], strict=True):
        q_points = np.array(band_structure.q_points[start:end])
        matrices = get_dynamical_matrices_at_qpoints(
            harmonic.dynamical_matrix, q_points, q_points[-1] - q_points[0]
        )
        _, vectors = diagonalize_dynamical_matrices(matrices, with_eigenvectors=True)
        assert vectors is not None
        blocks.append(vectors)
    columns = np.concatenate(blocks)
    n_q, n_branches, _ = columns.shape
    rows = columns.transpose(0, 2, 1).reshape(n_q, n_branches, -1, 3)
    return np.asarray(rows, dtype=np.complex128)


def phononwebsite_document(
    structure: Structure,
    band_structure: BandStructure,
    eigenvectors: NDArray[np.complex128],
    *,
    name: str = "",
) -> dict[str, object]:
    """Build the JSON of the phononwebsite viewer.

    Parameters
    ----------
    structure
        The primitive cell the bands belong to.
    band_structure
        Frequencies along the path, in THz.
    eigenvectors
        Eigenvectors at the points of the path, shape (q, branch, atom, 3); see
        `path_eigenvectors`.
    name
        Title shown by the viewer; the formula where empty.

    Returns
    -------
    dict
        Plain JSON with frequencies in 1/cm and displacement vectors of unit length.

    Raises
    ------
    InconsistentDataError
        If the eigenvectors do not belong to the bands and the structure.
    """
    wanted = (*np.shape(band_structure.frequencies_thz), len(structure), 3)
    if np.shape(eigenvectors) != wanted:
        raise InconsistentDataError(
            f"eigenvectors have shape {np.shape(eigenvectors)}, expected {wanted}",
            subject=name or structure.composition.reduced_formula,
            hint="Compute eigenvectors on the path of the bands",
        )
    displacements = _displacements(structure, band_structure.q_points, eigenvectors)
    return _crystal_block(structure, name) | {
        "qpoints": np.asarray(band_structure.q_points).tolist(),
        "distances": np.asarray(band_structure.distances_per_angstrom).tolist(),
        "line_breaks": _line_breaks(band_structure),
        "highsym_qpts": _special_points(band_structure),
        "eigenvalues": (band_structure.frequencies_thz * THZ_TO_INVERSE_CM).tolist(),
        "vectors": np.stack([displacements.real, displacements.imag], axis=-1).tolist(),
    }


def write_phononwebsite(
    path: str | os.PathLike[str],
    structure: Structure,
    band_structure: BandStructure,
    eigenvectors: NDArray[np.complex128],
    *,
    name: str = "",
) -> Path:
    """Write the viewer's JSON atomically; see `phononwebsite_document`."""
    document = phononwebsite_document(structure, band_structure, eigenvectors, name=name)
    return write_json(path, document)


def _crystal_block(structure: Structure, name: str) -> dict[str, object]:
    formula = structure.composition.reduced_formula
    repeat = max(1, min(3, round((ATOMS_SHOWN / len(structure)) ** (1 / 3))))
    return {
        "name": name or formula,
        "formula": formula,
        "natoms": len(structure),
        "lattice": structure.lattice.matrix.tolist(),
        "atom_types": [site.specie.symbol for site in structure],
        "atom_numbers": [int(number) for number in structure.atomic_numbers],
        "atom_pos_car": structure.cart_coords.tolist(),
        "atom_pos_red": structure.frac_coords.tolist(),
        "repetitions": [repeat, repeat, repeat],
    }


def _displacements(
    structure: Structure, q_points: FloatArray, eigenvectors: NDArray[np.complex128]
) -> NDArray[np.complex128]:
    """Displacements u = e exp(2 pi i q.r) / sqrt(m) of unit length in every mode.

    The viewer adds the phase of the lattice vector only, so the phase of the site's
    position must be in the vector.
    """
    masses_amu = np.array([float(site.specie.atomic_mass) for site in structure])
    phases = np.exp(2j * np.pi * np.asarray(q_points) @ structure.frac_coords.T)
    factors = phases / np.sqrt(masses_amu)
    vectors = np.asarray(eigenvectors, dtype=np.complex128) * factors[:, None, :, None]
    norms = np.linalg.norm(vectors, axis=(-2, -1), keepdims=True)
    return np.asarray(vectors / norms, dtype=np.complex128)


def _line_breaks(bands: BandStructure) -> list[list[int]]:
    """Half-open ranges of q points between jumps of the path.

    Segments that share their end point stay one line.
    """
    starts = [0, *(start for start in bands.segment_starts if start and _jumps(bands, start))]
    return [[first, last] for first, last in zip(starts, [*starts[1:], len(bands.q_points)])]  # noqa: B905  # equal by construction


def _jumps(bands: BandStructure, start: int) -> bool:
    return not np.allclose(bands.q_points[start], bands.q_points[start - 1], atol=1e-8)


def _special_points(bands: BandStructure) -> list[list[object]]:
    """Index and name of every special point; the two names at a jump share one place."""
    named = dict(bands.labels)
    for start in bands.segment_starts:
        if start and start in named and start - 1 in named:
            before, after = named[start - 1], named.pop(start)
            named[start - 1] = before if before == after else f"{before}|{after}"
    return [[index, named[index]] for index in sorted(named)]
