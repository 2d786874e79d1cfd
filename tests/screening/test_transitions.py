"""Crossings of curves that are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from screening.prediction import frozen_array
from screening.transitions import Curves, find_crossings


def curves(grid, functions, stds=None):
    """Take curves from pairs of (value, derivative) functions."""
    t = np.asarray(grid, dtype=float)
    return Curves(
        ids=tuple(f"c{i}" for i in range(len(functions))),
        temperatures_k=frozen_array(t),
        free_energy_mev_per_atom=frozen_array([value(t) for value, _ in functions]),
        slopes_mev_per_k_per_atom=frozen_array([slope(t) for _, slope in functions]),
        std_mev_per_atom=tuple(stds or [None] * len(functions)),
        comparable=frozenset(),
    )


FLAT = (lambda t: 0 * t, lambda t: 0 * t)


def test_cubic_curves_are_interpolated_exactly_on_a_coarse_grid():
    cubic = (
        lambda t: ((t - 137.0) * ((t - 900) ** 2 + 1e4)) / 1e6,
        lambda t: ((t - 900) ** 2 + 1e4 + 2 * (t - 137.0) * (t - 900)) / 1e6,
    )
    (crossing,) = find_crossings(curves([0, 250, 500], [FLAT, cubic]))
    assert crossing.temperature_k == pytest.approx(137.0, abs=1e-9)
    assert (crossing.below_id, crossing.above_id) == ("c1", "c0")


def test_smooth_curves_converge_with_the_fourth_power_of_the_step():
    def at(step):
        wave = (lambda t: np.cos(t / 100), lambda t: -np.sin(t / 100) / 100)
        return find_crossings(curves(np.arange(0, 300.1, step), [FLAT, wave]))[0].temperature_k

    exact = 50 * np.pi
    assert abs(at(25) - exact) < 0.01
    assert abs(at(25) - exact) < abs(at(50) - exact) / 8 + 1e-9


def test_a_curve_that_crosses_twice_does_so_twice():
    arch = (lambda t: (t - 100) * (t - 300) / 1e4, lambda t: (2 * t - 400) / 1e4)
    found = find_crossings(curves([0, 150, 250, 400], [FLAT, arch]))
    assert [c.temperature_k for c in found] == pytest.approx([100.0, 300.0])
    assert [c.below_id for c in found] == ["c0", "c1"]


def test_zeros_on_the_grid_are_one_crossing_in_their_middle():
    bent = (lambda t: np.where(t < 200, t - 200, np.maximum(t - 400, 0)), lambda t: 0 * t + 1)
    (crossing,) = find_crossings(curves(np.arange(0, 601, 100), [FLAT, bent]))
    assert crossing.temperature_k == 300.0


def test_spread_over_slope():
    line = (lambda t: 0.01 * (t - 150), lambda t: 0 * t + 0.01)
    stds = [np.full(3, 0.3), np.full(3, 0.4)]
    (crossing,) = find_crossings(curves([0, 200, 400], [FLAT, line], stds))
    assert crossing.temperature_std_k == pytest.approx(50.0)
    assert crossing.between_lowest
