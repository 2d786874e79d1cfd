"""Running a screen on this machine: jobflow jobs in worker processes, one thread each.

Every worker walks the same list and takes what nobody else has claimed, so workers may die,
be added, or belong to another command without a material being computed twice.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from jobflow import JobStore, run_locally
from threadpoolctl import threadpool_limits

from screening.errors import SettingError
from stores.connect import open_database

from flows.events import Listener, MaterialEvent, listening
from flows.makers.batch import ScreenBatchMaker

__all__ = ["LocalRun", "limit_threads", "run_local"]


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
    maker: ScreenBatchMaker
    batch_size: int = 20

    def batches(self) -> Iterator[tuple[str, ...]]:
        """Give the materials in groups of one job each."""
        for start in range(0, len(self.material_ids), self.batch_size):
            yield self.material_ids[start : start + self.batch_size]


def limit_threads(n_threads: int) -> None:
    """Bound the threads of numerical libraries, those loaded and those to come."""
    os.environ["OMP_NUM_THREADS"] = str(n_threads)
    threadpool_limits(n_threads)


def run_local(run: LocalRun, *, workers: int = 1, listener: Listener | None = None) -> None:
    """Run all batches, in this process or in worker processes.

    Parameters
    ----------
    run
        What to run.
    workers
        Number of processes; 1 runs here.
    listener
        Told of every event of every worker, always in this process.

    Raises
    ------
    SettingError
        If several processes are asked to share a database that lives in memory.
    """
    if workers < 1:
        raise SettingError(f"{workers} workers cannot work", subject="--workers", hint="Use 1")
    if workers > 1 and run.database_uri.startswith("memory:"):
        raise SettingError(
            "a database in memory belongs to one process",
            subject="--workers",
            hint="Use --workers 1, or a sqlite:/// or mongodb:// database",
        )
    if workers == 1:
        with listening(listener):
            _run_batches(run)
    else:
        _run_in_processes(run, workers, listener)


def _run_batches(run: LocalRun) -> None:
    """Run every batch as a job; its report goes to the collection ``jobs``."""
    with open_database(run.database_uri) as database:
        store = JobStore(database.store("jobs", key="uuid"))
        for material_ids in run.batches():
            job = run.maker.make(run.database_uri, material_ids)
            run_locally(job, log=False, store=store, ensure_success=True, raise_immediately=True)


def _run_in_processes(run: LocalRun, workers: int, listener: Listener | None) -> None:
    context = multiprocessing.get_context("spawn")
    processes: list[BaseProcess] = []
    pipes: list[Connection] = []
    try:
        for number in range(workers):
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(
                target=_work, args=(_rotated(run, number, workers), sender), daemon=True
            )
            process.start()
            sender.close()  # so that the pipe ends when the worker does
            processes.append(process)
            pipes.append(receiver)
        _forward(pipes, listener)
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _rotated(run: LocalRun, number: int, workers: int) -> LocalRun:
    """Start every worker elsewhere in the list, so that they rarely meet."""
    shift = number * len(run.material_ids) // workers
    return replace(run, material_ids=run.material_ids[shift:] + run.material_ids[:shift])


def _forward(pipes: Sequence[Connection], listener: Listener | None) -> None:
    """Pass events on until every worker has closed its pipe, by ending or by dying."""
    open_pipes = list(pipes)
    while open_pipes:
        for pipe in wait(open_pipes):
            assert isinstance(pipe, Connection)
            try:
                event: MaterialEvent = pipe.recv()
            except EOFError:
                open_pipes.remove(pipe)
                continue
            if listener is not None:
                listener(event)


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
    finally:
        sender.close()


def _interrupt(signal_number: int, frame: Any) -> None:
    """Turn a polite signal into an exception, so that claims are given back."""
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    """Stop at once when the parent process is gone; claims of the dead are free."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
