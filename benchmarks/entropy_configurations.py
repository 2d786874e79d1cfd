"""Relaxed clusters and crystals with defects, and the reference entropy of each.

Every configuration is brought to a minimum at fixed cell with L-BFGS and then Newton steps with
the analytic Hessian, to forces below 1e-9; saddle points are refused. Its label is the sum of the
logarithms of the non-zero eigenvalues of the Hessian without masses: 3N - 3 in crystals, 3N - 6
in clusters. Twice the same configuration means the same energy and, of clusters, the same moments
of inertia; of crystals, where these depend on the origin, the same label.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from entropy_potentials import (
    FloatArray,
    LennardJones,
    PairList,
    Potential,
    ZhouIron,
    candidate_pairs,
    energy_and_forces,
    hessian,
)

__all__ = [
    "BCC_IRON",
    "CLUSTER_POTENTIAL",
    "FCC_LENNARD_JONES",
    "Labelled",
    "Lattice",
    "cluster_minima",
    "crystal_minima",
    "label",
    "relax",
    "spectrum",
]

FORCE_TOLERANCE = 1e-9
COARSE_TOLERANCE = 1e-2  # where Newton steps begin
MOST_TRIES = 20  # for each minimum
PATIENCE = 25  # tries of a kind in a row that give nothing new
SKIN = 0.3
NEWTON_STEPS = 12
LONGEST_STEP = 0.1
SOFTEST = 1e-3  # of the mean eigenvalue; what is softer is taken for a saddle or a free atom
VACANCY_CLOSEST, VACANCY_REACH, INTERSTITIAL_REACH = 0.1, 1.6, 1.4  # conventional edges
PATCH = 3
SAME = 1e-6  # of the energy of an atom, and of the label of a mode
CLUSTER_POTENTIAL = LennardJones(onset=np.inf, cutoff=np.inf)
CLUSTER_DENSITY = 0.7  # of the random start, that of the liquid is about 0.8
CLUSTER_CLOSEST = 0.7
CLUSTER_BOND = 1.5


@dataclass(frozen=True)
class Lattice:
    """A cubic crystal with its potential."""

    name: str
    potential: Potential
    edge: float  # of the conventional cell, at zero pressure
    basis: tuple[tuple[float, float, float], ...]
    closest: float  # in edges, of an interstitial to its neighbours at the start

    def positions(self, repeats: int, strain: float) -> tuple[FloatArray, float]:
        """Perfect positions, and the edge of their cube."""
        steps = np.arange(repeats)
        cells = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 1, 3)
        scale = self.edge * (1.0 + strain)
        return scale * (cells + np.array(self.basis)).reshape(-1, 3), repeats * scale

    def patch(self) -> FloatArray:
        """Lattice vectors around a site, in edges; all sites are alike."""
        steps = np.arange(-PATCH, PATCH + 1)
        cells = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 1, 3)
        return (cells + np.array(self.basis)).reshape(-1, 3)


FCC_LENNARD_JONES = Lattice(
    "fcc Lennard-Jones",
    LennardJones(),
    1.54915889,
    ((0.0, 0.0, 0.0), (0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0)),
    0.42,
)
BCC_IRON = Lattice("bcc Fe", ZhouIron(), 2.86595242, ((0.0, 0.0, 0.0), (0.5, 0.5, 0.5)), 0.48)


@dataclass(frozen=True, eq=False)
class Labelled:
    """A minimum with its reference."""

    positions: FloatArray
    edge: float | None
    energy: float
    log_determinant: float
    """Sum of the logarithms of the non-zero eigenvalues, without masses."""
    site_log_determinants: FloatArray
    """Share of each atom in it: by the weights of the atoms in the modes."""
    softest: float
    """Lowest eigenvalue over their mean: next to a saddle point it goes to zero."""
    n_modes: int
    inertia: tuple[float, float, float]
    kind: str = "minimum"
    parent: int = 0
    strain: float = 0.0
    n_sites: int = 0
    seed: int = 0

    def is_like(self, other: Labelled) -> bool:
        """Whether both are one configuration."""
        if len(self.positions) != len(other.positions):
            return False
        if abs(self.energy - other.energy) > SAME * abs(self.energy) / len(self.positions):
            return False
        if self.edge is None:
            return np.allclose(self.inertia, other.inertia, rtol=1e-4)
        return abs(self.log_determinant - other.log_determinant) < SAME * self.n_modes


class Mover:
    """Energy and forces with a pair list that is renewed when atoms have moved."""

    def __init__(self, potential: Potential, positions: FloatArray, edge: float | None) -> None:
        self.potential, self.edge = potential, edge
        self.renew(positions)

    def renew(self, positions: FloatArray) -> None:
        """List the pairs anew."""
        self.reference = positions.copy()
        self.pairs: PairList = candidate_pairs(positions, self.edge, self.potential.cutoff + SKIN)

    def at(self, positions: FloatArray) -> PairList:
        """Pairs that hold at these positions."""
        moved = np.sum((positions - self.reference) ** 2, axis=1).max()
        if np.isfinite(self.pairs.reach) and moved > (0.5 * SKIN) ** 2:
            self.renew(positions)
        return self.pairs

    def __call__(self, flat: FloatArray) -> tuple[float, FloatArray]:
        """Energy and its gradient."""
        positions = flat.reshape(-1, 3)
        energy, forces = energy_and_forces(self.potential, positions, self.at(positions))
        return energy, -forces.ravel()


def zero_modes(positions: FloatArray, edge: float | None) -> FloatArray:
    """Orthonormal translations, and rotations of a cluster, (3 atom + axis, mode)."""
    n_atoms = len(positions)
    modes = [np.tile(axis, n_atoms) for axis in np.eye(3)]
    if edge is None:
        centred = positions - positions.mean(axis=0)
        modes += [np.cross(axis, centred).ravel() for axis in np.eye(3)]
    return np.linalg.qr(np.stack(modes, axis=1))[0]


def relax(potential: Potential, positions: FloatArray, edge: float | None) -> FloatArray | None:
    """Bring a configuration to a minimum, None where none is found.

    Parameters
    ----------
    potential, edge
        What acts, and the fixed cube (None for a cluster).
    positions
        Where the atoms start, (atom, axis).
    """
    from scipy.optimize import minimize

    mover = Mover(potential, positions, edge)
    options = {"maxiter": 3000, "maxfun": 6000, "maxcor": 20, "gtol": 1e-4, "ftol": 0.0}
    with np.errstate(over="ignore", invalid="ignore"):
        found = minimize(mover, positions.ravel(), jac=True, method="L-BFGS-B", options=options)
    if not (np.all(np.isfinite(found.x)) and np.abs(found.jac).max() < COARSE_TOLERANCE):
        return None
    return _newton(mover, found.x)


def _newton(mover: Mover, flat: FloatArray) -> FloatArray | None:
    """Newton steps to the nearest minimum, None where the curvature is negative."""
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    for _ in range(NEWTON_STEPS):
        positions = flat.reshape(-1, 3)
        _, gradient = mover(flat)
        if np.abs(gradient).max() < FORCE_TOLERANCE:
            return positions
        curvature = hessian(mover.potential, positions, mover.pairs)
        zeros = zero_modes(positions, mover.edge)
        try:
            factor = cho_factor(curvature + np.trace(curvature) / len(flat) * zeros @ zeros.T)
        except LinAlgError:
            return None
        step = cho_solve(factor, gradient)
        flat = flat - step * min(1.0, LONGEST_STEP / np.abs(step).max())
    return None


def spectrum(
    potential: Potential, positions: FloatArray, edge: float | None
) -> tuple[FloatArray, FloatArray] | None:
    """Non-zero eigenvalues of the Hessian, ascending, and the weight of each atom in each mode.

    None where an eigenvalue is not clearly positive. Weights have the shape (atom, mode).
    """
    pairs = candidate_pairs(positions, edge, potential.cutoff)
    found = hessian(potential, positions, pairs)
    zeros = zero_modes(positions, edge)
    scale = np.trace(found) / len(found)
    # zero modes are lifted out of the spectrum: they are the highest of all
    found += 100.0 * scale * zeros @ zeros.T
    values, vectors = np.linalg.eigh(found)
    values, vectors = values[: -zeros.shape[1]], vectors[:, : -zeros.shape[1]]
    if values[0] <= SOFTEST * scale:
        return None
    return values, (vectors**2).reshape(len(positions), 3, -1).sum(axis=1)


def label(potential: Potential, positions: FloatArray, edge: float | None) -> Labelled | None:
    """Relax a configuration and label it, None where it comes to no minimum."""
    relaxed = relax(potential, positions, edge)
    if relaxed is None:
        return None
    found = spectrum(potential, relaxed, edge)
    if found is None:
        return None
    values, weights = found
    pairs = candidate_pairs(relaxed, edge, potential.cutoff + SKIN)
    centred = relaxed - relaxed.mean(axis=0)
    moments = np.linalg.eigvalsh(centred.T @ centred)
    return Labelled(
        centred if edge is None else relaxed,
        edge,
        energy_and_forces(potential, relaxed, pairs)[0],
        float(np.log(values).sum()),
        weights @ np.log(values),
        float(values[0] / values.mean()),
        len(values),
        tuple(moments.tolist()),
    )


def cluster_minima(n_atoms: int, n_minima: int, seed: int) -> list[Labelled]:
    """Find distinct minima of a Lennard-Jones cluster by quenching random starts."""
    found: list[Labelled] = []
    tries = 0
    while len(found) < n_minima and tries < MOST_TRIES * n_minima:
        tries += 1
        random = np.random.default_rng([seed, n_atoms, tries])
        one = label(CLUSTER_POTENTIAL, _random_cluster(n_atoms, random), None)
        if one is not None and _is_whole(one.positions) and not any(map(one.is_like, found)):
            found.append(_named(one, "minimum", tries, 0.0, n_atoms, seed))
    return found


def _named(
    one: Labelled, kind: str, parent: int, strain: float, n_sites: int, seed: int
) -> Labelled:
    return replace(one, kind=kind, parent=parent, strain=strain, n_sites=n_sites, seed=seed)


def _random_cluster(n_atoms: int, random: np.random.Generator) -> FloatArray:
    radius = (3.0 * n_atoms / (4.0 * np.pi * CLUSTER_DENSITY)) ** (1.0 / 3.0)
    points = np.empty((0, 3))
    while len(points) < n_atoms:
        point = random.uniform(-radius, radius, 3)
        apart = np.linalg.norm(points - point, axis=1)
        if np.linalg.norm(point) <= radius and np.all(apart > CLUSTER_CLOSEST):
            points = np.vstack([points, point])
    return points


def _is_whole(positions: FloatArray) -> bool:
    """Whether no part has evaporated."""
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial.distance import pdist, squareform

    return connected_components(squareform(pdist(positions) < CLUSTER_BOND))[0] == 1


def crystal_minima(
    lattice: Lattice,
    repeats: int,
    kinds: tuple[str, ...],
    n_minima: int,
    seed: int,
    strains: tuple[float, ...] = (0.0,),
    known: tuple[Labelled, ...] = (),
) -> Iterator[Labelled]:
    """Find distinct minima of a crystal with defects, all strains of one parent together.

    Parameters
    ----------
    lattice, repeats
        Which crystal, and how many conventional cells along each edge.
    kinds
        "bulk", "V2" (two vacancies), "I3" (three interstitials), "F7" (seven Frenkel pairs), in
        turn.
    n_minima
        How many parents with a minimum at every strain.
    seed
        Of the parents: with the same seed and kinds the same parents come, in the same order, in
        cells of all sizes and strains.
    strains
        Of the edge.
    known
        What is not to be found again, such as the perfect crystal by healed damage.
    """
    found: list[Labelled] = list(known)
    n_parents, tries = 0, 0
    patience = dict.fromkeys(kinds, PATIENCE)
    while n_parents < n_minima and tries < MOST_TRIES * n_minima:
        kind = kinds[tries % len(kinds)]
        tries += 1
        if not patience[kind]:
            continue
        starts = [_damaged(lattice, repeats, kind, x, [seed, tries]) for x in strains]
        made = [label(lattice.potential, positions, edge) for positions, edge in starts]
        if any(one is None or any(map(one.is_like, found)) for one in made):
            patience[kind] -= 1
            continue
        n_parents += 1
        patience[kind] = PATIENCE
        n_sites = len(lattice.basis) * repeats**3
        for one, strain in zip(made, strains, strict=True):
            assert one is not None
            found.append(_named(one, kind, tries, strain, n_sites, seed))
            yield found[-1]


def _damaged(
    lattice: Lattice, repeats: int, kind: str, strain: float, seed: list[int]
) -> tuple[FloatArray, float]:
    """Start of a configuration: a perfect crystal without and with some atoms."""
    random = np.random.default_rng(seed)
    positions, edge = lattice.positions(repeats, strain)
    if kind == "bulk":
        return positions, edge
    count, scale = int(kind[1:]), edge / repeats
    if kind[0] == "F":
        keep = random.permutation(len(positions))[count:]
        added = _random_places(positions / scale, repeats, lattice.closest, count, random)
        return np.vstack([positions[keep], scale * added]), edge
    centre = positions[np.argmin(np.linalg.norm(positions - 0.5 * edge, axis=1))]
    patch = lattice.patch()
    if kind[0] == "V":
        gone = centre + scale * _vacant(patch, count, random)
        return np.delete(positions, _sites_at(positions, gone, edge), 0), edge
    added = centre + scale * _interstitial(patch, lattice.closest, count, random)
    return np.vstack([positions, added]), edge


def _vacant(patch: FloatArray, count: int, random: np.random.Generator) -> FloatArray:
    """Lattice vectors that form a cluster: each within reach of one before it."""
    chosen = np.zeros((1, 3))
    while len(chosen) < count:
        apart = np.linalg.norm(patch[:, None] - chosen, axis=2).min(axis=1)
        near = patch[(apart > VACANCY_CLOSEST) & (apart < VACANCY_REACH)]
        chosen = np.vstack([chosen, near[random.integers(len(near))]])
    return chosen


def _sites_at(positions: FloatArray, places: FloatArray, edge: float) -> list[int]:
    apart = places[:, None] - positions
    apart -= edge * np.round(apart / edge)
    return [int(site) for site in np.linalg.norm(apart, axis=2).argmin(axis=1)]


def _interstitial(
    patch: FloatArray, closest: float, count: int, random: np.random.Generator
) -> FloatArray:
    """Places around a site that no atom is too close to."""
    places = np.empty((0, 3))
    while len(places) < count:
        point = random.uniform(-INTERSTITIAL_REACH, INTERSTITIAL_REACH, 3)
        if np.linalg.norm(np.vstack([patch, places]) - point, axis=1).min() > closest:
            places = np.vstack([places, point])
    return places


def _random_places(
    positions: FloatArray, repeats: int, closest: float, count: int, random: np.random.Generator
) -> FloatArray:
    """Places anywhere in the cell that no atom is too close to, in conventional edges."""
    places = np.empty((0, 3))
    while len(places) < count:
        point = random.uniform(0.0, repeats, 3)
        apart = np.vstack([positions, places]) - point
        apart -= repeats * np.round(apart / repeats)
        if np.linalg.norm(apart, axis=1).min() > closest:
            places = np.vstack([places, point])
    return places
