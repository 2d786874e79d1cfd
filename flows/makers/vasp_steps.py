"""What every job of ours around VASP's does: reserve the prediction, and leave a document."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flows.catalogue import crystal_of
from flows.events import MaterialEvent, Outcome
from flows.makers.vasp_predictor import VaspPhonons
from flows.materials import LEASE_SECONDS, STAGE, key_of, known_outcome, record_failure
from flows.reserving import reserve, running_flow
from screening.errors import DatabaseUnavailableError
from stores.connect import Database, open_database
from stores.documents import FailureDocument
from stores.documents.failure import failure_id_of
from stores.query import by_field

if TYPE_CHECKING:
    from flows.makers.vasp import VaspPhononMaker
    from screening.structure import Crystal

__all__ = ["guarded", "report_of", "start"]


def guarded(
    maker: VaspPhononMaker,
    database_uri: str,
    material_id: str,
    work: Callable[[Database, Crystal, VaspPhonons], Any],
) -> Any:
    """Do a step; what goes wrong becomes a failure document and the job's short report.

    That is so even where this worker cannot say which prediction it would make, because
    atomate2 is missing.

    Raises
    ------
    DatabaseUnavailableError
        If the database cannot be reached: the workflow engine may try the job again.
    """
    with open_database(database_uri) as database:
        crystal = crystal_of(database, material_id)
        try:
            predictor = maker.predictor()
        except Exception as error:  # noqa: BLE001 - a failure of any kind becomes a document
            failure = _without_key(material_id, error)
            database.failures.update(failure.to_store())
            return report_of(material_id, Outcome.FAILED, f"{failure.code}: {failure.message}")
        _forget_without_key(database, material_id)
        key = key_of(crystal.digest, predictor)
        try:
            return work(database, crystal, predictor)
        except DatabaseUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - a failure of any kind becomes a document
            attempts = max(1, database.claims.attempts(key))
            event = record_failure(database, crystal, predictor, error, attempts)
            database.claims.withdraw(running_flow(), key)
            return report_of(material_id, event.outcome, event.detail)


def _without_key(material_id: str, error: Exception) -> FailureDocument:
    """Say what went wrong before the key of the prediction was known."""
    method, tier = VaspPhonons.method, VaspPhonons.tier
    return FailureDocument.from_error(
        error, stage=STAGE, material_id=material_id, method=method, tier=tier
    )


def _forget_without_key(database: Database, material_id: str) -> None:
    key = failure_id_of(material_id, STAGE, VaspPhonons.method)
    database.failures.remove_docs(by_field("failure_id", key))


def report_of(material_id: str, outcome: Outcome, detail: str = "") -> dict[str, str]:
    """Return the short report of a job."""
    return {"material_id": material_id, "outcome": outcome.value, "detail": detail}


def start(database: Database, crystal: Crystal, key: str) -> MaterialEvent | None:
    """Reserve the prediction for this flow; returns why not, where it is not to be made."""
    busy = MaterialEvent(crystal.material_id, crystal.formula, Outcome.BUSY_ELSEWHERE)
    claim = database.claims.acquire(key, lease_seconds=LEASE_SECONDS)
    if claim is None:
        return busy
    with claim:
        known = known_outcome(database, crystal, key)
        if known is not None:
            return known
        return None if reserve(database, key, running_flow()) else busy
