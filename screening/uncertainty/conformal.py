"""Quantiles of scores that give intervals a stated coverage, whatever made the scores.

The exchangeable unit is the composition: polymorphs of one composition err alike, so every
composition counts once however many polymorphs it brings (hierarchical conformal prediction).

References
----------
Lei, G'Sell, Rinaldo, Tibshirani, Wasserman (2018), J. Am. Stat. Assoc. 113, 1094: the split
conformal interval. Lee, Barber, Willett (2023), arXiv:2306.06342: groups as exchangeable units.
Vovk (2012), arXiv:1209.2673: the Beta distribution of the coverage of a finished calibration.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from screening.errors import InconsistentDataError, SettingError

__all__ = ["check_alpha", "check_risk", "conformal_quantile", "coverage_band", "fewest_groups"]

_ROUNDING = 1e-9
_COIN_TOSS = 0.5


def check_alpha(alpha: float) -> float:
    """Return the risk if it is one.

    Raises
    ------
    SettingError
        Unless it lies strictly between 0 and 1.
    """
    if not (math.isfinite(alpha) and 0.0 < alpha < 1.0):
        raise SettingError(
            f"{alpha} is no risk",
            subject="alpha",
            hint="Give a number between 0 and 1, for instance 0.1 for 90 % coverage",
        )
    return alpha


def check_risk(alpha: float) -> float:
    """Return the risk if somebody can accept it.

    Raises
    ------
    SettingError
        Unless it lies strictly between 0 and 1/2.
    """
    if check_alpha(alpha) >= _COIN_TOSS:
        raise SettingError(
            f"{alpha:g}: a risk of one half or more settles nothing",
            subject="alpha",
            hint="Give less than 0.5, for instance 0.1 for 90 % coverage",
        )
    return alpha


def fewest_groups(alpha: float) -> int:
    """Least number of groups that gives a finite quantile.

    Examples
    --------
    >>> fewest_groups(0.1), fewest_groups(0.05)
    (9, 19)
    """
    return math.ceil(1.0 / check_alpha(alpha) - _ROUNDING) - 1


def conformal_quantile(scores: Sequence[float], groups: Sequence[str], alpha: float) -> float:
    """Score that a new group's score exceeds with a probability of at most alpha.

    Every group has the weight 1/(groups + 1), shared by its scores; the group to come has the
    same weight at infinity. With one score per group this is the ceil((n+1)(1-alpha))-th
    smallest score.

    Parameters
    ----------
    scores
        Larger is worse, shape (score,).
    groups
        Name of the exchangeable unit of each score.
    alpha
        Risk, strictly between 0 and 1.

    Returns
    -------
    float
        Infinite where there are too few groups.

    Raises
    ------
    SettingError
        If alpha is no risk.
    InconsistentDataError
        If the lengths differ or a score is not a number.

    Examples
    --------
    >>> conformal_quantile([1.0, 2.0, 3.0, 4.0], ["a", "b", "c", "d"], 0.25)
    4.0
    >>> conformal_quantile([1.0, 2.0, 3.0], ["a", "b", "c"], 0.2)
    inf
    """
    check_alpha(alpha)
    if len(scores) != len(groups) or any(math.isnan(score) for score in scores):
        raise InconsistentDataError(
            f"{len(scores)} scores of {len(groups)} groups, or one that is not a number"
        )
    sizes = Counter(groups)
    weights = [1.0 / (sizes[group] * (len(sizes) + 1)) for group in groups]
    reached = 0.0
    for score, weight in sorted(zip(scores, weights, strict=True)):
        reached += weight
        if reached >= 1.0 - alpha - _ROUNDING:
            return float(score)
    return math.inf


def coverage_band(
    n_groups: int, alpha: float, probability: float = 0.95, n_tested: int | None = None
) -> tuple[float, float]:
    """Range in which the coverage of a finished calibration lies with a given probability.

    Over random calibration sets the coverage is distributed as Beta(n + 1 - l, l) with
    l = floor((n + 1) alpha). The observed fraction of ``n_tested`` new groups scatters around
    it (beta-binomial).

    Returns
    -------
    tuple of float
        Lower and upper end; (1, 1) where the intervals are infinite.

    Examples
    --------
    >>> low, high = coverage_band(30, 0.1)
    >>> round(low, 2), round(high, 2)
    (0.78, 0.98)
    """
    from scipy.stats import beta, betabinom

    low = math.floor((n_groups + 1) * check_alpha(alpha) + _ROUNDING)
    if low < 1:
        return 1.0, 1.0
    shape = (n_groups + 1 - low, low)
    tails = np.array([(1.0 - probability) / 2.0, (1.0 + probability) / 2.0])
    if n_tested is None:
        ends = beta.ppf(tails, *shape)
    else:
        ends = betabinom.ppf(tails, n_tested, *shape) / n_tested
    return float(ends[0]), float(ends[1])
