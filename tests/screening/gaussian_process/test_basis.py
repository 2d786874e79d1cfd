from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from random_cells import (
    MATRICES,
    all_rows,
    operations,
    polynomial_forces,
    random_amplitudes,
    undisplaced,
)

from screening.errors import InconsistentDataError, SettingError, WrongShapeError
from screening.gaussian_process.basis import force_constant_basis
from screening.gaussian_process.displacements import random_displacements

ORDERS = (1, 2, 3)


@pytest.fixture(params=["rocksalt", "wurtzite", "triclinic"], scope="module")
def case(request, crystals):
    cell = undisplaced(crystals[request.param], MATRICES[request.param])
    return cell, force_constant_basis(cell, ORDERS)


def full(basis, seed=0):
    return {
        one.order: all_rows(basis, basis.expand(one.order, values), one.order)
        for one, values in zip(basis.orders, random_amplitudes(basis, seed), strict=True)
    }


def test_force_constants_are_invariant_under_every_symmetry_operation(case) -> None:
    cell, basis = case
    constants = full(basis)
    for rotation, moved in operations(cell):
        for order, values in constants.items():
            rotated = values
            for axis in range(order, 2 * order):
                rotated = np.moveaxis(np.tensordot(rotated, rotation.T, (axis, 0)), -1, axis)
            images = values[np.ix_(*(moved,) * order)]
            assert np.abs(images - rotated).max() < 1e-10 * np.abs(values).max()


def test_the_order_of_differentiation_does_not_matter(case) -> None:
    constants = full(case[1])
    second, third = constants[2], constants[3]
    assert np.abs(second - second.transpose(1, 0, 3, 2)).max() < 1e-10 * np.abs(second).max()
    for swapped in (third.transpose(0, 2, 1, 3, 5, 4), third.transpose(1, 0, 2, 4, 3, 5)):
        assert np.abs(third - swapped).max() < 1e-10 * np.abs(third).max()


def test_rigid_translations_change_nothing(case) -> None:
    for order, values in full(case[1]).items():
        for atom in range(order):
            assert np.abs(values.sum(axis=atom)).max() < 1e-10 * np.abs(values).max()


def test_columns_are_orthonormal_over_the_supercell(case) -> None:
    basis = case[1]
    for one in basis.orders:
        overlap = (one.columns.T @ one.columns).toarray() * len(basis.translations)
        assert np.allclose(overlap, np.eye(one.n_columns), atol=1e-12)
        kept = one.constraints.T @ one.constraints
        assert np.allclose(kept, np.eye(one.constraints.shape[1]), atol=1e-12)


def test_projection_undoes_expansion(case) -> None:
    basis = case[1]
    for one, values in zip(basis.orders, random_amplitudes(basis), strict=True):
        found = basis.project(one.order, basis.expand(one.order, values))
        assert np.allclose(found, values, rtol=0, atol=1e-12 * np.abs(values).max())


def test_designs_are_the_forces_of_force_constants(case) -> None:
    cell, basis = case
    moves = random_displacements(cell.n_atoms, 3, 0.05, seed=1)
    amplitudes = random_amplitudes(basis)
    designs = [basis.design(one.order, moves) for one in basis.orders]
    found = sum(design @ values for design, values in zip(designs, amplitudes, strict=True))
    expected = polynomial_forces(basis, amplitudes, moves)
    assert np.allclose(found, expected.ravel(), rtol=0, atol=1e-12 * np.abs(expected).max())


def test_little_memory_gives_the_same_designs(case, monkeypatch) -> None:
    _, basis = case
    moves = random_displacements(basis.n_atoms, 3, 0.05)
    whole = [basis.design(one.order, moves) for one in basis.orders]
    monkeypatch.setattr("screening.gaussian_process.basis._BATCH_NUMBERS", 1)
    for one, expected in zip(basis.orders, whole, strict=True):
        np.testing.assert_allclose(basis.design(one.order, moves), expected, atol=1e-15)


def test_a_cutoff_within_the_nearest_neighbours_is_refused_as_such(crystals) -> None:
    cell = undisplaced(crystals["wurtzite"], MATRICES["wurtzite"])
    with pytest.raises(SettingError, match=r"within 0\.5 Å"):
        force_constant_basis(cell, (3,), 0.5)


def test_symmetry_that_leaves_no_third_order_is_said(crystals) -> None:
    cell = undisplaced(crystals["fcc"], np.diag([2, 2, 2]))
    with pytest.raises(SettingError, match="symmetry leaves no force constants of order 3"):
        force_constant_basis(cell, (3,))


def test_first_order_is_what_symmetry_permits(crystals) -> None:
    for name, n_unknowns in (("wurtzite", 1), ("triclinic", 6)):
        cell = undisplaced(crystals[name], MATRICES[name])
        first = force_constant_basis(cell, ORDERS).order(1)
        assert first.n_columns >= first.n_unknowns >= n_unknowns
        assert first.columns.shape[1] > 0
    rocksalt = force_constant_basis(undisplaced(crystals["rocksalt"], MATRICES["rocksalt"]), ORDERS)
    with pytest.raises(SettingError, match="no force constants of order 1"):
        rocksalt.order(1)


def test_a_cutoff_leaves_out_far_triplets(crystals) -> None:
    cell = undisplaced(crystals["rocksalt"], MATRICES["rocksalt"])
    every, near = (force_constant_basis(cell, (2, 3), cut) for cut in (None, 3.5))
    assert near.order(2).n_unknowns == every.order(2).n_unknowns
    assert 0 < near.order(3).n_unknowns < every.order(3).n_unknowns
    third = near.expand(3, random_amplitudes(near)[-1])
    distances = cell.primitive.copy().make_supercell(cell.supercell_matrix).distance_matrix
    far = distances[near.rows] > 3.5
    assert far.any()
    assert not third[far].any()
    assert not third.transpose(0, 2, 1, 3, 4, 5)[far].any()
    assert near.order(3).extents_angstrom.max() < 1.5 * 3.5


def test_extents_are_half_the_perimeter_of_every_triangle_of_a_column(case) -> None:
    cell, basis = case
    apart = cell.primitive.copy().make_supercell(cell.supercell_matrix).distance_matrix
    assert basis.nearest_angstrom == pytest.approx(apart[apart > 0.1].min())
    sides = apart[basis.rows]
    perimeters = sides[:, :, None] + sides[:, None, :] + apart[None]
    for order, lengths in ((2, sides), (3, 0.5 * perimeters)):
        columns = basis.order(order).columns.tocoo()
        found = basis.order(order).extents_angstrom[columns.col]
        entries = np.repeat(lengths.ravel(), 3**order)[columns.row]
        assert np.allclose(found, entries, atol=1e-6)


def test_another_order_of_atoms_gives_the_same_force_constants(crystals) -> None:
    cell = undisplaced(crystals["wurtzite"], MATRICES["wurtzite"])
    order = np.random.default_rng(3).permutation(cell.n_atoms)
    shuffled = replace(
        cell,
        supercell_scaled_positions=cell.supercell_scaled_positions[order],
        supercell_numbers=cell.supercell_numbers[order],
    )
    first, other = force_constant_basis(cell, ORDERS), force_constant_basis(shuffled, ORDERS)
    assert [one.n_unknowns for one in first.orders] == [one.n_unknowns for one in other.orders]
    assert cell.supercell_numbers[order][other.rows].tolist() == [
        site.specie.Z for site in cell.primitive
    ]
    values = full(first)
    for one in other.orders:
        # what one basis can express the other can
        moved = values[one.order][np.ix_(*(order,) * one.order)][other.rows]
        again = other.expand(one.order, other.project(one.order, moved))
        assert np.abs(again - moved).max() < 1e-10 * np.abs(moved).max()


def test_displacements_of_another_supercell_are_refused(case) -> None:
    with pytest.raises(WrongShapeError, match="displacements"):
        case[1].design(2, np.zeros((1, 5, 3)))


def test_unknown_orders_are_refused(crystals) -> None:
    cell = undisplaced(crystals["rocksalt"], MATRICES["rocksalt"])
    with pytest.raises(SettingError, match="order 4"):
        force_constant_basis(cell, (2, 4))


def test_a_supercell_of_another_crystal_is_refused(crystals) -> None:
    cell = undisplaced(crystals["rocksalt"], MATRICES["rocksalt"])
    with pytest.raises(InconsistentDataError):
        force_constant_basis(replace(cell, supercell_numbers=cell.supercell_numbers[::-1]))
