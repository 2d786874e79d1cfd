"""Distances between densities of states and errors of what follows from them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from screening.errors import InconsistentDataError, WrongShapeError
from screening.network_dos.baselines import analytic_histograms
from screening.network_dos.grid import PAPER_GRID
from screening.network_dos.properties import DosSettings, dos_properties
from screening.network_dos.scalar_model import ThermalCurves
from screening.network_dos.scores import dos_scores, thermal_scores, wasserstein_thz

ZERO = PAPER_GRID.zero
REFERENCE = analytic_histograms(np.array([5.0, 9.0, 14.0, 20.0]), PAPER_GRID)
ATOMS = [2, 2, 4, 1]


def test_the_truth_has_no_error() -> None:
    scores = dos_scores(7.0 * REFERENCE, REFERENCE, PAPER_GRID, ATOMS)
    assert scores.mae == pytest.approx(0.0, abs=1e-15)
    assert scores.wasserstein_thz == pytest.approx(0.0, abs=1e-12)
    assert scores.fraction_below_published == 1.0
    assert scores.n_thermal == 4
    assert set(scores.thermal) == {
        f"{name}_{kelvin}k_{unit}"
        for kelvin in (300, 1000)
        for name, unit in (
            ("heat_capacity", "mev_per_k_per_atom"),
            ("entropy", "mev_per_k_per_atom"),
            ("free_energy", "mev_per_atom"),
        )
    }
    assert all(one.skill == pytest.approx(1.0) for one in scores.thermal.values())


def test_nothing_and_the_mean_define_the_scales() -> None:
    nothing = dos_scores(np.zeros_like(REFERENCE), REFERENCE, PAPER_GRID, ATOMS)
    assert nothing.mae_over_zero == pytest.approx(1.0)
    middles = np.array([5.0, 9.0, 14.0, 20.0]) * 0.75  # the mean frequency of Debye's model
    assert nothing.wasserstein_thz_by_crystal == pytest.approx(middles, abs=0.05)
    curves = REFERENCE / REFERENCE.max(axis=1, keepdims=True)
    assert nothing.mad == pytest.approx(np.abs(curves - curves.mean(axis=0)).mean())
    assert nothing.mae_over_mad == pytest.approx(curves.mean() / nothing.mad)


def test_the_distance_is_that_of_the_definition() -> None:
    generator = np.random.default_rng(6)
    ours, theirs = generator.random((2, 5, len(PAPER_GRID))) ** 4
    centres = PAPER_GRID.centres_thz
    exact = [
        wasserstein_distance(centres, centres, one, other)
        for one, other in zip(ours, theirs, strict=True)
    ]
    np.testing.assert_allclose(wasserstein_thz(ours, theirs, PAPER_GRID), exact, rtol=1e-10)


def test_the_distance_sees_how_far_a_peak_is_off_and_the_published_measure_does_not() -> None:
    peaks = np.eye(len(PAPER_GRID))
    truth, near, far = (peaks[[ZERO + step]] for step in (10, 11, 30))
    close, distant = (dos_scores(one, truth, PAPER_GRID, [1]) for one in (near, far))
    assert close.mae == pytest.approx(distant.mae)
    assert distant.wasserstein_thz == pytest.approx(20.0 * close.wasserstein_thz)
    assert close.mad == 0.0
    assert close.mae_over_mad is None


def test_errors_of_thermodynamics_are_those_of_the_sums() -> None:
    predicted = analytic_histograms(np.array([5.5, 8.0, 14.0, 21.0]), PAPER_GRID)
    scores = dos_scores(predicted, REFERENCE, PAPER_GRID, ATOMS)
    settings = DosSettings(temperatures_k=(300.0, 1000.0))
    ours, theirs = (
        dos_properties(one, ATOMS, PAPER_GRID, settings) for one in (predicted, REFERENCE)
    )
    errors = ours.entropy_mev_per_k_per_atom - theirs.entropy_mev_per_k_per_atom
    found = scores.thermal["entropy_1000k_mev_per_k_per_atom"]
    assert found.mae == pytest.approx(np.abs(errors[:, 1]).mean())
    assert found.bias == pytest.approx(errors[:, 1].mean())
    assert 0.0 < found.skill < 1.0


def test_given_curves_are_what_is_compared_with() -> None:
    zeros = np.zeros((4, 1))
    curves = ThermalCurves((300.0,), zeros, zeros, zeros + 1.0)
    scores = dos_scores(REFERENCE, REFERENCE, PAPER_GRID, ATOMS, curves=curves)
    exact = dos_properties(REFERENCE, ATOMS, PAPER_GRID, DosSettings(temperatures_k=(300.0,)))
    assert scores.thermal["free_energy_300k_mev_per_atom"].mae == pytest.approx(
        np.abs(exact.free_energy_mev_per_atom - 1.0).mean()
    )


def test_thermodynamics_is_compared_where_the_reference_is_stable() -> None:
    predicted, reference = REFERENCE.copy(), REFERENCE.copy()
    predicted[0, 2] = 2.0
    reference[1, 2] = 2.0
    scores = dos_scores(predicted, reference, PAPER_GRID, ATOMS)
    assert (scores.n_thermal, scores.n_called_unstable) == (3, 1)
    assert scores.stability.unstable_missed == scores.stability.stable_missed == 1
    below = np.eye(len(PAPER_GRID))[[0] * 4]
    evading = dos_scores(below, REFERENCE, PAPER_GRID, ATOMS)
    assert (evading.n_thermal, evading.n_called_unstable) == (4, 4)
    assert evading.thermal["entropy_300k_mev_per_k_per_atom"].skill < 0.0
    assert not dos_scores(REFERENCE, below, PAPER_GRID, ATOMS).thermal


def test_the_order_of_crystals_does_not_matter() -> None:
    predicted = analytic_histograms(np.array([6.0, 8.0, 15.0, 18.0]), PAPER_GRID)
    order = [2, 0, 3, 1]
    one = dos_scores(predicted, REFERENCE, PAPER_GRID, ATOMS).row()
    other = dos_scores(
        predicted[order], REFERENCE[order], PAPER_GRID, [ATOMS[i] for i in order]
    ).row()
    assert other == pytest.approx(one)
    assert json.loads(json.dumps(one)) == one


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(InconsistentDataError):
        dos_scores(REFERENCE, np.zeros_like(REFERENCE), PAPER_GRID, ATOMS)
    with pytest.raises(InconsistentDataError):
        dos_scores(REFERENCE[:0], REFERENCE[:0], PAPER_GRID, [])
    with pytest.raises(WrongShapeError):
        dos_scores(REFERENCE[:2], REFERENCE, PAPER_GRID, ATOMS)
    warm, hot = (ThermalCurves((t,), *np.zeros((3, 2, 1))) for t in (300.0, 400.0))
    with pytest.raises(InconsistentDataError):
        thermal_scores(warm, hot)
