"""Table of why a material has the numbers it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from flows.tables.cells import MISSING, Column, make_table, name_of, number, verdict

if TYPE_CHECKING:
    from flows.trail import PredictionMark, Trail
    from stores.documents import DecisionDocument, FailureDocument
    from stores.documents.decision import IntervalRecord

__all__ = ["table_trail"]

OUTCOME_STYLES = {"accept": "green", "escalate": "yellow", "reject": "red"}
_SHORT = 12  # hexadecimal digits that tell models apart


def table_trail(trail: Trail, *, width: int | None = None) -> Group:
    """Make tables of predictions, decisions and failures of one material."""
    name = name_of(trail.label, trail.material_id)
    head = f"{trail.formula}  {trail.space_group_symbol}  {name}"
    parts: list[Table | Text] = [Text(head, style="bold")]
    if trail.predictions:
        parts.append(_predictions(trail.predictions, width))
        parts.append(Text(_versions(trail.predictions), style="dim"))
    if trail.decisions:
        parts.append(_decisions(trail.decisions, width))
    if trail.failures:
        parts.append(_failures(trail.failures, width))
    parts.append(Text(f"next: {trail.next_step}", style="cyan"))
    return Group(*parts)


def _predictions(marks: tuple[PredictionMark, ...], width: int | None) -> Table:
    columns = (
        Column("tier", is_number=True),
        Column("method", rank=2),
        Column("model", wraps=True),
        Column("digest", rank=4),
        Column("settings", rank=5),
        Column("verdict"),
        Column("lowest\nTHz", rank=3, is_number=True),
        Column("force\ncalls", rank=1, is_number=True),
        Column("wall s", is_number=True),
        Column("shown", rank=1),
    )
    rows = [
        [
            str(one.tier),
            f"{one.method} {one.method_version}",
            one.model,
            one.model_digest[:_SHORT],
            one.settings_digest[:_SHORT],
            verdict(one.verdict),
            number(one.lowest_frequency_thz),
            str(one.force_calls),
            number(one.wall_seconds, 1),
            "yes" if one.is_shown else "",
        ]
        for one in marks
    ]
    return make_table(columns, rows, title="predictions", width=width)


def _versions(marks: tuple[PredictionMark, ...]) -> str:
    """Name the versions once where all predictions share them, else those of each tier."""
    texts = {
        one.tier: ", ".join(f"{name} {version}" for name, version in sorted(one.versions.items()))
        for one in marks
    }
    if len(set(texts.values())) == 1:
        return f"made with {next(iter(texts.values()))}"
    return "\n".join(f"tier {tier} made with {text}" for tier, text in texts.items())


def _decisions(documents: tuple[DecisionDocument, ...], width: int | None) -> Table:
    columns = (
        Column("tier", is_number=True),
        Column("question", wraps=True),
        Column("outcome"),
        Column("reason", rank=1),
        Column("interval", rank=3, wraps=True),
        Column("detail", rank=2, wraps=True),
        Column("answer", wraps=True),
    )
    rows: list[list[Text | str]] = [
        [
            str(one.tier),
            one.question if one.alpha is None else f"{one.question} (risk {one.alpha:g})",
            Text(one.outcome.value, style=OUTCOME_STYLES.get(one.outcome.value, "")),
            one.reason,
            "\n".join(_interval(record) for record in one.intervals) or MISSING,
            one.detail,
            one.answer.text if one.answer else MISSING,
        ]
        for one in documents
    ]
    return make_table(columns, rows, title="decisions", width=width)


def _interval(record: IntervalRecord) -> str:
    low = "-inf" if record.lower is None else f"{record.lower:.4g}"
    high = "inf" if record.upper is None else f"{record.upper:.4g}"
    rival = f" minus {record.rival_id}" if record.rival_id else ""
    return f"{record.quantity}{rival}: {low} to {high} ({100 * record.coverage:.0f} %)"


def _failures(documents: tuple[FailureDocument, ...], width: int | None) -> Table:
    columns = (
        Column("stage"),
        Column("method", rank=1),
        Column("code"),
        Column("attempts", rank=2, is_number=True),
        Column("what is wrong", wraps=True),
        Column("next step", rank=1, wraps=True),
    )
    rows = [
        [
            one.stage,
            one.method or MISSING,
            one.code,
            str(one.attempts),
            one.message,
            one.next_step or MISSING,
        ]
        for one in documents
    ]
    return make_table(columns, rows, title="failures", width=width)
