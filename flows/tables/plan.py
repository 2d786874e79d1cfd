"""Table of what a screen would take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from flows.tables.cells import MISSING, Column, make_table, number

if TYPE_CHECKING:
    from flows.planning import Plan, StepPlan

__all__ = ["table_plan"]

CAPTION = (
    "Core-hours: nine of ten plans end within the factor. Tiers above the first: the worst "
    "case, every material escalated; expected: as the predictions there are decide."
)


def table_plan(plan: Plan, *, width: int | None = None) -> Group:
    """Make tables of what a screen would take, and of what cannot be screened."""
    columns = (
        Column("tier", is_number=True),
        Column("calculator", wraps=True),
        Column("done", rank=3, is_number=True),
        Column("failed\nbefore", rank=4, is_number=True),
        Column("materials", is_number=True),
        Column("supercell\natoms", rank=2, is_number=True),
        Column("force\ncalls", is_number=True),
        Column("core-\nhours", is_number=True),
        Column("factor", is_number=True),
        Column("expected\nmaterials", rank=1, is_number=True),
        Column("expected\ncore-hours", rank=1, is_number=True),
        Column("times of calls", rank=5, wraps=True),
    )
    rows = [_row(step) for step in plan.steps]
    parts: list[Table | Text] = [make_table(columns, rows, caption=CAPTION, width=width)]
    refused = [
        [str(step.tier), name, reason]
        for step in plan.steps
        for name, reason in sorted(step.refused.items())
    ]
    if refused:
        heads = (Column("tier", is_number=True), Column("material"), Column("reason", wraps=True))
        parts.append(make_table(heads, refused, title="cannot be computed", width=width))
    parts += [Text(line) for line in _lines(plan)]
    return Group(*parts)


def _row(step: StepPlan) -> list[Text | str]:
    sizes = step.supercell_atoms
    return [
        str(step.tier),
        step.calculator,
        str(step.n_done),
        str(step.n_failed),
        str(step.n_materials),
        MISSING if sizes is None else f"{sizes[0]} to {sizes[1]}",
        str(step.n_force_calls),
        _hours(step.core_hours),
        f"{step.factor:.2g}" if step.n_materials else MISSING,
        number(step.expected_materials, 1),
        MISSING if step.expected_core_hours is None else _hours(step.expected_core_hours),
        step.basis,
    ]


def _hours(value: float) -> str:
    """Write core-hours with two digits, whatever their size."""
    return f"{value:.2g}" if value < 100 else f"{value:.0f}"  # noqa: PLR2004 - below it two digits


def _lines(plan: Plan) -> list[str]:
    """Say what was asked, and what the budget allows."""
    lines = [f"{plan.n_materials} materials"]
    if plan.questions:
        lines.append(f"questions: {'; '.join(plan.questions)} (risk {plan.alpha:g})")
    limits = []
    if plan.budget.max_calculations is not None:
        limits.append(f"{plan.budget.max_calculations} calculations")
    if plan.budget.core_hours is not None:
        limits.append(f"{plan.budget.core_hours:g} core-hours")
    if limits:
        lines.append(f"budget above the first tier: {' and '.join(limits)}")
    return lines
