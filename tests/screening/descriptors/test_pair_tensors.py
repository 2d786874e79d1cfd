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

from screening.descriptors.image_bonds import fold_onto_pairs, image_bonds
from screening.descriptors.pair_tensors import (
    PAPER_RADII_ANGSTROM,
    PairSettings,
    pair_tensors,
)
from screening.errors import SettingError, TooLargeError
from screening.random_packing import random_crystals

SMOOTH = PairSettings()
BLOCK = PairSettings.published()
BOTH = pytest.mark.parametrize("settings", [SMOOTH, BLOCK], ids=("smooth", "block"))
TOLERANCE = 1e-8


@pytest.fixture(scope="module")
def random():
    return next(random_crystals("K2 Zn2 F6", 165.0, 1, seed=3))


def mixed_gaussian_derivative(vectors, radius):
    """Mixed second derivative of exp(-d²/a²) by both points, shape (..., 3, 3)."""
    gaussian = np.exp(-(vectors**2).sum(axis=-1) / radius**2)[..., None, None]
    outer = vectors[..., :, None] * vectors[..., None, :]
    return 2.0 * gaussian / radius**2 * (np.eye(3) - 2.0 * outer / radius**2)


@BOTH
def test_tensors_and_scalars_make_the_force_constants_of_gaussians(random, settings):
    narrow = PairSettings(radii_angstrom=(0.8, 1.0), images=settings.images)
    found = pair_tensors(random, narrow)
    bonds = image_bonds(random, 7.0)
    for index, radius in enumerate(narrow.radii_angstrom):
        blocks = mixed_gaussian_derivative(bonds.vectors_angstrom, radius)
        made = 2.0 / radius**2 * found.scalars[..., index, None, None] * np.eye(3)
        made += 4.0 / radius**4 * found.tensors[..., index, :, :]
        np.testing.assert_allclose(made, fold_onto_pairs(bonds, blocks), atol=TOLERANCE)


@BOTH
def test_tensors_are_plain_sums_over_images(random, settings):
    found = pair_tensors(random, settings)
    radius = settings.radii_angstrom[4]
    positions, lattice = random.cart_coords, random.lattice.matrix
    reach = 2 if settings.images == "block" else 6
    for i, j in ((0, 3), (5, 5), (9, 1)):
        tensor, scalar = np.zeros((3, 3)), 0.0
        for cell in np.ndindex(*[2 * reach + 1] * 3):
            vector = positions[j] - positions[i] + (np.array(cell) - reach) @ lattice
            distance = np.linalg.norm(vector)
            if distance == 0.0:
                continue
            x = np.clip((distance - 6.0) / 2.0, 0.0, 1.0) if settings.images == "smooth" else 0.0
            weight = np.exp(-((distance / radius) ** 2)) * (1 - 10 * x**3 + 15 * x**4 - 6 * x**5)
            tensor -= weight * np.outer(vector, vector)
            scalar += weight
        np.testing.assert_allclose(found.tensors[i, j, 4], tensor, atol=TOLERANCE)
        assert found.scalars[i, j, 4] == pytest.approx(scalar, abs=TOLERANCE)


@BOTH
def test_tensors_turn_with_the_crystal(random, settings):
    before = pair_tensors(random, settings)
    for seed in range(4):
        rotation = turn(seed)
        after = pair_tensors(rotated(random, rotation), settings)
        scale = np.abs(before.tensors).max()
        expected = turned_tensors(before.tensors, rotation)
        np.testing.assert_allclose(after.tensors, expected, atol=TOLERANCE * scale)
        np.testing.assert_allclose(
            after.diagonal, turned_tensors(before.diagonal, rotation), atol=TOLERANCE * scale
        )
        np.testing.assert_allclose(after.scalars, before.scalars, atol=TOLERANCE)


@BOTH
def test_tensors_follow_the_order_of_the_atoms(random, settings):
    order = np.random.default_rng(2).permutation(len(random))
    before, after = (pair_tensors(one, settings) for one in (random, reordered(random, order)))
    scale = np.abs(before.tensors).max()
    np.testing.assert_allclose(
        after.tensors, before.tensors[np.ix_(order, order)], atol=TOLERANCE * scale
    )
    np.testing.assert_allclose(after.scalars, before.scalars[np.ix_(order, order)], atol=TOLERANCE)
    np.testing.assert_array_equal(before.tensors, before.tensors.swapaxes(-1, -2))
    np.testing.assert_array_equal(before.tensors, before.tensors.swapaxes(0, 1))
    np.testing.assert_array_equal(before.diagonal, before.tensors.sum(axis=1))


def test_the_sphere_knows_nothing_of_the_list_of_atoms_or_the_cell(random):
    expected = pair_tensors(random)
    for same in (shifted_by_lattice_vectors(random, 7), repeated(random, SHEARED)):
        found = pair_tensors(same)
        np.testing.assert_allclose(found.tensors, expected.tensors, atol=TOLERANCE)
        np.testing.assert_allclose(found.scalars, expected.scalars, atol=TOLERANCE)


def test_the_published_block_depends_on_the_list_of_atoms(random):
    expected = pair_tensors(random, BLOCK).tensors
    moved = random.copy()
    moved.translate_sites([9], [0.0, 0.0, 1.0], to_unit_cell=False)
    found = pair_tensors(moved, BLOCK).tensors
    off, size = (np.sqrt((one**2).sum(axis=(0, 1, 3, 4))) for one in (found - expected, expected))
    off /= size
    assert off[0] < TOLERANCE
    assert off[7:].min() > 0.03  # where Gaussians reach the edge of the block


@pytest.mark.parametrize("matrix", [np.diag([2, 1, 1]), [[1, 1, 0], [-1, 1, 0], [0, 0, 1]]])
def test_supercells_fold_onto_the_cell(random, matrix):
    expected = pair_tensors(random)
    found = pair_tensors(repeated(random, matrix))
    np.testing.assert_allclose(folded(found.tensors, 10), expected.tensors, atol=TOLERANCE)
    np.testing.assert_allclose(folded(found.scalars, 10), expected.scalars, atol=TOLERANCE)
    copies = len(found.diagonal) // 10
    np.testing.assert_allclose(found.diagonal[::copies], expected.diagonal, atol=TOLERANCE)


def test_crystals_of_one_atom_have_its_images_only(crystals):
    found = pair_tensors(crystals["fcc"])
    assert found.tensors.shape == (1, 1, 15, 3, 3)
    np.testing.assert_allclose(  # cubic: a multiple of one
        found.tensors[0, 0], found.tensors[0, 0, :, :1, :1] * np.eye(3), atol=TOLERANCE
    )
    assert np.all(found.tensors[0, 0, :, 0, 0] < 0.0)


def test_settings_are_plain_and_checked():
    assert PairSettings(**SMOOTH.as_dict()) == SMOOTH
    assert BLOCK.radii_angstrom == PAPER_RADII_ANGSTROM == tuple(range(1, 31))
    for wrong in (
        {"radii_angstrom": ()},
        {"radii_angstrom": (1.0, -2.0)},
        {"radii_angstrom": (np.nan,)},
        {"images": "sphere"},
        {"cutoff_angstrom": np.inf},
        {"switch_width_angstrom": 9.0},
        {"switch_width_angstrom": 0.0},
    ):
        with pytest.raises(SettingError):
            PairSettings(**wrong)


def test_cells_of_too_many_atoms_are_refused(crystals):
    with pytest.raises(TooLargeError, match="primitive cell"):
        pair_tensors(crystals["fcc"] * (11, 11, 11))
