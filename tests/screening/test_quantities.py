"""The name of a quantity is the quantity."""

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from screening.errors import SettingError
from screening.quantities import Property, Quantity

LOWEST = Quantity(Property.LOWEST_FREQUENCY)
THERMAL = [kind for kind in Property if kind is not Property.LOWEST_FREQUENCY]


@given(st.sampled_from(THERMAL), st.integers(0, 99999), st.sampled_from([1, 10, 100]))
def test_a_name_is_read_back_as_the_quantity(kind, numerator, denominator):
    quantity = Quantity(kind, numerator / denominator)
    assert Quantity.parse(quantity.name) == quantity


@given(st.sampled_from(THERMAL), st.integers(0, 99999), st.integers(0, 99999))
def test_two_temperatures_have_two_names(kind, first, second):
    one, other = Quantity(kind, first / 100), Quantity(kind, second / 100)
    assert (one.name == other.name) == (first == second)


def test_the_names_are_fields_with_units():
    assert Quantity(Property.ENTROPY, 298.15).name == "entropy_298p15k_mev_per_k_per_atom"
    assert LOWEST.name == "lowest_frequency_thz"
    relative = Quantity(Property.RELATIVE_FREE_ENERGY, 0.0)
    assert relative.name == "relative_free_energy_0k_mev_per_atom"
    assert (relative.unit, LOWEST.unit) == ("meV/atom", "THz")


@given(st.text(max_size=60))
def test_any_text_is_a_quantity_or_a_setting_error(text):
    with contextlib.suppress(SettingError):
        assert Quantity.parse(text).name == text


@pytest.mark.parametrize(
    "name",
    [
        "free_energy_300k_mev_per_k_per_atom",
        "free_energy_0300k_mev_per_atom",
        "free_energy_300_mev_per_atom",
        "lowest_frequency_300k_thz",
        "pressure_300k_mev_per_atom",
        "free_energy_300p0k_mev_per_atom",
    ],
)
def test_a_wrong_unit_or_spelling_is_no_name(name):
    with pytest.raises(SettingError, match="names no quantity"):
        Quantity.parse(name)


@pytest.mark.parametrize("kelvin", [-1.0, math.nan, math.inf, None])
def test_a_free_energy_needs_a_temperature(kelvin):
    with pytest.raises(SettingError, match="free_energy"):
        Quantity(Property.FREE_ENERGY, kelvin)


def test_a_lowest_frequency_has_no_temperature():
    with pytest.raises(SettingError, match="no temperature"):
        Quantity(Property.LOWEST_FREQUENCY, 300.0)


def test_differences_belong_to_pairs():
    pairs = {kind for kind in Property if kind.is_difference}
    assert pairs == {Property.FREE_ENERGY_DIFFERENCE, Property.RELATIVE_FREE_ENERGY}


def test_quantities_are_ordered_by_property_and_temperature():
    quantities = [Quantity(kind, kelvin) for kind in THERMAL for kelvin in (0.0, 300.0)]
    assert sorted([*quantities, LOWEST], key=lambda one: one.name) != []
    assert sorted([*reversed(quantities), LOWEST]) == sorted([LOWEST, *quantities])
