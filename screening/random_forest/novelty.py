"""How unlike all that was learned a crystal is, and whether it can be at rest.

No model of force constants knows the forces. What it can know is what its training set, all of
it relaxed, has in common. Four quadratic forms measure how far a crystal is from that, each in
units of what held-out structures show:

* ``force``: whether pulls on an atom balance. Unit vectors to its neighbours are summed for each
  element and shell; in relaxed crystals some combinations of these sums nearly vanish, since a
  force is one. Those count most. The worst atom decides.
* ``stress``: the same for what the bonds of the whole cell would pull at its lattice.
* ``atom``: how many neighbours of each element lie how far away. The strangest atom decides.
* ``cell``: how many bonds of each pair of elements have which length, and the volume per atom.

References
----------
P. C. Mahalanobis, Proc. Natl. Inst. Sci. India 2, 49 (1936): the distances.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from screening.descriptors.image_bonds import (
    atomic_numbers,
    image_bonds,
    smooth_switch,
    symmetric_products,
)
from screening.errors import ModelCorruptError
from screening.prediction import FloatArray
from screening.random_forest.blocks import kinds_of
from screening.random_forest.settings import ANEW

__all__ = ["MEASURES", "Novelty", "fit_novelty", "held_out_measures"]

MEASURES = ("force", "stress", "atom", "cell")

_CUTOFF_ANGSTROM = 6.0
_SWITCH_WIDTH_ANGSTROM = 2.0
_CENTRES_ANGSTROM = np.arange(1.6, 6.0, 0.4)
_WIDTH_ANGSTROM = 0.4
_ROOTS = np.sqrt([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])  # so that six components turn as a vector does
_NOISE = 1e-3  # variance that is added to each feature, in units of its own
_LEAST_VARIANCE = 1e-6


@dataclass(frozen=True, eq=False)
class _Features:
    """What one crystal shows: of atoms (atom, axis, pull) and (atom, scalar), of the cell."""

    elements: NDArray[np.int64]
    pulls: FloatArray
    stress: FloatArray
    scalars: FloatArray
    cell: FloatArray


def _features(structure: Structure, elements: Sequence[int]) -> _Features:
    bonds = image_bonds(structure, _CUTOFF_ANGSTROM)
    distances, directions = bonds.distances_angstrom, bonds.directions
    offsets = distances[:, None] - _CENTRES_ANGSTROM
    shells = np.exp(-0.5 * (offsets / _WIDTH_ANGSTROM) ** 2)
    shells *= smooth_switch(distances, _CUTOFF_ANGSTROM, _SWITCH_WIDTH_ANGSTROM)[:, None]
    numbers, n_atoms = atomic_numbers(structure), len(structure)
    own = np.searchsorted(elements, numbers)
    around = _summed(
        bonds.first * len(elements) + own[bonds.second],
        np.concatenate([directions, np.ones((len(distances), 1))], axis=1),
        shells,
        n_atoms * len(elements),
    ).reshape(n_atoms, len(elements), 4, -1)
    low, high = np.sort(np.stack([own[bonds.first], own[bonds.second]]), axis=0)
    kinds = {kind: place for place, kind in enumerate(kinds_of(range(len(elements))))}
    place = np.array([[kinds[min(a, b), max(a, b)] for b in range(len(elements))] for a in
                      range(len(elements))])  # fmt: skip
    lever = symmetric_products(directions) * _ROOTS * distances[:, None]
    whole = _summed(
        place[low, high],
        np.concatenate([lever, np.ones((len(distances), 1))], axis=1),
        shells,
        len(kinds),
    )
    whole /= n_atoms
    volume = np.log(structure.volume / n_atoms)
    return _Features(
        own,
        around[:, :, :3].swapaxes(1, 2).reshape(n_atoms, 3, -1),
        whole[:, :6].swapaxes(0, 1).reshape(6, -1),
        around[:, :, 3].reshape(n_atoms, -1),
        np.append(whole[:, 6].ravel(), volume),
    )


def _summed(
    labels: NDArray[np.int64], left: FloatArray, right: FloatArray, n_labels: int
) -> FloatArray:
    """Sum products of the columns of two arrays over equal labels, (label, left, right)."""
    order = np.argsort(labels, kind="stable")
    cuts = np.searchsorted(labels[order], np.arange(n_labels + 1))
    left, right = left[order].T, right[order]
    return np.stack([left[:, a:b] @ right[a:b] for a, b in pairwise(cuts)])


@dataclass(frozen=True, eq=False)
class _Distance:
    """How far from a mean, along directions scaled by how much is usual.

    Attributes
    ----------
    mean
        Shape (feature,).
    whitening
        Shape (direction, feature).
    """

    mean: FloatArray
    whitening: FloatArray

    def squares(self, rows: FloatArray) -> FloatArray:
        """Squared distances of rows (..., feature), one for each."""
        found = (rows - self.mean) @ self.whitening.T
        return np.asarray((found**2).sum(axis=-1))


def _fit_distance(rows: FloatArray, *, centred: bool) -> _Distance:
    """Fit to rows (row, feature); what balances has no mean."""
    mean = rows.mean(axis=0) if centred else np.zeros(rows.shape[1])
    covariance = (rows - mean).T @ (rows - mean) / len(rows)
    variances = np.maximum(covariance.diagonal(), _LEAST_VARIANCE)
    roots = np.sqrt(variances)
    scaled = covariance / roots[:, None] / roots + _NOISE * np.eye(len(roots))
    whitening = np.linalg.inv(np.linalg.cholesky(scaled)) / roots
    return _Distance(mean, whitening)


@dataclass(frozen=True, eq=False)
class Novelty:
    """What relaxed crystals of a training set have in common.

    Attributes
    ----------
    elements
        Atomic numbers that are told apart.
    distances
        By name: ``force/9`` and ``atom/9`` for each element, ``stress`` and ``cell``.
    """

    elements: tuple[int, ...]
    distances: Mapping[str, _Distance]

    def measures(self, structure: Structure) -> FloatArray:
        """Return the four distances of a crystal of these elements, in the order of `MEASURES`."""
        return self._measures(_features(structure, self.elements))

    def _measures(self, features: _Features) -> FloatArray:
        force, atom = 0.0, 0.0
        for place in np.unique(features.elements):
            own, name = features.elements == place, self.elements[place]
            if f"force/{name}" not in self.distances:
                continue
            pulls = self.distances[f"force/{name}"].squares(features.pulls[own]).sum(axis=1)
            scalars = self.distances[f"atom/{name}"].squares(features.scalars[own])
            force, atom = max(force, float(pulls.max())), max(atom, float(scalars.max()))
        stress = float(self.distances["stress"].squares(features.stress).sum())
        cell = float(self.distances["cell"].squares(features.cell))
        return np.sqrt([force, stress, atom, cell])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all numbers by name."""
        found: dict[str, NDArray[Any]] = {}
        for name, one in self.distances.items():
            found[f"novelty/{name}/mean"] = one.mean
            found[f"novelty/{name}/whitening"] = one.whitening
        return found

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], elements: tuple[int, ...]) -> Novelty:
        """Rebuild it.

        Raises
        ------
        ModelCorruptError
            If an array is missing or has another shape.
        """
        n_shells = len(_CENTRES_ANGSTROM)
        sizes = {f"{one}/{n}": len(elements) * n_shells for one in ("force", "atom")
                 for n in elements}  # fmt: skip
        sizes["stress"] = len(kinds_of(elements)) * n_shells
        sizes["cell"] = sizes["stress"] + 1
        found = {}
        for name, size in sizes.items():
            try:
                mean = np.asarray(arrays[f"novelty/{name}/mean"], dtype=np.float64)
                whitening = np.asarray(arrays[f"novelty/{name}/whitening"], dtype=np.float64)
            except (KeyError, ValueError) as error:
                raise ModelCorruptError(f"an array is missing: {error}", hint=ANEW) from error
            if mean.shape != (size,) or whitening.shape != (size, size):
                raise ModelCorruptError(
                    "arrays of what was learned do not fit", subject=f"novelty/{name}", hint=ANEW
                )
            found[name] = _Distance(mean, whitening)
        return cls(elements, found)


def fit_novelty(structures: Sequence[Structure], elements: tuple[int, ...]) -> Novelty:
    """Learn what relaxed structures have in common."""
    return _fitted([_features(one, elements) for one in structures], elements)


def _fitted(features: Sequence[_Features], elements: tuple[int, ...]) -> Novelty:
    found = {
        "stress": _fit_distance(np.concatenate([one.stress for one in features]), centred=False),
        "cell": _fit_distance(np.stack([one.cell for one in features]), centred=True),
    }
    for place, number in enumerate(elements):
        pulls = np.concatenate([one.pulls[one.elements == place] for one in features])
        if not len(pulls):
            continue
        scalars = np.concatenate([one.scalars[one.elements == place] for one in features])
        pulls = pulls.reshape(-1, pulls.shape[-1])
        found[f"force/{number}"] = _fit_distance(pulls, centred=False)
        found[f"atom/{number}"] = _fit_distance(scalars, centred=True)
    return Novelty(elements, found)


def held_out_measures(
    structures: Sequence[Structure], elements: tuple[int, ...], folds: NDArray[np.int64]
) -> FloatArray:
    """Measures of each structure by what the other folds have in common, (structure, measure).

    Elements that no other fold has are left out of those of atoms.
    """
    features = [_features(one, elements) for one in structures]
    found = np.zeros((len(structures), len(MEASURES)))
    for fold in np.unique(folds):
        seen = [one for one, other in zip(features, folds, strict=True) if other != fold]
        novelty = _fitted(seen, elements)
        for index in np.flatnonzero(folds == fold):
            found[index] = novelty._measures(features[index])  # noqa: SLF001 - of this module
    return found
