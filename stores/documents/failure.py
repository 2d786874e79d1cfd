"""A failure: its published code, where it happened, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from screening.digest import digest_of
from screening.errors import ERROR_CODES, ScreeningError, UnexpectedError
from stores.documents.base import Digest, Document, Migration, Provenance

__all__ = ["INDEXED_FIELDS", "KEY", "FailureDocument", "failure_id_of"]

KEY = "failure_id"
INDEXED_FIELDS: tuple[str, ...] = (
    "material_id",
    "subject",
    "stage",
    "code",
    "prediction_id",
    "last_updated",
)
_MAX_TEXT = 4000  # a foreign traceback must not fill the database


def _without_reason(old: dict[str, Any]) -> dict[str, Any]:
    """Version 1 knew no tier, and one method that computes."""
    tier = 1 if old["method"] == "potential-phonons" else None
    return old | {"tier": tier, "reason": old["message"]}


class FailureDocument(Document):
    """The last failure of one subject at one stage, by one method for one prediction."""

    KEY: ClassVar[str] = KEY
    INDEXED_FIELDS: ClassVar[tuple[str, ...]] = INDEXED_FIELDS
    SCHEMA_VERSION: ClassVar[int] = 2
    MIGRATIONS: ClassVar[Mapping[int, Migration]] = MappingProxyType({1: _without_reason})

    failure_id: Digest = Field(
        description="SHA-256 of the subject, the stage, the method and the prediction to be made."
    )
    material_id: str | None = Field(
        description="Key of the material; none where the input never became one."
    )
    subject: str = Field(min_length=1, description="Material or file it is about.")
    stage: str = Field(min_length=1, description="Where it happened, for instance import.")
    method: str | None = Field(description="Method that failed; none outside a method.")
    tier: int | None = Field(
        ge=0, le=3, description="Tier of the method that failed; none outside a prediction."
    )
    prediction_id: Digest | None = Field(
        description="Key of the prediction that was to be made; none outside a prediction."
    )
    code: str = Field(description="Published error code.")
    message: str = Field(
        min_length=1, description="What is wrong, after the reasons why cheaper methods had failed."
    )
    reason: str = Field(min_length=1, description="What is wrong with this method alone.")
    cause: str | None = Field(
        description="Class and message of the error underneath; none where there is none."
    )
    next_step: str | None = Field(description="What to do next; none where nothing helps.")
    attempts: int = Field(ge=1, description="How many times it was tried.")

    @field_validator("code")
    @classmethod
    def _published(cls, code: str) -> str:
        if code not in ERROR_CODES:
            raise ValueError(f"{code!r} is not a published error code")
        return code

    @model_validator(mode="after")
    def _keyed(self) -> Self:
        parts = (self.subject, self.stage, self.method, self.prediction_id)
        if self.failure_id != failure_id_of(*parts):
            raise ValueError("failure_id does not belong to subject, stage, method, prediction_id")
        return self

    def is_below(self, tier: int) -> bool:
        """Whether a method of a lower tier failed."""
        return self.tier is not None and self.tier < tier

    @classmethod
    def from_error(  # noqa: PLR0913 - one keyword per part of the record
        cls,
        error: BaseException,
        *,
        stage: str,
        material_id: str | None = None,
        subject: str | None = None,
        method: str | None = None,
        prediction_id: str | None = None,
        tier: int | None = None,
        earlier: Sequence[str] = (),
        attempts: int = 1,
    ) -> Self:
        """Document of an error; one without a published code becomes ``UNEXPECTED``.

        Parameters
        ----------
        error
            What was raised.
        stage
            Where it happened.
        material_id
            Key of the material, or None where the input never became one.
        subject
            Material or file; by default the material, else the error's own subject.
        method, prediction_id
            Method that failed and key of the prediction that was to be made.
        tier
            Tier of the method.
        earlier
            Why methods of lower tiers had failed, one sentence each; they precede the message.
        attempts
            How many times it was tried.
        """
        known = _as_screening_error(error)
        about = subject or material_id or known.subject or "unknown"
        reason = _storable(known.message) or type(known).__name__
        return cls.build(
            provenance=Provenance.now(
                method=method, source_ids=(material_id,) if material_id else ()
            ),
            failure_id=failure_id_of(about, stage, method, prediction_id),
            material_id=material_id,
            subject=about,
            stage=stage,
            method=method,
            tier=tier,
            prediction_id=prediction_id,
            code=known.code,
            message=_with_earlier(earlier, f"{method}: {known.code}: {reason}") or reason,
            reason=reason,
            cause=_cause_of(known),
            next_step=_storable(known.hint) or None,
            attempts=attempts,
        )


def failure_id_of(
    subject: str, stage: str, method: str | None = None, prediction_id: str | None = None
) -> str:
    """Key of the failure of one subject at one stage.

    Two models or settings of one method fail each by itself: the prediction that was to be made
    tells them apart.
    """
    parts = {"stage": stage, "method": method, "prediction_id": prediction_id}
    return digest_of({"subject": subject} | parts)


def _as_screening_error(error: BaseException) -> ScreeningError:
    """Return the error itself, or an unexpected one that names its class."""
    if isinstance(error, ScreeningError) and error.code:
        return error
    wrapped = UnexpectedError(
        f"{type(error).__name__}: {error}",
        subject=getattr(error, "subject", ""),
        hint="Report it with this message",
    )
    wrapped.__cause__ = error.__cause__
    return wrapped


def _with_earlier(earlier: Sequence[str], own: str) -> str:
    """Give the reasons of all methods; empty where there is only one."""
    return _storable("; ".join([*earlier, own])) if earlier else ""


def _cause_of(error: ScreeningError) -> str | None:
    cause = error.__cause__
    return None if cause is None else _storable(f"{type(cause).__name__}: {cause}")


def _storable(text: str) -> str:
    """Shorten, and replace what no database stores (lone surrogates, NUL)."""
    clean = text.encode(errors="replace").decode().replace("\0", "?")
    return clean if len(clean) <= _MAX_TEXT else clean[: _MAX_TEXT - 1] + "…"
