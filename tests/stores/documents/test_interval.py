"""Stored intervals."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from screening.errors import InconsistentDataError, SettingError
from screening.quantities import Property, Quantity
from screening.uncertainty.interval import Interval
from stores.documents.interval import IntervalRecord

FREE_ENERGY = Quantity(Property.FREE_ENERGY, 300.0)
FIELDS = {
    "quantity": FREE_ENERGY.name,
    "rival_id": None,
    "value": 1.5,
    "lower": 1.0,
    "upper": 2.0,
    "coverage": 0.9,
    "calibration": None,
}


@pytest.mark.parametrize("calibration", ["", "c" * 64])
@pytest.mark.parametrize(
    "ends", [(1.0, 2.0), (-math.inf, 2.0), (1.0, math.inf), (-math.inf, math.inf)]
)
def test_intervals_come_back(ends, calibration):
    given = Interval(FREE_ENERGY, 1.5, *ends, 0.9, calibration)
    record = IntervalRecord.from_interval(given)
    assert IntervalRecord.model_validate(record.model_dump(mode="json")).to_interval() == given


def test_interval_has_an_order():
    assert IntervalRecord(**FIELDS).upper == 2.0
    for bad in ({"lower": 3.0}, {"value": 2.5}, {"value": 0.0, "lower": 1.0, "upper": None}):
        with pytest.raises(ValidationError, match="not in this order"):
            IntervalRecord(**FIELDS | bad)


def test_what_was_not_kept_does_not_come_back():
    with pytest.raises(InconsistentDataError, match="without its value"):
        IntervalRecord(**FIELDS | {"value": None}).to_interval()
    with pytest.raises(SettingError, match="no quantity"):
        IntervalRecord(**FIELDS | {"quantity": "q"}).to_interval()
