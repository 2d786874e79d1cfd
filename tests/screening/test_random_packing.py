"""Random crystals: whole compositions, repeatable draws, atoms apart."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from screening.errors import SettingError
from screening.random_packing import random_crystal, random_crystals

KZNF3 = "K2 Zn2 F6"


def test_the_nth_crystal_of_a_seed_does_not_depend_on_how_many_follow():
    few = list(random_crystals(KZNF3, 165.0, 2, seed=3))
    many = list(islice(random_crystals(KZNF3, 165.0, 5, seed=3), 2))
    assert few == many


def test_one_crystal_is_drawn_without_those_before_it():
    assert random_crystal(KZNF3, 165.0, 2, seed=3) == list(random_crystals(KZNF3, 165.0, 3, 3))[2]
    with pytest.raises(SettingError, match="crystal -1"):
        random_crystal(KZNF3, 165.0, -1, seed=3)


def test_seeds_and_numbers_differ():
    first, second = random_crystals(KZNF3, 165.0, 2, seed=0)
    (other,) = random_crystals(KZNF3, 165.0, 1, seed=1)
    assert first != second
    assert first != other


def test_every_cell_has_the_composition_and_about_the_volume():
    crystals = list(random_crystals(KZNF3, 165.0, 20, seed=0))
    assert {one.composition.formula for one in crystals} == {"K2 Zn2 F6"}
    ratios = np.array([one.volume for one in crystals]) / 165.0
    assert ratios.min() >= 0.9 - 1e-9
    assert ratios.max() <= 1.15 + 1e-9
    assert np.ptp(ratios) > 0.05


def test_atoms_are_no_closer_than_bonds_and_like_atoms_further_apart():
    for crystal in random_crystals(KZNF3, 165.0, 20, seed=0):
        distances = crystal.distance_matrix + 100.0 * np.eye(len(crystal))
        assert distances.min() > 1.2
        cations = [i for i, site in enumerate(crystal) if site.specie.symbol != "F"]
        assert distances[np.ix_(cations, cations)].min() > 1.4


@pytest.mark.parametrize(
    ("composition", "volume", "count", "said"),
    [
        (KZNF3, -1.0, 1, "no volume"),
        (KZNF3, float("nan"), 1, "no volume"),
        (KZNF3, 165.0, 0, "0 crystals"),
        ("K0.5 F", 165.0, 1, "0.5 atoms"),
    ],
)
def test_what_cannot_be_packed_is_refused(composition, volume, count, said):
    with pytest.raises(SettingError, match=said):
        list(random_crystals(composition, volume, count, seed=0))
