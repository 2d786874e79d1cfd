"""Phonon coordinates: orthogonal, at every wave vector, with the physics of force constants."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from phonopy import Phonopy

from screening.anharmonic import ForceConstants
from screening.atom_order import repeated_positions
from screening.errors import InconsistentDataError, TooLargeError, WrongShapeError
from screening.gaussian_process.coordinate_derivatives import (
    dynamical_matrices,
    second_order_from_coordinates,
    second_order_from_dynamical_matrices,
    second_order_to_coordinates,
    third_order_from_coordinates,
    third_order_to_coordinates,
)
from screening.gaussian_process.coordinates import (
    cell_periodic,
    forces_from_coordinates,
    phonon_coordinates,
    to_coordinates,
    to_displacements,
    to_gradients,
)
from screening.harmonic import harmonic_from_forces
from screening.phonons import PhononSettings, compute_forces
from screening.supercell_symmetry import phonopy_cell

NACL = Path(__file__).parents[4] / "shared/data/third_order/NaCl-random-displacements.yaml.xz"
MATRICES = {
    "slab": np.diag([2, 2, 3]),
    "conventional": np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]),
    "skew": np.array([[2, 1, 0], [0, 2, 0], [1, 0, 2]]),
}


def supercell(structure, matrix, second=None, third=None) -> ForceConstants:
    scaled, numbers = repeated_positions(structure, matrix)
    n_sites, n_atoms = len(structure), len(numbers)
    if second is None:
        second = np.zeros((n_sites, n_atoms, 3, 3))
    return ForceConstants(structure, matrix, scaled, numbers, second, third)


@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)
@pytest.mark.parametrize("name", ["rocksalt", "wurtzite", "triclinic", "fcc"])
def test_they_are_an_orthogonal_change_of_mass_weighted_displacements(crystals, name, matrix):
    coordinates = phonon_coordinates(supercell(crystals[name], matrix))
    n = 3 * len(coordinates.sites)
    assert coordinates.transformation.shape == (n, n)
    np.testing.assert_allclose(
        coordinates.transformation @ coordinates.transformation.T, np.eye(n), atol=1e-13
    )
    rng = np.random.default_rng(0)
    moves = rng.normal(size=(4, n // 3, 3))
    amplitudes = to_coordinates(coordinates, moves)
    np.testing.assert_allclose(to_displacements(coordinates, amplitudes), moves, atol=1e-13)
    kinetic = (coordinates.masses_amu[:, None] * moves**2).sum(axis=(1, 2))
    np.testing.assert_allclose((amplitudes**2).sum(axis=1), kinetic, rtol=1e-12)


@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)
def test_every_wave_vector_that_fits_the_supercell_is_there_once(crystals, matrix):
    coordinates = phonon_coordinates(supercell(crystals["rocksalt"], matrix))
    phases = coordinates.q_points @ matrix.T  # rows of the matrix are supercell vectors
    np.testing.assert_allclose(phases, np.rint(phases), atol=1e-12)
    both = np.where(coordinates.self_opposite, 1, 2)
    assert both.sum() == abs(round(np.linalg.det(matrix)))
    np.testing.assert_array_equal(coordinates.q_points[0], 0)
    every = np.concatenate([coordinates.q_points, -coordinates.q_points[both == 2]])
    apart = every[:, None] - every[None]
    same = np.abs(apart - np.rint(apart)).max(axis=2) < 1e-9
    np.testing.assert_array_equal(same, np.eye(len(every), dtype=bool))
    np.testing.assert_array_equal(
        np.bincount(coordinates.q_indices), both * 3 * len(crystals["rocksalt"])
    )


@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)
@pytest.mark.parametrize("name", ["rocksalt", "wurtzite", "triclinic"])
def test_dynamical_matrices_are_those_of_the_harmonic_crystal(
    crystals, pair_potential, name, matrix
):
    data = compute_forces(crystals[name], pair_potential, PhononSettings(), matrix)
    harmonic = harmonic_from_forces(data)
    constants = harmonic.force_constants_ev_per_angstrom2
    coordinates = phonon_coordinates(data)
    found = dynamical_matrices(coordinates, constants)
    expected = harmonic.dynamical_matrices(coordinates.q_points)
    np.testing.assert_allclose(found, expected, atol=1e-10)
    back = second_order_from_dynamical_matrices(coordinates, found)
    np.testing.assert_allclose(back, constants, atol=1e-12)


def test_dynamical_matrices_are_those_of_phonopy_up_to_the_phases_of_the_sites(
    crystals, pair_potential
):
    structure, matrix = crystals["wurtzite"], MATRICES["slab"]
    data = compute_forces(structure, pair_potential, PhononSettings(), matrix)
    constants = harmonic_from_forces(data).force_constants_ev_per_angstrom2
    coordinates = phonon_coordinates(data)
    phonon = Phonopy(phonopy_cell(structure), matrix.T, "P", is_symmetry=False)
    phonon.force_constants = np.array(constants)
    for q_point, ours in zip(
        coordinates.q_points, dynamical_matrices(coordinates, constants), strict=True
    ):
        phonon.dynamical_matrix.run(q_point)
        phases = np.repeat(np.exp(2j * np.pi * structure.frac_coords @ q_point), 3)
        theirs = phases[:, None] * phonon.dynamical_matrix.dynamical_matrix * phases.conj()
        np.testing.assert_allclose(ours, theirs, atol=1e-10)


@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)
def test_translation_invariant_constants_fall_into_blocks_and_come_back(crystals, matrix):
    structure = crystals["rocksalt"]
    empty = supercell(structure, matrix)
    rng = np.random.default_rng(1)
    second = rng.normal(size=empty.second_order_ev_per_angstrom2.shape)
    coordinates = phonon_coordinates(empty)
    derivatives = second_order_to_coordinates(coordinates, second)
    between = coordinates.q_indices[:, None] != coordinates.q_indices[None]
    assert np.abs(derivatives[between]).max() < 1e-13
    assert np.abs(derivatives[~between]).max() > 1e-2
    np.testing.assert_allclose(
        second_order_from_coordinates(coordinates, derivatives), second, atol=1e-12
    )


def test_gradients_follow_from_the_energy(crystals, pair_potential):
    structure, matrix = crystals["zincblende"], MATRICES["conventional"]
    data = compute_forces(structure, pair_potential, PhononSettings(), matrix)
    constants = harmonic_from_forces(data).force_constants_ev_per_angstrom2
    coordinates = phonon_coordinates(data)
    rng = np.random.default_rng(2)
    moves = rng.normal(size=(len(coordinates.sites), 3))
    full = constants[coordinates.sites[:, None], coordinates.images]
    forces = -np.einsum("ijab,jb->ia", full, moves)
    gradients = to_gradients(coordinates, forces)
    derivatives = second_order_to_coordinates(coordinates, constants)
    np.testing.assert_allclose(
        gradients, derivatives @ to_coordinates(coordinates, moves), atol=1e-12
    )
    np.testing.assert_allclose(forces_from_coordinates(coordinates, gradients), forces, atol=1e-12)


@pytest.mark.parametrize("name", ["fcc", "rocksalt"])
def test_third_order_comes_back_and_conserves_momentum(crystals, name):
    structure, matrix = crystals[name], np.diag([3, 2, 1])
    empty = supercell(structure, matrix)
    n_sites, n_atoms = len(structure), len(empty.supercell_numbers)
    rng = np.random.default_rng(3)
    third = rng.normal(size=(n_sites, n_atoms, n_atoms, 3, 3, 3))
    coordinates = phonon_coordinates(empty)
    derivatives = third_order_to_coordinates(coordinates, third)
    np.testing.assert_allclose(
        third_order_from_coordinates(coordinates, derivatives), third, atol=1e-11
    )
    q = coordinates.q_points[coordinates.q_indices]
    conserved = np.zeros(derivatives.shape, dtype=bool)
    for second in (1, -1):
        for last in (1, -1):
            total = q[:, None, None] + second * q[None, :, None] + last * q[None, None, :]
            conserved |= np.abs(total - np.rint(total)).max(axis=-1) < 1e-9
    assert np.abs(derivatives[~conserved]).max() < 1e-12
    assert (~conserved).any()
    assert np.abs(derivatives[conserved]).max() > 1e-3


def test_the_cell_periodic_subspace_has_the_normalisation_of_the_supercell(crystals):
    structure, matrix = crystals["rocksalt"], MATRICES["conventional"]
    empty = supercell(structure, matrix)
    n_sites, n_atoms = len(structure), len(empty.supercell_numbers)
    n_cells = n_atoms // n_sites
    rng = np.random.default_rng(4)
    second = rng.normal(size=(n_sites, n_atoms, 3, 3))
    third = rng.normal(size=(n_sites, n_atoms, n_atoms, 3, 3, 3))
    coordinates = cell_periodic(phonon_coordinates(empty))
    assert coordinates.n_coordinates == 3 * n_sites
    moves = to_displacements(coordinates, rng.normal(size=3 * n_sites))
    for site in range(n_sites):
        assert np.ptp(moves[coordinates.sites == site], axis=0).max() < 1e-14
    # sums over all cells but the first, then the centre of the zone as eqs. 24 and 25 have it
    fold = np.eye(n_sites)[coordinates.sites]
    roots = np.sqrt(np.asarray(phonopy_cell(structure).masses))
    harmonic = np.einsum("sjab,jt->satb", second, fold)
    harmonic /= roots[:, None, None, None] * roots[None, None, :, None]
    np.testing.assert_allclose(
        second_order_to_coordinates(coordinates, second),
        harmonic.reshape(3 * n_sites, -1),
        atol=1e-12,
    )
    cubic = np.einsum("sjkabc,jt,ku->satbuc", third, fold, fold)
    cubic /= (
        np.sqrt(n_cells) * np.einsum("s,t,u->stu", roots, roots, roots)[:, None, :, None, :, None]
    )
    np.testing.assert_allclose(
        third_order_to_coordinates(coordinates, third),
        cubic.reshape((3 * n_sites,) * 3),
        atol=1e-12,
    )


@pytest.mark.skipif(not NACL.exists(), reason="no reference data")
def test_real_displacements_come_back():
    from stores.importers.displaced_cells import read_displaced_cells

    cells = read_displaced_cells(NACL)
    coordinates = phonon_coordinates(cells)
    assert len(coordinates.q_points) == 20  # of 32: eight are their own opposites
    assert coordinates.self_opposite.sum() == 8
    amplitudes = to_coordinates(coordinates, cells.displacements_angstrom)
    np.testing.assert_allclose(
        to_displacements(coordinates, amplitudes), cells.displacements_angstrom, atol=1e-15
    )


def test_other_arrays_are_refused(crystals):
    empty = supercell(crystals["rocksalt"], np.diag([2, 2, 2]))
    coordinates = phonon_coordinates(empty)
    with pytest.raises(WrongShapeError, match=r"16, 3"):
        to_coordinates(coordinates, np.zeros((15, 3)))
    with pytest.raises(WrongShapeError, match="force constants"):
        second_order_to_coordinates(coordinates, np.zeros((16, 16, 3, 3)))
    large = phonon_coordinates(supercell(crystals["rocksalt"], np.diag([5, 5, 5])))
    with pytest.raises(TooLargeError, match="cell-periodic"):
        third_order_from_coordinates(large, np.zeros(1))
    broken = supercell(crystals["rocksalt"], np.diag([2, 2, 2]))
    broken.supercell_scaled_positions[0] += 0.1
    with pytest.raises(InconsistentDataError, match="does not repeat"):
        phonon_coordinates(broken)
