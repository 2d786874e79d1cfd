from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from screening.errors import ModelCorruptError, TrainingSetError
from screening.network_dos.calibration import Calibration, calibrate, held_out_coverage
from screening.network_dos.estimates import CURVES, SCALARS, estimates_of, truth_of
from screening.network_dos.grid import PAPER_GRID
from screening.network_dos.labels import LABEL_TEMPERATURES_K
from screening.quantities import Property, Quantity
from screening.uncertainty.conformal import coverage_band

CENTRES = np.asarray(PAPER_GRID.centres_thz)


def peaks(positions: np.ndarray) -> np.ndarray:
    """Histograms with one broad peak each, shape (..., bin)."""
    found = np.exp(-0.5 * ((CENTRES - positions[..., None]) / 1.0) ** 2)
    found[..., : PAPER_GRID.zero] = 0.0
    return found / found.sum(axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def noisy(made_labels):
    """Estimates that err by what their members scatter, and the truth they err from."""

    def make(n: int, seed: int):
        rng = np.random.default_rng(seed)
        positions, sigma = rng.uniform(4.0, 12.0, n), rng.uniform(0.1, 0.8, n)
        members = positions[:, None] + sigma[:, None] * (
            rng.normal(size=(n, 1)) + rng.normal(size=(n, 5))
        )
        label = made_labels[0]
        labels = [
            replace(label, material_id=str(k), group=str(k), histogram=6.0 * row)
            for k, row in enumerate(peaks(positions))
        ]
        structures = [label.structure] * n
        estimates = estimates_of(peaks(members), structures, PAPER_GRID)
        return estimates, truth_of(labels, PAPER_GRID), [one.group for one in labels]

    return make


@pytest.fixture(scope="module")
def calibration(noisy) -> Calibration:
    return calibrate(*noisy(150, seed=1), alpha=0.1)


def test_intervals_of_unseen_crystals_hold_as_often_as_stated(noisy, calibration) -> None:
    estimates, truth, _ = noisy(400, seed=2)
    low, high = coverage_band(150, 0.1, probability=0.9999, n_tested=400)
    for name, widths in calibration.half_widths(estimates).items():
        inside = np.abs(estimates.values[name] - truth.values[name]) <= widths
        for at, kelvin in enumerate(LABEL_TEMPERATURES_K):
            if kelvin > 0.0 or name == "free_energy":
                assert low <= inside[:, at].mean() <= high, (name, kelvin)
            else:
                assert inside[:, at].all()  # nothing is zero and nothing errs at 0 K
    rate = "log_isotope_rate"
    inside = np.abs(estimates.scalars[rate] - truth.scalars[rate])
    assert low <= (inside <= calibration.scalar_half_widths(estimates)[rate]).mean() <= high


def test_uncertain_crystals_have_wide_intervals(noisy, calibration) -> None:
    estimates, truth, _ = noisy(400, seed=3)
    at = LABEL_TEMPERATURES_K.index(300.0)
    widths = calibration.half_widths(estimates)["free_energy"][:, at]
    errors = np.abs(estimates.values["free_energy"] - truth.values["free_energy"])[:, at]
    wide = widths > np.median(widths)
    assert errors[wide].mean() > 1.5 * errors[~wide].mean()


def test_left_out_coverage_is_what_was_intended(noisy) -> None:
    estimates, truth, groups = noisy(150, seed=4)
    found = held_out_coverage(estimates, truth, groups, 0.1)
    assert set(found) == set(CURVES) | set(SCALARS)
    for value in found.values():
        assert value == pytest.approx(0.9, abs=0.05) or value == 1.0


def test_own_calibration_knows_other_risks_and_no_other_temperatures(calibration) -> None:
    own = calibration.own
    at_300, beyond = (Quantity(Property.ENTROPY, kelvin) for kelvin in (300.0, 2000.0))
    assert own.factor(at_300, 0.1) == 1.0
    assert own.factor(at_300, 0.05) > 1.0 > own.factor(at_300, 0.5)
    assert math.isinf(own.factor(beyond, 0.1))
    assert math.isinf(own.factor(at_300, 1e-4))


def test_it_survives_json(calibration) -> None:
    again = Calibration.from_dict(json.loads(json.dumps(calibration.as_dict())))
    assert again.as_dict() == calibration.as_dict()
    assert again.own == calibration.own


@pytest.mark.parametrize(
    "damage",
    [
        {"alpha": 0.3},
        {"n_groups": 1},
        {"soft_scale": 0.0},
        {"risks": [0.1, 0.5]},
        {"temperatures_k": [300.0]},
        {"floors": {}},
        {"quantiles": None},
        {"scalar_quantiles": {name: [[0.1, -1.0]] for name in SCALARS}},
        {"more": 1},
    ],
)
def test_damage_is_refused(calibration, damage) -> None:
    with pytest.raises(ModelCorruptError):
        Calibration.from_dict(calibration.as_dict() | damage)


def test_too_few_stable_compositions_are_refused(noisy) -> None:
    with pytest.raises(TrainingSetError, match="8 compositions to calibrate on, 9 are needed"):
        calibrate(*noisy(8, seed=5), alpha=0.1)
    found = held_out_coverage(*noisy(8, seed=5), alpha=0.1)
    assert set(found.values()) == {None}
