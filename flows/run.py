"""The main job: import, predict what is missing, summarise, and report."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from flows.catalogue import WorkList, crystal_of, originals_of, prefer_predictions, work_list
from flows.events import Listener, MaterialEvent, Outcome
from flows.local import Crew, Death, LocalRun, run_local
from flows.makers.batch import ScreenBatchMaker
from flows.materials import record_failure
from flows.predictors import cached_predictor
from flows.summaries import build_summaries
from screening.errors import (
    ComputationError,
    NotFoundError,
    QuarantinedError,
    TimeLimitError,
    WorkerLostError,
)
from stores.connect import Database, open_database

__all__ = ["ScreenReport", "predict_missing", "screen", "work_off"]

MAX_DEATHS = 3
"""A material that killed this many workers is set aside."""


@dataclass(frozen=True)
class ScreenReport:
    """What one run did.

    Attributes
    ----------
    outcomes
        Number of materials per outcome.
    failures
        The events of the materials that failed now or before.
    written
        Number of summary documents written, by collection.
    wall_seconds
        Duration of the run.
    """

    outcomes: dict[str, int]
    failures: tuple[MaterialEvent, ...]
    written: dict[str, int]
    wall_seconds: float


@dataclass
class _Tally:
    """The last word on each material, whichever worker said it."""

    listener: Listener | None = None
    final: dict[str, MaterialEvent] = field(default_factory=dict)

    def __call__(self, event: MaterialEvent) -> None:
        """Keep what matters most and pass on what is new."""
        known = self.final.get(event.material_id)
        weight = _WEIGHTS[event.outcome]
        if known is not None and _WEIGHTS[known.outcome] >= weight:
            return
        if weight:
            self.final[event.material_id] = event
        if self.listener is not None:
            self.listener(event)


_WEIGHTS = {
    Outcome.STARTED: 0,
    Outcome.BUSY_ELSEWHERE: 1,
    Outcome.ALREADY_DONE: 2,
    Outcome.FAILED_BEFORE: 2,
    Outcome.FAILED: 3,
    Outcome.COMPUTED: 3,
}


def screen(
    database_uri: str,
    material_ids: Sequence[str],
    maker: ScreenBatchMaker,
    *,
    crew: Crew | None = None,
    listener: Listener | None = None,
) -> ScreenReport:
    """Predict what is missing among the given materials, then bring the summaries up to date.

    Parameters
    ----------
    database_uri
        The database; every worker process opens it by this URI.
    material_ids
        The materials asked for; duplicates are replaced by the crystal they duplicate.
    maker
        Calculator and settings.
    crew
        Worker processes and their time limit; by default as many as fit the machine.
    listener
        Told what happens to each material.

    Returns
    -------
    ScreenReport
        A second call with the same arguments computes nothing.

    Raises
    ------
    ScreeningError
        If the calculator or the settings cannot be used at all, or workers die without a
        material; failures of single materials are documents and events.
    """
    started = time.monotonic()
    with open_database(database_uri) as database:
        wanted = originals_of(database, material_ids)
        if not wanted:
            raise NotFoundError("no materials to screen", hint="Import structures first")
        try:
            whole = LocalRun(database_uri, wanted, maker)
            events = predict_missing(database, whole, crew=crew, listener=listener)
        finally:  # what is done is summarised, also where the rest cannot go on
            written = build_summaries(database, wanted)
    return _report(events, written, time.monotonic() - started)


def predict_missing(
    database: Database,
    whole: LocalRun,
    *,
    crew: Crew | None = None,
    listener: Listener | None = None,
) -> tuple[MaterialEvent, ...]:
    """Predict what is missing, without bringing the summaries up to date.

    Parameters
    ----------
    database
        The database of the run, open.
    whole
        Materials and maker.
    crew, listener
        As in `screen`.

    Returns
    -------
    tuple of MaterialEvent
        The last word on each material.
    """
    predictor = cached_predictor(whole.maker.calculator, whole.maker.settings)

    def give_up(name: str, error: Exception, attempts: int) -> MaterialEvent:
        return record_failure(database, crystal_of(database, name), predictor, error, attempts)

    events = work_off(
        whole,
        lambda names: work_list(database, names, predictor),
        give_up,
        crew=crew,
        listener=listener,
    )
    prefer_predictions(database, whole.material_ids, predictor)
    return events


def work_off(
    whole: LocalRun,
    left: Callable[[Sequence[str]], WorkList],
    give_up: Callable[[str, Exception, int], MaterialEvent],
    *,
    crew: Crew | None = None,
    listener: Listener | None = None,
) -> tuple[MaterialEvent, ...]:
    """Run what is pending of a whole run, again and again while workers die over it.

    Parameters
    ----------
    whole
        Materials and maker.
    left
        Finds out what is left to do among some materials.
    give_up
        Writes the failure of a material, given the error and the number of attempts.
    crew, listener
        As in `screen`.

    Returns
    -------
    tuple of MaterialEvent
        The last word on each material.
    """
    tally = _Tally(listener)
    work = left(whole.material_ids)
    for event in work.settled:
        tally(event)
    deaths = Counter[str | None]()
    while work.pending:
        lost = run_local(replace(whole, material_ids=work.pending), crew or Crew(), tally)
        if not lost:
            break
        for death in lost:
            deaths[death.material_id] += 1
            if death.timed_out or deaths[death.material_id] >= MAX_DEATHS:
                tally(_set_aside(give_up, death, deaths[death.material_id]))
        work = left(work.pending)
    return tuple(tally.final.values())


def _set_aside(
    give_up: Callable[[str, Exception, int], MaterialEvent], death: Death, attempts: int
) -> MaterialEvent:
    """Write the failure of a material that took too long, or kills its worker every time."""
    if death.material_id is None:
        raise WorkerLostError(
            f"{attempts} worker processes ended with {death.cause} between two materials",
            hint="Run the same command with --workers 0 to see why",
        )
    error: ComputationError
    if death.timed_out:
        error = TimeLimitError(
            "took longer than the time limit",
            subject=death.material_id,
            hint="Raise the time limit or use a smaller supercell, then retry",
        )
    else:
        error = QuarantinedError(
            f"killed {attempts} worker processes, the last by {death.cause}",
            subject=death.material_id,
            hint="Look for a crash of the calculator or for too little memory, then retry",
        )
    return give_up(death.material_id, error, attempts)


def _report(
    events: Sequence[MaterialEvent], written: dict[str, int], seconds: float
) -> ScreenReport:
    failed = {Outcome.FAILED, Outcome.FAILED_BEFORE}
    return ScreenReport(
        outcomes=dict(Counter(event.outcome.value for event in events)),
        failures=tuple(event for event in events if event.outcome in failed),
        written=written,
        wall_seconds=seconds,
    )
