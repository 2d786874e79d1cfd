"""How unlike everything learned a crystal is: its strangest atom decides.

Each atom is described by how many neighbours of each element lie how far away. The novelty of an
atom is its distance to the nearest learned atom of its element, in standard deviations; that of
a crystal is the largest among its atoms, whatever the size of its cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from screening.descriptors.image_bonds import atomic_numbers
from screening.descriptors.three_body import EnvironmentSettings, environment_scalars
from screening.errors import ModelCorruptError
from screening.prediction import FloatArray
from screening.random_forest.settings import ANEW

__all__ = ["Novelty", "fit_novelty", "held_out_novelty"]

_SURROUNDINGS = EnvironmentSettings(
    shells_angstrom=(2.8, 3.8), radii_angstrom=(1.5, 2.0, 3.0), cutoff_angstrom=6.0
)
_LEAST_SCALE = 1e-3


@dataclass(frozen=True, eq=False)
class Novelty:
    """Atoms that were learned from.

    Attributes
    ----------
    elements
        Atomic numbers that are told apart.
    scales
        Standard deviation of each number, shape (scalar,).
    points
        Scaled numbers of the learned atoms of each element, shape (atom, scalar).
    """

    elements: tuple[int, ...]
    scales: FloatArray
    points: Mapping[int, FloatArray]

    def __call__(self, structure: Structure) -> float:
        """Novelty of a crystal of these elements."""
        numbers = atomic_numbers(structure)
        scaled = environment_scalars(structure, self.elements, _SURROUNDINGS) / self.scales
        return max(
            float(_nearest(scaled[numbers == n], self.points[int(n)]).max())
            for n in np.unique(numbers)
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all numbers by name."""
        points = {f"novelty/{n}": found.astype(np.float32) for n, found in self.points.items()}
        return {"novelty/scales": self.scales, **points}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], elements: tuple[int, ...]) -> Novelty:
        """Rebuild it.

        Raises
        ------
        ModelCorruptError
            If an array is missing or has another shape.
        """
        try:
            scales = np.asarray(arrays["novelty/scales"], dtype=np.float64)
            points = {n: np.asarray(arrays[f"novelty/{n}"], dtype=np.float64) for n in elements}
        except KeyError as error:
            raise ModelCorruptError(f"an array is missing: {error}", hint=ANEW) from error
        shape = (len(elements) * _SURROUNDINGS.n_per_element,)
        if scales.shape != shape or any(one.shape[1:] != shape for one in points.values()):
            raise ModelCorruptError(
                "arrays of the learned atoms do not fit", subject="novelty", hint=ANEW
            )
        return cls(elements, scales, points)


def _nearest(queries: FloatArray, points: FloatArray) -> FloatArray:
    """Distance of each query to the nearest point, shape (query,)."""
    squares = (queries**2).sum(axis=1)[:, None] + (points**2).sum(axis=1)
    squares -= 2.0 * queries @ points.T
    return np.asarray(np.sqrt(np.maximum(squares.min(axis=1), 0.0)))


def fit_novelty(structures: Sequence[Structure], elements: tuple[int, ...]) -> Novelty:
    """Collect the atoms of a training set."""
    numbers = np.concatenate([atomic_numbers(one) for one in structures])
    scalars = np.concatenate(
        [environment_scalars(one, elements, _SURROUNDINGS) for one in structures]
    )
    scales = np.maximum(scalars.std(axis=0), _LEAST_SCALE)
    scaled = (scalars / scales).astype(np.float32).astype(np.float64)
    return Novelty(elements, scales, {n: scaled[numbers == n] for n in elements})


def held_out_novelty(
    novelty: Novelty, structures: Sequence[Structure], folds: NDArray[np.int64]
) -> FloatArray:
    """Novelty of each training structure among those of the other folds, shape (structure,).

    Zero where no other fold has one of its elements.
    """
    numbers = [atomic_numbers(one) for one in structures]
    owners = {
        n: np.concatenate([np.full((one == n).sum(), i) for i, one in enumerate(numbers)])
        for n in novelty.elements
    }
    found = np.zeros(len(structures))
    for index, own in enumerate(numbers):
        for n in np.unique(own):
            points, owner = novelty.points[int(n)], owners[int(n)]
            others = points[folds[owner] != folds[index]]
            if len(others):
                worst = float(_nearest(points[owner == index], others).max())
                found[index] = max(found[index], worst)
    return found
