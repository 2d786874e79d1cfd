"""How unlike all that was learned a crystal is, and whether it can be at rest.

No model of phonons knows the forces. What it can know is what its training set, all of it at rest,
has in common, and how that changes when atoms or the cell are moved. Five measures follow:

* ``displacement``: how far the worst atom seems to be from its place, in Å. Unit vectors to its
  neighbours are summed for each element and shell, as forces of pairs are. Which combination of
  these sums vanishes at rest and tells a displacement otherwise is learned from the training set
  and from copies of it whose atoms were moved.
* ``strain``: the same for the lattice, by what the bonds of the whole cell would pull at it, and
  copies that were strained. No unit.
* ``volume``: how far the logarithm of the volume seems to be off, by the bonds of the cell.
* ``atom``: how many neighbours of each element lie how far away. The strangest atom decides.
* ``cell``: how many bonds of each pair of elements have which length, and the volume per atom.

The last two are distances in units of what the training set shows. A force that no sum over pairs
tells is not seen, nor is a displacement below what crystals at rest scatter by.

References
----------
P. C. Mahalanobis, Proc. Natl. Inst. Sci. India 2, 49 (1936): the distances.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure

from screening.descriptors.image_bonds import (
    BondedCrystal,
    atomic_numbers,
    image_bonds,
    smooth_switch,
    structure_of,
    symmetric_products,
)
from screening.errors import ModelCorruptError
from screening.prediction import FloatArray

__all__ = [
    "MEASURES",
    "REACH_ANGSTROM",
    "Lesson",
    "Novelty",
    "fit_novelty",
    "held_out_measures",
    "lessons_of",
]

MEASURES = ("displacement", "strain", "volume", "atom", "cell")

REACH_ANGSTROM = 6.0
"""How long the bonds are that tell."""

_SWITCH_WIDTH_ANGSTROM = 2.0
_CENTRES_ANGSTROM = np.arange(1.6, 6.0, 0.4)
_WIDTH_ANGSTROM = 0.4
_ROWS, _COLUMNS = [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]
_ROOTS = np.sqrt([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])  # so that six components turn as a vector does
_NOISE = 1e-3  # variance that is added to each feature, in units of its own
_LEAST_VARIANCE = 1e-6
_MOVED_ANGSTROM = 0.05
_STRAIN = 0.02
_COPIES = 600  # of all structures together, but one of each at least
_MOST_COPIES = 3
_ANEW = "Export the model again from where it was trained, or train it anew"


@dataclass(frozen=True, eq=False)
class _Features:
    """What one crystal shows: of atoms (atom, axis, pull) and (atom, scalar), of the cell."""

    elements: NDArray[np.int64]
    pulls: FloatArray
    stress: FloatArray
    scalars: FloatArray
    cell: FloatArray

    @property
    def size(self) -> FloatArray:
        """What tells the volume, shape (feature,)."""
        return np.concatenate([self.cell, self.stress[:3].sum(axis=0)])


@dataclass(frozen=True, eq=False)
class Lesson:
    """A crystal at rest, and copies of it with moved atoms and strained cells.

    Attributes
    ----------
    at_rest
        What it shows.
    moved, shifts_angstrom
        What copies show, and how far their atoms were moved in Å, each (atom, axis).
    strained, strains
        What copies show, and their strains, each of shape (3, 3).
    """

    at_rest: _Features
    moved: tuple[_Features, ...]
    shifts_angstrom: tuple[FloatArray, ...]
    strained: tuple[_Features, ...]
    strains: tuple[FloatArray, ...]


def lessons_of(structures: Sequence[Structure], elements: tuple[int, ...]) -> list[Lesson]:
    """Describe crystals at rest and copies of them.

    Parameters
    ----------
    structures
        All at rest.
    elements
        Atomic numbers that are told apart, ascending.
    """
    n_copies = max(1, min(_MOST_COPIES, _COPIES // max(1, len(structures))))
    return [_lesson(one, elements, n_copies, index) for index, one in enumerate(structures)]


def _lesson(structure: Structure, elements: tuple[int, ...], n_copies: int, seed: int) -> Lesson:
    rng = np.random.default_rng(seed)
    cell, places = structure.lattice.matrix, structure.cart_coords
    shifts, strains = [], []
    for _ in range(n_copies):
        shift = rng.normal(size=places.shape)
        shift *= _MOVED_ANGSTROM / np.linalg.norm(shift, axis=1, keepdims=True)
        shifts.append(shift)
        strain = rng.normal(scale=_STRAIN, size=(3, 3))
        strains.append(0.5 * (strain + strain.T) + rng.normal(scale=_STRAIN) * np.eye(3))
    moved = [_with(structure, cell, places + one) for one in shifts]
    stretched = [np.eye(3) + one for one in strains]
    strained = [_with(structure, cell @ one, places @ one) for one in stretched]
    return Lesson(
        _features(structure, elements),
        tuple(_features(one, elements) for one in moved),
        tuple(one - one.mean(axis=0) for one in shifts),
        tuple(_features(one, elements) for one in strained),
        tuple(strains),
    )


def _with(structure: Structure, cell: FloatArray, places: FloatArray) -> Structure:
    return Structure(Lattice(cell), structure.species, places, coords_are_cartesian=True)


def _features(crystal: Structure | BondedCrystal, elements: Sequence[int]) -> _Features:
    structure = structure_of(crystal)
    bonds = image_bonds(crystal, REACH_ANGSTROM)
    distances, directions = bonds.distances_angstrom, bonds.directions
    offsets = distances[:, None] - _CENTRES_ANGSTROM
    shells = np.exp(-0.5 * (offsets / _WIDTH_ANGSTROM) ** 2)
    shells *= smooth_switch(distances, REACH_ANGSTROM, _SWITCH_WIDTH_ANGSTROM)[:, None]
    numbers, n_atoms = atomic_numbers(crystal), len(crystal)
    own, n_elements = np.searchsorted(elements, numbers), len(elements)
    ones = np.ones((len(distances), 1))
    around = _summed(
        bonds.first * n_elements + own[bonds.second],
        np.concatenate([directions, ones], axis=1),
        shells,
        n_atoms * n_elements,
    ).reshape(n_atoms, n_elements, 4, -1)
    lever = symmetric_products(directions) * _ROOTS * distances[:, None]
    kinds = _pair_numbers(n_elements)[own[bonds.first], own[bonds.second]]
    whole = _summed(kinds, np.concatenate([lever, ones], axis=1), shells, _n_pairs(n_elements))
    whole /= n_atoms
    volume = np.log(structure.volume / n_atoms)
    return _Features(
        own,
        around[:, :, :3].swapaxes(1, 2).reshape(n_atoms, 3, -1),
        whole[:, :6].swapaxes(0, 1).reshape(6, -1),
        around[:, :, 3].reshape(n_atoms, -1),
        np.append(whole[:, 6].ravel(), volume),
    )


def _n_pairs(n_elements: int) -> int:
    return n_elements * (n_elements + 1) // 2


def _pair_numbers(n_elements: int) -> NDArray[np.int64]:
    """Count pairs of elements, whichever comes first, shape (element, element)."""
    found = np.zeros((n_elements, n_elements), dtype=np.int64)
    for place, (a, b) in enumerate(combinations_with_replacement(range(n_elements), 2)):
        found[a, b] = found[b, a] = place
    return found


def _summed(
    labels: NDArray[np.int64], left: FloatArray, right: FloatArray, n_labels: int
) -> FloatArray:
    """Sum products of the columns of two arrays over equal labels, (label, left, right)."""
    order = np.argsort(labels, kind="stable")
    cuts = np.searchsorted(labels[order], np.arange(n_labels + 1))
    left, right = left[order].T, right[order]
    return np.stack([left[:, a:b] @ right[a:b] for a, b in pairwise(cuts)])


@dataclass(frozen=True, eq=False)
class _Fit:
    """A distance or a linear function of features.

    Attributes
    ----------
    mean
        Shape (feature,).
    weights
        Shape (direction, feature): one row of a linear function, as many as there are features
        where they measure how far something is from the mean.
    """

    mean: FloatArray
    weights: FloatArray

    def __call__(self, rows: FloatArray) -> FloatArray:
        """Length of what the weights make of rows (..., feature); its sign where it is one."""
        found = (rows - self.mean) @ self.weights.T
        if len(self.weights) == 1:
            return np.asarray(found[..., 0])
        return np.asarray(np.sqrt((found**2).sum(axis=-1)))


def _fit_distance(rows: FloatArray) -> _Fit:
    """Fit to rows (row, feature)."""
    mean = rows.mean(axis=0)
    covariance = (rows - mean).T @ (rows - mean) / len(rows)
    variances = np.maximum(covariance.diagonal(), _LEAST_VARIANCE)
    roots = np.sqrt(variances)
    scaled = covariance / roots[:, None] / roots + _NOISE * np.eye(len(roots))
    return _Fit(mean, np.linalg.inv(np.linalg.cholesky(scaled)) / roots)


def _fit_change(
    at_rest: FloatArray, changed: FloatArray, changes: FloatArray, *, centred: bool
) -> _Fit:
    """Fit what rows (row, feature) of changed crystals have and those at rest have not."""
    mean = at_rest.mean(axis=0) if centred else np.zeros(at_rest.shape[1])
    rows = np.concatenate([at_rest, changed]) - mean
    roots = np.sqrt(np.maximum((rows**2).mean(axis=0), _LEAST_VARIANCE))
    scaled = rows / roots
    products = scaled.T @ scaled / len(rows) + _NOISE * np.eye(len(roots))
    moments = scaled[len(at_rest) :].T @ changes / len(rows)
    return _Fit(mean, (np.linalg.solve(products, moments) / roots)[None])


@dataclass(frozen=True, eq=False)
class Novelty:
    """What crystals at rest of a training set have in common.

    Attributes
    ----------
    elements
        Atomic numbers that are told apart.
    fits
        By name: ``displacement/9`` and ``atom/9`` for each element, ``strain``, ``volume`` and
        ``cell``.
    """

    elements: tuple[int, ...]
    fits: Mapping[str, _Fit]

    def measures(self, structure: Structure | BondedCrystal) -> FloatArray:
        """Return what is measured of a crystal of these elements, in the order of `MEASURES`."""
        return self._measures(_features(structure, self.elements))

    def _measures(self, features: _Features) -> FloatArray:
        displacement, atom = 0.0, 0.0
        for place in np.unique(features.elements):
            own, name = features.elements == place, self.elements[place]
            if f"atom/{name}" not in self.fits:
                continue
            shifts = self.fits[f"displacement/{name}"](features.pulls[own])
            displacement = max(displacement, float(np.linalg.norm(shifts, axis=1).max()))
            atom = max(atom, float(self.fits[f"atom/{name}"](features.scalars[own]).max()))
        strain = float(np.linalg.norm(self.fits["strain"](features.stress)))
        volume = abs(float(self.fits["volume"](features.size)))
        return np.array([displacement, strain, volume, atom, self.fits["cell"](features.cell)])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all numbers by name."""
        found: dict[str, NDArray[Any]] = {}
        for name, one in self.fits.items():
            found[f"novelty/{name}/mean"] = one.mean
            found[f"novelty/{name}/weights"] = one.weights
        return found

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], elements: tuple[int, ...]) -> Novelty:
        """Rebuild it.

        Raises
        ------
        ModelCorruptError
            If an array is missing or has another shape.
        """
        found = {}
        for name, (n_rows, size) in _shapes(elements).items():
            try:
                mean = np.asarray(arrays[f"novelty/{name}/mean"], dtype=np.float64)
                weights = np.asarray(arrays[f"novelty/{name}/weights"], dtype=np.float64)
            except (KeyError, ValueError) as error:
                raise ModelCorruptError(f"an array is missing: {error}", hint=_ANEW) from error
            if mean.shape != (size,) or weights.shape != (n_rows, size):
                raise ModelCorruptError(
                    "arrays of what was learned do not fit", subject=f"novelty/{name}", hint=_ANEW
                )
            found[name] = _Fit(mean, weights)
        return cls(elements, found)


def _shapes(elements: Sequence[int]) -> dict[str, tuple[int, int]]:
    """Shapes of all weights by name."""
    n_shells = len(_CENTRES_ANGSTROM)
    around, bonds = len(elements) * n_shells, _n_pairs(len(elements)) * n_shells
    found = {f"atom/{number}": (around, around) for number in elements}
    found |= {f"displacement/{number}": (1, around) for number in elements}
    cell = bonds + 1
    return found | {"strain": (1, bonds), "volume": (1, cell + bonds), "cell": (cell, cell)}


def fit_novelty(lessons: Sequence[Lesson], elements: tuple[int, ...]) -> Novelty:
    """Learn what crystals at rest have in common, and how moved and strained ones differ."""
    at_rest = [one.at_rest for one in lessons]
    cells = np.stack([one.cell for one in at_rest])
    found = {"cell": _fit_distance(cells)} | _fit_lattice(lessons)
    for place, number in enumerate(elements):
        scalars = np.concatenate([one.scalars[one.elements == place] for one in at_rest])
        if len(scalars):
            found[f"atom/{number}"] = _fit_distance(scalars)
            found[f"displacement/{number}"] = _fit_displacement(lessons, place)
    return Novelty(elements, found)


def _fit_displacement(lessons: Sequence[Lesson], place: int) -> _Fit:
    """Fit how far the atoms of one element are from their places."""

    def pulls(every: Sequence[_Features]) -> FloatArray:
        rows = np.concatenate([one.pulls[one.elements == place] for one in every])
        return np.asarray(rows.reshape(-1, rows.shape[-1]))

    moved = [one for lesson in lessons for one in lesson.moved]
    shifts = [one for lesson in lessons for one in lesson.shifts_angstrom]
    targets = [
        shift[one.elements == place].ravel() for one, shift in zip(moved, shifts, strict=True)
    ]
    at_rest = pulls([one.at_rest for one in lessons])
    return _fit_change(at_rest, pulls(moved), np.concatenate(targets), centred=False)


def _fit_lattice(lessons: Sequence[Lesson]) -> dict[str, _Fit]:
    """Fit strain and logarithm of the volume."""
    at_rest = [one.at_rest for one in lessons]
    strained = [one for lesson in lessons for one in lesson.strained]
    strains = np.array([one for lesson in lessons for one in lesson.strains])
    six = strains[:, _ROWS, _COLUMNS] * _ROOTS
    volumes = np.linalg.slogdet(np.eye(3) + strains)[1]
    return {
        "strain": _fit_change(
            np.concatenate([one.stress for one in at_rest]),
            np.concatenate([one.stress for one in strained]),
            six.ravel(),
            centred=False,
        ),
        "volume": _fit_change(
            np.stack([one.size for one in at_rest]),
            np.stack([one.size for one in strained]),
            volumes,
            centred=True,
        ),
    }


def held_out_measures(
    lessons: Sequence[Lesson], elements: tuple[int, ...], folds: NDArray[np.int64]
) -> FloatArray:
    """Measures of each crystal by what the other folds have in common, (crystal, measure).

    Elements that no other fold has are left out of those of atoms.
    """
    found = np.zeros((len(lessons), len(MEASURES)))
    for fold in np.unique(folds):
        seen = [one for one, other in zip(lessons, folds, strict=True) if other != fold]
        novelty = fit_novelty(seen, elements)
        for index in np.flatnonzero(folds == fold).tolist():
            found[index] = novelty._measures(lessons[index].at_rest)  # noqa: SLF001 - of this module
    return found
