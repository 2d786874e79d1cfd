"""The ways a decision can end, common to questions about one crystal and about several."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from screening.decisions.evidence import Evidence
from screening.decisions.outcome import Answer, Decision, Outcome, Reason, Standing
from screening.decisions.wording import percent
from screening.errors import ElementNotInModelError, InconsistentDataError
from screening.uncertainty.interval import Interval

__all__ = ["accepted", "check_coverage", "failed", "invalid", "out_of_budget", "unsettled"]

_ROUNDING = 1e-9  # 1 - alpha in floating point


def accepted(
    reason: Reason,
    answer: Answer,
    detail: str,
    *,
    standing: Standing,
    intervals: tuple[Interval, ...] = (),
    rivals: tuple[str, ...] = (),
) -> Decision:
    """Accept; what the reference says is accepted as such, with no further reason."""
    if standing.is_reference and reason is not Reason.SINGLE_POLYMORPH:
        reason, detail = Reason.REFERENCE_METHOD, f"{detail}, by the reference method"
    return Decision(Outcome.ACCEPT, reason, None, intervals, detail, answer, rivals)


def unsettled(
    reason: Reason,
    detail: str,
    *,
    standing: Standing,
    intervals: tuple[Interval, ...] = (),
    rivals: tuple[str, ...] = (),
) -> Decision:
    """Escalate an open question, or reject it where no better method is left."""
    if standing.next_tier is not None:
        return Decision(
            Outcome.ESCALATE, reason, standing.next_tier, intervals, detail, rivals=rivals
        )
    if not standing.is_reference:
        detail = f"{detail}; the ladder has no method above tier {standing.tier}"
        reason = Reason.NO_HIGHER_TIER
    return Decision(Outcome.REJECT, reason, None, intervals, detail, rivals=rivals)


def failed(evidence: Evidence, standing: Standing) -> Decision:
    """Escalate a crystal without a prediction, or give it up after the last method."""
    codes = ", then ".join(evidence.failures)
    if standing.next_tier is None:
        detail = f"every method of the ladder up to tier {standing.tier} failed: {codes}"
        return Decision(Outcome.REJECT, Reason.ALL_TIERS_FAILED, None, (), detail)
    if evidence.failures[-1] == ElementNotInModelError.code:
        detail = f"the model of tier {standing.tier} does not know an element of this crystal"
        return Decision(Outcome.ESCALATE, Reason.ELEMENT_UNKNOWN, standing.next_tier, (), detail)
    detail = f"tier {standing.tier} gave no prediction: {codes}"
    return Decision(Outcome.ESCALATE, Reason.PREDICTION_FAILED, standing.next_tier, (), detail)


def invalid(standing: Standing, intervals: tuple[Interval, ...] = ()) -> Decision:
    """End a thermal question about a crystal with too many low or imaginary modes."""
    detail = (
        f"too many modes are low or imaginary at tier {standing.tier} "
        "for a harmonic free energy, entropy or heat capacity to mean anything"
    )
    return unsettled(Reason.INVALID_THERMODYNAMICS, detail, standing=standing, intervals=intervals)


def out_of_budget(decision: Decision, left: str = "") -> Decision:
    """Reject an escalation that the budget does not pay for; other decisions stay.

    Parameters
    ----------
    decision
        Any decision.
    left
        What is left of the budget, in words, such as ``0 of 5 calculations``.
    """
    if decision.outcome is not Outcome.ESCALATE:
        return decision
    remaining = f" ({left} left)" if left else ""
    detail = f"{decision.detail}; the budget does not pay for tier {decision.next_tier}{remaining}"
    return replace(
        decision,
        outcome=Outcome.REJECT,
        reason=Reason.BUDGET_EXHAUSTED,
        next_tier=None,
        detail=detail,
    )


def check_coverage(intervals: Iterable[Interval], standing: Standing, subject: str) -> None:
    """Refuse intervals that take a higher risk than was asked for.

    Raises
    ------
    InconsistentDataError
        Naming the first quantity that does.
    """
    for one in intervals:
        if not one.coverage >= 1.0 - standing.alpha - _ROUNDING or math.isnan(one.coverage):
            raise InconsistentDataError(
                f"the interval of {one.quantity.name} covers {percent(one.coverage)}, "
                f"less than {percent(1.0 - standing.alpha)}",
                subject=subject,
                hint="Ask the calibration for intervals of the same alpha, or a smaller one",
            )
