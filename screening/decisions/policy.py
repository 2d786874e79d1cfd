"""The policy for questions about one crystal.

Accept where the interval settles the question, whatever its width; escalate where it can
change the answer; reject where no method is left that could settle it. A value of the
reference method is taken as it is. The risk is that of an answer: where it rests on several
intervals, they have to hold together with their coverage.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from screening.decisions.endings import (
    accepted,
    check_coverage,
    failed,
    invalid,
    out_of_budget,
    unsettled,
)
from screening.decisions.evidence import Evidence
from screening.decisions.outcome import Answer, Decision, Outcome, Reason, Standing
from screening.decisions.questions import (
    FilterQuestion,
    MaterialQuestion,
    PropertyQuestion,
    StabilityQuestion,
)
from screening.decisions.wording import interval_content, interval_text, percent, rounded
from screening.errors import InconsistentDataError, SettingError
from screening.prediction import Verdict
from screening.quantities import Property
from screening.uncertainty.interval import Interval
from screening.uncertainty.risk import StabilityJudgement

__all__ = [
    "Answer",
    "Decision",
    "Outcome",
    "Reason",
    "Standing",
    "decide",
    "decisive",
    "out_of_budget",
]

_STRONGEST_FIRST = (Outcome.ESCALATE, Outcome.REJECT, Outcome.ACCEPT)


def decide(question: MaterialQuestion, evidence: Evidence, standing: Standing) -> Decision:
    """Decide a question about one crystal.

    Parameters
    ----------
    question
        About a property, the stability, or a filter.
    evidence
        What the method in use says, or why it says nothing.
    standing
        Where that method stands in the ladder, and the accepted risk.

    Returns
    -------
    Decision
        Depends on nothing but the arguments.

    Raises
    ------
    SettingError
        If the question is about several polymorphs.
    InconsistentDataError
        If the evidence lacks what the question is about, or has it with a lower coverage
        than the accepted risk allows.
    """
    if not isinstance(question, MaterialQuestion):
        raise SettingError(
            f"'{question}' is about all polymorphs of a composition",
            subject="question",
            hint="Decide it with decide_group",
        )
    if evidence.failures:
        return failed(evidence, standing)
    if isinstance(question, StabilityQuestion):
        return _stability(evidence, standing)
    intervals = tuple(evidence.interval(quantity) for quantity in question.quantities)
    check_coverage(intervals, standing, evidence.material_id)
    thermal = any(one.quantity.kind is not Property.LOWEST_FREQUENCY for one in intervals)
    if thermal and not evidence.thermodynamics_valid:
        return invalid(standing, intervals)
    if isinstance(question, PropertyQuestion):
        return _property(question, evidence, standing, intervals)
    return _filter(question, evidence, standing, intervals[0])


def decisive(decisions: Sequence[Decision]) -> Decision:
    """Of the decisions on several questions about one crystal, the one that says what to do.

    The first that escalates; where none does, the first that rejects; else the first.

    Raises
    ------
    InconsistentDataError
        If there is none.
    """
    for outcome in _STRONGEST_FIRST:
        for one in decisions:
            if one.outcome is outcome:
                return one
    raise InconsistentDataError("there is no decision to choose from")


def _property(
    question: PropertyQuestion,
    evidence: Evidence,
    standing: Standing,
    intervals: tuple[Interval, ...],
) -> Decision:
    widest = max(intervals, key=lambda one: one.half_width)
    limit = f"{rounded(question.tolerance)} {question.kind.unit}"
    half_width = rounded(widest.half_width)
    if _is_unknown(evidence, standing) or not widest.is_finite:
        return _no_interval(evidence, standing, intervals, f"a tolerance of {limit}")
    if standing.is_reference or widest.half_width <= question.tolerance:
        answer = _values(intervals)
        detail = f"{interval_text(widest)}"
        if not standing.is_reference:
            detail += f", half width {half_width} within the tolerance of {limit}"
        reason = Reason.INTERVAL_WITHIN_TOLERANCE
        return accepted(reason, answer, detail, standing=standing, intervals=intervals)
    detail = f"{interval_text(widest)}, half width {half_width} above the tolerance of {limit}"
    return unsettled(Reason.INTERVAL_TOO_WIDE, detail, standing=standing, intervals=intervals)


def _filter(
    question: FilterQuestion, evidence: Evidence, standing: Standing, interval: Interval
) -> Decision:
    if _is_unknown(evidence, standing):
        return _no_interval(evidence, standing, (interval,), f"'{question}'")
    ends = question.holds(interval.lower), question.holds(interval.upper)
    if standing.is_reference:
        ends = (question.holds(interval.value),) * 2
    if all(ends) or not any(ends):
        reason = Reason.FILTER_SURELY_MET if all(ends) else Reason.FILTER_SURELY_NOT_MET
        word = "meets" if all(ends) else "does not meet"
        content = {"kind": "filter", "met": all(ends), "values": [interval_content(interval)]}
        answer = Answer(f"{'yes' if all(ends) else 'no'}: {interval_text(interval)}", content)
        detail = f"{interval_text(interval)} and surely {word} '{question}'"
        if standing.is_reference:
            detail = f"{interval_text(interval)} and {word} '{question}'"
        return accepted(reason, answer, detail, standing=standing, intervals=(interval,))
    if not interval.is_finite:
        return _no_interval(evidence, standing, (interval,), f"'{question}'")
    detail = f"{interval_text(interval)}, which holds the bound of '{question}'"
    return unsettled(Reason.FILTER_UNDECIDED, detail, standing=standing, intervals=(interval,))


def _stability(evidence: Evidence, standing: Standing) -> Decision:
    judgement = evidence.stability
    if judgement is None:
        raise InconsistentDataError("no judgement was given", subject=evidence.material_id)
    if _is_unknown(evidence, standing):
        return _no_interval(evidence, standing, (), "the stability")
    if judgement.verdict is not Verdict.UNDETERMINED:
        answer = Answer(
            f"{judgement.verdict.value}, lowest frequency "
            f"{rounded(judgement.lowest_frequency_thz)} THz",
            _judgement_content(judgement),
        )
        detail = _judgement_text(judgement, standing)
        return accepted(Reason.VERDICT_SETTLED, answer, detail, standing=standing)
    lowest = rounded(judgement.lowest_frequency_thz)
    if standing.is_reference:
        detail = f"the lowest frequency of {lowest} THz leaves the verdict of the reference open"
        return unsettled(Reason.VERDICT_UNDETERMINED, detail, standing=standing)
    below, above = judgement.unstable_below_thz, judgement.stable_above_thz
    if math.isinf(below) and math.isinf(above):
        return _no_interval(evidence, standing, (), "the stability")
    sides = []
    if math.isfinite(below):
        sides.append(f"not below {rounded(below)} THz, the limit of the unstable")
    if math.isfinite(above):
        sides.append(f"not above {rounded(above)} THz, the limit of the stable")
    detail = f"the lowest frequency of {lowest} THz is {' and '.join(sides)}"
    return unsettled(Reason.VERDICT_UNDETERMINED, detail, standing=standing)


def _judgement_text(judgement: StabilityJudgement, standing: Standing) -> str:
    """Sentence of a settled verdict; the reference's has no threshold."""
    stable = judgement.verdict is Verdict.STABLE
    head = f"the lowest frequency of {rounded(judgement.lowest_frequency_thz)} THz"
    if standing.is_reference:
        return f"{head} makes it {judgement.verdict.value}"
    limit = judgement.stable_above_thz if stable else judgement.unstable_below_thz
    side = "above" if stable else "below"
    risk = percent(standing.alpha)
    return f"{head} is {side} {rounded(limit)} THz: {judgement.verdict.value} (risk {risk})"


def _judgement_content(judgement: StabilityJudgement) -> dict[str, object]:
    numbers = {
        "lowest_frequency_thz": judgement.lowest_frequency_thz,
        "stable_above_thz": judgement.stable_above_thz,
        "unstable_below_thz": judgement.unstable_below_thz,
    }
    finite = {name: one if math.isfinite(one) else None for name, one in numbers.items()}
    return {"kind": "stability", "verdict": judgement.verdict.value, **finite}


def _values(intervals: Sequence[Interval]) -> Answer:
    return Answer(
        "; ".join(map(interval_text, intervals)),
        {"kind": "values", "values": [interval_content(one) for one in intervals]},
    )


def _is_unknown(evidence: Evidence, standing: Standing) -> bool:
    """Whether the calibration is not to be believed; the reference needs none."""
    return evidence.is_novel and not standing.is_reference


def _no_interval(
    evidence: Evidence, standing: Standing, intervals: tuple[Interval, ...], aim: str
) -> Decision:
    """End a question for which there is no finite interval."""
    if evidence.is_novel:
        detail = (
            f"the crystal is unlike those of the calibration (novelty {rounded(evidence.novelty)}, "
            f"limit 1), so that nothing can be said about {aim}"
        )
        return unsettled(Reason.OUT_OF_DOMAIN, detail, standing=standing, intervals=intervals)
    detail = f"too few calibration points for {aim}: the interval is unbounded"
    return unsettled(Reason.NOT_CALIBRATED, detail, standing=standing, intervals=intervals)
