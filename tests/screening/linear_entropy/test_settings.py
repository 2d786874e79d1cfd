from __future__ import annotations

import pytest

from screening.errors import SettingError
from screening.linear_entropy.settings import LinearEntropySettings


@pytest.mark.parametrize(
    "given",
    [
        {"target": "energy"},
        {"target": 3},
        {"n_folds": 1},
        {"n_folds": "a"},
        {"n_folds": 2.5},
        {"n_folds": True},
        {"alpha": 0.9},
        {"alpha": "x"},
        {"alphas": 0.1},
        {"seed": -1},
        {"seed": 1.5},
        {"descriptor": None},
        {"descriptor_settings": 5},
        {"site_resolved": "yes"},
    ],
)
def test_settings_out_of_range_are_refused(given):
    with pytest.raises(SettingError):
        LinearEntropySettings.from_dict(given)


def test_settings_go_there_and_back():
    settings = LinearEntropySettings(descriptor_settings={"n_radial": 4}, seed=3)
    assert LinearEntropySettings.from_dict(settings.as_dict()) == settings
