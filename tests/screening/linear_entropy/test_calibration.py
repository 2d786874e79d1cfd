from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from screening.errors import ModelCorruptError
from screening.linear_entropy.calibration import (
    Calibration,
    calibrate,
    held_out_coverage,
    quantiles_by_family,
)
from screening.linear_entropy.moments import Moments
from screening.linear_entropy.thermal import CURVES
from screening.quantities import Property, Quantity
from screening.uncertainty.conformal import coverage_band

NOTHING = np.zeros(0)


def moments(std=1.0, row=1.0, atom=1.0, total=10.0):
    return Moments(0.0, std, row, atom, total, NOTHING, NOTHING)


def test_intervals_of_exchangeable_errors_cover_what_they_promise():
    random = np.random.default_rng(4)
    stds = random.uniform(0.1, 3.0, 4000)
    errors = stds * random.standard_t(4, 4000)  # heavier tails than the regression believes
    names = [str(number) for number in range(60)]
    found = calibrate([moments(one) for one in stds[:60]], errors[:60], names, [""] * 60, 0.1)
    inside = np.abs(errors[60:]) <= found.quantile() * stds[60:]
    low, high = coverage_band(60, 0.1, 0.997, 3940)
    assert low <= inside.mean() <= high


def test_classes_are_kept_apart_where_they_are_large_enough():
    scores = np.concatenate([np.full(40, 1.0), np.full(40, 5.0), np.full(5, 9.0)])
    families = ["easy"] * 40 + ["hard"] * 40 + ["rare"] * 5
    names = [str(number) for number in range(85)]
    found = quantiles_by_family(scores, names, families, (0.5, 0.1))
    assert found == {
        "": {0.5: 5.0, 0.1: 5.0},
        "easy": {0.5: 1.0, 0.1: 1.0},
        "hard": {0.5: 5.0, 0.1: 5.0},
        "rare": {0.5: 9.0},  # too few for a risk of 0.1
    }
    folds = np.arange(85) % 5
    inside, closed = held_out_coverage(scores, names, families, folds, 0.1)
    assert inside.all()
    assert closed[:80].all()
    assert not closed[80:].any()  # which is why they are inside


def test_a_family_of_few_groups_is_never_narrower_than_all():
    scores = np.concatenate([np.full(60, 4.0), np.full(12, 1.0)])
    names, families = [str(number) for number in range(72)], ["many"] * 60 + ["few"] * 12
    assert quantiles_by_family(scores, names, families, (0.1,))["few"] == {0.1: 4.0}


def with_families():
    families = {"": 3.0, "easy": 1.0, "hard": 7.0}
    quantiles = {name: {0.5: 0.5 * one, 0.1: one} for name, one in families.items()}
    return Calibration(0.1, 99, quantiles | {"rare": {0.5: 9.0}}, 1.0, 1.0, 0.0)


def test_a_family_that_was_never_seen_has_no_interval():
    found = with_families()
    assert found.quantile("easy") == 1.0
    assert found.quantile("damaged") == np.inf
    assert found.quantile("rare") == np.inf
    assert found.quantile() == 7.0  # the widest of what it may be
    alone = Calibration(0.1, 99, {"": {0.1: 3.0}}, 1.0, 1.0, 0.0)
    assert alone.quantile("damaged") == alone.quantile() == 3.0  # it knows no families


def test_a_risk_takes_the_next_smaller_one_that_is_known_or_nothing():
    found = with_families()
    assert found.quantile("easy", 0.5) == 0.5
    assert found.quantile("easy", 0.3) == 1.0
    assert found.quantile("easy", 1.0 - 0.9) == 1.0
    assert found.quantile("easy", 0.09) == np.inf
    assert found.quantile("rare", 0.5) == 9.0
    assert found.quantile(alpha=0.05) == np.inf


def test_novelty_is_above_one_beyond_all_that_was_seen():
    seen = [moments(row=row, atom=atom) for row, atom in ((0.1, 2.0), (0.5, 1.0))] * 10
    names = [str(number) for number in range(20)]
    found = calibrate(seen, np.ones(20), names, [""] * 20, 0.1)
    assert found.novelty(moments(row=0.5, atom=2.0)) == 1.0
    assert found.novelty(moments(row=0.6, atom=0.1)) == pytest.approx(1.2)
    assert found.novelty(moments(row=0.1, atom=3.0)) == pytest.approx(1.5)


def test_more_of_the_same_defects_is_not_new():
    names = [str(number) for number in range(20)]
    ones = np.ones(20)
    found = calibrate([moments()] * 20, ones, names, [""] * 20, 0.1, is_extensive=True)
    assert found.novelty(moments(row=1e6, total=1e4)) == pytest.approx(1.0)  # a thousand copies
    assert found.novelty(moments(row=1e6, total=1.0)) == pytest.approx(1e6)  # a strain
    assert found.novelty(moments(row=1e6, atom=2.0, total=1e4)) == pytest.approx(2.0)


def with_curves():
    curves = dict.fromkeys(CURVES, (1.0, 2.0))
    wider = dict.fromkeys(CURVES, (2.0, 6.0))
    return Calibration(
        0.1, 40, {"": {0.1: 2.0}}, 1.0, 2.0, 0.0, (100.0, 300.0), {0.1: curves, 0.05: wider}
    )


def test_other_risks_and_temperatures_are_as_the_quantiles_say():
    found = with_curves().own_calibration()
    free = Property.FREE_ENERGY
    assert found.factor(Quantity(free, 100.0), 0.1) == 1.0
    assert found.factor(Quantity(free, 100.0), 0.05) == 2.0
    assert found.factor(Quantity(free, 200.0), 0.07) == 3.0  # the larger of both sides
    for kelvin, risk in ((100.0, 0.04), (99.0, 0.1), (301.0, 0.1)):
        assert found.factor(Quantity(free, kelvin), risk) == np.inf
    assert found.factor(Quantity(Property.LOWEST_FREQUENCY), 0.1) == np.inf


def test_the_zone_centre_of_single_cells_settles_nothing():
    one = replace(with_curves(), sites_per_cell=(2, 10)).own_calibration()
    assert one.factor(Quantity(Property.FREE_ENERGY, 100.0), 0.1) == np.inf
    assert not one.quantiles


@pytest.mark.parametrize("kind", ["cluster_sizes", "sites_per_cell"])
def test_what_is_of_another_size_is_new(kind):
    one = replace(with_curves(), **{kind: (4, 10)})
    old = one.novelty(moments())
    assert [one.novelty(moments(), n) for n in (4, 10)] == [old, old]
    assert [one.novelty(moments(), n) for n in (2, 11)] == pytest.approx([2.0, 1.1])
    assert one.novelty(moments()) == old  # a cell that is not given by size
    assert Calibration.from_dict(json.loads(json.dumps(one.as_dict()))) == one


def test_what_vanishes_at_zero_kelvin_has_no_interval_beside_it():
    one = replace(with_curves(), temperatures_k=(0.0, 300.0)).own_calibration()
    assert one.factor(Quantity(Property.FREE_ENERGY, 150.0), 0.1) == 1.0
    assert one.factor(Quantity(Property.ENTROPY, 150.0), 0.1) == np.inf
    assert one.factor(Quantity(Property.ENTROPY, 300.0), 0.1) == 1.0


@pytest.mark.parametrize(
    "broken",
    [
        {"alpha": "a"},
        {"alpha": 1.5},
        {"n_groups": 0},
        {"n_groups": "many"},
        {"row_leverage_limit": 0.0},
        {"atom_leverage_limit": float("nan")},
        {"coherence_limit": -1.0},
        {"quantiles": [["", [[0.1, -2.0]]]]},
        {"quantiles": [["", [[0.1, float("nan")]]]]},
        {"quantiles": [["", [[0.2, 2.0]]]]},
        {"quantiles": {"": 2.0}},
        {"quantiles": [["easy", [[0.1, 2.0]]]]},
        {"temperatures_k": [300.0, 100.0]},
        {"temperatures_k": [100.0]},
        {"temperatures_k": []},
        {"temperatures_k": 5},
        {"cluster_sizes": [5, 3]},
        {"cluster_sizes": [5]},
        {"cells": {"n_sites": [1.0, 2.0]}},
        {"sites_per_cell": [5, 3]},
        {"sites_per_cell": [1, 3]},
        {"sites_per_cell": [5]},
        {"cells": 5},
        {"thermal_quantiles": [1.0, 2.0]},
        {"thermal_quantiles": []},
        {"thermal_quantiles": [[0.1, {one: [1.0, float("inf")] for one in CURVES}]]},
        {"thermal_quantiles": [[0.1, {CURVES[0]: [1.0, 2.0]}]]},
        {"thermal_quantiles": [[0.2, {one: [1.0, 2.0] for one in CURVES}]]},
    ],
)
def test_broken_numbers_are_refused(broken):
    with pytest.raises(ModelCorruptError):
        Calibration.from_dict(with_curves().as_dict() | broken)


def test_plain_json_there_and_back():
    one = with_curves()
    assert Calibration.from_dict(json.loads(json.dumps(one.as_dict()))) == one
    kelvin = np.array([0.0, 200.0, 900.0])
    found = one.thermal_quantile("entropy_mev_per_k_per_atom", kelvin)
    assert found.tolist() == [1.0, 1.5, 2.0]
