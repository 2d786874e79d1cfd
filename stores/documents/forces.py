"""One expensive force call: what was asked, what it took, where its numbers lie."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field

from stores.documents.base import Digest, Document, Migration, Provenance
from stores.documents.records import BlobRecord

if TYPE_CHECKING:
    from stores.blobs import BlobReference  # brings the databases along

__all__ = ["INDEXED_FIELDS", "KEY", "ForceDocument", "ForceKind"]

KEY = "force_id"
INDEXED_FIELDS: tuple[str, ...] = (
    "calculator_digest",
    "material_id",
    "formula",
    "n_atoms",
    "last_updated",
)


class ForceKind(StrEnum):
    """What was asked of the calculator."""

    FORCES = "forces"
    ENERGY = "energy"
    ENERGY_FORCES_STRESS = "energy_forces_stress"
    DIELECTRIC_RESPONSE = "dielectric_response"


def _without_core_time(old: dict[str, Any]) -> dict[str, Any]:
    """Version 1 knew neither the time of the cores nor the prediction."""
    return old | {"cpu_seconds": 0.0, "prediction_id": None}


class ForceDocument(Document):
    """One call of a calculator for one geometry; geometry and numbers are in the blob."""

    KEY: ClassVar[str] = KEY
    INDEXED_FIELDS: ClassVar[tuple[str, ...]] = INDEXED_FIELDS
    SCHEMA_VERSION: ClassVar[int] = 2
    MIGRATIONS: ClassVar[Mapping[int, Migration]] = MappingProxyType({1: _without_core_time})

    force_id: Digest = Field(
        description="SHA-256 of the calculator, of what was asked, and of the geometry."
    )
    kind: ForceKind = Field(description="What was asked of the calculator.")
    calculator: str = Field(min_length=1, description="Name of the calculator.")
    calculator_digest: Digest = Field(description="SHA-256 of what makes its numbers.")
    material_id: str | None = Field(
        description="Material it was first computed for; none outside a screen."
    )
    prediction_id: Digest | None = Field(
        description="Prediction it was first computed for, whose cost counts it; none outside one."
    )
    formula: str = Field(min_length=1, description="Formula of the whole cell.")
    n_atoms: int = Field(ge=1, description="Atoms of the cell.")
    wall_seconds: float = Field(ge=0, description="Wall time of the call in s.")
    cpu_seconds: float = Field(
        ge=0, description="Processor time of all cores in s; zero where it is not known."
    )
    blob: BlobRecord = Field(description="Where cell, positions, elements and results lie.")

    @classmethod
    def from_call(  # noqa: PLR0913 - one keyword per field
        cls,
        *,
        force_id: str,
        kind: ForceKind,
        calculator: str,
        calculator_digest: str,
        material_id: str | None,
        prediction_id: str | None,
        formula: str,
        n_atoms: int,
        wall_seconds: float,
        cpu_seconds: float,
        blob: BlobReference,
    ) -> Self:
        """Document of a call whose arrays are stored.

        Raises
        ------
        SerializationError
            Naming the field that breaks the schema.
        """
        return cls.build(
            provenance=Provenance.now(
                method="force-call",
                method_version=1,
                model=calculator,
                model_digest=calculator_digest,
                source_ids=(material_id,) if material_id else (),
            ),
            force_id=force_id,
            kind=kind,
            calculator=calculator,
            calculator_digest=calculator_digest,
            material_id=material_id,
            prediction_id=prediction_id,
            formula=formula,
            n_atoms=n_atoms,
            wall_seconds=wall_seconds,
            cpu_seconds=cpu_seconds,
            blob=BlobRecord.from_reference(blob),
        )
