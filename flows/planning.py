"""What a screen would take, told before anything is computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flows.catalogue import in_chunks, originals_of
from flows.deciding import Judge, judge_of
from flows.estimates import Estimate, Estimator
from flows.knowledge import Knowledge
from flows.ladder import Step
from screening.decisions.outcome import Outcome
from screening.decisions.questions import Question
from screening.decisions.selection import Budget
from screening.errors import InputError
from stores.connect import Database, open_database
from stores.documents import StructureDocument
from stores.query import in_values

__all__ = ["Plan", "StepPlan", "plan_screen", "plan_work"]


@dataclass(frozen=True)
class StepPlan:
    """What one method would take.

    Attributes
    ----------
    tier, calculator
        Which method.
    n_done, n_failed
        Materials that it has predicted already, and that it failed on: both are left alone.
    n_materials
        Materials it would predict: the cheapest method all others, a better one the worst case
        that every material is escalated.
    n_force_calls
        Of these; of a few displaced cells as many as were enough before, else all allowed.
    supercell_atoms
        Atoms of the smallest and of the largest supercell; None without materials.
    core_hours
        Of all these calls, on one core each.
    factor
        Nine of ten estimates are within this factor.
    basis
        What the times of calls rest on.
    refused
        Materials that it cannot treat, with the reason.
    expected_materials, expected_core_hours
        As decisions on the predictions there are say; those not predicted yet are taken to be
        alike. None for the cheapest method, or where nothing was predicted yet.
    """

    tier: int
    calculator: str
    n_done: int
    n_failed: int
    n_materials: int
    n_force_calls: int
    supercell_atoms: tuple[int, int] | None
    core_hours: float
    factor: float
    basis: str
    refused: Mapping[str, str]
    expected_materials: float | None = None
    expected_core_hours: float | None = None


@dataclass(frozen=True)
class Plan:
    """What a screen would take, method by method.

    Attributes
    ----------
    n_materials
        Materials asked for.
    questions, alpha
        What is asked at which risk; no question without routing.
    budget
        Of all methods above the cheapest.
    steps
        By ascending tier.
    """

    n_materials: int
    questions: tuple[str, ...]
    alpha: float
    budget: Budget
    steps: tuple[StepPlan, ...]


def plan_screen(
    database: Database, material_ids: Sequence[str], judge: Judge, budget: Budget
) -> Plan:
    """Tell what a screen would take; nothing is computed and nothing written.

    Parameters
    ----------
    database
        May be open for reading only.
    material_ids
        Originals, not duplicates.
    judge
        Ladder, questions, risk and calibrations; without questions only the cheapest method
        would run.
    budget
        Of the methods above the cheapest; told, not applied.
    """
    with_polymorphs = judge.known_of(database, material_ids)
    share = _escalated_share(judge, with_polymorphs)
    known = {name: one for name, one in with_polymorphs.items() if one.is_asked}
    crystals = _structures(database, list(known))
    levels = range(len(judge.ladder.steps)) if judge.questions else range(1)
    steps = []
    for level in levels:
        step = judge.ladder.steps[level]
        steps.append(_plan_step(database, step, level, known, crystals, share))
    return Plan(
        n_materials=len(known),
        questions=tuple(question.text for question in judge.questions),
        alpha=judge.alpha,
        budget=budget,
        steps=tuple(steps),
    )


def plan_work(
    database_uri: str,
    material_ids: Sequence[str],
    ladder: Sequence[Mapping[str, Any]],
    questions: Sequence[Question],
    alpha: float,
    budget: Budget | None = None,
) -> Plan:
    """Open a database for reading and tell what a screen would take; see `plan_screen`."""
    with open_database(database_uri, read_only=True) as database:
        wanted = originals_of(database, material_ids)
        judge = judge_of(database, ladder, questions, alpha)
        return plan_screen(database, wanted, judge, budget or Budget())


def _structures(database: Database, names: Sequence[str]) -> dict[str, StructureDocument]:
    found = {}
    for chunk in in_chunks(names):
        for row in database.structures.query(in_values("material_id", chunk)):
            document = StructureDocument.load(row)
            found[document.material_id] = document
    return found


@dataclass(frozen=True)
class _Share:
    """Materials that would be escalated now, and the share of those that were judged."""

    escalated: Mapping[str, int]
    n_judged: int


def _escalated_share(judge: Judge, known: Mapping[str, Knowledge]) -> _Share:
    judgement = judge.judge(known)
    escalated = {
        one.material_id: judge.ladder.level_of(one.decision.next_tier)
        for one in judgement.decided
        if one.decision.outcome is Outcome.ESCALATE and one.decision.next_tier is not None
    }
    return _Share(escalated, len({one.material_id for one in judgement.decided}))


def _plan_step(
    database: Database,
    step: Step,
    level: int,
    known: Mapping[str, Knowledge],
    crystals: Mapping[str, StructureDocument],
    share: _Share,
) -> StepPlan:
    estimator = Estimator(database, step)
    done = {name for name, one in known.items() if level in one.predictions}
    failed = {name for name, one in known.items() if level in one.failures}
    refused: dict[str, str] = {}
    estimates: dict[str, Estimate] = {}
    for name in known:
        if name in done or name in failed:
            continue
        try:
            estimates[name] = estimator.of(crystals[name].to_crystal().structure)
        except InputError as error:
            refused[name] = f"{error.code}: {error.message}"
    sizes = [one.n_supercell_atoms for one in estimates.values()]
    hours = sum(one.core_hours for one in estimates.values())
    expected = _expected(level, share, known, estimates)
    return StepPlan(
        tier=step.tier,
        calculator=step.name,
        n_done=len(done),
        n_failed=len(failed),
        n_materials=len(estimates),
        n_force_calls=sum(one.n_force_calls for one in estimates.values()),
        supercell_atoms=(min(sizes), max(sizes)) if sizes else None,
        core_hours=hours,
        factor=_joint_factor(estimates.values(), hours),
        basis=estimator.basis,
        refused=refused,
        expected_materials=expected[0] if expected else None,
        expected_core_hours=expected[1] if expected else None,
    )


def _joint_factor(estimates: Iterable[Estimate], hours: float) -> float:
    """Factor of a sum: the mean over its hours, since all share the same speed."""
    return sum(one.factor * one.core_hours for one in estimates) / hours if hours else 1.0


def _expected(
    level: int,
    share: _Share,
    known: Mapping[str, Knowledge],
    estimates: Mapping[str, Estimate],
) -> tuple[float, float] | None:
    """Materials and core-hours that a better method is expected to get."""
    if level == 0 or not share.n_judged:
        return None
    now = [name for name, one in share.escalated.items() if one == level and name in estimates]
    later = [name for name, one in known.items() if not one.is_known and name in estimates]
    part = len(now) / share.n_judged
    hours = sum(estimates[name].core_hours for name in now)
    hours += part * sum(estimates[name].core_hours for name in later)
    return len(now) + part * len(later), hours
