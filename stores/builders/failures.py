"""Failures that a later success has made history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stores.builders.incremental import by_key, chunks
from stores.query import Criteria, in_values

if TYPE_CHECKING:
    from stores.connect import Database  # brings the databases along

__all__ = ["clear_failures"]


def clear_failures(db: Database, criteria: Criteria | None = None) -> tuple[str, ...]:
    """Remove the failures whose prediction exists now.

    A process that is killed between writing a prediction and removing its failure leaves a
    failure too many. Such a failure is found here, whoever left it; only keys are read.

    Parameters
    ----------
    db
        An open database.
    criteria
        Which failures to look at, by ``material_id``; by default all.

    Returns
    -------
    tuple of str
        Keys of the failures removed.
    """
    rows = by_key(db.failures, "failure_id", ["prediction_id"], criteria)
    wanted = {name: str(row["prediction_id"]) for name, row in rows.items() if _names_one(row)}
    over = []
    for some in chunks(sorted(wanted.items())):
        sought = in_values("prediction_id", sorted({one for _, one in some}))
        made = by_key(db.predictions, "prediction_id", [], sought)
        over += [name for name, one in some if one in made]
    for keys in chunks(over):
        db.failures.remove_docs(in_values("failure_id", keys))
    return tuple(over)


def _names_one(row: dict[str, object]) -> bool:
    return row.get("prediction_id") is not None
