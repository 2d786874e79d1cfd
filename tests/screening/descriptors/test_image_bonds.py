from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from screening.descriptors.image_bonds import (
    fold_onto_pairs,
    image_bonds,
    mirrored,
    smooth_switch,
    sums_by_label,
    symmetric_products,
    symmetric_tensors,
)
from screening.errors import OverlapError, SettingError, TooLargeError


def test_bonds_are_those_of_another_neighbour_list(crystal):
    bonds = image_bonds(crystal, 5.0)
    first, second, images, distances = crystal.get_neighbor_list(5.0, exclude_self=True)
    ours = np.column_stack([bonds.first, bonds.second, bonds.images])
    theirs = np.column_stack([first, second, images.astype(int)])
    np.testing.assert_array_equal(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)])
    np.testing.assert_allclose(
        bonds.distances_angstrom[np.lexsort(ours.T)], distances[np.lexsort(theirs.T)], atol=1e-10
    )


def test_a_bond_leads_from_the_first_atom_to_the_image_of_the_second(crystals):
    structure = crystals["triclinic"].copy()
    structure.translate_sites([1], [2.0, -1.0, 0.0], to_unit_cell=False)
    bonds = image_bonds(structure, 9.0)  # farther than the cell is wide
    positions = structure.cart_coords
    expected = (
        positions[bonds.second] + bonds.images @ structure.lattice.matrix - positions[bonds.first]
    )
    np.testing.assert_allclose(bonds.vectors_angstrom, expected, atol=1e-10)
    np.testing.assert_allclose(np.linalg.norm(bonds.directions, axis=1), 1.0, atol=1e-12)
    assert np.all(np.diff(bonds.pairs) >= 0)


def test_left_handed_cells_have_the_same_bonds(crystals):
    structure = crystals["quartz"]
    matrix = structure.lattice.matrix[[1, 0, 2]]
    left = Structure(matrix, structure.species, structure.cart_coords, coords_are_cartesian=True)
    for one, other in zip(
        np.sort(image_bonds(structure, 5.0).distances_angstrom),
        np.sort(image_bonds(left, 5.0).distances_angstrom),
        strict=True,
    ):
        assert one == pytest.approx(other, abs=1e-10)


def test_folding_sums_over_images_and_leaves_zeros_elsewhere():
    far = Structure(Lattice.cubic(30.0), ["K", "F", "F"], [[0, 0, 0], [0.1, 0, 0], [0.5, 0.5, 0.5]])
    bonds = image_bonds(far, 3.5)
    folded = fold_onto_pairs(bonds, bonds.vectors_angstrom)
    expected = np.zeros((3, 3, 3))
    expected[0, 1], expected[1, 0] = [3.0, 0, 0], [-3.0, 0, 0]
    np.testing.assert_allclose(folded, expected, atol=1e-12)
    nothing = image_bonds(far, 2.0)
    assert fold_onto_pairs(nothing, nothing.vectors_angstrom).shape == (3, 3, 3)


def test_sums_over_the_images_of_some_pairs_are_those_of_all(crystal):
    bonds = image_bonds(crystal, 4.0)
    pairs = np.argwhere(np.triu(np.ones((bonds.n_atoms, bonds.n_atoms)), 1))
    own = bonds.chosen(bonds.first < bonds.second)
    places = bonds.n_atoms * pairs[:, 0] + pairs[:, 1]
    found = sums_by_label(own.pairs, own.vectors_angstrom, bonds.n_atoms**2)[places]
    expected = fold_onto_pairs(bonds, bonds.vectors_angstrom)
    np.testing.assert_array_equal(found, expected[pairs[:, 0], pairs[:, 1]])
    nothing = own.chosen(np.zeros(len(own.first), dtype=bool))
    assert not sums_by_label(nothing.pairs, nothing.vectors_angstrom, bonds.n_atoms**2).any()


def test_symmetric_tensors_are_products_of_components():
    vectors = np.random.default_rng(0).normal(size=(4, 5, 3))
    tensors = symmetric_tensors(symmetric_products(vectors))
    np.testing.assert_allclose(tensors, vectors[..., :, None] * vectors[..., None, :])
    upper = np.triu(np.arange(9.0).reshape(3, 3))
    np.testing.assert_array_equal(mirrored(upper.copy()), upper + upper.T - np.diag(np.diag(upper)))


def test_the_switch_is_twice_differentiable():
    step = 1e-4
    for edge in (4.0, 6.0):
        near = smooth_switch(edge + step * np.array([-2.0, -1.0, 0.0, 1.0, 2.0]), 6.0, 2.0)
        assert np.abs(np.diff(near)).max() < 1e-8
        assert np.abs(np.diff(near, 2) / step**2).max() < 1e-2
    distances = np.linspace(0.0, 8.0, 200)
    assert np.all(np.diff(smooth_switch(distances, 6.0, 2.0)) <= 0.0)


def test_what_has_no_bonds_is_refused():
    chain = Structure(Lattice.cubic(3.0), ["K"], [[0, 0, 0]])
    for cutoff in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(SettingError):
            image_bonds(chain, cutoff)
    with pytest.raises(TooLargeError, match="smaller cutoff"):
        image_bonds(chain, 500.0)
    with pytest.raises(OverlapError):
        image_bonds(Structure(Lattice.cubic(3.0), ["K", "F"], [[0, 0, 0], [0, 0, 1]]), 4.0)
