"""Tables of answers, one for each question: numbers in columns, polymorphs by composition."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from flows.names import with_names
from flows.tables.cells import MISSING, Column, digits_of, make_table, number, reach
from flows.tables.trail import OUTCOME_STYLES
from screening.decisions.outcome import Reason
from screening.decisions.questions import GroupQuestion, Question, StabilityQuestion

if TYPE_CHECKING:
    from flows.deciding import Decided
    from flows.routing import RoutingReport
    from screening.uncertainty.interval import Interval

__all__ = ["answer_parts", "is_alone"]

_HEAD = (Column("formula"), Column("phase"), Column("outcome"))
_SHORT_REASONS = {
    Reason.INTERVAL_WITHIN_TOLERANCE: "within tolerance",
    Reason.INTERVAL_TOO_WIDE: "too wide",
}
"""Words that fit a line, where the interval stands beside them."""
_CORRECTED = "corrected for the potential's bias; query and show have what it predicted"
_TIER = Column("tier", rank=2, is_number=True)


def answer_parts(report: RoutingReport, *, width: int | None = None) -> list[Table | Text]:
    """Make a table for every question, and lines with what was said of compositions."""
    parts: list[Table | Text] = []
    for question in dict.fromkeys(one.question for one in report.decided):
        asked = [one for one in report.decided if one.question == question and not is_alone(one)]
        asked.sort(key=lambda one: (report.formulas[one.material_id], _name(report, one)))
        if asked:
            parts.append(_table(question, asked, report, width))
            if any(map(_is_corrected, asked)):
                parts.append(Text(_CORRECTED, style="dim"))
        if isinstance(question, GroupQuestion):
            parts += [Text(line) for line in (*_compositions(report, question), "")]
    return parts


def is_alone(one: Decided) -> bool:
    """Whether there was nothing to decide: a polymorph without another one."""
    return one.decision.reason is Reason.SINGLE_POLYMORPH


def _table(
    question: Question, asked: Sequence[Decided], report: RoutingReport, width: int | None
) -> Table:
    if isinstance(question, GroupQuestion | StabilityQuestion):
        columns, cells = _in_words(asked, report)
    else:
        columns, cells = _in_numbers(asked)
    formulas = [report.formulas[one.material_id] for one in asked]
    again = [False, *(first == second for first, second in pairwise(formulas))]
    rows: list[list[Text | str]] = [
        [
            "" if repeated else formula,
            _name(report, one),
            Text(one.decision.outcome.value, style=OUTCOME_STYLES[one.decision.outcome.value]),
            *own,
            str(one.standing.tier),
        ]
        for formula, repeated, one, own in zip(formulas, again, asked, cells, strict=True)
    ]
    return make_table((*_HEAD, *columns, _TIER), rows, title=question.text, width=width)


def _in_numbers(asked: Sequence[Decided]) -> tuple[tuple[Column, ...], list[list[str]]]:
    """Columns of a question about a quantity: values with their intervals.

    Where a calibration moved a value, the one that was predicted stands beside it.
    """
    known = [interval for one in asked for interval in one.decision.intervals]
    several = len({one.quantity for one in known}) > 1
    coverage = f"{100 * known[0].coverage:.4g} % interval" if known else "interval"
    unit = known[0].quantity.unit if known else "value"
    corrected = any(_is_corrected(one) for one in asked)
    columns = (
        Column("reason", rank=1, wraps=True),
        *((Column("K", is_number=True),) if several else ()),
        *((Column(f"as predicted\n{unit}", is_number=True, rank=1),) if corrected else ()),
        Column(f"corrected\n{unit}" if corrected else unit, is_number=True),
        Column(coverage, is_number=True),
    )
    cells = []
    for one in asked:
        intervals = one.decision.intervals
        kelvin = "\n".join(f"{x.quantity.temperature_k or 0.0:g}" for x in intervals)
        values = "\n".join(number(x.value, digits_of(x.quantity)) for x in intervals)
        ends = "\n".join(_reach(x) for x in intervals)
        raw = "\n".join(
            number(value, digits_of(x.quantity))
            for value, x in zip(one.raw_values, intervals, strict=False)  # none was kept
        )
        moved = (raw,) if corrected else ()
        cells.append([_words(one), *((kelvin,) if several else ()), *moved, values, ends])
    return columns, cells


def _is_corrected(one: Decided) -> bool:
    """Whether a value is not the one that was predicted."""
    pairs = zip(one.raw_values, one.decision.intervals, strict=False)
    return any(raw != interval.value for raw, interval in pairs)


def _in_words(
    asked: Sequence[Decided], report: RoutingReport
) -> tuple[tuple[Column, ...], list[list[str]]]:
    """Columns of a question without one number: the difference that decides, or a sentence."""
    columns = (Column("reason", rank=1, wraps=True), Column("what it rests on", wraps=True))
    return columns, [[_words(one), with_names(_ground(one), report.names)] for one in asked]


def _ground(one: Decided) -> str:
    """Say what a decision rests on, without what the reason says already."""
    decision = one.decision
    if decision.rivals:
        pairs = zip(decision.rivals, decision.intervals, strict=True)
        rival, closest = min(pairs, key=lambda pair: max(pair[1].lower, -pair[1].upper))
        return _difference(rival, closest)
    return decision.answer.text if decision.answer else decision.detail.split("; ")[0]


def _difference(rival: str, interval: Interval) -> str:
    quantity = interval.quantity
    value = number(interval.value, digits_of(quantity), sign=True)
    text = f"{value} {quantity.unit} to {rival} at {quantity.temperature_k or 0.0:g} K"
    return text if interval.lower == interval.upper else f"{text} ({_reach(interval)})"


def _reach(interval: Interval) -> str:
    """Write the ends of an interval; a value of the reference method has none."""
    if interval.lower == interval.upper:
        return MISSING
    return reach(interval.lower, interval.upper, digits_of(interval.quantity))


def _words(one: Decided) -> str:
    reason = one.decision.reason
    return _SHORT_REASONS.get(reason, reason.value.replace("_", " "))


def _compositions(report: RoutingReport, question: GroupQuestion) -> list[str]:
    """Say the answer for every composition with several phases, and count the others."""
    alone = [one for one in report.decided if one.question == question and is_alone(one)]
    formulas = {report.formulas[one.material_id] for one in alone}
    lines = [
        f"{one.formula}: {with_names(one.answer.text, report.names)}"
        for one in sorted(report.answers, key=lambda one: one.formula)
        if one.question == question and one.formula not in formulas
    ]
    if alone:
        lines.append(f"{len(alone)} compositions with one phase only: nothing to compare")
    return lines


def _name(report: RoutingReport, one: Decided) -> str:
    return report.names[one.material_id]
