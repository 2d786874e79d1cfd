from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from random_cells import MATRICES, real_cells, some_cells, undisplaced, with_potential

from screening.errors import SettingError
from screening.gaussian_process.fit import basis_for, fit_force_constants
from screening.gaussian_process.posterior import posterior_of
from screening.gaussian_process.prior import Locality
from screening.gaussian_process.propagation import (
    first_order_std,
    left_out_ratio,
    propagate,
    sample_interval,
    second_order_functional,
)
from screening.gaussian_process.property_gradient import property_gradient
from screening.gaussian_process.settings import GaussianProcessSettings
from screening.harmonic import harmonic_from_force_constants, mesh_frequencies
from screening.phonons import PhononSettings
from screening.quantities import Quantity
from screening.settings import ScreeningSettings
from screening.thermodynamics import ThermodynamicsSettings, thermodynamics

SETTINGS = ScreeningSettings(
    relaxation=None,
    phonons=PhononSettings(mesh_length_angstrom=20.0),
    thermodynamics=ThermodynamicsSettings((0.0, 100.0, 300.0)),
)
QUANTITIES = (
    "free_energy_300k_mev_per_atom",
    "entropy_300k_mev_per_k_per_atom",
    "heat_capacity_100k_mev_per_k_per_atom",
    "lowest_frequency_thz",
)


@pytest.fixture(scope="module")
def fit():
    return fit_force_constants(real_cells("NaCl", [0]), GaussianProcessSettings(max_order=2))


@pytest.fixture(scope="module")
def propagated(fit):
    return propagate(fit, SETTINGS, n_samples=200, seed=1)


def test_the_mean_is_that_of_its_force_constants(fit, propagated) -> None:
    harmonic = harmonic_from_force_constants(fit.force_constants)
    mesh = mesh_frequencies(harmonic, 20.0)
    expected = thermodynamics(
        mesh.frequencies_thz, mesh.weights, 2, SETTINGS.thermodynamics, is_gamma=mesh.is_gamma
    )
    found = propagated.thermodynamics
    for name in ("free_energy_mev_per_atom", "entropy_mev_per_k_per_atom"):
        assert np.allclose(getattr(found, name), getattr(expected, name), rtol=1e-7, atol=1e-9)
    assert propagated.mesh.mesh == mesh.mesh


@pytest.mark.parametrize("name", QUANTITIES)
def test_draws_spread_as_the_gradient_says(fit, propagated, name) -> None:
    quantity = Quantity.parse(name)
    samples = propagated.samples_of(quantity)
    expected = first_order_std(fit, propagated.response, quantity, SETTINGS.thermodynamics)
    assert len(samples) == propagated.n_samples == 200
    # Wilson and Hilferty: the standard deviation of 200 normal draws is known to 5 %
    assert np.std(samples, ddof=1) == pytest.approx(expected, rel=0.2)
    assert abs(samples.mean() - propagated.value_of(quantity)) < 6.0 * expected / np.sqrt(200)


def test_frequencies_spread_as_the_first_order_says(propagated) -> None:
    clear = propagated.mesh.frequencies_thz > 0.5
    samples = propagated.sampled_frequencies_thz.std(axis=0)
    ratio = samples[clear] / propagated.frequency_std_thz[clear]
    assert np.abs(ratio - 1.0).max() < 0.25


def test_the_spread_is_that_of_a_committee(propagated) -> None:
    spread = propagated.spread
    assert spread.n_members == 200
    for name, quantity in (
        ("free_energy_std_mev_per_atom", "free_energy_300k_mev_per_atom"),
        ("entropy_std_mev_per_k_per_atom", "entropy_300k_mev_per_k_per_atom"),
    ):
        samples = propagated.samples_of(Quantity.parse(quantity))
        assert getattr(spread, name)[2] == pytest.approx(np.std(samples, ddof=1), rel=1e-9)
    lowest = propagated.samples_of(Quantity.parse("lowest_frequency_thz"))
    assert spread.lowest_frequency_std_thz == pytest.approx(np.std(lowest, ddof=1))


def test_intervals_hold_the_share_of_draws_that_they_promise(propagated) -> None:
    quantity = Quantity.parse("free_energy_300k_mev_per_atom")
    samples = propagated.samples_of(quantity)
    wide = 0.0
    for coverage in (0.5, 0.9):
        found = propagated.interval(quantity, coverage)
        inside = np.mean((samples > found.lower) & (samples < found.upper))
        assert inside == pytest.approx(coverage, abs=0.1)
        assert found.half_width > wide
        wide = found.half_width


def test_few_draws_widen_the_interval() -> None:
    """Of many sets of few draws, the interval holds the next draw as often as promised."""
    draws = np.random.default_rng(0).standard_normal((8, 20000))
    lower, upper = sample_interval(draws[:4].mean(axis=0), draws[:4], 0.9)
    exact = sample_interval(np.zeros(20000), draws[:4], 0.9)
    assert np.mean((draws[7] > exact[0]) & (draws[7] < exact[1])) == pytest.approx(0.9, abs=0.01)
    assert np.all(upper > lower)


def test_the_first_order_is_widened_as_the_draws_are(fit, propagated) -> None:
    quantity = Quantity.parse("free_energy_300k_mev_per_atom")
    response = propagated.response
    functional = second_order_functional(fit, property_gradient(response, quantity)[None])
    bare = np.sqrt(fit.posterior.force_covariance(functional, functional)[0, 0])
    assert first_order_std(fit, response, quantity) == pytest.approx(
        max(1.0, left_out_ratio(fit)) * bare, rel=1e-12
    )


def test_draws_follow_the_seed(fit) -> None:
    first, again, other = (propagate(fit, SETTINGS, 2, seed) for seed in (0, 0, 1))
    assert np.array_equal(first.sampled_frequencies_thz, again.sampled_frequencies_thz)
    assert not np.allclose(first.sampled_frequencies_thz, other.sampled_frequencies_thz)


@pytest.mark.parametrize(
    ("name", "n_cells"), [("wurtzite", 3), ("rocksalt", 4)], ids=["rows as given", "rows reduced"]
)
def test_left_out_cells_are_those_of_fits_without_them(
    crystals, pair_potential, name, n_cells
) -> None:
    cell = undisplaced(crystals[name], MATRICES[name])
    cells = with_potential(cell, pair_potential, n_cells)
    fit = fit_force_constants(cells, GaussianProcessSettings())
    seen = fit.posterior.observations
    assert (seen.n_hidden_rows > 0) == (name == "rocksalt")
    total = 0.0
    for left in range(n_cells):
        kept = [k for k in range(n_cells) if k != left]
        other = _refitted(fit, kept)
        moves = cells.displacements_angstrom[[left]]
        designs = fit.designs(moves)
        noise = fit.hyperparameters.noise_variance
        spread = other.force_covariance(designs, designs) + noise * np.eye(3 * cells.n_atoms)
        known = sum(one @ values for one, values in zip(designs, other.amplitudes(), strict=True))
        residual = cells.residual_forces_ev_per_angstrom
        error = (cells.forces_ev_per_angstrom[left] - residual).ravel() - known
        total += error @ np.linalg.solve(spread, error)
    expected = np.sqrt(total / cells.forces_ev_per_angstrom.size)
    assert left_out_ratio(fit) == pytest.approx(expected, rel=1e-4)


def _refitted(fit, kept):
    """Condition the same prior on some cells."""
    cells = some_cells(fit.cells, kept)
    designs = fit.designs(cells.displacements_angstrom)
    forces = cells.forces_ev_per_angstrom - cells.residual_forces_ev_per_angstrom
    seen = replace(
        fit.posterior.observations,
        designs=designs,
        forces_ev_per_angstrom=forces.ravel(),
        means=np.zeros((0, forces.size)),
        n_hidden_rows=0,
    )
    locality = Locality(fit.settings.decay, fit.basis.nearest_angstrom)
    return posterior_of(seen, locality, fit.hyperparameters, fit.posterior.mean)


def test_one_draw_has_no_spread(fit) -> None:
    with pytest.raises(SettingError, match="n_samples"):
        propagate(fit, SETTINGS, n_samples=1)


def test_questions_without_an_answer_are_refused(propagated) -> None:
    with pytest.raises(SettingError, match="two crystals"):
        propagated.value_of(Quantity.parse("relative_free_energy_300k_mev_per_atom"))
    with pytest.raises(SettingError, match="coverage"):
        propagated.interval(Quantity.parse("lowest_frequency_thz"), 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["NaCl", "MgO"])
def test_frequencies_lie_within_two_standard_deviations(name) -> None:
    """Mesh frequencies are correlated: what counts is the mean over all draws and numbers."""
    settings = GaussianProcessSettings()
    basis = basis_for(real_cells(name, [0]), settings)
    reference = fit_force_constants(real_cells(name, range(60, 100)), settings, basis=basis)
    truth = reference.posterior.amplitudes()
    generator = np.random.default_rng(1)
    within = []
    for n_cells in (1, 2, 3, 5, 8):
        for _ in range(5):
            chosen = generator.choice(60, n_cells, replace=False)
            fit = fit_force_constants(real_cells(name, chosen), settings, basis=basis)
            result = propagate(fit, SETTINGS, n_samples=2)
            place = [one.order for one in basis.orders].index(2)
            moved = truth[place] - fit.posterior.amplitudes()[place]
            exact = result.response.frequencies_thz(moved[:, None])[0]
            optical = ~result.mesh.is_gamma
            error = np.abs(result.mesh.frequencies_thz - exact)[optical]
            inside = np.mean(error < 2.0 * result.frequency_std_thz[optical], axis=1)
            within.append(
                result.mesh.weights[optical] @ inside / result.mesh.weights[optical].sum()
            )
    assert 0.80 <= np.mean(within) <= 0.99
