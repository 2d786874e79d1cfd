"""Densities of states that need no network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from debye_labels import debye_label, debye_temperature_k, salt, salts
from scipy.integrate import quad

from screening.errors import SettingError, TrainingSetError, WrongShapeError
from screening.network_dos.baselines import (
    AnalyticDensity,
    GivenDensity,
    MeanDensity,
    NearestNeighbours,
    ZeroDensity,
    analytic_histograms,
    debye_frequency_thz,
)
from screening.network_dos.grid import PAPER_GRID, WIDE_GRID

LABELS = [debye_label(one, PAPER_GRID) for one in salts()]
NEW = [salt("Na", "Br", 5.97), salt("K", "I", 7.07) * (2, 1, 1)]


@pytest.mark.parametrize(
    "fit",
    [
        MeanDensity.fit,
        NearestNeighbours.fit,
        AnalyticDensity.fit,
        lambda labels, grid: AnalyticDensity.fit(labels, grid, "born_von_karman"),
    ],
)
def test_every_baseline_answers_with_3n_modes_whatever_the_order_of_training(fit) -> None:
    order = np.random.default_rng(5).permutation(len(LABELS))
    one, other = fit(LABELS, PAPER_GRID), fit([LABELS[i] for i in order], PAPER_GRID)
    found = one.predict(NEW)
    assert found.min() >= 0.0
    np.testing.assert_allclose(found.sum(axis=1), [6.0, 12.0], rtol=1e-12)
    np.testing.assert_allclose(other.predict(NEW), found, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(one.predict(NEW[::-1]), found[::-1], rtol=1e-12)
    assert one.predict([]).shape == (0, len(PAPER_GRID))


def test_zero_and_mean() -> None:
    assert not ZeroDensity(PAPER_GRID).predict(NEW).any()
    shares = np.mean([one.histogram / 6.0 for one in LABELS], axis=0)
    np.testing.assert_allclose(
        MeanDensity.fit(LABELS, PAPER_GRID).predict(NEW)[1], 12.0 * shares, rtol=1e-12
    )


def test_the_nearest_neighbour_of_a_training_crystal_is_itself() -> None:
    found = NearestNeighbours.fit(LABELS, PAPER_GRID, 1).predict([LABELS[7].structure * (1, 1, 2)])
    np.testing.assert_allclose(found[0], 2.0 * LABELS[7].histogram, rtol=1e-12)


def test_neighbours_that_are_as_far_share_the_place() -> None:
    twin = replace(LABELS[3], material_id="twin", histogram=LABELS[4].histogram)
    found = NearestNeighbours.fit([*LABELS, twin], PAPER_GRID, 1).predict([LABELS[3].structure])
    np.testing.assert_allclose(found[0], 0.5 * (LABELS[3].histogram + LABELS[4].histogram))


def test_more_neighbours_than_crystals_are_all_of_them() -> None:
    found = NearestNeighbours.fit(LABELS[:2], PAPER_GRID, 9).predict(NEW)
    np.testing.assert_allclose(found, MeanDensity.fit(LABELS[:2], PAPER_GRID).predict(NEW))


def test_the_law_of_debye_temperatures_is_found() -> None:
    labels = [debye_label(one, WIDE_GRID) for one in salts()]
    model = AnalyticDensity.fit(labels, WIDE_GRID)
    assert model.coefficients == pytest.approx([np.log(9000.0), -0.5, -0.6], abs=0.03)
    exact = [debye_temperature_k(one) for one in NEW]
    np.testing.assert_allclose(model.debye_temperatures_k(NEW), exact, rtol=0.02)
    predicted = model.predict(NEW)[0]
    truth = debye_label(NEW[0], WIDE_GRID).histogram
    assert np.abs(predicted - truth).sum() < 0.05 * truth.sum()


@pytest.mark.parametrize("model", ["debye", "born_von_karman"])
def test_analytic_histograms_are_integrals_of_the_densities(model: str) -> None:
    cutoff = 8.13
    found = analytic_histograms(np.array([cutoff]), PAPER_GRID, model)[0]

    def density(x: float) -> float:
        if model == "debye":
            return 9.0 * x**2 / cutoff**3
        wave = 2.0 / np.pi * np.arcsin(x / cutoff)
        return 9.0 * wave**2 * 2.0 / (np.pi * np.sqrt(cutoff**2 - x**2))

    assert found.sum() == pytest.approx(3.0)
    assert not found[: PAPER_GRID.zero].any()
    for step in (0, 1, 7, 26, 27, 28):
        low, high = np.clip(PAPER_GRID.edges_thz[PAPER_GRID.zero + step :][:2], 0.0, cutoff)
        exact = quad(density, low, high)[0]
        assert found[PAPER_GRID.zero + step] == pytest.approx(exact, rel=1e-6, abs=1e-9)


def test_the_chain_has_more_modes_at_its_end_and_fewer_below() -> None:
    debye = analytic_histograms(np.array([8.0]), WIDE_GRID)[0]
    chain = analytic_histograms(np.array([8.0]), WIDE_GRID, "born_von_karman")[0]
    last = int(np.flatnonzero(debye)[-1])
    assert chain[last] > 1.5 * debye[last]
    start = WIDE_GRID.zero + 2
    assert chain[start] / debye[start] == pytest.approx((2.0 / np.pi) ** 3, rel=0.03)


def test_a_sound_velocity_gives_the_debye_frequency() -> None:
    # aluminium: 3.42 km/s and 16.6 Å³ are known to make 400 K
    assert debye_frequency_thz(34.2, 16.6) * 47.992 == pytest.approx(400.0, rel=0.01)
    ratio = debye_frequency_thz(34.2, 16.6, chain=True) / debye_frequency_thz(34.2, 16.6)
    assert ratio == pytest.approx(2.0 / np.pi)


def test_given_densities_are_passed_through() -> None:
    prior = LABELS[1].histogram
    labels = [debye_label(salt("Li", "F"), PAPER_GRID, prior=prior)]
    given = GivenDensity.of_labels(labels)
    assert given is not None
    np.testing.assert_allclose(given.predict([labels[0].structure])[0], prior)
    doubled = GivenDensity(17.0 * prior[None]).predict([labels[0].structure * (2, 1, 1)])
    np.testing.assert_allclose(doubled[0], 2.0 * prior, rtol=1e-12)
    assert GivenDensity.of_labels([*labels, LABELS[0]]) is None
    assert GivenDensity.of_labels([]) is None
    with pytest.raises(WrongShapeError):
        given.predict(NEW)
    with pytest.raises(WrongShapeError):
        GivenDensity(prior)


def test_what_cannot_be_fitted_is_refused() -> None:
    for fit in (MeanDensity.fit, NearestNeighbours.fit, AnalyticDensity.fit):
        with pytest.raises(TrainingSetError):
            fit([], PAPER_GRID)
        with pytest.raises(TrainingSetError):
            fit(LABELS, WIDE_GRID)
        with pytest.raises(TrainingSetError):
            fit([LABELS[0], LABELS[0]], PAPER_GRID)
    with pytest.raises(SettingError):
        NearestNeighbours.fit(LABELS, PAPER_GRID, 0)
    with pytest.raises(SettingError):
        analytic_histograms(np.array([1.0]), PAPER_GRID, "einstein")
    with pytest.raises(SettingError):
        analytic_histograms(np.array([0.0]), PAPER_GRID)
    with pytest.raises(SettingError):
        debye_frequency_thz(0.0, 10.0)
    below = np.zeros(len(PAPER_GRID))
    below[0] = 6.0
    with pytest.raises(TrainingSetError, match="above zero"):
        AnalyticDensity.fit([replace(LABELS[0], histogram=below)], PAPER_GRID)
