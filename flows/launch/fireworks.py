"""FireWorks: the only module that imports it.

Outputs of jobs go to the database of the results, so that workers need no store of their own. A
launch is found again by its UUID in the metadata of the workflow.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobflow import Flow

from flows.launch.addresses import is_file, job_store
from flows.launch.queues import Destination, Engine, Progress
from flows.resources import place
from screening.errors import EngineUnavailableError, ScreeningError
from stores.connect import open_database
from stores.mongo_errors import mongo_border
from stores.passwords import mask_passwords
from stores.query import in_values

if TYPE_CHECKING:
    from fireworks import LaunchPad

__all__ = ["FireworksQueue", "launchpad_file"]

LAUNCH_FIELD = "phonoscreen_launch_id"
RUNS_ON = frozenset({"READY", "RESERVED", "RUNNING", "PAUSED"})
DONE = "COMPLETED"
INSTALL = "Install phonoscreen with its extra 'fireworks'"
CONFIGURE = (
    "Write the file with 'lpad init', then give it with --launchpad or put it at "
    "~/.fireworks/my_launchpad.yaml"
)


def launchpad_file(named: Path | None = None) -> Path:
    """Return the LaunchPad file: the one named, or the one that FireWorks finds.

    Raises
    ------
    EngineUnavailableError
        If FireWorks is not installed, or there is no such file.
    """
    try:
        from fireworks import fw_config
    except ImportError as error:
        raise EngineUnavailableError("FireWorks is not installed", hint=INSTALL) from error
    found = named if named is not None else fw_config.LAUNCHPAD_LOC
    if found is None:
        raise EngineUnavailableError("FireWorks has no LaunchPad file", hint=CONFIGURE)
    if not Path(found).is_file():
        raise EngineUnavailableError(
            "there is no such LaunchPad file", subject=str(found), hint=CONFIGURE
        )
    return Path(found)


class FireworksQueue:
    """The LaunchPad of FireWorks.

    Parameters
    ----------
    destination
        LaunchPad file; worker names become categories of ``my_fworker.yaml``.
    """

    engine = Engine.FIREWORKS

    def __init__(self, destination: Destination) -> None:
        self._configs = destination.configs("_category")
        self._launchpad = _launchpad(launchpad_file(destination.launchpad))
        pad = self._launchpad
        server = pad.host if pad.uri_mode else f"{pad.host}:{pad.port}"
        self.address = mask_passwords(f"{server}/{pad.name}")

    def check_reach(self, database_uri: str) -> tuple[str, ...]:
        """Warn of a file: FireWorks does not know which host takes a job."""
        if not is_file(database_uri):
            return ()
        return (f"{database_uri} is a file: workers on other hosts cannot open it",)

    def submit(self, flow: Flow, database_uri: str) -> tuple[str, ...]:
        """Add a workflow to the LaunchPad.

        Returns
        -------
        tuple of str
            The numbers (``fw_id``) of its fireworks.

        Raises
        ------
        DatabaseUnavailableError
            If the server of the LaunchPad cannot be reached.
        """
        from jobflow.managers.fireworks import flow_to_workflow

        place(flow, self._configs)
        with open_database(database_uri) as database, mongo_border(self.address):
            workflow = flow_to_workflow(
                flow, store=job_store(database), metadata={LAUNCH_FIELD: flow.uuid}
            )
            numbers = self._launchpad.add_wf(workflow)
        return tuple(str(number) for number in sorted(numbers.values()))

    def progress(self, launch_ids: Sequence[str]) -> dict[str, Progress]:
        """Return how launches are doing: broken is one without a job that can still run."""
        found = dict.fromkeys(launch_ids, Progress.UNKNOWN)
        field = f"metadata.{LAUNCH_FIELD}"
        with mongo_border(self.address):
            rows = self._launchpad.workflows.find(in_values(field, launch_ids))
            for row in rows:
                found[row["metadata"][LAUNCH_FIELD]] = self._progress_of(row["nodes"])
        return found

    def _progress_of(self, numbers: Sequence[int]) -> Progress:
        rows = self._launchpad.fireworks.find(in_values("fw_id", numbers), ["state"])
        states = {row["state"] for row in rows}
        if states & RUNS_ON:
            return Progress.ACTIVE
        return Progress.FINISHED if states <= {DONE} else Progress.BROKEN

    def close(self) -> None:
        """End the connections to the server."""
        self._launchpad.connection.close()


def _launchpad(file: Path) -> LaunchPad:
    from fireworks import LaunchPad

    kind = "json" if file.suffix == ".json" else "yaml"
    try:
        with mongo_border(str(file)):
            pad: Any = LaunchPad.from_file(str(file), f_format=kind)
    except ScreeningError:
        raise
    except Exception as error:  # noqa: BLE001 - parsers of two formats, with errors of their own
        raise EngineUnavailableError(
            f"is no LaunchPad file ({type(error).__name__})", subject=str(file), hint=CONFIGURE
        ) from None  # the message of a parser may quote a line with the password
    return pad
