"""Decision documents: one per prediction and question."""

from __future__ import annotations

import pytest

from screening.errors import SerializationError
from stores.documents.decision import DecisionDocument, IntervalRecord, decision_id_of

FIELDS = {
    "prediction_id": "d" * 64,
    "material_id": "ps-1",
    "question": "polymorph order",
    "outcome": "accept",
    "reason": "order_certain",
    "tier": 1,
}
INTERVAL = IntervalRecord(
    quantity="free_energy_300k_mev_per_atom", lower=1.0, upper=2.0, coverage=0.9, calibration=None
)


def test_round_trip():
    made = DecisionDocument.from_outcome(
        **FIELDS, intervals=[INTERVAL], policy="p", policy_version=1
    )
    assert DecisionDocument.load(made.to_store()) == made
    assert made.key == decision_id_of("d" * 64, "polymorph order")
    assert made.key != decision_id_of("d" * 64, "stability")


@pytest.mark.parametrize(
    "bad",
    [
        {"outcome": "maybe"},
        {"outcome": "escalate"},
        {"next_tier": 2},
        {"spent_seconds": -1.0},
        {"reason": ""},
        {"tier": 4},
    ],
)
def test_nonsense_is_refused(bad):
    with pytest.raises(SerializationError):
        DecisionDocument.from_outcome(**FIELDS | bad)


def test_interval_has_an_order():
    with pytest.raises(ValueError, match="lower is above upper"):
        IntervalRecord(quantity="q", lower=2.0, upper=1.0, coverage=0.9, calibration=None)
