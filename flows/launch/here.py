"""The queue that is none: jobflow's own manager runs the flow in this process."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from jobflow import Flow, run_locally

from flows.launch.addresses import job_store
from flows.launch.queues import Engine, Progress
from flows.resources import all_jobs
from stores.connect import open_database

__all__ = ["HereQueue"]


class HereQueue:
    """Runs a flow while it is submitted."""

    engine = Engine.LOCAL
    address = "this process"

    def check_reach(self, database_uri: str) -> tuple[str, ...]:
        """Return nothing to tell: this process opens the database anyway."""
        del database_uri
        return ()

    def submit(self, flow: Flow, database_uri: str) -> tuple[str, ...]:
        """Run a flow to its end; jobs that raise leave the rest of it to run."""
        with open_database(database_uri) as database, warnings.catch_warnings():
            # jobflow 0.4 changes into its folder with a function monty has deprecated
            warnings.filterwarnings("ignore", "cd is deprecated", FutureWarning)
            run_locally(flow, store=job_store(database), log=False)
        return tuple(job.uuid for job in all_jobs(flow))

    def progress(self, launch_ids: Sequence[str]) -> dict[str, Progress]:
        """Nothing outlives its submission."""
        return dict.fromkeys(launch_ids, Progress.UNKNOWN)

    def close(self) -> None:
        """Hold nothing, so let go of nothing."""
