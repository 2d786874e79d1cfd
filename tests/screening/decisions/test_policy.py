"""The policy for one crystal: what settles a question and what cannot."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from decision_cases import (
    CHEAP,
    FREE_ENERGY,
    LAST,
    LOWEST,
    REFERENCE,
    evidence,
    filter_questions,
    interval,
    judgement,
    numbers,
    positive,
    widths,
)
from hypothesis import assume, given
from hypothesis import strategies as st

from screening.decisions.evidence import exact_interval
from screening.decisions.policy import (
    Decision,
    Outcome,
    Reason,
    Standing,
    decide,
    decisive,
    out_of_budget,
)
from screening.decisions.questions import (
    FilterQuestion,
    OrderQuestion,
    PropertyQuestion,
    StabilityQuestion,
)
from screening.errors import InconsistentDataError, SettingError
from screening.prediction import Verdict
from screening.quantities import Property, Quantity
from screening.uncertainty.interval import Interval

WITHIN_10 = PropertyQuestion(Property.FREE_ENERGY, 10.0)
BELOW_20 = FilterQuestion(FREE_ENERGY, "<", 20.0)
STABILITY = StabilityQuestion()


def says(decision):
    return decision.outcome, decision.reason, decision.next_tier


@pytest.mark.parametrize(
    ("half_width", "expected"),
    [
        (0.0, (Outcome.ACCEPT, Reason.INTERVAL_WITHIN_TOLERANCE, None)),
        (10.0, (Outcome.ACCEPT, Reason.INTERVAL_WITHIN_TOLERANCE, None)),
        (10.1, (Outcome.ESCALATE, Reason.INTERVAL_TOO_WIDE, 3)),
        (math.inf, (Outcome.ESCALATE, Reason.NOT_CALIBRATED, 3)),
    ],
)
def test_a_property_is_settled_by_its_half_width(half_width, expected):
    found = interval(41.2, 2.0 if half_width else 0.0, half_width)  # the longer side counts
    decision = decide(WITHIN_10, evidence(found), CHEAP)
    assert says(decision) == expected
    assert decision.intervals == (found,)
    assert says(decide(WITHIN_10, evidence(found), REFERENCE))[1] is (
        Reason.REFERENCE_METHOD if math.isfinite(half_width) else Reason.NOT_CALIBRATED
    )


def test_every_temperature_must_be_within_the_tolerance():
    hot = Quantity(Property.FREE_ENERGY, 1000.0)
    question = PropertyQuestion(Property.FREE_ENERGY, 10.0, (300.0, 1000.0))
    known = evidence(interval(41.2, 3.0), interval(-150.0, 10.5, quantity=hot))
    decision = decide(question, known, CHEAP)
    assert says(decision) == (Outcome.ESCALATE, Reason.INTERVAL_TOO_WIDE, 3)
    assert decision.detail == (
        "free energy at 1000 K is -150 meV/atom [-160.5, -139.5] (90 %), "
        "half width 10.5 above the tolerance of 10 meV/atom"
    )
    wider = replace(question, tolerance=11.0)
    answer = decide(wider, known, CHEAP).answer
    assert [one["value"] for one in answer.content["values"]] == [41.2, -150.0]
    assert "free energy at 300 K is 41.2 meV/atom [38.2, 44.2] (90 %)" in answer.text


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-500.0, 19.9, (Outcome.ACCEPT, Reason.FILTER_SURELY_MET, None)),
        (-math.inf, 19.9, (Outcome.ACCEPT, Reason.FILTER_SURELY_MET, None)),
        (20.0, 900.0, (Outcome.ACCEPT, Reason.FILTER_SURELY_NOT_MET, None)),
        (20.0, math.inf, (Outcome.ACCEPT, Reason.FILTER_SURELY_NOT_MET, None)),
        (19.9, 20.0, (Outcome.ESCALATE, Reason.FILTER_UNDECIDED, 3)),
        (19.9, math.inf, (Outcome.ESCALATE, Reason.NOT_CALIBRATED, 3)),
        (-math.inf, 20.1, (Outcome.ESCALATE, Reason.NOT_CALIBRATED, 3)),
    ],
)
def test_a_filter_is_settled_by_its_bound_whatever_the_width(low, high, expected):
    value = low if math.isfinite(low) else high
    decision = decide(BELOW_20, evidence(Interval(FREE_ENERGY, value, low, high, 0.9)), CHEAP)
    assert says(decision) == expected
    if decision.answer is not None:
        assert decision.answer.content["met"] is (expected[1] is Reason.FILTER_SURELY_MET)


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (Verdict.STABLE, (Outcome.ACCEPT, Reason.VERDICT_SETTLED, None)),
        (Verdict.UNSTABLE, (Outcome.ACCEPT, Reason.VERDICT_SETTLED, None)),
        (Verdict.UNDETERMINED, (Outcome.ESCALATE, Reason.VERDICT_UNDETERMINED, 3)),
    ],
)
def test_stability_is_settled_by_its_judgement(verdict, expected):
    decision = decide(STABILITY, evidence(stability=judgement(verdict)), CHEAP)
    assert says(decision) == expected
    if decision.answer is not None:
        assert decision.answer.content["verdict"] == verdict.value


def test_details_of_a_verdict_are_sentences_with_numbers():
    known = evidence(stability=judgement(Verdict.UNDETERMINED))
    assert decide(STABILITY, known, CHEAP).detail == (
        "the lowest frequency of 0.1 THz is not below -0.5 THz, the limit of the unstable "
        "and not above 0.4 THz, the limit of the stable"
    )
    known = evidence(stability=judgement(Verdict.UNDETERMINED, unstable_below_thz=-math.inf))
    assert decide(STABILITY, known, CHEAP).detail == (
        "the lowest frequency of 0.1 THz is not above 0.4 THz, the limit of the stable"
    )
    known = evidence(stability=judgement(Verdict.STABLE, 0.9))
    assert decide(STABILITY, known, CHEAP).detail == (
        "the lowest frequency of 0.9 THz is above 0.4 THz: stable (risk 10 %)"
    )


def test_no_threshold_is_no_calibration():
    open_ended = judgement(Verdict.UNDETERMINED, 0.1, math.inf, -math.inf)
    decision = decide(STABILITY, evidence(stability=open_ended), CHEAP)
    assert decision.reason is Reason.NOT_CALIBRATED


def test_an_undetermined_reference_leaves_no_answer():
    known = evidence(stability=judgement(Verdict.UNDETERMINED))
    assert says(decide(STABILITY, known, REFERENCE)) == (
        Outcome.REJECT,
        Reason.VERDICT_UNDETERMINED,
        None,
    )


def test_invalid_thermodynamics_matter_where_they_are_asked_for():
    known = evidence(
        interval(41.2, 1.0),
        interval(-2.0, 0.1, quantity=LOWEST),
        thermodynamics_valid=False,
        stability=judgement(Verdict.UNSTABLE, -2.0),
    )
    for question in (WITHIN_10, BELOW_20):
        assert says(decide(question, known, CHEAP)) == (
            Outcome.ESCALATE,
            Reason.INVALID_THERMODYNAMICS,
            3,
        )
        assert says(decide(question, known, REFERENCE)) == (
            Outcome.REJECT,
            Reason.INVALID_THERMODYNAMICS,
            None,
        )
        assert decide(question, known, LAST).reason is Reason.NO_HIGHER_TIER
    soft = FilterQuestion(LOWEST, ">", 0.5)
    assert decide(soft, known, CHEAP).reason is Reason.FILTER_SURELY_NOT_MET
    assert decide(STABILITY, known, CHEAP).outcome is Outcome.ACCEPT


def test_outside_the_domain_nothing_is_believed_but_the_reference():
    known = evidence(interval(1.0, 0.1), stability=judgement(Verdict.STABLE), novelty=1.01)
    for question in (WITHIN_10, BELOW_20, STABILITY):
        assert says(decide(question, known, CHEAP)) == (Outcome.ESCALATE, Reason.OUT_OF_DOMAIN, 3)
        assert decide(question, known, REFERENCE).reason is Reason.REFERENCE_METHOD
        assert decide(question, replace(known, novelty=math.nan), CHEAP).answer is None
        assert decide(question, replace(known, novelty=1.0), CHEAP).outcome is Outcome.ACCEPT


def test_failures_escalate_and_end():
    question = STABILITY
    unknown = evidence(failures=("ELEMENT_NOT_IN_MODEL",))
    assert says(decide(question, unknown, CHEAP)) == (Outcome.ESCALATE, Reason.ELEMENT_UNKNOWN, 3)
    broken = evidence(failures=("TIMEOUT",))
    assert says(decide(question, broken, CHEAP)) == (Outcome.ESCALATE, Reason.PREDICTION_FAILED, 3)
    both = evidence(failures=("TIMEOUT", "CALCULATOR_FAILED"))
    for last in (LAST, REFERENCE):
        decision = decide(question, both, last)
        assert says(decision) == (Outcome.REJECT, Reason.ALL_TIERS_FAILED, None)
        assert "TIMEOUT, then CALCULATOR_FAILED" in decision.detail


def test_without_a_higher_tier_an_open_question_is_rejected():
    decision = decide(WITHIN_10, evidence(interval(1.0, 11.0)), LAST)
    assert says(decision) == (Outcome.REJECT, Reason.NO_HIGHER_TIER, None)
    assert "half width 11 above the tolerance of 10 meV/atom" in decision.detail
    assert "no method above tier 1" in decision.detail
    assert decide(WITHIN_10, evidence(interval(1.0, 9.0)), LAST).outcome is Outcome.ACCEPT


def test_the_reference_is_taken_as_it_is():
    exact = exact_interval(FREE_ENERGY, 25.0, REFERENCE.alpha)
    decision = decide(BELOW_20, evidence(exact), REFERENCE)
    assert says(decision) == (Outcome.ACCEPT, Reason.REFERENCE_METHOD, None)
    assert decision.answer.content["met"] is False
    assert decision.detail == (
        "free energy at 300 K is 25 meV/atom and does not meet "
        "'free_energy_300k_mev_per_atom < 20', by the reference method"
    )


def test_what_was_not_given_is_an_error():
    with pytest.raises(InconsistentDataError, match="no interval of free_energy_300k"):
        decide(WITHIN_10, evidence(), CHEAP)
    with pytest.raises(InconsistentDataError, match="no judgement"):
        decide(STABILITY, evidence(), CHEAP)
    with pytest.raises(InconsistentDataError, match="two intervals"):
        evidence(interval(1.0, 1.0), interval(1.0, 2.0))
    with pytest.raises(SettingError, match="decide_group"):
        decide(OrderQuestion(), evidence(), CHEAP)


def test_intervals_of_a_higher_risk_are_refused():
    known = evidence(interval(1.0, 1.0, coverage=0.9))
    assert decide(WITHIN_10, known, replace(CHEAP, alpha=0.1)).outcome is Outcome.ACCEPT
    assert decide(WITHIN_10, known, replace(CHEAP, alpha=0.2)).outcome is Outcome.ACCEPT
    with pytest.raises(InconsistentDataError, match="covers 90 %, less than 95 %"):
        decide(WITHIN_10, known, replace(CHEAP, alpha=0.05))


def test_standings_that_cannot_be():
    for bad in (
        {"tier": 1, "next_tier": 1},
        {"tier": 2, "next_tier": 1},
        {"tier": 1, "next_tier": 3, "is_reference": True},
        {"tier": 1, "next_tier": 3, "alpha": 0.0},
        {"tier": 1, "next_tier": 3, "alpha": math.nan},
    ):
        with pytest.raises(SettingError):
            Standing(**bad)


def test_decisions_that_cannot_be():
    fine = decide(WITHIN_10, evidence(interval(1.0, 1.0)), CHEAP)
    for bad in (
        {"next_tier": 3},
        {"answer": None},
        {"outcome": Outcome.ESCALATE},
        {"rivals": ("a", "b")},
    ):
        with pytest.raises(InconsistentDataError):
            replace(fine, **bad)


def test_several_questions_escalate_if_any_does():
    accepted = decide(WITHIN_10, evidence(interval(1.0, 1.0)), CHEAP)
    escalated = decide(WITHIN_10, evidence(interval(1.0, 11.0)), CHEAP)
    rejected = decide(WITHIN_10, evidence(interval(1.0, 11.0)), LAST)
    assert decisive([accepted, rejected, escalated]) is escalated
    assert decisive([accepted, rejected]) is rejected
    assert decisive([accepted, accepted]) is accepted
    with pytest.raises(InconsistentDataError):
        decisive([])


def test_what_the_budget_does_not_pay_is_rejected():
    escalated = decide(WITHIN_10, evidence(interval(1.0, 11.0)), CHEAP)
    rejected = out_of_budget(escalated, "0 of 5 calculations")
    assert says(rejected) == (Outcome.REJECT, Reason.BUDGET_EXHAUSTED, None)
    assert rejected.detail == (
        f"{escalated.detail}; the budget does not pay for tier 3 (0 of 5 calculations left)"
    )
    assert rejected.intervals == escalated.intervals
    accepted = decide(WITHIN_10, evidence(interval(1.0, 1.0)), CHEAP)
    assert out_of_budget(accepted) is accepted


@given(numbers, widths, widths, st.floats(0, 1), st.floats(0, 1), positive, filter_questions)
def test_a_narrower_interval_never_unsettles(value, below, above, shrink, more, limit, question):
    def narrow(width, factor):
        return width * factor if math.isfinite(width) else (width if factor == 1 else 5.0)

    asked = [
        PropertyQuestion(Property.FREE_ENERGY, limit),
        FilterQuestion(FREE_ENERGY, question.operator, question.bound),
    ]
    wide = evidence(interval(value, below, above))
    slim = evidence(interval(value, narrow(below, shrink), narrow(above, more)))
    for one in asked:
        before, after = decide(one, wide, CHEAP), decide(one, slim, CHEAP)
        if before.outcome is Outcome.ACCEPT:
            assert (after.outcome, after.reason) == (before.outcome, before.reason)


@given(numbers, widths, widths, positive, st.integers(-20, 20))
def test_units_do_not_matter(value, below, above, limit, exponent):
    """Powers of two scale floating-point numbers exactly."""
    factor = 2.0**exponent
    for one, scaled in (
        (
            PropertyQuestion(Property.FREE_ENERGY, limit),
            PropertyQuestion(Property.FREE_ENERGY, limit * factor),
        ),
        (
            FilterQuestion(FREE_ENERGY, "<", limit),
            FilterQuestion(FREE_ENERGY, "<", limit * factor),
        ),
    ):
        small = interval(value, below, above)
        large = Interval(
            FREE_ENERGY, value * factor, small.lower * factor, small.upper * factor, 0.9, "c"
        )
        assume(large.half_width == small.half_width * factor)
        assert says(decide(one, evidence(small), CHEAP)) == says(
            decide(scaled, evidence(large), CHEAP)
        )


@given(numbers, widths, widths, filter_questions)
def test_a_filter_and_its_opposite_are_settled_together(value, below, above, question):
    opposite = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}[question.operator]
    known = evidence(interval(value, below, above, question.quantity))
    one = decide(question, known, CHEAP)
    other = decide(replace(question, operator=opposite), known, CHEAP)
    assert one.outcome is other.outcome
    if one.answer:
        assert one.answer.content["met"] is not other.answer.content["met"]
        assert one.answer.content["met"] is question.holds(value)


@given(numbers, st.lists(st.floats(0, 100), min_size=2, max_size=2), positive)
def test_a_smaller_risk_never_settles_more(value, half_widths, limit):
    """Intervals of a smaller risk hold those of a larger one."""
    narrow, wide = sorted(half_widths)
    question = PropertyQuestion(Property.FREE_ENERGY, limit)
    bold = decide(
        question, evidence(interval(value, narrow, coverage=0.8)), replace(CHEAP, alpha=0.2)
    )
    careful = decide(
        question, evidence(interval(value, wide, coverage=0.95)), replace(CHEAP, alpha=0.05)
    )
    assert not (careful.outcome is Outcome.ACCEPT and bold.outcome is Outcome.ESCALATE)


@given(numbers, widths, widths, filter_questions, st.sampled_from([CHEAP, LAST]))
def test_deterministic(value, below, above, question, standing):
    known = evidence(interval(value, below, above, question.quantity))
    assert decide(question, known, standing) == decide(question, known, standing)
    assert isinstance(decide(question, known, standing), Decision)


def test_reasons_are_unique_words():
    values = [one.value for one in Reason]
    assert len(values) == len(set(values)) == len(Reason.__members__)
    assert all(one.name.lower() == one.value for one in Reason)
