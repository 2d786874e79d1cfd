"""Decision documents: one per prediction, question and accepted risk."""

from __future__ import annotations

import json
import math

import pytest

from screening.decisions.outcome import Answer, Decision, Outcome, Reason, Standing
from screening.errors import SerializationError
from screening.quantities import Property, Quantity
from screening.uncertainty.interval import Interval
from stores.documents.decision import DecisionDocument, decision_id_of

STANDING = Standing(tier=1, next_tier=3, alpha=0.1)
FREE_ENERGY = Quantity(Property.FREE_ENERGY, 300.0)
DIFFERENCE = Quantity(Property.RELATIVE_FREE_ENERGY, 300.0)
ABOUT = {
    "question": "order from 0 to 1000 K",
    "material_id": "ps-1",
    "prediction_id": "d" * 64,
    "standing": STANDING,
}


def accepted(*intervals, rivals=(), content=None):
    return Decision(
        Outcome.ACCEPT,
        Reason.ORDER_SETTLED,
        None,
        intervals,
        "a lies 3 meV/atom below b",
        Answer("a < b", {"runs": []} if content is None else content),
        rivals,
    )


def escalated(*intervals):
    return Decision(Outcome.ESCALATE, Reason.NOT_CALIBRATED, 3, intervals, "unbounded")


def test_round_trip_keeps_the_whole_trail():
    interval = Interval(DIFFERENCE, -3.0, -4.0, -2.0, 0.9, "c" * 64)
    made = DecisionDocument.from_decision(
        accepted(interval, rivals=("ps-2",)),
        **ABOUT,
        composition="TiO2",
        spent_seconds=12.5,
        expected_core_hours=3.5,
        policy="policy",
        policy_version=1,
    )
    assert DecisionDocument.load(made.to_store()) == made
    assert (made.alpha, made.tier, made.is_reference, made.composition) == (0.1, 1, False, "TiO2")
    assert (made.spent_seconds, made.expected_core_hours) == (12.5, 3.5)
    assert made.answer.text == "a < b"
    assert made.intervals[0].rival_id == "ps-2"
    assert (made.intervals[0].value, made.intervals[0].calibration) == (-3.0, "c" * 64)
    assert made.provenance.source_ids == ("c" * 64, "d" * 64)
    assert made.last_updated is not None


@pytest.mark.parametrize(
    ("lower", "upper", "stored"),
    [
        (-math.inf, math.inf, (None, None)),
        (-math.inf, 4.0, (None, 4.0)),
        (0.5, math.inf, (0.5, None)),
    ],
)
def test_open_ends_are_stored_as_nothing(lower, upper, stored):
    interval = Interval(FREE_ENERGY, 1.0, lower, upper, 0.9)
    made = DecisionDocument.from_decision(escalated(interval), **ABOUT)
    record = made.intervals[0]
    assert (record.lower, record.upper) == stored
    assert (record.value, record.calibration, record.rival_id) == (1.0, None, None)
    json.dumps(made.model_dump(mode="json"), allow_nan=False)
    assert DecisionDocument.load(made.to_store()) == made


def test_key_is_prediction_question_and_risk():
    different = {
        decision_id_of("stability", "d" * 64, 0.1),
        decision_id_of("order", "d" * 64, 0.1),
        decision_id_of("stability", "d" * 64, 0.2),
        decision_id_of("stability", "e" * 64, 0.1),
    }
    assert len(different) == 4


def test_a_failure_has_no_prediction_but_a_decision_of_its_own():
    made = DecisionDocument.from_decision(escalated(), **ABOUT, is_predicted=False)
    assert made.prediction_id is None
    assert made.provenance.source_ids == ()
    assert DecisionDocument.load(made.to_store()) == made
    other = ABOUT | {"prediction_id": "e" * 64}
    other_method = DecisionDocument.from_decision(escalated(), **other, is_predicted=False)
    assert other_method.decision_id != made.decision_id
    predicted = DecisionDocument.from_decision(escalated(), **ABOUT)
    assert predicted.decision_id == made.decision_id  # which a retry replaces


@pytest.mark.parametrize(
    "bad",
    [
        {"outcome": "maybe"},
        {"outcome": "escalate"},
        {"outcome": "reject"},
        {"next_tier": 3},
        {"alpha": 0.0},
        {"alpha": 1.0},
        {"spent_seconds": -1.0},
        {"expected_core_hours": math.inf},
        {"reason": ""},
        {"tier": 4},
    ],
)
def test_nonsense_is_refused(bad):
    made = DecisionDocument.from_decision(accepted(), **ABOUT)
    with pytest.raises(SerializationError):
        made.replaced(**bad)


def test_an_answer_that_cannot_be_stored_is_refused():
    with pytest.raises(SerializationError, match="finite"):
        DecisionDocument.from_decision(accepted(content={"value": math.nan}), **ABOUT)


def test_version_1_says_what_it_did_not_know(request):
    path = request.path.parent / "golden" / "DecisionDocument_v1.json"
    old = json.loads(path.read_text("utf-8"))
    document = DecisionDocument.load(old)
    assert document.decision_id == old["decision_id"]
    assert (document.outcome, document.next_tier) == (Outcome.ESCALATE, 2)
    assert (document.alpha, document.answer, document.composition) == (None, None, None)
    assert document.expected_core_hours is None  # wall seconds say nothing about cores
    assert (document.intervals[0].lower, document.intervals[0].upper) == (55.0, 65.0)
    assert document.intervals[0].value is None
