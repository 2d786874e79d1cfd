import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr

from screening.errors import InconsistentDataError, NonFiniteInputError
from screening.metrics import regression_scores, stability_scores
from screening.prediction import Verdict

STABLE, UNSTABLE, UNDETERMINED = Verdict.STABLE, Verdict.UNSTABLE, Verdict.UNDETERMINED


def test_correlations_agree_with_scipy() -> None:
    rng = np.random.default_rng(1)
    reference = np.round(rng.normal(size=60), 1)  # with ties
    predicted = 0.7 * reference + rng.normal(scale=0.3, size=60)
    scores = regression_scores(predicted, reference)
    assert scores.pearson == pytest.approx(pearsonr(predicted, reference).statistic, rel=1e-12)
    assert scores.spearman == pytest.approx(spearmanr(predicted, reference).statistic, rel=1e-12)


def test_a_soft_model_shows_in_slope_and_bias() -> None:
    reference = np.array([2.0, 4.0, 9.0])
    scores = regression_scores(0.74 * reference, reference)
    assert scores.slope == pytest.approx(0.74)
    assert scores.bias == pytest.approx(-0.26 * 5.0)
    assert scores.mae == pytest.approx(-scores.bias)
    assert scores.pearson == pytest.approx(1.0)


@settings(deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=2, max_size=20, unique=True))
def test_perfect_is_one_and_the_mean_has_no_skill(values: list[float]) -> None:
    assert regression_scores(values, values).mae == 0.0
    guess = np.full(len(values), np.mean(values))
    scores = regression_scores(guess, values)
    assert scores.mae == pytest.approx(scores.mad)
    if scores.skill is not None:
        assert scores.skill == pytest.approx(0.0, abs=1e-6)


def test_errors_are_ordered_and_known() -> None:
    scores = regression_scores([1.0, 2.0, 3.0], [2.0, 2.0, 7.0])
    assert (scores.count, scores.mae, scores.bias) == (3, 5 / 3, -5 / 3)
    assert scores.rmse == pytest.approx(np.sqrt(17 / 3))
    assert scores.mad == pytest.approx(20 / 9)
    assert scores.r2 == pytest.approx(1.0 - 17 / (50 / 3))
    assert scores.skill == pytest.approx(0.25)


def test_a_constant_has_no_correlation_and_no_skill() -> None:
    scores = regression_scores([1.0, 2.0], [0.0, 0.0])
    assert (scores.slope, scores.pearson, scores.spearman) == (None,) * 3
    assert (scores.r2, scores.skill) == (None, None)


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(InconsistentDataError):
        regression_scores([], [])
    with pytest.raises(InconsistentDataError):
        regression_scores([1.0], [1.0, 2.0])
    with pytest.raises(NonFiniteInputError):
        regression_scores([1.0, np.nan], [1.0, 2.0])


def test_always_stable_scores_high_accuracy_and_no_recall() -> None:
    reference = [STABLE] * 73 + [UNSTABLE] * 27
    scores = stability_scores([STABLE] * 100, reference)
    assert scores.accuracy == scores.baseline_accuracy == 0.73
    assert scores.recall_of_instability == 0.0
    assert scores.balanced_accuracy == 0.5


def test_published_confusion_matrix_of_a_universal_potential() -> None:
    pairs = (
        [(STABLE, STABLE)] * 706
        + [(STABLE, UNSTABLE)] * 112
        + [(UNSTABLE, STABLE)] * 26
        + [(UNSTABLE, UNSTABLE)] * 156
    )
    scores = stability_scores([p for p, _ in pairs], [r for _, r in pairs])
    assert scores.recall_of_instability == pytest.approx(0.58, abs=0.005)
    assert scores.baseline_accuracy == pytest.approx(0.732)
    assert scores.unstable_missed == 112
    assert scores.stable_missed == 26


def test_undetermined_is_counted_apart() -> None:
    scores = stability_scores([UNDETERMINED, STABLE, STABLE], [STABLE, UNDETERMINED, STABLE])
    assert scores.undetermined == 2
    assert scores.recall_of_stability == 1.0
    assert scores.recall_of_instability is None
    assert scores.balanced_accuracy is None


def test_verdicts_must_pair_up() -> None:
    with pytest.raises(InconsistentDataError):
        stability_scores([STABLE], [])
    assert stability_scores([], []).accuracy is None
