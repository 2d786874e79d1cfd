"""Patterns of modes: what lattice dynamics demands of them, for crystals of many symmetries."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from screening import imaginary_modes
from screening.displacements import plan_displacements
from screening.errors import NoImaginaryModeError
from screening.imaginary_modes import (
    commensurate_q_points,
    imaginary_mode,
    q_point_text,
    smallest_supercell,
    unsampled_supercell,
)
from screening.phonons import forces_of_plan, frequencies_at, harmonic_from_forces
from screening.supercell_symmetry import phonopy_cell

ANY_FREQUENCY_THZ = 1e3  # every mode counts as imaginary: patterns are right or wrong for all
TINY_ANGSTROM = 1e-4


def forces_in(structure, calculator, matrix, length=TINY_ANGSTROM):
    plan = plan_displacements(structure, np.asarray(matrix), length)
    return forces_of_plan(structure, calculator, plan)


def masses(structure):
    return np.array(phonopy_cell(structure).masses)


def force_change(mode, calculator, amplitude):
    """Forces that the displacement adds, per unit of amplitude, shape (atom, 3)."""
    cell = mode.undistorted.lattice.matrix
    numbers = np.array(mode.undistorted.atomic_numbers)
    still = mode.undistorted.cart_coords
    copies = np.stack([still + amplitude * mode.pattern, still - amplitude * mode.pattern])
    forward, backward = calculator.forces(cell, copies, numbers)
    return (forward - backward) / (2 * amplitude)


def assert_eigenmode(mode, calculator):
    """Every atom is pulled along its displacement, in proportion to its mass."""
    inertia = masses(mode.undistorted)[:, None] * mode.pattern
    eigenvalue = mode.curvature_ev_per_angstrom2 / (inertia * mode.pattern).sum()
    found = force_change(mode, calculator, TINY_ANGSTROM)
    expected = -eigenvalue * inertia
    assert np.abs(found - expected).max() < 1e-4 * max(np.abs(expected).max(), 1e-2)
    assert np.abs(inertia.sum(axis=0)).max() < 1e-6 * np.abs(inertia).max()  # it moves nothing
    assert np.linalg.norm(mode.pattern, axis=1).max() == pytest.approx(1.0)


@pytest.mark.parametrize("counts", [(2, 2, 2), (3, 1, 2), (1, 4, 1)])
@pytest.mark.parametrize(
    "name", ["fcc", "hcp", "zincblende", "wurtzite", "quartz", "rutile", "monoclinic", "triclinic"]
)
def test_the_pattern_at_every_wave_vector_is_an_eigenmode(crystals, pair_potential, name, counts):
    structure = crystals[name]
    matrix = np.diag(counts)
    harmonic = harmonic_from_forces(forces_in(structure, pair_potential, matrix))
    for q_point in commensurate_q_points(matrix):
        if len(structure) == 1 and not q_point.any():
            continue  # rigid translations only
        for combine in (False, True):
            mode = imaginary_modes._mode_at(harmonic, q_point, combine_degenerate=combine)
            assert_eigenmode(mode, pair_potential)
            n_cells = len(mode.undistorted) // len(structure)
            assert n_cells == abs(round(np.linalg.det(mode.supercell_matrix)))
            assert np.allclose(mode.supercell_matrix @ q_point % 1, 0)
            assert 1 <= mode.degeneracy <= 6


def test_the_lowest_mode_is_the_lowest_of_all_commensurate_ones(crystal, pair_potential):
    matrix = np.diag([2, 1, 2])
    harmonic = harmonic_from_forces(forces_in(crystal, pair_potential, matrix))
    mode = imaginary_mode(harmonic, max_atoms=1000, threshold_thz=ANY_FREQUENCY_THZ)
    q_points = commensurate_q_points(matrix)
    every = frequencies_at(harmonic, q_points)
    gamma = ~q_points.any(axis=1)
    every[gamma] = np.sort(np.where(np.abs(every[gamma]) < 1e-3, np.inf, every[gamma]))
    assert mode.frequency_thz == pytest.approx(every.min(), abs=2e-3)
    assert_eigenmode(mode, pair_potential)


def test_born_charges_change_no_pattern_beside_the_zone_centre(crystals, pair_potential):
    bare = forces_in(crystals["wurtzite"], pair_potential, np.diag([2, 2, 1]))
    charged = replace(
        bare,
        born_charges_e=np.array([np.eye(3), np.eye(3), -np.eye(3), -np.eye(3)]) * 2.0,
        dielectric_constant=4.0 * np.eye(3),
    )
    for q_point in np.array([[0.5, 0, 0], [0.5, 0.5, 0]]):
        one, two = (
            imaginary_modes._mode_at(harmonic_from_forces(data), q_point, combine_degenerate=False)
            for data in (bare, charged)
        )
        assert two.frequency_thz == pytest.approx(one.frequency_thz, abs=1e-4)
        assert np.allclose(two.pattern, one.pattern, atol=1e-3)
        assert_eigenmode(two, pair_potential)


def test_the_pattern_does_not_depend_on_how_degenerate_modes_are_turned():
    rng = np.random.default_rng(0)
    space, _ = np.linalg.qr(rng.normal(size=(12, 3)) + 1j * rng.normal(size=(12, 3)))
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)) + 1j * rng.normal(size=(3, 3)))
    first, second = (imaginary_modes._canonical_basis(v) for v in (space, space @ turn))
    assert np.allclose(first, second)
    assert np.allclose(first.conj().T @ first, np.eye(3))
    assert np.allclose(first @ first.conj().T, space @ space.conj().T)


def test_the_phase_takes_the_farthest_atom_to_its_end():
    rng = np.random.default_rng(1)
    moves = rng.normal(size=(4, 3)) + 1j * rng.normal(size=(4, 3))
    best = imaginary_modes._best_phase(moves)
    turns = np.exp(1j * np.linspace(0, 2 * np.pi, 721))
    reached = np.linalg.norm((turns[:, None, None] * moves).real, axis=2).max()
    assert np.linalg.norm((best * moves).real, axis=1).max() == pytest.approx(reached, rel=1e-4)


@pytest.mark.parametrize("matrix", [np.diag([2, 3, 4]), [[-1, 1, 1], [1, -1, 1], [1, 1, -1]]])
def test_commensurate_wave_vectors_are_all_there_and_none_twice(matrix):
    matrix = np.array(matrix)
    found = commensurate_q_points(matrix)
    assert len(found) == abs(round(np.linalg.det(matrix)))
    assert len({tuple(np.round(q % 1, 6)) for q in found}) == len(found)
    assert np.allclose(found @ matrix.T, np.rint(found @ matrix.T))
    assert found.min() > -0.5
    assert found.max() <= 0.5


@pytest.mark.parametrize(
    ("q_point", "n_cells"),
    [
        ((0, 0, 0), 1),
        ((0.5, 0.5, 0.5), 2),
        ((1 / 3, -1 / 3, 0), 3),
        ((0.5, 0.25, 0), 4),
        ((0.4, 0.2, 0), 5),
        ((0.5, 1 / 3, 0), 6),
        ((0.5, 1 / 3, 0.25), 12),
    ],
)
def test_the_smallest_supercell_repeats_the_wave_and_nothing_smaller_does(q_point, n_cells):
    matrix = smallest_supercell(np.array(q_point))
    assert round(np.linalg.det(matrix)) == n_cells
    assert np.allclose(matrix @ q_point, np.rint(matrix @ np.array(q_point)))


def test_fractions_are_written_as_such():
    assert q_point_text(np.array([0.5, 1 / 3, -0.25])) == "(1/2, 1/3, -1/4)"
    assert q_point_text(np.zeros(3)) == "(0, 0, 0)"


def test_a_mode_that_fits_no_allowed_cell_is_refused(crystals, pair_potential):
    harmonic = harmonic_from_forces(forces_in(crystals["fcc"], pair_potential, np.diag([2, 2, 2])))
    with pytest.raises(NoImaginaryModeError, match="THz") as raised:
        imaginary_mode(harmonic, max_atoms=64, threshold_thz=-ANY_FREQUENCY_THZ)
    assert raised.value.subject == "Al"
    with pytest.raises(NoImaginaryModeError, match="in a cell of 2 atoms"):
        imaginary_mode(harmonic, max_atoms=1, threshold_thz=ANY_FREQUENCY_THZ)


def test_a_supercell_that_misses_the_instability_is_noticed(pair_potential):
    """A chain that wants to double its cell is not seen by three repetitions."""
    structure = Structure(Lattice.orthorhombic(6, 6, 3.0), ["Al"], [[0, 0, 0]])
    soft = replace(pair_potential, scale=-1.0)
    limits = {"max_atoms": 8, "max_supercell_atoms": 64}
    seen = {}
    for count in (2, 3):
        matrix = np.diag([count, count, count])
        harmonic = harmonic_from_forces(forces_in(structure, soft, matrix))
        seen[count] = unsampled_supercell(harmonic, **limits)
        assert unsampled_supercell(harmonic, **limits | {"max_supercell_atoms": 7}) is None
    assert seen[2] is None
    assert np.array_equal(seen[3], 2 * np.eye(3))
