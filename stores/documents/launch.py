"""A launch: what was handed to a workflow engine, so that nothing is handed over twice."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from stores.documents.base import Digest, Document

__all__ = ["INDEXED_FIELDS", "KEY", "LaunchDocument", "LaunchState"]

KEY = "launch_id"
INDEXED_FIELDS: tuple[str, ...] = ("engine", "state", "last_updated")


class LaunchState(StrEnum):
    """What is known of a submission; all but the first may be submitted again."""

    SUBMITTED = "submitted"
    FINISHED = "finished"
    BROKEN = "broken"
    LOST = "lost"


class LaunchDocument(Document):
    """One flow in the queue of an engine; written before the engine gets it."""

    KEY: ClassVar[str] = KEY
    INDEXED_FIELDS: ClassVar[tuple[str, ...]] = INDEXED_FIELDS

    launch_id: str = Field(min_length=1, description="UUID of the flow, in the engine too.")
    engine: str = Field(min_length=1, description="Workflow engine.")
    queue: str = Field(min_length=1, description="Where its queue is, without passwords.")
    name: str = Field(min_length=1, description="Name of the flow.")
    purpose: Digest = Field(
        description="SHA-256 of what the flow does beyond the predictions; one for plain screens."
    )
    material_ids: tuple[str, ...] = Field(min_length=1, description="Materials of the flow.")
    keys: tuple[str, ...] = Field(
        min_length=1,
        description="Key of what was next for each material, in the same order; of a plain screen "
        "the key of its prediction.",
    )
    n_jobs: int = Field(ge=1, description="Jobs of the flow as submitted.")
    state: LaunchState = Field(description="What was last known of it.")
