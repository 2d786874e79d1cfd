from functools import cache

import numpy as np
from random_springs import QUICK, spring_crystals

from screening.random_forest.blocks import atom_pairs, blocks_of
from screening.random_forest.learning import training_data
from screening.random_forest.scores import mean_block_hessians, score_table
from screening.random_forest.settings import RandomForestSettings
from screening.random_forest.validation import assemble, cross_validate, reference_frequencies

CRYSTALS = spring_crystals(12)


def data(crystals=CRYSTALS, variant="tensor_ridge", **changes):
    return training_data(crystals, RandomForestSettings(variant=variant, **(QUICK | changes)))


@cache
def plain():
    """Cross-validate the ridge once, and note what is told meanwhile."""
    told = []
    return cross_validate(data(), lambda *step: told.append(step)), told


def test_a_structure_has_no_part_in_its_own_prediction():
    """Nor has its Hessian in choices and corrections that its prediction went through."""
    spoiled = list(CRYSTALS)
    other = 5.0 * CRYSTALS[3].hessian_ev_per_angstrom2
    spoiled[3] = type(other_one := CRYSTALS[3])(
        **(vars(other_one) | {"hessian_ev_per_angstrom2": other})
    )
    before, after = plain()[0], cross_validate(data(spoiled))
    np.testing.assert_array_equal(before.hessians[3], after.hessians[3])
    np.testing.assert_array_equal(
        before.spectra[3].frequencies_thz, after.spectra[3].frequencies_thz
    )
    changed = [
        not np.array_equal(a, b) for a, b in zip(before.hessians, after.hessians, strict=True)
    ]
    assert sum(changed) >= 9


def test_progress_is_told_fold_by_fold():
    told = plain()[1]
    assert [one[1:] for one in told] == [(n, 4) for n in range(5)]
    [stage] = {one[0] for one in told}
    assert stage.startswith("cross-validation, about ")


def test_auto_takes_the_ridge_for_springs():
    found = cross_validate(data(variant="auto"))
    assert set(found.choice.values()) == {"tensor_ridge"}


def test_blocks_are_taken_from_the_variant_of_their_elements():
    numbers = np.array([11, 17, 17])
    hessians = {"tensor_ridge": np.ones((1, 9, 9)), "rf_frame": np.full((1, 9, 9), 2.0)}
    found = assemble(numbers, hessians, {(11, 17): "rf_frame", (17, 17): "tensor_ridge"})
    assert np.all(blocks_of(found[0], atom_pairs(numbers, (11, 17))) == 2.0)
    assert np.all(blocks_of(found[0], atom_pairs(numbers, (17, 17))) == 1.0)


def test_the_table_scores_what_was_held_out():
    training = data()
    validation = plain()[0]
    rows = {row["quantity"]: row for row in score_table(training, validation)}
    errors = [
        np.abs(found[0] - one.hessian_ev_per_angstrom2).mean()
        for found, one in zip(validation.hessians, CRYSTALS, strict=True)
    ]
    assert np.isclose(rows["all_hessian_components"]["mae"], np.mean(errors))
    assert rows["force_constant_components"]["count"] == 12 * 15 * 9
    assert rows["entropy_300k"]["count"] == 12
    assert rows["entropy_300k"]["skill"] > 0.9
    assert rows["entropy_300k"]["mean_value_mae"] > rows["entropy_300k"]["mad"]
    assert rows["entropy_300k"]["published"]["pearson"] == 0.80
    assert rows["all_hessian_components"]["published"] is None
    assert rows["force_constant_trace"]["mean_block_mae"] > 10 * rows["force_constant_trace"]["mae"]


def test_the_mean_block_is_that_of_the_other_folds():
    training = data()
    found = mean_block_hessians(training)
    pairs = atom_pairs(np.array([11] * 3 + [17] * 3), (17, 17))
    others = [
        blocks_of(one.hessian_ev_per_angstrom2, _pairs(one, (17, 17)))
        for one, fold in zip(CRYSTALS, training.folds, strict=True)
        if fold != training.folds[0]
    ]
    own = blocks_of(found[0], _pairs(CRYSTALS[0], (17, 17)))
    assert len(own) == len(pairs)
    np.testing.assert_allclose(own[0], np.concatenate(others).mean(axis=0))


def _pairs(one, kind):
    return atom_pairs(np.array([site.specie.Z for site in one.structure]), kind)


def test_references_are_the_modes_of_the_repaired_hessians():
    found = reference_frequencies(data())
    assert all(np.all(one >= 0.0) and np.all(one[:3] < 1e-3) for one in found)
