from dataclasses import replace

import numpy as np
import pytest
from random_springs import QUICK, spring_crystals

from screening.random_forest import effort as effort_module
from screening.random_forest.blocks import kinds_of
from screening.random_forest.effort import TrainingEffort, training_effort
from screening.random_forest.learning import fit_model, inner_groups, training_data
from screening.random_forest.settings import MOST_TENSORS, RandomForestSettings
from screening.random_forest.tensors import tensor_layout
from screening.random_forest.training import train_force_constants

CRYSTALS = spring_crystals(12)
SIX = (13, 28, 29, 46, 47, 79)


def effort(variant, **changes):
    settings = RandomForestSettings(variant=variant, **(QUICK | changes))
    return training_effort(training_data(CRYSTALS, settings))


def test_matrices_are_what_fills_the_memory_of_a_ridge():
    settings = RandomForestSettings(variant="tensor_ridge", **QUICK)
    data = training_data(CRYSTALS, settings)
    size = len(data.equations[0].targets)
    assert effort("tensor_ridge").memory_bytes == 8 * size**2 * (settings.n_folds + 3)


@pytest.mark.parametrize("variant", ["tensor_ridge", "rf_frame", "auto"])
def test_all_fits_are_counted(variant, monkeypatch):
    """Each takes as long as the one that was tried, on a clock that always says one second."""
    monkeypatch.setattr(effort_module, "_seconds", lambda _: 1.0)
    few, many = effort(variant), effort(variant, n_folds=12, min_structures=12)
    # three times the folds; what they predict of each other grows as one fold less: 11 by 3
    assert 2.0 < many.seconds / few.seconds < 11.0 / 3.0
    assert few.seconds > 10.0


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "1 s"), (42.0, "42 s"), (130.0, "3 min"), (9000.0, "2.5 h")],
)
def test_people_read_whole_numbers(seconds, said):
    assert str(TrainingEffort(seconds, 3_600_000_000)) == f"about {said} and 3.6 GB"
    assert str(TrainingEffort(seconds, 10**9, is_most=True)) == f"at most {said} and 1.0 GB"


def test_what_starting_a_forest_takes_is_not_taken_for_trees(monkeypatch):
    """On a clock by which a forest takes 3 s to start and 0.01 s for each tree."""
    settings = RandomForestSettings(variant="rf_frame", **(QUICK | {"n_trees": 100}))
    data = training_data(CRYSTALS, settings)
    clock = iter([3.0 + 0.02, 3.0 + 0.18])
    monkeypatch.setattr(effort_module, "_seconds", lambda _: next(clock, 0.0))
    n_kinds, folds = len(data.pair_rows), settings.n_folds
    n_forests = n_kinds * (folds * (settings.n_inner_folds + 1) + 1)
    seconds = training_effort(data).seconds
    assert 3.0 * n_forests < seconds < 3.0 * n_forests + 1.0 * n_forests * 2.0
    assert not training_effort(data).is_most


def test_forests_that_may_not_be_chosen_make_a_bound_until_a_fold_has_shown():
    told = []
    settings = RandomForestSettings(**QUICK)
    train_force_constants(CRYSTALS, settings, "x", lambda *one: told.append(one))
    folds = [one for one in told if one[0].startswith("cross-validation, ")]
    assert [one[1:] for one in folds] == [(k, settings.n_folds) for k in range(5)]
    assert folds[0][0].startswith("cross-validation, at most ")
    assert {one[0] for one in folds[1:]} == {folds[1][0]}
    assert folds[1][0].startswith("cross-validation, about ")
    assert TrainingEffort(500.0, 10**9, is_most=True).after_first_fold(9.0, 10) == TrainingEffort(
        90.0, 10**9
    )


def test_it_is_told_before_the_first_fold():
    told = []
    settings = RandomForestSettings(variant="tensor_ridge", **QUICK)
    train_force_constants(spring_crystals(12), settings, "x", lambda *one: told.append(one))
    folds = [one for one in told if one[0].startswith("cross-validation, about ")]
    assert [one[1:] for one in folds] == [(k, settings.n_folds) for k in range(5)]
    assert "GB" in folds[0][0]


def test_paths_are_left_out_where_elements_are_many():
    default, asked = RandomForestSettings(), RandomForestSettings(three_body=True)
    assert tensor_layout(SIX[:4], default).paths is not None
    few, many = (tensor_layout(SIX, one) for one in (default, asked))
    assert few.paths is None
    assert many.paths is not None
    count = sum(few.n_tensors((a, b)) for a in SIX for b in SIX if a <= b)
    assert count < MOST_TENSORS


def test_inner_folds_are_two_where_pairs_of_elements_are_many():
    data = training_data(CRYSTALS, RandomForestSettings(variant="tensor_ridge"))
    assert len(inner_groups(data, range(9))) == 3
    many = replace(data, kinds=tuple(kinds_of(SIX)))
    assert [sorted(x) for x in inner_groups(many, range(4))] == [[0, 2], [1, 3]]


def test_a_fit_that_is_known_is_not_made_again(monkeypatch):
    from screening.random_forest.ridge import NormalEquations

    settings = RandomForestSettings(variant="tensor_ridge", **QUICK)
    data = training_data(CRYSTALS, settings)
    first = fit_model(data, "tensor_ridge", [0, 1], kinds=data.kinds, strength=0.01)
    monkeypatch.setattr(NormalEquations, "solve", None)
    again = fit_model(data, "tensor_ridge", [0, 1], kinds=data.kinds, strength=0.01)
    for kind in data.kinds:
        np.testing.assert_array_equal(first.coefficients[kind], again.coefficients[kind])
