"""Curves of what is sent to DFT against what is wrong or undecided, and the cost at one error."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from routing_policy import Tally

__all__ = ["CORRECTED", "RAW", "Curve", "Point", "calls_at", "curve_of", "point_of"]

RAW, CORRECTED = "fixed threshold on the spread", "the same, with our correction"
"""Names of two policies: the committee's own values, and the calibration's."""


@dataclass(frozen=True)
class Point:
    """One setting of a policy.

    Attributes
    ----------
    setting
        Risk, or threshold on the spread.
    sent
        Fraction of the crystals that DFT is asked for.
    error
        Fraction of the answers that are wrong or missing.
    """

    setting: float
    sent: float
    error: float


@dataclass(frozen=True)
class Curve:
    """A policy at all its settings, by ascending fraction sent to DFT."""

    question: str
    policy: str
    points: tuple[Point, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain finite JSON; a setting that does not exist is None."""
        return {
            "question": self.question,
            "policy": self.policy,
            "points": [
                {name: value if math.isfinite(value) else None for name, value in point.items()}
                for point in map(asdict, self.points)
            ],
        }


def point_of(setting: float, tallies: Iterable[Tally]) -> Point:
    """Sum up what one setting does; not a number where nothing was asked."""
    found = list(tallies)
    crystals = sum(one.crystals for one in found)
    answers = sum(one.answers for one in found)
    if not crystals or not answers:
        return Point(setting, math.nan, math.nan)
    sent = sum(one.sent for one in found) / crystals
    return Point(setting, sent, sum(one.wrong + one.undecided for one in found) / answers)


def curve_of(question: str, policy: str, points: Sequence[Point]) -> Curve:
    """Order the points of a policy."""
    usable = [one for one in points if math.isfinite(one.sent)]
    return Curve(question, policy, tuple(sorted(usable, key=lambda one: (one.sent, -one.error))))


def calls_at(curve: Curve, error: float) -> float:
    """Least fraction sent to DFT at which a policy errs no more than this.

    Between two settings a policy can be mixed of both, so the points are joined by straight
    lines; sending everything is a setting of every policy.

    Examples
    --------
    >>> half = Curve("", "", (Point(0.1, 0.0, 0.4), Point(0.2, 0.5, 0.2)))
    >>> calls_at(half, 0.3), calls_at(half, 0.1), calls_at(half, 0.5)
    (0.25, 0.75, 0.0)
    """
    points = [(one.sent, one.error) for one in curve.points]
    if not points:
        return math.nan
    points.append((1.0, 0.0))
    if points[0][1] <= error:
        return points[0][0]
    for (x0, y0), (x1, y1) in pairwise(points):
        if y1 <= error < y0:
            return float(np.interp(error, (y1, y0), (x1, x0)))
    return 1.0
