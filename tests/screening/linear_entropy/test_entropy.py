from __future__ import annotations

import lennard_jones as lj
import numpy as np
import pytest

from screening.linear_entropy.entropy import (
    classical_entropy_boltzmann,
    count_modes,
    system_entropy_boltzmann,
)
from screening.linear_entropy.labels import SpectrumKind
from screening.linear_entropy.masses import natural_masses_amu
from screening.thermodynamics import ThermodynamicsSettings, thermodynamics
from screening.units import BOLTZMANN_MEV_PER_K, SQRT_EV_PER_ANGSTROM2_AMU_TO_THZ


def test_it_is_the_classical_limit_of_the_quantum_sum():
    frequencies = np.array([[0.4, 0.7, 1.1]])
    settings = ThermodynamicsSettings(temperatures_k=(20_000.0,))
    exact = thermodynamics(frequencies, np.ones(1), 1, settings, is_gamma=np.array([False]))
    logs = 2.0 * np.log(frequencies / SQRT_EV_PER_ANGSTROM2_AMU_TO_THZ).sum()
    found = classical_entropy_boltzmann(float(logs), 3.0, 20_000.0)
    entropy = exact.entropy_mev_per_k_per_atom[0] / BOLTZMANN_MEV_PER_K
    assert found == pytest.approx(entropy, abs=1e-5)


@pytest.mark.parametrize("label", [lj.clusters()[0], lj.vacancies()[2]])
def test_modes_count_with_the_logarithm_of_temperature(label):
    at = [
        system_entropy_boltzmann(label.system, label.extensive_log_determinant, label.kind, t)
        for t in (300.0, 750.0)
    ]
    assert at[1] - at[0] == pytest.approx(label.n_modes * np.log(2.5), abs=1e-10)
    assert count_modes(label.system, label.kind) == (label.n_modes, 1.0)


@pytest.mark.parametrize("label", [lj.clusters()[0], lj.vacancies()[2]])
def test_isotopes_change_the_entropy_as_the_dynamical_matrix_says(label):
    system = label.system
    edge = None if system.cell_angstrom is None else float(system.cell_angstrom[0, 0])
    hessian = lj.hessian(system.positions_angstrom, edge)
    masses = natural_masses_amu(system.numbers)
    masses[::2] *= 1.3
    roots = np.repeat(np.sqrt(masses), 3)
    values = np.linalg.eigvalsh(hessian / np.outer(roots, roots))[-int(label.n_modes) :]
    exact = classical_entropy_boltzmann(float(np.log(values).sum()), label.n_modes, 300.0)
    found = system_entropy_boltzmann(
        system, label.extensive_log_determinant, label.kind, 300.0, masses
    )
    assert found == pytest.approx(exact, abs=1e-6)


def test_a_mesh_sums_all_motions():
    system = lj.vacancies()[0].system
    assert count_modes(system, SpectrumKind.MESH) == (3.0 * len(system), 0.0)
