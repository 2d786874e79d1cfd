"""How the modes of a mesh respond to the amplitudes of second-order force constants.

A dynamical matrix is linear in the force constants, with or without Born charges, for the
dipole-dipole part that depends on these alone is a constant. So the mesh is solved once, and
what amplitudes change follows from one table:

    D(q) = D_mean(q) + sum over columns c of a_c D_c(q),   d(omega^2) = e^dagger dD e.

References
----------
M. Born and K. Huang, Dynamical Theory of Crystal Lattices (Clarendon Press, 1954), section 24.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from phonopy.harmonic.dynamical_matrix import DynamicalMatrix, DynamicalMatrixNAC
from phonopy.structure.cells import Primitive

from screening.gaussian_process.fit import GaussianProcessFit
from screening.harmonic import (
    Harmonic,
    MeshFrequencies,
    harmonic_from_force_constants,
    irreducible_mesh,
    signed_frequencies_thz,
)
from screening.lattice_sum import LatticeSum, lattice_sum
from screening.prediction import FloatArray, frozen_array
from screening.units import SQRT_EV_PER_ANGSTROM2_AMU_TO_THZ

__all__ = ["ModeResponse", "degenerate_means", "mode_response"]

ComplexArray = NDArray[np.complex128]

_HARMONIC = 2
_DEGENERATE_RATIO = 1e-6  # of the largest eigenvalue
_BLOCK_NUMBERS = 2**24  # of float64: 128 MiB at once


@dataclass(frozen=True, eq=False)
class ModeResponse:
    """The modes of a mesh at the posterior mean, and what amplitudes change.

    Attributes
    ----------
    harmonic
        Force constants of the posterior mean.
    mesh
        Frequencies of the posterior mean with q points and weights.
    matrices
        Its dynamical matrices in eV/Å²/amu, shape (q, 3 site, 3 site), with the phases of cells.
    squares, vectors
        Their eigenvalues in eV/Å²/amu, shape (q, branch), and eigenvectors, shape
        (q, 3 site, branch).
    translations
        Lattice vectors in primitive vectors, shape (translation, 3).
    tables
        What a unit amplitude of each column adds to the force constants by lattice vector,
        mass-weighted, in eV/Å²/amu, shape (translation and matrix element, column).
    """

    harmonic: Harmonic
    mesh: MeshFrequencies
    matrices: ComplexArray
    squares: FloatArray
    vectors: ComplexArray
    translations: NDArray[np.int64]
    tables: FloatArray

    def frequencies_thz(self, changes: FloatArray) -> FloatArray:
        """Solve the mesh for amplitudes that differ from the mean.

        Parameters
        ----------
        changes
            Differences of second-order amplitudes, shape (column, sample).

        Returns
        -------
        ndarray
            In THz, imaginary ones negative, ascending, shape (sample, q, branch).
        """
        found = np.empty((changes.shape[1], *self.squares.shape))
        for sample, change in enumerate(changes.T):
            table = (self.tables @ change).reshape(len(self.translations), -1)
            added = LatticeSum(self.translations, table).dynamical_matrices(self.mesh.q_points)
            found[sample] = signed_frequencies_thz(
                np.asarray(np.linalg.eigvalsh(self.matrices + added), dtype=np.float64)
            )
        return found

    def gradient(self, slopes: FloatArray) -> FloatArray:
        """Differentiate a scalar by the second-order amplitudes.

        Parameters
        ----------
        slopes
            Derivatives of the scalar by the squared frequencies (eigenvalues, in
            eV/Å²/amu), shape (q, branch). Where modes are degenerate by symmetry they must
            be equal, for the sum over such modes has a derivative and one of them has none.

        Returns
        -------
        ndarray
            Shape (column,).
        """
        weighted = self.vectors * slopes[:, None, :]
        density = weighted @ self.vectors.conj().swapaxes(1, 2)  # (q, row, column) of e e†
        phases = np.exp(2j * np.pi * (self.mesh.q_points @ self.translations.T))
        # trace of the density with D_c(q): element (row, column) of D meets (column, row) of it
        moved = density.swapaxes(1, 2).reshape(len(density), -1)
        return np.asarray((phases.T @ moved).real.ravel() @ self.tables)

    def square_derivatives(self) -> FloatArray:
        """Differentiate every squared frequency by the amplitudes.

        Modes that are degenerate get the mean over their space, which is exact for what
        symmetry makes degenerate: amplitudes keep the symmetry.

        Returns
        -------
        ndarray
            In eV/Å²/amu, shape (q, branch, column).
        """
        n_q, n_branches = self.squares.shape
        found = np.empty((n_q, n_branches, self.tables.shape[1]))
        step = max(1, _BLOCK_NUMBERS // (self.tables.shape[0] * n_branches))
        for start in range(0, n_q, step):
            some = slice(start, start + step)
            phases = np.exp(2j * np.pi * (self.mesh.q_points[some] @ self.translations.T))
            vectors = self.vectors[some]
            products = np.einsum("qrb,qcb->qbrc", vectors.conj(), vectors, optimize=True)
            rows = np.einsum("qt,qbx->qbtx", phases, products.reshape(*products.shape[:2], -1)).real
            found[some] = rows.reshape(*products.shape[:2], -1) @ self.tables
        return degenerate_means(found, self.squares)

    def frequency_std_thz(self, covariance: FloatArray) -> FloatArray:
        """Posterior standard deviation of every frequency of the mesh, to first order.

        Parameters
        ----------
        covariance
            Of the second-order amplitudes, shape (column, column).

        Returns
        -------
        ndarray
            In THz, shape (q, branch). Near zero a frequency is the root of an uncertain
            square, where the first order overestimates without bound: there it is the
            frequency of one standard deviation of the square.
        """
        rows = self.square_derivatives()
        variances = np.einsum("qbc,cd,qbd->qb", rows, covariance, rows, optimize=True)
        spread = np.sqrt(np.maximum(variances, 0.0))
        roots = np.sqrt(np.maximum(np.abs(self.squares), spread))
        slopes = np.divide(0.5 * spread, roots, out=np.zeros_like(roots), where=roots > 0.0)
        small = np.abs(self.squares) < spread
        return np.asarray(
            SQRT_EV_PER_ANGSTROM2_AMU_TO_THZ * np.where(small, np.sqrt(spread), slopes)
        )


@dataclass(frozen=True, eq=False)
class _Gathered:
    """What `lattice_sum` reads of a dynamical matrix."""

    primitive: Primitive
    force_constants: FloatArray


def degenerate_means(values: FloatArray, squares: FloatArray) -> FloatArray:
    """Replace values of degenerate modes, shape (q, branch, ...), by their mean."""
    found = values.copy()
    gap = _DEGENERATE_RATIO * float(np.abs(squares).max())
    for q, row in enumerate(squares):
        for group in np.split(np.arange(len(row)), np.flatnonzero(np.diff(row) > gap) + 1):
            found[q, group] = values[q, group].mean(axis=0)
    return found


def mode_response(fit: GaussianProcessFit, mesh_length_angstrom: float) -> ModeResponse:
    """Solve the mesh of a fit's mean and prepare what its amplitudes change.

    Parameters
    ----------
    fit
        Force constants with their distribution.
    mesh_length_angstrom
        Length of the mesh in Å, as in `screening.harmonic.mesh_frequencies`.

    Raises
    ------
    InconsistentDataError
        If Born charges break the symmetry.
    """
    harmonic = harmonic_from_force_constants(fit.force_constants, fit.settings.symprec_angstrom)
    q_points, weights, mesh = irreducible_mesh(harmonic, mesh_length_angstrom)
    matrices = _cell_phases(harmonic, q_points)
    squares, vectors = np.linalg.eigh(matrices)
    translations, tables = _tables(fit, harmonic)
    frequencies = MeshFrequencies(
        frozen_array(signed_frequencies_thz(squares)),
        frozen_array(weights / weights.sum()),
        frozen_array(q_points),
        mesh,
    )
    return ModeResponse(harmonic, frequencies, matrices, squares, vectors, translations, tables)


def _cell_phases(harmonic: Harmonic, q_points: FloatArray) -> ComplexArray:
    """Dynamical matrices with the phases of cells; phonopy's have those of atoms."""
    matrices = harmonic.dynamical_matrices(q_points)
    if not isinstance(harmonic.dynamical_matrix, DynamicalMatrixNAC):
        return matrices
    positions = np.asarray(harmonic.dynamical_matrix.primitive.scaled_positions)
    phases = np.repeat(np.exp(2j * np.pi * (q_points @ positions.T)), 3, axis=1)
    return np.asarray(phases[:, :, None] * matrices * phases.conj()[:, None, :])


def _tables(fit: GaussianProcessFit, harmonic: Harmonic) -> tuple[NDArray[np.int64], FloatArray]:
    """Gather each column as `lattice_sum` gathers force constants."""
    primitive = harmonic.dynamical_matrix.primitive
    sites, atoms = _sources(fit, np.asarray(primitive.p2s_map))
    basis = fit.basis.order(_HARMONIC)
    gathered = []
    for one in np.eye(basis.n_columns):
        constants = fit.basis.expand(_HARMONIC, one)[sites, atoms]
        unit = _Gathered(primitive, constants)
        gathered.append(lattice_sum(cast("DynamicalMatrix", unit)))
    return gathered[0].translations, np.column_stack([one.table.ravel() for one in gathered])


def _sources(
    fit: GaussianProcessFit, rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where phonopy's compact rows come from, shapes (site, 1) and (site, atom)."""
    basis = fit.basis
    taken = [
        int(np.flatnonzero(basis.translations[:, start] == end)[0])
        for start, end in zip(basis.rows, rows, strict=True)
    ]
    return np.arange(basis.n_sites)[:, None], np.argsort(basis.translations[taken], axis=1)
