"""Failures that a later success has made history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stores.documents.failure import FailureDocument
from stores.documents.prediction import PredictionDocument
from stores.documents.structure import StructureDocument
from stores.query import in_values

if TYPE_CHECKING:
    from stores.connect import Database  # brings the databases along

__all__ = ["clear_failures", "cleared_failures"]


def cleared_failures(
    failures: Sequence[FailureDocument],
    successes: Sequence[PredictionDocument | StructureDocument],
) -> tuple[FailureDocument, ...]:
    """Failures that one of the successes clears; the rule is the failure's own."""
    return tuple(
        failure for failure in failures if any(failure.cleared_by(done) for done in successes)
    )


def clear_failures(
    db: Database, successes: Sequence[PredictionDocument | StructureDocument]
) -> tuple[str, ...]:
    """Remove the failures that these successes clear.

    Call it after the successes were written, so that a crash in between leaves a failure too
    many rather than one too few.

    Returns
    -------
    tuple of str
        Keys of the failures removed.
    """
    subjects = {done.material_id for done in successes}
    for done in successes:
        subjects.update(done.sources if isinstance(done, StructureDocument) else ())
    stored = db.failures.query(in_values("subject", sorted(subjects)))
    found = cleared_failures([FailureDocument.load(one) for one in stored], successes)
    keys = tuple(sorted(failure.failure_id for failure in found))
    if keys:
        db.failures.remove_docs(in_values("failure_id", list(keys)))
    return keys
