from __future__ import annotations

import numpy as np
import pytest

from screening.linear_entropy.model_spectrum import (
    LEAST_WIDTH,
    model_spectrum,
    spectrum_thermodynamics,
)
from screening.linear_entropy.moments import FrequencyMoments
from screening.linear_entropy.thermal import thermal_prediction
from screening.thermodynamics import ThermodynamicsSettings, thermodynamics
from screening.units import BOLTZMANN_MEV_PER_K, KELVIN_PER_THZ

SETTINGS = ThermodynamicsSettings(temperatures_k=(0.0, 100.0, 300.0, 5000.0))


def moments_of(frequencies, weights):
    return float(weights @ np.log(frequencies)), float(np.sqrt(weights @ frequencies**2))


@pytest.mark.parametrize("exponent", [0.5, 1.0, 3.0, 12.0])
def test_both_moments_of_a_power_law_come_back(exponent):
    mean_log, root = np.log(9.0) - 1.0 / exponent, 9.0 * np.sqrt(exponent / (exponent + 2.0))
    found = model_spectrum(mean_log, root)
    assert moments_of(found.frequencies_thz, found.weights) == pytest.approx((mean_log, root))
    assert found.exponent == pytest.approx(exponent, rel=2e-3)
    assert not found.is_limited


def test_debye_s_heat_capacity_comes_back():
    found = model_spectrum(np.log(8.0) - 1.0 / 3.0, 8.0 * np.sqrt(0.6))
    x = np.linspace(1e-9, 1.0, 200_001)
    for kelvin, index in ((100.0, 1), (300.0, 2)):
        y = 8.0 * x * KELVIN_PER_THZ / kelvin
        einstein = 3.0 * x**2 * 3.0 * y**2 * np.exp(y) / np.expm1(y) ** 2
        exact = BOLTZMANN_MEV_PER_K * np.trapezoid(einstein, x)
        capacity = spectrum_thermodynamics(found, SETTINGS).heat_capacity_mev_per_k_per_atom
        assert capacity[index] == pytest.approx(exact, rel=1e-4)


def test_classical_limit_and_first_quantum_correction_are_exact():
    random = np.random.default_rng(2)
    exact = random.uniform(1.0, 12.0, 300)
    found = model_spectrum(*moments_of(exact, np.full(300, 1 / 300)))
    thermo = spectrum_thermodynamics(found, SETTINGS)
    x = exact * KELVIN_PER_THZ / 5000.0
    entropy = 3.0 * BOLTZMANN_MEV_PER_K * np.mean(1.0 - np.log(x) + x**2 / 24.0)
    assert thermo.entropy_mev_per_k_per_atom[-1] == pytest.approx(entropy, abs=1e-8)
    capacity = 3.0 * BOLTZMANN_MEV_PER_K * np.mean(1.0 - x**2 / 12.0)
    assert thermo.heat_capacity_mev_per_k_per_atom[-1] == pytest.approx(capacity, abs=1e-7)


def test_the_sums_are_those_of_all_other_methods():
    found = model_spectrum(1.2, 4.5)
    modes = np.repeat(found.frequencies_thz[:, None], 3, axis=1)
    nowhere = np.zeros(len(modes), dtype=bool)
    settings = ThermodynamicsSettings(temperatures_k=(0.0, 0.5, 77.0, 3000.0), cutoff_thz=1e-9)
    exact = thermodynamics(modes, found.weights, 1, settings, is_gamma=nowhere)
    ours = spectrum_thermodynamics(found, settings)
    for name in (
        "free_energy_mev_per_atom",
        "entropy_mev_per_k_per_atom",
        "heat_capacity_mev_per_k_per_atom",
        "internal_energy_mev_per_atom",
    ):
        assert getattr(ours, name) == pytest.approx(getattr(exact, name), rel=1e-12, abs=1e-14)
    assert ours.zero_point_energy_mev_per_atom == pytest.approx(
        exact.zero_point_energy_mev_per_atom
    )


def test_moments_of_one_frequency_keep_the_logarithm():
    found = model_spectrum(np.log(5.0), 5.0 * np.exp(0.5 * LEAST_WIDTH))
    assert found.is_limited
    assert found.weights @ np.log(found.frequencies_thz) == pytest.approx(np.log(5.0))


def test_scales_are_the_derivatives_by_the_logarithm():
    settings = ThermodynamicsSettings(temperatures_k=(0.0, 50.0, 300.0, 1000.0))
    step = 1e-4
    low, middle, high = (
        thermal_prediction(FrequencyMoments(1.5 + x, 1.0, 5.6 * np.exp(x), 0.0), settings)
        for x in (-step, 0.0, step)
    )
    for number, curve in enumerate(
        (
            "free_energy_mev_per_atom",
            "entropy_mev_per_k_per_atom",
            "heat_capacity_mev_per_k_per_atom",
        )
    ):
        ends = [getattr(one.thermodynamics, curve) for one in (low, high)]
        slope = np.abs(ends[1] - ends[0]) / (2.0 * step)
        assert middle.scales[number] == pytest.approx(slope, rel=1e-5, abs=1e-7)
