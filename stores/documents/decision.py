"""Accept or escalate: the answer to one question about one prediction, with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import ClassVar, Self

from pydantic import Field, model_validator

from screening.digest import digest_of
from stores.documents.base import Digest, Document, Provenance, Record

__all__ = [
    "INDEXED_FIELDS",
    "KEY",
    "DecisionDocument",
    "IntervalRecord",
    "Outcome",
    "decision_id_of",
]

KEY = "decision_id"
INDEXED_FIELDS: tuple[str, ...] = (
    "prediction_id",
    "material_id",
    "question",
    "outcome",
    "reason",
    "tier",
    "last_updated",
)


class Outcome(StrEnum):
    """What was decided."""

    ACCEPT = "accept"
    ESCALATE = "escalate"


class IntervalRecord(Record):
    """A calibrated interval of one quantity."""

    quantity: str = Field(
        min_length=1, description="Field of the vibrational summary, unit included in its name."
    )
    lower: float = Field(description="Lower end, in the unit of the quantity.")
    upper: float = Field(description="Upper end, in the unit of the quantity.")
    coverage: float = Field(gt=0, lt=1, description="Intended coverage.")
    calibration: str | None = Field(
        description="What it was calibrated on; none where it rests on the committee alone."
    )

    @model_validator(mode="after")
    def _order(self) -> Self:
        if self.lower > self.upper:
            raise ValueError("lower is above upper")
        return self


class DecisionDocument(Document):
    """One decision about one prediction."""

    KEY: ClassVar[str] = KEY
    INDEXED_FIELDS: ClassVar[tuple[str, ...]] = INDEXED_FIELDS

    decision_id: Digest = Field(description="SHA-256 of the prediction's key and the question.")
    prediction_id: Digest = Field(description="Key of the prediction.")
    material_id: str = Field(min_length=1, description="Key of the material.")
    question: str = Field(min_length=1, description="What the user wants to know.")
    outcome: Outcome = Field(description="Accept the prediction or escalate.")
    reason: str = Field(min_length=1, description="Reason, from the policy's enumeration.")
    detail: str = Field(description="The reason in words, with its numbers.")
    tier: int = Field(ge=0, le=3, description="Tier of the prediction.")
    next_tier: int | None = Field(ge=0, le=3, description="Tier to ask next; none where accepted.")
    intervals: tuple[IntervalRecord, ...] = Field(
        description="Intervals the decision rests on; empty where nothing is calibrated."
    )
    spent_seconds: float = Field(ge=0, description="Wall time spent on the prediction in s.")
    expected_seconds: float | None = Field(
        ge=0, description="Expected wall time of the next tier in s; none where unknown."
    )

    @model_validator(mode="after")
    def _next(self) -> Self:
        if (self.outcome is Outcome.ACCEPT) != (self.next_tier is None):
            raise ValueError("next_tier is named where, and only where, the outcome is escalate")
        return self

    @classmethod
    def from_outcome(  # noqa: PLR0913 - one keyword per field
        cls,
        *,
        prediction_id: str,
        material_id: str,
        question: str,
        outcome: str,
        reason: str,
        tier: int,
        detail: str = "",
        next_tier: int | None = None,
        intervals: Sequence[IntervalRecord] = (),
        spent_seconds: float = 0.0,
        expected_seconds: float | None = None,
        policy: str | None = None,
        policy_version: int | None = None,
        settings_digest: str | None = None,
    ) -> Self:
        """Document of a decision.

        Parameters
        ----------
        outcome, reason
            Values of the policy's enumerations.
        policy, policy_version, settings_digest
            Name and version of the policy and SHA-256 of its settings.

        Raises
        ------
        SerializationError
            Naming the field that breaks the schema.
        """
        return cls.build(
            provenance=Provenance.now(
                method=policy,
                method_version=policy_version,
                settings_digest=settings_digest,
                source_ids=(prediction_id,),
            ),
            decision_id=decision_id_of(prediction_id, question),
            prediction_id=prediction_id,
            material_id=material_id,
            question=question,
            outcome=outcome,
            reason=str(reason),
            detail=detail,
            tier=tier,
            next_tier=next_tier,
            intervals=tuple(intervals),
            spent_seconds=spent_seconds,
            expected_seconds=expected_seconds,
        )


def decision_id_of(prediction_id: str, question: str) -> str:
    """Key of the decision that answers a question about a prediction."""
    return digest_of({"prediction_id": prediction_id, "question": question})
