"""Small Lennard-Jones clusters and crystals at rest, with their exact Hessians."""

from __future__ import annotations

from contextlib import suppress
from functools import cache

import numpy as np
from scipy.optimize import minimize
from scipy.spatial.distance import pdist

from screening.descriptors.interface import AtomicSystem
from screening.errors import TrainingSetError
from screening.linear_entropy.labels import LabelOrigin, SpectralLabel, label_of_hessian

ARGON = 18
FCC_EDGE = 1.5496  # without pressure at a cutoff of 2.5
CUTOFF = 2.5
_IMAGES = np.array(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij")).reshape(3, -1).T


def _pairs(positions, edge):
    """Vectors from j (or its images) to i with the indices of both, each pair twice."""
    shifts = np.zeros((1, 3)) if edge is None else edge * _IMAGES
    vectors = positions[:, None, None] - positions[None, :, None] - shifts
    distances = np.linalg.norm(vectors, axis=3)
    near = (distances > 1e-9) & (distances < (np.inf if edge is None else CUTOFF))
    i, j, _ = np.nonzero(near)
    return i, j, vectors[near], distances[near]


def _derivatives(r):
    """First and second derivative of the pair energy; cut sharply, the forces of pairs shifted."""
    sixth = r**-6
    return 24.0 * (sixth - 2.0 * sixth**2) / r, 24.0 * (26.0 * sixth**2 - 7.0 * sixth) / r**2


def energy_and_gradient(flat, edge):
    i, _, vectors, r = _pairs(flat.reshape(-1, 3), edge)
    at_end = 0.0 if edge is None else _derivatives(np.array([CUTOFF]))[0][0]
    slope = _derivatives(r)[0] - at_end
    gradient = np.zeros((len(flat) // 3, 3))
    np.add.at(gradient, i, (slope / r)[:, None] * vectors)
    energy = 0.5 * np.sum(4.0 * (r**-12 - r**-6) - at_end * r)
    return energy, gradient.ravel()


def hessian(positions, edge):
    i, j, vectors, r = _pairs(positions, edge)
    first, second = _derivatives(r)
    first = first - (0.0 if edge is None else _derivatives(np.array([CUTOFF]))[0][0])
    units = vectors / r[:, None]
    along = units[:, :, None] * units[:, None]
    blocks = second[:, None, None] * along + (first / r)[:, None, None] * (np.eye(3) - along)
    found = np.zeros((len(positions), len(positions), 3, 3))
    np.add.at(found, (i, i), blocks)
    np.subtract.at(found, (i, j), blocks)
    return found.swapaxes(1, 2).reshape(3 * len(positions), -1)


def at_rest(positions, edge):
    options = {"maxiter": 2000, "gtol": 1e-7, "ftol": 1e-15, "maxcor": 30}
    found = minimize(
        energy_and_gradient, positions.ravel(), (edge,), "L-BFGS-B", jac=True, options=options
    )
    places = found.x.reshape(-1, 3)
    for _ in range(3):  # Newton steps finish what is nearly done
        gradient = energy_and_gradient(places.ravel(), edge)[1]
        step = np.linalg.lstsq(hessian(places, edge), gradient, rcond=1e-6)[0]
        places = places - step.reshape(-1, 3)
    return places


def system(positions, edge=None) -> AtomicSystem:
    cell = None if edge is None else edge * np.eye(3)
    return AtomicSystem(positions, np.full(len(positions), ARGON), cell)


def label(positions, edge, name, **origin) -> SpectralLabel:
    energy = energy_and_gradient(positions.ravel(), edge)[0]
    place = LabelOrigin(name, energy_ev=energy, **origin)
    return label_of_hessian(hessian(positions, edge), system(positions, edge), place)


@cache
def clusters(n_minima: int = 60, n_atoms: int = 9) -> tuple[SpectralLabel, ...]:
    """Return minima of small clusters, each once."""
    random, found = np.random.default_rng(5), []
    energies: list[float] = []
    while len(found) < n_minima:
        n = n_atoms + int(random.integers(0, 3))
        start = random.uniform(-1.0, 1.0, (n, 3)) * 0.62 * n ** (1.0 / 3.0)
        if pdist(start).min() < 0.7:
            continue
        places = at_rest(start, None)
        energy = energy_and_gradient(places.ravel(), None)[0]
        if any(abs(energy - one) < 1e-6 for one in energies) or pdist(places).max() > 5.0:
            continue
        with suppress(TrainingSetError):  # no minimum
            found.append(label(places, None, f"cluster-{len(found)}"))
            energies.append(energy)
    return tuple(found)


def fcc(repeats: int, edge: float = FCC_EDGE):
    """Sites of a cube, and the length of its edge."""
    corners = np.array(np.meshgrid(*[range(repeats)] * 3, indexing="ij")).reshape(3, -1).T
    basis = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    return (corners[:, None] + basis).reshape(-1, 3) * edge, repeats * edge


@cache
def vacancies(n_cells: int = 24, repeats: int = 2) -> tuple[SpectralLabel, ...]:
    """Return a perfect cell and cells with two to four vacancies, relaxed at fixed volume."""
    sites, edge = fcc(repeats)
    bulk = f"bulk-{repeats}"
    found = [label(sites, edge, bulk)]
    random = np.random.default_rng(7)
    while len(found) <= n_cells:
        left = np.delete(sites, random.permutation(len(sites))[: random.integers(1, 5)], axis=0)
        places = at_rest(left, edge)
        name = f"vacancies-{repeats}-{len(found)}"
        found.append(label(places, edge, name, bulk=bulk, family="vacancy"))
    return tuple(found)
