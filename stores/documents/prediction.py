"""One prediction by one method, never overwritten by another method's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Self

from pydantic import Field, ValidationError, model_validator

from screening.errors import ScreeningError, SerializationError
from screening.prediction import Prediction
from stores.documents.base import (
    Digest,
    Document,
    Migration,
    PlainJson,
    Provenance,
    Record,
    first_problem,
)
from stores.documents.interval import IntervalRecord
from stores.documents.records import (
    ConductivityRecord,
    CostRecord,
    RelaxationRecord,
    SpreadRecord,
    StabilityRecord,
    StructureRecord,
    ThermodynamicsRecord,
)
from stores.documents.spectral import SpectralRecord

__all__ = [
    "INDEXED_FIELDS",
    "KEY",
    "ForceConstantsRecord",
    "PredictionDocument",
    "prediction_id_of",
]

KEY = "prediction_id"
INDEXED_FIELDS: tuple[str, ...] = (
    "material_id",
    "structure_digest",
    "formula_reduced",
    "tier",
    "last_updated",
)


def prediction_id_of(prediction: Prediction) -> str:
    """Digest of structure, method, its version, model and settings: the prediction's key."""
    from screening.predictors.interface import prediction_key

    return prediction_key(
        prediction.structure_digest,
        prediction.method,
        prediction.method_version,
        prediction.model_digest,
        prediction.settings_digest,
    )


def _without_model_settings(old: dict[str, Any]) -> dict[str, Any]:
    """Version 1 had the digest of the model alone."""
    return old | {"model_settings": {}}


def _without_conductivity(old: dict[str, Any]) -> dict[str, Any]:
    """Version 2 knew no force constants but those of single displacements."""
    return old | {"force_constants": None, "thermal_conductivity": None}


def _without_intervals(old: dict[str, Any]) -> dict[str, Any]:
    """Version 3 knew no method that calibrates itself."""
    return old | {"intervals": []}


def _without_spectral(old: dict[str, Any]) -> dict[str, Any]:
    """Version 4 knew no method that gives a density of states alone."""
    return old | {"spectral_properties": None}


class ForceConstantsRecord(Record):
    """What force constants were fitted to, where they do not follow from single displacements."""

    highest_order: int = Field(ge=2, le=3, description="Highest order of the force constants.")
    n_supercell_atoms: int = Field(ge=1, description="Atoms in the supercell.")
    n_cells: int | None = Field(
        ge=1, description="Number of supercells with displaced atoms; none where not known."
    )


class PredictionDocument(Document):
    """The numbers of one prediction; its arrays are in the phonon document."""

    KEY: ClassVar[str] = KEY
    INDEXED_FIELDS: ClassVar[tuple[str, ...]] = INDEXED_FIELDS
    SCHEMA_VERSION: ClassVar[int] = 5
    MIGRATIONS: ClassVar[Mapping[int, Migration]] = MappingProxyType(
        {
            1: _without_model_settings,
            2: _without_conductivity,
            3: _without_intervals,
            4: _without_spectral,
        }
    )

    prediction_id: Digest = Field(
        description="SHA-256 of structure, method, method version, model and settings."
    )
    material_id: str = Field(min_length=1, description="Key of the material.")
    structure_digest: Digest = Field(description="SHA-256 of the canonical structure asked about.")
    formula_reduced: str = Field(description="Reduced formula.")
    tier: int = Field(
        ge=0, le=3, description="0 fast model, 1 potential, 2 few DFT cells, 3 systematic DFT."
    )
    settings: PlainJson = Field(
        description="Everything beside the model that can change the numbers."
    )
    model_settings: PlainJson = Field(
        description="Settings of a model from first principles: cutoff, wave vectors, versions."
    )
    structure: StructureRecord = Field(
        description="The primitive cell the numbers belong to, relaxed where one was made."
    )
    static_energy_ev_per_atom: float | None = Field(
        description="The model's energy without vibrations in eV/atom; none where it gives none."
    )
    static_energy_source: str | None = Field(
        description="Where the energy comes from; none where there is no energy."
    )
    thermodynamics: ThermodynamicsRecord = Field(description="Thermal curves, per atom.")
    spread: SpreadRecord | None = Field(
        description="Spread over a committee or over samples of the force constants, on the same "
        "grid; none without them."
    )
    intervals: tuple[IntervalRecord, ...] = Field(
        description="Intervals that the method itself calibrated; empty where it does not."
    )
    stability: StabilityRecord = Field(description="Dynamical stability.")
    spectral_properties: SpectralRecord | None = Field(
        description="Numbers that follow from a density of states; none where the method gives "
        "none."
    )
    force_constants: ForceConstantsRecord | None = Field(
        description="What the force constants were fitted to; none where they follow from "
        "displacements of single atoms."
    )
    thermal_conductivity: ConductivityRecord | None = Field(
        description="Lattice thermal conductivity; none where it was not computed."
    )
    relaxation: RelaxationRecord | None = Field(
        description="How the structure was relaxed; none where it was taken as it is."
    )
    cost: CostRecord = Field(description="What the prediction cost.")
    warnings: tuple[str, ...] = Field(description="What to know before using the numbers.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.static_energy_ev_per_atom is None) != (self.static_energy_source is None):
            raise ValueError("static_energy_ev_per_atom and static_energy_source go together")
        n_temperatures = len(self.thermodynamics.temperatures_k)
        if self.spread and len(self.spread.free_energy_std_mev_per_atom) != n_temperatures:
            raise ValueError("the spread and the temperatures differ in length")
        _check_own(self.intervals)
        if self.provenance.method is None or self.provenance.method_version is None:
            raise ValueError("a prediction needs the method and its version")
        if self.provenance.model is None or self.provenance.model_digest is None:
            raise ValueError("a prediction needs the model and its digest")
        if self.provenance.settings_digest is None:
            raise ValueError("a prediction needs the digest of its settings")
        return self

    @classmethod
    def from_prediction(cls, prediction: Prediction, material_id: str) -> Self:
        """Document of a prediction, without its arrays.

        Raises
        ------
        SerializationError
            Naming the field that breaks the schema, for instance a non-finite number.
        """
        return cls.build(
            **_parts(prediction, material_id),
            prediction_id=prediction_id_of(prediction),
            material_id=material_id,
            structure_digest=prediction.structure_digest,
            formula_reduced=prediction.structure.composition.reduced_formula,
            tier=prediction.tier,
            settings=dict(prediction.settings),
            model_settings=dict(prediction.model_settings),
            static_energy_ev_per_atom=prediction.static_energy_ev_per_atom,
            static_energy_source=prediction.static_energy_source,
            warnings=prediction.warnings,
        )

    def to_prediction(self) -> Prediction:
        """Return the frozen prediction, without the arrays of the phonon document."""
        assert self.provenance.method is not None
        assert self.provenance.method_version is not None
        assert self.provenance.model is not None
        assert self.provenance.model_digest is not None
        assert self.provenance.settings_digest is not None
        return Prediction(
            method=self.provenance.method,
            method_version=self.provenance.method_version,
            tier=self.tier,
            model=self.provenance.model,
            model_digest=self.provenance.model_digest,
            structure_digest=self.structure_digest,
            settings=self.settings,
            settings_digest=self.provenance.settings_digest,
            structure=self.structure.to_pymatgen(),
            thermodynamics=self.thermodynamics.to_result(),
            stability=self.stability.to_result(),
            cost=self.cost.to_result(),
            static_energy_ev_per_atom=self.static_energy_ev_per_atom,
            static_energy_source=self.static_energy_source,
            spread=self.spread.to_result() if self.spread else None,
            intervals=tuple(one.to_interval() for one in self.intervals),
            relaxation=self.relaxation.to_result() if self.relaxation else None,
            spectral_properties=self.spectral_properties.to_result()
            if self.spectral_properties
            else None,
            warnings=self.warnings,
            model_settings=self.model_settings,
        )


def _check_own(intervals: Sequence[IntervalRecord]) -> None:
    """Refuse intervals that are not of one crystal's own quantities, or two of one."""
    for one in intervals:
        try:
            kind = one.to_interval().quantity.kind
        except ScreeningError as error:
            raise ValueError(error.message) from error
        if kind.is_difference or one.rival_id is not None:
            raise ValueError(f"{one.quantity} belongs to a pair of materials")
    named = [(one.quantity, one.coverage) for one in intervals]
    if len(set(named)) != len(named):
        raise ValueError("two intervals of one quantity and coverage")


def _parts(prediction: Prediction, material_id: str) -> dict[str, object]:
    """Make records of the prediction's parts; a number that is not finite ends here."""
    spread, relaxation = prediction.spread, prediction.relaxation
    spectral = prediction.spectral_properties
    try:
        return {
            "provenance": Provenance.now(
                method=prediction.method,
                method_version=prediction.method_version,
                model=prediction.model,
                model_digest=prediction.model_digest,
                settings_digest=prediction.settings_digest,
                source_ids=(material_id,),
            ),
            "structure": StructureRecord.from_pymatgen(prediction.structure),
            "thermodynamics": ThermodynamicsRecord.from_result(prediction.thermodynamics),
            "spread": SpreadRecord.from_result(spread) if spread else None,
            "intervals": tuple(map(IntervalRecord.from_interval, prediction.intervals)),
            "stability": StabilityRecord.from_result(prediction.stability),
            "spectral_properties": SpectralRecord.from_result(spectral) if spectral else None,
            **_anharmonic_parts(prediction),
            "relaxation": RelaxationRecord.from_result(relaxation) if relaxation else None,
            "cost": CostRecord.from_result(prediction.cost),
        }
    except ValidationError as error:
        raise SerializationError(
            f"{error.title}: {first_problem(error)}",
            subject=material_id,
            hint="The value was not stored",
        ) from error


def _anharmonic_parts(prediction: Prediction) -> dict[str, object]:
    constants, cells = prediction.force_constants, prediction.displaced_cells
    kappa, std = prediction.conductivity, prediction.conductivity_std_w_per_m_k
    fit = None
    if constants is not None:
        fit = ForceConstantsRecord(
            highest_order=2 if constants.third_order_ev_per_angstrom3 is None else 3,
            n_supercell_atoms=len(constants.supercell_numbers),
            n_cells=cells.n_cells if cells else None,
        )
    return {
        "force_constants": fit,
        "thermal_conductivity": ConductivityRecord.from_result(kappa, std) if kappa else None,
    }
