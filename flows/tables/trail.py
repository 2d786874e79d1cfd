"""Table of why a material has the numbers it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from flows.names import with_names
from flows.tables.cells import (
    MISSING,
    NOT_CALIBRATED,
    Column,
    digits_of,
    make_table,
    name_of,
    number,
    reach,
    verdict,
)
from screening.quantities import Quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flows.trail import PredictionMark, Trail
    from stores.documents import DecisionDocument, FailureDocument
    from stores.documents.interval import IntervalRecord

__all__ = ["settings_line", "table_trail"]

OUTCOME_STYLES = {"accept": "green", "escalate": "yellow", "reject": "red"}
_FOLLOW = frozenset({"inputs"})  # from the other settings, page by page
_EMPTY: tuple[object, ...] = ("", None, {}, [])
_SHORT = 12  # hexadecimal digits that tell models apart


def table_trail(trail: Trail, *, width: int | None = None) -> Group:
    """Make tables of predictions, decisions and failures of one material."""
    name = name_of(trail.label, trail.material_id)
    head = f"{trail.formula}  {trail.space_group_symbol}  {name}"
    parts: list[Table | Text] = [Text(head, style="bold")]
    if trail.predictions:
        parts.append(_predictions(trail.predictions, width))
        parts.append(Text(_versions(trail.predictions), style="dim"))
        parts += [
            Text(settings_line(one.model, one.model_settings), style="dim")
            for one in trail.predictions
            if one.model_settings
        ]
    if trail.decisions:
        parts += _decisions(trail, width)
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


def settings_line(model: str, settings: Mapping[str, Any]) -> str:
    """Name the settings of a model from first principles, its datasets by their digests.

    Examples
    --------
    >>> settings_line("gpaw:PBE", {"ecut_ev": 350.0, "born": False, "bin_dir": ""})
    'gpaw:PBE: ecut_ev 350, born no'
    """
    texts = (
        f"{name} {_setting(value)}"
        for name, value in settings.items()
        if name not in _FOLLOW and value not in _EMPTY
    )
    return f"{model}: {', '.join(texts)}"


def _setting(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:g}"
    if isinstance(value, Mapping) and {"file", "sha256"} <= set(value):
        return f"{value['file']} {str(value['sha256'])[:_SHORT]}"
    if isinstance(value, Mapping):
        return f"({', '.join(f'{name} {_setting(one)}' for name, one in value.items())})"
    if isinstance(value, list | tuple):
        return f"({', '.join(map(_setting, value))})"
    return str(value)


def _decisions(trail: Trail, width: int | None) -> list[Table]:
    """Make a table for every question and risk, by tier."""
    tables = []
    for asked in dict.fromkeys(map(_question, trail.decisions)):
        documents = [one for one in trail.decisions if _question(one) == asked]
        tables.append(_decided(asked, documents, trail.names, width))
    return tables


def _question(one: DecisionDocument) -> str:
    return one.question if one.alpha is None else f"{one.question} (risk {one.alpha:g})"


def _decided(
    title: str, documents: Sequence[DecisionDocument], names: Mapping[str, str], width: int | None
) -> Table:
    several = any(len(one.intervals) > 1 for one in documents)  # the words have but the closest
    columns = (
        Column("tier", is_number=True),
        Column("outcome"),
        Column("reason", rank=1),
        *((Column("intervals", rank=2, wraps=True),) if several else ()),
        Column("in words", wraps=True),
    )
    rows: list[list[Text | str]] = []
    for one in documents:
        intervals = "\n".join(_interval(record, names) for record in one.intervals) or MISSING
        outcome = Text(one.outcome.value, style=OUTCOME_STYLES[one.outcome.value])
        words = with_names(_words(one), names)
        rows.append([str(one.tier), outcome, one.reason, *((intervals,) if several else ()), words])
    return make_table(columns, rows, title=title, width=width)


def _words(one: DecisionDocument) -> str:
    """Say why, and the answer where the reason does not say it already."""
    if one.answer is None:
        return one.detail
    told = one.answer.text.removeprefix("yes: ").removeprefix("no: ")  # the reason says which
    if told in one.detail:
        return one.detail
    return f"{one.answer.text}; {one.detail}"


def _interval(record: IntervalRecord, names: Mapping[str, str]) -> str:
    quantity = Quantity.parse(record.quantity)
    rival = f"to {names.get(record.rival_id, record.rival_id)} " if record.rival_id else ""
    kelvin = quantity.temperature_k
    where = "" if kelvin is None else f"at {kelvin:g} K "
    if record.lower is not None and record.lower == record.upper:
        return f"{rival}{where}taken as it is"
    ends = reach(record.lower, record.upper, digits_of(quantity))
    return f"{rival}{where}{ends}" + ("" if ends == NOT_CALIBRATED else f" {quantity.unit}")


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
