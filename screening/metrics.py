"""Scores of predictions against references, each with what a constant guess would reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from screening.errors import InconsistentDataError, NonFiniteInputError
from screening.prediction import FloatArray, Verdict

__all__ = ["RegressionScores", "StabilityScores", "regression_scores", "stability_scores"]


@dataclass(frozen=True)
class RegressionScores:
    """How predicted numbers compare with reference numbers, in the unit of both.

    Attributes
    ----------
    count
        Number of pairs.
    mae, rmse, bias
        Mean absolute error, root mean square error and mean of predicted minus reference.
    slope
        Least-squares slope of predicted over reference through the origin: 0.74 means 26 %
        too low. None where all references are zero.
    pearson, spearman
        Correlation of values and of ranks. None where one side is constant.
    r2
        Coefficient of determination, 1 - (sum of squared errors)/(sum of squared deviations of
        the reference from its mean). None where the reference is constant.
    mad
        Mean absolute deviation of the reference from its mean: the error of the best
        constant guess in this measure.
    skill
        1 - mae/mad: 1 is perfect, 0 no better than the mean, below worse. None where the
        reference is constant.
    """

    count: int
    mae: float
    rmse: float
    bias: float
    slope: float | None
    pearson: float | None
    spearman: float | None
    r2: float | None
    mad: float
    skill: float | None


def regression_scores(predicted: ArrayLike, reference: ArrayLike) -> RegressionScores:
    """Compare predicted with reference numbers.

    Parameters
    ----------
    predicted, reference
        Numbers of one unit, in the same order and of the same shape.

    Raises
    ------
    InconsistentDataError
        If the shapes differ or nothing is there to compare.
    NonFiniteInputError
        If a number is not finite.

    Examples
    --------
    >>> scores = regression_scores([1.0, 2.0, 4.0], [2.0, 4.0, 6.0])
    >>> round(scores.mae, 3), round(scores.bias, 3), round(scores.skill, 3)
    (1.667, -1.667, -0.25)
    """
    x, y = _checked_pair(reference, predicted)
    errors = y - x
    mae = float(np.abs(errors).mean())
    mad = float(np.abs(x - x.mean()).mean())
    squares = float(x @ x)
    deviations = float(np.sum((x - x.mean()) ** 2))
    return RegressionScores(
        count=x.size,
        mae=mae,
        rmse=float(np.sqrt(np.mean(errors**2))),
        bias=float(errors.mean()),
        slope=float(x @ y) / squares if squares > 0.0 else None,
        pearson=_correlation(x, y),
        spearman=_correlation(_ranks(x), _ranks(y)),
        r2=1.0 - float(errors @ errors) / deviations if deviations > 0.0 else None,
        mad=mad,
        skill=1.0 - mae / mad if mad > 0.0 else None,
    )


def _checked_pair(reference: ArrayLike, predicted: ArrayLike) -> tuple[FloatArray, FloatArray]:
    x = np.asarray(reference, dtype=np.float64)
    y = np.asarray(predicted, dtype=np.float64)
    if x.shape != y.shape or x.size == 0:
        raise InconsistentDataError(f"cannot compare {y.shape} predictions with {x.shape}")
    if not (np.all(np.isfinite(x)) and np.all(np.isfinite(y))):
        raise NonFiniteInputError("a predicted or reference number is not finite")
    return x.ravel(), y.ravel()


def _ranks(values: FloatArray) -> FloatArray:
    """Ranks with ties at their mean rank."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(values), dtype=np.float64)


def _correlation(x: FloatArray, y: FloatArray) -> float | None:
    dx, dy = x - x.mean(), y - y.mean()
    norm = float(np.sqrt((dx @ dx) * (dy @ dy)))
    return float(dx @ dy) / norm if norm > 0.0 else None


@dataclass(frozen=True)
class StabilityScores:
    """Confusion matrix of stability, where an unstable crystal is what must be found.

    Most crystals in any collection are stable, so plain accuracy rewards a predictor that
    never finds an instability; recall of instability and balanced accuracy do not.

    Attributes
    ----------
    unstable_found, unstable_missed, stable_found, stable_missed
        Crystals with both verdicts known, by reference and by whether the prediction agrees.
    undetermined
        Crystals left out because one of the two verdicts is undetermined.
    recall_of_instability
        Fraction of the unstable crystals predicted unstable; None where there are none.
    recall_of_stability
        Fraction of the stable crystals predicted stable; None where there are none.
    balanced_accuracy
        Mean of both recalls, 0.5 for a constant guess; None where one of them is.
    accuracy, baseline_accuracy
        Fraction right, and the same for always answering what is more frequent.
    """

    unstable_found: int
    unstable_missed: int
    stable_found: int
    stable_missed: int
    undetermined: int
    recall_of_instability: float | None
    recall_of_stability: float | None
    balanced_accuracy: float | None
    accuracy: float | None
    baseline_accuracy: float | None


def stability_scores(predicted: Sequence[Verdict], reference: Sequence[Verdict]) -> StabilityScores:
    """Count right and wrong verdicts.

    Raises
    ------
    InconsistentDataError
        If the two sequences differ in length.

    Examples
    --------
    >>> scores = stability_scores(
    ...     [Verdict.STABLE, Verdict.UNSTABLE, Verdict.STABLE, Verdict.UNDETERMINED],
    ...     [Verdict.STABLE, Verdict.UNSTABLE, Verdict.UNSTABLE, Verdict.STABLE],
    ... )
    >>> scores.recall_of_instability, scores.balanced_accuracy, scores.undetermined
    (0.5, 0.75, 1)
    """
    if len(predicted) != len(reference):
        raise InconsistentDataError(
            f"cannot compare {len(predicted)} verdicts with {len(reference)}"
        )
    pairs = list(zip(predicted, reference, strict=True))
    known = [pair for pair in pairs if Verdict.UNDETERMINED not in pair]
    unstable_found = known.count((Verdict.UNSTABLE, Verdict.UNSTABLE))
    unstable_missed = known.count((Verdict.STABLE, Verdict.UNSTABLE))
    stable_found = known.count((Verdict.STABLE, Verdict.STABLE))
    stable_missed = known.count((Verdict.UNSTABLE, Verdict.STABLE))
    n_unstable, n_stable = unstable_found + unstable_missed, stable_found + stable_missed
    of_instability = _fraction(unstable_found, n_unstable)
    of_stability = _fraction(stable_found, n_stable)
    both = None not in (of_instability, of_stability)
    return StabilityScores(
        unstable_found=unstable_found,
        unstable_missed=unstable_missed,
        stable_found=stable_found,
        stable_missed=stable_missed,
        undetermined=len(pairs) - len(known),
        recall_of_instability=of_instability,
        recall_of_stability=of_stability,
        balanced_accuracy=((of_instability or 0.0) + (of_stability or 0.0)) / 2 if both else None,
        accuracy=_fraction(unstable_found + stable_found, len(known)),
        baseline_accuracy=_fraction(max(n_unstable, n_stable), len(known)),
    )


def _fraction(part: int, whole: int) -> float | None:
    return part / whole if whole else None
