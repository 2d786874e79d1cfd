"""Two model potentials with analytic energy, forces and Hessian, for reference entropies.

Lennard-Jones in reduced units (energies in epsilon, lengths in sigma), without cutoff for clusters
and with a smooth one for crystals, and the iron of Finnis and Sinclair in eV and angstrom. Masses
do not enter. Cells are cubes; clusters have none.

References
----------
M. W. Finnis and J. E. Sinclair, Phil. Mag. A 50, 45 (1984), doi:10.1080/01418618408244210,
equations 17 and 18 and table 1 (with its erratum, Phil. Mag. A 53, 161 (1986)).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

__all__ = [
    "FinnisSinclairIron",
    "LennardJones",
    "PairList",
    "Potential",
    "candidate_pairs",
    "energy_and_forces",
    "hessian",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Derivatives = tuple[FloatArray, FloatArray, FloatArray]
"""A function with its first and second derivative."""


LEAST_DENSITY = 1e-4  # of iron; that of the perfect crystal is about 8


class Potential(Protocol):
    """Pair energies and the energy of an atom in the density of its neighbours."""

    @property
    def cutoff(self) -> float:
        """Largest distance of a pair."""
        ...

    @property
    def jumps(self) -> tuple[float, ...]:
        """Distances at which second derivatives jump."""
        ...

    def pair(self, distance: FloatArray) -> Derivatives:
        """Energy of a pair."""
        ...

    def density(self, distance: FloatArray) -> Derivatives | None:
        """Density that a neighbour gives, None where the energy is one of pairs alone."""
        ...

    def embedding(self, density: FloatArray) -> Derivatives:
        """Energy of an atom in a density."""
        ...


@dataclass(frozen=True)
class LennardJones:
    """4 (r^-12 - r^-6), brought to zero between onset and cutoff with two smooth derivatives."""

    onset: float = 2.0
    cutoff: float = 2.5

    @property
    def jumps(self) -> tuple[float, ...]:
        """None."""
        return ()

    def pair(self, distance: FloatArray) -> Derivatives:
        """Energy of a pair."""
        sixth = distance**-6
        value = 4.0 * sixth * (sixth - 1.0)
        first = -24.0 * sixth * (2.0 * sixth - 1.0) / distance
        second = 24.0 * sixth * (26.0 * sixth - 7.0) / distance**2
        if np.isinf(self.cutoff):
            return value, first, second
        width = self.cutoff - self.onset
        x = np.clip((distance - self.onset) / width, 0.0, 1.0)
        s = 1.0 - x**3 * (10.0 - 15.0 * x + 6.0 * x**2)
        ds = -30.0 * x**2 * (1.0 - x) ** 2 / width
        dds = -60.0 * x * (1.0 - x) * (1.0 - 2.0 * x) / width**2
        return value * s, first * s + value * ds, second * s + 2.0 * first * ds + value * dds

    def density(self, distance: FloatArray) -> Derivatives | None:
        """None: pairs alone."""
        del distance

    def embedding(self, density: FloatArray) -> Derivatives:
        """Nothing."""
        return density, density, density


@dataclass(frozen=True)
class FinnisSinclairIron:
    """Body-centred cubic iron, eV and angstrom.

    The second derivatives of pair energy and density jump at their cutoffs: so does the Hessian
    of the published potential.
    """

    cutoff: float = 3.569745  # d, of the density
    pair_cutoff: float = 3.40
    strength: float = 1.828905
    beta: float = 1.8
    coefficients: tuple[float, float, float] = (1.2371147, -0.3592185, -0.0385607)

    @property
    def jumps(self) -> tuple[float, ...]:
        """Both cutoffs."""
        return (self.pair_cutoff, self.cutoff)

    def pair(self, distance: FloatArray) -> Derivatives:
        """(r - c)^2 (c0 + c1 r + c2 r^2) within c."""
        c0, c1, c2 = self.coefficients
        x = np.minimum(distance - self.pair_cutoff, 0.0)
        p, dp = c0 + c1 * distance + c2 * distance**2, c1 + 2.0 * c2 * distance
        inside = x < 0.0
        second = inside * (2.0 * p + 4.0 * x * dp + 2.0 * c2 * x**2)
        return x**2 * p, 2.0 * x * p + x**2 * dp, second

    def density(self, distance: FloatArray) -> Derivatives | None:
        """(r - d)^2 + beta (r - d)^3 / d within d."""
        x = np.minimum(distance - self.cutoff, 0.0)
        b = self.beta / self.cutoff
        inside = x < 0.0
        return x**2 + b * x**3, 2.0 * x + 3.0 * b * x**2, inside * (2.0 + 6.0 * b * x)

    def embedding(self, density: FloatArray) -> Derivatives:
        """Give -A sqrt(rho)."""
        root = np.sqrt(np.maximum(density, LEAST_DENSITY))
        return (
            -self.strength * root,
            -0.5 * self.strength / root,
            0.25 * self.strength / root**3,
        )


@dataclass(frozen=True)
class PairList:
    """Every pair of atoms and images once, wide enough for small moves of the atoms."""

    first: IntArray
    second: IntArray
    shift: FloatArray  # (pair, axis)
    reach: float

    def vectors(self, positions: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Vectors from the first to the second atom and their lengths."""
        vectors = positions[self.second] - positions[self.first] + self.shift
        return vectors, np.sqrt(np.einsum("pi,pi->p", vectors, vectors))

    def within(
        self, positions: FloatArray, cutoff: float
    ) -> tuple[PairList, FloatArray, FloatArray]:
        """Pairs within a cutoff, their unit vectors and distances."""
        vectors, distances = self.vectors(positions)
        near = distances < cutoff
        pairs = PairList(self.first[near], self.second[near], self.shift[near], cutoff)
        return pairs, vectors[near] / distances[near, None], distances[near]


def candidate_pairs(
    positions: FloatArray, edge: float | FloatArray | None, reach: float
) -> PairList:
    """List all pairs within a reach, in a cube or cuboid of given edges or (None) in a cluster.

    Parameters
    ----------
    positions
        (atom, axis).
    edge
        Of the periodic cube, or three of a cuboid; they may be shorter than the reach.
    reach
        Largest distance; infinite only for clusters.
    """
    if edge is None:
        first, second = np.triu_indices(len(positions), 1)
        return PairList(first, second, np.zeros((len(first), 3)), np.inf)
    ghosts, origin, shift = _images(positions, np.broadcast_to(edge, 3), reach)
    found = cKDTree(positions).sparse_distance_matrix(cKDTree(ghosts), reach, output_type="ndarray")
    first, second = found["i"].astype(np.int64), origin[found["j"]]
    moved = shift[found["j"]]
    signs = np.sign(moved) @ np.array([9.0, 3.0, 1.0])  # of the first axis that is moved
    once = (first < second) | ((first == second) & (signs > 0))
    return PairList(first[once], second[once], moved[once], reach)


def _images(
    positions: FloatArray, edges: FloatArray, reach: float
) -> tuple[FloatArray, IntArray, FloatArray]:
    """Images that can lie within reach of an atom, with the atom and the shift of each."""
    steps = [np.arange(-n, n + 1) for n in np.ceil(reach / edges).astype(int)]
    shifts = edges * np.stack(np.meshgrid(*steps, indexing="ij"), -1).reshape(-1, 3)
    lower, upper = positions.min(axis=0) - reach, positions.max(axis=0) + reach
    points, origins, moves = [], [], []
    for shift in shifts:
        moved = positions + shift
        near = np.flatnonzero(np.all((moved >= lower) & (moved <= upper), axis=1))
        points.append(moved[near])
        origins.append(near)
        moves.append(np.broadcast_to(shift, (len(near), 3)))
    return np.concatenate(points), np.concatenate(origins), np.concatenate(moves)


def energy_and_forces(
    potential: Potential, positions: FloatArray, pairs: PairList
) -> tuple[float, FloatArray]:
    """Energy and forces (atom, axis)."""
    n_atoms = len(positions)
    pairs, units, distances = pairs.within(positions, potential.cutoff)
    value, slope, _ = potential.pair(distances)
    energy = float(value.sum())
    density = potential.density(distances)
    if density is not None:
        embedded = potential.embedding(_sum_of_both(pairs, density[0], n_atoms))
        energy += float(embedded[0].sum())
        slope = slope + (embedded[1][pairs.first] + embedded[1][pairs.second]) * density[1]
    pull = slope[:, None] * units
    forces = [
        np.bincount(pairs.first, pull[:, axis], n_atoms)
        - np.bincount(pairs.second, pull[:, axis], n_atoms)
        for axis in range(3)
    ]
    return energy, np.stack(forces, axis=1)


def hessian(potential: Potential, positions: FloatArray, pairs: PairList) -> FloatArray:
    """Second derivatives of the energy, (3 atom + axis, 3 atom + axis)."""
    n_atoms = len(positions)
    pairs, units, distances = pairs.within(positions, potential.cutoff)
    _, slope, curvature = potential.pair(distances)
    density = potential.density(distances)
    if density is None:
        return _of_pairs(pairs, units, slope / distances, curvature, n_atoms)
    _, first, second = potential.embedding(_sum_of_both(pairs, density[0], n_atoms))
    weight = first[pairs.first] + first[pairs.second]
    slope, curvature = slope + weight * density[1], curvature + weight * density[2]
    gradient = _density_gradient(pairs, density[1][:, None] * units, n_atoms)
    found = _of_pairs(pairs, units, slope / distances, curvature, n_atoms)
    return found + gradient.T @ (second[:, None] * gradient)


def _blocks(pairs: PairList, n_atoms: int) -> IntArray:
    """Where each pair adds to a matrix of atoms: two places beside the diagonal, two on it."""
    i, j = pairs.first, pairs.second
    beside = [i * n_atoms + j, j * n_atoms + i]
    return np.concatenate([*beside, i * (n_atoms + 1), j * (n_atoms + 1)])


def _sum_of_both(pairs: PairList, values: FloatArray, n_atoms: int) -> FloatArray:
    return np.bincount(pairs.first, values, n_atoms) + np.bincount(pairs.second, values, n_atoms)


def _of_pairs(
    pairs: PairList, units: FloatArray, across: FloatArray, along: FloatArray, n_atoms: int
) -> FloatArray:
    """Hessian of springs with a stiffness along and across each pair."""
    found = np.empty((n_atoms, 3, n_atoms, 3))
    places = _blocks(pairs, n_atoms)
    for a in range(3):
        for b in range(3):
            block = (along - across) * units[:, a] * units[:, b] + (a == b) * across
            values = np.concatenate([-block, -block, block, block])
            summed = np.bincount(places, values, n_atoms**2)
            found[:, a, :, b] = summed.reshape(n_atoms, n_atoms)
    return found.reshape(3 * n_atoms, 3 * n_atoms)


def _density_gradient(pairs: PairList, slopes: FloatArray, n_atoms: int) -> FloatArray:
    """Derive every density by every position, (atom, 3 atom + axis)."""
    found = np.empty((n_atoms, n_atoms, 3))
    places = _blocks(pairs, n_atoms)
    for axis in range(3):
        one = slopes[:, axis]
        summed = np.bincount(places, np.concatenate([one, -one, -one, one]), n_atoms**2)
        found[:, :, axis] = summed.reshape(n_atoms, n_atoms)
    return found.reshape(n_atoms, 3 * n_atoms)
