"""A potential or trained model: what it is, what it was trained on, how good it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, model_validator

from screening.trained_model import model_name
from stores.documents.base import Document, Migration, PlainJson, Provenance, Record
from stores.documents.records import BlobRecord

if TYPE_CHECKING:
    from screening.calculators import ForceCalculator  # a heavy door
    from screening.trained_model import TrainedModel
    from stores.blobs import BlobReference

__all__ = ["INDEXED_FIELDS", "KEY", "MetricRecord", "ModelDocument", "ModelKind", "version_of"]

KEY = "model_id"
INDEXED_FIELDS: tuple[str, ...] = (
    "name",
    "version",
    "kind",
    "model_digest",
    "training_set_digest",
    "weights_blob.sha256",
    "last_updated",
)


_VERSION_DIGITS = 12


def version_of(digest: str) -> str:
    """Return the version of a model that has none but its digest."""
    return digest[:_VERSION_DIGITS]


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


def _without_weights(old: dict[str, Any]) -> dict[str, Any]:
    """Version 1 knew no model that is kept in the database."""
    return old | dict.fromkeys(("weights_blob", "state", "card"))


class ModelDocument(Document):
    """One version of one model."""

    KEY: ClassVar[str] = KEY
    INDEXED_FIELDS: ClassVar[tuple[str, ...]] = INDEXED_FIELDS
    SCHEMA_VERSION: ClassVar[int] = 2
    MIGRATIONS: ClassVar[Mapping[int, Migration]] = MappingProxyType({1: _without_weights})

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
    weights_blob: BlobRecord | None = Field(
        description="Where the arrays of a model trained here lie; none where it is kept elsewhere."
    )
    state: PlainJson | None = Field(
        description="What a model trained here needs beside its arrays to predict: settings and "
        "calibration; none where it is kept elsewhere."
    )
    card: PlainJson | None = Field(
        description="What people should know of a model trained here: training set, scores, "
        "baselines; none where it is kept elsewhere."
    )
    notes: tuple[str, ...] = Field(description="What users must know.")

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.model_id != f"{self.name}@{self.version}":
            raise ValueError("model_id is not name@version")
        if len({self.weights_blob is None, self.state is None, self.card is None}) > 1:
            raise ValueError("weights_blob, state and card go together")
        if self.weights_blob is not None and self.provenance.method is None:
            raise ValueError("a model trained here needs its method")
        return self

    @property
    def blob_digests(self) -> dict[str, str]:
        """SHA-256 of the blob of the weights, where they are kept here."""
        return {} if self.weights_blob is None else {"weights": self.weights_blob.sha256}

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
            weights_blob=None,
            state=None,
            card=None,
            notes=tuple(notes),
        )

    @classmethod
    def from_trained(
        cls,
        model: TrainedModel,
        weights: BlobReference,
        *,
        metrics: Sequence[MetricRecord] = (),
        training_ids: Sequence[str] = (),
    ) -> Self:
        """Document of a model trained here; its version is the start of its digest.

        Parameters
        ----------
        model
            The model.
        weights
            What the blob store answered for its arrays.
        metrics
            Scores on held-out sets.
        training_ids
            Keys of what it was trained on.

        Raises
        ------
        SerializationError
            Naming the field that breaks the schema, for instance a key of the state with a dot.
        SettingError
            If it is of no known method, or its name cannot name a model.
        """
        name = model_name(model.method, model.name)
        described = cls.from_parts(
            name=name,
            version=version_of(model.digest),
            kind=ModelKind.PREDICTOR,
            model_digest=model.digest,
            atomic_numbers=model.elements,
            training_set_digest=model.training_set_digest,
            n_training_samples=model.n_training_samples,
            metrics=metrics,
            training_ids=training_ids,
        )
        return described.replaced(
            provenance=described.provenance.model_copy(update={"method": model.method}),
            weights_blob=BlobRecord.from_reference(weights),
            state=dict(model.state),
            card=dict(model.card),
        )

    @classmethod
    def from_calculator(cls, calculator: ForceCalculator) -> Self:
        """Document of a force calculator; its version is the start of its digest."""
        return cls.from_parts(
            name=calculator.name,
            version=version_of(calculator.digest),
            kind=ModelKind.POTENTIAL,
            model_digest=calculator.digest,
            atomic_numbers=calculator.elements,
            notes=calculator.notes,
        )
