"""The angular Fourier series against the double sum that defines it."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from screening.descriptors.angular_fourier import AngularFourierSeries
from screening.descriptors.interface import AtomicSystem
from screening.descriptors.radial import cutoff_function, radial_functions

CELL = np.array([[4.0, 0.3, 0.0], [0.5, 5.0, 0.1], [1.0, -0.7, 4.5]])


def _double_sum(system: AtomicSystem, series: AngularFourierSeries) -> np.ndarray:
    """All pairs of neighbours of each atom, k = k' included."""
    cutoff = series.cutoff_angstrom
    shifts = np.zeros((1, 3))
    if system.cell_angstrom is not None:
        shifts = np.array(list(product(range(-3, 4), repeat=3))) @ system.cell_angstrom
    rows = []
    for centre in system.positions_angstrom:
        vectors = (system.positions_angstrom[:, None] + shifts - centre).reshape(-1, 3)
        lengths = np.linalg.norm(vectors, axis=1)
        near = (lengths > 1e-9) & (lengths < cutoff)
        units = vectors[near] / lengths[near, None]
        weights = radial_functions(lengths[near], series.n_radial, cutoff)
        weights = weights * cutoff_function(lengths[near], cutoff)
        angles = np.arccos(np.clip(units @ units.T, -1.0, 1.0))
        multiples = np.cos(np.arange(series.l_max + 1)[:, None, None] * angles)
        rows.append(np.einsum("nk,nj,lkj->nl", weights, weights, multiples).ravel())
    return np.array(rows)


@pytest.mark.parametrize("cell", [None, CELL])
@pytest.mark.parametrize(("n_radial", "l_max", "cutoff"), [(20, 10, 5.0), (3, 0, 3.5), (8, 7, 6.0)])
def test_the_series_is_the_sum_over_pairs(
    cell: np.ndarray | None, n_radial: int, l_max: int, cutoff: float
) -> None:
    series = AngularFourierSeries(n_radial=n_radial, l_max=l_max, cutoff_angstrom=cutoff)
    rng = np.random.default_rng(0)
    system = AtomicSystem(rng.random((7, 3)) @ CELL, np.full(7, 18), cell)
    expected = _double_sum(system, series)
    np.testing.assert_allclose(series.per_atom(system), expected, atol=1e-10, rtol=1e-10)


def test_a_dimer_has_one_angle() -> None:
    """One neighbour makes the angle 0 with itself: all multiples are alike, and n adds up."""
    series = AngularFourierSeries(n_radial=4, l_max=5)
    pair = AtomicSystem(np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 2.0]]), np.array([18, 18]))
    weights = radial_functions(np.array([2.0]), 4, 5.0) * cutoff_function(np.array([2.0]), 5.0)
    expected = np.repeat(weights[:, 0] ** 2, 6)
    np.testing.assert_allclose(series.per_atom(pair), [expected, expected], atol=1e-13)


def test_the_default_has_220_numbers() -> None:
    series = AngularFourierSeries()
    assert series.n_per_atom([9]) == 220
    assert series.n_features([9, 19, 30]) == 3 * 661
    alike = AngularFourierSeries(neighbour_channels="all")
    assert alike.n_features([9, 19, 30]) == 3 * 221
