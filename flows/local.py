"""Running a screen on this machine: jobflow jobs in worker processes, one thread each.

Every worker walks the same list and takes what nobody else has claimed, so workers may die,
be added, or belong to another command without a material being computed twice.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from jobflow import Job, JobStore, run_locally
from threadpoolctl import threadpool_limits

from flows.events import Listener, MaterialEvent, Outcome, listening
from screening.errors import ScreeningError, SettingError
from stores.connect import open_database

__all__ = ["BatchMaker", "Crew", "Death", "LocalRun", "limit_threads", "run_local"]

MAX_DEFAULT_WORKERS = 4
LOOK_SECONDS = 0.5
GRACE_SECONDS = 5.0


class BatchMaker(Protocol):
    """A Maker of a job over some materials, with a calculator and plain settings."""

    calculator: str
    settings: dict[str, Any]

    def make(self, database_uri: str, material_ids: Sequence[str]) -> Job:
        """Return the job."""


@dataclass(frozen=True)
class LocalRun:
    """What to run: plain data that crosses process boundaries.

    Attributes
    ----------
    database_uri
        Where structures are read and results are written.
    material_ids
        Materials to predict.
    maker
        The batch maker with calculator and settings.
    batch_size
        Materials per job.
    """

    database_uri: str
    material_ids: tuple[str, ...]
    maker: BatchMaker
    batch_size: int = 20

    def batches(self) -> Iterator[tuple[str, ...]]:
        """Give the materials in groups of one job each."""
        for start in range(0, len(self.material_ids), self.batch_size):
            yield self.material_ids[start : start + self.batch_size]


@dataclass(frozen=True)
class Crew:
    """Who runs a screen on this machine.

    Attributes
    ----------
    workers
        Number of worker processes; 0 runs everything in this process, without protection
        against a calculator that crashes or hangs; None takes what fits the machine.
    time_limit_s
        Wall time in s after which a worker is killed and its material given up.
    """

    workers: int | None = None
    time_limit_s: float | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 0:
            raise SettingError(
                f"{self.workers} workers cannot work", subject="workers", hint="Use 0 or more"
            )
        if self.time_limit_s is not None and not self.time_limit_s > 0.0:
            raise SettingError(f"{self.time_limit_s} s is no time", subject="time_limit_s")

    def size(self, database_uri: str) -> int:
        """Return the number of worker processes for a database; one in memory has none."""
        if self.workers is not None:
            return self.workers
        if database_uri.startswith("memory:"):
            return 0
        has_affinity = hasattr(os, "sched_getaffinity")
        cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count()
        return min(MAX_DEFAULT_WORKERS, cores or 1)


@dataclass(frozen=True)
class Death:
    """A worker process that died, the material it was computing if any, and of what.

    ``timed_out`` tells that it was killed here because the material took too long.
    """

    material_id: str | None
    cause: str
    timed_out: bool = False


def limit_threads(n_threads: int) -> None:
    """Bound the threads of numerical libraries, those loaded and those to come."""
    os.environ["OMP_NUM_THREADS"] = str(n_threads)
    threadpool_limits(n_threads)


def run_local(run: LocalRun, crew: Crew, listener: Listener | None = None) -> list[Death]:
    """Run all batches, in this process or in worker processes.

    Parameters
    ----------
    run
        What to run.
    crew
        How many workers, and how long they may take.
    listener
        Told of every event of every worker, always in this process.

    Returns
    -------
    list of Death
        Workers that died, with the material each was computing.

    Raises
    ------
    SettingError
        If several processes are asked to share a database that lives in memory, or a time
        limit is asked for without a process that could be killed.
    """
    workers = min(crew.size(run.database_uri), len(run.material_ids))
    if workers == 0:
        if crew.time_limit_s is not None:
            raise SettingError(
                "a time limit needs a worker process", subject="time_limit_s", hint="Use --workers"
            )
        with listening(listener):
            _run_batches(run)
        return []
    if run.database_uri.startswith("memory:"):
        raise SettingError(
            "a database in memory belongs to one process",
            subject="workers",
            hint="Use --workers 0, or a sqlite:/// or mongodb:// database",
        )
    return _run_in_processes(run, workers, crew.time_limit_s, listener)


def _run_batches(run: LocalRun) -> None:
    """Run every batch as a job; its report goes to the collection ``jobs``."""
    with open_database(run.database_uri) as database:
        store = JobStore(database.store("jobs", key="uuid"))
        for material_ids in run.batches():
            job = run.maker.make(run.database_uri, material_ids)
            with warnings.catch_warnings():
                # jobflow 0.4 changes into its folder with a function monty has deprecated
                warnings.filterwarnings("ignore", "cd is deprecated", FutureWarning)
                run_locally(
                    job, log=False, store=store, ensure_success=True, raise_immediately=True
                )


def _run_in_processes(
    run: LocalRun, workers: int, time_limit_s: float | None, listener: Listener | None
) -> list[Death]:
    context = multiprocessing.get_context("spawn")
    crew: dict[Connection, _Worker] = {}
    try:
        for number in range(workers):
            receiver, sender = context.Pipe(duplex=False)
            arguments = (_rotated(run, number, workers), sender)
            process = context.Process(target=_work, args=arguments, daemon=True)
            process.start()
            sender.close()  # so that the pipe ends when the worker does
            crew[receiver] = _Worker(process)
        return _forward(crew, time_limit_s, listener)
    finally:
        for worker in crew.values():
            worker.end()


def _rotated(run: LocalRun, number: int, workers: int) -> LocalRun:
    """Start every worker elsewhere in the list, so that they rarely meet."""
    shift = number * len(run.material_ids) // workers
    return replace(run, material_ids=run.material_ids[shift:] + run.material_ids[:shift])


def _forward(
    crew: dict[Connection, _Worker], time_limit_s: float | None, listener: Listener | None
) -> list[Death]:
    """Pass events on until every worker has closed its pipe, by ending or by dying."""
    deaths = []
    open_pipes = list(crew)
    while open_pipes:
        for pipe in wait(open_pipes, None if time_limit_s is None else LOOK_SECONDS):
            assert isinstance(pipe, Connection)
            worker = crew[pipe]
            try:
                message: MaterialEvent | ScreeningError = pipe.recv()
            except EOFError:
                open_pipes.remove(pipe)
                deaths += worker.death()
                continue
            if isinstance(message, ScreeningError):
                raise message
            worker.note(message)
            if listener is not None:
                listener(message)
        for worker in crew.values():
            worker.kill_if_late(time_limit_s)
    return deaths


@dataclass
class _Worker:
    """A worker process and what it was last heard of."""

    process: BaseProcess
    material_id: str | None = None
    since_s: float = 0.0
    timed_out: bool = False

    def note(self, event: MaterialEvent) -> None:
        """Remember what it is computing and since when."""
        self.material_id = event.material_id if event.outcome is Outcome.STARTED else None
        self.since_s = time.monotonic()

    def kill_if_late(self, time_limit_s: float | None) -> None:
        """Kill it where it computes for too long; its pipe then ends."""
        if time_limit_s is None or self.material_id is None or self.timed_out:
            return
        if time.monotonic() - self.since_s > time_limit_s:
            self.timed_out = True
            self.process.kill()

    def death(self) -> list[Death]:
        """Return what it died of and over which material, if it did not end by itself."""
        self.process.join()
        code = self.process.exitcode or 0
        if code == 0:
            return []
        cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return [Death(self.material_id, cause, self.timed_out)]

    def end(self) -> None:
        """Ask it to give its claim back and go; one that does not listen is killed."""
        self.process.terminate()
        self.process.join(GRACE_SECONDS)
        if self.process.is_alive():  # deep in foreign code that never sees the signal
            self.process.kill()
            self.process.join()


def _work(run: LocalRun, sender: Connection) -> None:
    """Live as one worker: interrupted by its parent's end or signal, never by Ctrl-C itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_end_with_parent, name="parent-watch", daemon=True).start()
    limit_threads(1)
    lock = threading.Lock()

    def send(event: MaterialEvent) -> None:
        with lock:
            sender.send(event)

    try:
        with listening(send):
            _run_batches(run)
    except KeyboardInterrupt:
        pass
    except ScreeningError as error:  # not of one material: the whole run cannot go on
        sender.send(error)
    finally:
        sender.close()


def _interrupt(_signal_number: int, _frame: object) -> None:
    """Turn a polite signal into an exception, so that claims are given back."""
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    """Stop at once when the parent process is gone; claims of the dead are free."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
