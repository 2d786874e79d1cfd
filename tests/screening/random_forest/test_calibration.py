import numpy as np
import pytest

from screening.errors import ModelCorruptError
from screening.random_forest.calibration import (
    LOWEST,
    PROPERTIES,
    Calibration,
    Curves,
    calibrate,
    curves_of,
    held_out_coverage,
    references_of,
)
from screening.random_forest.spectrum import Spectrum
from screening.uncertainty.conformal import coverage_band

GRID = (300.0, 1000.0)


def drawn(count, seed, deviations=(0.5, 2.0)):
    """Errors that are as large as the deviations say, but for one unknown factor of three."""
    rng = np.random.default_rng(seed)
    predicted, references = [], []
    for _ in range(count):
        scale = rng.uniform(*deviations)
        names = dict.fromkeys(PROPERTIES, 2) | {LOWEST: 1}
        truth = {name: rng.normal(size=n) for name, n in names.items()}
        error = rng.normal()
        values = {name: one + 3.0 * scale * error for name, one in truth.items()}
        spread = {name: np.full(n, scale) for name, n in names.items()}
        predicted.append(Curves(values, spread, 1.0))
        references.append(truth)
    return predicted, references


def test_intervals_hold_as_often_as_they_say():
    predicted, references = drawn(80, 0)
    found = calibrate(predicted, references, GRID, 0.9, 1.0)
    fresh, truth = drawn(400, 1)
    low, high = coverage_band(80, 0.1, 0.998, 400)
    for name in (*PROPERTIES, LOWEST):
        inside = [
            abs(one.values[name][0] - true[name][0]) <= found.half_widths(one)[name][0]
            for one, true in zip(fresh, truth, strict=True)
        ]
        assert low <= np.mean(inside) <= high
    every = held_out_coverage(found, predicted, references, [i % 5 for i in range(80)])
    assert all(0.75 <= one <= 1.0 for one in every.values())


def test_a_repaired_hessian_has_wider_intervals():
    predicted, references = drawn(40, 2)
    found = calibrate(predicted, references, GRID, 0.9, 1.0)
    hard = Curves(predicted[0].values, predicted[0].deviations, 2.0)
    for name, width in found.half_widths(predicted[0]).items():
        np.testing.assert_allclose(found.half_widths(hard)[name], 2.0 * width)


def test_a_calibration_survives_plain_json():
    found = calibrate(*drawn(30, 3), GRID, 0.9, 2.5)
    assert Calibration.from_dict(found.as_dict()) == found
    for spoil in (
        {"quantiles": {}},
        {"quantiles": found.quantiles | {LOWEST: [float("inf")]}},
        {"temperatures_k": [300.0]},
        {"more": 1},
    ):
        with pytest.raises(ModelCorruptError):
            Calibration.from_dict(found.as_dict() | spoil)


def test_curves_are_the_thermodynamics_of_the_modes():
    modes = np.concatenate([np.zeros(3), np.linspace(2.0, 9.0, 9)])
    members = np.stack([0.98 * modes, 1.02 * modes])
    found = curves_of(Spectrum(modes, members, -1.0, np.array([-1.5, -0.5]), 1, 0.25), GRID)
    truth = references_of(modes, -1.0, GRID)
    for name in (*PROPERTIES, LOWEST):
        np.testing.assert_array_equal(found.values[name], truth[name])
        assert np.all(found.deviations[name] > 0.0)
    assert found.difficulty == 2.25
    assert truth["entropy"][1] > truth["entropy"][0] > 0.0
