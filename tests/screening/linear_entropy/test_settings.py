from __future__ import annotations

import pytest

from screening.errors import SettingError
from screening.linear_entropy.settings import LinearEntropySettings


@pytest.mark.parametrize(
    "given", [{"target": "energy"}, {"n_folds": 1}, {"alpha": 0.9}, {"alphas": 0.1}]
)
def test_settings_out_of_range_are_refused(given):
    with pytest.raises(SettingError):
        LinearEntropySettings.from_dict(given)


def test_settings_go_there_and_back():
    settings = LinearEntropySettings(descriptor_settings={"n_radial": 4}, seed=3)
    assert LinearEntropySettings.from_dict(settings.as_dict()) == settings
