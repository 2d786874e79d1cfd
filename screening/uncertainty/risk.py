"""Calling a crystal stable or unstable with a stated risk of missing an instability.

References
----------
Angelopoulos, Bates, Fisch, Lei, Schuster (2022), arXiv:2208.02814: conformal risk control.
Here the loss is one where an unstable crystal is called stable, counted among unstable
crystals alone: a risk counted among all would be met by never looking.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from screening.prediction import Verdict
from screening.uncertainty.conformal import conformal_quantile

__all__ = ["LowestFrequencies", "StabilityJudgement", "judge_stability"]


@dataclass(frozen=True)
class LowestFrequencies:
    """Lowest frequencies by the cheap method, of crystals whose true verdict is known.

    Attributes
    ----------
    stable_thz, unstable_thz
        In THz, imaginary negative.
    stable_compositions, unstable_compositions
        Reduced formula of each.
    """

    stable_thz: tuple[float, ...] = ()
    stable_compositions: tuple[str, ...] = ()
    unstable_thz: tuple[float, ...] = ()
    unstable_compositions: tuple[str, ...] = ()


@dataclass(frozen=True)
class StabilityJudgement:
    """A verdict with the thresholds it rests on.

    Attributes
    ----------
    verdict
        Undetermined between the thresholds: the abstention band.
    lowest_frequency_thz
        Of the cheap method.
    stable_above_thz
        At most alpha of the unstable crystals lie above; infinite where too few are known.
    unstable_below_thz
        At most alpha of the stable crystals lie below; minus infinity where too few are known.
    """

    verdict: Verdict
    lowest_frequency_thz: float
    stable_above_thz: float
    unstable_below_thz: float


def judge_stability(
    lowest_frequency_thz: float, known: LowestFrequencies, alpha: float
) -> StabilityJudgement:
    """Judge a crystal by its lowest frequency.

    Where the two kinds of crystal are so far apart that both verdicts would be allowed, the
    middle of the two thresholds decides.

    Parameters
    ----------
    lowest_frequency_thz
        Of the cheap method, in THz.
    known
        What it gives for crystals whose verdict is known.
    alpha
        Risk of each kind of error.
    """
    stable_above = conformal_quantile(known.unstable_thz, known.unstable_compositions, alpha)
    unstable_below = -conformal_quantile(
        _negative(known.stable_thz), known.stable_compositions, alpha
    )
    may_be_stable = lowest_frequency_thz > stable_above
    may_be_unstable = lowest_frequency_thz < unstable_below
    if may_be_stable and may_be_unstable:
        may_be_stable = lowest_frequency_thz > (stable_above + unstable_below) / 2.0
        may_be_unstable = not may_be_stable
    verdict = Verdict.UNDETERMINED
    if may_be_stable:
        verdict = Verdict.STABLE
    elif may_be_unstable:
        verdict = Verdict.UNSTABLE
    return StabilityJudgement(verdict, lowest_frequency_thz, stable_above, unstable_below)


def _negative(values: Sequence[float]) -> list[float]:
    return [-value for value in values]
