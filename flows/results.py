"""A stored material put together again: documents, and the arrays behind them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from flows.catalogue import in_chunks
from flows.tables import Status
from screening.decisions.outcome import Outcome
from screening.errors import NotFoundError
from screening.prediction import BandStructure, DensityOfStates, ForceData
from stores.connect import Database
from stores.documents import (
    FailureDocument,
    PhononDocument,
    PredictionDocument,
    StructureDocument,
    VibrationalDocument,
)
from stores.query import by_field, in_values

__all__ = ["StoredMaterial", "StoredPhonons", "material", "phonons_of", "status_of"]


@dataclass(frozen=True)
class StoredPhonons:
    """Phonon document with its arrays; None where the method has none."""

    document: PhononDocument
    force_data: ForceData | None
    density_of_states: DensityOfStates | None
    band_structure: BandStructure | None


@dataclass(frozen=True)
class StoredMaterial:
    """Everything the database knows of one material; ``prediction`` is the one summarised."""

    structure: StructureDocument
    summary: VibrationalDocument | None
    prediction: PredictionDocument | None
    failures: tuple[FailureDocument, ...]


def material(database: Database, material_id: str) -> StoredMaterial:
    """Read a material with its summary, the prediction behind it, and its failures.

    Raises
    ------
    NotFoundError
        If there is no such material.
    """
    same = by_field("material_id", material_id)
    stored = database.structures.query_one(same)
    if stored is None:
        raise NotFoundError("no such material", subject=material_id, hint="Import it first")
    summary = database.vibrational.query_one(same)
    prediction = None
    if summary is not None:
        best = by_field("prediction_id", summary["prediction_id"])
        prediction = database.predictions.query_one(best)
    return StoredMaterial(
        structure=StructureDocument.load(stored),
        summary=VibrationalDocument.load(summary) if summary else None,
        prediction=PredictionDocument.load(prediction) if prediction else None,
        failures=tuple(FailureDocument.load(row) for row in database.failures.query(same)),
    )


def phonons_of(database: Database, prediction_id: str) -> StoredPhonons:
    """Read forces, density of states and bands of a prediction.

    Raises
    ------
    NotFoundError
        If the prediction has no phonons.
    CorruptDataError
        If stored bytes do not match their digest.
    """
    stored = database.phonons.query_one(by_field("prediction_id", prediction_id))
    if stored is None:
        raise NotFoundError("this prediction has no phonons", subject=prediction_id)
    document = PhononDocument.load(stored)
    arrays = {part: database.blobs.get(sha256) for part, sha256 in document.blob_digests.items()}
    dos, bands = arrays.get("density_of_states"), arrays.get("band_structure")
    return StoredPhonons(
        document=document,
        force_data=document.force_data(arrays["forces"]) if "forces" in arrays else None,
        density_of_states=None if dos is None else document.density_of_states(dos),
        band_structure=None if bands is None else document.band_structure(bands),
    )


def status_of(database: Database) -> Status:
    """Count what a database holds and what waits."""
    names = ("structures", "predictions", "phonons", "vibrational", "polymorphs", "failures")
    counts = {name: database.collection(name).count() for name in names}
    alone = by_field("duplicate_of", None)
    settled = _values(database, "predictions", "material_id")
    settled |= _values(database, "failures", "material_id")
    waiting = _values(database, "structures", "material_id", alone) - settled
    return Status(
        uri=database.uri,
        collections=counts,
        pending=len(waiting),
        escalated=_open_escalations(database),
        verdicts=_counts(database, "vibrational", "verdict"),
        models=_counts(database, "vibrational", "model"),
        failures=_counts(database, "failures", "code"),
    )


def _open_escalations(database: Database) -> int:
    """Count materials whose last word is that a better method is asked, which said nothing yet."""
    fields = ["material_id", "question", "alpha", "outcome", "next_tier"]
    rows = database.decisions.query({}, fields, sort={"last_updated": 1, "tier": 1})
    last = {(row["material_id"], row["question"], row.get("alpha")): row for row in rows}
    wanted = {
        (row["material_id"], row["next_tier"])
        for row in last.values()
        if row["outcome"] == Outcome.ESCALATE
    }
    names = sorted({name for name, _ in wanted})
    for collection in ("predictions", "failures"):
        for some in in_chunks(names):
            found = database.collection(collection).query(
                in_values("material_id", some), ["material_id", "tier"]
            )
            wanted -= {(row["material_id"], row.get("tier")) for row in found}
    return len({name for name, _ in wanted})


def _values(
    database: Database, collection: str, field: str, criteria: dict[str, Any] | None = None
) -> set[str]:
    rows = database.collection(collection).query(criteria or {}, [field])
    return {row[field] for row in rows if row.get(field) is not None}


def _counts(database: Database, collection: str, field: str) -> dict[str, int]:
    rows = database.collection(collection).query({}, [field])
    found = Counter(str(row[field]) for row in rows if row.get(field) is not None)
    return dict(sorted(found.items()))
