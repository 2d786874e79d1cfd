"""Small evidence for decisions, and strategies of it."""

from __future__ import annotations

import math

from hypothesis import strategies as st

from screening.decisions.evidence import Evidence
from screening.decisions.groups import Polymorph
from screening.decisions.outcome import Standing
from screening.decisions.questions import (
    OPERATORS,
    PROPERTIES,
    FilterQuestion,
    OrderQuestion,
    PropertyQuestion,
    StabilityQuestion,
    TransitionQuestion,
)
from screening.quantities import Property, Quantity
from screening.uncertainty.interval import Interval
from screening.uncertainty.risk import StabilityJudgement

CHEAP = Standing(tier=1, next_tier=3)
LAST = Standing(tier=1, next_tier=None)
REFERENCE = Standing(tier=3, next_tier=None, is_reference=True)
FREE_ENERGY = Quantity(Property.FREE_ENERGY, 300.0)
LOWEST = Quantity(Property.LOWEST_FREQUENCY)


def judgement(verdict, lowest_thz=0.1, stable_above_thz=0.4, unstable_below_thz=-0.5):
    """What a calibration says about the stability."""
    return StabilityJudgement(verdict, lowest_thz, stable_above_thz, unstable_below_thz)


def interval(value, below, above=None, quantity=FREE_ENERGY, coverage=0.9):
    above = below if above is None else above
    return Interval(quantity, value, value - below, value + above, coverage, "calibration")


def evidence(*intervals, name="ps-a", **changes):
    return Evidence(name, tuple(intervals), **changes)


def difference(value, below, above=None, *, at_k=300.0, coverage=0.9):
    quantity = Quantity(Property.RELATIVE_FREE_ENERGY, at_k)
    return interval(value, below, above, quantity, coverage)


def polymorph(name, energy=None, standing=CHEAP, **changes):
    return Polymorph(Evidence(name, **changes), standing, energy)


numbers = st.floats(-1e4, 1e4)
positive = st.floats(1e-6, 1e4)
kelvins = st.floats(0.0, 3000.0).map(lambda one: round(one, 3))
widths = st.one_of(st.floats(0.0, 100.0), st.just(math.inf))
windows = st.tuples(kelvins, kelvins).map(sorted)

property_questions = st.builds(
    PropertyQuestion,
    st.sampled_from(PROPERTIES),
    positive,
    st.lists(kelvins, min_size=1, max_size=4).map(tuple),
)
filter_questions = st.builds(
    FilterQuestion,
    st.one_of(st.just(LOWEST), st.builds(Quantity, st.sampled_from(PROPERTIES), st.just(300.0))),
    st.sampled_from(sorted(OPERATORS)),
    numbers,
)
order_questions = st.builds(
    lambda window, resolution: OrderQuestion(*window, resolution),
    windows,
    st.one_of(st.just(0.0), positive),
)
transition_questions = st.builds(
    lambda window, near: TransitionQuestion(*window, near), windows, positive
)
questions = st.one_of(
    property_questions,
    filter_questions,
    st.just(StabilityQuestion()),
    order_questions,
    transition_questions,
)
