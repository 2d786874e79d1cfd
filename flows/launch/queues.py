"""What launching needs of a workflow engine, and how a user names one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from jobflow import Flow

from flows.resources import Resource
from screening.errors import SettingError

__all__ = ["Destination", "Engine", "Progress", "Queue", "engine_named", "open_queue"]


class Engine(StrEnum):
    """Where flows run."""

    LOCAL = "local"
    FIREWORKS = "fireworks"
    JOBFLOW_REMOTE = "jobflow-remote"


def engine_named(text: str) -> Engine:
    """Return the engine that a user means.

    Raises
    ------
    SettingError
        If there is none of this name.
    """
    try:
        return Engine(text)
    except ValueError:
        raise SettingError(
            f"there is no engine {text!r}", subject="--on", hint=f"Use {', '.join(Engine)}"
        ) from None


class Progress(StrEnum):
    """What an engine says of a submitted flow.

    Active is a flow of which a job can still run; broken is one that stands still unfinished.
    """

    ACTIVE = "active"
    FINISHED = "finished"
    BROKEN = "broken"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Destination:
    """An engine, its configuration, and the worker of each resource.

    Attributes
    ----------
    engine
        Which engine.
    project
        Project of jobflow-remote; None means the only one, or the one of its settings.
    launchpad
        LaunchPad file of FireWorks; None means the one that FireWorks finds.
    workers
        For each resource the name of a worker (jobflow-remote) or the category of one
        (FireWorks). A resource without a name goes to the worker of potentials, and if that has
        none either, wherever the engine likes.
    manager_configs
        More for the engine, by resource: ``resources`` and ``exec_config`` of jobflow-remote,
        ``_queueadapter`` and other keys of a ``spec`` of FireWorks.
    """

    engine: Engine = Engine.LOCAL
    project: str | None = None
    launchpad: Path | None = None
    workers: Mapping[Resource, str] = field(default_factory=dict)
    manager_configs: Mapping[Resource, Mapping[str, Any]] = field(default_factory=dict)

    def configs(self, worker_key: str) -> dict[Resource, dict[str, Any]]:
        """Return each resource's configuration, the name of its worker under an engine's key."""
        usual = self.workers.get(Resource.POTENTIAL)
        found: dict[Resource, dict[str, Any]] = {}
        for resource in Resource:
            worker = self.workers.get(resource, usual)
            named = {} if worker is None else {worker_key: worker}
            found[resource] = named | dict(self.manager_configs.get(resource, {}))
        return found


class Queue(Protocol):
    """The queue of an engine; a context manager that lets go of its connections."""

    @property
    def engine(self) -> Engine:
        """Which engine."""

    @property
    def address(self) -> str:
        """Where the queue is, without passwords."""

    def check_reach(self, database_uri: str) -> tuple[str, ...]:
        """Refuse a database that the workers cannot open; return what could not be checked."""

    def submit(self, flow: Flow, database_uri: str) -> tuple[str, ...]:
        """Hand over a flow; return the engine's own numbers of its jobs."""

    def progress(self, launch_ids: Sequence[str]) -> dict[str, Progress]:
        """Return how flows are doing, by the UUID under which they were submitted."""

    def close(self) -> None:
        """Let go of all connections."""


def open_queue(destination: Destination) -> Queue:
    """Return the queue of an engine, which must be installed and configured.

    Raises
    ------
    EngineUnavailableError
        If it is not; the hint says what to do.
    SettingError
        If a worker is unknown, or the engine has no queue.
    """
    if destination.engine is Engine.FIREWORKS:
        from flows.launch.fireworks import FireworksQueue

        return FireworksQueue(destination)
    if destination.engine is Engine.JOBFLOW_REMOTE:
        from flows.launch.remote import RemoteQueue

        return RemoteQueue(destination)
    from flows.launch.here import HereQueue

    return HereQueue()
