from __future__ import annotations

import time

import numpy as np
import pytest
from moved_crystals import SHEARED, reordered, repeated, rotated, shifted_by_lattice_vectors, turn
from pymatgen.core import Lattice, Structure

from screening.descriptors.fingerprint import (
    DEFAULT_THRESHOLD,
    FingerprintSettings,
    fingerprint,
    fingerprint_distance,
    unique_structures,
)
from screening.errors import InconsistentDataError, NonFiniteInputError, SettingError
from screening.random_packing import random_crystals

BLOCK = FingerprintSettings(lattice_sums="block")


def many(count, seed=1):
    return list(random_crystals("K2 Zn2 F6", 165.0, count, seed))


def distance(first, second, settings=None):
    return fingerprint_distance(fingerprint(first, settings), fingerprint(second, settings))


@pytest.fixture(scope="module")
def random():
    return many(1)[0]


def test_fingerprints_are_complete_sums_over_the_lattice(crystals):
    settings = FingerprintSettings(radii_angstrom=(1.5, 2.4, 2.6, 4.0))
    structure = crystals["cotunnite"]
    found = fingerprint(structure, settings)
    assert found.elements == (1, 38)
    np.testing.assert_allclose(found.fractions, [2 / 3, 1 / 3])
    positions, matrix = structure.cart_coords, structure.lattice.matrix
    numbers = np.array([site.specie.Z for site in structure])
    cells = np.stack(np.meshgrid(*[np.arange(-9, 10)] * 3, indexing="ij"), axis=-1)
    vectors = (positions[None] - positions[:, None])[:, :, None] + cells.reshape(-1, 3) @ matrix
    squares = (vectors**2).sum(axis=-1)
    for row, (one, other) in enumerate(((1, 1), (1, 38), (38, 38))):
        chosen = squares[numbers == one][:, numbers == other]
        own = (numbers == one).sum() if one == other else 0
        for column, radius in enumerate(settings.radii_angstrom):
            expected = (np.exp(-chosen / radius**2).sum() - own) / len(structure)
            assert found.values[row, column] == pytest.approx(expected, abs=1e-11)


def test_wide_gaussians_see_nothing_but_the_density(random):
    wide = FingerprintSettings(radii_angstrom=(30.0,))
    density = len(random) / random.volume
    pairs = fingerprint(random, wide).values[:, 0]  # F F, F K, F Zn, K K, K Zn, Zn Zn
    shares = np.array([0.36, 0.12, 0.12, 0.04, 0.04, 0.04])
    own = np.array([0.6, 0.0, 0.0, 0.2, 0.0, 0.2])
    expected = shares * density * (np.sqrt(np.pi) * 30.0) ** 3 - own
    np.testing.assert_allclose(pairs, expected, rtol=1e-12)


def test_the_same_crystal_has_the_same_fingerprint(random):
    for same in (
        rotated(random, turn(0)),
        rotated(random, turn(1)),  # mirror images vibrate alike
        reordered(random, np.random.default_rng(2).permutation(10)),
        shifted_by_lattice_vectors(random, 7),
        repeated(random, SHEARED),
        repeated(random, np.diag([2, 1, 1])),
        repeated(random, [[1, 1, 0], [-1, 1, 0], [0, 0, 2]]),
    ):
        assert distance(random, same) < 1e-8


def test_the_published_block_takes_one_crystal_for_two(random):
    assert distance(random, repeated(random, SHEARED), BLOCK) > DEFAULT_THRESHOLD
    assert distance(random, random.copy(), BLOCK) == 0.0


def test_rattled_crystals_stay_near_and_polymorphs_lie_far(crystals):
    rattled = crystals["rutile"].copy()
    rattled.perturb(1e-3, seed=1)
    assert 0.0 < distance(crystals["rutile"], rattled) < 0.1 * DEFAULT_THRESHOLD
    assert distance(crystals["rutile"], crystals["anatase"]) > 10 * DEFAULT_THRESHOLD
    rows = fingerprint(crystals["zincblende"]), fingerprint(crystals["wurtzite"])
    assert fingerprint_distance(*rows) == np.inf  # ZnS and ZnO


def test_one_threshold_means_one_mean_difference_for_all_numbers_of_elements(crystals):
    strained = {}
    for name in ("fcc", "rocksalt"):
        larger = crystals[name].copy()
        larger.scale_lattice(larger.volume * 1.01)
        wide = FingerprintSettings(radii_angstrom=(20.0, 25.0, 30.0))
        strained[name] = distance(crystals[name], larger, wide)
    assert strained["fcc"] == pytest.approx(180 * 0.01 / 2.01, rel=1e-3)
    assert strained["rocksalt"] == pytest.approx(strained["fcc"], rel=1e-3)


def test_the_first_of_every_kind_is_kept():
    first, second, third = many(3)
    copies = [first, second, rotated(first, turn(3)), third, repeated(second, np.diag([1, 1, 2]))]
    assert unique_structures(copies) == [0, 1, 3]
    assert unique_structures(copies[::-1]) == [0, 1, 2]
    assert unique_structures([]) == []
    other = [first, first.copy().replace_species({"K": "Rb"})]
    assert unique_structures(other) == [0, 1]
    assert unique_structures(copies, threshold=1e3) == [0]


def test_structures_of_different_energies_are_never_duplicates():
    first = many(1)[0]
    twins = [first, first, first]
    energies = [-4.0, -4.002, -4.0005]
    assert unique_structures(twins, energies_ev_per_atom=energies) == [0, 1]
    tight = unique_structures(
        twins, energies_ev_per_atom=energies, energy_tolerance_ev_per_atom=1e-4
    )
    assert tight == [0, 1, 2]
    with pytest.raises(InconsistentDataError):
        unique_structures(twins, energies_ev_per_atom=[0.0])
    with pytest.raises(NonFiniteInputError):
        unique_structures(twins, energies_ev_per_atom=[0.0, np.nan, 0.0])


def test_dilute_atoms_have_fingerprints_too():
    far = Structure(Lattice.cubic(20.0), ["K", "F"], [[0, 0, 0], [0.3, 0, 0]])
    found = fingerprint(far)
    assert np.all(np.isfinite(found.values))
    assert distance(far, far * (2, 1, 1)) < 1e-8


def test_other_settings_cannot_be_compared(random):
    with pytest.raises(InconsistentDataError, match="settings"):
        fingerprint_distance(fingerprint(random), fingerprint(random, BLOCK))
    with pytest.raises(SettingError):
        FingerprintSettings(lattice_sums="sphere")
    with pytest.raises(SettingError):
        FingerprintSettings(radii_angstrom=(0.0,))


def test_a_thousand_structures_take_seconds():
    structures = many(20) * 50
    start = time.process_time()
    assert len(unique_structures(structures)) == 20
    assert time.process_time() - start < 20.0
