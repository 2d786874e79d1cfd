r"""Linear models of whole Hessians, all pairs of elements at once.

With the acoustic sum rule a Hessian is linear in the coefficients of all blocks,
:math:`H = \sum_p c_p T_p`. Entropies and free energies depend on the logarithm of its
determinant, whose first change is :math:`\mathrm{tr}(H^{-1} \delta H)`: an error in a stiff
direction matters little, one in a soft direction much. Errors are therefore measured as
:math:`\| W^T (\sum_p c_p T_p - H) W \|_F`, with :math:`W = U (\Lambda + \epsilon)^{-1/2}` from the
eigenvectors and eigenvalues of each training Hessian. W turns with the crystal, so the
coefficients do not depend on how crystals are oriented.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from screening.prediction import FloatArray
from screening.random_forest.blocks import Kind, atom_pairs
from screening.random_forest.settings import Emphasis

__all__ = ["NormalEquations", "normal_equations", "weighting"]

_N_RIGID = 3
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class NormalEquations:
    """Sums of products of design and target; those of several sets add up.

    Attributes
    ----------
    products
        Shape (coefficient, coefficient).
    targets
        Shape (coefficient,).
    squares
        Sum of the squares of the targets.
    """

    products: FloatArray
    targets: FloatArray
    squares: float

    def __add__(self, other: NormalEquations) -> NormalEquations:
        return NormalEquations(
            self.products + other.products,
            self.targets + other.targets,
            self.squares + other.squares,
        )

    def solve(self, strength: float) -> FloatArray:
        """Coefficients of a ridge regression on columns of equal scale.

        Parameters
        ----------
        strength
            Penalty as a fraction of the mean eigenvalue.
        """
        from scipy.linalg import cho_factor, cho_solve

        diagonal = self.products.diagonal()
        scale = 1.0 / np.sqrt(np.maximum(diagonal, _TINY * max(float(diagonal.max()), _TINY)))
        scaled = self.products * scale[:, None] * scale
        scaled[np.diag_indices_from(scaled)] += (
            strength * max(float(scaled.trace()), _TINY) / len(scaled)
        )
        found = cho_solve(cho_factor(scaled, overwrite_a=True), self.targets * scale)
        return np.asarray(found * scale)

    def loss(self, coefficients: FloatArray) -> float:
        """Sum of squared errors of coefficients."""
        quadratic = coefficients @ (self.products @ coefficients)
        return float(quadratic - 2.0 * coefficients @ self.targets + self.squares)


def weighting(hessian: FloatArray, emphasis: Emphasis, soft_mode_floor: float) -> FloatArray:
    """Return the matrix W of a training Hessian, shape (3 site + axis, direction).

    Parameters
    ----------
    hessian
        In eV/Å², shape (3 site + axis, 3 site + axis), rigid translations being zero modes.
    emphasis, soft_mode_floor
        As `screening.random_forest.settings.RandomForestSettings` says.
    """
    if emphasis == "components":
        return np.eye(len(hessian))
    values, vectors = np.linalg.eigh(hessian)
    order = np.argsort(np.abs(values), kind="stable")[_N_RIGID:]
    kept = np.maximum(values[order], 0.0)
    floor = soft_mode_floor * float(kept.mean())
    return np.asarray(vectors[:, order] / np.sqrt(kept + floor))


def normal_equations(
    numbers: NDArray[np.int64],
    tensors: Mapping[Kind, FloatArray],
    kinds: Sequence[Kind],
    hessian: FloatArray,
    weights: FloatArray,
) -> NormalEquations:
    """Build the normal equations of one crystal.

    Parameters
    ----------
    numbers
        Atomic numbers of the sites, shape (site,).
    tensors
        Of each pair of elements, shape (pair, tensor, 3, 3).
    kinds
        Pairs of elements in the order of their coefficients.
    hessian
        What is learned, in eV/Å².
    weights
        W of `weighting`, shape (3 site + axis, direction).
    """
    split = weights.reshape(len(numbers), 3, -1)
    upper = np.triu_indices(weights.shape[1])
    factors = np.where(upper[0] == upper[1], 1.0, np.sqrt(2.0))
    parts = [_design(split, atom_pairs(numbers, kind), tensors[kind], upper) for kind in kinds]
    design = np.concatenate(parts) * factors
    target = (weights.T @ hessian @ weights)[upper] * factors
    return NormalEquations(design @ design.T, design @ target, float(target @ target))


def _design(
    split: FloatArray,
    pairs: NDArray[np.int64],
    tensors: FloatArray,
    upper: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> FloatArray:
    """Weighted change of the whole Hessian by each tensor, shape (tensor, upper triangle).

    The symmetric part of a block acts on the difference of two displacements; of the rest the
    sum rule puts nothing on the diagonal.
    """
    first, second = split[pairs[:, 0]], split[pairs[:, 1]]
    difference = first - second
    flat = tensors.swapaxes(0, 1)
    symmetric = 0.5 * (flat + flat.swapaxes(-1, -2))
    rest = flat - symmetric
    rows, columns = upper
    of_symmetric = -(difference[:, :, None, rows] * difference[:, None, :, columns])
    of_rest = first[:, :, None, rows] * second[:, None, :, columns]
    of_rest += first[:, :, None, columns] * second[:, None, :, rows]
    n_tensors, n_rows = len(flat), 9 * len(pairs)
    found = symmetric.reshape(n_tensors, n_rows) @ of_symmetric.reshape(n_rows, len(rows))
    return np.asarray(found + rest.reshape(n_tensors, n_rows) @ of_rest.reshape(n_rows, len(rows)))
