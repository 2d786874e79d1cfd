"""Dynamical stability: stable crystals of the records, unstable ones of the literature.

The verdict of the calibrated judgement is tested without the domain check, which would send
most of the unstable crystals to DFT: they are of other kinds than the records, and refusing
them all would hide what the thresholds do. How many it refuses is reported.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from report import Figure
from routing_crystals import Case
from routing_curves import Curve, Point, curve_of, point_of
from routing_policy import Tally, ask_stability, guess_stability, spread_of
from routing_risk import ALPHAS, REPORTED_ALPHAS, highest_fraction
from routing_splits import Split, mean_over_groups
from routing_unstable import UnstableCase

from screening.prediction import Verdict
from screening.quantities import Property

__all__ = ["answer_stability"]

_FIXED_THZ = (-0.1, -0.5)
_LEAST_UNSTABLE = 15
_LARGEST_DRAWN_ALPHA = 0.3  # above, nothing is sent and the verdicts only get worse


def answer_stability(
    splits: Sequence[Split], unstable: Sequence[UnstableCase], failures: Sequence[str]
) -> tuple[list[Figure], list[Curve]]:
    """Ask for the stability of all tested crystals at all risks.

    Parameters
    ----------
    splits
        Of stable and unstable crystals.
    unstable, failures
        Those of the literature that the potential could compute, and those it could not.
    """
    asked = {alpha: _asked(splits, alpha) for alpha in ALPHAS}
    figures = [
        Figure("unstable crystals of the literature", len(unstable), "", f">= {_LEAST_UNSTABLE}"),
        Figure("  failed", len(failures), ""),
        *(Figure(f"  FAILED {text}", 1, "") for text in failures),
    ]
    for threshold in _FIXED_THZ:
        figures += _fixed_figures(splits, threshold, unstable)
    for alpha in REPORTED_ALPHAS:
        figures += _risk_figures(alpha, asked[alpha])
    figures += [
        Figure("domain check: unstable crystals refused", _refused(splits, "unstable"), ""),
        Figure("  stable crystals refused", _refused(splits, "tested"), ""),
    ]
    return figures, _curves(splits, asked)


def _tested(split: Split) -> list[Case | UnstableCase]:
    return [*split.tested, *split.unstable]


def _asked(splits: Sequence[Split], alpha: float) -> list[Tally]:
    return [
        ask_stability(split.calibration.stability(case.cheap, alpha), case, alpha)
        for split in splits
        for case in _tested(split)
    ]


def _risk_figures(alpha: float, tallies: Sequence[Tally]) -> list[Figure]:
    """Missed instabilities, false alarms and abstentions at one risk."""
    unstable = [one for one in tallies if one.is_unstable]
    stable = [one for one in tallies if not one.is_unstable]
    name = f"stability, alpha {alpha:g}"

    def share(of: Sequence[Tally], count: Callable[[Tally], int]) -> float:
        return mean_over_groups([float(count(x)) for x in of], [x.composition for x in of])

    def limit(of: Sequence[Tally]) -> str | None:
        groups = {one.composition for one in of}
        return f"<= {highest_fraction(alpha, len(groups)):.3g}" if groups else None

    return [
        Figure(
            f"{name}: instabilities missed among the unstable",
            share(unstable, lambda x: x.wrong),
            "",
            limit(unstable),
        ),
        Figure(
            "  false alarms among the stable",
            share(stable, lambda x: x.wrong),
            "",
            limit(stable),
        ),
        Figure("  abstentions among the unstable", share(unstable, lambda x: x.sent), ""),
        Figure("  abstentions among the stable", share(stable, lambda x: x.sent), ""),
    ]


def _fixed_figures(
    splits: Sequence[Split], threshold_thz: float, unstable: Sequence[UnstableCase]
) -> list[Figure]:
    """Count what a fixed threshold on the potential's lowest frequency gets wrong."""
    stable = {case.name: case for split in splits for case in split.tested}
    missed = [case.cheap.lowest_frequency_thz >= threshold_thz for case in unstable]
    alarms = [
        case.cheap.lowest_frequency_thz < threshold_thz
        for case in stable.values()
        if case.better.verdict is Verdict.STABLE
    ]
    return [
        Figure(f"unstable below {threshold_thz:g} THz: instabilities missed", _mean(missed), ""),
        Figure("  false alarms", _mean(alarms), ""),
    ]


def _refused(splits: Sequence[Split], which: str) -> float:
    novelties = [
        split.calibration.novelty(case.cheap) for split in splits for case in getattr(split, which)
    ]
    return _mean([value > 1.0 for value in novelties])


def _curves(splits: Sequence[Split], asked: Mapping[float, Sequence[Tally]]) -> list[Curve]:
    """Draw the policy, a threshold on the spread per fixed criterion, never and always."""
    cases = [case for split in splits for case in _tested(split)]
    name = "stability"
    limits = [-1.0, *sorted({_spread(case) for case in cases})]

    def guessed(limit: float, threshold_thz: float) -> Point:
        tallies = guess_stability(
            cases,
            lambda case: _spread(case) > limit,
            lambda case: case.committee.lowest_frequency_thz,
            threshold_thz,
        )
        return point_of(limit, tallies)

    def alone(*, sent: bool) -> Point:
        tallies = guess_stability(
            cases, lambda _: sent, lambda case: case.cheap.lowest_frequency_thz, _FIXED_THZ[0]
        )
        return point_of(math.nan, tallies)

    return [
        curve_of(
            name,
            "policy",
            [point_of(alpha, asked[alpha]) for alpha in ALPHAS if alpha <= _LARGEST_DRAWN_ALPHA],
        ),
        *(
            curve_of(
                name,
                f"fixed threshold on the spread, unstable below {threshold:g} THz",
                [guessed(limit, threshold) for limit in limits],
            )
            for threshold in _FIXED_THZ
        ),
        curve_of(name, "never", [alone(sent=False)]),
        curve_of(name, "always", [alone(sent=True)]),
    ]


def _spread(case: Case | UnstableCase) -> float:
    return spread_of(case, Property.LOWEST_FREQUENCY)


def _mean(values: Sequence[bool]) -> float:
    return float(np.mean(values)) if values else math.nan
