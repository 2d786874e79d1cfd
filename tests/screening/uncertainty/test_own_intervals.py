from __future__ import annotations

import math

import numpy as np
import pytest

from screening.quantities import Property, Quantity
from screening.uncertainty.own_intervals import OwnCalibration, quantiles_at_risks

FREE = Property.FREE_ENERGY


def calibration(risks=(0.5, 0.1, 0.02)):
    """Quantiles of heavy tails at 0, 300 and 1000 K."""
    by_risk = {0.5: (1.0, 1.0, 1.0), 0.1: (2.0, 3.0, 4.0), 0.02: (8.0, 9.0, 40.0)}
    quantiles = {one: {FREE: by_risk[one], Property.LOWEST_FREQUENCY: (1.0,)} for one in risks}
    return OwnCalibration(0.1, (0.0, 300.0, 1000.0), quantiles)


@pytest.mark.parametrize(
    ("kelvin", "alpha", "expected"),
    [
        (300.0, 0.1, 1.0),
        (300.0, 1.0 - 0.9, 1.0),
        (300.0, 0.02, 3.0),
        (300.0, 0.06, 3.0),  # the smaller of two known risks
        (300.0, 0.019, math.inf),
        (300.0, 0.4, 1.0),
        (600.0, 0.02, 10.0),  # the larger of the two temperatures
        (1000.5, 0.1, math.inf),
        (0.0, 0.02, 4.0),
    ],
)
def test_an_interval_is_as_wide_as_the_calibration_says(kelvin, alpha, expected):
    assert calibration().factor(Quantity(FREE, kelvin), alpha) == pytest.approx(expected)


def test_what_is_not_calibrated_is_open():
    assert calibration().factor(Quantity(Property.ENTROPY, 300.0), 0.1) == math.inf
    assert calibration().factor(Quantity(Property.LOWEST_FREQUENCY), 0.1) == 1.0
    above = OwnCalibration(0.1, (100.0, 300.0), {0.1: {FREE: (1.0, 1.0)}})
    assert above.factor(Quantity(FREE, 50.0), 0.1) == math.inf
    assert OwnCalibration(0.1, (), {}).factor(Quantity(FREE, 50.0), 0.1) == math.inf


def test_zero_has_no_multiple():
    found = OwnCalibration(0.1, (300.0,), {0.1: {FREE: (0.0,)}, 0.02: {FREE: (1.0,)}})
    assert found.factor(Quantity(FREE, 300.0), 0.1) == 1.0
    assert found.factor(Quantity(FREE, 300.0), 0.02) == math.inf


@pytest.mark.parametrize("alpha", [0.2, 0.1, 0.05, 0.02])
def test_heavy_tails_are_covered_at_each_risk_where_student_t_is_too_narrow(alpha):
    """Of errors like t(2), which no quantile at 90 % tells from others."""
    from scipy.stats import t

    random = np.random.default_rng(0)
    missed, missed_by_t = [], []
    for _ in range(200):
        errors = np.abs(random.standard_t(2, 600))
        known = quantiles_at_risks(errors[:199].tolist(), [str(k) for k in range(199)])
        missed.append(np.mean(errors[199:] > known[alpha]))
        ratio = t.ppf(1 - alpha / 2, 198) / t.ppf(0.95, 198)
        missed_by_t.append(np.mean(errors[199:] > ratio * known[0.1]))
    assert np.mean(missed) <= alpha * 1.1
    if alpha < 0.1:
        assert np.mean(missed_by_t) > 1.3 * alpha


def test_risks_without_groups_enough_are_left_out():
    found = quantiles_at_risks(list(np.arange(30.0)), [str(k) for k in range(30)])
    assert sorted(found) == [0.05, 0.1, 0.2, 0.32, 0.5]
