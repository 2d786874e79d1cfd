"""Repair of unstable materials: each leads to a lower structure, linked to its parent.

A structure that a repair made is not repaired again unless that is asked for, so that no chain
of repairs runs on by itself: what is still unstable is reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from flows.catalogue import originals_of
from flows.checkpoints import Checkpointed
from flows.materials import LEASE_SECONDS
from flows.results import phonons_of
from screening.digest import digest_of
from screening.duplicates import find_duplicate
from screening.errors import DatabaseUnavailableError, InputError, NotFoundError
from screening.prediction import Verdict
from screening.repair import Repair, RepairSettings, repair_structure, same_relaxed
from screening.settings import ScreeningSettings
from screening.units import EV_TO_MEV
from stores.connect import Database
from stores.documents import FailureDocument, PredictionDocument, StructureDocument
from stores.documents.structure import RepairRecord
from stores.importers.writing import change_structure, structures_like
from stores.query import by_field

if TYPE_CHECKING:
    from screening.calculators import ForceCalculator

__all__ = ["RepairEvent", "RepairOutcome", "prediction_of", "repair_material"]

METHOD = "mode-following"
METHOD_VERSION = 1
STAGE = "repair"
_SAME_ENERGY_MEV_PER_ATOM = 2.0


class RepairOutcome(StrEnum):
    """What became of the repair of one material."""

    REPAIRED = "repaired"
    LED_TO_KNOWN = "led_to_known"
    REPAIRED_BEFORE = "repaired_before"
    NOT_UNSTABLE = "not_unstable"
    NOT_SCREENED = "not_screened"
    REFUSED = "refused"
    BUSY_ELSEWHERE = "busy_elsewhere"
    FAILED = "failed"
    FAILED_BEFORE = "failed_before"


@dataclass(frozen=True)
class RepairEvent:
    """What became of the repair of one material.

    Attributes
    ----------
    material_id, formula
        Which material.
    outcome
        What happened.
    prediction_id
        The prediction whose mode was followed; empty where there is none.
    child_id
        The material that it led to; empty where there is none.
    gain_mev_per_atom
        How far that one lies below, in meV/atom; None where there is none.
    detail
        How it was found, or why not.
    """

    material_id: str
    formula: str
    outcome: RepairOutcome
    prediction_id: str = ""
    child_id: str = ""
    gain_mev_per_atom: float | None = None
    detail: str = ""


def repair_material(
    database: Database,
    material_id: str,
    calculator: ForceCalculator,
    settings: RepairSettings | None = None,
    *,
    again: bool = False,
) -> RepairEvent:
    """Follow the imaginary mode of one material to a lower structure, and store that.

    The prediction followed is the one by this calculator that the summary shows, else the
    newest by it. One that was learned from cells with all atoms displaced has force constants
    but no forces of single displacements, and is not followed: the event says so.

    A structure that the database has already is not stored twice: the parent then names it as
    the structure it leads to.

    Parameters
    ----------
    database
        Where the prediction is read and the structure is written.
    material_id
        The material; no duplicate of another one.
    calculator
        The one it was predicted with.
    settings
        How far the mode is followed.
    again
        Repair also what a repair made.

    Returns
    -------
    RepairEvent
        What happened; a failure is a document, too.

    Raises
    ------
    NotFoundError
        If there is no such material.
    """
    stored = database.structures.query_one(by_field("material_id", material_id))
    if stored is None:
        raise NotFoundError("no such material", subject=material_id, hint="Import it first")
    parent = StructureDocument.load(stored)
    prediction = prediction_of(database, material_id, calculator.digest)
    learned = _shown_if_learned(database, material_id)
    if prediction is None:
        detail = _nothing_to_follow(learned, calculator.name)
        return _event(parent, RepairOutcome.NOT_SCREENED, detail=detail)
    if prediction.stability.verdict is not Verdict.UNSTABLE:
        detail = _not_unstable(prediction, learned)
        return _event(parent, RepairOutcome.NOT_UNSTABLE, detail=detail)
    if parent.parent_id is not None and not again:
        detail = f"it was made by a repair of {parent.parent_id}; --again repairs it once more"
        return _event(parent, RepairOutcome.REFUSED, detail=detail)
    task = _Task(database, parent, prediction, calculator, settings or RepairSettings())
    return task.known() or task.claimed()


def _event(
    parent: StructureDocument,
    outcome: RepairOutcome,
    prediction_id: str = "",
    *,
    detail: str,
    record: RepairRecord | None = None,
) -> RepairEvent:
    return RepairEvent(
        material_id=parent.material_id,
        formula=parent.formula_reduced,
        outcome=outcome,
        prediction_id=prediction_id,
        child_id=record.material_id if record else "",
        gain_mev_per_atom=record.gain_mev_per_atom if record else None,
        detail=detail,
    )


@dataclass(frozen=True)
class _Task:
    """One repair of one material."""

    database: Database
    parent: StructureDocument
    prediction: PredictionDocument
    calculator: ForceCalculator
    settings: RepairSettings

    @property
    def repair_id(self) -> str:
        """Digest of all that determines the result, before it is computed."""
        return digest_of(
            {
                "prediction": self.prediction.prediction_id,
                "method": METHOD,
                "method_version": METHOD_VERSION,
                "calculator": self.calculator.digest,
                "settings": self.settings.digest,
            }
        )

    def known(self) -> RepairEvent | None:
        """Return what an earlier repair left, or None where there is work to do."""
        same = by_field("material_id", self.parent.material_id)
        parent = StructureDocument.load(self.database.structures.query_one(same) or {})
        for record in parent.repairs:
            if record.repair_id == self.repair_id:
                return self._end(RepairOutcome.REPAIRED_BEFORE, record.relation, record)
        failed = by_field("prediction_id", self.repair_id)
        failure = self.database.failures.query_one(failed, ["code", "message"])
        if failure is None:
            return None
        return self._end(RepairOutcome.FAILED_BEFORE, f"{failure['code']}: {failure['message']}")

    def claimed(self) -> RepairEvent:
        """Repair under a claim, which is renewed meanwhile and given back whatever happens."""
        claim = self.database.claims.acquire(self.repair_id, lease_seconds=LEASE_SECONDS)
        if claim is None:
            return self._end(RepairOutcome.BUSY_ELSEWHERE, "another process repairs it")
        with claim, claim.kept():
            # Another process may have finished between our look and our claim.
            known = self.known()
            if known is not None:
                return known
            try:
                found: Repair | Exception = self._compute()
            except DatabaseUnavailableError:  # which says nothing about the material
                raise
            except Exception as error:  # noqa: BLE001 - a failure of any kind becomes a document
                found = error
            if not claim.still_mine():  # the lease lapsed: the other's result counts
                return self._end(RepairOutcome.BUSY_ELSEWHERE, "another process took it over")
            if isinstance(found, Exception):
                return self._failed(found, claim.attempts)
            return self._store(found)

    def _compute(self) -> Repair:
        forces = phonons_of(self.database, self.prediction.prediction_id).force_data
        if forces is None:
            raise NotFoundError("the prediction has no forces", subject=self.parent.material_id)
        calculator = self.calculator
        if calculator.is_first_principles:
            calculator = Checkpointed(calculator, self.database, self.parent.material_id)
        used = ScreeningSettings.from_dict(self.prediction.settings)
        symprec_angstrom = used.phonons.symprec_angstrom
        return repair_structure(
            forces, calculator, self.settings, symprec_angstrom=symprec_angstrom
        )

    def _failed(self, error: Exception, attempts: int) -> RepairEvent:
        document = FailureDocument.from_error(
            error,
            stage=STAGE,
            material_id=self.parent.material_id,
            method=METHOD,
            prediction_id=self.repair_id,  # so that `retry` finds it
            attempts=attempts,
        )
        self.database.failures.update(document.to_store())
        return self._end(RepairOutcome.FAILED, f"{document.code}: {document.message}")

    def _store(self, found: Repair) -> RepairEvent:
        """Write the child, then the parent's record of it: a kill between is repaired again."""
        parent_id = self.parent.material_id
        child_id = _known_structure(self.database, found, self.calculator.digest)
        if child_id is None:
            child_id = found.crystal.material_id
            made = StructureDocument.from_crystal(found.crystal, source=f"repair of {parent_id}")
            child = made.replaced(parent_id=parent_id, parent_relation=found.relation)
            self.database.structures.insert_new(child.to_store())
        record = RepairRecord(
            repair_id=self.repair_id,
            material_id=child_id,
            relation=found.relation,
            gain_mev_per_atom=found.gain_mev_per_atom,
        )
        change_structure(self.database, parent_id, lambda known: known.with_repair(record))
        self.database.failures.remove_docs(by_field("prediction_id", self.repair_id))
        stored = self.database.structures.query_one(by_field("material_id", child_id))
        is_child = stored is not None and stored.get("parent_id") == parent_id
        outcome = RepairOutcome.REPAIRED if is_child else RepairOutcome.LED_TO_KNOWN
        return self._end(outcome, found.relation, record)

    def _end(
        self, outcome: RepairOutcome, detail: str, record: RepairRecord | None = None
    ) -> RepairEvent:
        key = self.prediction.prediction_id
        return _event(self.parent, outcome, key, detail=detail, record=record)


def prediction_of(
    database: Database, material_id: str, model_digest: str
) -> PredictionDocument | None:
    """Find a calculator's prediction with forces: the one summarised, else its newest."""
    same = by_field("material_id", material_id)
    summary = database.vibrational.query_one(same, ["prediction_id"]) or {}
    with_forces = {
        row["prediction_id"]
        for row in database.phonons.query(same, ["prediction_id", "forces_blob"])
        if row.get("forces_blob") is not None
    }
    documents = [PredictionDocument.load(row) for row in database.predictions.query(same)]
    usable = [
        one
        for one in documents
        if one.provenance.model_digest == model_digest and one.prediction_id in with_forces
    ]
    return max(usable, key=lambda one: _preference(one, summary.get("prediction_id")), default=None)


def _shown_if_learned(database: Database, material_id: str) -> PredictionDocument | None:
    """Find the prediction that the summary shows, where its force constants were learned."""
    summary = database.vibrational.query_one(by_field("material_id", material_id))
    if summary is None:
        return None
    row = database.predictions.query_one(by_field("prediction_id", summary["prediction_id"]))
    shown = None if row is None else PredictionDocument.load(row)
    return shown if shown is not None and shown.force_constants is not None else None


def _nothing_to_follow(learned: PredictionDocument | None, calculator: str) -> str:
    """Say why no mode is followed, and what to do."""
    if learned is None:
        return f"no prediction with forces by {calculator}: screen it first"
    return (
        f"the prediction shown, {_name(learned)}, has learned its force constants from cells with "
        "all atoms displaced, and modes are followed with forces of single displacements: screen "
        f"it with {calculator} without few cells first"
    )


def _not_unstable(prediction: PredictionDocument, learned: PredictionDocument | None) -> str:
    """Say how stable it is, and by whom where the prediction shown says otherwise."""
    said = prediction.stability.verdict.value
    if learned is None or learned.stability.verdict is prediction.stability.verdict:
        return f"it is {said}"
    return (
        f"it is {said} by {_name(prediction)}, whose forces would be followed, and "
        f"{learned.stability.verdict.value} by the prediction shown, {_name(learned)}, which has "
        "no forces of single displacements"
    )


def _name(one: PredictionDocument) -> str:
    return f"{one.provenance.method} with {one.provenance.model}"


def _preference(one: PredictionDocument, summarised_id: str | None) -> tuple[bool, str, str]:
    when = one.last_updated.isoformat() if one.last_updated else ""
    return one.prediction_id == summarised_id, when, one.prediction_id


def _known_structure(database: Database, found: Repair, model_digest: str) -> str | None:
    """Find the material that a repair led to, as it was imported or as it relaxed."""
    crystal = found.crystal
    same = by_field("material_id", crystal.material_id)
    stored = database.structures.query_one(same, ["material_id", "duplicate_of"])
    if stored is not None:
        return str(stored.get("duplicate_of") or stored["material_id"])
    twin = find_duplicate(crystal, structures_like(database, crystal))
    if twin is not None:
        return twin.material_id
    near = by_field("formula_reduced", crystal.formula)
    for row in database.predictions.query(near, sort={"material_id": 1}):
        prediction = PredictionDocument.load(row)
        if prediction.provenance.model_digest == model_digest and _relaxed_to(prediction, found):
            return originals_of(database, [prediction.material_id])[0]
    return None


def _relaxed_to(prediction: PredictionDocument, found: Repair) -> bool:
    """Whether a relaxed structure is the one found, within what relaxations leave."""
    energy = prediction.static_energy_ev_per_atom
    if energy is None or prediction.relaxation is None:
        return False
    if abs(energy - found.energy_ev_per_atom) * EV_TO_MEV > _SAME_ENERGY_MEV_PER_ATOM:
        return False
    try:
        return same_relaxed(prediction.structure.to_pymatgen(), found.crystal.structure)
    except InputError:  # a relaxed structure that no longer is a crystal is no other one
        return False
