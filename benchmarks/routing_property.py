"""The free energy within a tolerance: accepted answers, curves, and calls at the same error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from report import Figure
from routing_crystals import Case
from routing_curves import CORRECTED, RAW, Curve, Point, calls_at, curve_of, point_of
from routing_policy import Tally, ask_property, guess_property, spread_of
from routing_risk import ALPHAS, risk_figures
from routing_splits import Split

from screening.decisions.questions import PropertyQuestion
from screening.quantities import Property, Quantity
from screening.uncertainty.estimates import raw_value
from screening.uncertainty.interval import Interval

__all__ = ["TOLERANCES_MEV", "PropertyAnswers", "answer_properties"]

TOLERANCES_MEV = (5.0, 10.0, 20.0)
"""In meV/atom at 300 K."""

_QUANTITY = Quantity(Property.FREE_ENERGY, 300.0)
_JUDGED_MEV, _JUDGED_ALPHA = 10.0, 0.1
_ERRORS = (0.05, 0.1, 0.2)
_LARGEST_SHARE = 0.5


@dataclass(frozen=True)
class PropertyAnswers:
    """Figures, curves and, where something is missed, why."""

    figures: tuple[Figure, ...]
    curves: tuple[Curve, ...]
    why: str


def answer_properties(splits: Sequence[Split]) -> PropertyAnswers:
    """Ask for the free energy within all tolerances at all risks."""
    intervals = {
        (number, case.name, alpha): split.interval(case, _QUANTITY, alpha)
        for number, split in enumerate(splits)
        for case in split.tested
        for alpha in ALPHAS
    }
    figures: list[Figure] = []
    curves: list[Curve] = []
    why = ""
    for tolerance in TOLERANCES_MEV:
        asked = _asked(splits, intervals, tolerance)
        name = f"F(300 K) within {tolerance:g} meV/atom"
        figures += risk_figures(name, asked)
        own = _curves(name, splits, intervals, asked, tolerance)
        curves += own
        at_alpha = point_of(_JUDGED_ALPHA, asked[_JUDGED_ALPHA])
        figures += _comparison(own, at_alpha, tolerance)
        if tolerance == _JUDGED_MEV:
            why = _why(splits, intervals, own, at_alpha)
    return PropertyAnswers(tuple(figures), tuple(curves), why)


Intervals = dict[tuple[int, str, float], Interval]


def _asked(
    splits: Sequence[Split], intervals: Intervals, tolerance: float
) -> dict[float, list[Tally]]:
    question = PropertyQuestion(Property.FREE_ENERGY, tolerance)
    return {
        alpha: [
            ask_property(split, case, question, intervals[number, case.name, alpha], alpha)
            for number, split in enumerate(splits)
            for case in split.tested
        ]
        for alpha in ALPHAS
    }


def _curves(
    name: str,
    splits: Sequence[Split],
    intervals: Intervals,
    asked: dict[float, list[Tally]],
    tolerance: float,
) -> list[Curve]:
    """Draw the policy, the thresholds, never and always."""
    raw = [(x, raw_value(x.committee, _QUANTITY)) for split in splits for x in split.tested]
    alone = [(x, raw_value(x.cheap, _QUANTITY)) for x, _ in raw]
    corrected = [
        (x, intervals[number, x.name, _JUDGED_ALPHA].value)
        for number, split in enumerate(splits)
        for x in split.tested
    ]
    return [
        curve_of(name, "policy", [point_of(alpha, found) for alpha, found in asked.items()]),
        _threshold(name, RAW, raw, tolerance),
        _threshold(name, CORRECTED, corrected, tolerance),
        curve_of(name, "never", [_fixed(alone, tolerance, sent=False)]),
        curve_of(name, "always", [_fixed(alone, tolerance, sent=True)]),
    ]


def _fixed(values: Sequence[tuple[Case, float]], tolerance: float, *, sent: bool) -> Point:
    return point_of(math.nan, guess_property(values, _QUANTITY, tolerance, lambda _: sent))


def _threshold(
    name: str, policy: str, values: Sequence[tuple[Case, float]], tolerance: float
) -> Curve:
    """Send what has a larger spread, for every threshold that makes a difference."""
    limits = [-1.0, *sorted({spread_of(case, Property.FREE_ENERGY) for case, _ in values})]
    points = []
    for limit in limits:
        tallies = guess_property(
            values,
            _QUANTITY,
            tolerance,
            lambda case, limit=limit: spread_of(case, Property.FREE_ENERGY) > limit,  # type: ignore[misc]
        )
        points.append(point_of(limit, tallies))
    return curve_of(name, policy, points)


def _comparison(curves: Sequence[Curve], at_alpha: Point, tolerance_mev: float) -> list[Figure]:
    """DFT calls of the policy over those of the thresholds at the same error."""
    policy, raw, corrected = curves[:3]
    name = f"DFT calls, policy over threshold, {tolerance_mev:g} meV/atom"
    required = f"<= {_LARGEST_SHARE}" if tolerance_mev == _JUDGED_MEV else None
    found = [
        Figure(f"policy at alpha {_JUDGED_ALPHA:g}: sent to DFT", at_alpha.sent, ""),
        Figure("  wrong or undecided", at_alpha.error, ""),
        Figure(
            name,
            _ratio(at_alpha.sent, calls_at(raw, at_alpha.error)),
            "",
            required,
        ),
        Figure(
            "  over threshold with our correction",
            _ratio(at_alpha.sent, calls_at(corrected, at_alpha.error)),
            "",
        ),
    ]
    for error in _ERRORS:
        calls = [calls_at(one, error) for one in (policy, raw, corrected)]
        found += [
            Figure(f"  at {error:.0%} errors: policy sends", calls[0], ""),
            Figure("    threshold sends", calls[1], ""),
            Figure("    threshold with our correction sends", calls[2], ""),
        ]
    return found


def _ratio(one: float, other: float) -> float:
    return one / other if other > 0.0 else math.nan


def _why(
    splits: Sequence[Split], intervals: Intervals, curves: Sequence[Curve], at_alpha: Point
) -> str:
    """Say what the number of calls follows from."""
    own = [
        (intervals[n, case.name, _JUDGED_ALPHA], raw_value(case.better, _QUANTITY))
        for n, split in enumerate(splits)
        for case in split.tested
    ]
    if not own:
        return "No crystal was tested."
    widths = np.array([one.half_width for one, _ in own])
    errors = np.array([abs(one.value - truth) for one, truth in own])
    needed = float(np.quantile(errors, 1.0 - _JUDGED_ALPHA))
    verdict = "narrow enough" if needed <= _JUDGED_MEV else "too wide"
    spread = np.array(
        [spread_of(x, Property.FREE_ENERGY) for split in splits for x in split.tested]
    )
    return (
        f"At alpha {_JUDGED_ALPHA:g} the half width is {np.median(widths):.1f} meV/atom in the "
        f"median against a tolerance of {_JUDGED_MEV:g}, and within it for "
        f"{np.mean(widths <= _JUDGED_MEV):.0%} of the crystals. "
        f"{np.mean(errors <= _JUDGED_MEV):.0%} of the corrected values are within it, "
        f"{1.0 - _JUDGED_ALPHA:.0%} within {needed:.1f}, so intervals of one width "
        f"for all would be {verdict}. "
        f"The policy sends {at_alpha.sent:.0%}, the threshold has to send "
        f"{calls_at(curves[1], at_alpha.error):.0%} for the same error. Rank correlation of the "
        f"error with the half width {_rank_correlation(widths, errors):.2f}, with the native "
        f"spread {_rank_correlation(spread, errors):.2f}: where it is not positive, neither tells "
        "the good values from the bad ones."
    )


def _rank_correlation(one: np.ndarray, two: np.ndarray) -> float:
    from scipy.stats import spearmanr

    finite = np.isfinite(one) & np.isfinite(two)
    if min(len(set(one[finite])), len(set(two[finite]))) < 2:  # noqa: PLR2004 - of equals there is no order
        return math.nan
    return float(spearmanr(one[finite], two[finite]).statistic)
