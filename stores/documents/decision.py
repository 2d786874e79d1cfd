"""Accept, escalate or reject: the answer to one question about one material, with its trail."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from screening.decisions.outcome import Decision, Outcome, Standing
from screening.digest import digest_of
from stores.documents.base import Digest, Document, Migration, PlainJson, Provenance, Record
from stores.documents.interval import IntervalRecord

__all__ = [
    "INDEXED_FIELDS",
    "KEY",
    "AnswerRecord",
    "DecisionDocument",
    "decision_id_of",
]

KEY = "decision_id"
INDEXED_FIELDS: tuple[str, ...] = (
    "prediction_id",
    "material_id",
    "composition",
    "question",
    "outcome",
    "reason",
    "tier",
    "last_updated",
)


class AnswerRecord(Record):
    """What the answer is."""

    text: str = Field(min_length=1, description="For people, with units.")
    content: PlainJson = Field(description="The same as plain values.")


def _from_version_1(old: dict[str, Any]) -> dict[str, Any]:
    """Version 1 had no answers and no open intervals, and wall time in place of core-hours."""
    plain = {key: value for key, value in old.items() if key != "expected_seconds"}
    intervals = [{"rival_id": None, "value": None} | one for one in old["intervals"]]
    return plain | {
        "composition": None,
        "alpha": None,
        "answer": None,
        "is_reference": False,
        "intervals": intervals,
        "expected_core_hours": None,
    }


class DecisionDocument(Document):
    """One decision about one material and one question, made when it was last updated."""

    KEY: ClassVar[str] = KEY
    INDEXED_FIELDS: ClassVar[tuple[str, ...]] = INDEXED_FIELDS
    SCHEMA_VERSION: ClassVar[int] = 2
    MIGRATIONS: ClassVar[Mapping[int, Migration]] = MappingProxyType({1: _from_version_1})

    decision_id: Digest = Field(
        description="SHA-256 of the key that the prediction has or would have, the question and "
        "the accepted risk."
    )
    prediction_id: Digest | None = Field(
        description="Key of the prediction; none where the method gave no prediction."
    )
    material_id: str = Field(min_length=1, description="Key of the material.")
    composition: str | None = Field(
        description="Reduced formula whose polymorphs the question is about; none for a question "
        "about one crystal."
    )
    question: str = Field(min_length=1, description="What the user wants to know.")
    alpha: float | None = Field(
        gt=0, lt=1, description="Accepted risk of a wrong answer; none where it was not kept."
    )
    outcome: Outcome = Field(description="Accept the prediction, escalate, or reject.")
    reason: str = Field(min_length=1, description="Reason, from the policy's enumeration.")
    detail: str = Field(description="The reason in words, with its numbers.")
    answer: AnswerRecord | None = Field(
        description="What the answer is; none where the outcome is not to accept."
    )
    tier: int = Field(ge=0, le=3, description="Tier of the prediction.")
    next_tier: int | None = Field(
        ge=0, le=3, description="Tier to ask next; none where none is asked."
    )
    is_reference: bool = Field(
        description="Whether the method is the one that calibrations are made against."
    )
    intervals: tuple[IntervalRecord, ...] = Field(
        description="Intervals the decision rests on; empty where nothing is calibrated."
    )
    spent_seconds: float = Field(ge=0, description="Wall time spent on the prediction in s.")
    expected_core_hours: float | None = Field(
        ge=0, description="Estimate for the next tier in core-hours; none where unknown."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.outcome is Outcome.ESCALATE) != (self.next_tier is not None):
            raise ValueError("next_tier is named where, and only where, the outcome is escalate")
        if self.answer is not None and self.outcome is not Outcome.ACCEPT:
            raise ValueError("an answer is given only where the outcome is accept")
        return self

    @classmethod
    def from_decision(  # noqa: PLR0913 - one keyword per part of the trail
        cls,
        decision: Decision,
        *,
        question: str,
        material_id: str,
        prediction_id: str,
        standing: Standing,
        is_predicted: bool = True,
        composition: str | None = None,
        spent_seconds: float = 0.0,
        expected_core_hours: float | None = None,
        policy: str | None = None,
        policy_version: int | None = None,
        settings_digest: str | None = None,
    ) -> Self:
        """Document of a decision.

        Parameters
        ----------
        decision
            What the policy said.
        question
            Canonical text of the question.
        material_id, prediction_id
            What it was said about; the key that the method's prediction has or would have.
        standing
            Where the method stands in the ladder, and the accepted risk.
        is_predicted
            Whether there is this prediction; not where the method failed.
        composition
            Reduced formula, for a question about its polymorphs.
        spent_seconds, expected_core_hours
            Wall time of the prediction, and the estimate for the next tier.
        policy, policy_version, settings_digest
            Name and version of the policy and SHA-256 of its settings.

        Raises
        ------
        SerializationError
            Naming the field that breaks the schema.
        """
        rivals = decision.rivals or (None,) * len(decision.intervals)
        calibrations = {one.calibration for one in decision.intervals} - {""}
        predicted = (prediction_id,) if is_predicted else ()
        answer = decision.answer
        return cls.build(
            provenance=Provenance.now(
                method=policy,
                method_version=policy_version,
                settings_digest=settings_digest,
                source_ids=(*calibrations, *predicted),
            ),
            decision_id=decision_id_of(question, prediction_id, standing.alpha),
            prediction_id=prediction_id if is_predicted else None,
            material_id=material_id,
            composition=composition,
            question=question,
            alpha=standing.alpha,
            outcome=decision.outcome,
            reason=decision.reason.value,
            detail=decision.detail,
            answer=answer and {"text": answer.text, "content": dict(answer.content)},
            tier=standing.tier,
            next_tier=decision.next_tier,
            is_reference=standing.is_reference,
            intervals=tuple(
                IntervalRecord.from_interval(interval, rival)
                for interval, rival in zip(decision.intervals, rivals, strict=True)
            ),
            spent_seconds=spent_seconds,
            expected_core_hours=expected_core_hours,
        )


def decision_id_of(question: str, prediction_id: str, alpha: float) -> str:
    """Key of the decision about a prediction that there is or, where it failed, would be.

    Parameters
    ----------
    question
        Canonical text.
    prediction_id
        Key of the prediction, so that the failures of two methods of one tier do not meet.
    alpha
        Accepted risk.
    """
    return digest_of({"prediction_id": prediction_id, "question": question, "alpha": alpha})
