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
    BondedCrystal,
    ImageBonds,
    atomic_numbers,
    fold_onto_pairs,
    image_bonds,
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

    @property
    def reach_angstrom(self) -> float:
        """How long the bonds are that functions see."""
        return max(self.bonds.cutoff_angstrom, self.paths.cutoff_angstrom if self.paths else 0.0)

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

    def widths(self, kind: Kind) -> list[int]:
        """How many tensors bonds, paths, arrows and surroundings have of a pair of elements."""
        plain = TensorLayout(self.elements, self.bonds, self.paths, surroundings=False)
        n_plain, n_functions = plain.n_tensors(kind), 0
        if self.paths:
            n_functions = len(self.paths.centres_angstrom)
        n_arrows = len(self.elements) * n_functions**2 * (2 if kind[0] == kind[1] else 4)
        n_paths = n_plain - self.bonds.n_tensors - n_arrows
        return [self.bonds.n_tensors, n_paths, n_arrows, self.n_tensors(kind) - n_plain]


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

    structure: Structure | BondedCrystal
    layout: TensorLayout

    @cached_property
    def numbers(self) -> NDArray[np.int64]:
        """Atomic numbers of the sites, shape (site,)."""
        return atomic_numbers(self.structure)

    @cached_property
    def bonds(self) -> ImageBonds:
        """Bonds as far as the functions reach."""
        return image_bonds(self.structure, self.layout.reach_angstrom)

    @cached_property
    def radial(self) -> FloatArray:
        """Functions of the distance of each bond, shape (bond, centre)."""
        return bond_radial_functions(self.bonds.distances_angstrom, self.layout.bonds)

    @cached_property
    def angular(self) -> FloatArray:
        """Products of the components of directions, and one, shape (bond, 7)."""
        products = symmetric_products(self.bonds.directions)
        return np.concatenate([products, np.ones((len(products), 1))], axis=1)

    @cached_property
    def _bond_sums(self) -> FloatArray:
        """Bond tensors summed over images, shape (site, site, tensor, 3, 3)."""
        folded = fold_onto_pairs(self.bonds, self.radial[:, :, None] * self.angular[:, None, :])
        along = symmetric_tensors(folded[..., :6])
        return np.concatenate([along, folded[..., 6, None, None] * np.eye(3)], axis=-3)

    @cached_property
    def arrows(self) -> FloatArray:
        """Directions times functions summed over images, shape (site, site, function, 3)."""
        assert self.layout.paths is not None
        distances = self.bonds.distances_angstrom
        radial = bond_radial_functions(distances, self.layout.paths.radial)
        arrows = fold_onto_pairs(self.bonds, radial[:, :, None] * self.bonds.directions[:, None])
        sites = np.arange(len(arrows))
        arrows[sites, sites] = 0.0  # images on opposite sides cancel
        return arrows

    @cached_property
    def _is_element(self) -> FloatArray:
        """One where a site is of an element, shape (site, element)."""
        return np.asarray(1.0 * (self.numbers[:, None] == np.array(self.layout.elements)))

    @cached_property
    def sums_of_arrows(self) -> FloatArray:
        """Arrows from each site summed by element, shape (site, element, function, 3)."""
        n_sites, _, *shape = self.arrows.shape
        sums = self._is_element.T @ self.arrows.reshape(n_sites, n_sites, -1)
        return np.asarray(sums.reshape(n_sites, -1, *shape))

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
            scalars, thin = self.surroundings(kind)
            products = scalars[:, :, None, None, None] * thin[:, None]
            found.append(_as_one_row(products))
        return np.concatenate(found, axis=1)

    def surroundings(self, kind: Kind) -> tuple[FloatArray, FloatArray]:
        """Return scalars (pair, scalar) and the tensors (pair, tensor, 3, 3) they multiply."""
        pairs = atom_pairs(self.numbers, kind)
        return self._scalars(kind, pairs), self._thin_bond_sums()[pairs[:, 0], pairs[:, 1]]

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
                self.arrows[first][:, middle],
                self.arrows[middle][:, second],
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
        own = self.arrows[first, second]
        of_first = np.einsum("peax,pby->peabxy", self.sums_of_arrows[first], own)
        of_second = np.einsum("peay,pbx->peabxy", self.sums_of_arrows[second], own)
        if kind[0] == kind[1]:
            difference = of_first - of_second
            every = [difference, difference.swapaxes(-1, -2)]
        else:
            every = [one for x in (of_first, of_second) for one in (x, x.swapaxes(-1, -2))]
        return np.concatenate([_as_one_row(one) for one in every], axis=1)
