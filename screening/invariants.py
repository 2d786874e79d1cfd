"""What the space group of a crystal leaves free: invariant strains and displacements."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from screening.errors import SymmetryLostError
from screening.prediction import FloatArray
from screening.symmetry_finder import symmetry_finder

__all__ = ["InvariantSpace", "invariant_space"]

_INVARIANT = 0.5  # eigenvalues of a projector are 0 and 1


@dataclass(frozen=True)
class InvariantSpace:
    """What the space group leaves free.

    ``strains`` are symmetric tensors, shape (strain, 3, 3), and ``shifts`` displacements in
    Å, shape (shift, atom, 3); both are orthonormal and invariant. ``cell`` and ``fractions``
    are the structure itself with the noise of its coordinates averaged out.
    """

    number: int
    n_operations: int
    cell: FloatArray
    fractions: FloatArray
    strains: FloatArray
    shifts: FloatArray


def invariant_space(structure: Structure, symprec_angstrom: float) -> InvariantSpace:
    """Find the space group and what it leaves invariant.

    Parameters
    ----------
    structure
        An ordered crystal.
    symprec_angstrom
        Tolerance of the symmetry search in Å.

    Raises
    ------
    SymmetryLostError
        If no symmetry is found, not even translations.

    Examples
    --------
    >>> from pymatgen.core import Lattice
    >>> wurtzite = Structure.from_spacegroup(
    ...     "P6_3mc", Lattice.hexagonal(3.25, 5.2), ["Zn", "O"],
    ...     [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.38]])
    >>> space = invariant_space(wurtzite, 1e-3)
    >>> space.strains.shape, space.shifts.shape
    ((2, 3, 3), (1, 4, 3))
    """
    cell = np.array(structure.lattice.matrix)
    fractions = np.array(structure.frac_coords)
    numbers = [site.specie.Z for site in structure]
    try:
        found = symmetry_finder().get_symmetry_dataset(
            (cell, fractions, numbers), symprec=symprec_angstrom
        )
    except Exception:  # noqa: BLE001 - older releases return None, newer ones raise their own
        found = None
    if found is None:
        raise SymmetryLostError(
            f"no space group found within {symprec_angstrom:g} Å",
            subject=structure.composition.reduced_formula,
        )
    maps = _atom_maps(cell, fractions, found.rotations, found.translations)
    fractions = _averaged_fractions(fractions, found.rotations, found.translations, maps)
    cell = _averaged_cell(cell, found.rotations)
    turns = np.array([cell.T @ rotation @ np.linalg.inv(cell.T) for rotation in found.rotations])
    return InvariantSpace(
        number=int(found.number),
        n_operations=len(turns),
        cell=cell,
        fractions=fractions,
        strains=_invariant_strains(turns),
        shifts=_invariant_shifts(turns, maps),
    )


def _averaged_cell(cell: FloatArray, rotations: NDArray[np.int32]) -> FloatArray:
    """Lattice with the metric that all rotations keep, in the orientation it has."""
    metric = np.einsum("oki,kl,olj->ij", rotations, cell @ cell.T, rotations) / len(rotations)
    inverse = np.linalg.inv(cell)
    values, vectors = np.linalg.eigh(inverse @ metric @ inverse.T)
    return np.asarray(cell @ (vectors * np.sqrt(values)) @ vectors.T)


def _averaged_fractions(
    fractions: FloatArray,
    rotations: NDArray[np.int32],
    translations: FloatArray,
    maps: NDArray[np.int64],
) -> FloatArray:
    """Positions averaged over all operations."""
    images = np.einsum("oij,aj->oai", rotations, fractions) + translations[:, None, :]
    miss = fractions[maps] - images
    miss -= np.rint(miss)
    back = np.linalg.inv(rotations.astype(np.float64))
    return np.asarray(fractions + np.einsum("oij,oaj->oai", back, miss).mean(axis=0))


def _atom_maps(
    cell: FloatArray,
    fractions: FloatArray,
    rotations: NDArray[np.int32],
    translations: FloatArray,
) -> NDArray[np.int64]:
    """Index of the image of each atom under each operation, shape (operation, atom)."""
    images = np.einsum("oij,aj->oai", rotations, fractions) + translations[:, None, :]
    apart = images[:, :, None, :] - fractions[None, None, :, :]
    apart -= np.rint(apart)
    distances = np.linalg.norm(apart @ cell, axis=-1)
    return np.asarray(distances.argmin(axis=-1), dtype=np.int64)


def _invariant_strains(turns: FloatArray) -> FloatArray:
    """Orthonormal symmetric tensors that no rotation changes, shape (strain, 3, 3)."""
    basis = np.zeros((6, 3, 3))
    for index, (i, j) in enumerate(((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))):
        basis[index, i, j] = basis[index, j, i] = 1.0 if i == j else np.sqrt(0.5)
    turned = np.einsum("oij,sjk,olk->sil", turns, basis, turns) / len(turns)
    projector = np.einsum("sij,tij->st", basis, turned)
    return np.asarray(np.einsum("sv,sij->vij", _invariant_vectors(projector), basis))


def _invariant_shifts(turns: FloatArray, maps: NDArray[np.int64]) -> FloatArray:
    """Orthonormal displacements that no operation changes, shape (shift, atom, 3)."""
    n_atoms = maps.shape[1]
    projector = np.zeros((n_atoms, 3, n_atoms, 3))
    atoms = np.arange(n_atoms)
    for turn, image in zip(turns, maps, strict=True):
        projector[image, :, atoms, :] += turn / len(turns)
    # A common displacement moves nothing: polar crystals have one too many.
    projector -= np.einsum("ij,ab->iajb", np.full((n_atoms, n_atoms), 1 / n_atoms), turns.mean(0))
    square = projector.reshape(3 * n_atoms, 3 * n_atoms)
    return np.asarray(_invariant_vectors(square).T.reshape(-1, n_atoms, 3))


def _invariant_vectors(projector: FloatArray) -> FloatArray:
    """Columns that a projector leaves alone."""
    values, vectors = np.linalg.eigh((projector + projector.T) / 2)
    return np.asarray(vectors[:, values > _INVARIANT])
