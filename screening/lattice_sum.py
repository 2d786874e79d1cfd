"""Dynamical matrices of many wave vectors at once, as one product of matrices.

phonopy sums over all pairs of atoms for each wave vector. Here the pairs are gathered by the
lattice vector between their cells: a few dozen, so that all wave vectors take one product of
their phases with a table, several times faster and equal to rounding errors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from phonopy.harmonic.dynamical_matrix import DynamicalMatrix

from screening.prediction import FloatArray

__all__ = ["LatticeSum", "lattice_sum"]


@dataclass(frozen=True, eq=False)
class LatticeSum:
    """Mass-weighted force constants by the lattice vector between the cells of two atoms.

    Attributes
    ----------
    translations
        Lattice vectors in primitive vectors, integers, shape (translation, 3).
    table
        In eV/Å²/amu, shape (translation, row and column of the dynamical matrix).
    """

    translations: NDArray[np.int64]
    table: FloatArray

    def dynamical_matrices(self, q_points: FloatArray) -> NDArray[np.complex128]:
        """Dynamical matrices in eV/Å²/amu, shape (q, 3 site, 3 site).

        Their phases are those of the cells and not of the atoms, which changes eigenvectors
        by a phase for each site and nothing else.

        Parameters
        ----------
        q_points
            Fractions of the primitive reciprocal lattice, shape (q, 3).
        """
        angles = 2.0 * np.pi * np.asarray(q_points) @ self.translations.T
        size = round(np.sqrt(self.table.shape[1]))
        cosines = (np.cos(angles) @ self.table).reshape(-1, size, size)
        sines = (np.sin(angles) @ self.table).reshape(-1, size, size)
        matrices = np.empty(cosines.shape, dtype=np.complex128)
        matrices.real = 0.5 * (cosines + cosines.swapaxes(1, 2))
        matrices.imag = 0.5 * (sines - sines.swapaxes(1, 2))
        return matrices


def lattice_sum(dynamical_matrix: DynamicalMatrix) -> LatticeSum:
    """Gather the force constants of a crystal without Born charges.

    Parameters
    ----------
    dynamical_matrix
        phonopy's, which knows the shortest vectors between the images of two atoms; where
        several are equally short each takes its share of the force constant.
    """
    primitive = dynamical_matrix.primitive
    masses, positions = primitive.masses, primitive.scaled_positions
    vectors, multiplicity = primitive.get_smallest_vectors()
    site_of_atom = np.array([primitive.p2p_map[i] for i in primitive.s2p_map], dtype=np.int64)
    counts, starts = multiplicity[..., 0].ravel(), multiplicity[..., 1].ravel()
    pairs = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(pairs)) - np.repeat(np.cumsum(counts) - counts, counts)
    atoms, rows = np.divmod(pairs, len(primitive))
    columns = site_of_atom[atoms]
    between = vectors[starts[pairs] + within] - positions[columns] + positions[rows]
    translations, index = np.unique(np.rint(between).astype(np.int64), axis=0, return_inverse=True)
    weights = 1.0 / (counts[pairs] * np.sqrt(masses[rows] * masses[columns]))
    blocks = dynamical_matrix.force_constants[rows, atoms] * weights[:, None, None]
    n_sites = len(primitive)
    table = np.zeros((len(translations), n_sites, n_sites, 3, 3))
    np.add.at(table, (index.ravel(), rows, columns), blocks)
    ordered = table.transpose(0, 1, 3, 2, 4).reshape(len(translations), -1)
    return LatticeSum(translations, np.ascontiguousarray(ordered))
