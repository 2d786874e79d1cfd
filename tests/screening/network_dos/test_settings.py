from __future__ import annotations

import json
from dataclasses import replace

import pytest

from screening.errors import SettingError
from screening.network_dos.grid import PAPER_GRID
from screening.network_dos.settings import DOS_PRESETS, DosArchitecture, DosNetworkSettings


@pytest.mark.parametrize("name", sorted(DOS_PRESETS))
def test_presets_survive_json(name: str) -> None:
    stored = json.loads(json.dumps(DOS_PRESETS[name].as_dict()))
    assert DosNetworkSettings.from_dict(stored) == DOS_PRESETS[name]
    assert "device" not in stored  # it changes no number


def test_the_published_preset_is_the_published_one() -> None:
    paper = DOS_PRESETS["paper"]
    own = paper.architecture
    assert (own.angle_layers, own.bond_layers, own.hidden, own.embedding) == (6, 6, 256, 64)
    assert (paper.grid, paper.loss, own.axis) == (PAPER_GRID, "mse", "absolute")
    assert (paper.epochs, paper.batch_size, paper.learning_rate) == (600, 64, 1e-3)


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 0},
        {"epochs": 2.5},
        {"epochs": True},
        {"n_members": 1},
        {"learning_rate": float("nan")},
        {"alpha": 0.5},
        {"loss": "mae"},
        {"device": "tpu"},
        {"seed": -1},
    ],
)
def test_settings_out_of_range_are_refused(change) -> None:
    with pytest.raises(SettingError, match=next(iter(change))):
        replace(DosNetworkSettings(), **change)


@pytest.mark.parametrize(
    "change",
    [
        {"hidden": 0},
        {"link": "relu"},
        {"axis": 1},
        {"with_prior": 1},
        {"angle_cutoff_angstrom": 6.0},
        {"bond_cutoff_angstrom": float("inf")},
    ],
)
def test_architectures_out_of_range_are_refused(change) -> None:
    with pytest.raises(SettingError):
        replace(DosArchitecture(), **change)


@pytest.mark.parametrize(
    "stored",
    [{"epoch": 3}, {"architecture": {"layers": 3}}, {"grid": {"n_points": 3}}],
)
def test_what_is_no_setting_is_refused(stored) -> None:
    with pytest.raises(SettingError):
        DosNetworkSettings.from_dict(stored)


HUGE = 10**400  # JSON may hold it, a float may not
GRID = PAPER_GRID.as_dict()


@pytest.mark.parametrize(
    ("stored", "name"),
    [
        ({"architecture": 3}, "architecture"),
        ({"architecture": None}, "architecture"),
        ({"architecture": []}, "architecture"),
        ({"architecture": {"hidden": "64"}}, "hidden"),
        ({"architecture": {"hidden": [64]}}, "hidden"),
        ({"architecture": {"bond_cutoff_angstrom": True}}, "bond_cutoff_angstrom"),
        ({"architecture": {"axis": ["scaled"]}}, "axis"),
        ({"architecture": {"with_prior": 1.0}}, "with_prior"),
        ({"architecture": {"with_prior": "yes"}}, "with_prior"),
        ({"grid": 5}, "grid"),
        ({"grid": None}, "grid"),
        ({"grid": "wide"}, "grid"),
        ({"grid": GRID | {"step_inverse_cm": "20"}}, "step_inverse_cm"),
        ({"grid": GRID | {"lowest_inverse_cm": -HUGE}}, "lowest_inverse_cm"),
        ({"grid": GRID | {"n_points": [66]}}, "n_points"),
        ({"grid": GRID | {"n_points": 66.5}}, "grid"),
        ({"grid": GRID | {"n_bins": 66}}, "n_bins"),
        ({"epochs": None}, "epochs"),
        ({"epochs": "20"}, "epochs"),
        ({"epochs": HUGE}, "epochs"),
        ({"learning_rate": [1e-3]}, "learning_rate"),
        ({"learning_rate": False}, "learning_rate"),
        ({"weight_decay": HUGE}, "weight_decay"),
        ({"alpha": {}}, "alpha"),
        ({"loss": ["mse"]}, "loss"),
        ({"device": 0}, "device"),
        ({"seed": 1.0}, "seed"),
    ],
)
def test_settings_of_a_wrong_type_are_refused_by_their_name(stored, name) -> None:
    with pytest.raises(SettingError) as refused:
        DosNetworkSettings.from_dict(stored)
    assert refused.value.subject == name
    assert refused.value.hint


@pytest.mark.parametrize("name", ["architecture", "grid"])
def test_parts_are_built_and_not_plain(name) -> None:
    with pytest.raises(SettingError, match=f"{name}: {{}} is no"):
        replace(DosNetworkSettings(), **{name: {}})
