import json

import numpy as np
import pytest
from random_springs import (
    QUICK,
    mesh_crystals,
    spring_crystals,
    trained_on_meshes,
    trained_on_springs,
)

from screening.errors import TrainingSetError
from screening.random_forest import RandomForestSettings, train_force_constants
from screening.random_forest.learning import training_data
from screening.random_forest.model import RandomForestForceConstants
from screening.uncertainty.conformal import coverage_band

SETTINGS = RandomForestSettings(variant="tensor_ridge", **QUICK)


def changed(one, **values):
    return type(one)(**(vars(one) | values))


def scores(model):
    return {row["quantity"]: row for row in model.card["scores"]}


def test_springs_are_learned():
    model = trained_on_springs()
    found = scores(model)
    assert found["force_constant_components"]["mae"] < 0.03
    assert found["entropy_300k"]["pearson"] > 0.99
    assert model.card["clipped_modes_per_cell"] < 0.2
    assert model.card["n_structures"] == model.n_training_samples == 30
    assert model.elements == (11, 17)
    assert model.method == "random-forest-force-constants"


def test_a_forest_in_the_frame_learns_less_and_is_calibrated():
    model = trained_on_springs("rf_frame")
    assert scores(model)["force_constant_components"]["skill"] > 0.1
    low, _ = coverage_band(22, 0.1, 0.998, 30)
    assert all(one >= low for one in model.card["held_out_coverage_300k"].values())


def test_the_card_lists_what_was_learned_and_what_was_held_out():
    card = trained_on_springs().card
    assert card["training_ids"] == [f"crystal-{n:03d}" for n in range(30)]
    assert card["intervals_hold"] == "zone_centre"
    assert "zone-centre sum of the same cell" in " ".join(card["notes"])
    assert 0.0 <= card["held_out_refused"] <= 0.2
    for name, points in card["parity"].items():
        row = scores(trained_on_springs())[name]
        assert len(points["reference"]) == len(points["predicted"]) <= 3000
        errors = np.abs(np.subtract(points["reference"], points["predicted"]))
        assert errors.mean() == pytest.approx(row["mae"], rel=0.1)
        assert points["unit"] == row["unit"]
    assert set(card["parity"]) == {
        "entropy_300k",
        "free_energy_300k",
        "heat_capacity_300k",
        "force_constant_components",
    }


def test_intervals_hold_mesh_sums_where_all_structures_have_them():
    card = trained_on_meshes().card
    assert card["intervals_hold"] == "mesh"
    found = scores(trained_on_meshes())
    assert found["entropy_300k_mesh"]["mae"] > found["entropy_300k"]["mae"]
    assert "entropy_300k_mesh" not in scores(trained_on_springs())
    mixed = [*mesh_crystals(12)[:11], spring_crystals(12)[11]]
    model = train_force_constants(mixed, SETTINGS, "mixed")
    assert model.card["intervals_hold"] == "zone_centre"


def test_structures_of_one_formula_share_a_fold_where_formulas_are_enough():
    crystals = [
        one
        for n in range(1, 11)
        for one in spring_crystals(2, composition=f"Na{n} Cl1", volume_angstrom3=21.0 * (n + 1))
    ]
    found = training_data(crystals, SETTINGS)
    assert len(set(found.groups)) == 10
    assert np.array_equal(found.folds[::2], found.folds[1::2])
    assert len(set(training_data(crystals[:12], SETTINGS).groups)) == 12


def test_unknown_forces_are_accepted():
    crystals = [changed(one, residual_force_ev_per_angstrom=None) for one in spring_crystals(12)]
    assert train_force_constants(crystals, SETTINGS, "x").n_training_samples == 12


def test_card_and_state_are_plain_json_without_dots():
    model = trained_on_springs()
    for part in (model.card, model.state):
        assert json.loads(json.dumps(part, allow_nan=False)) == part

    def keys(value):
        if isinstance(value, dict):
            return [*value, *(key for one in value.values() for key in keys(one))]
        return [key for one in value for key in keys(one)] if isinstance(value, list) else []

    assert not [key for key in keys([model.card, model.state]) if "." in key]
    assert all(np.all(np.isfinite(one)) for one in model.arrays.values())


def test_the_order_of_the_training_set_does_not_matter():
    crystals = spring_crystals(14)
    one = train_force_constants(crystals, SETTINGS, "one")
    other = train_force_constants(crystals[::-1], SETTINGS, "other")
    assert one.digest == other.digest
    assert one.training_set_digest == other.training_set_digest
    assert (
        train_force_constants(
            crystals, RandomForestSettings(variant="tensor_ridge", **(QUICK | {"seed": 1})), "one"
        ).digest
        != one.digest
    )


def test_what_is_of_no_use_is_left_out_with_its_reason():
    crystals = list(spring_crystals(16))
    crystals[0] = changed(crystals[0], residual_force_ev_per_angstrom=0.3)
    crystals[1] = changed(crystals[1], hessian_ev_per_angstrom2=np.eye(12))
    crystals[2] = changed(
        crystals[2], hessian_ev_per_angstrom2=-crystals[2].hessian_ev_per_angstrom2
    )
    crystals.append(changed(crystals[5], material_id="copy"))
    model = train_force_constants(crystals, SETTINGS, "some")
    reasons = {one["material_id"]: one["reason"] for one in model.card["rejected"]}
    assert set(reasons) == {"crystal-000", "crystal-001", "crystal-002"}
    assert "residual force" in reasons["crystal-000"]
    assert "shape" in reasons["crystal-001"]
    assert "negative mode" in reasons["crystal-002"]
    assert (model.card["n_given"], model.card["n_duplicates"]) == (17, 1)
    assert model.n_training_samples == 13


@pytest.mark.parametrize("count", [0, 3, 9])
def test_too_few_structures_are_refused(count):
    with pytest.raises(TrainingSetError, match=f"{count} different structures") as refused:
        train_force_constants(spring_crystals(12)[:count], SETTINGS, "few")
    assert refused.value.hint


def test_three_copies_are_not_three_structures():
    one = spring_crystals(12)[0]
    copies = [changed(one, material_id=f"copy-{n}") for n in range(20)]
    with pytest.raises(TrainingSetError, match="1 different structures of 20"):
        train_force_constants(copies, SETTINGS, "copies")


def test_each_name_stands_for_one_structure():
    crystals = spring_crystals(12)
    for labels in (
        [*crystals, crystals[3]],
        [changed(one, material_id="same") for one in crystals],
    ):
        with pytest.raises(TrainingSetError, match="Hessians") as refused:
            train_force_constants(labels, SETTINGS, "twice")
        assert refused.value.subject in ("crystal-003", "same")


def test_sources_are_not_mixed():
    crystals = list(spring_crystals(12))
    crystals[0] = changed(crystals[0], source="PBE")
    with pytest.raises(TrainingSetError, match="several sources"):
        train_force_constants(crystals, SETTINGS, "mixed")


def test_a_coverage_that_needs_more_structures_is_refused():
    settings = RandomForestSettings(variant="tensor_ridge", **(QUICK | {"coverage": 0.99}))
    with pytest.raises(TrainingSetError, match="at least 99"):
        train_force_constants(spring_crystals(12), settings, "sure")


@pytest.mark.slow
def test_sixty_crystals_of_three_elements_are_learned():
    crystals = spring_crystals(60, seed=3, composition="K2 Zn2 F6", volume_angstrom3=165.0)
    changes = QUICK | {"n_folds": 5, "n_trees": 40, "n_inner_folds": 3, "n_members": 4}
    bounds = {"tensor_ridge": (0.03, 1.0), "rf_frame": (0.12, 1.0)}
    for variant, (mae, clipped) in bounds.items():
        settings = RandomForestSettings(variant=variant, **changes)
        model = train_force_constants(crystals, settings, variant)
        assert scores(model)["force_constant_components"]["mae"] < mae
        assert model.card["clipped_modes_per_cell"] < clipped
        low, _ = coverage_band(48, 0.1, 0.998, 60)
        assert all(one >= low for one in model.card["held_out_coverage_300k"].values())


@pytest.mark.parametrize("variant", ["tensor_ridge", "rf_frame", "rf_multi", "rf_component"])
def test_crystals_may_lack_an_element_or_a_pair(variant):
    """Of one formula there are two sodium atoms in no cell, of another no chlorine."""
    crystals = [
        *spring_crystals(7, composition="Na1 Cl3", volume_angstrom3=80.0),
        *spring_crystals(7, composition="Na3", volume_angstrom3=80.0, seed=1),
    ]
    crystals = [changed(one, material_id=str(n)) for n, one in enumerate(crystals)]
    settings = RandomForestSettings(variant=variant, **QUICK)
    model = RandomForestForceConstants.from_trained(
        train_force_constants(crystals, settings, "mixed")
    )
    for one in (crystals[0], crystals[7]):
        assert np.all(np.isfinite(model.spectrum(one.structure).frequencies_thz))
