"""Launch a screen on an engine, once: the database knows what is done, running or submitted.

A launch is written down under the UUID of its flow before the engine gets the flow, so that a
process that dies in between leaves a launch that the engine does not know, and nothing else. A
claim on the whole database keeps two launches from choosing the same materials.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace

from jobflow import Flow

from flows.catalogue import in_chunks, originals_of
from flows.events import Listener
from flows.launch.addresses import usable_uri
from flows.launch.queues import Destination, Engine, Progress, Queue, open_queue
from flows.launch.selection import Launchable, Planner, Selection, purpose_of, select
from flows.local import Crew
from flows.makers.batch import ScreenBatchMaker, ScreenMaker
from flows.materials import WATCH_SECONDS
from flows.resources import all_jobs
from flows.run import screen
from screening.errors import EngineUnavailableError, NotFoundError
from stores.connect import Database, open_database
from stores.documents import FailureDocument, LaunchDocument, Provenance
from stores.documents.launch import LaunchState
from stores.query import by_field, in_values

__all__ = ["LaunchReport", "launch"]

PATIENCE_SECONDS = 90.0
"""How long a launch waits for another one of the same database."""

_PAUSE_SECONDS = 0.5
_CLAIM = "launch"
_STATES = {
    Progress.ACTIVE: LaunchState.SUBMITTED,
    Progress.FINISHED: LaunchState.FINISHED,
    Progress.BROKEN: LaunchState.BROKEN,
    Progress.UNKNOWN: LaunchState.LOST,
}


@dataclass(frozen=True)
class LaunchReport:
    """What a launch submitted, and what it did not and why.

    Attributes
    ----------
    engine, queue
        Where it went; the queue without passwords.
    submitted
        Materials handed over now, or that would be in a dry run.
    done, failed
        Materials with nothing left to do, and with a failure that nobody asked to forget.
    running
        Materials that somebody computes now.
    waiting
        Materials of an earlier launch that still goes on.
    launch_id
        UUID of the submitted flow; None where nothing was submitted.
    n_jobs
        Jobs of the flow; more may follow at run time.
    identifiers
        The engine's own numbers of these jobs.
    outcomes
        Number of materials per outcome where the screen ran at once.
    is_broken
        Whether a flow that ran at once left something undone because a job of it raised.
    notes
        What a user should know: launches that broke, databases that could not be checked, and
        why materials failed where a flow ran at once.
    """

    engine: Engine
    queue: str
    submitted: tuple[str, ...] = ()
    done: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    running: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    launch_id: str | None = None
    n_jobs: int = 0
    identifiers: tuple[str, ...] = ()
    outcomes: dict[str, int] = field(default_factory=dict)
    is_broken: bool = False
    notes: tuple[str, ...] = ()


def launch(  # noqa: PLR0913 - what, how and where, and three ways to do it
    database_uri: str,
    material_ids: Sequence[str],
    maker: Launchable,
    destination: Destination | None = None,
    *,
    crew: Crew | None = None,
    listener: Listener | None = None,
    resubmit: bool = False,
    dry_run: bool = False,
) -> LaunchReport:
    """Submit what is missing among the given materials, or run it here.

    Parameters
    ----------
    database_uri
        The database; workers open it by this URI, a relative file by its absolute path.
    material_ids
        The materials asked for; duplicates are replaced by the crystal they duplicate.
    maker
        What to compute.
    destination
        Engine and workers; by default this machine.
    crew, listener
        Worker processes and who is told, as for `flows.run.screen`; only on this machine.
    resubmit
        Also submit what an earlier launch left unfinished, whatever its engine says.
    dry_run
        Submit nothing; the report says what would be.

    Raises
    ------
    EngineUnavailableError
        If the engine is not installed, not configured, refuses the flow, or another launch of
        this database does not end.
    DatabaseUriError
        If the workers cannot open the database.
    NotFoundError
        If there is no such material, or none at all.
    """
    uri = usable_uri(database_uri)
    with closing(open_queue(destination or Destination())) as queue:
        notes = queue.check_reach(uri)
        with open_database(uri) as database:
            wanted = originals_of(database, material_ids)
            if not wanted:
                raise NotFoundError("no materials to launch", hint="Import structures first")
            if queue.engine is Engine.LOCAL:
                report = _report(queue, select(database, wanted, maker, ()), notes)
                if dry_run:
                    return report
                ran = _run_here(uri, wanted, maker, queue, report, crew, listener)
                return _with_outcomes(database, maker, ran)
            with _alone(database):
                going_on, found = _ask(database, queue)
                launched = () if resubmit else going_on
                if resubmit and not dry_run:
                    _give_up(database, going_on, wanted)
                chosen = select(database, wanted, maker, launched, patience_seconds=WATCH_SECONDS)
                report = _report(queue, chosen, (*notes, *found))
                if dry_run or not chosen.pending:
                    return report
                return _submit(database, uri, maker, queue, chosen, report)


def _give_up(
    database: Database, going_on: Sequence[LaunchDocument], material_ids: Sequence[str]
) -> None:
    """Take back what launches of these materials have reserved."""
    for one in going_on:
        if set(one.material_ids) & set(material_ids):
            database.claims.withdraw(one.launch_id)


def _run_here(
    uri: str,
    wanted: Sequence[str],
    maker: Launchable,
    queue: Queue,
    report: LaunchReport,
    crew: Crew | None,
    listener: Listener | None,
) -> LaunchReport:
    """Run what is pending; claims keep processes from computing the same."""
    if isinstance(maker, ScreenMaker | ScreenBatchMaker):
        batch_maker = maker.batch_maker if isinstance(maker, ScreenMaker) else maker
        done = screen(uri, wanted, batch_maker, crew=crew, listener=listener)
        return replace(report, outcomes=done.outcomes)
    if not report.submitted:
        return report
    flow = _flow_of(maker, uri, report.submitted)
    identifiers = queue.submit(flow, uri)
    is_broken = queue.progress([flow.uuid])[flow.uuid] is Progress.BROKEN
    return replace(report, n_jobs=_n_jobs(flow), identifiers=identifiers, is_broken=is_broken)


def _with_outcomes(database: Database, maker: Launchable, report: LaunchReport) -> LaunchReport:
    """Add what became of the materials of a flow that ran here, if its Maker can tell."""
    if not isinstance(maker, Planner) or not report.submitted:
        return report
    left = maker.pending(database, report.submitted)
    settled = [name for name in report.submitted if name not in left]
    failed = maker.failed(database, settled)
    counts = {
        "decided": len(settled) - len(failed),
        "failed": len(failed),
        "still open": len(left),
    }
    return replace(
        report,
        outcomes={text: count for text, count in counts.items() if count},
        is_broken=report.is_broken and bool(left),
        notes=(*report.notes, *_failures(database, failed)),
    )


def _failures(database: Database, failed: Mapping[str, str]) -> Iterator[str]:
    """Say why predictions failed, the same reason of many materials once."""
    alike: dict[str, list[str]] = {}
    for keys in in_chunks(sorted(failed.values())):
        for row in database.failures.query(in_values("prediction_id", keys)):
            one = FailureDocument.load(row)
            text = "; ".join(filter(None, (f"{one.code}: {one.reason}", one.next_step)))
            alike.setdefault(text, []).append(one.subject)
    for text, names in alike.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        yield f"{names[0]}{more} failed: {text}"


@contextmanager
def _alone(database: Database) -> Iterator[None]:
    """Let one launch at a time choose and submit."""
    end = time.monotonic() + PATIENCE_SECONDS
    while (claim := database.claims.acquire(_CLAIM)) is None:
        if time.monotonic() > end:
            raise EngineUnavailableError(
                "another launch of this database is going on",
                subject=database.uri,
                hint="Wait for it to end, then run the same command again",
            )
        time.sleep(_PAUSE_SECONDS)
    with claim, claim.kept():
        yield


def _ask(database: Database, queue: Queue) -> tuple[list[LaunchDocument], list[str]]:
    """Return the launches that go on, and notes on those that do not or cannot be asked for."""
    going_on, notes = [], []
    rows = database.launches.query(by_field("state", LaunchState.SUBMITTED))
    stored = [LaunchDocument.load(row) for row in rows]
    here = {(queue.engine.value, queue.address)}
    asked = [one for one in stored if (one.engine, one.queue) in here]
    progress = queue.progress([one.launch_id for one in asked]) if asked else {}
    for one in stored:
        if one.launch_id not in progress:
            going_on.append(one)
            notes.append(
                f"launch {one.launch_id} is in another queue ({one.engine}, {one.queue}), which was"
                " not asked: --resubmit submits its materials again"
            )
            continue
        state = _STATES[progress[one.launch_id]]
        if state is LaunchState.SUBMITTED:
            going_on.append(one)
            continue
        database.launches.update(one.replaced(state=state).to_store())
        if state is not LaunchState.FINISHED:
            notes.append(
                f"launch {one.launch_id} is {state.value} in {one.queue}: what it left undone may "
                "be submitted again"
            )
    return going_on, notes


def _report(queue: Queue, chosen: Selection, notes: Sequence[str]) -> LaunchReport:
    return LaunchReport(
        engine=queue.engine,
        queue=queue.address,
        submitted=tuple(chosen.pending),
        done=chosen.done,
        failed=chosen.failed,
        running=chosen.running,
        waiting=chosen.waiting,
        notes=tuple(notes),
    )


def _submit(
    database: Database,
    uri: str,
    maker: Launchable,
    queue: Queue,
    chosen: Selection,
    report: LaunchReport,
) -> LaunchReport:
    """Write the launch down, then hand it over."""
    flow = _flow_of(maker, uri, report.submitted)
    document = LaunchDocument.build(
        provenance=Provenance.now(),
        launch_id=flow.uuid,
        engine=queue.engine.value,
        queue=queue.address,
        name=flow.name,
        purpose=purpose_of(maker),
        material_ids=tuple(chosen.pending),
        keys=tuple(chosen.pending.values()),
        n_jobs=_n_jobs(flow),
        state=LaunchState.SUBMITTED,
    )
    database.launches.update(document.to_store())
    identifiers = queue.submit(flow, uri)  # a refused flow is lost, as the next launch finds out
    return replace(report, launch_id=flow.uuid, n_jobs=document.n_jobs, identifiers=identifiers)


def _flow_of(maker: Launchable, uri: str, material_ids: Sequence[str]) -> Flow:
    made = maker.make(uri, list(material_ids))
    return made if isinstance(made, Flow) else Flow([made], name=made.name)


def _n_jobs(flow: Flow) -> int:
    return sum(1 for _ in all_jobs(flow))
