from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from random_cells import rattled

from screening.errors import (
    InconsistentDataError,
    NonFiniteInputError,
    TooLargeError,
    WrongShapeError,
)
from screening.force_constants import acoustic_sum_error, third_order_acoustic_sum_error
from screening.gaussian_process.derivative_fit import DerivativeKernelSettings, fit_derivatives
from screening.gaussian_process.derivative_kernel import (
    cell_gradients,
    compact_rows,
    coordinates_of,
    derivative_force_constants,
)

displaced = partial(rattled, rattle_angstrom=0.01, seed=7)


def first_cells(cells, n_cells):
    return replace(
        cells,
        displacements_angstrom=cells.displacements_angstrom[:n_cells],
        forces_ev_per_angstrom=cells.forces_ev_per_angstrom[:n_cells],
    )


def central_differences(cells, potential, atom, axis, step=1e-4):
    """Return one row of second derivatives, shape (atom, 3)."""
    lattice = cells.supercell_lattice
    still = cells.supercell_scaled_positions @ lattice
    both = np.stack([still, still])
    both[0, atom, axis] += step
    both[1, atom, axis] -= step
    forces = potential.forces(lattice, both, cells.supercell_numbers)
    return (forces[1] - forces[0]) / (2.0 * step)


@pytest.mark.parametrize("name", ["fcc", "rocksalt", "wurtzite"])
def test_the_sum_rule_is_learned_from_many_cells(crystals, pair_potential, name):
    structure = crystals[name]
    repeats = [2, 2, 8 // (4 * len(structure))] if len(structure) < 4 else [2, 1, 1]
    repeats = [max(one, 1) for one in repeats]
    cells = displaced(structure, repeats, pair_potential, 6 * 8)
    dimension = 3 * cells.n_atoms
    errors = [
        derivative_force_constants(first_cells(cells, n)).second_order_ev_per_angstrom2
        for n in (dimension // 2, 2 * dimension)
    ]
    few, many = (acoustic_sum_error(one) for one in errors)
    assert many < 0.1 * few
    for site, atom in enumerate(compact_rows(cells)):
        for axis in range(3):
            expected = central_differences(cells, pair_potential, atom, axis)
            np.testing.assert_allclose(errors[1][site, :, axis], expected, atol=0.03)


def test_compact_force_constants_are_the_rows_of_all_derivatives(crystals, pair_potential):
    cells = displaced(crystals["rocksalt"], [2, 1, 1], pair_potential, 9)
    settings = DerivativeKernelSettings()
    found = derivative_force_constants(cells, settings)
    points, gradients, energies = cell_gradients(cells)
    assert energies is None
    fit = fit_derivatives(points, gradients, settings)
    second = fit.second_derivatives().reshape(4, 3, 4, 3)
    third = fit.third_derivatives().reshape(4, 3, 4, 3, 4, 3)
    np.testing.assert_array_equal(compact_rows(cells), [0, 2])
    for site, atom in enumerate(compact_rows(cells)):
        for other in range(4):
            block = found.second_order_ev_per_angstrom2[site, other]
            np.testing.assert_allclose(block, second[atom, :, other], atol=1e-12)
            for last in range(4):
                cube = found.third_order_ev_per_angstrom3[site, other, last]
                np.testing.assert_allclose(cube, third[atom, :, other, :, last], atol=1e-10)
    drift = third_order_acoustic_sum_error(found.third_order_ev_per_angstrom3)
    assert drift == pytest.approx(np.abs(third[[0, 2]].sum(axis=4)).max(), rel=1e-9)
    alone = derivative_force_constants(cells, replace(settings, third_order=False))
    assert alone.third_order_ev_per_angstrom3 is None


def test_residual_forces_change_nothing(crystals, pair_potential):
    cells = displaced(crystals["rocksalt"], [2, 1, 1], pair_potential, 9)
    points = cells.displacements_angstrom.reshape(9, -1)
    energies = np.sum(points * cell_gradients(cells)[1], axis=1) / 2.0  # about right
    cells = replace(cells, energies_ev=energies)
    push = np.random.default_rng(1).normal(size=(4, 3))
    pushed = replace(
        cells,
        forces_ev_per_angstrom=cells.forces_ev_per_angstrom + push,
        residual_forces_ev_per_angstrom=cells.residual_forces_ev_per_angstrom + push,
        energies_ev=energies - points @ push.ravel(),
    )
    settings = DerivativeKernelSettings(noise_energy_ev=1e-4, noise_force_ev_per_angstrom=1e-3)
    expected = derivative_force_constants(cells, settings).second_order_ev_per_angstrom2
    found = derivative_force_constants(pushed, settings).second_order_ev_per_angstrom2
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_what_describes_the_crystal_is_kept(crystals, pair_potential):
    charges = np.array([np.eye(3), -np.eye(3)])
    cells = replace(
        displaced(crystals["rocksalt"], [2, 1, 1], pair_potential, 3),
        born_charges_e=charges,
        dielectric_constant=2.0 * np.eye(3),
    )
    found = derivative_force_constants(cells)
    assert found.primitive is cells.primitive
    assert found.born_charges_e is charges
    np.testing.assert_array_equal(found.supercell_numbers, cells.supercell_numbers)
    assert found.second_order_ev_per_angstrom2.shape == (2, 4, 3, 3)
    assert found.third_order_ev_per_angstrom3.shape == (2, 4, 4, 3, 3, 3)


def test_coordinates_of_atoms_come_three_by_three():
    np.testing.assert_array_equal(coordinates_of(np.array([0, 2])), [0, 1, 2, 6, 7, 8])


def test_unusable_cells_are_refused(crystals, pair_potential):
    cells = displaced(crystals["rocksalt"], [2, 1, 1], pair_potential, 3)
    forces = cells.forces_ev_per_angstrom.copy()
    forces[1, 2, 0] = np.nan
    with pytest.raises(NonFiniteInputError):
        derivative_force_constants(replace(cells, forces_ev_per_angstrom=forces))
    few = {"forces_ev_per_angstrom": forces[:2]}
    for wrong in (few, {"energies_ev": np.zeros(2)}, {"supercell_numbers": np.zeros(5)}):
        with pytest.raises(WrongShapeError, match="not those of 3 cells"):
            derivative_force_constants(replace(cells, **wrong))
    with pytest.raises(InconsistentDataError):
        derivative_force_constants(replace(cells, supercell_matrix=np.diag([3, 1, 1])))


def test_third_order_that_memory_cannot_hold_is_refused(crystals, pair_potential):
    cells = displaced(crystals["rocksalt"], [2, 1, 1], pair_potential, 1)
    many = replace(cells, supercell_numbers=np.zeros(3000, dtype=np.int64))
    with pytest.raises(TooLargeError, match=r"3\.9 GB"):
        derivative_force_constants(many)
