from __future__ import annotations

import numpy as np
import pytest
from moved_crystals import (
    SHEARED,
    reordered,
    repeated,
    rotated,
    shifted_by_lattice_vectors,
    turn,
)

from screening.descriptors.image_bonds import atomic_numbers
from screening.descriptors.three_body import (
    EnvironmentSettings,
    ThreeBodySettings,
    environment_names,
    environment_scalars,
)
from screening.errors import SettingError
from screening.random_packing import random_crystals

ELEMENTS = (9, 19, 30)
SETTINGS = ThreeBodySettings()
TOLERANCE = 1e-8


@pytest.fixture(scope="module")
def random():
    return next(random_crystals("K2 Zn2 F6", 165.0, 1, seed=5))


def test_environments_count_neighbours_smoothly(crystals):
    salt = crystals["rocksalt"]  # neighbours at 2.82 Å, like atoms at 3.99 Å
    settings = EnvironmentSettings(
        shells_angstrom=(3.5, 5.0),
        shell_width_angstrom=0.5,
        radii_angstrom=(2.0,),
        cutoff_angstrom=12.0,
    )
    found = environment_scalars(salt, (11, 17, 9), settings)
    assert found.shape == (2, 9)
    row = found[atomic_numbers(salt).tolist().index(11)]
    sodium = dict(zip(environment_names((11, 17, 9), settings), row, strict=True))
    assert sodium["Cl within 3.5 Å"] == pytest.approx(6.0)
    assert sodium["Na within 3.5 Å"] == pytest.approx(0.0)
    assert sodium["Na within 5 Å"] == pytest.approx(12.0)
    assert sodium["F within 5 Å"] == 0.0
    shells = 6 * np.exp(-((2.82 / 2) ** 2)) + 8 * np.exp(-3 * (2.82 / 2) ** 2)
    shells += 24 * np.exp(-5 * (2.82 / 2) ** 2)
    assert sodium["Cl Gaussian of 2 Å"] == pytest.approx(shells, rel=1e-5)


def test_environments_are_the_same_however_the_crystal_is_described(random):
    expected = environment_scalars(random, ELEMENTS)
    for same in (
        rotated(random, turn(1)),
        shifted_by_lattice_vectors(random, 7),
        repeated(random, SHEARED),
        repeated(random, np.diag([2, 1, 1])),
    ):
        found = environment_scalars(same, ELEMENTS)[:: len(same) // 10]
        np.testing.assert_allclose(found, expected, atol=TOLERANCE)
    order = np.random.default_rng(2).permutation(len(random))
    found = environment_scalars(reordered(random, order), ELEMENTS)
    np.testing.assert_allclose(found, expected[order], atol=TOLERANCE)


def test_settings_are_plain_and_checked():
    assert ThreeBodySettings(**SETTINGS.as_dict()) == SETTINGS
    environment = EnvironmentSettings()
    assert EnvironmentSettings(**environment.as_dict()) == environment
    assert len(environment_names(ELEMENTS)) == 3 * environment.n_per_element
    with pytest.raises(SettingError):
        ThreeBodySettings(centres_angstrom=(6.0,))
    for wrong in (
        {"shells_angstrom": (9.0,)},
        {"shells_angstrom": (-1.0,)},
        {"radii_angstrom": (np.nan,)},
        {"switch_width_angstrom": 0.0},
    ):
        with pytest.raises(SettingError):
            EnvironmentSettings(**wrong)
