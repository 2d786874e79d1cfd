"""What simple baselines learn from."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from screening.network_dos.features import FEATURES, structure_features


def test_neither_cell_nor_order_nor_place_matters(crystal: Structure) -> None:
    order = np.random.default_rng(1).permutation(len(crystal)).tolist()
    moved = crystal.copy()
    moved.translate_sites(range(len(crystal)), [0.13, 0.21, 0.34])
    others = [crystal * (2, 1, 1), Structure.from_sites([moved[i] for i in order])]
    found = structure_features([crystal, *others])
    np.testing.assert_allclose(found[1:], found[[0, 0]], rtol=1e-6, atol=1e-9)


def test_features_of_rock_salt_are_what_they_say() -> None:
    salt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    found = dict(zip(FEATURES, structure_features([salt])[0], strict=True))
    assert found["log_mass"] == pytest.approx(0.5 * np.log(22.98977 * 35.453), abs=1e-5)
    assert found["log_volume"] == pytest.approx(np.log(5.64**3 / 8.0))
    assert found["log_distance"] == pytest.approx(np.log(2.82))
    assert found["coordination"] == 6.0
    assert found["electronegativity_spread"] == pytest.approx((3.16 - 0.93) / 2)
    assert found["valence_electrons"] == 4.0
    assert found["row"] == 3.0


def test_no_crystals_have_no_features() -> None:
    assert structure_features([]).shape == (0, len(FEATURES))
