import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from random_springs import spring_crystals, spring_hessian, turned

from screening.errors import SettingError
from screening.random_forest.blocks import atom_pairs, blocks_of
from screening.random_forest.features import ForestCell, rows_of, targets_of, tensors_from
from screening.random_forest.settings import RandomForestSettings

SETTINGS = RandomForestSettings(variant="rf_frame")
RADII = SETTINGS.radii_angstrom
KIND = (11, 17)


def features(structure, settings=SETTINGS):
    cell = ForestCell(structure, (11, 17), settings)
    return cell.pairs(atom_pairs(cell.numbers, KIND))


def blocks(structure):
    cell = ForestCell(structure, (11, 17), SETTINGS)
    return blocks_of(spring_hessian(structure), atom_pairs(cell.numbers, KIND))


@pytest.fixture(scope="module")
def crystal():
    return spring_crystals(1, seed=2)[0].structure


@pytest.mark.parametrize(
    ("variant", "shape"), [("rf_component", (54, 11)), ("rf_multi", (9, 60)), ("rf_frame", (9, 62))]
)
def test_rows_have_the_shape_of_their_variant(crystal, variant, shape):
    rows = rows_of(features(crystal), variant, RADII)
    assert rows.shape == shape
    assert len(targets_of(features(crystal), blocks(crystal), variant, RADII)) == len(rows)


@pytest.mark.parametrize("variant", ["rf_component", "rf_multi"])
def test_blocks_come_back_from_their_components(crystal, variant):
    found, true = features(crystal), blocks(crystal)
    targets = targets_of(found, true, variant, RADII)
    np.testing.assert_allclose(tensors_from(targets[None], found, variant, RADII)[0], true)


def test_rows_in_the_frame_do_not_turn_and_blocks_do(crystal):
    rotated, rotation = turned(crystal)
    before, after = features(crystal), features(rotated)
    np.testing.assert_allclose(
        rows_of(after, "rf_frame", RADII), rows_of(before, "rf_frame", RADII), atol=1e-8
    )
    outputs = np.random.default_rng(0).normal(size=(2, 9, 3))
    one = tensors_from(outputs, before, "rf_frame", RADII)
    other = tensors_from(outputs, after, "rf_frame", RADII)
    np.testing.assert_allclose(other, rotation @ one @ rotation.T, atol=1e-8)


def test_components_do_turn():
    (one,) = spring_crystals(1, seed=2)
    rotated, _ = turned(one.structure)
    before = rows_of(features(one.structure), "rf_component", RADII)
    after = rows_of(features(rotated), "rf_component", RADII)
    assert np.abs(after - before).max() > 0.1 * np.abs(before).max()


def test_frames_with_equal_axes_are_no_choice():
    """Along a fourfold axis two axes are equal: whichever eigenvectors come, blocks agree."""
    cubic = Structure(Lattice.tetragonal(3.9, 4.4), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    rotated, rotation = turned(cubic, seed=4)
    outputs = np.random.default_rng(1).normal(size=(1, 1, 3))
    one = tensors_from(outputs, features(cubic), "rf_frame", RADII)[0, 0]
    other = tensors_from(outputs, features(rotated), "rf_frame", RADII)[0, 0]
    np.testing.assert_allclose(other, rotation @ one @ rotation.T, atol=1e-8)
    assert abs(one[0, 0] - one[1, 1]) < 1e-9 < abs(one[0, 0] - one[2, 2])


def test_atoms_of_one_element_have_no_order():
    structure = spring_crystals(1, seed=6)[0].structure
    cell = ForestCell(structure, (11, 17), SETTINGS)
    pairs = atom_pairs(cell.numbers, (17, 17))
    np.testing.assert_allclose(
        cell.pairs(pairs).coordination, cell.pairs(pairs[:, ::-1]).coordination
    )


@pytest.mark.parametrize("published", [False, True])
def test_pairs_are_the_same_without_what_lies_between(published):
    settings = RandomForestSettings.published() if published else SETTINGS
    structure = spring_crystals(1, seed=5)[0].structure
    whole = ForestCell(structure, (11, 17), settings)
    alone = ForestCell(structure, (11, 17), settings, [(17, 17)])
    pairs = atom_pairs(whole.numbers, (17, 17))
    assert len(pairs) > 1
    expected, found = whole.pairs(pairs), alone.pairs(pairs)
    assert len(alone._descriptors.tensors) == np.count_nonzero(whole.numbers == 17)
    for name in ("tensors", "scalars", "coordination"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), rtol=1e-12, atol=1e-12
        )


def test_the_published_block_depends_on_the_image_and_the_smooth_sphere_does_not():
    structure = spring_crystals(1, seed=7)[0].structure
    moved = structure.copy()
    moved.translate_sites([0], [1, 0, 0], to_unit_cell=False)
    smooth = [features(one).tensors for one in (structure, moved)]
    np.testing.assert_allclose(smooth[0], smooth[1], atol=1e-9)
    published = RandomForestSettings.published()
    block = [features(one, published).tensors for one in (structure, moved)]
    assert np.abs(block[0] - block[1]).max() > 0.01 * np.abs(block[0]).max()


def test_single_atoms_are_not_described_by_some_of_their_pairs(crystal):
    alone = ForestCell(crystal, (11, 17), SETTINGS, [(17, 17)])
    with pytest.raises(SettingError, match="pairs of all elements"):
        alone.sites(np.array([0]))
