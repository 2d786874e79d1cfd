from __future__ import annotations

import numpy as np
import pytest

from screening.errors import ModelCorruptError
from screening.linear_entropy.model_spectrum import (
    log_quantiles,
    model_spectrum,
    power_law,
    shape_from,
    shape_of,
    spectrum_thermodynamics,
    with_translations,
)
from screening.linear_entropy.moments import FrequencyMoments
from screening.linear_entropy.thermal import thermal_prediction
from screening.thermodynamics import ThermodynamicsSettings, thermodynamics
from screening.units import BOLTZMANN_MEV_PER_K, KELVIN_PER_THZ
from screening.zone_centre_modes import zone_centre_thermodynamics

SETTINGS = ThermodynamicsSettings(temperatures_k=(0.0, 100.0, 300.0, 5000.0))


def moments_of(frequencies, weights):
    return float(weights @ np.log(frequencies)), float(np.sqrt(weights @ frequencies**2))


@pytest.mark.parametrize("exponent", [0.5, 1.0, 3.0, 12.0])
def test_both_moments_of_a_power_law_come_back(exponent):
    mean_log, root = np.log(9.0) - 1.0 / exponent, 9.0 * np.sqrt(exponent / (exponent + 2.0))
    found = model_spectrum(mean_log, root)
    assert moments_of(found.frequencies_thz, found.weights) == pytest.approx((mean_log, root))
    assert 1.0 / found.width == pytest.approx(exponent, rel=2e-3)
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
    found = model_spectrum(np.log(5.0), 5.0 * np.exp(1e-6))
    assert found.is_limited
    assert found.weights @ np.log(found.frequencies_thz) == pytest.approx(np.log(5.0))


def spectra(width, count=40):
    """Crystals whose logarithms are drawn from two bands, however wide and high."""
    random = np.random.default_rng(4)
    band = np.concatenate([random.normal(-1.0, 0.2, 60), random.normal(0.8, 0.1, 75)])
    return [np.exp(1.5 + 0.1 * random.normal() + width * band) for _ in range(count)]


def test_a_learned_shape_gives_the_zero_point_energy_back():
    """Of spectra that are alike but for mean and width, where a power law fails."""
    learned = spectra(0.3)
    weights = np.ones(len(learned[0]))
    shape = shape_of([log_quantiles(one, weights) for one in learned])
    new = spectra(0.45, 1)[0]
    given = moments_of(new, weights / weights.sum())
    exact = thermodynamics(
        np.repeat(new[:, None], 3, axis=1), weights, 1, SETTINGS, is_gamma=np.zeros(len(new), bool)
    )
    found = spectrum_thermodynamics(model_spectrum(*given, shape), SETTINGS)
    guess = spectrum_thermodynamics(model_spectrum(*given), SETTINGS)
    error, other = (
        abs(one.zero_point_energy_mev_per_atom - exact.zero_point_energy_mev_per_atom)
        for one in (found, guess)
    )
    assert error < 0.05
    assert error < 0.1 * other
    names = ("free_energy_mev_per_atom", "entropy_mev_per_k_per_atom")
    for name, near in zip(names, (0.05, 1e-3), strict=True):
        assert getattr(found, name) == pytest.approx(getattr(exact, name), abs=near)


def test_curves_of_a_learned_shape_are_derivatives_of_each_other():
    weights = np.ones(135)
    shape = shape_of([log_quantiles(one, weights) for one in spectra(0.3)])
    kelvin = (20.0, 20.01, 150.0, 150.01)
    settings = ThermodynamicsSettings(temperatures_k=kelvin)
    found = thermal_prediction(
        FrequencyMoments(1.5, 0.1, 5.6, 0.0, translation_share=0.1), settings, shape
    ).thermodynamics
    for at in (0, 2):
        step = kelvin[at + 1] - kelvin[at]
        slope = np.diff(found.free_energy_mev_per_atom)[at] / step
        entropy, capacity = found.entropy_mev_per_k_per_atom, found.heat_capacity_mev_per_k_per_atom
        assert -slope == pytest.approx(entropy[at : at + 2].mean(), rel=1e-6)
        middle = 0.5 * (kelvin[at] + kelvin[at + 1])
        heat = middle * np.diff(entropy)[at] / step
        assert heat == pytest.approx(capacity[at : at + 2].mean(), rel=1e-6)
    assert found.low_mode_policy == "half_mean_optical"


def test_translations_count_as_at_the_zone_centre():
    """Three of thirty modes, as the sum over frequencies themselves counts them."""
    modes = np.concatenate([np.zeros(3), spectra(0.3, 1)[0][:27]])
    settings = ThermodynamicsSettings(temperatures_k=(0.0, 300.0, 1000.0))
    exact = zone_centre_thermodynamics(modes, 10, settings)
    given = moments_of(modes[3:], np.full(27, 1 / 27))
    shape = shape_of([log_quantiles(modes[3:], np.ones(27))])
    spectrum = with_translations(model_spectrum(*given, shape), 0.1)
    assert spectrum.weights.sum() == pytest.approx(1.0)
    found = spectrum_thermodynamics(spectrum, settings)
    assert found.free_energy_mev_per_atom == pytest.approx(exact.free_energy_mev_per_atom, abs=0.02)


def test_shapes_have_no_mean_and_no_width():
    weights = with_translations(model_spectrum(1.0, 4.0), 0.0).weights
    one = log_quantiles(np.full(5, 3.0), np.ones(5))
    assert shape_of([one]) == pytest.approx(power_law())
    for shape in (power_law(), shape_of([one, log_quantiles(spectra(0.3)[0], np.ones(135))])):
        assert weights @ shape == pytest.approx(0.0, abs=1e-12)
        assert weights @ shape**2 == pytest.approx(1.0)
        assert np.array_equal(shape_from({"spectrum_shape": shape}), shape)


@pytest.mark.parametrize("shape", [[], np.zeros(32), np.full(32, np.nan), np.arange(32)])
def test_what_is_no_shape_is_refused(shape):
    with pytest.raises(ModelCorruptError):
        shape_from({"spectrum_shape": np.asarray(shape)})


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
