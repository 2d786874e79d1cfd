"""The order of polymorphs by vibrational free energy, and the pairs that cannot be ordered.

The records have no static energies, so the order is that of the vibrational free energies at
300 K alone, as if the static ones were known to be equal: the hardest case, for zincblende and
wurtzite differ by a few tenths of a meV/atom.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from report import Figure
from routing_crystals import Case
from routing_curves import CORRECTED, RAW, Curve, Point, curve_of, point_of
from routing_policy import Tally, ask_order, difference_of, guess_order, spread_of
from routing_risk import ALPHAS, risk_figures
from routing_splits import Split, groups_of, polymorph_pairs

from screening.decisions.questions import OrderQuestion
from screening.quantities import Property, Quantity
from screening.uncertainty.interval import Interval

__all__ = ["OrderAnswers", "answer_orders"]

_TEMPERATURE_K = 300.0
_QUANTITY = Quantity(Property.FREE_ENERGY_DIFFERENCE, _TEMPERATURE_K)
_STRICT = OrderQuestion(_TEMPERATURE_K, _TEMPERATURE_K)
_RESOLVED = OrderQuestion(_TEMPERATURE_K, _TEMPERATURE_K, 1.0)
_NEAR_MEV = 2.0
_JUDGED_ALPHA = 0.1
_RECOGNISED = 0.9

Differences = Mapping[tuple[int, str, float], Mapping[tuple[str, str], Sequence[Interval]]]


@dataclass(frozen=True)
class OrderAnswers:
    """Figures and curves; none where no composition has two polymorphs."""

    figures: tuple[Figure, ...]
    curves: tuple[Curve, ...]


def answer_orders(splits: Sequence[Split]) -> OrderAnswers:
    """Ask for the order of all tested compositions with several polymorphs at all risks."""
    differences = {
        (number, composition, alpha): _differences(split, group, alpha)
        for number, split in enumerate(splits)
        for composition, group in _several(split).items()
        for alpha in ALPHAS
    }
    if not differences:
        return OrderAnswers((Figure("pairs of polymorphs", 0, ""),), ())
    strict = {alpha: _asked(splits, differences, _STRICT, alpha) for alpha in ALPHAS}
    resolved = {
        alpha: _asked(splits, differences, _RESOLVED, alpha) for alpha in (_JUDGED_ALPHA, 0.2)
    }
    name = "order of polymorphs at 300 K"
    figures = [
        *risk_figures(name, strict),
        *_near_figures(splits, differences),
        *(line for alpha, found in resolved.items() for line in _tied_figures(alpha, found)),
    ]
    return OrderAnswers(tuple(figures), tuple(_curves(name, splits, differences, strict)))


def _several(split: Split) -> dict[str, list[Case]]:
    """Pick the tested compositions with at least two polymorphs."""
    return {name: group for name, group in groups_of(split.tested).items() if len(group) > 1}


def _differences(
    split: Split, group: Sequence[Case], alpha: float
) -> dict[tuple[str, str], list[Interval]]:
    return {
        (one.cheap.material_id, two.cheap.material_id): [
            split.calibration.difference(one.cheap, two.cheap, _QUANTITY, alpha)
        ]
        for one, two in polymorph_pairs(group)
    }


def _asked(
    splits: Sequence[Split], differences: Differences, question: OrderQuestion, alpha: float
) -> list[Tally]:
    return [
        ask_order(split, group, question, differences[number, name, alpha], alpha)
        for number, split in enumerate(splits)
        for name, group in _several(split).items()
    ]


def _near_figures(splits: Sequence[Split], differences: Differences) -> list[Figure]:
    """Pairs that differ by less than the potential can tell, and what the policy makes of them."""
    near, mistaken = [], []
    crystals = {case.name: case for split in splits for case in split.tested}
    every = polymorph_pairs(list(crystals.values()))
    gaps = [abs(difference_of([x.better for x in pair], _QUANTITY)) for pair in every]
    for number, split in enumerate(splits):
        for pair in split.pairs():
            truth, raw = (
                difference_of(samples, _QUANTITY)
                for samples in ([x.better for x in pair], [x.cheap for x in pair])
            )
            if abs(truth) >= _NEAR_MEV:
                continue
            group = _several(split)[pair[0].composition]
            known = differences[number, pair[0].composition, _JUDGED_ALPHA]
            tally = ask_order(split, group, _STRICT, known, _JUDGED_ALPHA)
            is_claimed = tally.claimed / tally.answers
            near.append(is_claimed)
            if raw * truth <= 0.0:
                mistaken.append(is_claimed)
    return [
        Figure("pairs of polymorphs in all", len(every), ""),
        Figure("  median true difference at 300 K", _median(gaps), "meV/atom"),
        Figure(f"pairs nearer than {_NEAR_MEV:g} meV/atom, trials", len(near), ""),
        Figure("  of these the potential alone orders wrongly", _over(len(mistaken), near), ""),
        Figure(
            "  of those wrongly ordered, not claimed by the policy",
            1.0 - _mean(mistaken),
            "",
            f">= {_RECOGNISED}",
        ),
        Figure("  of all nearer pairs, not claimed by the policy", 1.0 - _mean(near), ""),
    ]


def _tied_figures(alpha: float, tallies: Sequence[Tally]) -> list[Figure]:
    """Pairs that are settled where ties within 1 meV/atom are an answer."""
    answers = sum(one.answers for one in tallies)
    settled, wrong = (sum(getattr(one, name) for one in tallies) for name in ("claimed", "wrong"))
    return [
        Figure(
            f"settled where 1 meV/atom is a tie, alpha {alpha:g}",
            settled / answers if answers else None,
            "",
        ),
        Figure("  of these wrong", wrong / settled if settled else None, ""),
    ]


def _curves(
    name: str,
    splits: Sequence[Split],
    differences: Differences,
    strict: Mapping[float, Sequence[Tally]],
) -> list[Curve]:
    """Draw the policy, the thresholds, never and always."""
    tested = [(split, list(_several(split).values())) for split in splits]
    spreads = {
        (one.name, two.name): _pair_spread(one, two)
        for _, groups in tested
        for group in groups
        for one, two in polymorph_pairs(group)
    }
    limits = [-1.0, *sorted(set(spreads.values()))]

    corrected = {
        (number, *pair): found[0].value
        for (number, _, alpha), group in differences.items()
        if alpha == _JUDGED_ALPHA
        for pair, found in group.items()
    }

    values: dict[str, Callable[[int, Case, Case], float]] = {
        "committee": lambda _, one, two: difference_of([one.committee, two.committee], _QUANTITY),
        "potential": lambda _, one, two: difference_of([one.cheap, two.cheap], _QUANTITY),
        "corrected": lambda n, one, two: corrected[n, one.cheap.material_id, two.cheap.material_id],
    }

    def guessed(limit: float, method: str) -> Point:
        found = [
            tally
            for number, (_, groups) in enumerate(tested)
            for group in groups
            for tally in guess_order(
                group,
                _QUANTITY,
                partial(values[method], number),
                lambda one, two: spreads[one.name, two.name] > limit,
            )
        ]
        return point_of(limit if math.isfinite(limit) else math.nan, found)

    asked = [point_of(alpha, found) for alpha, found in strict.items()]
    return [
        curve_of(name, "policy", asked),
        curve_of(name, RAW, [guessed(limit, "committee") for limit in limits]),
        curve_of(name, CORRECTED, [guessed(limit, "corrected") for limit in limits]),
        curve_of(name, "never", [guessed(math.inf, "potential")]),
        curve_of(name, "always", [guessed(-1.0, "potential")]),
    ]


def _pair_spread(one: Case, two: Case) -> float:
    """Spread of a difference, as if the errors of two polymorphs were independent."""
    return math.hypot(spread_of(one, Property.FREE_ENERGY), spread_of(two, Property.FREE_ENERGY))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None


def _over(count: int, of: Sequence[float]) -> float | None:
    return count / len(of) if of else None
