import pytest

from screening.errors import SettingError
from screening.random_forest.settings import RandomForestSettings


def test_settings_survive_plain_json():
    settings = RandomForestSettings(variant="rf_frame", n_trees=20, temperatures_k=(300, 1000))
    assert RandomForestSettings.from_dict(settings.as_dict()) == settings


def test_the_published_settings_are_those_of_the_paper():
    settings = RandomForestSettings.published()
    assert settings.radii_angstrom == tuple(float(a) for a in range(1, 31))
    assert (settings.variant, settings.images, settings.on_site, settings.n_trees) == (
        "rf_component",
        "block",
        "model",
        100,
    )
    assert settings.repair_order == "clip_then_project"
    assert not settings.correct_spectrum


@pytest.mark.parametrize(
    "wrong",
    [
        {"variant": "neural"},
        {"images": "all"},
        {"radii_angstrom": ()},
        {"radii_angstrom": (1.0, float("nan"))},
        {"temperatures_k": (1000.0, 300.0)},
        {"temperatures_k": (300.0, 600.0)},
        {"temperatures_k": (-5.0, 300.0, 1000.0)},
        {"n_folds": 4.5},
        {"seed": True},
        {"n_folds": 3},
        {"n_trees": 0},
        {"coverage": 1.0},
        {"max_features": 0.0},
        {"on_site": "model"},
        {"min_structures": 3},
        {"bond_cutoff_angstrom": -1.0},
        {"bond_cutoff_angstrom": 1e9},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(SettingError) as refused:
        RandomForestSettings(**wrong)
    assert refused.value.hint


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"n_folds": 20}, "min_structures: 10 is too few for the 20 of n_folds"),
        ({"n_inner_folds": 10}, "n_folds: 10 is too few for the 10 of n_inner_folds: 11"),
        ({"n_members": 10}, "n_folds: 10 is too few for the 10 of n_members: 11"),
        ({"n_trees": 3}, "n_trees: 3 is too few for the 4 of n_members"),
    ],
)
def test_a_number_that_another_bounds_is_refused_by_both_names(wrong, said):
    with pytest.raises(SettingError, match=said):
        RandomForestSettings(**wrong)


@pytest.mark.parametrize("wrong", [{"trees": 10}, {"n_trees": "many"}, {"radii_angstrom": 3}])
def test_settings_of_a_file_are_read_strictly(wrong):
    with pytest.raises(SettingError):
        RandomForestSettings.from_dict(wrong)
