"""What better methods cost: estimated before, measured after, and added up for a budget.

What counts against a budget is what the database says was computed for the materials that are
asked about, by whichever run, so that the same command can be given again.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from flows.catalogue import in_chunks
from flows.estimates import Estimator
from flows.knowledge import Knowledge
from flows.ladder import Ladder
from screening.decisions.selection import Budget
from screening.errors import InputError
from screening.units import SECONDS_PER_HOUR
from stores.connect import Database
from stores.documents import StructureDocument
from stores.query import in_values

__all__ = ["Calculation", "Prices", "Spending", "spending_on"]

Calculation = tuple[str, int]
"""A material and the place of a method in the ladder."""


@dataclass(frozen=True)
class Spending:
    """What better methods took.

    Attributes
    ----------
    core_hours
        By calculation: measured where there is a prediction that says so, else estimated.
    """

    core_hours: Mapping[Calculation, float]

    def of(self, calculations: Iterable[Calculation]) -> float:
        """Core-hours of some of them."""
        return math.fsum(self.core_hours[one] for one in set(calculations) & set(self.core_hours))

    def left_of(self, budget: Budget) -> Budget:
        """Return what remains of a budget."""
        calculations, hours = budget.max_calculations, budget.core_hours
        spent = math.fsum(self.core_hours.values())
        return Budget(
            None if calculations is None else max(0, calculations - len(self.core_hours)),
            None if hours is None else max(0.0, hours - spent),
        )


class Prices:
    """Estimates of calculations, with few queries.

    Parameters
    ----------
    database
        Where the crystals are, and the calls that times are learned from.
    ladder
        The methods.
    """

    def __init__(self, database: Database, ladder: Ladder) -> None:
        self._database = database
        self._estimators = [Estimator(database, step) for step in ladder.steps]

    def of(self, calculations: Iterable[Calculation]) -> dict[Calculation, float]:
        """Return core-hours; what cannot be planned fails at once, for free."""
        levels: dict[str, list[int]] = defaultdict(list)
        for name, level in calculations:
            levels[name].append(level)
        found: dict[Calculation, float] = {}
        for names in in_chunks(list(levels)):
            for row in self._database.structures.query(in_values("material_id", names)):
                crystal = StructureDocument.load(row).to_crystal()
                for level in levels[crystal.material_id]:
                    try:
                        hours = self._estimators[level].of(crystal.structure).core_hours
                    except InputError:
                        hours = 0.0
                    found[crystal.material_id, level] = hours
        return found


def spending_on(
    known: Iterable[Knowledge], prices: Prices, unfinished: Mapping[Calculation, float]
) -> Spending:
    """Add up what the methods above the cheapest took for some materials, in any run.

    Parameters
    ----------
    known
        The materials; of those asked about predictions and failures count.
    prices
        For failures, and predictions that do not say what they took.
    unfinished
        Estimates of what was started and has left nothing yet.
    """
    measured: dict[Calculation, float] = {}
    unmeasured: set[Calculation] = set()
    for one in known:
        if not one.is_asked:
            continue
        for level, made in one.predictions.items():
            if level and made.cpu_seconds > 0.0:
                measured[one.material_id, level] = made.cpu_seconds / SECONDS_PER_HOUR
            elif level:
                unmeasured.add((one.material_id, level))
        unmeasured |= {(one.material_id, level) for level in one.failures if level}
    return Spending({**unfinished, **prices.of(unmeasured), **measured})
