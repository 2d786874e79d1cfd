"""Potentials of the reference entropies: derivatives, and the iron of the paper."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
EV_PER_ANGSTROM3_TO_GPA = 160.21766


@pytest.fixture(scope="module")
def potentials():
    path = list(sys.path)
    sys.path.append(BENCHMARKS)
    yield importlib.import_module("entropy_potentials")
    sys.path[:] = path


@pytest.fixture(scope="module")
def configurations(potentials):
    del potentials
    return importlib.import_module("entropy_configurations")


def rattled(lattice, repeats, width):
    positions, edge = lattice.positions(repeats, 0.01)
    random = np.random.default_rng(3)
    return positions + random.normal(scale=width, size=positions.shape), edge


def systems(configurations):
    """Atoms off their places, in cells that are shorter than twice the cutoff and in a cluster."""
    iron, argon = configurations.BCC_IRON, configurations.FCC_LENNARD_JONES
    cluster = 1.1 * np.argwhere(np.ones((2, 2, 3))) + rattled(argon, 1, 0.05)[0][:1]
    cluster = cluster + np.random.default_rng(1).normal(scale=0.05, size=cluster.shape)
    return [
        (iron.potential, *rattled(iron, 2, 0.08)),
        (argon.potential, *rattled(argon, 2, 0.03)),
        (configurations.CLUSTER_POTENTIAL, cluster, None),
    ]


@pytest.mark.parametrize("number", range(3))
def test_forces_and_hessian_are_derivatives_of_the_energy(potentials, configurations, number):
    potential, positions, edge = systems(configurations)[number]
    pairs = potentials.candidate_pairs(positions, edge, potential.cutoff + 0.1)
    forces = potentials.energy_and_forces(potential, positions, pairs)[1]
    hessian = potentials.hessian(potential, positions, pairs)
    step = 1e-5
    for index in range(0, positions.size, 5):
        there, back = positions.copy(), positions.copy()
        there.flat[index] += step
        back.flat[index] -= step
        ahead = potentials.energy_and_forces(potential, there, pairs)
        behind = potentials.energy_and_forces(potential, back, pairs)
        slope = (ahead[0] - behind[0]) / (2.0 * step)
        assert forces.flat[index] == pytest.approx(-slope, abs=1e-6)
        row = -(ahead[1] - behind[1]).ravel() / (2.0 * step)
        np.testing.assert_allclose(hessian[index], row, atol=1e-6 * np.abs(hessian).max())
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-10 * np.abs(hessian).max())
    np.testing.assert_allclose(forces.sum(axis=0), 0.0, atol=1e-9)


def test_pairs_of_a_cell_are_those_of_its_repetition(potentials, configurations):
    iron = configurations.BCC_IRON
    positions, edge = rattled(iron, 2, 0.08)
    steps = np.argwhere(np.ones((2, 2, 2)))
    repeated = (edge * steps[:, None] + positions).reshape(-1, 3)
    small, large = (
        potentials.energy_and_forces(
            iron.potential, x, potentials.candidate_pairs(x, length, iron.potential.cutoff)
        )
        for x, length in ((positions, edge), (repeated, 2.0 * edge))
    )
    assert large[0] == pytest.approx(8.0 * small[0], rel=1e-12)
    np.testing.assert_allclose(large[1], np.tile(small[1], (8, 1)), atol=1e-10)


def test_iron_is_that_of_finnis_and_sinclair(configurations):
    """Lattice constant, cohesive energy and elastic constants that the paper was fitted to."""
    iron = configurations.BCC_IRON
    positions, edge = iron.positions(1, 0.0)
    steps = edge * (np.argwhere(np.ones((7, 7, 7))) - 3)
    around = (steps[:, None] + positions).reshape(-1, 3)
    around = around[np.linalg.norm(around, axis=1) > 0.1]

    def energy(strain):
        distances = np.linalg.norm(around @ (np.eye(3) + strain), axis=1)
        density = iron.potential.density(distances)[0].sum()
        bond = iron.potential.embedding(np.array([density]))[0][0]
        return 0.5 * iron.potential.pair(distances)[0].sum() + bond

    def elastic(one, other, step=1e-4):
        signs = [(a, b, energy(step * (a * one + b * other))) for a in (1, -1) for b in (1, -1)]
        curvature = sum(a * b * value for a, b, value in signs) / (4.0 * step**2)
        return EV_PER_ANGSTROM3_TO_GPA * curvature / (0.5 * edge**3)

    step = 1e-6
    pressure = (energy(step * np.eye(3)) - energy(-step * np.eye(3))) / (2.0 * step)
    assert edge == pytest.approx(2.8665, abs=1e-5)
    assert abs(pressure) < 1e-5
    assert energy(np.zeros((3, 3))) == pytest.approx(-4.28, abs=1e-5)
    x, y, shear = np.diag([1.0, 0, 0]), np.diag([0, 1.0, 0]), np.zeros((3, 3))
    shear[1, 2] = shear[2, 1] = 0.5
    assert elastic(x, x) == pytest.approx(243.1, abs=0.1)
    assert elastic(x, y) == pytest.approx(138.1, abs=0.1)
    assert elastic(shear, shear) == pytest.approx(121.9, abs=0.1)
