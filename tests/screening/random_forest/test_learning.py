import numpy as np
import pytest
from random_springs import QUICK, spring_crystals

from screening.random_forest.learning import (
    best_strength,
    candidates_of,
    fit_model,
    fold_groups,
    training_data,
)
from screening.random_forest.settings import RandomForestSettings

CRYSTALS = spring_crystals(12)


def data(variant, **changes):
    return training_data(CRYSTALS, RandomForestSettings(variant=variant, **(QUICK | changes)))


def test_folds_are_of_structures_and_follow_the_seed():
    one = data("rf_frame")
    assert sorted(np.bincount(one.folds)) == [3, 3, 3, 3]
    assert not np.array_equal(one.folds, data("rf_frame", seed=1).folds)
    for rows in one.pair_rows.values():
        assert len(rows.rows) == len(rows.targets) == len(rows.folds)
        counts = np.bincount(rows.folds)
        assert len(set(counts)) == 1  # all pairs of a structure, and as many structures each


def test_groups_of_folds_share_all_of_them():
    assert fold_groups(range(5), 2) == [[0, 2, 4], [1, 3]]
    assert fold_groups([3], 4) == [[3]]


def test_auto_is_a_choice_among_those_that_turn():
    assert candidates_of(RandomForestSettings()) == ("tensor_ridge", "rf_frame")


@pytest.mark.parametrize("variant", ["tensor_ridge", "rf_frame", "rf_component", "rf_multi"])
def test_a_fit_sees_its_folds_only(variant):
    """What stands in another fold does not move a prediction by one bit."""
    changed = [
        one if fold else type(one)(**(vars(one) | {"hessian_ev_per_angstrom2": np.eye(18)}))
        for one, fold in zip(CRYSTALS, data(variant).folds, strict=True)
    ]
    settings = RandomForestSettings(variant=variant, **QUICK)
    other = training_data(changed, settings)
    kinds = other.kinds
    fits = [fit_model(x, variant, [1, 2, 3], kinds=kinds) for x in (data(variant), other)]
    found = [fit.blocks(CRYSTALS[0].structure, kinds) for fit in fits]
    for kind in kinds:
        assert found[0][kind].shape[0] == 1 + QUICK["n_members"]
        np.testing.assert_array_equal(found[0][kind], found[1][kind])


def test_forests_learn_the_diagonal_where_they_are_asked_to():
    settings = RandomForestSettings(variant="rf_component", on_site="model", **QUICK)
    fitted = fit_model(training_data(CRYSTALS, settings), "rf_component", range(4), kinds=[])
    on_site = fitted.on_site(CRYSTALS[0].structure)
    assert on_site.shape == (3, 6, 3, 3)
    truth = CRYSTALS[0].hessian_ev_per_angstrom2.reshape(6, 3, 6, 3)
    diagonal = truth[np.arange(6), :, np.arange(6), :]
    assert np.abs(on_site[0] - diagonal).mean() < 0.5 * np.abs(diagonal - diagonal.mean()).mean()


@pytest.mark.parametrize("emphasis", ["soft_modes", "components"])
def test_the_penalty_is_chosen_within_the_folds(emphasis):
    """Springs are in the span of the tensors: what shrinks them much is never the best."""
    training = data("tensor_ridge", emphasis=emphasis, ridge_strengths=(1e-5, 10.0))
    assert best_strength(training, [0, 1, 2]) == 1e-5
    assert best_strength(training, [2]) == 10.0  # one fold says nothing of itself
    alone = data("tensor_ridge", ridge_strengths=(0.5,))
    assert best_strength(alone, [0, 1, 2]) == 0.5
