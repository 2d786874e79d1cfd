"""Coverage of conformal quantiles: enumerated, simulated, and against the textbook."""

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from screening.errors import InconsistentDataError, SettingError
from screening.uncertainty.conformal import (
    check_alpha,
    conformal_quantile,
    coverage_band,
    fewest_groups,
)

SCORES = st.lists(st.floats(0.0, 100.0), min_size=1, max_size=40)
ALPHAS = st.sampled_from([0.01, 0.05, 0.1, 0.2, 0.25, 1 / 3, 0.5, 0.8])


def names(count):
    return [f"g{index}" for index in range(count)]


def textbook(scores, alpha):
    """The ceil((n + 1)(1 - alpha))-th smallest score."""
    rank = math.ceil((len(scores) + 1) * (1.0 - alpha) - 1e-9)
    return sorted(scores)[rank - 1] if rank <= len(scores) else math.inf


@given(SCORES, ALPHAS)
def test_one_score_per_group_is_the_textbook_rule(scores, alpha):
    assert conformal_quantile(scores, names(len(scores)), alpha) == textbook(scores, alpha)


@given(ALPHAS)
def test_fewer_than_the_fewest_groups_give_no_finite_quantile(alpha):
    count = fewest_groups(alpha)
    assert math.isfinite(conformal_quantile([1.0] * count, names(count), alpha))
    assert conformal_quantile([1.0] * (count - 1), names(count - 1), alpha) == math.inf


def test_the_fewest_groups_are_the_textbook_numbers():
    assert [fewest_groups(alpha) for alpha in (0.5, 0.2, 0.1, 0.05, 0.01)] == [1, 4, 9, 19, 99]


@given(SCORES, ALPHAS, st.integers(2, 10))
def test_a_group_counts_once_however_many_scores_it_has(scores, alpha, copies):
    groups = names(len(scores))
    many = [*scores, *[scores[0]] * (copies - 1)]
    assert conformal_quantile(many, [*groups, *["g0"] * (copies - 1)], alpha) == textbook(
        scores, alpha
    )


def test_ten_polymorphs_are_no_ten_compositions():
    assert conformal_quantile([1.0] * 10, ["ZnS"] * 10, 0.1) == math.inf
    assert conformal_quantile([1.0] * 10, names(10), 0.1) == 1.0


def test_the_scores_of_a_group_share_its_weight():
    scores, groups = [1.0, 2.0, 9.0, 9.0], ["a", "b", "c", "c"]
    assert conformal_quantile(scores, groups, 0.5) == 2.0  # 2/4 reached by a and b
    assert conformal_quantile([1.0, 9.0, 2.0, 9.0], groups, 0.5) == 9.0  # 1/4 + 1/8 is not


@given(st.data(), ALPHAS)
def test_the_order_of_the_scores_does_not_matter(data, alpha):
    rows = data.draw(st.lists(st.tuples(st.floats(0, 9), st.sampled_from("abcdefgh")), min_size=1))
    shuffled = data.draw(st.permutations(rows))
    one, other = (conformal_quantile(*zip(*some, strict=True), alpha) for some in (rows, shuffled))
    assert one == other


@given(SCORES, st.floats(0.01, 0.98), st.floats(0.0, 0.5))
def test_a_smaller_risk_is_a_larger_quantile(scores, alpha, more):
    groups = names(len(scores))
    larger = min(alpha + more, 0.99)
    assert conformal_quantile(scores, groups, alpha) >= conformal_quantile(scores, groups, larger)


@pytest.mark.parametrize(("count", "alpha"), [(4, 0.2), (4, 0.4), (6, 0.25), (5, 0.5)])
def test_coverage_is_exact_over_all_permutations(count, alpha):
    values = [float(x) for x in range(count + 1)]
    covered = [
        one[-1] <= conformal_quantile(one[:-1], names(count), alpha) for one in permutations(values)
    ]
    expected = math.ceil((count + 1) * (1.0 - alpha) - 1e-9) / (count + 1)
    assert np.mean(covered) == pytest.approx(expected)
    assert expected >= 1.0 - alpha - 1e-12


def test_coverage_of_a_new_group_is_kept_over_all_permutations_of_groups():
    groups = [(1.0,), (2.0, 7.0), (3.0, 4.0, 9.0), (5.0,), (6.0, 8.0)]
    covered = []
    for *known, new in permutations(groups):
        scores = [score for group in known for score in group]
        labels = [f"g{index}" for index, group in enumerate(known) for _ in group]
        quantile = conformal_quantile(scores, labels, 0.4)
        covered.append(np.mean([score <= quantile for score in new]))
    assert 0.6 <= np.mean(covered) <= 0.6 + 1 / 5


def test_simulated_coverage_is_distributed_as_beta():
    rng = np.random.default_rng(1)
    draws = rng.exponential(size=(2000, 30))
    quantiles = [conformal_quantile(row, names(30), 0.1) for row in draws.tolist()]
    coverages = 1.0 - np.exp(-np.array(quantiles))  # exact: the distribution is known
    low, high = coverage_band(30, 0.1, probability=0.95)
    inside = np.mean((coverages >= low) & (coverages <= high))
    assert inside == pytest.approx(0.95, abs=0.02)
    assert coverages.mean() == pytest.approx(28 / 31, abs=0.004)
    assert coverages.std() == pytest.approx(0.052, abs=0.003)


def test_observed_fractions_are_distributed_as_beta_binomial():
    rng = np.random.default_rng(2)
    fractions = []
    for _ in range(1500):
        quantile = conformal_quantile(rng.exponential(size=30).tolist(), names(30), 0.1)
        fractions.append(np.mean(rng.exponential(size=15) <= quantile))
    low, high = coverage_band(30, 0.1, n_tested=15)
    assert np.mean([low <= fraction <= high for fraction in fractions]) >= 0.94
    wide = coverage_band(30, 0.1)
    assert low < wide[0]
    assert high >= wide[1]


def test_normalised_scores_cover_both_quiet_and_noisy_crystals():
    rng = np.random.default_rng(3)
    spread = np.where(np.arange(4000) % 2, 10.0, 1.0)
    error = np.abs(rng.normal(size=4000)) * spread
    quantile = conformal_quantile((error[:1000] / spread[:1000]).tolist(), names(1000), 0.1)
    plain = conformal_quantile(error[:1000].tolist(), names(1000), 0.1)
    for noisy in (False, True):
        half = (spread[1000:] > 5.0) == noisy
        covered = error[1000:][half] <= quantile * spread[1000:][half]
        assert covered.mean() == pytest.approx(0.9, abs=0.035)
    quiet = spread[1000:] < 5.0
    assert np.mean(error[1000:][quiet] <= plain) > 0.999  # what normalising is for
    assert np.mean(error[1000:][~quiet] <= plain) < 0.85


def test_infinite_intervals_cover_always():
    assert coverage_band(8, 0.1) == (1.0, 1.0)
    assert coverage_band(9, 0.1)[0] < 0.9


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, 1.1, math.nan, math.inf])
def test_what_is_no_risk_is_refused(alpha):
    for refused in (
        check_alpha,
        fewest_groups,
        lambda x: conformal_quantile([1.0], ["a"], x),
        lambda x: coverage_band(30, x),
    ):
        with pytest.raises(SettingError, match="alpha"):
            refused(alpha)


@pytest.mark.parametrize(("scores", "groups"), [([1.0], []), ([math.nan], ["a"])])
def test_scores_that_are_none_are_refused(scores, groups):
    with pytest.raises(InconsistentDataError):
        conformal_quantile(scores, groups, 0.1)
