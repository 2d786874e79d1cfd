from __future__ import annotations

import numpy as np
import pytest

from screening.linear_entropy.calibration import (
    Calibration,
    calibrate,
    held_out_coverage,
    quantiles_by_family,
)
from screening.linear_entropy.moments import Moments
from screening.uncertainty.conformal import coverage_band

NOTHING = np.zeros(0)


def moments(std=1.0, row=1.0, atom=1.0, total=10.0):
    return Moments(0.0, std, row, atom, total, NOTHING, NOTHING)


def test_intervals_of_exchangeable_errors_cover_what_they_promise():
    random = np.random.default_rng(4)
    stds = random.uniform(0.1, 3.0, 4000)
    errors = stds * random.standard_t(4, 4000)  # heavier tails than the regression believes
    names = [str(number) for number in range(60)]
    found = calibrate([moments(one) for one in stds[:60]], errors[:60], names, [""] * 60, 0.1)
    inside = np.abs(errors[60:]) <= found.quantile() * stds[60:]
    low, high = coverage_band(60, 0.1, 0.997, 3940)
    assert low <= inside.mean() <= high


def test_classes_are_kept_apart_where_they_are_large_enough():
    scores = np.concatenate([np.full(40, 1.0), np.full(40, 5.0), np.full(5, 9.0)])
    families = ["easy"] * 40 + ["hard"] * 40 + ["rare"] * 5
    names = [str(number) for number in range(85)]
    found = quantiles_by_family(scores, names, families, 0.1)
    assert found == {"": 5.0, "easy": 1.0, "hard": 5.0}
    folds = np.arange(85) % 5
    inside = held_out_coverage(scores, names, families, folds, 0.1)
    assert inside[:80].all()
    assert not inside[80:].any()


def test_novelty_is_above_one_beyond_all_that_was_seen():
    seen = [moments(row=row, atom=atom) for row, atom in ((0.1, 2.0), (0.5, 1.0))] * 10
    names = [str(number) for number in range(20)]
    found = calibrate(seen, np.ones(20), names, [""] * 20, 0.1)
    assert found.novelty(moments(row=0.5, atom=2.0)) == 1.0
    assert found.novelty(moments(row=0.6, atom=0.1)) == pytest.approx(1.2)
    assert found.novelty(moments(row=0.1, atom=3.0)) == pytest.approx(1.5)


def test_more_of_the_same_defects_is_not_new():
    names = [str(number) for number in range(20)]
    ones = np.ones(20)
    found = calibrate([moments()] * 20, ones, names, [""] * 20, 0.1, is_extensive=True)
    assert found.novelty(moments(row=1e6, total=1e4)) == pytest.approx(1.0)  # a thousand copies
    assert found.novelty(moments(row=1e6, total=1.0)) == pytest.approx(1e6)  # a strain
    assert found.novelty(moments(row=1e6, atom=2.0, total=1e4)) == pytest.approx(2.0)


def test_plain_json_there_and_back():
    curves = {"entropy_mev_per_k_per_atom": (1.0, 2.0)}
    one = Calibration(0.1, 40, {"": 2.0}, 1.0, 2.0, 0.0, (100.0, 300.0), curves)
    assert Calibration.from_dict(one.as_dict()) == one
    kelvin = np.array([0.0, 200.0, 900.0])
    found = one.thermal_quantile("entropy_mev_per_k_per_atom", kelvin)
    assert found.tolist() == [1.0, 1.5, 2.0]
