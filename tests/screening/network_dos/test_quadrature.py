"""Where in its bin the weight of a histogram lies."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from screening.errors import SettingError
from screening.network_dos.grid import PAPER_GRID, WIDE_GRID
from screening.network_dos.quadrature import bin_rule, thermal_kernels
from screening.thermodynamics import ThermodynamicsSettings, thermodynamics
from screening.units import BOLTZMANN_MEV_PER_K, KELVIN_PER_THZ

ZERO = PAPER_GRID.zero


@pytest.mark.parametrize("rising", [0, 1, 2, 5])
def test_every_bin_in_use_has_all_of_its_weight_inside(rising: int) -> None:
    rule = bin_rule(PAPER_GRID, rising)
    np.testing.assert_allclose(rule.mean(np.ones(len(rule.bins))), rule.used, atol=1e-14)
    assert not rule.used[:ZERO].any()
    assert rule.used[ZERO] == (rising > 0)
    assert rule.used[ZERO + 1 :].all()
    edges = PAPER_GRID.edges_thz
    assert np.all(rule.frequencies_thz > np.maximum(edges[rule.bins], 0.0))
    assert np.all(rule.frequencies_thz < edges[rule.bins + 1])


def test_flat_bins_are_their_centres() -> None:
    rule = bin_rule(PAPER_GRID, 2)
    np.testing.assert_allclose(rule.moment(1)[ZERO + 2 :], PAPER_GRID.centres_thz[ZERO + 2 :])


def test_moments_of_rising_bins_are_exact() -> None:
    rule, edges = bin_rule(PAPER_GRID, 2), PAPER_GRID.edges_thz
    for one in (ZERO, ZERO + 1):
        low, high = max(edges[one], 0.0), edges[one + 1]
        for power in (1, 2, 4):
            above, below = (high ** (k + 1) - low ** (k + 1) for k in (power + 2, 2))
            exact = (above / (power + 3)) / (below / 3)
            assert rule.moment(power)[one] == pytest.approx(exact, rel=1e-13)


def test_overlaps_are_integrals_of_squared_densities() -> None:
    rule, edges = bin_rule(PAPER_GRID, 2), PAPER_GRID.edges_thz
    for one in (ZERO, ZERO + 1, ZERO + 2, ZERO + 30):
        low, high = max(edges[one], 0.0), edges[one + 1]
        power = 2 if one < ZERO + 2 else 0
        norm = (high ** (power + 1) - low ** (power + 1)) / (power + 1)
        exact = quad(lambda x, k=power, n=norm: x**2 * (x**k / n) ** 2, low, high)[0]
        assert rule.squared_overlaps_thz[one] == pytest.approx(exact, rel=1e-10)


def test_kernels_are_the_thermodynamics_of_single_modes() -> None:
    kelvin = (0.0, 1.0, 50.0, 300.0, 1000.0)
    kernels = thermal_kernels(WIDE_GRID, 2, kelvin)
    settings = ThermodynamicsSettings(temperatures_k=kelvin, cutoff_thz=1e-6)
    for step in (2, 5, 40, 150):
        centre = np.full((1, 3), WIDE_GRID.centres_thz[WIDE_GRID.zero + step])
        exact = thermodynamics(centre, np.ones(1), 1, settings, is_gamma=np.array([False]))
        for ours, theirs in (
            (kernels.free_energy_mev, exact.free_energy_mev_per_atom),
            (kernels.entropy_mev_per_k, exact.entropy_mev_per_k_per_atom),
            (kernels.heat_capacity_mev_per_k, exact.heat_capacity_mev_per_k_per_atom),
        ):
            np.testing.assert_allclose(
                3.0 * ours[WIDE_GRID.zero + step], theirs, rtol=1e-11, atol=1e-25
            )


def test_entropy_of_the_bin_at_zero_is_the_exact_integral() -> None:
    """Classically ln x of a density 3 x^2 has the mean -1/3, singular though it is at zero."""
    kernels = thermal_kernels(PAPER_GRID, 1, (5000.0,))
    high = PAPER_GRID.edges_thz[ZERO + 1]
    x = high * KELVIN_PER_THZ / 5000.0
    exact = BOLTZMANN_MEV_PER_K * (1.0 - (np.log(x) - 1.0 / 3.0) + 0.6 * x**2 / 24.0)
    assert kernels.entropy_mev_per_k[ZERO, 0] == pytest.approx(exact, rel=1e-6)


def test_at_zero_kelvin_only_the_zero_point_energy_is_left() -> None:
    kernels = thermal_kernels(PAPER_GRID, 2, (0.0,))
    assert not kernels.entropy_mev_per_k.any()
    assert not kernels.heat_capacity_mev_per_k.any()
    np.testing.assert_array_equal(kernels.free_energy_mev[:, 0], kernels.zero_point_energy_mev)


def test_more_rising_bins_than_there_are_is_refused() -> None:
    with pytest.raises(SettingError, match="bins that rise"):
        bin_rule(PAPER_GRID, 66)
