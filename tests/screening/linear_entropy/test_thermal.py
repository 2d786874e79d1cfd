from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from screening.linear_entropy.moments import FrequencyMoments
from screening.linear_entropy.thermal import CURVES, thermal_prediction
from screening.thermodynamics import ThermodynamicsSettings

KELVIN = (0.0, 50.0, 300.0, 1000.0)
SETTINGS = ThermodynamicsSettings(temperatures_k=KELVIN)
MOMENTS = FrequencyMoments(np.log(5.0), 0.02, 6.5, 0.03)
STEP = 1e-5


def curves(moments):
    found = thermal_prediction(moments, SETTINGS).thermodynamics
    return np.array([getattr(found, name) for name in CURVES])


def test_scales_are_the_error_of_the_moments_to_first_order():
    """All frequencies times exp(h): free energy and entropy move as their scales say."""
    both = [
        replace(
            MOMENTS,
            mean_log_thz=MOMENTS.mean_log_thz + h,
            root_mean_square_thz=MOMENTS.root_mean_square_thz * np.exp(h),
        )
        for h in (-STEP, STEP)
    ]
    low, high = map(curves, both)
    slope = np.abs(high - low) / (2.0 * STEP)
    scales = thermal_prediction(MOMENTS, SETTINGS).scales
    assert scales[0] == pytest.approx(MOMENTS.mean_log_std * slope[0], rel=1e-5)
    assert scales[1, 1:] == pytest.approx(MOMENTS.mean_log_std * slope[1, 1:], rel=1e-5)
    both_stds = np.hypot(MOMENTS.mean_log_std, MOMENTS.log_root_mean_square_std)
    assert scales[2, 1:] == pytest.approx(both_stds * slope[2, 1:], rel=1e-5)


def test_a_surer_logarithm_has_narrower_curves_and_no_scale_is_zero():
    scales = thermal_prediction(MOMENTS, SETTINGS).scales
    surer = thermal_prediction(replace(MOMENTS, mean_log_std=0.002), SETTINGS).scales
    assert np.all(surer[:2] <= 0.1 * scales[:2] * (1.0 + 1e-12))
    assert np.all(scales > 0.0)
