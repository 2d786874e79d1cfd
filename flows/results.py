"""A stored material put together again: documents, and the arrays behind them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from flows.catalogue import in_chunks
from flows.events import LABELLING
from flows.tables import Status
from screening.decisions.outcome import Outcome
from screening.errors import NotFoundError
from screening.prediction import BandStructure, DensityOfStates, FloatArray, ForceData
from stores.connect import Database
from stores.documents import (
    FailureDocument,
    PhononDocument,
    PredictionDocument,
    StructureDocument,
    VibrationalDocument,
)
from stores.query import by_field, in_values, not_

if TYPE_CHECKING:
    from screening.anharmonic import DisplacedCells, ForceConstants
    from screening.conductivity_records import ThermalConductivity
    from screening.harmonic import Harmonic
    from stores.blobs import BlobStore

__all__ = [
    "StoredMaterial",
    "StoredPhonons",
    "find_phonons",
    "material",
    "open_failures",
    "phonons_of",
    "spectra_of",
    "status_of",
]

Part = TypeVar("Part")


@dataclass(frozen=True, eq=False)
class StoredPhonons:
    """Phonon document with its arrays, which are read when they are asked for.

    Parts are None where the method has none. Reading one raises `CorruptDataError` if stored
    bytes do not match their digest, `NotFoundError` if they are gone.

    Attributes
    ----------
    document
        The document.
    blobs
        Where its arrays are; the database must stay open.
    """

    document: PhononDocument
    blobs: BlobStore

    @cached_property
    def force_data(self) -> ForceData | None:
        """Forces of supercells with one displaced atom."""
        return self._read("forces", self.document.force_data)

    @cached_property
    def force_constants(self) -> ForceConstants | None:
        """Force constants that do not follow from such forces."""
        return self._read("force_constants", self.document.force_constants)

    @cached_property
    def displaced_cells(self) -> DisplacedCells | None:
        """Forces of supercells with all atoms displaced."""
        return self._read("displaced_cells", self.document.displaced_cells)

    @cached_property
    def conductivity(self) -> ThermalConductivity | None:
        """Lattice thermal conductivity with its modes."""
        return self._read("conductivity", self.document.conductivity)

    @cached_property
    def conductivity_std_w_per_m_k(self) -> FloatArray | None:
        """Standard deviations of the conductivity in W/m/K, shape (temperature, 3, 3)."""
        return self._read("conductivity", self.document.conductivity_std)

    @cached_property
    def density_of_states(self) -> DensityOfStates | None:
        """Density of states."""
        return self._read("density_of_states", self.document.density_of_states)

    @cached_property
    def band_structure(self) -> BandStructure | None:
        """Bands along the path."""
        return self._read("band_structure", self.document.band_structure)

    @property
    def has_forces(self) -> bool:
        """Whether there are forces of displaced supercells, of one atom or of all."""
        return not self.document.blob_digests.keys().isdisjoint(("forces", "displaced_cells"))

    @property
    def has_harmonic(self) -> bool:
        """Whether there is what the harmonic crystal follows from."""
        return not self.document.blob_digests.keys().isdisjoint(("forces", "force_constants"))

    def harmonic(self) -> Harmonic:
        """Force constants of second order, fitted ones or those that follow from forces.

        Raises
        ------
        NotFoundError
            If the method gave neither.
        """
        from screening.harmonic import harmonic_from_force_constants, harmonic_from_forces

        if self.force_constants is not None:
            return harmonic_from_force_constants(self.force_constants)
        if self.force_data is not None:
            return harmonic_from_forces(self.force_data)
        raise NotFoundError("this method has no force constants", subject=self.document.material_id)

    def _read(self, part: str, reader: Callable[[dict[str, Any]], Part]) -> Part | None:
        digest = self.document.blob_digests.get(part)
        return None if digest is None else reader(self.blobs.get(digest))


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
    """Find forces, force constants, spectra and conductivity of a prediction.

    Raises
    ------
    NotFoundError
        If the prediction has no phonons.
    """
    found = find_phonons(database, prediction_id)
    if found is None:
        raise NotFoundError(
            "this prediction has no phonons",
            subject=prediction_id,
            hint="Models that sum up modes keep none; screen the material with a potential",
        )
    return found


def find_phonons(database: Database, prediction_id: str) -> StoredPhonons | None:
    """Find what `phonons_of` does; None where the method keeps none."""
    stored = database.phonons.query_one(by_field("prediction_id", prediction_id))
    return None if stored is None else StoredPhonons(PhononDocument.load(stored), database.blobs)


def spectra_of(
    database: Database, prediction: PredictionDocument
) -> tuple[StoredPhonons, PredictionDocument] | None:
    """Find the phonons of a prediction, or of another one of the same crystal by the same model.

    A trained model that sums up the modes of the zone centre keeps none, and may have been asked
    for a mesh as well. None where neither has any.
    """
    found = find_phonons(database, prediction.prediction_id)
    if found is not None:
        return found, prediction
    same = by_field("material_id", prediction.material_id)
    for row in database.predictions.query(same, sort={"last_updated": -1}):
        if row["provenance"]["model_digest"] == prediction.provenance.model_digest:
            found = find_phonons(database, row["prediction_id"])
            if found is not None:
                return found, PredictionDocument.load(row)
    return None


def status_of(database: Database) -> Status:
    """Count what a database holds and what waits."""
    names = (
        *("structures", "predictions", "phonons", "vibrational", "polymorphs"),
        *("labelled_cells", "failures"),
    )
    counts = {name: database.collection(name).count() for name in names}
    alone = by_field("duplicate_of", None)
    settled = _values(database, "predictions", "material_id")
    settled |= _values(database, "failures", "material_id", not_(by_field("stage", LABELLING)))
    waiting = _values(database, "structures", "material_id", alone) - settled
    return Status(
        uri=database.uri,
        collections=counts,
        pending=len(waiting),
        escalated=_open_escalations(database),
        verdicts=_counts(database, "vibrational", "verdict"),
        models=_models(database),
        failures=_counts(database, "failures", "code"),
    )


def open_failures(database: Database) -> tuple[list[dict[str, Any]], int]:
    """Read failures, by code, and count those left out: a better method has answered since."""
    rows = list(database.failures.query({}, sort={"code": 1}))
    names = sorted({row["material_id"] for row in rows if row.get("tier") is not None})
    best: dict[str, int] = {}
    for some in in_chunks(names):
        criteria = in_values("material_id", some)
        for one in database.predictions.query(criteria, ["material_id", "tier"]):
            best[one["material_id"]] = max(one["tier"], best.get(one["material_id"], -1))

    def is_open(row: dict[str, Any]) -> bool:
        tier = row.get("tier")  # documents of before have none
        return tier is None or best.get(row["material_id"], -1) <= tier

    left = [row for row in rows if is_open(row)]
    return left, len(rows) - len(left)


def _models(database: Database) -> dict[str, int]:
    """Count predictions by model, also those that no summary shows."""
    rows = database.predictions.query({}, ["provenance"])
    return dict(sorted(Counter(str(row["provenance"]["model"]) for row in rows).items()))


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
