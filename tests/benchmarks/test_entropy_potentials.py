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


def iron_energy(iron, strain):
    """Energy and density of an atom of the perfect crystal in eV."""
    positions, edge = iron.positions(1, 0.0)
    steps = edge * (np.argwhere(np.ones((7, 7, 7))) - 3)
    around = (steps[:, None] + positions).reshape(-1, 3)
    around = around[np.linalg.norm(around, axis=1) > 0.1]
    distances = np.linalg.norm(around @ (np.eye(3) + strain), axis=1)
    density = iron.potential.density(distances)[0].sum()
    bond = iron.potential.embedding(np.array([density]))[0][0]
    return 0.5 * iron.potential.pair(distances)[0].sum() + bond, density


def elastic_constant(iron, one, other, step=1e-4):
    """Second derivative of the energy of a volume by two strains in GPa."""
    signs = [(a, b) for a in (1, -1) for b in (1, -1)]
    energies = [iron_energy(iron, step * (a * one + b * other))[0] for a, b in signs]
    curvature = sum(a * b * x for (a, b), x in zip(signs, energies, strict=True)) / (4.0 * step**2)
    return EV_PER_ANGSTROM3_TO_GPA * curvature / (0.5 * iron.edge**3)


def test_iron_is_that_of_the_paper(configurations):
    """Distance, density and energy at rest are parameters of it; it was fitted to real iron."""
    iron = configurations.BCC_IRON
    energy, density = iron_energy(iron, np.zeros((3, 3)))
    assert np.sqrt(0.75) * iron.edge == pytest.approx(iron.potential.nearest, abs=1e-6)
    assert density == pytest.approx(iron.potential.equilibrium, abs=1e-4)
    assert energy == pytest.approx(-4.29, abs=1e-5)
    step = 1e-6 * np.eye(3)
    pressure = (iron_energy(iron, step)[0] - iron_energy(iron, -step)[0]) / 2e-6
    assert abs(pressure) < 1e-5
    x, y, shear = np.diag([1.0, 0, 0]), np.diag([0, 1.0, 0]), np.zeros((3, 3))
    shear[1, 2] = shear[2, 1] = 0.5
    assert elastic_constant(iron, x, x) == pytest.approx(230.0, abs=1.0)
    assert elastic_constant(iron, x, y) == pytest.approx(135.0, abs=1.0)
    assert elastic_constant(iron, shear, shear) == pytest.approx(117.0, abs=1.0)


def test_iron_is_smooth_where_its_formulas_meet(potentials, configurations):
    """Energies and forces go on, second derivatives of the embedding with a small step."""
    iron = configurations.BCC_IRON.potential
    meeting = iron.equilibrium * np.array([potentials.THIN, potentials.DENSE])
    below, above = iron.embedding(meeting - 1e-9), iron.embedding(meeting + 1e-9)
    np.testing.assert_allclose(above[0], below[0], atol=1e-6)
    np.testing.assert_allclose(above[1], below[1], atol=1e-6)
    np.testing.assert_allclose(above[2] / below[2], [1.0, 1.07], atol=2e-3)
    end = np.array([iron.cutoff])
    assert max(np.abs(one).max() for one in iron.pair(end)) < 1e-8
    assert max(np.abs(one).max() for one in iron.density(end)) < 1e-8 * iron.equilibrium
