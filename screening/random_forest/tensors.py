r"""Tensors of pairs of atoms that turn with the crystal, and sums of them.

A block of force constants is modelled as a sum over

* bonds: :math:`\hat r \hat r^T` and 1 times functions of the distance, summed over images;
* paths over a third atom k: :math:`\sum_k g_a(r_{ik}) g_b(r_{kj}) \hat r_{ik} \hat r_{kj}^T`;
* arrows: with :math:`v_i = \sum_k g_a(r_{ik}) \hat r_{ik}` over one element, the products of
  :math:`v_i`, or :math:`v_j`, with the pair's own :math:`g_b(r_{ij}) \hat r_{ij}`;
* surroundings, where asked for: bonds times coordination numbers of both atoms.

All obey :math:`\Phi_{ij} = \Phi_{ji}^T`. Coefficients are learned from sums over images alone
(the zone centre): what differs between the images of one pair is fixed only by the crystals
being many and different.

References
----------
F. Legrain et al., arXiv:1803.09827, for blocks of pairs from descriptors of pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from screening.descriptors.bond_blocks import BondBasisSettings, bond_radial_functions
from screening.descriptors.image_bonds import (
    ImageBonds,
    atomic_numbers,
    fold_onto_pairs,
    image_bonds,
    sum_over_images,
    symmetric_products,
    symmetric_tensors,
)
from screening.descriptors.three_body import (
    EnvironmentSettings,
    ThreeBodySettings,
    environment_scalars,
)
from screening.prediction import FloatArray
from screening.random_forest.blocks import Kind, atom_pairs, kinds_of
from screening.random_forest.settings import MOST_TENSORS, RandomForestSettings

__all__ = ["TensorCell", "TensorLayout", "tensor_layout"]

_FIRST_CENTRE_ANGSTROM = 1.6
_CENTRE_SPACING_ANGSTROM = 0.3
_WIDTH_ANGSTROM = 0.22
_THIN = slice(0, None, 3)  # of the bond functions, for products with coordination numbers
_SURROUNDINGS = EnvironmentSettings(
    shells_angstrom=(2.8,), radii_angstrom=(2.0,), cutoff_angstrom=6.0
)


@dataclass(frozen=True)
class TensorLayout:
    """Which tensors there are.

    Attributes
    ----------
    elements
        Atomic numbers that are told apart, ascending.
    bonds
        Functions of the distance of a pair.
    paths
        Functions of the two bonds of a path, None without third atoms.
    surroundings
        Whether bonds are multiplied by coordination numbers.
    """

    elements: tuple[int, ...]
    bonds: BondBasisSettings
    paths: ThreeBodySettings | None
    surroundings: bool

    def n_tensors(self, kind: Kind) -> int:
        """Count the tensors of a pair of elements."""
        like = kind[0] == kind[1]
        count = self.bonds.n_tensors
        if self.paths:
            n = len(self.paths.centres_angstrom)
            count += len(self.elements) * ((n * (n + 1) // 2 if like else n**2) + 2 * n**2)
            count += 0 if like else len(self.elements) * 2 * n**2
        if self.surroundings:
            scalars = len(self.elements) * _SURROUNDINGS.n_per_element * (1 if like else 2)
            count += scalars * 2 * len(self.bonds.centres_angstrom[_THIN])
        return count


def tensor_layout(elements: Sequence[int], settings: RandomForestSettings) -> TensorLayout:
    """Choose the tensors that settings ask for, without paths where they would be too many."""
    if settings.three_body is not None:
        return _layout(elements, settings, with_paths=settings.three_body)
    found = _layout(elements, settings, with_paths=True)
    if sum(found.n_tensors(kind) for kind in kinds_of(elements)) <= MOST_TENSORS:
        return found
    return _layout(elements, settings, with_paths=False)


def _layout(
    elements: Sequence[int], settings: RandomForestSettings, *, with_paths: bool
) -> TensorLayout:
    last = settings.bond_cutoff_angstrom - _CENTRE_SPACING_ANGSTROM
    count = 1 + int((last - _FIRST_CENTRE_ANGSTROM) / _CENTRE_SPACING_ANGSTROM)
    centres = _FIRST_CENTRE_ANGSTROM + _CENTRE_SPACING_ANGSTROM * np.arange(max(count, 2))
    reach = settings.three_body_cutoff_angstrom
    near = tuple(c for c in ThreeBodySettings().centres_angstrom if c < reach)
    return TensorLayout(
        elements=tuple(sorted(elements)),
        bonds=BondBasisSettings(
            tuple(centres.round(6)),
            _WIDTH_ANGSTROM,
            max(settings.bond_cutoff_angstrom, float(centres[-1]) + _WIDTH_ANGSTROM),
        ),
        paths=ThreeBodySettings(near, cutoff_angstrom=reach) if with_paths else None,
        surroundings=settings.environment,
    )


def _as_one_row(tensors: FloatArray) -> FloatArray:
    """Flatten (pair, ..., 3, 3) to (pair, tensor, 3, 3); there may be no pair."""
    size = int(np.prod(tensors.shape[1:-2]))
    return np.asarray(tensors.reshape(len(tensors), size, 3, 3))


@dataclass(frozen=True, eq=False)
class TensorCell:
    """What one crystal brings to the tensors of its pairs.

    Attributes
    ----------
    structure
        The crystal.
    layout
        Which tensors.
    """

    structure: Structure
    layout: TensorLayout

    @cached_property
    def numbers(self) -> NDArray[np.int64]:
        """Atomic numbers of the sites, shape (site,)."""
        return atomic_numbers(self.structure)

    @cached_property
    def _bonds(self) -> ImageBonds:
        paths = self.layout.paths
        reach = max(self.layout.bonds.cutoff_angstrom, paths.cutoff_angstrom if paths else 0.0)
        return image_bonds(self.structure, reach)

    @cached_property
    def _radial(self) -> FloatArray:
        """Functions of the distance of each bond, shape (bond, centre)."""
        return bond_radial_functions(self._bonds.distances_angstrom, self.layout.bonds)

    @cached_property
    def _angular(self) -> FloatArray:
        """Products of the components of directions, and one, shape (bond, 7)."""
        products = symmetric_products(self._bonds.directions)
        return np.concatenate([products, np.ones((len(products), 1))], axis=1)

    @cached_property
    def _bond_sums(self) -> FloatArray:
        """Bond tensors summed over images, shape (site, site, tensor, 3, 3)."""
        folded = fold_onto_pairs(self._bonds, self._radial[:, :, None] * self._angular[:, None, :])
        along = symmetric_tensors(folded[..., :6])
        return np.concatenate([along, folded[..., 6, None, None] * np.eye(3)], axis=-3)

    @cached_property
    def _arrows(self) -> FloatArray:
        """Directions times functions summed over images, shape (site, site, function, 3)."""
        assert self.layout.paths is not None
        distances = self._bonds.distances_angstrom
        radial = bond_radial_functions(distances, self.layout.paths.radial)
        arrows = fold_onto_pairs(self._bonds, radial[:, :, None] * self._bonds.directions[:, None])
        sites = np.arange(len(arrows))
        arrows[sites, sites] = 0.0  # images on opposite sides cancel
        return arrows

    @cached_property
    def _is_element(self) -> FloatArray:
        """One where a site is of an element, shape (site, element)."""
        return np.asarray(1.0 * (self.numbers[:, None] == np.array(self.layout.elements)))

    @cached_property
    def _sums_of_arrows(self) -> FloatArray:
        """Arrows from each site summed by element, shape (site, element, function, 3)."""
        return np.asarray(np.einsum("ikax,ke->ieax", self._arrows, self._is_element))

    def _scalars(self, kind: Kind, pairs: NDArray[np.int64]) -> FloatArray:
        """Coordination numbers of both atoms, the same for both orders, shape (pair, scalar)."""
        found = environment_scalars(self.structure, self.layout.elements, _SURROUNDINGS)
        first, second = found[pairs[:, 0]], found[pairs[:, 1]]
        if kind[0] == kind[1]:
            return np.asarray(first + second)
        return np.concatenate([first, second], axis=1)

    def tensors(self, kind: Kind) -> FloatArray:
        """All tensors of the pairs of a pair of elements, shape (pair, tensor, 3, 3)."""
        pairs = atom_pairs(self.numbers, kind)
        first, second = pairs.T
        found = [self._bond_sums[first, second]]
        if self.layout.paths:
            found += [self._path_tensors(kind, pairs), self._arrow_tensors(kind, pairs)]
        if self.layout.surroundings:
            thin = self._thin_bond_sums()[first, second]
            products = self._scalars(kind, pairs)[:, :, None, None, None] * thin[:, None]
            found.append(_as_one_row(products))
        return np.concatenate(found, axis=1)

    def _thin_bond_sums(self) -> FloatArray:
        n_centres = len(self.layout.bonds.centres_angstrom)
        along, isotropic = np.split(self._bond_sums, [n_centres], axis=2)
        return np.concatenate([along[:, :, _THIN], isotropic[:, :, _THIN]], axis=2)

    def _path_tensors(self, kind: Kind, pairs: NDArray[np.int64]) -> FloatArray:
        """Tensors of paths over each element; those of like atoms made symmetric in a and b."""
        first, second = pairs.T
        paths = [
            np.einsum(
                "pkax,kpby->pabxy",
                self._arrows[first][:, middle],
                self._arrows[middle][:, second],
                optimize=True,
            )
            for middle in (np.flatnonzero(one) for one in self._is_element.T)
        ]
        whole = np.stack(paths, axis=1)
        if kind[0] != kind[1]:
            return _as_one_row(whole)
        upper, lower = np.triu_indices(whole.shape[2])
        chosen = whole[:, :, upper, lower] + whole[:, :, lower, upper]
        return _as_one_row(chosen)

    def _arrow_tensors(self, kind: Kind, pairs: NDArray[np.int64]) -> FloatArray:
        """Products of the sums of arrows of each atom with the pair's own arrow."""
        first, second = pairs.T
        own = self._arrows[first, second]
        of_first = np.einsum("peax,pby->peabxy", self._sums_of_arrows[first], own)
        of_second = np.einsum("peay,pbx->peabxy", self._sums_of_arrows[second], own)
        if kind[0] == kind[1]:
            difference = of_first - of_second
            every = [difference, difference.swapaxes(-1, -2)]
        else:
            every = [one for x in (of_first, of_second) for one in (x, x.swapaxes(-1, -2))]
        return np.concatenate([_as_one_row(one) for one in every], axis=1)

    def blocks(self, kind: Kind, coefficients: FloatArray) -> FloatArray:
        """Sum the tensors of a pair of elements with coefficients, without forming them.

        Parameters
        ----------
        kind
            Pair of elements.
        coefficients
            In eV/Å², in the order of `tensors`, shape (member, tensor).

        Returns
        -------
        ndarray
            Shape (member, pair, 3, 3).
        """
        pairs = atom_pairs(self.numbers, kind)
        cuts = np.cumsum(self._widths(kind))[:-1]
        bonds, paths, arrows, around = np.split(coefficients, cuts, axis=1)
        found = self._blocks_of_bonds(kind, bonds, pairs)
        if self.layout.paths:
            found = found + self._blocks_of_paths(kind, paths, pairs)
            found = found + self._blocks_of_arrows(kind, arrows, pairs)
        if self.layout.surroundings:
            thin = self._thin_bond_sums()[pairs[:, 0], pairs[:, 1]]
            weights = around.reshape(len(around), -1, thin.shape[1])
            summed = np.einsum("ps,msb->mpb", self._scalars(kind, pairs), weights)
            found = found + np.einsum("mpb,pbxy->mpxy", summed, thin, optimize=True)
        return np.asarray(found)

    def _widths(self, kind: Kind) -> list[int]:
        """How many tensors each of the four families has."""
        plain = TensorLayout(self.layout.elements, self.layout.bonds, self.layout.paths, False)
        n_bonds, n_all = self.layout.bonds.n_tensors, self.layout.n_tensors(kind)
        n_functions = len(self.layout.paths.centres_angstrom) if self.layout.paths else 0
        per_element = n_functions**2 * (2 if kind[0] == kind[1] else 4)
        n_arrows = len(self.layout.elements) * per_element
        n_paths = plain.n_tensors(kind) - n_bonds - n_arrows
        return [n_bonds, n_paths, n_arrows, n_all - plain.n_tensors(kind)]

    def _blocks_of_bonds(
        self, kind: Kind, coefficients: FloatArray, pairs: NDArray[np.int64]
    ) -> FloatArray:
        first, second = self._bonds.first, self._bonds.second
        chosen = (self.numbers[first] == kind[0]) & (self.numbers[second] == kind[1])
        if kind[0] == kind[1]:
            chosen &= first < second  # as `pairs`
        bonds = self._bonds.chosen(chosen)
        along, isotropic = np.split(coefficients, 2, axis=1)
        radial = self._radial[chosen]
        weights = np.stack([radial @ along.T, radial @ isotropic.T], axis=-1)
        angular = self._angular[chosen]
        parts = weights[:, :, :1] * angular[:, None, :6], weights[:, :, 1:]
        folded = sum_over_images(bonds, np.concatenate(parts, axis=-1), pairs).swapaxes(0, 1)
        return symmetric_tensors(folded[..., :6]) + folded[..., 6, None, None] * np.eye(3)

    def _blocks_of_paths(
        self, kind: Kind, coefficients: FloatArray, pairs: NDArray[np.int64]
    ) -> FloatArray:
        """Multiply matrices that share the middle atom with its functions."""
        weights = self._square_weights(kind, coefficients)
        rows, columns = (np.flatnonzero(self.numbers == one) for one in kind)
        n_members, _, n, _ = weights.shape
        sums = np.zeros((n_members, len(rows), 3, len(columns), 3))
        for element in np.flatnonzero(self._is_element.any(axis=0)):
            middle = np.flatnonzero(self._is_element[:, element])
            left = self._arrows[np.ix_(rows, middle)].transpose(0, 3, 1, 2)
            right = self._arrows[np.ix_(middle, columns)]
            turned = np.tensordot(weights[:, element], right, axes=(2, 2)).swapaxes(1, 2)
            stacked = turned.reshape(n_members, len(middle) * n, -1)
            product = left.reshape(3 * len(rows), -1) @ stacked
            sums += product.reshape(sums.shape)
        place = np.zeros(len(self.numbers), dtype=np.int64)
        place[rows] = np.arange(len(rows))
        first = place[pairs[:, 0]]
        place[columns] = np.arange(len(columns))
        return np.asarray(sums[:, first, :, place[pairs[:, 1]], :].swapaxes(0, 1))

    def _square_weights(self, kind: Kind, coefficients: FloatArray) -> FloatArray:
        """Coefficients of paths, shape (member, element, function, function)."""
        assert self.layout.paths is not None
        n = len(self.layout.paths.centres_angstrom)
        shape = (len(coefficients), len(self.layout.elements), n, n)
        if kind[0] != kind[1]:
            return coefficients.reshape(shape)
        square = np.zeros(shape)
        upper, lower = np.triu_indices(n)
        given = coefficients.reshape(*shape[:2], -1)
        square[..., upper, lower] += given
        square[..., lower, upper] += given
        return square

    def _blocks_of_arrows(
        self, kind: Kind, coefficients: FloatArray, pairs: NDArray[np.int64]
    ) -> FloatArray:
        assert self.layout.paths is not None
        first, second = pairs.T
        n = len(self.layout.paths.centres_angstrom)
        n_kinds = 2 if kind[0] == kind[1] else 4
        shape = (len(coefficients), n_kinds, len(self.layout.elements), n, n)
        own = self._arrows[first, second]
        sums = self._sums_of_arrows.reshape(len(self.numbers), -1, 3)
        weights = coefficients.reshape(*shape[:2], -1, n).swapaxes(-1, -2)
        turned = np.tensordot(weights, sums, axes=(3, 1)).transpose(1, 3, 0, 4, 2)
        if kind[0] == kind[1]:
            left = turned[0, first] - turned[1, second]
            right = turned[1, first] - turned[0, second]
        else:
            left = turned[0, first] + turned[3, second]
            right = turned[1, first] + turned[2, second]
        flat = (len(pairs), -1, n)  # the pair's own arrow stands right, then left
        before = (left.reshape(flat) @ own).reshape(left.shape)
        after = (right.reshape(flat) @ own).reshape(right.shape).swapaxes(-1, -2)
        return np.asarray((before + after).swapaxes(0, 1))
