from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from random_cells import MATRICES, some_cells, undisplaced, with_potential

from screening.gaussian_process.fit import fit_force_constants
from screening.gaussian_process.mode_response import degenerate_means, mode_response
from screening.gaussian_process.settings import GaussianProcessSettings
from screening.harmonic import (
    frequencies_at,
    harmonic_from_force_constants,
    mesh_frequencies,
    signed_frequencies_thz,
)

MESH_LENGTH_ANGSTROM = 20.0


def fitted(crystals, potential, name, *, polar):
    cells = with_potential(undisplaced(crystals[name], MATRICES[name]), potential, 2)
    if polar:
        signs = np.where(np.arange(len(cells.primitive)) < len(cells.primitive) // 2, 1.0, -1.0)
        cells = replace(
            cells,
            born_charges_e=0.3 * signs[:, None, None] * np.eye(3),
            dielectric_constant=3.0 * np.eye(3),
        )
    return fit_force_constants(cells, GaussianProcessSettings(max_order=2))


@pytest.fixture(scope="module", params=["wurtzite", "polar rocksalt", "shuffled wurtzite"])
def fit(request, crystals, pair_potential):
    name = request.param.split()[-1]
    found = fitted(crystals, pair_potential, name, polar="polar" in request.param)
    if "shuffled" not in request.param:
        return found
    cells = found.cells
    order = np.random.default_rng(1).permutation(cells.n_atoms)
    return fit_force_constants(
        replace(
            cells,
            supercell_scaled_positions=cells.supercell_scaled_positions[order],
            supercell_numbers=cells.supercell_numbers[order],
            displacements_angstrom=cells.displacements_angstrom[:, order],
            forces_ev_per_angstrom=cells.forces_ev_per_angstrom[:, order],
            residual_forces_ev_per_angstrom=cells.residual_forces_ev_per_angstrom[order],
        ),
        found.settings,
    )


@pytest.fixture(scope="module")
def response(fit):
    return mode_response(fit, MESH_LENGTH_ANGSTROM)


def place_of(fit):
    return [one.order for one in fit.basis.orders].index(2)


def test_frequencies_are_those_of_the_mean(fit, response) -> None:
    harmonic = harmonic_from_force_constants(fit.force_constants)
    expected = mesh_frequencies(harmonic, MESH_LENGTH_ANGSTROM)
    assert response.mesh.mesh == expected.mesh
    assert np.array_equal(response.mesh.q_points, expected.q_points)
    assert np.allclose(response.mesh.weights, expected.weights)
    assert np.allclose(response.squares, _squares(expected.frequencies_thz), atol=1e-9)


def test_frequencies_of_draws_are_those_of_their_force_constants(fit, response) -> None:
    """A dynamical matrix is linear in force constants, dipoles or not."""
    place = place_of(fit)
    drawn = fit.posterior.sample(2, 0)
    mean = fit.posterior.amplitudes()[place]
    found = response.frequencies_thz(drawn[place] - mean[:, None])
    for sample in range(2):
        constants = fit.expanded(tuple(one[:, sample] for one in drawn))
        expected = frequencies_at(harmonic_from_force_constants(constants), response.mesh.q_points)
        assert np.allclose(_squares(found[sample]), _squares(expected), atol=1e-9)
    assert not np.allclose(found[0], found[1], atol=1e-4)


def test_derivatives_of_squares_are_those_of_small_changes(fit, response) -> None:
    basis = fit.basis.order(2)
    direction = basis.allowed(np.random.default_rng(3).standard_normal(basis.n_columns))
    step = 1e-4
    up, down = response.frequencies_thz(step * np.column_stack([direction, -direction]))
    found = response.square_derivatives() @ direction
    expected = (_squares(up) - _squares(down)) / (2.0 * step)
    assert np.allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_the_gradient_of_a_sum_is_the_sum_of_derivatives(response) -> None:
    slopes = degenerate_means(
        np.random.default_rng(2).standard_normal(response.squares.shape), response.squares
    )
    expected = np.einsum("qb,qbc->c", slopes, response.square_derivatives())
    assert np.allclose(response.gradient(slopes), expected, atol=1e-10 * np.abs(expected).max())


def test_standard_deviations_are_those_of_draws(fit, response) -> None:
    generator = np.random.default_rng(4)
    basis = fit.basis.order(2)
    drawn = basis.allowed(1e-3 * generator.standard_normal((basis.n_columns, 400)))
    spread = response.frequency_std_thz(np.cov(drawn))
    samples = response.frequencies_thz(drawn - drawn.mean(axis=1, keepdims=True))
    clear = np.abs(response.mesh.frequencies_thz) > 20.0 * spread.max()
    assert clear.mean() > 0.5
    assert np.allclose(
        samples.std(axis=0)[clear], spread[clear], rtol=0.1, atol=1e-3 * spread.max()
    )
    assert np.all(np.isfinite(spread))
    assert np.all(spread >= 0.0)


def test_degenerate_modes_share_what_they_have() -> None:
    squares = np.array([[0.0, 1.0, 1.0 + 1e-9, 2.0]])
    found = degenerate_means(np.array([[1.0, 2.0, 4.0, 5.0]]), squares)
    assert found.tolist() == [[1.0, 3.0, 3.0, 5.0]]


def test_certain_amplitudes_give_certain_frequencies(fit, response) -> None:
    n_columns = fit.basis.order(2).n_columns
    assert not response.frequency_std_thz(np.zeros((n_columns, n_columns))).any()
    assert some_cells(fit.cells, [0]).n_cells == 1


def _squares(frequencies_thz):
    scale = signed_frequencies_thz(np.ones(1))[0]
    return np.sign(frequencies_thz) * (frequencies_thz / scale) ** 2
