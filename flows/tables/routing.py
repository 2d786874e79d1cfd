"""Tables of a routed screen: what was decided, what it took, and the answers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from flows.tables.answers import answer_parts, is_alone
from flows.tables.cells import MISSING, Column, make_table
from flows.tables.runs import OUTCOME_TEXTS
from flows.tables.trail import OUTCOME_STYLES
from screening.decisions.policy import decisive

if TYPE_CHECKING:
    from flows.routing import RoutingReport
    from screening.decisions.outcome import Decision

__all__ = ["table_routing"]


def table_routing(report: RoutingReport, *, width: int | None = None) -> Group:
    """Make tables of a routed screen."""
    parts: list[Table | Text] = [*_decisions(report, width), *answer_parts(report, width=width)]
    parts.append(_methods(report, width))
    if report.failures:
        columns = (Column("formula"), Column("phase"), Column("what is wrong", wraps=True))
        rows = [
            [one.formula, report.names.get(one.material_id, one.material_id), one.detail]
            for one in report.failures
        ]
        parts.append(make_table(columns, rows, title="failures", width=width))
    parts += [Text(line) for line in _lines(report)]
    return Group(*parts)


def _decisions(report: RoutingReport, width: int | None) -> list[Table]:
    """Materials by what became of them and why; without those with nothing to decide."""
    asked: dict[str, list[Decision]] = {}
    for one in report.decided:
        if not is_alone(one):
            asked.setdefault(one.material_id, []).append(one.decision)
    found = Counter((one.outcome.value, one.reason.value) for one in map(decisive, asked.values()))
    rows: list[list[Text | str]] = [
        [Text(outcome, style=OUTCOME_STYLES[outcome]), reason, str(count)]
        for (outcome, reason), count in sorted(found.items())
    ]
    columns = (Column("outcome"), Column("reason"), Column("materials", is_number=True))
    return [make_table(columns, rows, title="decisions", width=width)] if rows else []


def _methods(report: RoutingReport, width: int | None) -> Table:
    columns = (
        Column("tier", is_number=True),
        Column("calculator", wraps=True),
        Column("materials", wraps=True),
    )
    rows = []
    for step in report.steps:
        counts = [
            f"{count} {OUTCOME_TEXTS.get(str(name), str(name))}"
            for name, count in step.outcomes.items()
        ]
        rows.append([str(step.tier), step.calculator, ", ".join(counts) or MISSING])
    return make_table(columns, rows, title="methods", width=width)


def _lines(report: RoutingReport) -> list[str]:
    """Say what it took and what is open."""
    took = f"{report.core_hours:.3g} core-hours"
    lines = [f"{report.n_calculations} escalations, {took}; {report.wall_seconds:.1f} s"]
    if report.waiting:
        lines.append(
            f"{len(report.waiting)} without a result: being computed by another process; "
            "run the same command again"
        )
    return [*lines, *(f"note: {note}" for note in report.notes)]
