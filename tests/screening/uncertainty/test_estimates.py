"""Corrected values are those of scaled modes; deviations hold all that is known to vary."""

import math
from dataclasses import replace

import numpy as np
import pytest
from calibrated_crystals import GRID_K, crystal, curves, modes, sample

from screening.errors import InconsistentDataError
from screening.prediction import ThermodynamicsSpread, frozen_array
from screening.quantities import Property, Quantity
from screening.uncertainty.estimates import estimate, estimate_difference, raw_value

FREE, ENTROPY, CAPACITY = (
    Quantity(kind, 300.0)
    for kind in (Property.FREE_ENERGY, Property.ENTROPY, Property.HEAT_CAPACITY)
)
LOWEST = Quantity(Property.LOWEST_FREQUENCY)
DIFFERENCE = Quantity(Property.FREE_ENERGY_DIFFERENCE, 300.0)
RELATIVE = Quantity(Property.RELATIVE_FREE_ENERGY, 300.0)
MODES = modes(9.0)
ONE, TWO = (
    replace(one, static_energy_ev_per_atom=energy, static_energy_source="dft")
    for one, energy in (
        (sample("zb", crystal("Zn", "S", "zincblende"), MODES), -3.0),
        (sample("rs", crystal("Zn", "S"), modes(7.0, seed=1)), -2.9),
    )
)


def with_spread(one, free=0.0, entropy=0.0, capacity=0.0, lowest=0.0):
    """Committee whose spread grows linearly with temperature to the given ones at 300 K."""
    ramp = np.array(GRID_K) / 300.0
    return replace(
        one,
        spread=ThermodynamicsSpread(
            *(frozen_array(x * ramp) for x in (free, entropy, capacity)), lowest, 3
        ),
    )


@pytest.mark.parametrize("quantity", [FREE, ENTROPY, CAPACITY, LOWEST])
def test_an_estimate_is_the_value_of_scaled_modes(quantity):
    scaled = sample("zb", ONE.structure, 1.3 * MODES)
    found = estimate(ONE, quantity, math.log(1.3), 0.1)
    assert found.value == pytest.approx(raw_value(scaled, quantity), rel=1e-4)


def test_a_raw_value_is_the_predicted_one():
    index = GRID_K.index(300.0)
    assert raw_value(ONE, FREE) == ONE.thermodynamics.free_energy_mev_per_atom[index]
    assert raw_value(ONE, LOWEST) == ONE.lowest_frequency_thz


@pytest.mark.parametrize("log_scale", [0.0, 0.25])
@pytest.mark.parametrize("quantity", [FREE, ENTROPY, CAPACITY, LOWEST])
def test_the_deviation_is_the_slope_times_the_spread_of_the_scale(quantity, log_scale):
    step = 0.05
    above, below = (estimate(ONE, quantity, log_scale + x, 0.0).value for x in (step, -step))
    slope = abs(above - below) / (2.0 * step)
    large = 1e4  # so that the floor does not matter
    assert estimate(ONE, quantity, log_scale, large).deviation / large == pytest.approx(
        slope,
        rel=0.06,  # C_V is a broken line
    )


def test_a_certain_scale_leaves_the_floor():
    floors = [estimate(ONE, x, 0.2, 0.0).deviation for x in (FREE, ENTROPY, CAPACITY, LOWEST)]
    assert floors == [0.5, 0.003, 0.003, 0.05]


@pytest.mark.parametrize(
    ("quantity", "name", "own"),
    [
        (FREE, "free", 8.0),
        (ENTROPY, "entropy", 0.04),
        (CAPACITY, "capacity", 0.02),
        (LOWEST, "lowest", 0.4),
    ],
)
def test_the_spread_of_a_committee_enters(quantity, name, own):
    alone = estimate(ONE, quantity, 0.0, 0.1)
    together = estimate(with_spread(ONE, **{name: own}), quantity, 0.0, 0.1)
    assert together.value == alone.value
    assert together.deviation**2 - alone.deviation**2 == pytest.approx(own**2)


def test_the_spread_between_two_temperatures_is_interpolated():
    quantity = Quantity(Property.FREE_ENERGY, 305.0)
    found = estimate(with_spread(ONE, free=30.0), quantity, 0.0, 0.0)
    assert found.deviation == pytest.approx(math.hypot(30.5, 0.5))


def test_below_the_grid_there_is_no_value():
    late = sample("zb", ONE.structure, MODES, (300.0, 400.0))
    with pytest.raises(InconsistentDataError, match="below the grid"):
        estimate(late, FREE, 0.1, 0.0)


@pytest.mark.parametrize("quantity", [DIFFERENCE, RELATIVE])
def test_one_crystal_has_no_difference(quantity):
    with pytest.raises(InconsistentDataError, match="pair"):
        estimate(ONE, quantity, 0.0, 0.0)


@pytest.mark.parametrize("quantity", [FREE, LOWEST])
def test_two_crystals_have_no_single_value(quantity):
    with pytest.raises(InconsistentDataError, match="no difference"):
        estimate_difference(ONE, TWO, quantity, 0.0, 1.0)


@pytest.mark.parametrize("quantity", [DIFFERENCE, RELATIVE])
def test_a_difference_is_antisymmetric(quantity):
    one, two = with_spread(ONE, free=3.0), TWO
    forth = estimate_difference(one, two, quantity, 0.2, 0.7)
    back = estimate_difference(two, one, quantity, 0.2, 0.7)
    assert back.value == -forth.value
    assert back.deviation == pytest.approx(forth.deviation, rel=1e-15)


def test_a_crystal_differs_from_itself_by_nothing():
    assert estimate_difference(ONE, ONE, RELATIVE, 0.2, 0.7).value == 0.0


def test_both_crystals_are_scaled_alike():
    one, two = (curves(1.2 * x, (300.0,)) for x in (MODES, modes(7.0, seed=1)))
    expected = one.free_energy_mev_per_atom[0] - two.free_energy_mev_per_atom[0]
    found = estimate_difference(ONE, TWO, DIFFERENCE, math.log(1.2), 1.0)
    assert found.value == pytest.approx(expected, abs=1e-3)


def test_the_share_is_of_what_vibrates_alone():
    vibration = estimate_difference(ONE, TWO, DIFFERENCE, 0.1, 1.0).value
    found = estimate_difference(ONE, TWO, RELATIVE, 0.1, 0.4).value
    assert found == pytest.approx(-100.0 + 0.4 * vibration)


@pytest.mark.parametrize("quantity", [DIFFERENCE, RELATIVE])
def test_the_deviation_of_a_difference_grows_with_all_of_it(quantity):
    found = estimate_difference(ONE, TWO, quantity, 0.0, 1.0)
    assert found.deviation == pytest.approx(math.hypot(1.0, 0.5 * found.value))


def test_both_spreads_enter_a_difference():
    plain = estimate_difference(ONE, TWO, DIFFERENCE, 0.0, 1.0).deviation
    spread = estimate_difference(
        with_spread(ONE, free=3.0), with_spread(TWO, free=4.0), DIFFERENCE, 0.0, 1.0
    ).deviation
    assert spread**2 - plain**2 == pytest.approx(25.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"static_energy_source": "potential"},
        {"static_energy_ev_per_atom": None},
        {"static_energy_ev_per_atom": None, "static_energy_source": None},
    ],
)
def test_static_energies_are_of_one_source_or_refused(wrong):
    other = replace(TWO, **wrong)
    for pair in ((ONE, other), (other, ONE)):
        with pytest.raises(InconsistentDataError, match="static energies"):
            estimate_difference(*pair, RELATIVE, 0.0, 1.0)
    assert estimate_difference(ONE, other, DIFFERENCE, 0.0, 1.0).deviation > 0.0
