"""Missed instabilities stay under the risk, whatever the populations look like."""

import math

import numpy as np
import pytest
from scipy.stats import beta

from screening.errors import InconsistentDataError, SettingError
from screening.prediction import Verdict
from screening.uncertainty.risk import LowestFrequencies, judge_stability


def known(stable, unstable):
    return LowestFrequencies(
        stable_thz=tuple(stable),
        stable_compositions=tuple(f"s{i}" for i in range(len(stable))),
        unstable_thz=tuple(unstable),
        unstable_compositions=tuple(f"u{i}" for i in range(len(unstable))),
    )


APART = known(np.linspace(1.0, 3.0, 20), np.linspace(-3.0, -1.0, 20))
MIXED = known(np.linspace(-1.0, 3.0, 20), np.linspace(-3.0, 1.0, 20))


@pytest.mark.parametrize("alpha", [0.1, 0.2])
def test_missed_instabilities_stay_under_the_risk(alpha):
    rng = np.random.default_rng(4)
    splits, count, tests = 400, 25, 40
    missed, lost = [], []
    for _ in range(splits):
        judge = known(rng.normal(1.0, 1.5, count), rng.normal(-1.0, 1.5, count))
        thresholds = judge_stability(0.0, judge, alpha)
        missed.append(np.mean(rng.normal(-1.0, 1.5, tests) > thresholds.stable_above_thz))
        lost.append(np.mean(rng.normal(1.0, 1.5, tests) < thresholds.unstable_below_thz))
    rank = math.floor((count + 1) * alpha + 1e-9)
    expected = rank / (count + 1)
    variance = beta(rank, count + 1 - rank).var() + expected * (1 - expected) / tests
    band = 3.0 * math.sqrt(variance / splits)
    for risk in (missed, lost):
        assert np.mean(risk) <= alpha + band
        assert np.mean(risk) == pytest.approx(expected, abs=band)


def test_verdicts_keep_the_risk_where_populations_lie_apart():
    """Overlapping permissions are settled in the middle, which adds no risk."""
    rng = np.random.default_rng(5)
    wrong = []
    for _ in range(200):
        judge = known(rng.normal(2.0, 1.0, 20), rng.normal(-2.0, 1.0, 20))
        verdicts = [judge_stability(x, judge, 0.2).verdict for x in rng.normal(-2.0, 1.0, 20)]
        wrong.append(np.mean([verdict is Verdict.STABLE for verdict in verdicts]))
    assert np.mean(wrong) <= 0.2


def test_too_few_unstable_crystals_never_allow_stable():
    few = known(np.linspace(1.0, 3.0, 20), np.linspace(-3.0, -1.0, 8))
    judged = judge_stability(100.0, few, 0.1)
    assert judged.stable_above_thz == math.inf
    assert judged.verdict is Verdict.UNDETERMINED
    assert judge_stability(-5.0, few, 0.1).verdict is Verdict.UNSTABLE


def test_too_few_stable_crystals_never_allow_unstable():
    few = known(np.linspace(1.0, 3.0, 8), np.linspace(-3.0, -1.0, 20))
    judged = judge_stability(-100.0, few, 0.1)
    assert judged.unstable_below_thz == -math.inf
    assert judged.verdict is Verdict.UNDETERMINED
    assert judge_stability(5.0, few, 0.1).verdict is Verdict.STABLE


def test_nothing_known_is_undetermined():
    assert judge_stability(5.0, LowestFrequencies(), 0.1).verdict is Verdict.UNDETERMINED


def test_populations_apart_leave_no_abstention():
    judged = judge_stability(0.0, APART, 0.1)
    assert judged.stable_above_thz < 0.0 < judged.unstable_below_thz
    middle = (judged.stable_above_thz + judged.unstable_below_thz) / 2.0
    assert judge_stability(middle + 1e-6, APART, 0.1).verdict is Verdict.STABLE
    assert judge_stability(middle - 1e-6, APART, 0.1).verdict is Verdict.UNSTABLE


def test_mixed_populations_leave_a_band_of_abstention():
    judged = judge_stability(0.0, MIXED, 0.1)
    assert judged.verdict is Verdict.UNDETERMINED
    assert judged.unstable_below_thz < judged.stable_above_thz
    for threshold in (judged.unstable_below_thz, judged.stable_above_thz):
        assert judge_stability(threshold, MIXED, 0.1).verdict is Verdict.UNDETERMINED
    above = judge_stability(judged.stable_above_thz + 1e-9, MIXED, 0.1)
    below = judge_stability(judged.unstable_below_thz - 1e-9, MIXED, 0.1)
    assert (above.verdict, below.verdict) == (Verdict.STABLE, Verdict.UNSTABLE)


def test_a_smaller_risk_widens_the_band():
    wide, narrow = (judge_stability(0.0, MIXED, alpha) for alpha in (0.1, 0.3))
    assert wide.stable_above_thz > narrow.stable_above_thz
    assert wide.unstable_below_thz < narrow.unstable_below_thz


def test_polymorphs_of_one_unstable_composition_count_once():
    one = LowestFrequencies((), (), (-1.0,) * 20, ("BaTiO3",) * 20)
    assert judge_stability(5.0, one, 0.1).stable_above_thz == math.inf


def test_a_frequency_that_is_no_number_is_refused_among_the_known():
    with pytest.raises(InconsistentDataError):
        judge_stability(1.0, known([1.0], [math.nan]), 0.1)


def test_a_risk_is_needed():
    with pytest.raises(SettingError, match="alpha"):
        judge_stability(1.0, APART, 0.0)
