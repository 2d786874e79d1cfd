"""Table and payload of a launch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from flows.tables.cells import Column, make_table

if TYPE_CHECKING:
    from flows.launch.launching import LaunchReport

__all__ = ["payload_launch", "table_launch"]

GROUPS = {
    "submitted": "submitted now",
    "done": "done before",
    "failed": "failed before (see: phonoscreen retry)",
    "running": "being computed by somebody",
    "waiting": "submitted before, not finished",
}
"""Groups of materials in words; the keys are those of the report and of the payload."""


def payload_launch(report: LaunchReport, *, dry_run: bool) -> dict[str, Any]:
    """Return the JSON of a launch."""
    return {
        "engine": report.engine.value,
        "queue": report.queue,
        "dry_run": dry_run,
        "launch_id": report.launch_id,
        "n_jobs": report.n_jobs,
        "identifiers": list(report.identifiers),
        "material_ids": {name: list(getattr(report, name)) for name in GROUPS},
        "outcomes": dict(report.outcomes),
        "notes": list(report.notes),
    }


def table_launch(report: LaunchReport, *, dry_run: bool, width: int | None = None) -> Group:
    """Make a table of what a launch submitted, and of what it did not and why."""
    now = "would be submitted" if dry_run else "run now" if report.outcomes else "submitted now"
    texts = GROUPS | {"submitted": now}
    counts = {texts[name]: len(getattr(report, name)) for name in GROUPS}
    rows = [[text, str(count)] for text, count in counts.items() if count]
    columns = (Column("materials"), Column("number", is_number=True))
    parts: list[Table | Text] = [make_table(columns, rows, width=width)]
    parts.append(Text(_summary(report, dry_run=dry_run)))
    return Group(*parts)


def _summary(report: LaunchReport, *, dry_run: bool) -> str:
    if report.outcomes:
        return ", ".join(f"{count} {name}" for name, count in report.outcomes.items())
    if report.launch_id is not None:
        first, last = report.identifiers[0], report.identifiers[-1]
        return f"{report.n_jobs} jobs, {first} to {last}, in {report.queue}"
    if dry_run and report.submitted:
        return f"nothing submitted to {report.queue}: a dry run"
    return f"nothing submitted to {report.queue}: nothing is left to do"
