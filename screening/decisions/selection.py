"""What to escalate first when the budget does not pay for everything.

A unit is a set of materials that settles something only when all of them are computed:
one material, or the polymorphs that cannot be ordered. Materials shared by several units are
paid once.

The rule is the greedy one: again and again the unit that settles most per further cost, of
those that can still be paid whole. It is run once freely and once from every unit (of the
`MAX_SEEDS` best), and the best run is kept, so that it is never worse than the best single
unit and finds clusters of units that share their materials. Where units share nothing the
result is at least half of the best possible under one limit and a quarter under two. Where
they do share, the problem is the set-union knapsack problem, which has no such bound in
general.

References
----------
Khuller, Moss, Naor (1999), Inform. Process. Lett. 70, 39; Arulselvan (2014), Discrete Appl.
Math. 169, 214.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from screening.errors import NonFiniteInputError, NotFoundError, SettingError

__all__ = ["MAX_SEEDS", "Budget", "Selection", "Unit", "choose"]

MAX_SEEDS = 32
"""Units from which the rule is started besides the free run."""

_SLACK = 1.0 + 1e-9  # sums of core-hours in floating point


@dataclass(frozen=True)
class Unit:
    """Materials that settle something when all of them are escalated.

    Attributes
    ----------
    material_ids
        Which.
    weight
        How many answers they settle.

    Raises
    ------
    SettingError
        If there is no material or the weight is not finite and above 0.
    """

    material_ids: frozenset[str]
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not self.material_ids:
            raise SettingError("a unit without a material", subject="unit")
        if not (math.isfinite(self.weight) and self.weight > 0.0):
            raise SettingError(f"{self.weight} is no weight", subject="unit")


@dataclass(frozen=True)
class Budget:
    """What may be spent on a better method; None for no limit.

    Attributes
    ----------
    max_calculations
        Materials.
    core_hours
        Core-hours, by estimate.

    Raises
    ------
    SettingError
        If a limit is negative or not finite.
    """

    max_calculations: int | None = None
    core_hours: float | None = None

    def __post_init__(self) -> None:
        for name in ("max_calculations", "core_hours"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise SettingError(
                    f"{value} is no limit", subject=name, hint="Give a number from 0, or none"
                )

    def pays(self, n_calculations: int, core_hours: float) -> bool:
        """Whether this much can be spent."""
        if self.max_calculations is not None and n_calculations > self.max_calculations:
            return False
        return self.core_hours is None or core_hours <= self.core_hours * _SLACK

    def share(self, n_calculations: int, core_hours: float) -> float:
        """Part of the budget that this takes: the parts of both limits, added.

        Without limits the core-hours themselves, as only their order matters.
        """
        if self.max_calculations is None and self.core_hours is None:
            return core_hours
        share = 0.0
        if self.max_calculations:
            share += n_calculations / self.max_calculations
        if self.core_hours:
            share += core_hours / self.core_hours
        return share


@dataclass(frozen=True)
class Selection:
    """What to escalate now.

    Attributes
    ----------
    chosen
        Materials in the order of their use.
    settled, left_out
        Units that are paid whole, in this order, and those that are not, as they were given.
    core_hours
        Estimate for all that is chosen.
    """

    chosen: tuple[str, ...]
    settled: tuple[Unit, ...]
    left_out: tuple[Unit, ...]
    core_hours: float

    @property
    def weight(self) -> float:
        """Answers that are settled."""
        return math.fsum(unit.weight for unit in self.settled)

    @property
    def rejected(self) -> tuple[str, ...]:
        """Materials that would have to be escalated and are not, by name."""
        wanted = {name for unit in self.left_out for name in unit.material_ids}
        return tuple(sorted(wanted - set(self.chosen)))


def choose(units: Sequence[Unit], core_hours: Mapping[str, float], budget: Budget) -> Selection:
    """Choose the materials whose escalation settles most within a budget.

    Parameters
    ----------
    units
        What would settle something; the same material may be in several.
    core_hours
        Estimated cost of every material.
    budget
        What may be spent; a unit that cannot be paid whole is not started.

    Returns
    -------
    Selection
        The same for the same units in any order.

    Raises
    ------
    NotFoundError
        If the cost of a material is missing.
    NonFiniteInputError
        If a cost is negative or not finite.
    """
    _check_costs(units, core_hours)
    ordered = sorted(units, key=lambda unit: (sorted(unit.material_ids), unit.weight))
    best = _greedy(ordered, core_hours, budget, None)
    if best.left_out:
        for seed in _seeds(ordered, core_hours, budget):
            found = _greedy(ordered, core_hours, budget, seed)
            if found.weight > best.weight * _SLACK:
                best = found
    return best


def _check_costs(units: Sequence[Unit], core_hours: Mapping[str, float]) -> None:
    for name in sorted({name for unit in units for name in unit.material_ids}):
        if name not in core_hours:
            raise NotFoundError("its cost was not estimated", subject=name)
        if not (math.isfinite(core_hours[name]) and core_hours[name] >= 0.0):
            raise NonFiniteInputError(f"{core_hours[name]} core-hours", subject=name)


def _seeds(ordered: Sequence[Unit], core_hours: Mapping[str, float], budget: Budget) -> list[int]:
    """Places of the units to start from: those of most weight that can be paid."""
    payable = [
        place
        for place, unit in enumerate(ordered)
        if budget.pays(len(unit.material_ids), _hours(unit.material_ids, core_hours))
    ]
    return sorted(payable, key=lambda place: (-ordered[place].weight, place))[:MAX_SEEDS]


def _hours(names: frozenset[str], core_hours: Mapping[str, float]) -> float:
    return math.fsum(core_hours[name] for name in names)


def _greedy(
    ordered: Sequence[Unit],
    core_hours: Mapping[str, float],
    budget: Budget,
    seed: int | None,
) -> Selection:
    """One run of the rule, after a unit that is taken first."""
    run = _Run(ordered, core_hours, budget)
    if seed is not None:
        run.take(seed)
    while run.waiting:
        _, _, place, n_missing = heapq.heappop(run.waiting)
        is_current = place not in run.settled and n_missing == len(run.missing[place])
        if is_current and run.pays(place):
            run.take(place)
    settled = [ordered[place] for place in run.settled]
    left_out = [unit for place, unit in enumerate(ordered) if place not in run.settled]
    return Selection(tuple(run.chosen), tuple(settled), tuple(left_out), run.core_hours)


class _Run:
    """State of one greedy run.

    ``waiting`` is a heap by (minus the weight per share, minus the weight, place, number of
    missing materials); an entry with another number of missing materials than now is stale.
    What cannot be paid when its turn comes can be paid later only if a material of it is
    chosen for another unit, and is then entered again.
    """

    def __init__(
        self, ordered: Sequence[Unit], core_hours: Mapping[str, float], budget: Budget
    ) -> None:
        self._units, self._costs, self._budget = ordered, core_hours, budget
        self.missing = [set(unit.material_ids) for unit in ordered]
        self._users: dict[str, list[int]] = {}
        for place, unit in enumerate(ordered):
            for name in unit.material_ids:
                self._users.setdefault(name, []).append(place)
        self.chosen: dict[str, None] = {}
        self.settled: dict[int, None] = {}
        self.core_hours = 0.0
        self.waiting: list[tuple[float, float, int, int]] = []
        for place in range(len(ordered)):
            self._enter(place)

    def _further(self, place: int) -> tuple[int, float]:
        """Count the calculations and core-hours that a unit still takes."""
        missing = self.missing[place]
        return len(missing), math.fsum(self._costs[name] for name in missing)

    def _enter(self, place: int) -> None:
        n_calculations, hours = self._further(place)
        share = self._budget.share(n_calculations, hours)
        weight = self._units[place].weight
        density = weight / share if share > 0.0 else math.inf
        heapq.heappush(self.waiting, (-density, -weight, place, n_calculations))

    def pays(self, place: int) -> bool:
        n_calculations, hours = self._further(place)
        return self._budget.pays(len(self.chosen) + n_calculations, self.core_hours + hours)

    def take(self, place: int) -> None:
        self.settled[place] = None
        self.core_hours += self._further(place)[1]
        touched = set()
        for name in sorted(self.missing[place]):
            self.chosen[name] = None
            for user in self._users[name]:
                self.missing[user].discard(name)
                touched.add(user)
        for user in sorted(touched - set(self.settled)):
            self._enter(user)
