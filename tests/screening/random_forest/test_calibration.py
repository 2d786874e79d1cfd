import json

import numpy as np
import pytest

from screening.errors import ModelCorruptError
from screening.novelty_limits import NoveltyLimits
from screening.quantities import Property, Quantity
from screening.random_forest.calibration import (
    Calibration,
    Domain,
    calibrate,
    domain_of,
    held_out_coverage,
)
from screening.random_forest.curves import PROPERTIES, Curves
from screening.random_forest.settings import RandomForestSettings
from screening.uncertainty.conformal import coverage_band

GRID = (300.0, 1000.0)
SETTINGS = RandomForestSettings(temperatures_k=GRID)
DOMAIN = Domain((6, 8), NoveltyLimits((1.0, 2.0, 1.0, 1.0, 1.0), 1.2), 5.0)


def drawn(count, seed, deviations=(0.5, 2.0)):
    """Errors that are as large as the deviations say, but for one unknown factor of three."""
    rng = np.random.default_rng(seed)
    predicted, references = [], []
    for _ in range(count):
        scale = rng.uniform(*deviations)
        truth = {name: rng.normal(size=2) for name in PROPERTIES}
        error = rng.normal()
        values = {name: one + 3.0 * scale * error for name, one in truth.items()}
        predicted.append(Curves(values, {name: np.full(2, scale) for name in truth}, 1.0))
        references.append(truth)
    return predicted, references


def calibrated(count=80, seed=0, truth="mesh"):
    names = [str(index) for index in range(count)]
    return calibrate(*drawn(count, seed), names, SETTINGS, DOMAIN, truth)


def test_intervals_hold_as_often_as_they_say():
    found = calibrated()
    fresh, truth = drawn(400, 1)
    low, high = coverage_band(80, 0.1, 0.998, 400)
    for name in PROPERTIES:
        inside = [
            abs(one.values[name][0] - true[name][0]) <= found.half_widths(one)[name][0]
            for one, true in zip(fresh, truth, strict=True)
        ]
        assert low <= np.mean(inside) <= high
    names = [str(index) for index in range(80)]
    every = held_out_coverage(*drawn(80, 0), names, SETTINGS, [i % 5 for i in range(80)])
    assert all(0.75 <= one <= 1.0 for one in every.values())


def test_smaller_risks_have_their_own_quantiles_or_none():
    own = calibrated().own
    quantity = Quantity(Property.FREE_ENERGY, 300.0)
    assert own.factor(quantity, 0.1) == 1.0
    assert 1.0 < own.factor(quantity, 0.02) < np.inf
    assert own.factor(quantity, 0.01) == np.inf  # 80 structures know no such tail
    assert own.factor(Quantity(Property.FREE_ENERGY, 200.0), 0.1) == np.inf
    assert own.factor(Quantity(Property.LOWEST_FREQUENCY), 0.1) == np.inf
    assert calibrated(truth="zone_centre").own.factor(quantity, 0.1) == np.inf


def test_polymorphs_of_one_formula_count_once():
    predicted, references = drawn(40, 4)
    names = [str(index // 2) for index in range(40)]
    assert calibrate(predicted, references, names, SETTINGS, DOMAIN).n_groups == 20


def test_a_repaired_hessian_has_wider_intervals():
    found, (predicted, _) = calibrated(40, 2), drawn(40, 2)
    hard = Curves(predicted[0].values, predicted[0].deviations, 2.0)
    for name, width in found.half_widths(predicted[0]).items():
        np.testing.assert_allclose(found.half_widths(hard)[name], 2.0 * width)


def test_a_domain_is_what_nearly_all_held_out_structures_are_in():
    predicted, _ = drawn(199, 5)
    measures = np.random.default_rng(0).gamma(4.0, size=(199, 5))
    measures[0] = 1e4  # one stranger sets no limit
    found = domain_of(predicted, measures, [6, 8, 7])
    assert found.sites_per_cell == (6, 8)
    inside = [found.at_rest.novelty(one) <= 1.0 for one in measures]
    assert 0.94 <= np.mean(inside) <= 0.96
    wild = Curves(predicted[0].values, {name: np.full(2, 1e3) for name in PROPERTIES}, 1.0)
    assert calibrated().disagreement(wild) > 100.0 * found.disagreement_limit


def test_a_calibration_survives_plain_json():
    found = calibrated(30, 3)
    assert Calibration.from_dict(json.loads(json.dumps(found.as_dict()))) == Calibration.from_dict(
        found.as_dict()
    )
    assert Calibration.from_dict(found.as_dict()).as_dict() == found.as_dict()


@pytest.mark.parametrize(
    "spoil",
    [
        {"quantiles": {}},
        {"quantiles": {name: [[1.0, float("inf")]] for name in PROPERTIES}},
        {"floors": {name: [-1.0, 1.0] for name in PROPERTIES}},
        {"floors": {name: ["a", 1.0] for name in PROPERTIES}},
        {"temperatures_k": [300.0]},
        {"temperatures_k": [1000.0, 300.0]},
        {"temperatures_k": 300.0},
        {"coverage": 7},
        {"coverage": 0.97},
        {"coverage": True},
        {"n_groups": 0},
        {"n_groups": 2.5},
        {"risks": []},
        {"risks": [0.1, 0.5]},
        {"truth": "dream"},
        {"more": 1},
        {"domain": None},
        {"domain": {"sites_per_cell": [6, 8]}},
    ],
)
def test_numbers_that_cannot_be_are_refused(spoil):
    with pytest.raises(ModelCorruptError):
        Calibration.from_dict(calibrated(30, 3).as_dict() | spoil)


@pytest.mark.parametrize(
    "spoil",
    [
        {"sites_per_cell": [8, 6]},
        {"sites_per_cell": [6.0, 8]},
        {"at_rest": None},
        {"at_rest": {"scales": [1.0], "limit": 1.0}},
        {"disagreement_limit": None},
    ],
)
def test_domains_that_cannot_be_are_refused(spoil):
    stored = calibrated(30, 3).as_dict()
    with pytest.raises(ModelCorruptError):
        Calibration.from_dict(stored | {"domain": stored["domain"] | spoil})
