"""jobflow-remote: the only module that imports it.

Outputs of jobs go to the job store of its project; results go to the database, as always.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jobflow import Flow

from flows.launch.addresses import refuse_file
from flows.launch.queues import Destination, Engine, Progress
from flows.resources import place
from screening.errors import EngineUnavailableError, SettingError
from stores.mongo_errors import mongo_border
from stores.passwords import mask_passwords

if TYPE_CHECKING:
    from jobflow_remote.config.base import Project

__all__ = ["RemoteQueue", "project_of"]

DONE = "COMPLETED"
STANDS_STILL = frozenset({"WAITING", "REMOTE_ERROR", "FAILED", "STOPPED", "USER_STOPPED", DONE})
"""States from which a job moves only when another one, or its user, moves it."""

INSTALL = "Install phonoscreen with its extra 'remote'"
ON_THIS_HOST = "local"


def project_of(name: str | None) -> Project:
    """Return a project of jobflow-remote; without a name the only one, or that of its settings.

    Raises
    ------
    EngineUnavailableError
        If jobflow-remote is not installed, or has no such project that can be read.
    """
    try:
        from jobflow_remote.config.base import ConfigError
        from jobflow_remote.config.manager import ConfigManager
    except ImportError as error:
        raise EngineUnavailableError("jobflow-remote is not installed", hint=INSTALL) from error
    try:
        manager = ConfigManager()
        return manager.get_project(name)
    except ConfigError as error:
        raise EngineUnavailableError(
            f"no project of jobflow-remote: {error}", subject=name or "", hint=_configure()
        ) from error


def _configure() -> str:
    from jobflow_remote import SETTINGS

    return (
        f"Projects are files in {SETTINGS.projects_folder} (JFREMOTE_PROJECTS_FOLDER): 'jf project "
        "generate NAME' writes one, 'jf project check -e' says what is wrong with it, and --project"
        " chooses among several"
    )


class RemoteQueue:
    """The queue of a project of jobflow-remote.

    Parameters
    ----------
    destination
        Project, and the names of its workers; without names its first worker.

    Raises
    ------
    EngineUnavailableError
        If there is no such project.
    SettingError
        If the project has no such worker.
    """

    engine = Engine.JOBFLOW_REMOTE

    def __init__(self, destination: Destination) -> None:
        self._project = project_of(destination.project)
        if not self._project.workers:
            raise EngineUnavailableError(
                "the project has no workers", subject=self._project.name, hint=_configure()
            )
        self._configs = destination.configs("worker")
        self._usual = next(iter(self._project.workers))
        self._workers = {config.get("worker", self._usual) for config in self._configs.values()}
        for name in sorted(self._workers - set(self._project.workers)):
            raise SettingError(
                f"project {self._project.name!r} has no worker {name!r}",
                subject="worker",
                hint=f"It has {', '.join(self._project.workers)}",
            )
        self.address = f"project {self._project.name}"
        self._controller: Any = None

    def check_reach(self, database_uri: str) -> tuple[str, ...]:
        """Refuse a database file if one of the workers is on another host.

        Raises
        ------
        DatabaseUriError
            Naming the worker.
        """
        for name in sorted(self._workers):
            if self._project.workers[name].type != ON_THIS_HOST:
                refuse_file(database_uri, name)
        return ()

    def submit(self, flow: Flow, database_uri: str) -> tuple[str, ...]:
        """Add a flow to the queue.

        Returns
        -------
        tuple of str
            The numbers (``db_id``) of its jobs.

        Raises
        ------
        EngineUnavailableError
            If the queue was never set up, or a job needs a store that the project has not.
        DatabaseUnavailableError
            If the server of the queue cannot be reached.
        """
        del database_uri  # every job carries it
        from jobflow_remote import submit_flow
        from jobflow_remote.config.base import ConfigError

        place(flow, self._configs)
        try:
            with mongo_border(self.address):
                numbers = submit_flow(flow, worker=self._usual, project=self._project.name)
        except (ConfigError, ValueError) as error:
            raise EngineUnavailableError(
                f"refuses the flow: {mask_passwords(str(error))}",
                subject=self.address,
                hint="A new queue is set up once with 'jf admin reset'; see 'jf project check -e'",
            ) from error
        return tuple(str(number) for number in numbers)

    def progress(self, launch_ids: Sequence[str]) -> dict[str, Progress]:
        """Return how flows are doing: broken is one without a job that can still run."""
        states: dict[str, set[str]] = defaultdict(set)
        with mongo_border(self.address):
            for flow in self._jobs().get_flows_info(flow_ids=list(launch_ids), with_jobs_info=True):
                states[flow.flow_id] |= {state.value for state in flow.job_states}
        return {name: _progress_of(states[name]) for name in launch_ids}

    def _jobs(self) -> Any:
        if self._controller is None:
            from jobflow_remote import JobController

            self._controller = JobController.from_project(self._project)
        return self._controller

    def close(self) -> None:
        """End the connections to the server."""
        if self._controller is not None:
            self._controller.close()
            self._controller = None


def _progress_of(states: set[str]) -> Progress:
    if not states:
        return Progress.UNKNOWN
    if states - STANDS_STILL:
        return Progress.ACTIVE
    return Progress.FINISHED if states <= {DONE} else Progress.BROKEN
