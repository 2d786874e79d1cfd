"""What force constants are expected to be before any force is known: smaller the farther apart.

The prior of a column is normal with mean zero and variance s² / w. Its weight w grows with the
extent x of its atoms, half the perimeter of the triangle they span, so that one rule serves
pairs and triplets; r is the distance of nearest neighbours:

    power          w = (x / r)^(2 p)
    exponential    w = exp(2 p (x - r) / r)
    none           w = 1

The acoustic sum rule holds exactly: the prior is the one above under the condition that the
forbidden combinations vanish.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from screening.gaussian_process.basis import OrderBasis
from screening.gaussian_process.settings import Decay
from screening.prediction import FloatArray

__all__ = ["Locality", "OrderPrior", "OrderScale"]

_LARGEST_LOG_WEIGHT = 14.0  # beyond it columns are zero for all purposes, and matrices singular
_SMALLEST_EXTENT_RATIO = 0.5  # force constants of an atom with itself follow from the sum rule


@dataclass(frozen=True)
class OrderScale:
    """Hyperparameters of one order.

    Attributes
    ----------
    order
        1, 2 or 3.
    log_variance
        Logarithm of s² in (eV/Å^order)².
    exponent
        p in the weights.
    """

    order: int
    log_variance: float
    exponent: float

    @property
    def variance(self) -> float:
        """Variance of a column between nearest neighbours, (eV/Å^order)²."""
        return float(np.exp(self.log_variance))


@dataclass(frozen=True)
class Locality:
    """How force constants fall off.

    Attributes
    ----------
    decay
        The form.
    nearest_angstrom
        Distance of nearest neighbours in Å.
    """

    decay: Decay
    nearest_angstrom: float

    def slopes(self, basis: OrderBasis) -> FloatArray:
        """Differentiate the log weights by the exponent, shape (column,)."""
        if self.decay is Decay.NONE or basis.order == 1:
            return np.zeros(basis.n_columns)
        ratio = basis.extents_angstrom / self.nearest_angstrom
        if self.decay is Decay.EXPONENTIAL:
            return np.asarray(2.0 * (ratio - 1.0))
        return np.asarray(2.0 * np.log(np.maximum(ratio, _SMALLEST_EXTENT_RATIO)))


@dataclass(frozen=True, eq=False)
class OrderPrior:
    """The prior of one order at one exponent.

    Attributes
    ----------
    basis
        Columns and constraints.
    weights, weight_slopes
        Weights and their derivatives with respect to the exponent, shape (column,).
    """

    basis: OrderBasis
    weights: FloatArray
    weight_slopes: FloatArray

    @classmethod
    def at(cls, basis: OrderBasis, locality: Locality, exponent: float) -> OrderPrior:
        """Evaluate the weights at an exponent."""
        slopes = locality.slopes(basis)
        logarithms = np.clip(slopes * exponent, -_LARGEST_LOG_WEIGHT, _LARGEST_LOG_WEIGHT)
        weights = np.exp(logarithms)
        moving = np.abs(slopes * exponent) < _LARGEST_LOG_WEIGHT
        return cls(basis, weights, weights * slopes * moving)

    def covariance(self, values: FloatArray, *, exact: bool = True) -> FloatArray:
        """Apply the covariance of the amplitudes at unit variance to values (column, ...).

        With weights W and constraints N it is W⁻¹ - W⁻¹ N (Nᵀ W⁻¹ N)⁻¹ Nᵀ W⁻¹: a normal
        distribution under linear conditions. They hold to the last digit only where ``exact``,
        which costs as much again.
        """
        scaled = values / self.weights.reshape(-1, *(1,) * (values.ndim - 1))
        return self._conditioned(scaled, exact=exact)

    def sample(self, generator: np.random.Generator, n_samples: int) -> FloatArray:
        """Draw amplitudes at unit variance, shape (column, sample)."""
        free = generator.standard_normal((self.basis.n_columns, n_samples))
        return self._conditioned(free / np.sqrt(self.weights)[:, None], exact=True)

    def _conditioned(self, amplitudes: FloatArray, *, exact: bool) -> FloatArray:
        """Move amplitudes to the nearest ones, in the metric of the weights, that are allowed."""
        constraints = self.basis.constraints
        if constraints.shape[1] == 0:
            return amplitudes
        spread = constraints / self.weights[:, None]
        correction = np.linalg.solve(constraints.T @ spread, constraints.T @ amplitudes)
        found = amplitudes - spread @ correction
        # rounding is amplified by the range of the weights: one projection removes it
        return self.basis.allowed(found) if exact else np.asarray(found)
