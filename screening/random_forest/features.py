"""Features of pairs of atoms for random forests, and the frames their targets are read in.

Of a descriptor tensor's eigenvectors only products with themselves enter, so that signs, which
are arbitrary, do not. Where eigenvalues are equal the eigenvectors are arbitrary too; what is
predicted for such directions is then their mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from screening.descriptors.image_bonds import BondedCrystal, atomic_numbers, structure_of
from screening.descriptors.pair_tensors import PairSettings, PairTensors, pair_tensors
from screening.descriptors.three_body import EnvironmentSettings, environment_scalars
from screening.errors import SettingError
from screening.prediction import FloatArray
from screening.random_forest.blocks import Kind
from screening.random_forest.settings import RandomForestSettings, Variant

__all__ = ["ForestCell", "PairFeatures", "row_size", "rows_of", "targets_of", "tensors_from"]

_FRAME_RADIUS_ANGSTROM = 1.5  # the nearest image decides; wider ones turn the frame away from it
_EQUAL = 1e-6  # of the largest eigenvalue
_ROWS, _COLUMNS = np.array([0, 1, 2, 1, 0, 0]), np.array([0, 1, 2, 2, 2, 1])
_TENSOR = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])
_SHELLS_ANGSTROM = EnvironmentSettings().shells_angstrom
_COORDINATION = EnvironmentSettings(
    shells_angstrom=_SHELLS_ANGSTROM, radii_angstrom=(), cutoff_angstrom=max(_SHELLS_ANGSTROM)
)


@dataclass(frozen=True, eq=False)
class PairFeatures:
    """What forests see of some pairs of atoms, or of single atoms.

    Attributes
    ----------
    tensors, scalars
        Descriptors, shapes (pair, radius, 3, 3) and (pair, radius).
    coordination
        Coordination numbers, shape (pair, scalar).
    """

    tensors: FloatArray
    scalars: FloatArray
    coordination: FloatArray


@dataclass(frozen=True, eq=False)
class ForestCell:
    """What one crystal brings to the forests.

    Attributes
    ----------
    structure
        The crystal.
    elements
        Atomic numbers that are told apart.
    settings
        Radii and images.
    kinds
        Pairs of elements that are asked for; None for all of them, and for single atoms.
    """

    structure: Structure | BondedCrystal
    elements: Sequence[int]
    settings: RandomForestSettings
    kinds: Sequence[Kind] | None = None

    @cached_property
    def numbers(self) -> NDArray[np.int64]:
        """Atomic numbers of the sites, shape (site,)."""
        return atomic_numbers(self.structure)

    @cached_property
    def _described(self) -> NDArray[np.int64]:
        """Sites whose pairs are described, ascending: what lies between does not matter."""
        if self.kinds is None:
            return np.arange(len(self.structure))
        wanted = {number for kind in self.kinds for number in kind}
        return np.flatnonzero(np.isin(self.numbers, list(wanted)))

    @cached_property
    def _descriptors(self) -> PairTensors:
        settings = PairSettings(
            radii_angstrom=self.settings.radii_angstrom,
            cutoff_angstrom=self.settings.cutoff_angstrom,
            switch_width_angstrom=min(2.0, self.settings.cutoff_angstrom),
            images=self.settings.images,
        )
        structure = structure_of(self.structure)
        if len(self._described) == len(structure):
            return pair_tensors(structure, settings)
        sites = [structure[index] for index in self._described.tolist()]
        return pair_tensors(Structure.from_sites(sites), settings)

    @cached_property
    def _coordination(self) -> FloatArray:
        return environment_scalars(self.structure, self.elements, _COORDINATION)

    def pairs(self, pairs: NDArray[np.int64]) -> PairFeatures:
        """Describe pairs of atoms (pair, 2), those of one element the same in both orders."""
        first, second = pairs.T
        one, other = self._coordination[first], self._coordination[second]
        like = (self.numbers[first] == self.numbers[second])[:, None]
        both = np.where(like, one + other, one), np.where(like, np.abs(one - other), other)
        own, others = np.searchsorted(self._described, (first, second))
        return PairFeatures(
            self._descriptors.tensors[own, others],
            self._descriptors.scalars[own, others],
            np.concatenate(both, axis=1),
        )

    def sites(self, sites: NDArray[np.int64]) -> PairFeatures:
        """Describe single atoms by sums over their pairs.

        Raises
        ------
        SettingError
            If only some pairs of elements are described: the sums would lack the others.
        """
        if self.kinds is not None:
            raise SettingError(
                "single atoms are described by the pairs of all elements",
                subject="kinds",
                hint="Describe the crystal without choosing pairs of elements",
            )
        return PairFeatures(
            self._descriptors.diagonal[sites],
            self._descriptors.scalars.sum(axis=1)[sites],
            self._coordination[sites],
        )


def _frames(features: PairFeatures, radii: Sequence[float]) -> tuple[FloatArray, FloatArray]:
    """Eigenvalues ascending and eigenvectors as columns of the descriptor near 1.5 Å."""
    nearest = int(np.argmin(np.abs(np.array(radii) - _FRAME_RADIUS_ANGSTROM)))
    values, vectors = np.linalg.eigh(features.tensors[:, nearest])
    return np.asarray(values), np.asarray(vectors)


def _means_of_equal(values: FloatArray) -> FloatArray:
    """Matrix that replaces components by their mean over equal eigenvalues, (pair, 3, 3)."""
    scale = np.maximum(np.abs(values).max(axis=1), np.finfo(np.float64).tiny)
    equal = np.diff(values, axis=1) <= _EQUAL * scale[:, None]
    group = np.concatenate([np.zeros((len(values), 1)), np.cumsum(~equal, axis=1)], axis=1)
    same = (group[:, :, None] == group[:, None, :]).astype(np.float64)
    return np.asarray(same / same.sum(axis=2, keepdims=True))


def _in_frames(tensors: FloatArray, vectors: FloatArray) -> FloatArray:
    """Turn tensors (pair, radius, 3, 3) into frames (pair, 3, 3)."""
    return np.asarray(vectors.swapaxes(1, 2)[:, None] @ tensors @ vectors[:, None])


def rows_of(features: PairFeatures, variant: Variant, radii: Sequence[float]) -> FloatArray:
    """Features of a variant, shape (row, feature); ``rf_component`` has six rows for a pair."""
    n_pairs = len(features.tensors)
    components = features.tensors[..., _ROWS, _COLUMNS]
    if variant == "rf_multi":
        return components.reshape(n_pairs, 6 * components.shape[1])
    if variant == "rf_component":
        flags = np.broadcast_to(_ROWS == _COLUMNS, (n_pairs, 6))[..., None]
        rows = np.concatenate([components.swapaxes(1, 2), flags], axis=2)
        return rows.reshape(-1, rows.shape[-1])
    values, vectors = _frames(features, radii)
    turned = _in_frames(features.tensors, vectors)
    axes = np.arange(3)
    diagonal = turned[..., axes, axes] @ _means_of_equal(values).swapaxes(1, 2)
    rest = np.abs(turned - turned[..., axes, axes][..., None] * np.eye(3)).sum(axis=(2, 3))
    rest *= (_means_of_equal(values)[:, axes, axes] == 1.0).all(axis=1)[:, None]
    parts = [
        diagonal.reshape(n_pairs, 3 * diagonal.shape[1]),
        rest,
        features.scalars,
        features.coordination,
    ]
    return np.concatenate(parts, axis=1)


def row_size(variant: Variant, n_radii: int, n_elements: int, *, of_pairs: bool) -> tuple[int, int]:
    """Count the features and outputs of a row of `rows_of` and `targets_of`."""
    scalars = n_elements * _COORDINATION.n_per_element * (2 if of_pairs else 1)
    sizes = {
        "rf_component": (n_radii + 1, 1),
        "rf_multi": (6 * n_radii, 6),
        "rf_frame": (5 * n_radii + scalars, 3),
    }
    return sizes[variant]


def targets_of(
    features: PairFeatures, blocks: FloatArray, variant: Variant, radii: Sequence[float]
) -> FloatArray:
    """Return what a variant learns of blocks (pair, 3, 3), shape (row, output)."""
    components = (0.5 * (blocks + blocks.swapaxes(1, 2)))[:, _ROWS, _COLUMNS]
    if variant == "rf_multi":
        return np.asarray(components)
    if variant == "rf_component":
        return np.asarray(components.reshape(-1, 1))
    values, vectors = _frames(features, radii)
    diagonal = np.einsum("pia,pij,pja->pa", vectors, blocks, vectors, optimize=True)
    return np.asarray(np.einsum("pab,pb->pa", _means_of_equal(values), diagonal))


def tensors_from(
    outputs: FloatArray, features: PairFeatures, variant: Variant, radii: Sequence[float]
) -> FloatArray:
    """Blocks from what forests answer (member, row, output), shape (member, pair, 3, 3)."""
    n_members = len(outputs)
    if variant != "rf_frame":
        return np.asarray(outputs.reshape(n_members, -1, 6)[..., _TENSOR])
    values, vectors = _frames(features, radii)
    diagonal = np.einsum("pab,mpb->mpa", _means_of_equal(values), outputs)
    return np.asarray((vectors * diagonal[:, :, None]) @ vectors.swapaxes(1, 2))
