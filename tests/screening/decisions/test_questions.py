"""Questions: what is refused, and with which words."""

from __future__ import annotations

import math

import pytest
from decision_cases import numbers
from hypothesis import given

from screening.decisions.questions import (
    FilterQuestion,
    OrderQuestion,
    PropertyQuestion,
    StabilityQuestion,
    TransitionQuestion,
    number_text,
)
from screening.errors import SettingError
from screening.quantities import Property, Quantity

F = Property.FREE_ENERGY


def test_tolerance_zero_says_why_and_what_to_do():
    with pytest.raises(SettingError) as caught:
        PropertyQuestion(F, 0.0)
    assert "exact value, which no method gives" in caught.value.message
    assert caught.value.hint == "Give a finite number of meV/atom above 0, such as 10"


@pytest.mark.parametrize("tolerance", [-1.0, math.inf, -math.inf, math.nan, -0.0])
def test_impossible_tolerances_are_refused(tolerance):
    with pytest.raises(SettingError, match="above 0"):
        PropertyQuestion(F, tolerance)


@pytest.mark.parametrize(
    "make",
    [
        lambda: PropertyQuestion(F, 10.0, ()),
        lambda: PropertyQuestion(F, 10.0, (-1.0,)),
        lambda: PropertyQuestion(F, 10.0, (math.nan,)),
        lambda: PropertyQuestion(Property.LOWEST_FREQUENCY, 10.0),
        lambda: PropertyQuestion(Property.FREE_ENERGY_DIFFERENCE, 10.0),
        lambda: FilterQuestion(Quantity(F, 300.0), "==", 1.0),
        lambda: FilterQuestion(Quantity(F, 300.0), "<", math.nan),
        lambda: FilterQuestion(Quantity(F, 300.0), "<", math.inf),
        lambda: FilterQuestion(Quantity(Property.RELATIVE_FREE_ENERGY, 300.0), "<", 1.0),
        lambda: OrderQuestion(600.0, 300.0),
        lambda: OrderQuestion(-1.0, 300.0),
        lambda: OrderQuestion(0.0, math.inf),
        lambda: OrderQuestion(0.0, 300.0, -1.0),
        lambda: OrderQuestion(0.0, 300.0, math.nan),
        lambda: TransitionQuestion(600.0, 300.0),
        lambda: TransitionQuestion(0.0, 300.0, 0.0),
        lambda: TransitionQuestion(0.0, 300.0, math.inf),
    ],
)
def test_nonsense_is_refused(make):
    with pytest.raises(SettingError):
        make()


def test_texts_name_their_units():
    assert str(PropertyQuestion(Property.ENTROPY, 0.01, (1000.0, 300.0, 300.0))) == (
        "entropy at 300, 1000 K within 0.01 meV/K/atom"
    )
    assert str(StabilityQuestion()) == "stability"
    assert str(OrderQuestion(0.0, 500.5)) == "order from 0 to 500.5 K"
    assert str(OrderQuestion(0.0, 500.0, 0.35)) == "order from 0 to 500 K within 0.35 meV/atom"
    assert str(TransitionQuestion()) == "transitions from 0 to 1000 K below 10 meV/atom"
    assert str(FilterQuestion(Quantity(F, 300.0), "<=", -20.0)) == (
        "free_energy_300k_mev_per_atom <= -20"
    )


def test_quantities_and_windows():
    question = PropertyQuestion(F, 10.0, (1000.0, 300.0))
    assert question.quantities == (Quantity(F, 300.0), Quantity(F, 1000.0))
    assert OrderQuestion(300.0, 600.0).covers(300.0)
    assert TransitionQuestion(300.0, 600.0).covers(600.0)
    assert not TransitionQuestion(300.0, 600.0).covers(600.1)


@given(numbers)
def test_number_text_reads_back(value):
    assert float(number_text(value)) == value
