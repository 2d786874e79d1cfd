"""What a decision says: outcome, reason from a closed list, intervals, answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from screening.errors import InconsistentDataError, SettingError
from screening.uncertainty.interval import Interval

__all__ = ["Answer", "Decision", "Outcome", "Reason", "Standing"]


class Outcome(StrEnum):
    """What was decided."""

    ACCEPT = "accept"
    """The question is answered with the stated risk, or by the best method there is."""
    ESCALATE = "escalate"
    """A better method is asked, for its result can change the answer."""
    REJECT = "reject"
    """No answer with the stated risk can be had."""


class Reason(StrEnum):
    """Why; every reason belongs to one outcome, those of an open question to two."""

    INTERVAL_WITHIN_TOLERANCE = "interval_within_tolerance"
    FILTER_SURELY_MET = "filter_surely_met"
    FILTER_SURELY_NOT_MET = "filter_surely_not_met"
    VERDICT_SETTLED = "verdict_settled"
    ORDER_SETTLED = "order_settled"
    TRANSITIONS_SETTLED = "transitions_settled"
    SINGLE_POLYMORPH = "single_polymorph"
    REFERENCE_METHOD = "reference_method"

    INTERVAL_TOO_WIDE = "interval_too_wide"
    FILTER_UNDECIDED = "filter_undecided"
    VERDICT_UNDETERMINED = "verdict_undetermined"
    ORDER_UNDECIDED = "order_undecided"
    TRANSITIONS_UNDECIDED = "transitions_undecided"
    NOT_CALIBRATED = "not_calibrated"
    OUT_OF_DOMAIN = "out_of_domain"
    INVALID_THERMODYNAMICS = "invalid_thermodynamics"
    REFERENCE_POLYMORPH_OPEN = "reference_polymorph_open"
    POLYMORPHS_MISSING = "polymorphs_missing"
    POLYMORPH_NOT_ASKED = "polymorph_not_asked"
    POLYMORPH_UNUSABLE = "polymorph_unusable"
    ELEMENT_UNKNOWN = "element_unknown"
    PREDICTION_FAILED = "prediction_failed"

    NO_HIGHER_TIER = "no_higher_tier"
    ALL_TIERS_FAILED = "all_tiers_failed"
    BUDGET_EXHAUSTED = "budget_exhausted"


@dataclass(frozen=True)
class Standing:
    """Where the method in use stands in the ladder, and the risk the user takes.

    Attributes
    ----------
    tier
        Tier of the method that gave the evidence, or failed to.
    next_tier
        Tier to ask next; None where the ladder has no better method.
    is_reference
        Whether it is the method that calibrations are made against: its values are taken as
        they are.
    alpha
        Accepted risk of a wrong answer.

    Raises
    ------
    SettingError
        If the next tier is not above this one, the reference has a next tier, or the risk is
        not between 0 and 1.
    """

    tier: int
    next_tier: int | None
    is_reference: bool = False
    alpha: float = 0.1

    def __post_init__(self) -> None:
        if self.next_tier is not None and (self.is_reference or self.next_tier <= self.tier):
            raise SettingError(
                f"tier {self.next_tier} is not above tier {self.tier}"
                if not self.is_reference
                else "nothing stands above the reference",
                subject="ladder",
                hint="List the methods from the cheapest to the best",
            )
        if not 0.0 < self.alpha < 1.0:
            raise SettingError(
                f"{self.alpha} is no risk", subject="alpha", hint="Give a number such as 0.1"
            )


@dataclass(frozen=True)
class Answer:
    """What the answer is.

    Attributes
    ----------
    text
        For people, with units.
    content
        The same as plain finite JSON; ``None`` where an end of an interval is open.
    """

    text: str
    content: Mapping[str, Any]


@dataclass(frozen=True)
class Decision:
    """One decision about one material and one question.

    Attributes
    ----------
    outcome, reason
        What, and why.
    next_tier
        Tier to ask next; None unless the outcome is to escalate.
    intervals
        What it rests on: those asked for, or the closest one to every other polymorph.
    detail
        The reason in one sentence, with its numbers.
    answer
        Given where, and only where, the outcome is to accept.
    rivals
        Beside `intervals`, the polymorph that each difference is taken from; empty for a
        question about one crystal.

    Raises
    ------
    InconsistentDataError
        If the parts contradict each other.
    """

    outcome: Outcome
    reason: Reason
    next_tier: int | None
    intervals: tuple[Interval, ...]
    detail: str
    answer: Answer | None = None
    rivals: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.outcome is Outcome.ESCALATE) != (self.next_tier is not None):
            raise InconsistentDataError("a tier is named where, and only where, one is asked next")
        if (self.outcome is Outcome.ACCEPT) != (self.answer is not None):
            raise InconsistentDataError("an answer is given where, and only where, it is accepted")
        if self.rivals and len(self.rivals) != len(self.intervals):
            raise InconsistentDataError("every difference has one rival")
