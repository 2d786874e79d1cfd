"""One round of routing: read, decide, choose within the budget, and write the decisions.

The same round serves the screen on this machine and the jobs of a workflow. What was escalated
before travels from round to round as plain values, so that a material gets each method at most
once per run, and the budget is that of the whole run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from flows.catalogue import in_chunks
from flows.deciding import Decided, Judge, Judgement
from flows.estimates import SECONDS_PER_HOUR, Estimator
from flows.knowledge import Knowledge, read_knowledge
from screening.decisions.outcome import Outcome
from screening.decisions.policy import out_of_budget
from screening.decisions.selection import Budget, Unit, choose
from screening.errors import InputError
from stores.connect import Database
from stores.documents import DecisionDocument, StructureDocument
from stores.query import in_values

__all__ = ["Escalation", "Round", "decide_round", "write_decisions"]

POLICY = "question-routing"
POLICY_VERSION = 1


@dataclass(frozen=True)
class Escalation:
    """One material that gets a better method.

    Attributes
    ----------
    material_id
        Which.
    level
        Place of the method in the ladder.
    core_hours
        Estimate when it was chosen.
    """

    material_id: str
    level: int
    core_hours: float

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, to carry from one job to the next."""
        return asdict(self)


@dataclass(frozen=True)
class Round:
    """What one round decided.

    Attributes
    ----------
    judgement
        All decisions; what the budget does not pay for is rejected.
    escalations
        What is computed next.
    waiting
        Materials that were escalated before in this run and have no result: being computed by
        another process, or lost with their worker.
    core_hours
        Spent by the escalations before this round: measured where there is a prediction, else
        as estimated.
    n_written
        Number of decisions that are new or have changed.
    """

    judgement: Judgement
    escalations: tuple[Escalation, ...]
    waiting: tuple[str, ...]
    core_hours: float
    n_written: int

    def numbers(self) -> dict[str, Any]:
        """Return plain numbers: decisions by outcome, and what was spent."""
        outcomes = Counter(one.decision.outcome.value for one in self.judgement.decided)
        return {
            "decisions": dict(sorted(outcomes.items())),
            "n_waiting": len({*self.waiting, *self.judgement.unknown}),
            "core_hours": self.core_hours,
        }


def decide_round(
    database: Database,
    material_ids: Sequence[str],
    judge: Judge,
    budget: Budget,
    earlier: Sequence[Escalation] = (),
) -> Round:
    """Decide everything that can be decided now, and write the decisions.

    Parameters
    ----------
    database
        Read and written with a few queries.
    material_ids
        Originals, not duplicates.
    judge
        Ladder, questions, risk and calibrations.
    budget
        Of the whole run.
    earlier
        What was escalated before in this run.
    """
    known = read_knowledge(database, material_ids, judge.ladder)
    judgement = judge.judge(known)
    tried = {(one.material_id, one.level) for one in earlier}
    wanted = {
        one.material_id: judge.ladder.level_of(one.decision.next_tier)
        for one in judgement.decided
        if one.decision.next_tier is not None
    }
    waiting = tuple(name for name, level in wanted.items() if (name, level) in tried)
    open_levels = {name: level for name, level in wanted.items() if name not in set(waiting)}
    hours = _core_hours(database, judge, open_levels)
    spent = _spent(known, earlier)
    left = _left(budget, len(earlier), spent)
    selection = choose(_open_units(judgement.units, open_levels), hours, left)
    decided = _within_budget(judgement.decided, set(selection.rejected), left)
    return Round(
        judgement=replace(judgement, decided=decided),
        escalations=tuple(
            Escalation(name, open_levels[name], hours[name]) for name in selection.chosen
        ),
        waiting=waiting,
        core_hours=spent,
        n_written=write_decisions(database, decided, hours),
    )


def _open_units(units: Iterable[Unit], open_levels: Mapping[str, int]) -> list[Unit]:
    """Take out what is being computed already; it is paid for."""
    left = ((frozenset(one.material_ids & set(open_levels)), one.weight) for one in units)
    return [Unit(names, weight) for names, weight in left if names]


def _within_budget(
    decided: Iterable[Decided], rejected: set[str], left: Budget
) -> tuple[Decided, ...]:
    said = _said(left)
    return tuple(
        replace(one, decision=out_of_budget(one.decision, said))
        if one.material_id in rejected
        else one
        for one in decided
    )


def _said(left: Budget) -> str:
    parts = []
    if left.max_calculations is not None:
        parts.append(f"{left.max_calculations} calculations")
    if left.core_hours is not None:
        parts.append(f"{left.core_hours:.3g} core-hours")
    return " and ".join(parts)


def _left(budget: Budget, n_calculations: int, core_hours: float) -> Budget:
    """Return what remains of a budget."""
    calculations, hours = budget.max_calculations, budget.core_hours
    return Budget(
        None if calculations is None else max(0, calculations - n_calculations),
        None if hours is None else max(0.0, hours - core_hours),
    )


def _spent(known: Mapping[str, Knowledge], earlier: Iterable[Escalation]) -> float:
    """Core-hours of what was escalated before."""
    total = 0.0
    for one in earlier:
        of_material = known.get(one.material_id)
        made = of_material.predictions.get(one.level) if of_material else None
        total += made.wall_seconds / SECONDS_PER_HOUR if made else one.core_hours
    return total


def _core_hours(database: Database, judge: Judge, levels: Mapping[str, int]) -> dict[str, float]:
    """Estimate what every escalation would cost; what cannot be planned fails at once, for free."""
    estimators = {
        level: Estimator(database, judge.ladder.steps[level]) for level in set(levels.values())
    }
    found: dict[str, float] = {}
    for names in in_chunks(list(levels)):
        for row in database.structures.query(in_values("material_id", names)):
            crystal = StructureDocument.load(row).to_crystal()
            estimator = estimators[levels[crystal.material_id]]
            try:
                found[crystal.material_id] = estimator.of(crystal.structure).core_hours
            except InputError:
                found[crystal.material_id] = 0.0
    return found


def write_decisions(
    database: Database, decided: Sequence[Decided], core_hours: Mapping[str, float]
) -> int:
    """Write the decisions that are new or have changed; returns how many.

    Parameters
    ----------
    database
        Where.
    decided
        Of one prediction and question the newest wins.
    core_hours
        Estimates of the next method by material.
    """
    documents = [_document(one, core_hours) for one in decided]
    stored: dict[str, str] = {}
    for keys in in_chunks([one.decision_id for one in documents]):
        rows = database.decisions.query(
            in_values("decision_id", keys), ["decision_id", "content_digest"]
        )
        stored |= {row["decision_id"]: row["content_digest"] for row in rows}
    plain = [one.to_store() for one in documents]
    changed = [one for one in plain if stored.get(one["decision_id"]) != one["content_digest"]]
    if changed:
        database.decisions.update(changed)
    return len(changed)


def _document(one: Decided, core_hours: Mapping[str, float]) -> DecisionDocument:
    asks_more = one.decision.outcome is not Outcome.ACCEPT
    return DecisionDocument.from_decision(
        one.decision,
        question=one.question.text,
        material_id=one.material_id,
        prediction_id=one.prediction_id,
        standing=one.standing,
        composition=one.group,
        spent_seconds=one.spent_seconds,
        expected_core_hours=core_hours.get(one.material_id) if asks_more else None,
        policy=POLICY,
        policy_version=POLICY_VERSION,
    )
