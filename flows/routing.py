"""The screen that stops when the question is answered, on this machine.

Every material gets the cheapest method; what that settles is accepted, and the next method is
asked where its result can change an answer, within the budget. Then everything is decided
again, until nothing is left to escalate.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flows.catalogue import originals_of
from flows.deciding import Decided, GroupAnswer, judge_of
from flows.events import Listener, MaterialEvent, Outcome
from flows.ladder import Ladder, Step, read_ladder
from flows.local import Crew, LocalRun
from flows.names import names_of
from flows.rounds import Escalation, Round, decide_round
from flows.run import predict_missing
from flows.summaries import build_rankings, build_summaries
from flows.uncertainty import calibrate_for, notes_on_calibrations
from screening.decisions.outcome import Decision
from screening.decisions.policy import decisive
from screening.decisions.questions import GroupQuestion, Question
from screening.decisions.selection import Budget
from screening.errors import NotFoundError, SettingError
from screening.settings import ScreeningSettings
from screening.uncertainty.conformal import check_alpha
from stores.connect import Database, open_database
from stores.query import in_values

__all__ = ["RoutingReport", "StepReport", "Work", "route"]

Announce = Callable[[Step, int], None]
"""Told before a method is run on a number of materials."""


@dataclass(frozen=True)
class Work:
    """What a routed screen is asked.

    Attributes
    ----------
    ladder
        Methods from the cheapest to the best, as :func:`flows.ladder.read_ladder` reads them.
    questions
        What is asked of every material or composition; at least one.
    alpha
        Accepted risk of a wrong answer.
    budget
        Of all methods above the cheapest; what earlier runs computed with the same methods for
        the same materials is part of it.

    Raises
    ------
    SettingError
        If there is no question, one goes beyond the temperatures of the predictions, or the
        risk is not between 0 and 1.
    """

    ladder: Sequence[Mapping[str, Any]]
    questions: tuple[Question, ...]
    alpha: float = 0.1
    budget: Budget = field(default_factory=Budget)

    def __post_init__(self) -> None:
        if not self.questions:
            raise SettingError(
                "nothing is asked", subject="questions", hint="Ask for instance for stability"
            )
        check_alpha(self.alpha)
        for step in self.ladder:
            settings = ScreeningSettings.from_dict(step.get("settings") or {})
            for question in self.questions:
                _check_reach(question, settings.thermodynamics.temperatures_k)


def _check_reach(question: Question, grid_k: Sequence[float]) -> None:
    """Refuse, before anything is computed, what the predictions will not say."""
    lowest, highest = grid_k[0], grid_k[-1]
    if isinstance(question, GroupQuestion):
        ends = question.lowest_temperature_k, question.highest_temperature_k
        is_within = ends[0] <= highest and lowest <= ends[1]
    else:
        asked = [t for one in question.quantities if (t := one.temperature_k) is not None]
        is_within = all(lowest <= one <= highest for one in asked)
    if not is_within:
        raise SettingError(
            f"'{question}' goes beyond the temperatures from {lowest:g} to {highest:g} K of the "
            "predictions",
            subject="question",
            hint="Predict on a grid that covers what is asked: --temperatures",
        )


@dataclass(frozen=True)
class StepReport:
    """What one method did: materials by outcome, and those that failed now or before."""

    tier: int
    calculator: str
    outcomes: Mapping[str, int]
    failures: tuple[MaterialEvent, ...]


@dataclass(frozen=True)
class RoutingReport:
    """What one routed screen decided and did.

    Attributes
    ----------
    questions, alpha
        What was asked, and at which risk.
    formulas, names
        Reduced formula of every material, and what people call it and its polymorphs.
    decided
        The last decision on every material and question.
    answers
        Of the questions about compositions.
    steps
        What every method did.
    n_calculations, core_hours
        Escalations in this run, of a material to each better method one, and what they took;
        estimated where they failed.
    waiting
        Materials without a result: being computed by another process, or given up by it; also
        polymorphs of them that were never asked about.
    written
        Number of summary documents written, by collection.
    wall_seconds
        Duration of the run.
    notes
        What intervals were calibrated against, where it is not the better method as asked for.
    """

    questions: tuple[str, ...]
    alpha: float
    formulas: Mapping[str, str]
    names: Mapping[str, str]
    decided: tuple[Decided, ...]
    answers: tuple[GroupAnswer, ...]
    steps: tuple[StepReport, ...]
    n_calculations: int
    core_hours: float
    waiting: tuple[str, ...]
    written: Mapping[str, int]
    wall_seconds: float
    notes: tuple[str, ...] = ()

    @property
    def failures(self) -> tuple[MaterialEvent, ...]:
        """Of all methods."""
        return tuple(event for step in self.steps for event in step.failures)

    @property
    def n_failed(self) -> int:
        """Number of materials that no method predicted."""
        predicted = {one.material_id for one in self.decided if one.prediction_id}
        return len({one.material_id for one in self.decided} - predicted)

    def decisive(self) -> dict[str, Decision]:
        """Return for every material the decision that says what became of it."""
        by_material: dict[str, list[Decision]] = {}
        for one in self.decided:
            by_material.setdefault(one.material_id, []).append(one.decision)
        return {name: decisive(found) for name, found in by_material.items()}

    def outcomes(self) -> dict[str, int]:
        """Count the materials by what became of them."""
        found = Counter(one.outcome.value for one in self.decisive().values())
        return dict(sorted(found.items()))


def route(
    database_uri: str,
    material_ids: Sequence[str],
    work: Work,
    *,
    crew: Crew | None = None,
    better_crew: Crew | None = None,
    listener: Listener | None = None,
    announce: Announce | None = None,
) -> RoutingReport:
    """Screen until the questions are answered or the budget is spent.

    Parameters
    ----------
    database_uri
        The database; every worker process opens it by this URI.
    material_ids
        The materials asked for; duplicates are replaced by the crystal they duplicate.
    work
        Ladder, questions, risk and budget.
    crew, better_crew
        Worker processes and their time limit for one material, of the cheapest method and of
        the better ones; by default the same.
    listener, announce
        Told what happens to each material, and which method begins.

    Returns
    -------
    RoutingReport
        A second call with the same arguments and calibrations computes nothing and changes no
        decision. Calibrations stay as they are during a run, since what it escalates was chosen
        for being uncertain; what it computed is added to them at its end.

    Raises
    ------
    SettingError
        If the ladder or a budget cannot be used.
    ScreeningError
        As `flows.run.screen`.
    """
    started = time.monotonic()
    ladder = read_ladder(work.ladder)
    for step in ladder.steps:
        step.maker()  # refuses what cannot run here, before anything is computed
    with open_database(database_uri) as database:
        wanted = originals_of(database, material_ids)
        if not wanted:
            raise NotFoundError("no materials to screen", hint="Import structures first")
        crews = (crew, better_crew or crew)
        runner = _Runner(database, database_uri, ladder, crews, listener, announce)
        try:
            last, earlier = _rounds(runner, wanted, work)
        finally:  # what is done is summarised, also where the rest cannot go on
            runner.written.update(build_summaries(database, wanted))
        formulas = _formulas(database, wanted)
        names = names_of(database, wanted)
    return RoutingReport(
        questions=tuple(question.text for question in work.questions),
        alpha=work.alpha,
        formulas=formulas,
        names=names,
        decided=last.judgement.decided,
        answers=last.judgement.answers,
        steps=runner.reports(),
        n_calculations=len(earlier),
        core_hours=last.core_hours,
        waiting=tuple(dict.fromkeys((*last.judgement.unknown, *last.waiting))),
        written=dict(runner.written),
        wall_seconds=time.monotonic() - started,
        notes=runner.notes,
    )


def _rounds(
    runner: _Runner, wanted: tuple[str, ...], work: Work
) -> tuple[Round, tuple[Escalation, ...]]:
    """Predict and decide in turns; ends, for no material gets a method twice."""
    earlier: tuple[Escalation, ...] = ()
    runner.predict(0, wanted)
    calibrate_for(runner.database, work.questions)
    judge = judge_of(runner.database, work.ladder, work.questions, work.alpha)
    runner.notes = notes_on_calibrations(judge.ladder, judge.calibrations, judge.alpha)
    while True:
        found = decide_round(runner.database, wanted, judge, work.budget, earlier)
        if not found.escalations:
            return found, earlier
        # a better method may take days: until then the database shows what there is
        runner.written.update(build_rankings(runner.database, wanted))
        for level in sorted({one.level for one in found.escalations}):
            names = tuple(one.material_id for one in found.escalations if one.level == level)
            runner.predict(level, names)
        earlier += found.escalations


@dataclass
class _Runner:
    """Runs the methods of a ladder on this machine and remembers what became of each material."""

    database: Database
    database_uri: str
    ladder: Ladder
    crews: tuple[Crew | None, Crew | None]
    listener: Listener | None
    announce: Announce | None
    events: dict[int, list[MaterialEvent]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    written: Counter[str] = field(default_factory=Counter)

    def predict(self, level: int, names: tuple[str, ...]) -> None:
        """Predict what is missing by one method."""
        step = self.ladder.steps[level]
        if self.announce is not None:
            self.announce(step, len(names))
        whole = LocalRun(self.database_uri, names, step.maker())
        crew = self.crews[level > 0]
        found = predict_missing(self.database, whole, crew=crew, listener=self.listener)
        self.events.setdefault(level, []).extend(found)

    def reports(self) -> tuple[StepReport, ...]:
        """Sum up what every method did."""
        return tuple(
            _step_report(self.ladder.steps[level], events)
            for level, events in sorted(self.events.items())
        )


def _step_report(step: Step, events: Iterable[MaterialEvent]) -> StepReport:
    events = list(events)
    failed = {Outcome.FAILED, Outcome.FAILED_BEFORE}
    return StepReport(
        tier=step.tier,
        calculator=step.name,
        outcomes=dict(Counter(event.outcome.value for event in events)),
        failures=tuple(event for event in events if event.outcome in failed),
    )


def _formulas(database: Database, names: Sequence[str]) -> dict[str, str]:
    rows = database.structures.query(
        in_values("material_id", names), ["material_id", "formula_reduced"]
    )
    found = {row["material_id"]: row["formula_reduced"] for row in rows}
    return {name: found[name] for name in names}
