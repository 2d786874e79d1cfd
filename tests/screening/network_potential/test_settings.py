from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from screening.errors import SettingError
from screening.network_potential.settings import (
    MACE_PRESETS,
    LossWeights,
    MaceArchitecture,
    MaceTrainingSettings,
    TrainingStage,
)


@pytest.mark.parametrize("preset", MACE_PRESETS.values(), ids=MACE_PRESETS)
def test_presets_go_there_and_back(preset):
    assert MaceTrainingSettings.from_dict(preset.as_dict()) == preset
    assert MaceArchitecture.from_dict(preset.architecture.as_dict()) == preset.architecture


def test_the_preset_of_the_publication_is_that_of_the_publication():
    paper = MACE_PRESETS["paper"]
    one = paper.architecture
    assert (one.channels, one.max_l, one.correlation, one.n_interactions) == (64, 1, 3, 2)
    assert one.cutoff_angstrom == 6.0
    assert paper.loss == "squared"
    assert (paper.seed, paper.valid_fraction, paper.element_sharing) == (123, 0.05, 0.0)
    assert paper.batch_atoms == 4 * 150  # cells of 100 to 200 atoms
    assert [(one.epochs, one.learning_rate) for one in paper.stages] == [(100, 0.01), (100, 0.001)]
    assert [one.weights for one in paper.stages] == [
        LossWeights(forces=1000.0, energy=0.0),
        LossWeights(forces=100.0, energy=0.0),
    ]


def test_the_preset_with_energies_goes_on_as_the_publication_did():
    paper, with_energies = MACE_PRESETS["paper"], MACE_PRESETS["paper-fe"]
    [stage] = with_energies.stages
    assert stage.epochs == 100
    assert stage.weights == LossWeights(forces=100.0, energy=50.0)
    assert replace(with_energies, stages=paper.stages) == paper


def test_stages_follow_one_another():
    weights = LossWeights(forces=2.0)
    settings = MaceTrainingSettings(
        stages=(TrainingStage(1, 1.0, 0.5), TrainingStage(3, 0.1, 0.01, weights)),
        warm_up_steps=9,
    )
    assert settings.n_epochs == 4
    assert settings.stage_at(0.0) == (settings.stages[0], 0.0)
    assert settings.stage_at(0.125) == (settings.stages[0], 0.5)
    assert settings.stage_at(0.625) == (settings.stages[1], 0.5)
    assert settings.stage_at(2.0) == (settings.stages[1], 1.0)
    rates = [settings.learning_rate_at(share, 100) for share in (0.0, 0.125, 0.25, 0.625, 1.0)]
    assert rates == pytest.approx([1.0, 0.75, 0.1, 0.055, 0.01])
    assert settings.learning_rate_at(0.0, 0) == pytest.approx(0.1)


@pytest.mark.parametrize(
    "given",
    [
        {"stages": []},
        {"loss": "huber"},
        {"precision": "float16"},
        {"device": "tpu"},
        {"batch_atoms": 0},
        {"batch_atoms": True},
        {"clip": 0.0},
        {"ema_decay": 1.0},
        {"valid_fraction": -0.1},
        {"max_seconds": float("nan")},
        {"seed": 1.5},
        {"epoch": 3},
        {"architecture": {"channels": 0}},
        {"architecture": {"correlation": 4}},
        {"architecture": {"max_l": 3, "max_ell": 2}},
        {"architecture": {"cutoff_angstrom": "5"}},
        {"architecture": {"radial_mlp": [0]}},
        {"stages": [{"epochs": 0}]},
        {"stages": [{"learning_rate": 0.0}]},
        {"stages": [{"weights": {"forces": 0.0}}]},
        {"stages": [{"weights": {"energy": -1.0}}]},
    ],
)
def test_settings_out_of_range_are_refused(given):
    with pytest.raises(SettingError) as refused:
        MaceTrainingSettings.from_dict(given)
    assert refused.value.hint


HUGE = 10**400  # JSON may hold it, a float may not


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"architecture": 5}, "architecture"),
        ({"architecture": None}, "architecture"),
        ({"architecture": []}, "architecture"),
        ({"architecture": {"elements": "abc"}}, "elements"),
        ({"architecture": {"elements": 11}}, "elements"),
        ({"architecture": {"elements": ["Na"]}}, "elements"),
        ({"architecture": {"elements": [True]}}, "elements"),
        ({"architecture": {"elements": [11.5]}}, "elements"),
        ({"architecture": {"elements": [0]}}, "elements"),
        ({"architecture": {"elements": [119]}}, "elements"),
        ({"architecture": {"radial_mlp": 5}}, "radial_mlp"),
        ({"architecture": {"radial_mlp": "64"}}, "radial_mlp"),
        ({"architecture": {"radial_mlp": {"64": 64}}}, "radial_mlp"),
        ({"architecture": {"radial_mlp": [[64]]}}, "radial_mlp"),
        ({"architecture": {"channels": [16]}}, "channels"),
        ({"architecture": {"channels": 16.0}}, "channels"),
        ({"architecture": {"cutoff_angstrom": True}}, "cutoff_angstrom"),
        ({"architecture": {"cutoff_angstrom": HUGE}}, "cutoff_angstrom"),
        ({"architecture": {"layers": 2}}, "layers"),
        ({"stages": 5}, "stages"),
        ({"stages": None}, "stages"),
        ({"stages": "abc"}, "stages"),
        ({"stages": {"epochs": 5}}, "stages"),
        ({"stages": [5]}, "stages"),
        ({"stages": [[]]}, "stages"),
        ({"stages": [{"epochs": None}]}, "epochs"),
        ({"stages": [{"learning_rate": "0.1"}]}, "learning_rate"),
        ({"stages": [{"rate": 0.1}]}, "rate"),
        ({"stages": [{"weights": 5}]}, "weights"),
        ({"stages": [{"weights": None}]}, "weights"),
        ({"stages": [{"weights": [1.0]}]}, "weights"),
        ({"stages": [{"weights": {"forces": "a"}}]}, "forces"),
        ({"stages": [{"weights": {"forces": True}}]}, "forces"),
        ({"stages": [{"weights": {"energy": [1.0]}}]}, "energy"),
        ({"stages": [{"weights": {"stress": HUGE}}]}, "stress"),
        ({"stages": [{"weights": {"force": 1.0}}]}, "force"),
        ({"ema_decay": "x"}, "ema_decay"),
        ({"ema_decay": False}, "ema_decay"),
        ({"ema_decay": HUGE}, "ema_decay"),
        ({"valid_fraction": None}, "valid_fraction"),
        ({"valid_fraction": [0.1]}, "valid_fraction"),
        ({"element_sharing": {}}, "element_sharing"),
        ({"weight_decay": "x"}, "weight_decay"),
        ({"weight_decay": None}, "weight_decay"),
        ({"clip": HUGE}, "clip"),
        ({"max_seconds": "60"}, "max_seconds"),
        ({"loss": ["squared"]}, "loss"),
        ({"device": {}}, "device"),
        ({"precision": 32}, "precision"),
        ({"seed": HUGE}, "seed"),
        ({"split_seed": "x"}, "split_seed"),
    ],
)
def test_settings_of_a_wrong_type_are_refused_by_their_name(given, name):
    with pytest.raises(SettingError) as refused:
        MaceTrainingSettings.from_dict(given)
    assert refused.value.subject == name
    assert refused.value.hint


def test_what_is_refused_is_shown_with_what_may_be_given():
    with pytest.raises(SettingError) as refused:
        MaceTrainingSettings.from_dict({"stages": [{"weights": 5}]})
    assert str(refused.value) == (
        "weights: 5. Give an object with any of energy, forces, hessian, stress"
    )


def test_elements_are_kept_in_order():
    assert MaceArchitecture(elements=(17, 11)).elements == (11, 17)
    assert replace(MaceArchitecture(), elements=[8]).elements == (8,)
    assert MaceArchitecture(elements=tuple(np.array([17, 11]))).as_dict()["elements"] == [11, 17]
