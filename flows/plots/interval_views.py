"""From stored decisions to what a picture of intervals shows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from flows.plots.intervals import IntervalRow, IntervalView
from screening.decisions.parsing import parse_question
from screening.decisions.questions import (
    FilterQuestion,
    MaterialQuestion,
    PropertyQuestion,
    Question,
    StabilityQuestion,
    TransitionQuestion,
)
from screening.decisions.wording import percent
from screening.quantities import Property, Quantity
from screening.uncertainty.estimates import estimate_difference, raw_value
from screening.uncertainty.risk import StabilityJudgement
from screening.uncertainty.samples import Sample
from stores.documents import DecisionDocument
from stores.documents.interval import IntervalRecord

__all__ = ["DecidedCrystals", "interval_views"]


@dataclass(frozen=True)
class DecidedCrystals:
    """What there is to know about crystals that decisions were made on.

    Attributes
    ----------
    names
        Formula and name of every material, for the reader.
    samples
        Predictions by their keys.
    thresholds
        Judgement of any crystal by the calibration of the cheap method, for its thresholds, by
        the accepted risk; of some there is none.
    """

    names: Mapping[str, str]
    samples: Mapping[str, Sample]
    thresholds: Mapping[float, StabilityJudgement] = field(default_factory=dict)


@dataclass(frozen=True)
class _Case:
    """Decisions on one material: by the cheap method, and by the better one where asked."""

    cheap: DecisionDocument
    better: DecisionDocument | None


def interval_views(
    decisions: Iterable[DecisionDocument], about: DecidedCrystals
) -> tuple[IntervalView, ...]:
    """Choose what pictures of some decisions show: one for each question and temperature.

    Of decisions on one material by one tier the newest counts; the lowest tier is the cheap
    method and the highest the better one. Polymorphs are shown in pairs, each at the
    temperature where its interval comes closest to leave the order open.
    """
    groups: dict[tuple[str, float | None], list[DecisionDocument]] = {}
    for one in sorted(decisions, key=lambda one: (one.question, str(one.last_updated))):
        groups.setdefault((one.question, one.alpha), []).append(one)
    found = []
    for (text, alpha), group in groups.items():
        question, cases = parse_question(text), _cases(group)
        title = _words(question)
        title = title if alpha is None else f"{title}  ·  risk {percent(alpha)}"
        if isinstance(question, StabilityQuestion):
            judged = None if alpha is None else about.thresholds.get(alpha)
            found.append(_stability(title, cases, about, judged))
        elif isinstance(question, MaterialQuestion):
            found += [_values(title, question, one, cases, about) for one in question.quantities]
        else:
            found.append(_pairs(title, question, cases, about))
    return tuple(view for view in found if view.rows)


def _words(question: Question) -> str:
    """Return the question without the underscores of field names."""
    if not isinstance(question, FilterQuestion):
        return question.text.replace("_", " ")
    name = _label(question.quantity).partition(" (")[0]
    asked = f"{question.operator} {question.bound:g} {question.quantity.unit}"
    return f"{name[0].lower()}{name[1:]} {asked}"


def _cases(group: Sequence[DecisionDocument]) -> dict[str, _Case]:
    newest: dict[str, dict[int, DecisionDocument]] = {}
    for one in group:
        newest.setdefault(one.material_id, {})[one.tier] = one
    return {
        name: _Case(tiers[min(tiers)], tiers[max(tiers)] if len(tiers) > 1 else None)
        for name, tiers in newest.items()
    }


def _values(
    title: str,
    question: PropertyQuestion | FilterQuestion,
    quantity: Quantity,
    cases: Mapping[str, _Case],
    about: DecidedCrystals,
) -> IntervalView:
    rows = []
    for name, case in cases.items():
        cheap, better = _samples(case, about)
        value, lower, upper = _interval(case.cheap, quantity)
        rows.append(
            IntervalRow(
                about.names[name],
                case.cheap.outcome.value,
                value,
                lower,
                upper,
                raw=_raw(cheap, quantity),
                better=_raw(better, quantity),
            )
        )
    limits: tuple[tuple[float, str], ...] = ()
    if isinstance(question, FilterQuestion):
        limits = ((question.bound, f"asked for: {question.operator} {question.bound:g}"),)
    return IntervalView(
        question=title,
        x_label=_label(quantity),
        rows=_by_value(rows),
        coverage=_coverage(cases.values()),
        tolerance=question.tolerance if isinstance(question, PropertyQuestion) else None,
        limits=limits,
    )


def _stability(
    title: str,
    cases: Mapping[str, _Case],
    about: DecidedCrystals,
    judged: StabilityJudgement | None,
) -> IntervalView:
    rows = []
    for name, case in cases.items():
        found = [one.lowest_frequency_thz if one else None for one in _samples(case, about)]
        cheap = found[0]
        ends = (-math.inf, math.inf) if cheap is None else (cheap, cheap)
        outcome = case.cheap.outcome.value
        rows.append(IntervalRow(about.names[name], outcome, cheap, *ends, better=found[1]))
    limits: list[tuple[float, str]] = []
    band = None
    if judged is not None:
        below, above = judged.unstable_below_thz, judged.stable_above_thz
        if above < below:  # so far apart that the middle decides
            below = above = (above + below) / 2.0
        named = ((below, "unstable below"), (above, "stable above"))
        limits = [
            (value, f"{words} ${value:.2f}$") for value, words in named if math.isfinite(value)
        ]
        band = (below, above) if below < above else None
    label = _label(Quantity(Property.LOWEST_FREQUENCY))
    return IntervalView(title, label, _by_value(rows), limits=tuple(limits), open_band=band)


def _pairs(
    title: str, question: Question, cases: Mapping[str, _Case], about: DecidedCrystals
) -> IntervalView:
    """Show every pair of polymorphs once, at the temperature that its decision rests on."""
    rows: dict[tuple[str, str], IntervalRow] = {}
    for name, case in sorted(cases.items(), key=lambda one: about.names[one[0]]):
        for record in case.cheap.intervals:
            rival = record.rival_id or ""
            other = cases.get(rival)  # none where it was not asked about
            if (rival, name) in rows or (other and _is_below(case, other, about)):
                continue  # the other way round it is met at the other one
            rows[name, rival] = _pair(record, (name, rival), (case, other), about)
    limits = [(0.0, "")]
    if isinstance(question, TransitionQuestion):
        limits.append((question.candidate_mev_per_atom, "candidates below"))
    label = "Difference of free energy (meV/atom)"
    coverage = _coverage(cases.values())
    return IntervalView(title, label, tuple(rows.values()), coverage, limits=tuple(limits))


def _is_below(first: _Case, second: _Case, about: DecidedCrystals) -> bool:
    """Whether the first has the lower static energy, so that the second is compared to it."""
    one, two = (_samples(case, about)[0] for case in (first, second))
    if one is None or two is None:
        return False
    energies = one.static_energy_ev_per_atom, two.static_energy_ev_per_atom
    return energies[0] is not None and energies[1] is not None and energies[0] < energies[1]


def _pair(
    record: IntervalRecord,
    pair: tuple[str, str],
    cases: tuple[_Case, _Case | None],
    about: DecidedCrystals,
) -> IntervalRow:
    """Show the first minus the second."""
    quantity = Quantity.parse(record.quantity)
    first, second = (_samples(one, about) if one else (None, None) for one in cases)
    return IntervalRow(
        f"{about.names[pair[0]]} minus {_phase(about, pair[1])}, {quantity.temperature_k:g} K",
        cases[0].cheap.outcome.value,
        record.value,
        *_ends(record),
        raw=_difference(first[0], second[0], quantity),
        better=_difference(first[1], second[1], quantity),
    )


def _phase(about: DecidedCrystals, name: str) -> str:
    """Name of a polymorph whose formula was said before."""
    return about.names.get(name, name).rpartition("  ")[2]


def _samples(case: _Case, about: DecidedCrystals) -> tuple[Sample | None, Sample | None]:
    """Predictions of the cheap and of the better method."""
    keys = (case.cheap.prediction_id, case.better and case.better.prediction_id)
    cheap, better = (about.samples.get(key) if key else None for key in keys)
    return cheap, better


def _raw(sample: Sample | None, quantity: Quantity) -> float | None:
    """Value as it was predicted, where it means anything."""
    if sample is None:
        return None
    thermal = quantity.kind is not Property.LOWEST_FREQUENCY
    return None if thermal and not sample.thermodynamics.valid else raw_value(sample, quantity)


def _difference(first: Sample | None, second: Sample | None, quantity: Quantity) -> float | None:
    """Value of a difference as it was predicted, where one source gave both."""
    if first is None or second is None:
        return None
    if first.static_energy_source != second.static_energy_source:
        return None
    return estimate_difference(first, second, quantity, 0.0, 1.0).value


def _interval(document: DecisionDocument, quantity: Quantity) -> tuple[float | None, float, float]:
    for record in document.intervals:
        if record.quantity == quantity.name:
            return record.value, *_ends(record)
    return None, -math.inf, math.inf


def _ends(record: IntervalRecord) -> tuple[float, float]:
    """Return the ends of an interval, open ones as infinite."""
    lower = -math.inf if record.lower is None else record.lower
    return lower, math.inf if record.upper is None else record.upper


def _coverage(cases: Iterable[_Case]) -> float | None:
    known = [record.coverage for one in cases for record in one.cheap.intervals]
    return known[0] if known else None


def _by_value(rows: Iterable[IntervalRow]) -> tuple[IntervalRow, ...]:
    """Highest first; what has no value last."""
    return tuple(sorted(rows, key=lambda row: math.inf if row.value is None else -row.value))


def _label(quantity: Quantity) -> str:
    words = quantity.kind.value.replace("_", " ").capitalize()
    where = "" if quantity.temperature_k is None else f" at {quantity.temperature_k:g} K"
    return f"{words}{where} ({quantity.unit})"
