"""What is known when a decision is made."""

from __future__ import annotations

import math

import pytest
from decision_cases import FREE_ENERGY, difference, evidence, interval, numbers
from hypothesis import given

from screening.decisions.courses import turned
from screening.decisions.evidence import exact_interval, with_static_energy
from screening.errors import InconsistentDataError, NonFiniteInputError
from screening.quantities import Property, Quantity
from screening.uncertainty.interval import Interval


def test_an_exact_interval_has_no_width():
    exact = exact_interval(FREE_ENERGY, 3.0, 0.1)
    assert (exact.half_width, exact.coverage, exact.calibration) == (0.0, 0.9, "")
    with pytest.raises(NonFiniteInputError):
        exact_interval(FREE_ENERGY, math.nan, 0.1)


def test_static_energies_shift_a_difference():
    quantity = Quantity(Property.FREE_ENERGY_DIFFERENCE, 300.0)
    vibrational = Interval(quantity, 1.0, -math.inf, 2.0, 0.9, "c")
    total = with_static_energy(vibrational, -5.0)
    assert total.quantity == Quantity(Property.RELATIVE_FREE_ENERGY, 300.0)
    assert (total.lower, total.value, total.upper) == (-math.inf, -4.0, -3.0)
    assert (total.coverage, total.calibration) == (0.9, "c")
    for wrong in (difference(1.0, 1.0), interval(1.0, 1.0)):
        with pytest.raises(InconsistentDataError):
            with_static_energy(wrong, 1.0)


@given(numbers, numbers.map(abs), numbers.map(abs))
def test_turning_twice_changes_nothing(value, below, above):
    one = difference(value, below, above)
    assert turned(turned(one)) == one
    assert str(turned(difference(0.0, 0.0)).value) == "0.0"


def test_novelty_ends_at_one():
    assert not evidence(novelty=1.0).is_novel
    assert evidence(novelty=math.inf).is_novel
    assert evidence(novelty=math.nan).is_novel
