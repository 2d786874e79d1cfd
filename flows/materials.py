"""One material: claimed, predicted, written; whatever happens leaves a document.

Order of writing: arrays first (by digest), then the phonon document, then the prediction.
The prediction is what "done" means, so a kill between two writes is repaired by computing
again and writing the same keys.
"""

from __future__ import annotations

import time
from dataclasses import replace

from flows.events import MaterialEvent, Outcome, emit
from screening.prediction import Prediction
from screening.predictors.interface import Predictor, prediction_key
from screening.structure import Crystal
from stores.claims import Claim
from stores.connect import Database
from stores.documents import FailureDocument, PhononDocument, PredictionDocument
from stores.documents.phonon import phonon_arrays
from stores.query import by_field

__all__ = [
    "LEASE_SECONDS",
    "key_of",
    "record_failure",
    "screen_material",
    "write_prediction",
]

LEASE_SECONDS = 60.0
"""A claim that nobody renewed for this long may be taken over."""

STAGE = "predict"


def key_of(structure_digest: str, predictor: Predictor) -> str:
    """Return the key of the prediction of one structure by one predictor."""
    return prediction_key(
        structure_digest,
        predictor.method,
        predictor.method_version,
        predictor.model_digest,
        predictor.settings_digest,
    )


def screen_material(database: Database, crystal: Crystal, predictor: Predictor) -> MaterialEvent:
    """Predict one material unless it is done, has failed before, or is being computed.

    Returns
    -------
    MaterialEvent
        What happened; the same event is emitted to the listener.
    """
    key = key_of(crystal.digest, predictor)
    event = _known_outcome(database, crystal, key)
    if event is None:
        claim = database.claims.acquire(key, lease_seconds=LEASE_SECONDS)
        if claim is None:
            event = _event(crystal, Outcome.BUSY_ELSEWHERE)
        else:
            event = _screen_claimed(database, crystal, predictor, claim)
    emit(event)
    return event


def _event(
    crystal: Crystal, outcome: Outcome, seconds: float = 0.0, detail: str = ""
) -> MaterialEvent:
    return MaterialEvent(crystal.material_id, crystal.formula, outcome, seconds, detail)


def _known_outcome(database: Database, crystal: Crystal, key: str) -> MaterialEvent | None:
    """Return what an earlier run left, or None where there is work to do."""
    same = by_field("prediction_id", key)
    if database.predictions.query_one(same, ["prediction_id"]):
        return _event(crystal, Outcome.ALREADY_DONE)
    failure = database.failures.query_one(same, ["code", "message"])
    if failure:
        return _event(
            crystal, Outcome.FAILED_BEFORE, detail=f"{failure['code']}: {failure['message']}"
        )
    return None


def _screen_claimed(
    database: Database, crystal: Crystal, predictor: Predictor, claim: Claim
) -> MaterialEvent:
    """Compute under a claim, which is renewed meanwhile and given back whatever happens."""
    key = key_of(crystal.digest, predictor)
    started = time.monotonic()
    try:
        # Another process may have finished between our look and our claim.
        known = _known_outcome(database, crystal, key)
        if known is not None:
            return known
        emit(_event(crystal, Outcome.STARTED))
        with claim.kept():
            return _predict_and_write(database, crystal, predictor, claim, started)
    finally:
        claim.release()


def _predict_and_write(
    database: Database, crystal: Crystal, predictor: Predictor, claim: Claim, started: float
) -> MaterialEvent:
    try:
        prediction = predictor.predict(crystal)
    except Exception as error:  # noqa: BLE001 - a failure of any kind becomes a document
        if not claim.still_mine():
            return _event(crystal, Outcome.BUSY_ELSEWHERE)
        failed = record_failure(database, crystal, predictor, error, claim.attempts)
        return replace(failed, wall_seconds=time.monotonic() - started)
    if not claim.still_mine():  # the lease lapsed (sleep, overload): the other's result counts
        return _event(crystal, Outcome.BUSY_ELSEWHERE)
    write_prediction(database, prediction, crystal.material_id)
    seconds = time.monotonic() - started
    return _event(crystal, Outcome.COMPUTED, seconds, prediction.stability.verdict.value)


def record_failure(
    database: Database,
    crystal: Crystal,
    predictor: Predictor,
    error: Exception,
    attempts: int,
) -> MaterialEvent:
    """Write the failure of one material; returns the event that says so."""
    document = FailureDocument.from_error(
        error,
        stage=STAGE,
        material_id=crystal.material_id,
        method=predictor.method,
        prediction_id=key_of(crystal.digest, predictor),
        attempts=attempts,
    )
    database.failures.update(document.to_store())
    return _event(crystal, Outcome.FAILED, detail=f"{document.code}: {document.message}")


def write_prediction(database: Database, prediction: Prediction, material_id: str) -> None:
    """Write arrays, phonon document and prediction, in the order that survives a kill."""
    document = PredictionDocument.from_prediction(prediction, material_id)
    blobs = {part: database.blobs.put(x) for part, x in phonon_arrays(prediction).items()}
    if blobs:
        phonons = PhononDocument.from_prediction(prediction, material_id, blobs)
        database.phonons.update(phonons.to_store())
    database.predictions.update(document.to_store())
    database.failures.remove_docs(by_field("prediction_id", document.prediction_id))
