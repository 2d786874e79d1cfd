"""The queue that is none: jobflow's own manager runs the flow in this process."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from jobflow import Flow, Job, Response, run_locally

from flows.launch.addresses import job_store
from flows.launch.queues import Engine, Progress
from flows.resources import all_jobs
from stores.connect import open_database

__all__ = ["HereQueue"]


class HereQueue:
    """Runs a flow while it is submitted."""

    engine = Engine.LOCAL
    address = "this process"

    def __init__(self) -> None:
        self._ended: dict[str, Progress] = {}

    def check_reach(self, database_uri: str) -> tuple[str, ...]:
        """Return nothing to tell: this process opens the database anyway."""
        del database_uri
        return ()

    def submit(self, flow: Flow, database_uri: str) -> tuple[str, ...]:
        """Run a flow to its end; jobs that raise leave the rest of it to run."""
        with open_database(database_uri) as database, warnings.catch_warnings():
            # jobflow 0.4 changes into its folder with a function monty has deprecated
            warnings.filterwarnings("ignore", "cd is deprecated", FutureWarning)
            ended = run_locally(flow, store=job_store(database), log=False)
        self._ended[flow.uuid] = Progress.FINISHED if _is_whole(flow, ended) else Progress.BROKEN
        return tuple(job.uuid for job in all_jobs(flow))

    def progress(self, launch_ids: Sequence[str]) -> dict[str, Progress]:
        """Return how flows of this process ended: broken is one with a job that raised."""
        return {name: self._ended.get(name, Progress.UNKNOWN) for name in launch_ids}

    def close(self) -> None:
        """Hold nothing, so let go of nothing."""


def _is_whole(part: Flow | Job, ended: Mapping[str, Mapping[int, Response[Any]]]) -> bool:
    """Whether all jobs ended well, those they were replaced by included."""
    for job in all_jobs(part):
        response = ended.get(job.uuid, {}).get(job.index)
        if response is None:
            return False
        following = response.replace
        if isinstance(following, Flow | Job) and not _is_whole(following, ended):
            return False
    return True
