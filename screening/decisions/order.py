"""The order of polymorphs at every temperature, as far as their differences settle it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import groupby, pairwise
from typing import Any

from screening.decisions.courses import Course, Finding, Pair
from screening.decisions.outcome import Answer, Reason
from screening.decisions.questions import OrderQuestion
from screening.decisions.wording import window_text
from screening.uncertainty.interval import Interval

__all__ = ["order_answer", "order_findings"]


class _Relation(StrEnum):
    """What one interval of a difference says."""

    BELOW = "below"
    ABOVE = "above"
    TIED = "tied"
    OPEN = "open"


def order_findings(question: OrderQuestion, courses: Mapping[Pair, Course]) -> dict[Pair, Finding]:
    """Say of every pair whether its order is settled at every temperature of the window.

    A pair whose sign contradicts the order made of all pairs (differences of several methods
    need not add up) is not settled.
    """
    contradictory = _contradictory(question, courses)
    found = {}
    for pair, course in courses.items():
        reason = course.trouble
        if reason is None:
            is_open = any(_relation(question, one) is _Relation.OPEN for one in course.intervals)
            if is_open or pair in contradictory:
                reason = course.open_reason(Reason.ORDER_UNDECIDED)
        closest = min(course.intervals, key=lambda one: max(one.lower, -one.upper), default=None)
        found[pair] = Finding(reason, closest)
    return found


def order_answer(
    question: OrderQuestion,
    names: Sequence[str],
    courses: Mapping[Pair, Course],
    findings: Mapping[Pair, Finding],
) -> Answer:
    """Return the order as computed, with what is tied and what is not settled."""
    runs = _runs(question, names, courses)
    undecided = [list(pair) for pair, found in sorted(findings.items()) if found.reason]
    text = "; ".join(map(_run_text, runs)) or "no two polymorphs can be compared"
    if undecided:
        text += f"; not settled: {', '.join(' and '.join(pair) for pair in undecided)}"
    return Answer(text, {"kind": "order", "runs": runs, "undecided": undecided})


def _relation(question: OrderQuestion, interval: Interval) -> _Relation:
    limit = question.resolution_mev_per_atom
    if -limit <= interval.lower and interval.upper <= limit:
        return _Relation.TIED
    if interval.upper < 0.0:
        return _Relation.BELOW
    return _Relation.ABOVE if interval.lower > 0.0 else _Relation.OPEN


def _grid(courses: Mapping[Pair, Course]) -> tuple[float, ...]:
    """Temperatures that all given courses share."""
    known = [course.intervals for course in courses.values() if course.intervals]
    return tuple(one.quantity.temperature_k or 0.0 for one in known[0]) if known else ()


def _scores(names: Sequence[str], courses: Mapping[Pair, Course], place: int) -> dict[str, int]:
    """Count for every polymorph how many have a lower value at one temperature."""
    scores = dict.fromkeys(names, 0)
    for (first, second), course in courses.items():
        if course.intervals and course.intervals[place].value != 0.0:
            higher = second if course.intervals[place].value < 0.0 else first
            scores[higher] += 1
    return scores


def _contradictory(question: OrderQuestion, courses: Mapping[Pair, Course]) -> set[Pair]:
    """Pairs whose sign is not the one of the order that all pairs give together."""
    if not all(course.intervals for course in courses.values()):
        return set()  # with pairs missing, the number of lower ones says nothing
    names = sorted({name for pair in courses for name in pair})
    found = set()
    for place in range(len(_grid(courses))):
        scores = _scores(names, courses, place)
        for pair, course in courses.items():
            relation = _relation(question, course.intervals[place])
            gap = scores[pair[0]] - scores[pair[1]]
            if (relation is _Relation.BELOW and gap >= 0) or (
                relation is _Relation.ABOVE and gap <= 0
            ):
                found.add(pair)
    return found


def _runs(
    question: OrderQuestion, names: Sequence[str], courses: Mapping[Pair, Course]
) -> list[dict[str, Any]]:
    """Orders from lowest to highest free energy, neighbouring equal temperatures together."""
    columns = []
    for place, temperature_k in enumerate(_grid(courses)):
        scores = _scores(names, courses, place)
        said = {
            "material_ids": sorted(names, key=lambda name: (scores[name], name)),
            "tied": _pairs(question, courses, place, _Relation.TIED),
            "undecided": _pairs(question, courses, place, _Relation.OPEN),
        }
        columns.append((temperature_k, said))
    runs = []
    for said, members in groupby(columns, key=lambda column: column[1]):
        grid = [temperature_k for temperature_k, _ in members]
        runs.append({"lowest_temperature_k": grid[0], "highest_temperature_k": grid[-1], **said})
    return runs


def _pairs(
    question: OrderQuestion, courses: Mapping[Pair, Course], place: int, relation: _Relation
) -> list[list[str]]:
    """Pairs in this relation at one temperature; what is not known is open."""
    found = []
    for pair, course in sorted(courses.items()):
        here = _Relation.OPEN
        if course.trouble is None:
            here = _relation(question, course.intervals[place])
        if here is relation:
            found.append(list(pair))
    return found


def _run_text(run: Mapping[str, Any]) -> str:
    """Say one run, such as ``a < b = c ? d from 0 to 1000 K``."""
    order = run["material_ids"]
    signs = {frozenset(pair): "=" for pair in run["tied"]}
    signs |= {frozenset(pair): "?" for pair in run["undecided"]}
    text = order[0]
    for left, right in pairwise(order):
        text += f" {signs.get(frozenset((left, right)), '<')} {right}"
    return f"{text} {window_text(run['lowest_temperature_k'], run['highest_temperature_k'])}"
