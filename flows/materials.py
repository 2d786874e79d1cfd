"""One material: claimed, predicted, written; whatever happens leaves a document.

Order of writing: arrays first (by digest), then the phonon document, then the prediction.
The prediction is what "done" means, so a kill between two writes is repaired by computing
again and writing the same keys.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from flows.checkpoints import predict_resumably
from flows.events import MaterialEvent, Outcome, emit
from screening.errors import DatabaseUnavailableError
from screening.prediction import Prediction
from screening.predictors.interface import Predictor, prediction_key
from screening.structure import Crystal
from stores.claims import Claim
from stores.connect import Database
from stores.documents import FailureDocument, PhononDocument, PredictionDocument, phonon_arrays
from stores.query import and_, by_field

__all__ = [
    "LEASE_SECONDS",
    "WATCH_SECONDS",
    "Errand",
    "abandoned",
    "attempt",
    "key_of",
    "known_outcome",
    "record_failure",
    "run_errand",
    "screen_material",
    "write_prediction",
]

LEASE_SECONDS = 60.0
"""A claim that nobody renewed for this long may be taken over."""

WATCH_SECONDS = LEASE_SECONDS + 5.0
"""Long enough to see whether another host renews a claim."""

STAGE = "predict"

Result = TypeVar("Result")


@dataclass(frozen=True)
class Errand:
    """What is to be made of one material, once.

    Attributes
    ----------
    key
        What is claimed while it is made.
    known
        Looks for what an earlier run left; None where there is work to do.
    fail
        Writes the failure, given the error and the number of attempts.
    """

    key: str
    known: Callable[[], MaterialEvent | None]
    fail: Callable[[Exception, int], MaterialEvent]


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

    def keep(prediction: Prediction) -> MaterialEvent:
        write_prediction(database, prediction, crystal.material_id)
        return _event(crystal, Outcome.COMPUTED, detail=prediction.stability.verdict.value)

    key = key_of(crystal.digest, predictor)
    return attempt(
        database,
        crystal,
        predictor,
        lambda: predict_resumably(predictor, crystal, database, key),
        keep,
    )


def attempt(
    database: Database,
    crystal: Crystal,
    predictor: Predictor,
    compute: Callable[[], Result],
    keep: Callable[[Result], MaterialEvent],
) -> MaterialEvent:
    """Do one material's work under its claim, unless there is none to do.

    Parameters
    ----------
    database, crystal, predictor
        What is predicted with what.
    compute
        The work; whatever it raises becomes a failure document, unless the database is away.
    keep
        Writes its result, if the claim still holds then, and says what happened.

    Returns
    -------
    MaterialEvent
        What happened; the same event is emitted to the listener.

    Raises
    ------
    DatabaseUnavailableError
        If the database cannot be reached, which says nothing about the material.
    """
    key = key_of(crystal.digest, predictor)
    errand = Errand(
        key,
        lambda: known_outcome(database, crystal, key),
        lambda error, attempts: record_failure(database, crystal, predictor, error, attempts),
    )
    return run_errand(database, crystal, errand, compute, keep)


def run_errand(
    database: Database,
    crystal: Crystal,
    errand: Errand,
    compute: Callable[[], Result],
    keep: Callable[[Result], MaterialEvent],
) -> MaterialEvent:
    """Do what is to be made of one material under its claim, unless there is nothing to do.

    Parameters
    ----------
    database, crystal
        Where, and of what.
    errand
        What is to be made.
    compute, keep
        As `attempt` takes them.

    Returns
    -------
    MaterialEvent
        What happened; the same event is emitted to the listener.

    Raises
    ------
    DatabaseUnavailableError
        If the database cannot be reached, which says nothing about the material.
    """
    event = errand.known()
    if event is None:
        claim = database.claims.acquire(errand.key, lease_seconds=LEASE_SECONDS)
        if claim is None:
            event = _event(crystal, Outcome.BUSY_ELSEWHERE)
        else:
            event = _attempt_claimed(crystal, errand, claim, compute, keep)
    emit(event)
    return event


def _event(
    crystal: Crystal, outcome: Outcome, seconds: float = 0.0, detail: str = ""
) -> MaterialEvent:
    return MaterialEvent(crystal.material_id, crystal.formula, outcome, seconds, detail)


def known_outcome(database: Database, crystal: Crystal, key: str) -> MaterialEvent | None:
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


def _attempt_claimed(
    crystal: Crystal,
    errand: Errand,
    claim: Claim,
    compute: Callable[[], Result],
    keep: Callable[[Result], MaterialEvent],
) -> MaterialEvent:
    """Compute under a claim, which is renewed meanwhile and given back whatever happens."""
    started = time.monotonic()
    try:
        # Another process may have finished between our look and our claim.
        known = errand.known()
        if known is not None:
            return known
        emit(_event(crystal, Outcome.STARTED))
        with claim.kept():
            event = _outcome_of(crystal, errand, claim, compute, keep)
        return replace(event, wall_seconds=time.monotonic() - started)
    finally:
        claim.release()


def _outcome_of(
    crystal: Crystal,
    errand: Errand,
    claim: Claim,
    compute: Callable[[], Result],
    keep: Callable[[Result], MaterialEvent],
) -> MaterialEvent:
    try:
        result = compute()
    except DatabaseUnavailableError:
        raise
    except Exception as error:  # noqa: BLE001 - a failure of any kind becomes a document
        if not claim.still_mine():
            return _event(crystal, Outcome.BUSY_ELSEWHERE)
        return errand.fail(error, claim.attempts)
    if not claim.still_mine():  # the lease lapsed (sleep, overload): the other's result counts
        return _event(crystal, Outcome.BUSY_ELSEWHERE)
    return keep(result)


def abandoned(database: Database, keys: Mapping[str, str]) -> list[str]:
    """Return the materials whose claims nobody renews, though they seemed to be busy.

    Only claims of other hosts are watched: a scheduler that ends a job there at its time limit
    leaves them behind.

    Parameters
    ----------
    database
        Where the claims are.
    keys
        What is claimed, by material.
    """
    held = database.claims.held(keys.values(), patience_seconds=WATCH_SECONDS) if keys else set()
    return [name for name, key in keys.items() if key not in held]


def record_failure(
    database: Database,
    crystal: Crystal,
    predictor: Predictor,
    error: Exception,
    attempts: int,
) -> MaterialEvent:
    """Write the failure of one material; returns the event that says so.

    Where methods of lower tiers had failed too, the message gives their reasons before its own.
    """
    document = FailureDocument.from_error(
        error,
        stage=STAGE,
        material_id=crystal.material_id,
        method=predictor.method,
        prediction_id=key_of(crystal.digest, predictor),
        tier=predictor.tier,
        earlier=_earlier_reasons(database, crystal.material_id, predictor.tier),
        attempts=attempts,
    )
    database.failures.update(document.to_store())
    return _event(crystal, Outcome.FAILED, detail=f"{document.code}: {document.message}")


def _earlier_reasons(database: Database, material_id: str, tier: int) -> list[str]:
    """Why methods of lower tiers had failed on a crystal that a better one was to save.

    A tier that has a prediction of the crystal did not fail, whatever other settings did.
    """
    same = by_field("material_id", material_id)
    rows = database.failures.query(and_(same, by_field("stage", STAGE)))
    failed = [one for row in rows if (one := FailureDocument.load(row)).is_below(tier)]
    if not failed:
        return []
    predicted = {row["tier"] for row in database.predictions.query(same, ["tier"])}
    ordered = sorted(failed, key=lambda one: (one.tier or 0, one.failure_id))
    reasons = (
        f"{one.method}: {one.code}: {one.reason}" for one in ordered if one.tier not in predicted
    )
    return list(dict.fromkeys(reasons))


def write_prediction(database: Database, prediction: Prediction, material_id: str) -> None:
    """Write arrays, phonon document and prediction, in the order that survives a kill."""
    document = PredictionDocument.from_prediction(prediction, material_id)
    blobs = {part: database.blobs.put(x) for part, x in phonon_arrays(prediction).items()}
    if blobs:
        phonons = PhononDocument.from_prediction(prediction, material_id, blobs)
        database.phonons.update(phonons.to_store())
    database.predictions.update(document.to_store())
    database.failures.remove_docs(by_field("prediction_id", document.prediction_id))
