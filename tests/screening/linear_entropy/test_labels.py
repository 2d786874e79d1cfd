from __future__ import annotations

from dataclasses import replace

import lennard_jones as lj
import numpy as np
import pytest
from pymatgen.core import Structure
from spring_crystals import CUBE, MAGNESIUM, ROCKSALT, springs

from screening.descriptors.interface import AtomicSystem
from screening.errors import TrainingSetError
from screening.harmonic import harmonic_from_force_constants, mesh_frequencies
from screening.linear_entropy.labels import (
    LabelOrigin,
    SpectrumKind,
    label_of,
    label_of_hessian,
)
from screening.linear_entropy.masses import log_mass_term, natural_masses_amu
from screening.units import SQRT_EV_PER_ANGSTROM2_AMU_TO_THZ

HERE = LabelOrigin("here")


def spring_harmonic(primitive: Structure, cutoff: float = 5.0):
    return harmonic_from_force_constants(springs(primitive, 2 * CUBE, cutoff))


def chain() -> tuple[AtomicSystem, np.ndarray]:
    label = lj.clusters()[3]
    return label.system, lj.hessian(label.system.positions_angstrom, None)


def test_a_cluster_has_all_but_six_modes():
    system, hessian = chain()
    label = label_of_hessian(hessian, system, HERE)
    values = np.linalg.eigvalsh(hessian)[6:]
    assert label.kind is SpectrumKind.CLUSTER
    assert label.n_modes == 3 * len(system) - 6
    assert label.log_determinant == pytest.approx(np.log(values).sum(), abs=1e-6)
    assert label.site_log_determinants.sum() == pytest.approx(label.log_determinant, abs=1e-10)
    assert label.site_traces_ev_per_angstrom2.sum() == pytest.approx(np.trace(hessian))


def test_a_cell_has_all_but_three_modes():
    label = lj.vacancies()[0]
    assert label.kind is SpectrumKind.ZONE_CENTRE
    assert label.n_modes == 3 * len(label.system) - 3
    shares = label.site_log_determinants
    assert shares == pytest.approx(np.full(len(shares), shares.mean()), abs=1e-8)  # all alike


@pytest.mark.parametrize("primitive", [ROCKSALT, MAGNESIUM])
def test_the_mean_over_a_mesh_gives_all_frequencies_back(primitive):
    harmonic = spring_harmonic(primitive)
    label = label_of(harmonic, HERE, 25.0)
    mesh = mesh_frequencies(harmonic, 25.0)
    squares = (mesh.frequencies_thz / SQRT_EV_PER_ANGSTROM2_AMU_TO_THZ) ** 2
    logs = np.where(mesh.is_gamma[:, None] & (np.arange(squares.shape[1]) < 3), 1.0, squares)
    exact = mesh.weights @ np.log(logs).sum(axis=1)
    term = log_mass_term(label.system, None, label.zone_centre_weight)
    assert label.log_determinant + term == pytest.approx(exact, abs=1e-8)
    masses = natural_masses_amu(label.system.numbers)
    mean_square = (label.site_traces_ev_per_angstrom2 / masses).sum()
    assert mean_square == pytest.approx(mesh.weights @ squares.sum(axis=1), rel=1e-8)


def test_a_mesh_of_one_point_is_the_zone_centre():
    harmonic = spring_harmonic(MAGNESIUM)
    label = label_of(harmonic, HERE, 1e-3)
    roots = np.repeat(np.sqrt(natural_masses_amu(label.system.numbers)), 3)
    hessian = harmonic.dynamical_matrices(np.zeros((1, 3)))[0].real * np.outer(roots, roots)
    same = label_of_hessian(hessian, label.system, HERE)
    assert label.kind is same.kind is SpectrumKind.ZONE_CENTRE
    assert label.log_determinant == pytest.approx(same.log_determinant, abs=1e-8)
    assert label.site_log_determinants == pytest.approx(same.site_log_determinants, abs=1e-8)
    traces = same.site_traces_ev_per_angstrom2
    assert label.site_traces_ev_per_angstrom2 == pytest.approx(traces, abs=1e-8)
    assert label.n_modes == same.n_modes == 3


def test_two_copies_have_twice_the_extensive_logarithm():
    system, hessian = chain()
    one = label_of_hessian(hessian, system, HERE)
    scaled = label_of_hessian(7.0 * hessian, system, HERE)  # another unit
    change = scaled.extensive_log_determinant - one.extensive_log_determinant
    assert change == pytest.approx(3 * len(system) * np.log(7.0), abs=1e-8)


def test_a_hessian_that_no_minimum_has_is_refused():
    system, hessian = chain()
    values, vectors = np.linalg.eigh(hessian)
    saddle = hessian - 2.0 * values[6] * np.outer(vectors[:, 6], vectors[:, 6])
    noisy = hessian.copy()
    noisy[0, 5] += 1.0
    for broken, told in (
        (saddle, "1 modes are negative"),
        (hessian[:-1], "shape"),
        (noisy, "not symmetric"),
        (np.where(hessian > 3.0, np.nan, hessian), "not finite"),
        (hessian + 0.1 * np.abs(hessian).max() * np.eye(len(hessian)), "rigid motion"),
    ):
        with pytest.raises(TrainingSetError, match=told):
            label_of_hessian(broken, system, HERE)


def test_a_structure_under_forces_is_refused():
    system, hessian = chain()
    forced = replace(HERE, largest_force_ev_per_angstrom=0.3)
    with pytest.raises(TrainingSetError, match="not at rest"):
        label_of_hessian(hessian, system, forced)
    with pytest.raises(TrainingSetError, match="not at rest"):
        label_of(spring_harmonic(ROCKSALT), replace(forced, material_id="x"))


def test_an_unstable_crystal_is_refused():
    soft = replace(
        springs(ROCKSALT, 2 * CUBE, 5.0),
        second_order_ev_per_angstrom2=-springs(
            ROCKSALT, 2 * CUBE, 5.0
        ).second_order_ev_per_angstrom2,
    )
    with pytest.raises(TrainingSetError, match="lowest mode"):
        label_of(harmonic_from_force_constants(soft), HERE, 10.0)
