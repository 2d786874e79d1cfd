"""From options to settings: one option changes one setting, a file gives the rest."""

import json

import pytest

from flows.options import parse_temperatures, screening_settings
from screening.errors import SettingError
from screening.settings import ScreeningSettings


def test_without_options_the_settings_are_the_defaults():
    assert screening_settings() == ScreeningSettings()


@pytest.mark.parametrize(
    ("option", "value", "path"),
    [
        ("adaptive", True, ("phonons", "adaptive")),
        ("min_length_angstrom", 14.0, ("phonons", "supercell", "min_length_angstrom")),
        ("max_atoms", 300, ("phonons", "supercell", "max_atoms")),
        ("displacement_angstrom", 0.02, ("phonons", "displacement_angstrom")),
        ("low_mode_policy", "renormalise", ("thermodynamics", "low_mode_policy")),
        ("stability_criterion", "lee_2024", ("stability_criterion",)),
    ],
)
def test_one_option_changes_one_setting(option, value, path):
    changed = screening_settings(**{option: value}).as_dict()
    expected = ScreeningSettings().as_dict()
    inner = expected
    for name in path[:-1]:
        inner = inner[name]
    assert inner[path[-1]] != value
    inner[path[-1]] = value
    assert changed == expected


def test_no_relaxation_is_a_setting_too():
    assert screening_settings(relax=False).relaxation is None


def test_a_small_largest_supercell_lowers_the_least_number_of_atoms():
    supercell = screening_settings(max_atoms=40).phonons.supercell
    assert (supercell.min_atoms, supercell.max_atoms) == (40, 40)


def test_a_file_gives_what_the_options_do_not(tmp_path):
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"stability_criterion": "lee_2024"}))
    settings = screening_settings(file, temperatures_k="0,300")
    assert settings.stability_criterion == "lee_2024"
    assert settings.thermodynamics.temperatures_k == (0.0, 300.0)


@pytest.mark.parametrize("content", ["[]", "{", '{"no_such": 1}'])
def test_an_unusable_file_is_refused(tmp_path, content):
    file = tmp_path / "settings.json"
    file.write_text(content)
    with pytest.raises(SettingError):
        screening_settings(file)


@pytest.mark.parametrize("text", ["", "hot", "0:1", "0:10:0", "10:0:1", "0:1e9:1", "1:2:3:4"])
def test_a_grid_that_is_none_is_refused(text):
    with pytest.raises(SettingError, match="grid"):
        parse_temperatures(text)
