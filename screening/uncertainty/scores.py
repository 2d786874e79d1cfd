"""Scores of one or several quantities together, and their quantiles by class."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from screening.quantities import Quantity
from screening.uncertainty.conformal import conformal_quantile, fewest_groups

__all__ = ["MIN_GROUPS_PER_CLASS", "ScoreTable", "joint_table", "neighbours", "tables_of"]

MIN_GROUPS_PER_CLASS = 30
"""A chemistry with fewer compositions is judged by the scores of all."""

_WIDEST_GAP_K = 200.0  # scores are normalised and vary slowly with temperature


@dataclass(frozen=True)
class ScoreTable:
    """Normalised absolute errors of one quantity, or the largest of several.

    Attributes
    ----------
    scores
        |reference - corrected| / deviation, each from a correction without its composition.
    compositions, classes
        Reduced formula and chemistry class of each score.
    units
        What each score belongs to: a material, or a pair of polymorphs.
    """

    scores: tuple[float, ...] = ()
    compositions: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    units: tuple[str, ...] = ()

    def quantile(self, chemistry: str, alpha: float) -> float:
        """Quantile in the class of a chemistry, in all classes together where it is small."""
        groups: dict[str, set[str]] = defaultdict(set)
        for name, composition in zip(self.classes, self.compositions, strict=True):
            groups[name].add(composition)
        least = max(MIN_GROUPS_PER_CLASS, fewest_groups(alpha))
        own = len(groups[chemistry]) >= least
        kept = [i for i, name in enumerate(self.classes) if not own or name == chemistry]
        return conformal_quantile(
            [self.scores[i] for i in kept], [self.compositions[i] for i in kept], alpha
        )

    def worst_of_compositions(self) -> ScoreTable:
        """Return the largest score of every composition, for answers about all its pairs."""
        worst: dict[str, tuple[float, str]] = {}
        for score, name, kind in zip(self.scores, self.compositions, self.classes, strict=True):
            worst[name] = max(worst.get(name, (-math.inf, kind)), (score, kind))
        return ScoreTable(
            tuple(score for score, _ in worst.values()),
            tuple(worst),
            tuple(kind for _, kind in worst.values()),
            tuple(worst),
        )


def joint_table(tables: Sequence[ScoreTable]) -> ScoreTable:
    """Return the largest score of every unit that has one in each table.

    The quantile of these is that of intervals which hold together, not each by itself.
    """
    rows = [
        {
            unit: (score, name, kind)
            for unit, score, name, kind in zip(
                one.units, one.scores, one.compositions, one.classes, strict=True
            )
        }
        for one in tables
    ]
    shared = [unit for unit in rows[0] if all(unit in other for other in rows)] if rows else []
    found = [max(other[unit] for other in rows) for unit in shared]
    scores, compositions, classes = zip(*found, strict=True) if found else ((), (), ())
    return ScoreTable(scores, compositions, classes, tuple(shared))


def neighbours(known: Mapping[str, object], quantity: Quantity) -> tuple[str, ...]:
    """Names that stand for a quantity: its own, or the two temperatures around it.

    Returns
    -------
    tuple of str
        Empty where it is not calibrated, nor between two temperatures at most 200 K apart.
    """
    if quantity.name in known:
        return (quantity.name,)
    if quantity.temperature_k is None:
        return ()
    same = [one for one in map(Quantity.parse, known) if one.kind is quantity.kind]
    grid = sorted(one.temperature_k for one in same if one.temperature_k is not None)
    below = max((t for t in grid if t < quantity.temperature_k), default=None)
    above = min((t for t in grid if t > quantity.temperature_k), default=None)
    if below is None or above is None or above - below > _WIDEST_GAP_K:
        return ()
    return tuple(Quantity(quantity.kind, t).name for t in (below, above))


def tables_of(tables: Mapping[str, ScoreTable], quantities: Sequence[Quantity]) -> list[ScoreTable]:
    """Tables that quantities are judged by; empty where one of them has none."""
    names = [neighbours(tables, quantity) for quantity in quantities]
    if not all(names):
        return []
    return [tables[name] for name in dict.fromkeys(x for group in names for x in group)]
