"""One round of routing: read, decide, choose within the budget, and write the decisions.

The same round serves the screen on this machine and the jobs of a workflow. What was escalated
before travels from round to round as plain values, so that a material gets each method at most
once per run. The budget is that of all runs: what the database holds is paid for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from flows.catalogue import crystal_of, in_chunks
from flows.deciding import Decided, Judge, Judgement
from flows.knowledge import Knowledge
from flows.materials import abandoned, key_of, known_outcome, record_failure
from flows.spending import Calculation, Prices, spending_on
from screening.decisions.outcome import Outcome
from screening.decisions.policy import out_of_budget
from screening.decisions.selection import Budget, Unit, choose
from screening.errors import WorkerLostError
from stores.connect import Database
from stores.documents import DecisionDocument
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
        another process, or given up by it.
    core_hours
        Spent by the escalations of this run before this round: measured where a prediction says
        so, else as estimated.
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
    ended: Mapping[Calculation, str] | None = None,
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
        Of all that better methods did for these materials, in earlier runs too.
    earlier
        What was escalated before in this run.
    ended
        Escalations whose jobs have all ended, with the last words of these. Where nobody holds
        their claims and there is neither prediction nor failure, they are given up, which is
        written down.
    """
    known = judge.known_of(database, material_ids)
    if ended and _give_up(database, judge, known, ended):
        known = judge.known_of(database, material_ids)
    judgement = judge.judge(known)
    tried = {(one.material_id, one.level) for one in earlier}
    wanted = {
        one.material_id: judge.ladder.level_of(one.decision.next_tier)
        for one in judgement.decided
        if one.decision.next_tier is not None
    }
    waiting = tuple(name for name, level in wanted.items() if (name, level) in tried)
    open_levels = {name: level for name, level in wanted.items() if name not in set(waiting)}
    prices = Prices(database, judge.ladder)
    estimates = prices.of(open_levels.items())
    hours = {name: estimates[name, level] for name, level in open_levels.items()}
    started = {(one.material_id, one.level): one.core_hours for one in earlier}
    spending = spending_on(known.values(), prices, started)
    left = spending.left_of(budget)
    selection = choose(_open_units(judgement.units, open_levels), hours, left)
    decided = _within_budget(judgement.decided, set(selection.rejected), left)
    return Round(
        judgement=replace(judgement, decided=decided),
        escalations=tuple(
            Escalation(name, open_levels[name], hours[name]) for name in selection.chosen
        ),
        waiting=waiting,
        core_hours=spending.of(tried),
        n_written=write_decisions(database, decided, hours),
    )


def _give_up(
    database: Database,
    judge: Judge,
    known: Mapping[str, Knowledge],
    ended: Mapping[Calculation, str],
) -> int:
    """Write failures for what ended without a result; returns how many."""
    silent = [
        (name, level)
        for name, level in ended
        if name in known
        and level not in known[name].predictions
        and level not in known[name].failures
    ]
    n_written = 0
    for level in sorted({level for _, level in silent}):
        predictor = judge.ladder.steps[level].predictor
        crystals = [crystal_of(database, name) for name, one in silent if one == level]
        keys = {one.material_id: key_of(one.digest, predictor) for one in crystals}
        free = set(abandoned(database, keys))
        for crystal in crystals:
            key = key_of(crystal.digest, predictor)
            if crystal.material_id not in free or known_outcome(database, crystal, key):
                continue
            last = ended[crystal.material_id, level]
            error = WorkerLostError(
                f"all jobs have ended and left no result: {last or 'the last one said nothing'}",
                subject=crystal.material_id,
                hint="Look at the logs of the jobs, then retry",
            )
            attempts = max(1, database.claims.attempts(key))
            record_failure(database, crystal, predictor, error, attempts)
            n_written += 1
    return n_written


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


def write_decisions(
    database: Database, decided: Sequence[Decided], core_hours: Mapping[str, float]
) -> int:
    """Write the decisions that are new, have changed, or are not the last; returns how many.

    Parameters
    ----------
    database
        Where.
    decided
        Of one prediction and question the newest wins; what is said again, after something else
        was said by another method, is the last word again.
    core_hours
        Estimates of the next method by material.
    """
    last = _last_words(database, {one.material_id for one in decided})
    plain = [_document(one, core_hours).to_store() for one in decided]
    changed = [
        one for one in plain if last.get(_asked(one)) != (one["decision_id"], one["content_digest"])
    ]
    if changed:
        database.decisions.update(changed)
    return len(changed)


_Asked = tuple[str, str, float | None]


def _asked(row: Mapping[str, Any]) -> _Asked:
    return row["material_id"], row["question"], row.get("alpha")


def _last_words(database: Database, names: Iterable[str]) -> dict[_Asked, tuple[str, str]]:
    """Key and content of the newest decision on every material, question and risk."""
    found: dict[_Asked, tuple[str, str]] = {}
    fields = ["decision_id", "content_digest", "material_id", "question", "alpha"]
    for some in in_chunks(sorted(names)):
        rows = database.decisions.query(
            in_values("material_id", some), fields, sort={"last_updated": 1, "tier": 1}
        )
        found |= {_asked(row): (row["decision_id"], row["content_digest"]) for row in rows}
    return found


def _document(one: Decided, core_hours: Mapping[str, float]) -> DecisionDocument:
    asks_more = one.decision.outcome is not Outcome.ACCEPT
    return DecisionDocument.from_decision(
        one.decision,
        question=one.question.text,
        material_id=one.material_id,
        prediction_id=one.key,
        is_predicted=one.prediction_id is not None,
        standing=one.standing,
        composition=one.group,
        spent_seconds=one.spent_seconds,
        expected_core_hours=core_hours.get(one.material_id) if asks_more else None,
        policy=POLICY,
        policy_version=POLICY_VERSION,
    )
