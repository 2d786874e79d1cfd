from dataclasses import replace

import numpy as np
import pytest

from screening.errors import ModelCorruptError, ModelRefusedError, SettingError
from screening.network_potential.last_layer import (
    LastLayer,
    last_layer_of,
    sampled_potentials,
    with_last_layer,
)
from screening.trained_model import TrainedModel


@pytest.fixture
def model():
    return TrainedModel(
        method="mace-potential",
        name="tiny",
        elements=(11, 17),
        arrays={"network/a": np.array([[1.0], [2.0]]), "network/b": np.array([3.0, 4.0, 5.0])},
        state={"frequency_scale": None},
        card={},
        training_set_digest="0" * 64,
        n_training_samples=4,
    )


@pytest.fixture
def layer():
    root = np.random.default_rng(0).normal(size=(5, 5))
    weights = (("network/a", 2), ("network/b", 3))
    return LastLayer(root, weights, 0.1, 0.02, "held-out", 30, 10)


def test_it_travels_with_the_model_and_changes_its_digest(model, layer):
    carrier = with_last_layer(model, layer)
    found = last_layer_of(carrier)
    np.testing.assert_array_equal(found.root, layer.root)
    assert found.as_dict() == layer.as_dict()
    assert last_layer_of(model) is None
    assert carrier.digest != model.digest
    assert with_last_layer(carrier, None).digest == model.digest


def test_the_card_tells_of_the_newest_alone(model, layer):
    told = with_last_layer(replace(model, card={"notes": ["kept"], "seed": 1}), layer)
    assert told.card["notes"] == ["kept", layer.note]
    assert told.card["last_layer"] == {
        "ridge": 0.1,
        "noise_ev_per_angstrom": 0.02,
        "calibration": "held-out",
        "n_cells": 30,
        "n_held_out": 10,
    }
    for said in ("10 held-out cells", "0.02 eV/Å", "30 training cells"):
        assert said in layer.note
    other = replace(layer, calibration="evidence", n_held_out=0)
    assert with_last_layer(told, other).card["notes"] == ["kept", other.note]
    assert "far too small" in other.note
    assert with_last_layer(told, None).card == {"notes": ["kept"], "seed": 1}
    assert with_last_layer(model, None).card == {}


def test_samples_have_the_mean_and_the_covariance(layer):
    drawn = layer.samples(20000, seed=1)
    np.testing.assert_allclose(drawn.mean(axis=0), 0.0, atol=1e-12)
    scale = np.abs(layer.covariance).max()
    np.testing.assert_allclose(np.cov(drawn.T), layer.covariance, atol=0.03 * scale)
    with pytest.raises(SettingError):
        layer.samples(1, seed=0)


def test_sampled_potentials_differ_in_their_readouts_alone(model, layer):
    carrier = with_last_layer(model, layer)
    drawn = sampled_potentials(carrier, 6, seed=2)
    assert len({one.digest for one in drawn} | {model.digest}) == 7
    changes = layer.samples(6, seed=2)
    for one, change in zip(drawn, changes, strict=True):
        assert last_layer_of(one) is None
        assert one.state == model.state
        np.testing.assert_allclose(one.arrays["network/a"], [[1 + change[0]], [2 + change[1]]])
        np.testing.assert_allclose(one.arrays["network/b"] - [3, 4, 5], change[2:])
    mean = np.mean([one.arrays["network/b"] for one in drawn], axis=0)
    np.testing.assert_allclose(mean, [3.0, 4.0, 5.0], rtol=1e-12)
    again = sampled_potentials(carrier, 6, seed=2)
    assert [one.digest for one in again] == [one.digest for one in drawn]


def test_without_one_there_is_nothing_to_draw_from(model, layer):
    with pytest.raises(ModelRefusedError):
        sampled_potentials(model, 4)
    with pytest.raises(SettingError):
        sampled_potentials(with_last_layer(model, layer), 1)


@pytest.mark.parametrize(
    "damage",
    [
        lambda x: replace(x, state={**x.state, "last_layer": "yes"}),
        lambda x: replace(x, state={**x.state, "last_layer": None}),
        lambda x: replace(
            x, state={**x.state, "last_layer": {**x.state["last_layer"], "ridge": "x"}}
        ),
        lambda x: replace(
            x, state={**x.state, "last_layer": {**x.state["last_layer"], "ridge": float("nan")}}
        ),
        lambda x: replace(
            x, state={**x.state, "last_layer": {**x.state["last_layer"], "weights": [["a", 5]]}}
        ),
        lambda x: replace(x, arrays={**x.arrays, "last_layer/root": np.ones((4, 4))}),
        lambda x: replace(x, arrays={**x.arrays, "last_layer/root": np.full((5, 5), np.nan)}),
        lambda x: replace(x, arrays={k: v for k, v in x.arrays.items() if k != "last_layer/root"}),
    ],
)
def test_a_damaged_one_is_refused(model, layer, damage):
    with pytest.raises(ModelCorruptError):
        last_layer_of(damage(with_last_layer(model, layer)))
