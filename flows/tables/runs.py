"""Tables of a database's state and of one run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from flows.tables.cells import Column, make_table

if TYPE_CHECKING:
    from flows.run import ScreenReport

__all__ = ["Status", "table_screen", "table_status"]

OUTCOME_TEXTS = {
    "computed": "computed now",
    "already_done": "done before",
    "busy_elsewhere": "being computed by another process",
    "failed": "failed",
    "failed_before": "failed before (see: phonoscreen retry)",
    "started": "begun and not ended",
}
"""Outcomes of a run in words; the keys are those of the JSON payload."""


@dataclass(frozen=True)
class Status:
    """What a database holds, in numbers of documents.

    Attributes
    ----------
    uri
        The database, password masked.
    collections
        Number of documents by collection.
    pending
        Materials without a prediction and without a failure.
    verdicts
        Materials by stability verdict.
    models
        Predictions by model.
    failures
        Failures by error code.
    escalated
        Materials for which a better method was asked that has said nothing yet.
    """

    uri: str
    collections: Mapping[str, int]
    pending: int
    verdicts: Mapping[str, int] = field(default_factory=dict)
    models: Mapping[str, int] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)
    escalated: int = 0


def table_status(status: Status) -> Group:
    """Make tables of what a database holds and of what is left to do."""
    parts: list[Table | Text] = [Text(status.uri, style="cyan")]
    parts.append(_counts("documents", status.collections))
    for title, counts in (
        ("verdicts", status.verdicts),
        ("predictions by model", status.models),
        ("failures by code", status.failures),
    ):
        if counts:
            parts.append(_counts(title, counts))
    left = _left(status)
    parts += [Text(one, style="yellow") for one in left]
    if not left:
        parts.append(Text("nothing left to do", style="green"))
    return Group(*parts)


def _left(status: Status) -> list[str]:
    """Say what is left to do, one sentence each."""
    said = [f"{status.pending} materials left to predict"] if status.pending else []
    if status.escalated:
        said.append(
            f"{status.escalated} materials wait for a better method: "
            "run the same command again to go on"
        )
    return said


def table_screen(report: ScreenReport, *, width: int | None = None) -> Group:
    """Make tables of what a run did and of what failed."""
    counts = {OUTCOME_TEXTS.get(str(k), str(k)): n for k, n in report.outcomes.items()}
    parts: list[Table | Text] = [_counts("materials", counts)]
    if report.failures:
        columns = (Column("material"), Column("formula"), Column("what is wrong", wraps=True))
        rows = [[one.material_id, one.formula, one.detail] for one in report.failures]
        parts.append(make_table(columns, rows, title="failures", width=width))
    parts.append(Text(f"{report.wall_seconds:.1f} s"))
    return Group(*parts)


def _counts(title: str, counts: Mapping[str, int]) -> Table:
    rows = [[str(name), str(count)] for name, count in counts.items()]
    return make_table((Column(title), Column("number", is_number=True)), rows)
