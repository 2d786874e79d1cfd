"""Atoms in another order, image or place are found, and what is uncertain is refused."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from screening.atom_order import match_atoms, primitive_cell_of, repeated_positions
from screening.errors import CellError, InconsistentDataError
from screening.supercell_symmetry import locate_atoms

MATRIX = np.diag([2, 2, 2])


def displaced(structure: Structure, size: float = 0.03, seed: int = 0):
    """Lattice, undisplaced atoms, their numbers and Cartesian displacements."""
    scaled, numbers = repeated_positions(structure, MATRIX)
    rng = np.random.default_rng(seed)
    moves = rng.normal(size=(len(numbers), 3))
    moves *= size / np.linalg.norm(moves, axis=1, keepdims=True)
    return MATRIX @ structure.lattice.matrix, scaled, numbers, moves


def test_atoms_in_their_places_keep_their_displacements(crystal):
    lattice, scaled, numbers, moves = displaced(crystal)
    match = match_atoms(lattice, scaled, numbers, scaled @ lattice + moves, numbers)
    np.testing.assert_array_equal(match.order, np.arange(len(numbers)))
    np.testing.assert_allclose(match.displacements_angstrom, moves, atol=1e-12)
    np.testing.assert_array_equal(match.translation_angstrom, 0)


@pytest.mark.parametrize("seed", range(5))
def test_shuffled_and_wrapped_atoms_are_mapped(crystal, seed):
    lattice, scaled, numbers, moves = displaced(crystal, seed=seed)
    rng = np.random.default_rng(100 + seed)
    order = rng.permutation(len(numbers))
    jumps = rng.integers(-2, 3, size=(len(numbers), 3))
    positions = ((scaled + jumps) @ lattice + moves)[order]
    match = match_atoms(lattice, scaled, numbers, positions, numbers[order])
    np.testing.assert_array_equal(order[match.order], np.arange(len(order)))
    np.testing.assert_allclose(match.displacements_angstrom, moves, atol=1e-10)


@pytest.mark.parametrize("length", [0.3, 0.9, 1.4])
@pytest.mark.parametrize("name", ["rocksalt", "wurtzite", "triclinic"])
def test_a_translation_of_the_whole_cell_is_taken_away(crystals, name, length):
    lattice, scaled, numbers, moves = displaced(crystals[name])
    moves -= moves.mean(axis=0)
    direction = np.array([0.6, 0.64, 0.48])
    order = np.random.default_rng(3).permutation(len(numbers))
    positions = (scaled @ lattice + moves + length * direction)[order]
    match = match_atoms(lattice, scaled, numbers, positions, numbers[order])
    # A translation of the crystal may be taken along: then every atom is another of its kind.
    kept = np.linalg.norm(moves, axis=1)[order[match.order]]
    np.testing.assert_allclose(np.linalg.norm(match.displacements_angstrom, axis=1), kept)
    found = match.translation_angstrom - length * direction
    in_primitive = found @ crystals[name].lattice.inv_matrix
    np.testing.assert_allclose(in_primitive, np.rint(in_primitive), atol=1e-6)


def test_independent_displacements_are_no_translation(crystals):
    lattice, scaled, numbers, moves = displaced(crystals["rocksalt"])
    moves[1:] = 0  # one atom moved, as systematic sets have it
    match = match_atoms(lattice, scaled, numbers, scaled @ lattice + moves, numbers)
    np.testing.assert_allclose(match.displacements_angstrom, moves, atol=1e-12)


def test_other_atoms_are_refused(crystals):
    lattice, scaled, numbers, moves = displaced(crystals["rocksalt"])
    others = numbers.copy()
    others[0] = 19
    with pytest.raises(InconsistentDataError, match=r"1 atoms of Z=19.*8 atoms of Z=11"):
        match_atoms(lattice, scaled, numbers, scaled @ lattice + moves, others)


def test_an_atom_that_is_too_far_is_named(crystals):
    lattice, scaled, numbers, moves = displaced(crystals["rocksalt"])
    moves[5] = [0, 0, 0.8]
    with pytest.raises(InconsistentDataError, match=r"atom 6 is 0\.[78]\d+ Å"):
        match_atoms(lattice, scaled, numbers, scaled @ lattice + moves, numbers)


def test_two_atoms_equally_near_are_refused():
    chain = Structure(Lattice.orthorhombic(2.0, 9.0, 9.0), ["H", "H"], [[0, 0, 0], [0.4, 0, 0]])
    lattice, scaled, numbers, moves = displaced(chain, size=0.0)
    moves[:] = 0
    moves[0, 0] = 0.38  # 0.42 Å from its neighbour
    with pytest.raises(InconsistentDataError, match=r"0\.38\d* and .*which belongs there"):
        match_atoms(lattice, scaled, numbers, scaled @ lattice + moves, numbers)


def test_the_primitive_cell_of_a_supercell_is_found_in_its_own_orientation(crystal):
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)
    matrix = np.array([[2, 1, 0], [0, 2, 0], [1, 0, 2]])
    scaled, numbers = repeated_positions(crystal, matrix)
    lattice = matrix @ crystal.lattice.matrix @ turn
    shuffled = np.random.default_rng(2).permutation(len(numbers))
    supercell = Structure(lattice, numbers[shuffled], scaled[shuffled])
    primitive = primitive_cell_of(supercell)
    assert len(primitive) == len(crystal)
    found = lattice @ primitive.lattice.inv_matrix
    np.testing.assert_allclose(found, np.rint(found), atol=1e-8)
    assert np.linalg.det(primitive.lattice.matrix) > 0
    locate_atoms(primitive, np.rint(found).astype(int), scaled[shuffled], numbers[shuffled], 1e-6)


def test_a_primitive_cell_stays_as_it_is(crystal):
    assert primitive_cell_of(crystal) == crystal


def test_cells_that_are_none_are_refused(crystals):
    with pytest.raises(InconsistentDataError, match="determinant"):
        repeated_positions(crystals["fcc"], np.diag([1, 1, 0]))
    overlap = Structure(Lattice.cubic(3.0), ["H", "H"], [[0, 0, 0], [0, 0, 0]])
    with pytest.raises(CellError, match="no symmetry"):
        primitive_cell_of(overlap)
