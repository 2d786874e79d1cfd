"""Errors of frequencies: of one crystal, pooled, and over crystals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from screening.prediction import FloatArray

__all__ = ["FrequencyScores", "FrequencySummary", "frequency_scores", "summarise_frequencies"]


@dataclass(frozen=True)
class FrequencyScores:
    """Errors of frequencies, in THz where they have a unit.

    Attributes
    ----------
    mae_thz, bias_thz
        Mean absolute error and mean of predicted minus reference.
    r2
        Coefficient of determination; None where the reference is constant.
    slope
        Least-squares slope of predicted over reference through the origin; None where all
        references are zero.
    n_points
        Number of frequencies compared.
    """

    mae_thz: float
    bias_thz: float
    r2: float | None
    slope: float | None
    n_points: int


@dataclass(frozen=True)
class FrequencySummary:
    """Frequency errors of many crystals.

    Attributes
    ----------
    pooled
        Over all frequencies of all crystals, every branch of a primitive cell counting once.
    mean_mae_thz, median_mae_thz
        Over crystals, each counting once.
    mean_r2, median_r2
        The same of R2; None where no crystal has one.
    mean_slope, median_slope, std_slope
        The same of the slopes, with their standard deviation.
    n_crystals
        Number of crystals.
    """

    pooled: FrequencyScores
    mean_mae_thz: float
    median_mae_thz: float
    mean_r2: float | None
    median_r2: float | None
    mean_slope: float | None
    median_slope: float | None
    std_slope: float | None
    n_crystals: int


def frequency_scores(
    predicted_thz: FloatArray, reference_thz: FloatArray, weights: FloatArray
) -> FrequencyScores:
    """Compare frequencies, each with a weight.

    Parameters
    ----------
    predicted_thz, reference_thz
        In THz, of one shape.
    weights
        Of the same shape; any normalisation.

    Examples
    --------
    >>> soft = frequency_scores(np.array([1.6, 8.0]), np.array([2.0, 10.0]), np.ones(2))
    >>> round(soft.mae_thz, 3), round(soft.slope, 3)
    (1.2, 0.8)
    """
    fractions = weights / weights.sum()
    errors = predicted_thz - reference_thz
    spread = float(np.sum(fractions * (reference_thz - np.sum(fractions * reference_thz)) ** 2))
    squares = float(np.sum(fractions * reference_thz**2))
    product = float(np.sum(fractions * predicted_thz * reference_thz))
    return FrequencyScores(
        mae_thz=float(np.sum(fractions * np.abs(errors))),
        bias_thz=float(np.sum(fractions * errors)),
        r2=1.0 - float(np.sum(fractions * errors**2)) / spread if spread > 0.0 else None,
        slope=product / squares if squares > 0.0 else None,
        n_points=errors.size,
    )


def summarise_frequencies(
    points: Sequence[tuple[FloatArray, FloatArray, FloatArray]], scores: Sequence[FrequencyScores]
) -> FrequencySummary:
    """Pool the frequencies of one or more crystals and average their scores.

    Parameters
    ----------
    points
        Predicted and reference frequencies in THz and weights of every crystal, shapes (mode,).
    scores
        Scores of every crystal.
    """
    predicted, reference, weights = (np.concatenate(x) for x in zip(*points, strict=True))
    errors = [one.mae_thz for one in scores]
    r2 = [one.r2 for one in scores if one.r2 is not None]
    slopes = [one.slope for one in scores if one.slope is not None]
    return FrequencySummary(
        pooled=frequency_scores(predicted, reference, weights),
        mean_mae_thz=float(np.mean(errors)),
        median_mae_thz=float(np.median(errors)),
        mean_r2=float(np.mean(r2)) if r2 else None,
        median_r2=float(np.median(r2)) if r2 else None,
        mean_slope=float(np.mean(slopes)) if slopes else None,
        median_slope=float(np.median(slopes)) if slopes else None,
        std_slope=float(np.std(slopes)) if slopes else None,
        n_crystals=len(scores),
    )
