from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from screening.errors import SettingError, TrainingSetError
from screening.harmonic import frequencies_at, harmonic_from_forces
from screening.hessians import (
    ZERO_MODE_FRACTION,
    TrainingTolerances,
    ZoneCentreHessian,
    atomic_masses_amu,
    check_training_hessian,
    on_site_from_sum_rule,
    repair_hessian,
    sum_rule_violation,
    without_translations,
    zone_centre_frequencies_thz,
    zone_centre_hessian,
)
from screening.phonons import PhononSettings, compute_forces, force_data_from_phonopy_yaml

ORDERS = ("project_then_clip", "clip_then_project")
EXACT = PhononSettings(displacement_angstrom=1e-3)


def symmetric(n_atoms, seed):
    given = np.random.default_rng(seed).normal(size=(3 * n_atoms, 3 * n_atoms))
    return given + given.T


def squares(frequencies):
    return frequencies * np.abs(frequencies)


def minimum(**changes) -> ZoneCentreHessian:
    """Give a sound datum, or one with a fault."""
    structure = Structure(
        Lattice.cubic(6.0), ["K", "F", "F"], [[0, 0, 0], [0.4, 0, 0], [0, 0.4, 0]]
    )
    hessian = repair_hessian(np.cov(np.random.default_rng(1).normal(size=(9, 40)))).hessian
    sound = ZoneCentreHessian("ps-1", structure, hessian, 1e-3, "springs")
    return replace(sound, **changes)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("n_atoms", [1, 2, 10])
def test_repaired_hessians_have_three_zero_modes_and_no_negative_one(order, n_atoms):
    for seed in range(5):
        repaired = repair_hessian(symmetric(n_atoms, seed), order)
        values = np.linalg.eigvalsh(repaired.hessian)
        assert values.min() > -1e-10
        assert sum_rule_violation(repaired.hessian) < 1e-10
        np.testing.assert_array_equal(repaired.hessian, repaired.hessian.T)
        masses = np.random.default_rng(seed).uniform(1.0, 200.0, n_atoms)
        roots = np.repeat(np.sqrt(masses), 3)
        weighted = repaired.hessian / np.outer(roots, roots)
        translations = np.kron(np.sqrt(masses)[:, None], np.eye(3))
        np.testing.assert_allclose(weighted @ translations, 0.0, atol=1e-10)
        assert np.linalg.eigvalsh(weighted).min() > -1e-10


def test_projecting_first_goes_less_far_and_is_the_nearest():
    for seed in range(10):
        given = symmetric(10, seed)
        near, far = (repair_hessian(given, order) for order in ORDERS)
        assert near.relative_change < far.relative_change
        norm = np.linalg.norm(given)
        assert near.relative_change == pytest.approx(np.linalg.norm(near.hessian - given) / norm)
        # of a convex set the nearest point: every step into the set leads away
        inside = repair_hessian(symmetric(10, seed + 100)).hessian
        towards = (inside - near.hessian) * (given - near.hessian)
        assert towards.sum() < 1e-10


def test_a_sound_hessian_is_left_alone():
    sound = minimum().hessian_ev_per_angstrom2
    for order in ORDERS:
        repaired = repair_hessian(sound, order)
        np.testing.assert_allclose(repaired.hessian, sound, atol=1e-12)
        assert repaired.n_clipped == 0
        assert repaired.relative_change < 1e-12
        assert repaired.sum_rule_violation_before < 1e-12


def test_the_repair_tells_what_it_did():
    values = np.array([-2.0, -1.0, 3.0, 4.0, 5.0, 6.0])
    optical = np.kron([[1.0, -1.0], [-1.0, 1.0]], np.eye(3)) / 2.0
    acoustic = np.eye(6) - optical
    repaired = repair_hessian(optical @ np.diag([-2, 1, 1, -2, 1, 1]) @ optical + 0.1 * acoustic)
    assert repaired.n_clipped == 1
    assert repaired.sum_rule_violation_before == pytest.approx(0.1)
    assert repair_hessian(np.diag(values), "clip_then_project").n_clipped == 2
    assert repair_hessian(np.zeros((6, 6))).relative_change == 0.0
    with pytest.raises(SettingError, match="project_then_clip"):
        repair_hessian(np.eye(6), "clip")


def test_masses_leave_exactly_three_zero_modes():
    one = minimum()
    frequencies = zone_centre_frequencies_thz(one.hessian_ev_per_angstrom2, [40.0, 19.0, 190.0])
    assert np.abs(frequencies[:3]).max() < 1e-6 * frequencies[-1]
    assert frequencies[3] > ZERO_MODE_FRACTION * frequencies[-1]


def test_many_cells_at_once_have_the_frequencies_of_each():
    hessians = np.stack([symmetric(4, seed) for seed in range(3)])
    masses = np.random.default_rng(5).uniform(1.0, 200.0, (3, 4))
    together = zone_centre_frequencies_thz(hessians, masses)
    for one, mass, found in zip(hessians, masses, together, strict=True):
        np.testing.assert_array_equal(zone_centre_frequencies_thz(one, mass), found)


def test_zone_centre_frequencies_are_those_of_the_force_constants(crystal, pair_potential):
    data = compute_forces(crystal, pair_potential, EXACT, np.diag([2, 2, 1]))
    harmonic = harmonic_from_forces(data)
    one = zone_centre_hessian(harmonic, material_id="ps-1", source="pairs")
    masses = atomic_masses_amu(one.structure)
    found = zone_centre_frequencies_thz(one.hessian_ev_per_angstrom2, masses)
    expected = frequencies_at(harmonic, np.zeros((1, 3)))[0]
    np.testing.assert_allclose(squares(found), squares(expected), atol=1e-9)
    # and site by site those of the sum over all images
    roots = np.repeat(np.sqrt(masses), 3)
    exact = pair_potential.dynamical_matrix(crystal, np.zeros(3)).real * np.outer(roots, roots)
    np.testing.assert_allclose(one.hessian_ev_per_angstrom2, exact, atol=1e-4)
    assert sum_rule_violation(one.hessian_ev_per_angstrom2) < 1e-10


@pytest.mark.parametrize("nac", [False, True], ids=("plain", "nac"))
@pytest.mark.parametrize("name", ["NaCl", "MgO", "ZnO"])
def test_zone_centre_frequencies_are_those_of_real_forces(force_set, name, nac):
    data = force_data_from_phonopy_yaml(force_set(name))
    if not nac:
        data = replace(data, born_charges_e=None, dielectric_constant=None)
    harmonic = harmonic_from_forces(data)
    one = zone_centre_hessian(harmonic, material_id=name, source="PBE")
    assert [site.specie for site in one.structure] == [site.specie for site in data.primitive]
    found = zone_centre_frequencies_thz(
        one.hessian_ev_per_angstrom2, atomic_masses_amu(one.structure)
    )
    expected = frequencies_at(harmonic, np.zeros((1, 3)))[0]
    np.testing.assert_allclose(squares(found), squares(expected), atol=1e-9)
    check_training_hessian(one)


def test_blocks_of_single_sites_follow_from_the_others(crystals, pair_potential):
    data = compute_forces(crystals["quartz"], pair_potential, EXACT, np.eye(3, dtype=int))
    one = zone_centre_hessian(harmonic_from_forces(data), material_id="ps-1")
    hessian = np.array(one.hessian_ev_per_angstrom2)
    emptied = hessian.copy()
    for site in range(len(one.structure)):
        emptied[3 * site : 3 * site + 3, 3 * site : 3 * site + 3] = np.nan
    np.testing.assert_allclose(on_site_from_sum_rule(emptied), hessian, atol=1e-10)


def test_blocks_of_single_sites_are_symmetric_whatever_the_others_are():
    given = symmetric(5, 3)
    found = on_site_from_sum_rule(given)
    np.testing.assert_allclose(found, found.T, atol=1e-14)
    difference = (found - given).reshape(5, 3, 5, 3).transpose(0, 2, 1, 3)
    assert np.all(difference[~np.eye(5, dtype=bool)] == 0.0)
    sums = found.reshape(5, 3, 5, 3).sum(axis=2)
    np.testing.assert_allclose(sums, -sums.swapaxes(1, 2), atol=1e-12)


def test_a_minimum_is_a_training_datum():
    check_training_hessian(minimum())
    check_training_hessian(minimum(residual_force_ev_per_angstrom=0.0))


def softened():
    hessian = np.array(minimum().hessian_ev_per_angstrom2)
    values, vectors = np.linalg.eigh(hessian)
    return hessian - 2.0 * values[4] * np.outer(vectors[:, 4], vectors[:, 4])


def tilted():
    hessian = np.array(minimum().hessian_ev_per_angstrom2)
    hessian[0, 5] += 0.01
    return hessian


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        ({"hessian_ev_per_angstrom2": np.eye(6)}, r"shape \(6, 6\) for 3 sites", r"\(9, 9\)"),
        ({"hessian_ev_per_angstrom2": np.full((9, 9), np.nan)}, "not finite", "again"),
        ({"hessian_ev_per_angstrom2": tilted()}, "transpose by 0.01", "order of sites"),
        ({"hessian_ev_per_angstrom2": softened()}, "negative mode of -", "phonoscreen repair"),
        ({"hessian_ev_per_angstrom2": np.eye(9)}, "cost energy, by up to 1 eV", "sum rule"),
        ({"hessian_ev_per_angstrom2": np.zeros((9, 9))}, "nothing holds the atoms", "reach"),
        ({"residual_force_ev_per_angstrom": 0.05}, "residual force 0.05 eV/Å", "Relax"),
        ({"residual_force_ev_per_angstrom": float("nan")}, "residual force nan", "Relax"),
    ],
)
def test_what_is_no_minimum_is_refused(changes, message, hint):
    with pytest.raises(TrainingSetError, match=message) as caught:
        check_training_hessian(minimum(**changes))
    assert caught.value.subject == "ps-1"
    assert caught.match(hint)


def test_one_atom_in_the_cell_is_refused_for_what_it_is():
    """Not for translations that cost energy by rounding."""
    alone = Structure(np.eye(3) * 2.5, ["Cu"], [[0, 0, 0]])
    for hessian in (np.zeros((3, 3)), 6.32e-15 * np.eye(3)):
        one = minimum(structure=alone, hessian_ev_per_angstrom2=hessian)
        with pytest.raises(TrainingSetError, match="one atom alone in the cell") as caught:
            check_training_hessian(one)
        assert "cost energy" not in str(caught.value)


def test_tolerances_are_settings():
    rough = minimum(residual_force_ev_per_angstrom=0.05)
    check_training_hessian(rough, TrainingTolerances(residual_force_ev_per_angstrom=0.1))


def test_many_hessians_get_their_sum_rule_at_once():
    many = np.random.default_rng(3).normal(size=(2, 4, 9, 9))
    many += many.swapaxes(-1, -2)
    found = on_site_from_sum_rule(many)
    for place in np.ndindex(2, 4):
        np.testing.assert_array_equal(found[place], on_site_from_sum_rule(many[place]))


def test_a_hessian_without_negative_modes_is_only_projected():
    noise = np.random.default_rng(4).normal(size=(12, 12))
    sound = without_translations(noise @ noise.T)
    repaired = repair_hessian(sound)
    assert repaired.n_clipped == 0
    np.testing.assert_allclose(repaired.hessian, sound, atol=1e-12)
    values, vectors = np.linalg.eigh(sound)
    values[4] = -1e-3
    assert repair_hessian((vectors * values) @ vectors.T).n_clipped == 1
