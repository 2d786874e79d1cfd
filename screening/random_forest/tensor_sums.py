"""Sums of the tensors of `screening.random_forest.tensors` with learned coefficients.

The tensors themselves are never formed: coefficients are summed with functions of bonds first,
paths are products of matrices that share the middle atom with its functions, and all pairs of
elements are done together where they can be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from screening.descriptors.image_bonds import sums_by_label, symmetric_tensors
from screening.prediction import FloatArray
from screening.random_forest.blocks import Kind
from screening.random_forest.tensors import TensorCell, TensorLayout

__all__ = ["TensorSums", "TensorWeights", "tensor_weights"]

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TensorWeights:
    """Coefficients of one pair of elements, arranged for sums.

    Attributes
    ----------
    bonds
        Along the bond and isotropic, shape (function, member times 2).
    paths
        Shape (element, member times function, function).
    of_first, of_second
        What multiplies the sums of arrows of either atom before the pair's own arrow stands to
        the right and to the left, shape (element times function, 2 times member times function).
    around
        Of bonds times coordination numbers, shape (member, tensor).
    """

    bonds: FloatArray
    paths: FloatArray
    of_first: FloatArray
    of_second: FloatArray
    around: FloatArray


def tensor_weights(layout: TensorLayout, kind: Kind, coefficients: FloatArray) -> TensorWeights:
    """Arrange coefficients (member, tensor), which are in the order of `TensorCell.tensors`."""
    cuts = np.cumsum(layout.widths(kind))[:-1]
    bonds, paths, arrows, around = np.split(coefficients, cuts, axis=1)
    like = kind[0] == kind[1]
    n_members, n_elements = len(coefficients), len(layout.elements)
    n = len(layout.paths.centres_angstrom) if layout.paths else 0
    by_bond = bonds.reshape(n_members, 2, -1).transpose(2, 0, 1)
    square = _square(paths, n) if like else paths
    by_element = square.reshape(n_members, n_elements, n, n).swapaxes(0, 1)
    turned = arrows.reshape(n_members, 2 if like else 4, n_elements * n, n).transpose(2, 1, 0, 3)
    second = -turned[:, [1, 0]] if like else turned[:, [3, 2]]
    size = 2 * n_members * n
    return TensorWeights(
        by_bond.reshape(len(by_bond), 2 * n_members),
        by_element.reshape(n_elements, n_members * n, n),
        turned[:, :2].reshape(n_elements * n, size),
        second.reshape(n_elements * n, size),
        around,
    )


def _square(coefficients: FloatArray, n_functions: int) -> FloatArray:
    """Coefficients of paths between like atoms, the same for both orders of the functions."""
    n_members = len(coefficients)
    upper, lower = np.triu_indices(n_functions)
    given = coefficients.reshape(n_members, -1, len(upper)) if len(upper) else coefficients
    square = np.zeros((*given.shape[:2], n_functions, n_functions))
    if len(upper):
        square[..., upper, lower] += given
        square[..., lower, upper] += given
    return square


@dataclass(frozen=True, eq=False)
class TensorSums:
    """Blocks of one crystal by coefficients of some pairs of elements.

    Attributes
    ----------
    cell
        What the crystal brings.
    weights
        Of each pair of elements that is asked for, all of the same members.
    """

    cell: TensorCell
    weights: Mapping[Kind, TensorWeights]

    @cached_property
    def _order(self) -> IntArray:
        """Sites in the order of elements; whatever is called a place counts in it."""
        return np.argsort(self.cell.numbers, kind="stable")

    @cached_property
    def _sites(self) -> dict[int, slice]:
        """Places of each element."""
        ordered = self.cell.numbers[self._order]
        every = self.cell.layout.elements
        starts = np.searchsorted(ordered, every).tolist()
        ends = np.searchsorted(ordered, every, side="right").tolist()
        return {z: slice(a, b) for z, a, b in zip(every, starts, ends, strict=True)}

    @cached_property
    def _pairs(self) -> dict[Kind, tuple[IntArray, IntArray]]:
        """First and second places of the pairs of `atom_pairs`."""
        found = {}
        for a, b in self.weights:
            first, second = self._sites[a], self._sites[b]
            rows, columns = first.stop - first.start, second.stop - second.start
            here = (
                np.triu_indices(rows, 1)
                if a == b
                else np.divmod(np.arange(rows * columns), max(columns, 1))
            )
            found[a, b] = here[0] + first.start, here[1] + second.start
        return found

    def blocks(self) -> dict[Kind, FloatArray]:
        """Sum the tensors, each (member, pair, 3, 3) in the order of `atom_pairs`."""
        if not self.weights:
            return {}
        first = np.concatenate([one for one, _ in self._pairs.values()])
        second = np.concatenate([one for _, one in self._pairs.values()])
        found = self._of_bonds()[first, second]
        if self.cell.layout.paths:
            found = found + self._of_arrows(first, second)
            found += np.concatenate([self._of_paths(kind) for kind in self.weights])
        cuts = np.cumsum([len(one) for one, _ in self._pairs.values()])[:-1]
        blocks = [one.swapaxes(0, 1) for one in np.split(found, cuts)]
        named = dict(zip(self.weights, blocks, strict=True))
        if self.cell.layout.surroundings:
            return {kind: one + self._of_surroundings(kind) for kind, one in named.items()}
        return named

    @property
    def _n_members(self) -> int:
        return int(next(iter(self.weights.values())).bonds.shape[1]) // 2

    def _of_bonds(self) -> FloatArray:
        """Sum over images by places, shape (first, second, member, 3, 3)."""
        bonds, n_atoms = self.cell.bonds, len(self._order)
        place = np.argsort(self._order)
        first, second = place[bonds.first], place[bonds.second]
        chosen, starts, ends = self._by_kind(first, second)
        radial, angular = self.cell.radial[chosen], self.cell.angular[chosen]
        weights = np.empty((len(chosen), self._n_members, 2))
        for one, start, end in zip(self.weights.values(), starts, ends, strict=True):
            weights[start:end] = (radial[start:end] @ one.bonds).reshape(-1, self._n_members, 2)
        parts = weights[:, :, :1] * angular[:, None, :6], weights[:, :, 1:]
        values = np.concatenate(parts, axis=-1)
        pairs = (first * n_atoms + second)[chosen]
        folded = sums_by_label(pairs, values, n_atoms**2)
        tensors = symmetric_tensors(folded[..., :6])
        tensors[..., range(3), range(3)] += folded[..., 6, None]
        return tensors.reshape(n_atoms, n_atoms, self._n_members, 3, 3)

    def _by_kind(self, first: IntArray, second: IntArray) -> tuple[IntArray, list[int], list[int]]:
        """Bonds of the pairs, those of one pair together; where each pair of elements begins."""
        elements, n_atoms = self.cell.layout.elements, len(self._order)
        own = np.searchsorted(elements, self.cell.numbers[self._order])
        n = len(elements)
        wanted = np.array([elements.index(a) * n + elements.index(b) for a, b in self.weights])
        labels = own[first] * n + own[second]
        forward = np.flatnonzero((first < second) & np.isin(labels, wanted))
        keys = ((labels * n_atoms + first) * n_atoms + second)[forward]
        chosen = forward[np.argsort(keys, kind="stable")]
        starts = np.searchsorted(labels[chosen], wanted).tolist()
        ends = np.searchsorted(labels[chosen], wanted, side="right").tolist()
        return chosen, starts, ends

    @cached_property
    def _arrows(self) -> FloatArray:
        """Arrows by places, shape (first, second, function, 3)."""
        return self.cell.arrows[self._order[:, None], self._order]

    @cached_property
    def _left(self) -> FloatArray:
        """Arrows as rows of matrices, shape (first, 3, function, middle)."""
        return np.ascontiguousarray(self._arrows.transpose(0, 3, 2, 1))

    @cached_property
    def _right(self) -> FloatArray:
        """Arrows as columns of matrices, shape (function, middle, second, 3)."""
        return np.ascontiguousarray(self._arrows.transpose(2, 0, 1, 3))

    def _of_paths(self, kind: Kind) -> FloatArray:
        """Shape (pair, member, 3, 3)."""
        rows, columns = self._sites[kind[0]], self._sites[kind[1]]
        left, right = self._left[rows], self._right[:, :, columns]
        n, n_atoms, n_columns, _ = right.shape
        turned = np.empty((self._n_members * n, n_atoms, 3 * n_columns))
        for weights, middle in zip(self.weights[kind].paths, self._sites.values(), strict=True):
            size = middle.stop - middle.start
            product = weights @ right[:, middle].reshape(n, 3 * size * n_columns)
            turned[:, middle] = product.reshape(len(product), size, 3 * n_columns)
        matrices = turned.reshape(self._n_members, n * n_atoms, 3 * n_columns)
        sums = left.reshape(3 * len(left), n * n_atoms) @ matrices
        blocks = sums.reshape(self._n_members, len(left), 3, n_columns, 3).transpose(1, 3, 0, 2, 4)
        first, second = self._pairs[kind]
        return np.asarray(blocks[first - rows.start, second - columns.start])

    def _of_arrows(self, first: IntArray, second: IntArray) -> FloatArray:
        """Products of the sums of arrows of each atom with the pair's own, as `_of_paths`."""
        sums = self.cell.sums_of_arrows[self._order]
        sums = sums.reshape(len(sums), -1, 3).swapaxes(1, 2)
        parts = [
            (sums[rows] @ weights.of_first)[here - rows.start]
            + (sums[columns] @ weights.of_second)[there - columns.start]
            for (a, b), weights in self.weights.items()
            for rows, columns in [(self._sites[a], self._sites[b])]
            for here, there in [self._pairs[a, b]]
        ]
        own = self._arrows[first, second]
        turned = np.concatenate(parts).reshape(len(own), 6 * self._n_members, own.shape[1]) @ own
        both = turned.reshape(len(own), 3, 2, self._n_members, 3)
        return np.asarray(both[:, :, 0].swapaxes(1, 2) + both[:, :, 1].transpose(0, 2, 3, 1))

    def _of_surroundings(self, kind: Kind) -> FloatArray:
        """Shape (member, pair, 3, 3)."""
        scalars, thin = self.cell.surroundings(kind)
        around = self.weights[kind].around
        weights = around.reshape(len(around), -1, thin.shape[1])
        summed = np.einsum("ps,msb->mpb", scalars, weights)
        return np.asarray(np.einsum("mpb,pbxy->mpxy", summed, thin, optimize=True))
