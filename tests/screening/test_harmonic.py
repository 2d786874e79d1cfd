from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from phonopy import Phonopy
from phonopy.physical_units import get_physical_units
from phonopy.structure.atoms import PhonopyAtoms
from pymatgen.core import Lattice, Structure

from screening.errors import InconsistentDataError, NonFiniteForcesError, WrongShapeError
from screening.harmonic import (
    frequencies_at,
    harmonic_from_forces,
    irreducible_mesh,
    mesh_frequencies,
    signed_frequencies_thz,
)
from screening.phonons import PhononSettings, compute_forces, force_data_from_phonopy_yaml
from screening.units import COULOMB_EV_ANGSTROM, SQRT_EV_PER_ANGSTROM2_AMU_TO_THZ

FORCE_SETS = ("NaCl", "MgO", "ZnO", "MgB2", "Al2O3", "TiO2-anatase")
EXACT = PhononSettings(displacement_angstrom=1e-3)
CUBE = np.diag([3, 3, 3])
ANYWHERE = np.array([[0.11, 0.23, 0.37], [0.5, 0.0, 0.0], [0.31, -0.27, 0.05], [0.5, 0.5, 0.5]])


def signed_squares(frequencies):
    return frequencies * np.abs(frequencies)


def harmonic_of(structure, potential, matrix=CUBE):
    return harmonic_from_forces(compute_forces(structure, potential, EXACT, matrix))


@pytest.mark.parametrize(
    "name",
    ["fcc", "rocksalt", "zincblende", "wurtzite", "rutile", "anatase", "triclinic", "monoclinic"],
)
def test_frequencies_are_those_of_the_analytic_lattice_sum(crystals, pair_potential, vary, name):
    structure = crystals[name]
    short = vary(pair_potential, cutoff_angstrom=3.9)
    harmonic = harmonic_of(structure, short)
    squares = [
        np.linalg.eigvalsh(short.dynamical_matrix(structure, q_point)) for q_point in ANYWHERE
    ]
    expected = signed_frequencies_thz(np.array(squares))
    np.testing.assert_allclose(frequencies_at(harmonic, ANYWHERE), expected, atol=2e-4, rtol=2e-4)


def test_acoustic_modes_vanish_at_the_zone_centre(crystal, pair_potential):
    harmonic = harmonic_of(crystal, pair_potential, np.diag([2, 2, 2]))
    at_gamma = np.sort(np.abs(frequencies_at(harmonic, np.zeros((1, 3)))[0]))
    assert at_gamma[2] < 1e-5
    if len(crystal) > 1:
        assert at_gamma[3] > 0.01


def test_wave_vectors_of_the_supercell_do_not_depend_on_the_supercell(crystals, pair_potential):
    commensurate = np.array([[0.5, 0.0, 0.0], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5]])
    for name in ("rocksalt", "wurtzite", "cotunnite"):
        small, large = (
            frequencies_at(harmonic_of(crystals[name], pair_potential, size), commensurate)
            for size in (np.diag([2, 2, 2]), np.diag([4, 4, 2]))
        )
        np.testing.assert_allclose(small, large, atol=1e-4)


def test_primitive_and_conventional_cells_have_the_same_mesh_average(crystals, pair_potential):
    primitive = crystals["rocksalt"]
    to_cube = np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]])
    conventional = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    averages = []
    for structure, matrix in ((primitive, 2 * to_cube), (conventional, 2 * np.eye(3, dtype=int))):
        data = compute_forces(structure, pair_potential, EXACT, matrix)
        mesh = mesh_frequencies(harmonic_from_forces(data), 60.0)
        averages.append(mesh.weights @ signed_squares(mesh.frequencies_thz).mean(axis=1))
    assert averages[0] == pytest.approx(averages[1], rel=1e-9)


def test_rotated_crystals_have_the_same_frequencies(crystals, pair_potential):
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    for name in ("wurtzite", "monoclinic"):
        structure = crystals[name]
        rotated = Structure(
            structure.lattice.matrix @ turn.T, structure.species, structure.frac_coords
        )
        before, after = (
            frequencies_at(harmonic_of(s, pair_potential, np.diag([2, 2, 2])), ANYWHERE)
            for s in (structure, rotated)
        )
        np.testing.assert_allclose(before, after, atol=1e-6)


def phonopy_of(raw, data, *, nac):
    cell = raw["unit_cell"]
    unit = PhonopyAtoms(
        symbols=[point["symbol"] for point in cell["points"]],
        cell=cell["lattice"],
        scaled_positions=[point["coordinates"] for point in cell["points"]],
    )
    phonon = Phonopy(unit, raw["supercell_matrix"], primitive_matrix=raw["primitive_matrix"])
    columns = zip(
        data.displaced_atoms, data.displacements_angstrom, data.forces_ev_per_angstrom, strict=True
    )
    phonon.dataset = {
        "natom": len(data.supercell_numbers),
        "first_atoms": [{"number": int(a), "displacement": u, "forces": f} for a, u, f in columns],
    }
    phonon.produce_force_constants()
    phonon.symmetrize_force_constants()
    if nac:
        phonon.nac_params = {
            "born": np.array(data.born_charges_e),
            "dielectric": np.array(data.dielectric_constant),
            "factor": COULOMB_EV_ANGSTROM,
        }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the mesh of anatase is rebuilt on its cell, as ours
        phonon.run_mesh(60.0)
    return phonon


@pytest.mark.parametrize("nac", [False, True], ids=("plain", "nac"))
@pytest.mark.parametrize("name", FORCE_SETS)
def test_the_mesh_is_phonopys_on_real_forces(force_set, name, nac):
    raw = force_set(name)
    data = force_data_from_phonopy_yaml(raw)
    if nac and data.born_charges_e is None:
        pytest.skip("a metal has no Born charges")
    if not nac:
        data = replace(data, born_charges_e=None, dielectric_constant=None)
    ours = mesh_frequencies(harmonic_from_forces(data), 60.0)
    theirs = phonopy_of(raw, data, nac=nac).mesh
    np.testing.assert_array_equal(ours.mesh, theirs.mesh_numbers)
    np.testing.assert_allclose(ours.q_points, theirs.qpoints, atol=1e-12)
    np.testing.assert_allclose(ours.weights * theirs.weights.sum(), theirs.weights)
    # phonopy's conversion to THz rests on an older release of the constants
    ratio = SQRT_EV_PER_ANGSTROM2_AMU_TO_THZ / get_physical_units().DefaultToTHz
    away = ~ours.is_gamma  # at the zone centre the acoustic modes are rounding errors
    np.testing.assert_allclose(
        ours.frequencies_thz[away], theirs.frequencies[away] * ratio, atol=1e-6, rtol=0
    )
    np.testing.assert_allclose(ours.frequencies_thz, theirs.frequencies * ratio, atol=5e-6, rtol=0)


def test_length_meshes_follow_the_published_rule(crystals, pair_potential):
    harmonic = harmonic_of(crystals["rocksalt"], pair_potential, np.diag([2, 2, 2]))
    q_points, weights, mesh = irreducible_mesh(harmonic, 75.0)
    assert mesh == (23, 23, 23)
    assert weights.sum() == 23**3
    assert not q_points[0].any()
    assert weights[0] == 1


def test_every_mesh_holds_the_zone_centre_and_all_its_points(crystal, pair_potential):
    harmonic = harmonic_of(crystal, pair_potential, np.diag([2, 2, 2]))
    mesh = mesh_frequencies(harmonic, 25.0)
    assert mesh.is_gamma.sum() == 1
    assert mesh.weights.sum() == pytest.approx(1.0)
    assert mesh.weights[mesh.is_gamma][0] == pytest.approx(1.0 / np.prod(mesh.mesh))
    assert mesh.frequencies_thz.shape == (len(mesh.weights), 3 * len(crystal))


@pytest.mark.parametrize("name", ["anatase", "corundum", "thallium_iodide", "monoclinic"])
def test_reduced_and_full_meshes_have_the_same_moments(crystals, pair_potential, name):
    harmonic = harmonic_of(crystals[name], pair_potential, np.diag([2, 2, 2]))
    q_points, weights, _ = irreducible_mesh(harmonic, 20.0)
    # the full mesh is the orbit of the irreducible points under point group and inversion
    operations = np.asarray(harmonic.symmetry.reciprocal_operations)
    total, count = 0.0, 0
    for q_point, weight in zip(q_points, weights, strict=True):
        star = operations @ q_point
        star -= np.rint(star - 1e-6)
        star = np.unique(np.round(star, 8), axis=0)
        squares = signed_squares(frequencies_at(harmonic, star))
        np.testing.assert_allclose(squares, squares[:1].repeat(len(star), 0), atol=1e-5)
        assert len(star) == weight
        total, count = total + squares.sum(), count + len(star)
    mesh = mesh_frequencies(harmonic, 20.0)
    average = mesh.weights @ signed_squares(mesh.frequencies_thz).sum(axis=1)
    assert average == pytest.approx(total / count, rel=1e-10)


def test_residual_forces_are_subtracted(crystals, pair_potential):
    data = compute_forces(crystals["rutile"], pair_potential, EXACT, np.diag([2, 2, 2]))
    drift = 0.05 * np.random.default_rng(0).normal(size=data.residual_forces_ev_per_angstrom.shape)
    shifted = replace(
        data,
        forces_ev_per_angstrom=data.forces_ev_per_angstrom + drift,
        residual_forces_ev_per_angstrom=data.residual_forces_ev_per_angstrom + drift,
    )
    before, after = (frequencies_at(harmonic_from_forces(d), ANYWHERE) for d in (data, shifted))
    np.testing.assert_allclose(before, after, atol=1e-7)


def test_the_order_of_supercell_atoms_does_not_matter(crystals, pair_potential):
    data = compute_forces(crystals["wurtzite"], pair_potential, EXACT, np.diag([2, 2, 2]))
    order = np.random.default_rng(2).permutation(len(data.supercell_numbers))
    mixed = replace(
        data,
        supercell_scaled_positions=data.supercell_scaled_positions[order] + 3.0,
        supercell_numbers=data.supercell_numbers[order],
        displaced_atoms=np.argsort(order)[data.displaced_atoms],
        forces_ev_per_angstrom=data.forces_ev_per_angstrom[:, order],
        residual_forces_ev_per_angstrom=data.residual_forces_ev_per_angstrom[order],
    )
    before, after = (frequencies_at(harmonic_from_forces(d), ANYWHERE) for d in (data, mixed))
    np.testing.assert_allclose(before, after, atol=1e-7)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"forces_ev_per_angstrom": np.zeros((2, 3, 3))}, WrongShapeError),
        ({"residual_forces_ev_per_angstrom": np.zeros((3, 3))}, WrongShapeError),
        ({"supercell_matrix": np.eye(2)}, WrongShapeError),
        ({"supercell_matrix": 3 * np.eye(3, dtype=int)}, InconsistentDataError),
        ({"displacements_angstrom": np.full((2, 3), np.nan)}, NonFiniteForcesError),
        ({"displaced_atoms": np.array([0, 99])}, InconsistentDataError),
        ({"born_charges_e": np.zeros((1, 3, 3)), "dielectric_constant": np.eye(3)},
         InconsistentDataError),
        ({"born_charges_e": np.array([np.diag([1.0, 2, 3]), np.diag([-1.0, -2, -3])]),
          "dielectric_constant": np.eye(3)}, InconsistentDataError),
    ],
)  # fmt: skip
def test_contradicting_data_are_refused(crystals, pair_potential, change, error):
    data = compute_forces(crystals["rocksalt"], pair_potential, EXACT, np.diag([2, 2, 2]))
    with pytest.raises(error):
        harmonic_from_forces(replace(data, **change))


def test_no_displacement_at_all_is_refused(crystals, pair_potential):
    data = compute_forces(crystals["rocksalt"], pair_potential, EXACT, np.diag([2, 2, 2]))
    empty = replace(
        data,
        displaced_atoms=data.displaced_atoms[:0],
        displacements_angstrom=data.displacements_angstrom[:0],
        forces_ev_per_angstrom=data.forces_ev_per_angstrom[:0],
    )
    with pytest.raises(InconsistentDataError, match="0 displacements"):
        harmonic_from_forces(empty)
