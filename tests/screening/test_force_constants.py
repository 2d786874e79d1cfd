from __future__ import annotations

import numpy as np
import pytest
from phonopy import Phonopy

from screening.displacements import plan_displacements
from screening.errors import InconsistentDataError
from screening.force_constants import (
    acoustic_sum_error,
    solve_force_constants,
    symmetrise_force_constants,
)
from screening.supercell_symmetry import SupercellSymmetry, locate_atoms, phonopy_cell


def prepared(structure, matrix, potential):
    plan = plan_displacements(structure, matrix, 0.01)
    where = locate_atoms(structure, matrix, plan.scaled_positions, plan.numbers)
    symmetry = SupercellSymmetry(structure, matrix, *where)
    rows = np.array([np.flatnonzero(plan.sites == site)[0] for site in range(len(structure))])
    forces = potential.forces(plan.lattice, plan.positions_angstrom, plan.numbers)
    return plan, symmetry, rows, forces


def noisy_constants(structure, matrix, potential):
    plan, symmetry, rows, forces = prepared(structure, matrix, potential)
    noise = 1e-3 * np.random.default_rng(3).normal(size=forces.shape)
    raw = solve_force_constants(
        symmetry, rows, plan.displaced_atoms, plan.displacements_angstrom, forces + noise
    )
    return plan, symmetry, rows, forces + noise, raw


@pytest.mark.parametrize(
    "name", ["rocksalt", "wurtzite", "rutile", "corundum", "cotunnite", "triclinic"]
)
def test_solver_and_symmetrisation_agree_with_phonopy(crystals, pair_potential, name):
    structure, matrix = crystals[name], np.diag([2, 2, 2])
    plan, symmetry, rows, forces, raw = noisy_constants(structure, matrix, pair_potential)
    phonon = Phonopy(phonopy_cell(structure), matrix, primitive_matrix="P")
    phonon.generate_displacements(distance=0.01)
    phonon.forces = forces
    phonon.produce_force_constants()
    np.testing.assert_array_equal(rows, phonon.primitive.p2s_map)
    np.testing.assert_allclose(raw, phonon.force_constants[rows], atol=1e-10)
    phonon.symmetrize_force_constants()
    ours = symmetrise_force_constants(raw, symmetry, rows)
    np.testing.assert_allclose(ours, phonon.force_constants[rows], atol=1e-10)
    assert len(plan.numbers) == ours.shape[1]


def test_symmetrised_force_constants_obey_everything_at_once(crystal, pair_potential):
    plan, symmetry, rows, _, raw = noisy_constants(crystal, np.diag([2, 2, 2]), pair_potential)
    constants = symmetrise_force_constants(raw, symmetry, rows)
    assert acoustic_sum_error(raw) > 1e-3
    assert acoustic_sum_error(constants) < 1e-11
    mirrored = constants[plan.sites[None], symmetry.opposite(rows)].swapaxes(2, 3)
    np.testing.assert_allclose(constants, mirrored, atol=1e-11)
    for site, row in enumerate(rows):
        for other_site, other in enumerate(rows):
            for rotation in symmetry.rotations_between(row, other):
                turn = symmetry.rotations_cartesian[rotation]
                moved = constants[other_site][symmetry.permutation(rotation, row, other)]
                np.testing.assert_allclose(turn @ constants[site] @ turn.T, moved, atol=1e-9)
    np.testing.assert_allclose(
        symmetrise_force_constants(constants, symmetry, rows), constants, atol=1e-12
    )


def test_displacements_that_span_too_little_are_refused(crystals, pair_potential):
    plan, symmetry, rows, forces = prepared(
        crystals["triclinic"], np.diag([2, 2, 2]), pair_potential
    )
    few = plan.displaced_atoms != plan.displaced_atoms[0]
    few[:2] = True
    arguments = (plan.displaced_atoms[few], plan.displacements_angstrom[few], forces[few])
    with pytest.raises(InconsistentDataError, match="three directions"):
        solve_force_constants(symmetry, rows, *arguments)


def test_a_site_that_was_never_displaced_is_refused(crystals, pair_potential):
    plan, symmetry, rows, forces = prepared(
        crystals["rocksalt"], np.diag([2, 2, 2]), pair_potential
    )
    with pytest.raises(InconsistentDataError, match="independent site"):
        solve_force_constants(
            symmetry, rows, plan.displaced_atoms[:1], plan.displacements_angstrom[:1], forces[:1]
        )


def test_an_equivalent_atom_may_be_displaced_instead(crystals, pair_potential):
    structure, matrix = crystals["wurtzite"], np.diag([2, 2, 2])
    plan, symmetry, rows, forces = prepared(structure, matrix, pair_potential)
    expected = solve_force_constants(
        symmetry, rows, plan.displaced_atoms, plan.displacements_angstrom, forces
    )
    other = 2 * len(plan.numbers) // len(structure) - 1  # last image of the second site
    rotation = symmetry.rotations_between(int(plan.displaced_atoms[0]), other)[0]
    turn = symmetry.rotations_cartesian[rotation]
    atoms, moves, turned = (
        plan.displaced_atoms.copy(),
        plan.displacements_angstrom.copy(),
        forces.copy(),
    )
    for k in np.flatnonzero(atoms == atoms[0]):
        permutation = symmetry.permutation(rotation, int(plan.displaced_atoms[0]), other)
        turned[k][permutation] = forces[k] @ turn.T
        moves[k] = turn @ moves[k]
    atoms[atoms == plan.displaced_atoms[0]] = other
    found = solve_force_constants(symmetry, rows, atoms, moves, turned)
    np.testing.assert_allclose(found, expected, atol=1e-10)
