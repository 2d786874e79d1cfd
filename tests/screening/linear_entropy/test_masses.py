from __future__ import annotations

import lennard_jones as lj
import numpy as np
import pytest

from screening.descriptors.interface import AtomicSystem
from screening.errors import InconsistentDataError
from screening.linear_entropy.masses import log_mass_term, natural_masses_amu, rigid_motions


def log_pdet(matrix, n_zero):
    return float(np.log(np.linalg.eigvalsh(matrix)[n_zero:]).sum())


def weighted(hessian, masses):
    roots = np.repeat(np.sqrt(masses), 3)
    return hessian / np.outer(roots, roots)


@pytest.mark.parametrize("edge", [None, "cell"])
def test_masses_enter_the_determinant_exactly(edge):
    if edge is None:
        system = lj.clusters()[0].system
        hessian = lj.hessian(system.positions_angstrom, None)
    else:
        system = lj.vacancies()[1].system
        hessian = lj.hessian(system.positions_angstrom, float(system.cell_angstrom[0, 0]))
    n_zero = 6 if edge is None else 3
    masses = np.random.default_rng(0).uniform(1.0, 200.0, len(system))
    found = log_pdet(hessian, n_zero) + log_mass_term(system, masses)
    assert found == pytest.approx(log_pdet(weighted(hessian, masses), n_zero), abs=1e-8)


def test_the_identity_holds_to_ten_digits_for_any_matrix_that_sees_no_rigid_motion():
    random = np.random.default_rng(1)
    for cell in (None, 10.0 * np.eye(3)):
        system = AtomicSystem(random.normal(size=(7, 3)), np.full(7, 29), cell)
        rigid = rigid_motions(system)
        n_zero = rigid.shape[1]
        away = np.eye(21) - rigid @ rigid.T
        half = away @ random.normal(size=(21, 21))
        masses = random.uniform(1.0, 100.0, 7)
        found = log_pdet(half @ half.T, n_zero) + log_mass_term(system, masses)
        assert found == pytest.approx(log_pdet(weighted(half @ half.T, masses), n_zero), abs=1e-10)


def test_a_crystal_has_the_closed_form():
    system = AtomicSystem(np.eye(3), np.array([1, 8, 92]), 5.0 * np.eye(3))
    masses = np.array([1.0, 16.0, 238.0])
    expected = 3.0 * np.log(masses.mean()) - 3.0 * np.log(masses).sum()
    assert log_mass_term(system, masses) == pytest.approx(expected, abs=1e-12)
    assert log_mass_term(system, masses, 0.0) == pytest.approx(-3.0 * np.log(masses).sum())


def test_rigid_motions_of_lines_and_single_atoms():
    line = AtomicSystem(np.outer(np.arange(4.0), [1.0, 2.0, 3.0]), np.full(4, 6))
    assert rigid_motions(line).shape == (12, 5)
    assert rigid_motions(AtomicSystem(np.zeros((1, 3)), np.array([6]))).shape == (3, 3)


def test_masses_are_those_of_the_dynamical_matrix():
    assert natural_masses_amu(np.array([26, 1])) == pytest.approx([55.845, 1.00794], abs=1e-3)


@pytest.mark.parametrize("masses", [[1.0], [1.0, -2.0], [1.0, np.nan]])
def test_masses_must_be_positive_and_one_for_each_atom(masses):
    system = AtomicSystem(np.eye(3)[:2], np.array([1, 1]))
    with pytest.raises(InconsistentDataError, match="masses"):
        log_mass_term(system, np.array(masses))
