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
    [{"epoch": 3}, {"architecture": {"layers": 3}}, {"architecture": 3}, {"grid": {"n_points": 3}}],
)
def test_what_is_no_setting_is_refused(stored) -> None:
    with pytest.raises(SettingError):
        DosNetworkSettings.from_dict(stored)
