from __future__ import annotations

import numpy as np
import pytest

from screening.errors import TrainingSetError
from screening.linear_entropy.thermal import CURVES
from screening.linear_entropy.thermal_validation import ThermalErrors

KELVIN = (100.0, 300.0)
NAMES = [str(number) for number in range(30)]


def errors(n_without_spectrum=0):
    """Errors of 1, 2, ... 30 scales of every curve at every temperature."""
    exact = np.zeros((30, 3, 2))
    scales = np.full_like(exact, 0.5)
    predicted = 0.5 * np.arange(1.0, 31.0)[:, None, None] * np.ones_like(exact)
    predicted[:n_without_spectrum] = np.nan
    return ThermalErrors(KELVIN, predicted, exact, scales)


def test_quantiles_are_ranks_of_the_scores_at_each_risk_that_has_groups_enough():
    found = errors().quantiles(NAMES, 0.1)
    assert sorted(found) == [0.05, 0.1, 0.2, 0.32, 0.5]  # 31 weights: none of 0.02
    for risk, rank in ((0.5, 16.0), (0.1, 28.0), (0.05, 30.0)):
        assert found[risk] == {curve: pytest.approx((rank, rank)) for curve in CURVES}


def test_a_risk_of_ones_own_is_among_them():
    assert 0.15 in errors().quantiles(NAMES, 0.15)


def test_crystals_without_a_spectrum_count_as_infinitely_wrong():
    found = errors(n_without_spectrum=2).quantiles(NAMES, 0.1)
    assert 0.05 not in found
    assert found[0.1][CURVES[0]] == pytest.approx((30.0, 30.0))
    with pytest.raises(TrainingSetError, match="negative mean square"):
        errors(n_without_spectrum=4).quantiles(NAMES, 0.1)
