"""An interval lies around its value or it is none."""

import math

import pytest

from screening.errors import NonFiniteInputError
from screening.quantities import Property, Quantity
from screening.uncertainty.interval import Interval

FREE = Quantity(Property.FREE_ENERGY, 300.0)


def test_the_half_width_is_the_distance_to_the_farther_end():
    assert Interval(FREE, 2.0, 1.0, 5.0, 0.9).half_width == 3.0
    assert Interval(FREE, 2.0, -2.0, 3.0, 0.9).half_width == 4.0


def test_an_open_end_is_an_infinite_half_width():
    half_open = Interval(FREE, 2.0, 1.0, math.inf, 0.9)
    assert not half_open.is_finite
    assert half_open.half_width == math.inf
    assert Interval(FREE, 2.0, 2.0, 2.0, 0.9).is_finite


@pytest.mark.parametrize(
    ("value", "lower", "upper"),
    [
        (math.nan, 0.0, 1.0),
        (math.inf, 0.0, math.inf),
        (0.5, math.nan, 1.0),
        (0.5, 0.0, math.nan),
        (2.0, 0.0, 1.0),
        (-1.0, 0.0, 1.0),
        (0.5, 1.0, 0.0),
    ],
)
def test_what_is_no_interval_around_its_value_is_refused(value, lower, upper):
    with pytest.raises(NonFiniteInputError, match="free_energy_300k"):
        Interval(FREE, value, lower, upper, 0.9)
