from __future__ import annotations

import numpy as np
import pytest

from screening.descriptors.bond_blocks import BondBasisSettings, bond_radial_functions
from screening.errors import SettingError

SETTINGS = BondBasisSettings()


def test_radial_functions_have_their_maxima_where_they_say_and_end_at_the_cutoff():
    settings = BondBasisSettings(centres_angstrom=(2.0, 3.0), width_angstrom=0.1)
    found = bond_radial_functions(np.array([2.0, 3.0, 8.8, 9.0]), settings)
    cosine = 0.5 * (1.0 + np.cos(np.pi * np.array([2.0, 3.0]) / 8.8))
    np.testing.assert_allclose(np.diag(found[:2]), cosine)
    np.testing.assert_allclose(found[2:], 0.0, atol=1e-15)
    step = 1e-5
    edge = bond_radial_functions(8.8 + step * np.array([-1.0, 0.0]), SETTINGS)
    assert np.abs(np.diff(edge, axis=0)).max() < 1e-9


def test_settings_are_plain_and_checked():
    assert BondBasisSettings(**SETTINGS.as_dict()) == SETTINGS
    for wrong in (
        {"centres_angstrom": ()},
        {"centres_angstrom": (2.0, 9.0)},
        {"centres_angstrom": (0.0,)},
        {"width_angstrom": 0.0},
        {"cutoff_angstrom": np.nan},
        {"cutoff_angstrom": np.inf},
    ):
        with pytest.raises(SettingError):
            BondBasisSettings(**wrong)
