from dataclasses import replace

import numpy as np
import pytest
from tiny_networks import CAESIUM, salt_cell, tiny_model

from screening.errors import ModelRefusedError, TrainingSetError
from screening.network_potential.labelled_cells import training_set_digest
from screening.network_potential.last_layer import (
    EARLIER_IS_KNOWN,
    judges_of,
    last_layer_of,
    with_last_layer,
)

pytest.importorskip("torch")


def cells():
    """Rattled cells of two compositions with random forces."""
    random = np.random.default_rng(0)
    salts = [("NaCl", 11), ("NaCl", 11), ("CsCl", CAESIUM)]
    return [
        salt_cell(seed, cation=cation, group=group, forces=random.normal(size=(8, 3)))
        for seed, (group, cation) in enumerate(salts)
    ]


@pytest.fixture(scope="module")
def trained():
    """A potential that says it was trained on these cells."""
    return replace(
        tiny_model(),
        card={"split": {"held_out_groups": ["CsCl"]}},
        training_set_digest=training_set_digest(cells()),
    )


def test_it_is_fitted_in_the_split_of_the_card(trained):
    from screening.network_potential.fitted_last_layer import with_fitted_last_layer
    from screening.network_potential.force_uncertainty import fit_last_layer

    heard = []
    own = cells()
    found = with_fitted_last_layer(
        trained, own[::-1], device="auto", progress=lambda *told: heard.append(told)
    )
    layer = last_layer_of(found)
    assert (layer.n_cells, layer.n_held_out, layer.calibration) == (2, 1, "held-out")
    assert heard == [(1, 3), (2, 3), (3, 3)]
    assert found.card["notes"] == [layer.note]
    assert with_last_layer(found, None).digest == trained.digest
    wanted = fit_last_layer(trained, own[:2], own[2:])
    np.testing.assert_allclose(
        layer.covariance, wanted.covariance, rtol=1e-6, atol=1e-9 * np.abs(wanted.covariance).max()
    )


def test_cells_of_another_training_are_refused(trained):
    from screening.network_potential.fitted_last_layer import with_fitted_last_layer

    with pytest.raises(TrainingSetError, match="these 2 cells"):
        with_fitted_last_layer(trained, cells()[:2])
    with pytest.raises(ModelRefusedError, match="held out"):
        with_fitted_last_layer(replace(trained, card={}), cells())


@pytest.mark.parametrize(
    "learned",
    [{"training_groups": ["CsCl", "NaCl"], EARLIER_IS_KNOWN: True}, {EARLIER_IS_KNOWN: False}],
)
def test_what_the_weights_may_have_learned_before_does_not_judge_them(trained, learned):
    from screening.network_potential.fitted_last_layer import with_fitted_last_layer
    from screening.network_potential.force_uncertainty import fit_last_layer

    split = {**trained.card["split"], **learned}
    own = cells()
    found = with_fitted_last_layer(replace(trained, card={"split": split}), own)
    layer = last_layer_of(found)
    assert (layer.n_cells, layer.n_held_out, layer.calibration) == (2, 0, "evidence")
    assert found.card["last_layer"]["calibration"] == "evidence"
    assert "likely too small" in found.card["notes"][0]
    assert "errors of" not in found.card["notes"][0]
    wanted = fit_last_layer(trained, own[:2])
    assert layer.noise_ev_per_angstrom == pytest.approx(wanted.noise_ev_per_angstrom)


def test_compositions_that_are_new_to_the_weights_judge_them(trained):
    groups = {"held_out_groups": ["CsCl", "NaCl"], "training_groups": ["NaCl", "MgO"]}
    model = replace(trained, card={"split": groups})
    assert [one.group for one in judges_of(model, cells())] == ["CsCl"]
    known = replace(trained, card={"split": {**groups, EARLIER_IS_KNOWN: True}})
    assert [one.group for one in judges_of(known, cells())] == ["CsCl"]
    unknown = replace(trained, card={"split": {**groups, EARLIER_IS_KNOWN: False}})
    assert judges_of(unknown, cells()) == []
    assert judges_of(replace(trained, card={}), cells()) == []
