"""Meshes and band paths of crystals that do not exist."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from screening.harmonic import MeshFrequencies
from screening.network_potential.phonon_pairs import PhononPair
from screening.prediction import BandStructure, FloatArray


def debye_mesh(highest_thz: float, seed: int, n_q: int = 40, n_atoms: int = 2) -> MeshFrequencies:
    """Frequencies spread as a Debye solid's, three of them zero at the zone centre."""
    rng = np.random.default_rng(seed)
    shape = (n_q, 3 * n_atoms)
    places = (np.arange(n_q * 3 * n_atoms) + rng.uniform(size=n_q * 3 * n_atoms)) / np.prod(shape)
    frequencies = np.sort(highest_thz * rng.permutation(places ** (1 / 3)).reshape(shape), axis=1)
    frequencies[0, :3] = 0.0
    frequencies[frequencies < 0.5] += 0.5
    frequencies[0, :3] = 0.0
    q_points = rng.uniform(0.05, 0.45, size=(n_q, 3))
    q_points[0] = 0.0
    weights = rng.integers(1, 9, size=n_q).astype(float)
    return MeshFrequencies(frequencies, weights / weights.sum(), q_points, (4, 4, 4))


def scaled(mesh: MeshFrequencies, factor: float) -> MeshFrequencies:
    """Multiply every frequency."""
    return replace(mesh, frequencies_thz=factor * mesh.frequencies_thz)


def path_of(frequencies_thz: FloatArray) -> BandStructure:
    """Put frequencies of shape (q, branch) on a straight path that begins at the zone centre."""
    n_q = len(frequencies_thz)
    q_points = np.linspace(0.0, 0.5, n_q)[:, None] * np.array([[1.0, 0.0, 0.0]])
    return BandStructure(q_points, np.arange(n_q) * 0.01, frequencies_thz, (0,), ((0, "GAMMA"),))


def pair_of(
    name: str, group: str, reference: MeshFrequencies, predicted: MeshFrequencies, **more: object
) -> PhononPair:
    """Make a pair."""
    return PhononPair(
        material_id=name, group=group, predicted=predicted, reference=reference, **more
    )
