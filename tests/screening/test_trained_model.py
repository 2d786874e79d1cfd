"""Trained models: what their digest covers, and how they are called."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from screening.errors import SettingError
from screening.trained_model import METHOD_PREFIXES, TrainedModel, method_and_name, model_name

MODEL = TrainedModel(
    method="linear-descriptor-entropy",
    name="clusters",
    elements=(18,),
    arrays={"weights": np.arange(3.0), "scale": np.ones(2)},
    state={"alpha": 0.5},
    card={"mae": 0.1},
    training_set_digest="a" * 64,
    n_training_samples=3,
)


@pytest.mark.parametrize(
    "change",
    [
        {"method": "random-forest-force-constants"},
        {"elements": (18, 36)},
        {"state": {"alpha": 0.6}},
        {"arrays": {"weights": np.arange(3.0)}},
        {"arrays": {"weights": np.array([0.0, 1.0, 3.0]), "scale": np.ones(2)}},
        {"arrays": {"weights": np.arange(3), "scale": np.ones(2)}},
        {"arrays": {"weights": np.arange(3.0)[:, None], "scale": np.ones(2)}},
        {"arrays": {"weight": np.arange(3.0), "scale": np.ones(2)}},
    ],
)
def test_the_digest_covers_what_changes_a_prediction(change):
    assert replace(MODEL, **change).digest != MODEL.digest


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"card": {}},
        {"training_set_digest": "b" * 64},
        {"n_training_samples": 4},
        {"arrays": {"scale": np.ones(2), "weights": np.arange(6.0)[::2] / 2.0}},
    ],
)
def test_the_digest_leaves_out_what_does_not(change):
    assert replace(MODEL, **change).digest == MODEL.digest


@pytest.mark.parametrize(("prefix", "method"), METHOD_PREFIXES.items())
def test_names_go_there_and_back(prefix, method):
    assert model_name(method, "K-Zn-F_2.1+x") == f"{prefix}:K-Zn-F_2.1+x"
    assert method_and_name(f"{prefix}:K-Zn-F_2.1+x") == (method, "K-Zn-F_2.1+x")


@pytest.mark.parametrize("name", ["", "a@b", "a b", "../a", "a/b", "a:b", ".hidden", "-x", "a\n"])
def test_a_name_is_also_that_of_a_file_and_of_a_version(name):
    with pytest.raises(SettingError):
        model_name("linear-descriptor-entropy", name)
    with pytest.raises(SettingError):
        method_and_name(f"ldml:{name}")


@pytest.mark.parametrize("text", ["", "clusters", "chgnet:0.3.0", ":x", "ldml"])
def test_what_names_no_trained_model_is_refused(text):
    with pytest.raises(SettingError, match="names no trained model"):
        method_and_name(text)


def test_an_unknown_method_is_refused():
    with pytest.raises(SettingError, match="no such method"):
        model_name("potential-phonons", "x")
