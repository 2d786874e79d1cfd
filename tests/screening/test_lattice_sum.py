from __future__ import annotations

import numpy as np
from phonopy.harmonic.dynamical_matrix import get_dynamical_matrices_at_qpoints

from screening.lattice_sum import lattice_sum
from screening.phonons import PhononSettings, compute_forces, harmonic_from_forces


def test_matrices_are_those_of_phonopy_but_for_the_phases_of_the_sites(crystal, pair_potential):
    matrix = np.diag([2, 2, 1])  # images at equal distance and at different ones
    data = compute_forces(crystal, pair_potential, PhononSettings(), matrix)
    harmonic = harmonic_from_forces(data)
    q_points = np.vstack([np.random.default_rng(3).uniform(-1, 1, (20, 3)), np.eye(3) / 2])
    found = lattice_sum(harmonic.dynamical_matrix).dynamical_matrices(q_points)
    expected = get_dynamical_matrices_at_qpoints(harmonic.dynamical_matrix, q_points)
    positions = harmonic.dynamical_matrix.primitive.scaled_positions
    phases = np.repeat(np.exp(2j * np.pi * q_points @ positions.T), 3, axis=1)
    turned = phases.conj()[:, :, None] * found * phases[:, None]
    np.testing.assert_allclose(turned, expected, atol=1e-12 * np.abs(expected).max())
    np.testing.assert_array_equal(found, found.conj().swapaxes(1, 2))
