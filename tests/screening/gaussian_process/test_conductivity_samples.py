from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from random_cells import real_cells

from screening.conductivity import ConductivitySettings, thermal_conductivity
from screening.errors import InconsistentDataError, SettingError
from screening.gaussian_process.conductivity_samples import (
    ConductivitySamples,
    conductivity_samples,
)
from screening.gaussian_process.fit import fit_force_constants
from screening.gaussian_process.propagation import left_out_ratio
from screening.gaussian_process.settings import GaussianProcessSettings

SETTINGS = ConductivitySettings(mesh=(4, 4, 4), temperatures_k=(200.0, 300.0), isotopes=False)


@pytest.fixture(scope="module")
def fit():
    """Triplets of near atoms alone, for speed."""
    settings = GaussianProcessSettings(third_order_cutoff_angstrom=3.0)
    return fit_force_constants(real_cells("NaCl", [0]), settings)


@pytest.fixture(scope="module")
def done():
    return []


@pytest.fixture(scope="module")
def found(fit, done):
    return conductivity_samples(
        fit, SETTINGS, 4, seed=2, progress=lambda *counts: done.append(counts)
    )


def test_the_mean_and_draws_are_those_of_their_force_constants(fit, found) -> None:
    expected = thermal_conductivity(fit.force_constants, SETTINGS).conductivity_w_per_m_k
    assert np.allclose(found.mean.conductivity_w_per_m_k, expected, rtol=1e-9)
    factor = max(1.0, left_out_ratio(fit))
    drawn = fit.posterior.sample(4, 2)
    amplitudes = tuple(
        mean + factor * (draws[:, 1] - mean)
        for mean, draws in zip(fit.posterior.amplitudes(), drawn, strict=True)
    )
    second = thermal_conductivity(fit.expanded(amplitudes), SETTINGS).conductivity_w_per_m_k
    assert np.allclose(found.conductivity_w_per_m_k[1], second, rtol=1e-6)


def test_standard_deviations_are_those_of_the_draws(found) -> None:
    drawn = found.conductivity_w_per_m_k
    assert drawn.shape == (4, 2, 3, 3)
    assert found.n_samples == 4
    assert np.allclose(found.std_w_per_m_k, drawn.std(axis=0, ddof=1))
    logarithms = np.log(np.trace(drawn, axis1=2, axis2=3) / 3.0)
    assert np.allclose(found.std_of_logarithm, logarithms.std(axis=0, ddof=1))
    assert np.all((found.std_of_logarithm > 1e-3) & (found.std_of_logarithm < 0.5))


def test_intervals_lie_around_the_mean(found) -> None:
    centre = np.trace(found.mean.conductivity_w_per_m_k, axis1=1, axis2=2) / 3.0
    lower, upper = found.interval_w_per_m_k(0.9)
    assert np.all((lower > 0.0) & (lower < centre) & (centre < upper))
    assert np.allclose(lower * upper, centre**2)


def test_progress_is_told(found, done) -> None:
    assert found.n_samples == 4
    assert done == [(k, 5) for k in range(1, 6)]


def test_one_draw_has_no_spread(fit) -> None:
    with pytest.raises(SettingError, match="n_samples"):
        conductivity_samples(fit, SETTINGS, 1)


def test_a_harmonic_fit_has_no_conductivity() -> None:
    harmonic = fit_force_constants(real_cells("NaCl", [0]), GaussianProcessSettings(max_order=2))
    with pytest.raises(InconsistentDataError):
        conductivity_samples(harmonic, SETTINGS, 2)


def test_a_draw_that_has_none_is_named(fit, monkeypatch) -> None:
    mean = thermal_conductivity(fit.force_constants, SETTINGS)
    answers = iter([mean, mean])

    def unstable(*_args, **_options):
        try:
            return next(answers)
        except StopIteration:
            raise InconsistentDataError("the frequency -1 THz", subject="second_order") from None

    module = "screening.gaussian_process.conductivity_samples.thermal_conductivity"
    monkeypatch.setattr(module, unstable)
    with pytest.raises(InconsistentDataError, match="in draw 1 from") as caught:
        conductivity_samples(fit, SETTINGS, 4)
    assert "another displaced cell" in caught.value.hint


@pytest.mark.parametrize("value", [0.0, -2.0, np.nan])
def test_a_conductivity_without_a_logarithm_is_refused(found, value) -> None:
    drawn = np.array(found.conductivity_w_per_m_k)
    drawn[2, 1] = value * np.eye(3)
    with pytest.raises(InconsistentDataError, match=r"draw 2 .* W/m/K at 300 K"):
        ConductivitySamples(found.mean, drawn)
    mean = replace(found.mean, conductivity_w_per_m_k=drawn[2])
    with pytest.raises(InconsistentDataError, match=r"the mean .* W/m/K at 300 K"):
        ConductivitySamples(mean, found.conductivity_w_per_m_k)
