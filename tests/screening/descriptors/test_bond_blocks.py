from __future__ import annotations

import numpy as np
import pytest
from moved_crystals import (
    SHEARED,
    folded,
    reordered,
    repeated,
    rotated,
    shifted_by_lattice_vectors,
    turn,
    turned_tensors,
)

from screening.descriptors.bond_blocks import (
    BondBasisSettings,
    bond_basis,
    bond_radial_functions,
    dynamical_blocks,
    zone_centre_basis,
)
from screening.descriptors.image_bonds import atomic_numbers, fold_onto_pairs, image_bonds
from screening.errors import SettingError
from screening.hessians import atomic_masses_amu, on_site_from_sum_rule
from screening.random_packing import random_crystals

SETTINGS = BondBasisSettings()
TOLERANCE = 1e-8


@pytest.fixture(scope="module")
def random():
    return next(random_crystals("K2 Zn2 F6", 165.0, 1, seed=4))


def test_the_basis_of_the_zone_centre_sums_that_of_the_bonds(random):
    bonds = image_bonds(random, SETTINGS.cutoff_angstrom)
    each = bond_basis(bonds, SETTINGS)
    assert each.shape == (len(bonds.first), SETTINGS.n_tensors, 3, 3)
    radial = bond_radial_functions(bonds.distances_angstrom, SETTINGS)
    n_centres = len(SETTINGS.centres_angstrom)
    along = bonds.directions[:, :, None] * bonds.directions[:, None, :]
    np.testing.assert_allclose(
        each[:, :n_centres], radial[:, :, None, None] * along[:, None], atol=1e-14
    )
    np.testing.assert_allclose(each[:, n_centres:], radial[:, :, None, None] * np.eye(3))
    np.testing.assert_allclose(zone_centre_basis(random), fold_onto_pairs(bonds, each), atol=1e-12)


def test_radial_functions_have_their_maxima_where_they_say_and_end_at_the_cutoff():
    settings = BondBasisSettings(centres_angstrom=(2.0, 3.0), width_angstrom=0.1)
    found = bond_radial_functions(np.array([2.0, 3.0, 8.8, 9.0]), settings)
    cosine = 0.5 * (1.0 + np.cos(np.pi * np.array([2.0, 3.0]) / 8.8))
    np.testing.assert_allclose(np.diag(found[:2]), cosine)
    np.testing.assert_allclose(found[2:], 0.0, atol=1e-15)
    step = 1e-5
    edge = bond_radial_functions(8.8 + step * np.array([-1.0, 0.0]), SETTINGS)
    assert np.abs(np.diff(edge, axis=0)).max() < 1e-9


def test_the_basis_turns_with_the_crystal_and_ignores_its_description(random):
    expected = zone_centre_basis(random)
    for seed in range(3):
        rotation = turn(seed)
        found = zone_centre_basis(rotated(random, rotation))
        np.testing.assert_allclose(found, turned_tensors(expected, rotation), atol=TOLERANCE)
    for same in (shifted_by_lattice_vectors(random, 7), repeated(random, SHEARED)):
        np.testing.assert_allclose(zone_centre_basis(same), expected, atol=TOLERANCE)
    order = np.random.default_rng(2).permutation(len(random))
    found = zone_centre_basis(reordered(random, order))
    np.testing.assert_allclose(found, expected[np.ix_(order, order)], atol=TOLERANCE)
    np.testing.assert_allclose(expected, expected.transpose(1, 0, 2, 4, 3), atol=TOLERANCE)
    doubled = zone_centre_basis(repeated(random, np.diag([1, 2, 1])))
    np.testing.assert_allclose(folded(doubled, 10), expected, atol=TOLERANCE)


def pair_blocks(structure, potential):
    """Force constants of a pair potential of `conftest`, one for every bond."""
    bonds = image_bonds(structure, potential.cutoff_angstrom)
    numbers = atomic_numbers(structure)
    strength = 1.0 + 0.1 * np.abs(numbers[bonds.first] - numbers[bonds.second])
    ratio = 1.0 - (bonds.distances_angstrom / potential.cutoff_angstrom) ** 2
    slope = -8.0 * strength * ratio**3 / potential.cutoff_angstrom**2
    bend = 48.0 * strength * ratio**2 / potential.cutoff_angstrom**4
    outer = bonds.vectors_angstrom[:, :, None] * bonds.vectors_angstrom[:, None, :]
    return bonds, -slope[:, None, None] * np.eye(3) - bend[:, None, None] * outer


def test_blocks_of_bonds_have_the_dispersion_of_their_potential(crystal, pair_potential):
    q_points = np.vstack([np.zeros(3), np.random.default_rng(0).uniform(-1, 1, (3, 3))])
    bonds, blocks = pair_blocks(crystal, pair_potential)
    found = dynamical_blocks(bonds, blocks, q_points)
    roots = np.repeat(np.sqrt(atomic_masses_amu(crystal)), 3)
    for q_point, matrix in zip(q_points, found, strict=True):
        np.testing.assert_allclose(matrix, matrix.conj().T, atol=1e-10)
        expected = np.linalg.eigvalsh(pair_potential.dynamical_matrix(crystal, q_point))
        squares = np.linalg.eigvalsh(matrix / np.outer(roots, roots))
        np.testing.assert_allclose(squares, expected, atol=1e-10)
    hessian = found[0].real
    np.testing.assert_allclose(on_site_from_sum_rule(hessian), hessian, atol=1e-10)


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
