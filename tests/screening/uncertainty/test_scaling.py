"""Multiplying all frequencies by one number, checked against doing so."""

import math

import numpy as np
import pytest
from calibrated_crystals import curves, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from screening.errors import InconsistentDataError
from screening.uncertainty.scaling import MAX_SCALE, MIN_SCALE, frequency_scale, scaled_point
from screening.units import BOLTZMANN_MEV_PER_K, PLANCK_MEV_PER_THZ

MODES = modes(12.0)
CURVES = curves(MODES)


@settings(deadline=None, max_examples=60)
@given(st.floats(0.5, 2.0), st.floats(60.0, 750.0), st.floats(3.0, 40.0))
def test_the_functions_are_those_of_scaled_modes(scale, kelvin, highest_thz):
    frequencies = modes(highest_thz)
    expected = curves(frequencies * scale, (kelvin,))
    found = scaled_point(curves(frequencies), scale, kelvin)
    assert found.free_energy_mev == pytest.approx(expected.free_energy_mev_per_atom[0], abs=1e-3)
    assert found.internal_energy_mev == pytest.approx(
        expected.internal_energy_mev_per_atom[0], abs=1e-2
    )
    assert found.entropy_mev_per_k == pytest.approx(
        expected.entropy_mev_per_k_per_atom[0], abs=1e-4
    )
    assert found.heat_capacity_mev_per_k == pytest.approx(
        expected.heat_capacity_mev_per_k_per_atom[0], abs=3e-3
    )


@pytest.mark.parametrize("index", [0, 1, 7, 30, 149, 150])
def test_points_of_the_grid_are_exact(index):
    point = scaled_point(CURVES, 1.0, CURVES.temperatures_k[index])
    assert point.free_energy_mev == CURVES.free_energy_mev_per_atom[index]
    assert point.entropy_mev_per_k == CURVES.entropy_mev_per_k_per_atom[index]
    assert point.heat_capacity_mev_per_k == CURVES.heat_capacity_mev_per_k_per_atom[index]
    assert point.internal_energy_mev == pytest.approx(
        CURVES.internal_energy_mev_per_atom[index], rel=1e-12
    )


def test_the_zero_point_energy_scales_with_the_frequencies():
    zero_point = CURVES.zero_point_energy_mev_per_atom
    assert scaled_point(CURVES, 1.7, 0.0).free_energy_mev == pytest.approx(1.7 * zero_point)


@pytest.mark.parametrize("kelvin", [100.0, 304.0, 900.0, 2500.0])
def test_derivatives_with_respect_to_ln_s(kelvin):
    step = 0.05  # wider than a step of the grid, on which C_V is a broken line
    here = scaled_point(CURVES, 1.0, kelvin)
    above, below = (scaled_point(CURVES, math.exp(x), kelvin) for x in (step, -step))

    def slope(name):
        return (getattr(above, name) - getattr(below, name)) / (2.0 * step)

    assert slope("free_energy_mev") == pytest.approx(here.internal_energy_mev, rel=3e-3)
    assert slope("entropy_mev_per_k") == pytest.approx(-here.heat_capacity_mev_per_k, rel=3e-3)
    assert slope("heat_capacity_mev_per_k") == pytest.approx(
        here.heat_capacity_slope_mev_per_k, rel=0.05, abs=3e-4
    )


def test_harder_modes_hold_less_heat():
    assert scaled_point(CURVES, 1.0, 150.0).heat_capacity_slope_mev_per_k < 0.0


@pytest.mark.parametrize("kelvin", [2000.0, 4000.0, 6000.0])
def test_above_the_grid_the_classical_limit_is_continued(kelvin):
    found = scaled_point(CURVES, 1.0, kelvin)
    exact = curves(MODES, (kelvin,))
    thermal = BOLTZMANN_MEV_PER_K * kelvin
    x = PLANCK_MEV_PER_THZ * MODES / thermal
    classical = 3.0 * thermal * float((np.log(x) + x**2 / 24.0).mean())  # Wigner's first term
    assert found.free_energy_mev == pytest.approx(exact.free_energy_mev_per_atom[0], abs=0.01)
    assert found.free_energy_mev == pytest.approx(classical, abs=0.01)
    assert found.entropy_mev_per_k == pytest.approx(exact.entropy_mev_per_k_per_atom[0], abs=5e-6)
    assert found.heat_capacity_mev_per_k == pytest.approx(
        exact.heat_capacity_mev_per_k_per_atom[0], abs=5e-6
    )


def test_the_continuation_ends_at_three_boltzmann_constants_per_atom():
    capacity = scaled_point(CURVES, 1.0, 1e5).heat_capacity_mev_per_k
    assert capacity == pytest.approx(3.0 * BOLTZMANN_MEV_PER_K, rel=1e-5)


def test_dropped_modes_are_not_continued():
    some = np.where(np.arange(MODES.size).reshape(MODES.shape) % 10, MODES, 0.01)
    for policy, kept in (("drop", 0.9), ("renormalise", 1.0)):
        made = curves(some, low_mode_policy=policy)
        capacity = scaled_point(made, 1.0, 1e5).heat_capacity_mev_per_k
        assert capacity == pytest.approx(kept * 3.0 * BOLTZMANN_MEV_PER_K, rel=1e-5)


def test_the_continuation_joins_the_grid_without_a_step():
    inside, outside = (scaled_point(CURVES, 1.0, 1500.0 + x) for x in (-1e-4, 1e-4))
    assert outside.free_energy_mev == pytest.approx(inside.free_energy_mev, abs=1e-3)
    assert outside.entropy_mev_per_k == pytest.approx(inside.entropy_mev_per_k, abs=1e-6)
    assert outside.heat_capacity_mev_per_k == pytest.approx(
        inside.heat_capacity_mev_per_k, abs=1e-6
    )


@settings(deadline=None, max_examples=40)
@given(st.floats(0.3, 3.5), st.floats(3.0, 40.0))
def test_the_frequency_scale_inverts_scaling(scale, highest_thz):
    cheap = curves(modes(highest_thz))
    reference = scaled_point(cheap, scale, 300.0).free_energy_mev
    assert frequency_scale(cheap, reference, 300.0) == pytest.approx(scale, rel=1e-8)


def test_the_frequency_scale_of_scaled_modes_is_their_factor():
    better = curves(1.31 * MODES, (300.0,))
    found = frequency_scale(CURVES, float(better.free_energy_mev_per_atom[0]), 300.0)
    assert found == pytest.approx(1.31, rel=1e-6)


@pytest.mark.parametrize("scale", [0.9 * MIN_SCALE, 1.1 * MAX_SCALE])
def test_a_scale_out_of_range_is_refused(scale):
    reference = float(curves(scale * MODES, (300.0,)).free_energy_mev_per_atom[0])
    with pytest.raises(InconsistentDataError, match="no frequency scale"):
        frequency_scale(CURVES, reference, 300.0)


def test_below_the_grid_nothing_is_guessed():
    with pytest.raises(InconsistentDataError, match="below the grid"):
        scaled_point(curves(MODES, (200.0, 300.0, 400.0)), 2.0, 300.0)


def test_a_grid_of_zero_kelvin_alone_has_no_other_temperature():
    lonely = curves(MODES, (0.0,))
    assert scaled_point(lonely, 1.0, 0.0).free_energy_mev == pytest.approx(
        lonely.zero_point_energy_mev_per_atom
    )
    with pytest.raises(InconsistentDataError, match="0 K alone"):
        scaled_point(lonely, 1.0, 300.0)


def test_a_grid_of_one_temperature_has_this_one():
    lonely = curves(MODES, (300.0,))
    assert scaled_point(lonely, 1.0, 300.0).heat_capacity_slope_mev_per_k == 0.0
    with pytest.raises(InconsistentDataError, match="below the grid"):
        scaled_point(lonely, 1.0, 299.0)
