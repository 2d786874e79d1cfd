"""The same crystal described otherwise: turned, listed otherwise, in another cell."""

from __future__ import annotations

import numpy as np
from pymatgen.core import Lattice, Structure
from scipy.spatial.transform import Rotation

SHEARED = np.array([[1, 1, 0], [0, 1, -1], [0, 0, 1]])
"""Vectors of another cell of the same size."""


def turn(seed: int) -> np.ndarray:
    """Give a rotation that is also a reflection for odd seeds."""
    return Rotation.random(rng=np.random.default_rng(seed)).as_matrix() * (-1) ** seed


def rotated(structure: Structure, rotation: np.ndarray) -> Structure:
    return Structure(
        Lattice(structure.lattice.matrix @ rotation.T), structure.species, structure.frac_coords
    )


def reordered(structure: Structure, order: np.ndarray) -> Structure:
    return Structure.from_sites([structure[int(site)] for site in order])


def shifted_by_lattice_vectors(structure: Structure, seed: int) -> Structure:
    """Move single atoms by lattice vectors: nothing changes but the list."""
    shifts = np.random.default_rng(seed).integers(-2, 3, (len(structure), 3))
    return Structure(structure.lattice, structure.species, structure.frac_coords + shifts)


def repeated(structure: Structure, matrix: np.ndarray) -> Structure:
    """Repeat in a supercell whose atoms keep the order of the sites, copies side by side."""
    return structure.make_supercell(matrix, in_place=False, to_unit_cell=False)


def folded(values: np.ndarray, n_sites: int) -> np.ndarray:
    """Sum (atom, atom, ...) of a supercell over the copies of the second atom."""
    copies = len(values) // n_sites
    return values[::copies].reshape(n_sites, n_sites, copies, *values.shape[2:]).sum(axis=2)


def turned_tensors(tensors: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    return rotation @ tensors @ rotation.T
