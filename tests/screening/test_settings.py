import json

import pytest

from screening.errors import SettingError
from screening.phonons import PhononSettings
from screening.relaxation import RelaxationSettings
from screening.settings import ScreeningSettings
from screening.supercell import SupercellSettings
from screening.thermodynamics import ThermodynamicsSettings


@pytest.mark.parametrize(
    "settings",
    [
        ScreeningSettings(),
        ScreeningSettings(relaxation=None),
        ScreeningSettings(
            relaxation=RelaxationSettings(max_steps=7),
            phonons=PhononSettings(SupercellSettings(max_atoms=100), displacement_angstrom=0.02),
            thermodynamics=ThermodynamicsSettings(
                temperatures_k=(0.0, 300.0), low_mode_policy="renormalise"
            ),
            stability_criterion="lee_2024",
        ),
    ],
)
def test_settings_survive_json(settings: ScreeningSettings) -> None:
    text = json.dumps(settings.as_dict(), allow_nan=False)
    again = ScreeningSettings.from_dict(json.loads(text))
    assert again == settings
    assert again.digest == settings.digest


def test_equal_settings_have_one_digest_however_they_are_typed() -> None:
    whole = ScreeningSettings(thermodynamics=ThermodynamicsSettings(temperatures_k=(0, 300)))
    real = ScreeningSettings(thermodynamics=ThermodynamicsSettings(temperatures_k=(0.0, 300.0)))
    assert whole.digest == real.digest


def test_every_change_changes_the_digest() -> None:
    changed = [
        ScreeningSettings(),
        ScreeningSettings(relaxation=None),
        ScreeningSettings(phonons=PhononSettings(mesh_length_angstrom=30.0)),
        ScreeningSettings(thermodynamics=ThermodynamicsSettings(cutoff_thz=0.05)),
        ScreeningSettings(stability_criterion="ml_peg"),
    ]
    assert len({settings.digest for settings in changed}) == len(changed)


def test_what_is_not_given_has_its_default() -> None:
    assert ScreeningSettings.from_dict({}) == ScreeningSettings()
    found = ScreeningSettings.from_dict({"phonons": {"mesh_length_angstrom": 33}})
    assert found.phonons.mesh_length_angstrom == 33.0
    assert found.phonons.supercell == SupercellSettings()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"phonon": {}}, "phonon: unknown"),
        ({"phonons": {"mesh": 3}}, r"phonons\.mesh: unknown"),
        ({"phonons": {"supercell": {"length": 3}}}, r"phonons\.supercell\.length: unknown"),
        ({"phonons": {"mesh_length_angstrom": "long"}}, "mesh_length_angstrom"),
        ({"phonons": {"mesh_length_angstrom": -1}}, "mesh_length_angstrom"),
        ({"thermodynamics": {"low_mode_policy": "ignore"}}, "low_mode_policy"),
        ({"stability_criterion": "hope"}, "hope"),
        ({"relaxation": 3}, "relaxation"),
    ],
)
def test_wrong_settings_name_themselves(values: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        ScreeningSettings.from_dict(values)
