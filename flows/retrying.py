"""Forgetting failures, so that their materials are tried again."""

from __future__ import annotations

from screening.errors import ERROR_CODES, SettingError
from stores.connect import Database
from stores.query import by_field

__all__ = ["forget_failures"]


def forget_failures(database: Database, code: str | None = None) -> tuple[str, ...]:
    """Remove failures of predictions and the count of their attempts.

    Parameters
    ----------
    database
        Where the failures are.
    code
        Only failures with this published code; None means all.

    Returns
    -------
    tuple of str
        The materials that the next screen tries again.

    Raises
    ------
    SettingError
        If no error has this code.
    """
    if code is not None and code not in ERROR_CODES:
        raise SettingError(
            f"no error has the code {code!r}",
            subject="--code",
            hint=f"Known: {', '.join(sorted(ERROR_CODES))}",
        )
    criteria = by_field("code", code) if code else {}
    fields = ["failure_id", "prediction_id", "material_id"]
    rows = [row for row in database.failures.query(criteria, fields) if row.get("prediction_id")]
    for row in rows:
        database.claims.forget(row["prediction_id"])
        database.failures.remove_docs(by_field("failure_id", row["failure_id"]))
    return tuple(sorted({row["material_id"] for row in rows}))
