"""A potential or trained model: what it is, what it was trained on, how good it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, model_validator

from stores.documents.base import Document, PlainJson, Provenance, Record

if TYPE_CHECKING:
    from screening.calculators import ForceCalculator  # a heavy door

__all__ = ["INDEXED_FIELDS", "KEY", "MetricRecord", "ModelDocument", "ModelKind"]

KEY = "model_id"
INDEXED_FIELDS: tuple[str, ...] = (
    "name",
    "version",
    "kind",
    "model_digest",
    "training_set_digest",
    "last_updated",
)


class ModelKind(StrEnum):
    """What a model predicts."""

    POTENTIAL = "potential"
    PREDICTOR = "predictor"
    CALIBRATION = "calibration"


class MetricRecord(Record):
    """One score on one set."""

    name: str = Field(min_length=1, description="Name of the score, for instance mae.")
    quantity: str = Field(min_length=1, description="What was scored, unit included in its name.")
    value: float = Field(description="The score, in the unit of the quantity where it has one.")
    data_set: str = Field(min_length=1, description="Set it was scored on.")
    n_samples: int = Field(ge=1, description="Number of samples.")


class ModelDocument(Document):
    """One version of one model."""

    KEY: ClassVar[str] = KEY
    INDEXED_FIELDS: ClassVar[tuple[str, ...]] = INDEXED_FIELDS

    model_id: str = Field(min_length=1, description="Name and version, joined by an at sign.")
    name: str = Field(min_length=1, description="Name of the model, as predictions carry it.")
    version: str = Field(min_length=1, description="Version of the model.")
    kind: ModelKind = Field(description="What the model predicts.")
    model_digest: str = Field(min_length=1, description="SHA-256 of the weights.")
    atomic_numbers: tuple[int, ...] | None = Field(
        description="Elements it was made for, ascending; none where it takes any."
    )
    training_set_digest: str | None = Field(
        description="SHA-256 of the training set; none where it was trained elsewhere."
    )
    n_training_samples: int | None = Field(
        ge=1, description="Size of the training set; none where it was trained elsewhere."
    )
    metrics: tuple[MetricRecord, ...] = Field(description="Scores on held-out sets.")
    calibration: PlainJson | None = Field(
        description="State of the calibration; none where there is none."
    )
    notes: tuple[str, ...] = Field(description="What users must know.")

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.model_id != f"{self.name}@{self.version}":
            raise ValueError("model_id is not name@version")
        return self

    @classmethod
    def from_parts(  # noqa: PLR0913 - one keyword per field
        cls,
        *,
        name: str,
        version: str,
        kind: str,
        model_digest: str,
        atomic_numbers: Iterable[int] | None = None,
        training_set_digest: str | None = None,
        n_training_samples: int | None = None,
        metrics: Sequence[MetricRecord] = (),
        calibration: dict[str, object] | None = None,
        notes: Sequence[str] = (),
        settings_digest: str | None = None,
        training_ids: Sequence[str] = (),
    ) -> Self:
        """Document of a model.

        Raises
        ------
        SerializationError
            Naming the field that breaks the schema.
        """
        return cls.build(
            provenance=Provenance.now(
                model=name,
                model_digest=model_digest,
                settings_digest=settings_digest,
                source_ids=tuple(training_ids),
            ),
            model_id=f"{name}@{version}",
            name=name,
            version=version,
            kind=kind,
            model_digest=model_digest,
            atomic_numbers=None if atomic_numbers is None else sorted(set(atomic_numbers)),
            training_set_digest=training_set_digest,
            n_training_samples=n_training_samples,
            metrics=tuple(metrics),
            calibration=calibration,
            notes=tuple(notes),
        )

    @classmethod
    def from_calculator(cls, calculator: ForceCalculator) -> Self:
        """Document of a force calculator; its version is the start of its digest."""
        return cls.from_parts(
            name=calculator.name,
            version=calculator.digest[:12],
            kind=ModelKind.POTENTIAL,
            model_digest=calculator.digest,
            atomic_numbers=calculator.elements,
            notes=calculator.notes,
        )
