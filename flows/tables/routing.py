"""Tables of a routed screen: what was decided, what it took, and the answers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from flows.tables.cells import MISSING, Column, make_table
from flows.tables.runs import OUTCOME_TEXTS
from flows.tables.trail import OUTCOME_STYLES

if TYPE_CHECKING:
    from flows.routing import RoutingReport

__all__ = ["table_routing"]


def table_routing(report: RoutingReport, *, width: int | None = None) -> Group:
    """Make tables of a routed screen."""
    parts: list[Table | Text] = [_decisions(report, width), _answers(report, width)]
    if report.answers:
        parts.append(_group_answers(report, width))
    parts.append(_methods(report, width))
    if report.failures:
        columns = (Column("material"), Column("formula"), Column("what is wrong", wraps=True))
        rows = [[one.material_id, one.formula, one.detail] for one in report.failures]
        parts.append(make_table(columns, rows, title="failures", width=width))
    parts += [Text(line) for line in _lines(report)]
    return Group(*parts)


def _decisions(report: RoutingReport, width: int | None) -> Table:
    """Materials by what became of them and why."""
    found = Counter((one.outcome.value, one.reason.value) for one in report.decisive().values())
    rows: list[list[Text | str]] = [
        [Text(outcome, style=OUTCOME_STYLES.get(outcome, "")), reason, str(count)]
        for (outcome, reason), count in sorted(found.items())
    ]
    columns = (Column("outcome"), Column("reason"), Column("materials", is_number=True))
    return make_table(columns, rows, title="decisions", width=width)


def _answers(report: RoutingReport, width: int | None) -> Table:
    """One row for every material and question."""
    columns = (
        Column("formula"),
        Column("material", rank=2),
        Column("question", rank=3 if len(report.questions) == 1 else 0, wraps=True),
        Column("tier", rank=1, is_number=True),
        Column("outcome"),
        Column("answer, or why there is none", wraps=True),
    )
    rows: list[list[Text | str]] = []
    for one in sorted(
        report.decided, key=lambda x: (report.formulas[x.material_id], x.material_id)
    ):
        outcome, answer = one.decision.outcome.value, one.decision.answer
        rows.append(
            [
                report.formulas[one.material_id],
                one.material_id,
                one.question.text,
                str(one.standing.tier),
                Text(outcome, style=OUTCOME_STYLES.get(outcome, "")),
                answer.text if answer else one.decision.detail,
            ]
        )
    return make_table(columns, rows, title="answers", width=width)


def _group_answers(report: RoutingReport, width: int | None) -> Table:
    columns = (
        Column("formula"),
        Column("question", rank=1, wraps=True),
        Column("answer", wraps=True),
    )
    rows = [
        [one.formula, one.question.text, one.answer.text]
        for one in sorted(report.answers, key=lambda x: (x.formula, x.question.text))
    ]
    return make_table(columns, rows, title="polymorphs", width=width)


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
    lines = [f"{report.n_calculations} materials escalated, {took}; {report.wall_seconds:.1f} s"]
    if report.waiting:
        lines.append(
            f"{len(report.waiting)} without a result: being computed by another process; "
            "run the same command again"
        )
    return lines
