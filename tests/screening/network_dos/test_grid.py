from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from screening.errors import InconsistentDataError, NonFiniteInputError, SettingError
from screening.network_dos.grid import PAPER_GRID, WIDE_GRID, FrequencyGrid
from screening.units import THZ_TO_INVERSE_CM


def test_the_published_grid_has_66_points_with_both_ends() -> None:
    centres = PAPER_GRID.centres_thz * THZ_TO_INVERSE_CM
    np.testing.assert_allclose(centres, np.arange(-300.0, 1001.0, 20.0), atol=1e-10)
    assert len(PAPER_GRID) == 66
    assert centres[PAPER_GRID.zero] == 0.0
    np.testing.assert_allclose(np.diff(PAPER_GRID.edges_thz), PAPER_GRID.width_thz)


def test_the_wide_grid_continues_the_published_one_to_4000() -> None:
    np.testing.assert_array_equal(WIDE_GRID.centres_thz[:66], PAPER_GRID.centres_thz)
    assert WIDE_GRID.centres_thz[-1] * THZ_TO_INVERSE_CM == pytest.approx(4000.0)


@given(st.lists(st.floats(-50.0, 150.0), min_size=1, max_size=40))
def test_no_weight_is_lost(frequencies: list[float]) -> None:
    weights = np.linspace(1.0, 2.0, len(frequencies))
    found = PAPER_GRID.histogram(frequencies, weights)
    assert found.weights.sum() + found.below + found.above == pytest.approx(weights.sum())
    low, high = PAPER_GRID.edges_thz[[0, -1]]
    beyond = [w for f, w in zip(frequencies, weights, strict=True) if not low < f < high]
    assert found.outside == pytest.approx(sum(beyond) / weights.sum(), abs=1e-9)


def test_a_mode_counts_in_the_bin_whose_centre_is_nearest() -> None:
    step = PAPER_GRID.width_thz
    found = PAPER_GRID.histogram([0.49 * step, 0.51 * step, -0.49 * step], [1.0, 2.0, 4.0])
    np.testing.assert_allclose(found.weights[PAPER_GRID.zero : PAPER_GRID.zero + 2], [5.0, 2.0])


def test_a_density_is_integrated_not_sampled() -> None:
    """A peak far narrower than a bin, between the centres, keeps all of its weight."""
    peak = 10.3 * PAPER_GRID.width_thz
    points = peak + np.array([-0.02, 0.0, 0.02])
    found = PAPER_GRID.histogram_of_density(points, [0.0, 50.0, 0.0])
    assert found.weights[PAPER_GRID.zero + 10] == pytest.approx(1.0)
    assert found.weights.sum() == pytest.approx(1.0)
    assert found.outside == pytest.approx(0.0, abs=1e-12)


def test_a_linear_density_is_integrated_exactly_in_every_bin_and_beyond() -> None:
    found = PAPER_GRID.histogram_of_density([0.0, 40.0], [0.0, 40.0])
    edges = np.clip(PAPER_GRID.edges_thz, 0.0, 40.0)
    np.testing.assert_allclose(found.weights, np.diff(edges**2) / 2.0, atol=1e-12)
    assert found.above == pytest.approx(800.0 - edges[-1] ** 2 / 2.0)


def test_it_survives_json() -> None:
    assert FrequencyGrid.from_dict(json.loads(json.dumps(WIDE_GRID.as_dict()))) == WIDE_GRID


@pytest.mark.parametrize(
    "numbers", [(-310.0, 20.0, 66), (20.0, 20.0, 66), (-300.0, 0.0, 66), (-300.0, 20.0, 16)]
)
def test_grids_without_a_bin_at_zero_or_above_are_refused(numbers) -> None:
    with pytest.raises(SettingError):
        FrequencyGrid(*numbers)


@pytest.mark.parametrize(
    "change", [{"n_points": 66.5}, {"step_inverse_cm": "x"}, {"lowest_inverse_cm": float("nan")}]
)
def test_what_is_no_grid_is_refused(change) -> None:
    with pytest.raises(SettingError):
        FrequencyGrid.from_dict(PAPER_GRID.as_dict() | change)


def test_bad_modes_are_refused() -> None:
    with pytest.raises(InconsistentDataError, match="weights"):
        PAPER_GRID.histogram([1.0, 2.0], [1.0])
    with pytest.raises(InconsistentDataError, match="negative"):
        PAPER_GRID.histogram([1.0], [-1.0])
    with pytest.raises(NonFiniteInputError):
        PAPER_GRID.histogram([np.inf], [1.0])
    with pytest.raises(InconsistentDataError, match="ascend"):
        PAPER_GRID.histogram_of_density([2.0, 1.0], [1.0, 1.0])
