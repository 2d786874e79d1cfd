"""Two model potentials with analytic energy, forces and Hessian, for reference entropies.

Lennard-Jones in reduced units (energies in epsilon, lengths in sigma), without cutoff for clusters
and with a smooth one for crystals, and iron by an embedded atom method in eV and angstrom. Masses
do not enter. Cells are cubes; clusters have none.

An entropy is as smooth a function of the positions as second derivatives of the energy are. So the
iron is one of exponentials: potentials of polynomials between knots have kinks or jumps in their
second derivatives, some of them at the distances of neighbours (Ackland et al., Phil. Mag. A 75,
713 (1997)) or where these cross a cutoff (Finnis and Sinclair, Phil. Mag. A 50, 45 (1984)).

References
----------
X. W. Zhou, R. A. Johnson and H. N. G. Wadley, Phys. Rev. B 69, 144113 (2004),
doi:10.1103/PhysRevB.69.144113, appendix A and table III.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

__all__ = [
    "LennardJones",
    "PairList",
    "Potential",
    "ZhouIron",
    "candidate_pairs",
    "energy_and_forces",
    "hessian",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Derivatives = tuple[FloatArray, FloatArray, FloatArray]
"""A function with its first and second derivative."""
Cubic = tuple[float, float, float, float]

LEAST_DENSITY = 1e-4  # of iron; that of the perfect crystal is about 20
THIN, DENSE = 0.85, 1.15  # of the density of the perfect crystal: where embedding changes form
FADING = 20  # power with which exponentials fade


class Potential(Protocol):
    """Pair energies and the energy of an atom in the density of its neighbours."""

    @property
    def cutoff(self) -> float:
        """Largest distance of a pair."""
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
class ZhouIron:
    """Body-centred cubic iron by exponentials that fade smoothly, eV and angstrom.

    Beyond the cutoff pairs have less than 1e-9 eV. The second derivative of the embedding energy
    grows by 7 % where the density passes 1.15 times that of the perfect crystal; all else is
    smooth.
    """

    cutoff: float = 6.0
    nearest: float = 2.481987  # r_e, of the perfect crystal
    amplitude: float = 1.885957  # f_e, of the density
    equilibrium: float = 20.041463  # rho_e, density of the perfect crystal
    repulsion: tuple[float, float, float] = (0.392811, 9.818270, 0.170306)  # A, alpha, kappa
    attraction: tuple[float, float, float] = (0.646243, 5.236411, 0.340613)  # B, beta, lambda
    thin: Cubic = (-2.534992, -0.059605, 0.193065, -2.282322)  # F_n, below 0.85 rho_e
    usual: Cubic = (-2.54, 0.0, 0.200269, -0.148770)  # F, up to 1.15 rho_e
    dense: tuple[float, float] = (-2.539945, 0.391750)  # F_e, eta, beyond

    def pair(self, distance: FloatArray) -> Derivatives:
        """Repulsion less attraction."""
        value, first, second = self._fading(distance, *self.repulsion)
        less = self._fading(distance, *self.attraction)
        return value - less[0], first - less[1], second - less[2]

    def density(self, distance: FloatArray) -> Derivatives | None:
        """Density with the range of the attraction."""
        return self._fading(distance, self.amplitude, *self.attraction[1:])

    def embedding(self, density: FloatArray) -> Derivatives:
        """Two cubics and, of dense surroundings, a power with a logarithm."""
        ratio = np.maximum(density, LEAST_DENSITY) / self.equilibrium
        parts = (
            _cubic(self.thin, ratio, THIN),
            _cubic(self.usual, ratio, 1.0),
            self._of_dense(ratio),
        )
        place = np.searchsorted((THIN, DENSE), ratio, side="right")
        value, first, second = (np.choose(place, each) for each in zip(*parts, strict=True))
        return value, first / self.equilibrium, second / self.equilibrium**2

    def _fading(
        self, distance: FloatArray, amplitude: float, decay: float, start: float
    ) -> Derivatives:
        """Exponential a exp(-b (x - 1)) / (1 + (x - c)^20) of x = r / r_e."""
        x = distance / self.nearest
        power = (x - start) ** FADING
        share = FADING * power / (1.0 + power) / (x - start)
        value = amplitude * np.exp(-decay * (x - 1.0)) / (1.0 + power)
        slope = -decay - share
        bend = share**2 - (FADING - 1) * share / (x - start)
        return value, value * slope / self.nearest, value * (slope**2 + bend) / self.nearest**2

    def _of_dense(self, ratio: FloatArray) -> Derivatives:
        """F_e (1 - eta ln y) y^eta."""
        depth, eta = self.dense
        power, logarithm = ratio**eta, np.log(ratio)
        first = -depth * eta**2 * logarithm * power / ratio
        second = -depth * eta**2 * (1.0 + (eta - 1.0) * logarithm) * power / ratio**2
        return depth * (1.0 - eta * logarithm) * power, first, second


def _cubic(coefficients: Cubic, ratio: FloatArray, origin: float) -> Derivatives:
    """Cubic of y / origin - 1, with its derivatives by y."""
    c0, c1, c2, c3 = coefficients
    x = ratio / origin - 1.0
    value = c0 + x * (c1 + x * (c2 + x * c3))
    first = c1 + x * (2.0 * c2 + 3.0 * c3 * x)
    return value, first / origin, (2.0 * c2 + 6.0 * c3 * x) / origin**2


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
