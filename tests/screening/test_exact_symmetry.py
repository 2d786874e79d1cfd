"""Operations that hold to the last digits."""

from __future__ import annotations

import numpy as np
import pytest
from small_networks import cells

from screening.exact_symmetry import exact_operations
from screening.symmetry_finder import symmetry_finder

CELLS = cells()


def operations_of(atoms, tolerance=2e-9):
    return exact_operations(
        atoms.cell.array, atoms.positions, atoms.numbers, atoms.numbers, tolerance
    )


@pytest.mark.parametrize("name", CELLS)
def test_there_are_as_many_as_spglib_finds_and_each_holds(name):
    atoms, order = CELLS[name]
    found = operations_of(atoms)
    fractions = atoms.get_scaled_positions()
    known = symmetry_finder().get_symmetry((atoms.cell.array, fractions, atoms.numbers), 1e-7)
    assert len(found.rotations) == len(known["rotations"]) == order
    np.testing.assert_array_equal(found.permutations[0], np.arange(len(atoms)))
    np.testing.assert_allclose(found.rotations[0], np.eye(3), atol=1e-14)
    assert len(np.unique(found.permutations, axis=0)) == min(
        order, len(np.unique(found.permutations, axis=0))
    )
    for turn, images in zip(found.rotations, found.permutations, strict=True):
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-9)
        assert sorted(images) == list(range(len(atoms)))
        assert (atoms.numbers[images] == atoms.numbers).all()
        shift = atoms.positions[images] - atoms.positions @ turn.T
        shift = (shift - shift[0]) @ np.linalg.inv(atoms.cell.array)
        np.testing.assert_allclose(shift, np.rint(shift), atol=1e-9)


def test_a_skewed_basis_of_the_same_cell_has_the_same_operations():
    atoms, order = CELLS["zincblende"]
    skewed = atoms.copy()
    skewed.set_cell(np.array([[1, 0, 0], [1, 1, 0], [2, -1, 1]]) @ atoms.cell.array)
    assert len(operations_of(skewed).rotations) == order
    left_handed = atoms.copy()
    left_handed.set_cell(atoms.cell.array[[1, 0, 2]])
    assert len(operations_of(left_handed).rotations) == order


def test_what_is_off_by_more_than_the_tolerance_is_no_symmetry():
    atoms, order = CELLS["rocksalt"]
    for noise, tolerance, wanted in ((1e-11, 2e-9, order), (1e-6, 2e-9, 1), (1e-6, 1e-5, order)):
        moved = atoms.copy()
        moved.rattle(noise, seed=4)
        assert len(operations_of(moved, tolerance).rotations) == wanted
    stretched = atoms.copy()
    stretched.set_cell(stretched.cell.array * [1, 1, 1 + 1e-7], scale_atoms=True)
    assert len(operations_of(stretched).rotations) == 4


def test_kinds_only_make_it_faster():
    atoms, order = CELLS["perovskite"]
    kinds = np.arange(len(atoms)) == 2  # the one that was moved
    found = exact_operations(
        atoms.cell.array, atoms.positions, atoms.numbers, kinds.astype(np.int64)
    )
    assert len(found.rotations) == order
