"""A linear model in sums over its rows: weights, their spread, and the best prior.

Nothing but the sums is kept, so that millions of rows cost no more memory than a few.

References
----------
C. M. Bishop, Pattern Recognition and Machine Learning (2006), section 3.5, for the evidence.
F. Bigi, S. Chong, M. Ceriotti, F. Grasselli, arXiv:2403.02251, for the calibration on held-out
rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from screening.errors import TrainingSetError, WrongShapeError
from screening.prediction import FloatArray

__all__ = ["DesignSums", "Posterior", "largest_evidence", "validated"]

_LOG_RIDGES = np.linspace(math.log(1e-10), math.log(1e4), 141)  # over the mean eigenvalue
_WITHIN_ONE_STD = math.erf(math.sqrt(0.5))


@dataclass(frozen=True, eq=False)
class DesignSums:
    """Sums over the rows of a linear model.

    Attributes
    ----------
    gram
        Sum of the products of features, shape (feature, feature).
    projection
        Sum of features times target, shape (feature,).
    squares
        Sum of the squares of the targets.
    n_rows
        Number of rows.
    """

    gram: FloatArray
    projection: FloatArray
    squares: float
    n_rows: int

    @classmethod
    def of(cls, features: FloatArray, targets: FloatArray) -> DesignSums:
        """Sum up rows of shape (row, feature) with targets of shape (row,).

        Raises
        ------
        WrongShapeError
            If the shapes do not fit.
        """
        if features.ndim != 2 or targets.shape != features.shape[:1]:  # noqa: PLR2004 - a matrix
            raise WrongShapeError(
                f"{features.shape} features and {targets.shape} targets",
                hint="Give one target for each row of features",
            )
        squares = float(targets @ targets)
        return cls(features.T @ features, features.T @ targets, squares, len(targets))

    def __add__(self, other: DesignSums) -> DesignSums:
        """Sum up the rows of both."""
        return DesignSums(
            self.gram + other.gram,
            self.projection + other.projection,
            self.squares + other.squares,
            self.n_rows + other.n_rows,
        )


@dataclass(frozen=True, eq=False)
class Posterior:
    """Gaussian spread of the weights of a linear model.

    Attributes
    ----------
    covariance
        Shape (feature, feature), in squared targets per squared feature.
    ridge
        Precision of the prior of a weight over the precision of a row.
    noise
        Standard deviation of a row, or what the covariance of unit noise was multiplied by.
    """

    covariance: FloatArray
    ridge: float
    noise: float

    def std(self, features: FloatArray) -> FloatArray:
        """Return the standard deviation of predictions, for features of shape (..., feature)."""
        variances = np.einsum("...i,ij,...j->...", features, self.covariance, features)
        return np.asarray(np.sqrt(np.maximum(variances, 0.0)))

    @property
    def root(self) -> FloatArray:
        """A matrix whose product with its transpose is the covariance."""
        values, vectors = np.linalg.eigh(self.covariance)
        return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


@dataclass(frozen=True, eq=False)
class _Axes:
    """Principal axes of the features, and the targets along them."""

    values: FloatArray
    vectors: FloatArray
    along: FloatArray

    @classmethod
    def of(cls, sums: DesignSums) -> _Axes:
        values, vectors = np.linalg.eigh(sums.gram)
        if sums.n_rows == 0 or not values[-1] > 0.0:
            raise TrainingSetError(
                "no row has a feature",
                hint="Give cells of more atoms, displaced from their places",
            )
        return cls(np.maximum(values, 0.0), vectors, vectors.T @ sums.projection)

    def posterior(self, ridge: float, variance: float) -> Posterior:
        covariance = (self.vectors * (variance / (self.values + ridge))) @ self.vectors.T
        return Posterior(0.5 * (covariance + covariance.T), ridge, math.sqrt(variance))

    @property
    def mean(self) -> float:
        return float(self.values.mean())


def largest_evidence(sums: DesignSums) -> Posterior:
    """Choose noise and prior where the rows are most probable.

    Weights have independent Gaussian priors about zero of one variance, and rows independent
    noise of another; the ridge is their ratio. The noise is the best one for every ridge.

    Raises
    ------
    TrainingSetError
        If no row has a feature, or the targets are zero or without noise.
    """
    axes = _Axes.of(sums)

    def noise_variance(ridge: float) -> float:
        explained = float(np.sum(axes.along**2 / (axes.values + ridge)))
        return (sums.squares - explained) / sums.n_rows

    def badness(log_ridge: float) -> float:
        ridge = math.exp(log_ridge)
        variance = max(noise_variance(ridge), np.finfo(float).tiny)
        volume = float(np.sum(np.log1p(axes.values / ridge)))
        return 0.5 * (sums.n_rows * math.log(variance) + volume)

    ridge = _lowest(badness, axes.mean)
    variance = noise_variance(ridge)
    if not variance > 1e-9 * sums.squares / sums.n_rows:
        raise TrainingSetError(
            "the targets are zero, or known without noise: their spread says nothing",
            hint="Give held-out cells to calibrate with",
        )
    return axes.posterior(ridge, variance)


def validated(sums: DesignSums, features: FloatArray, errors: FloatArray) -> Posterior:
    """Choose the prior where the errors of held-out rows are most probable, and size the spread.

    Errors of held-out forces have heavy tails: the ridge is the one under which they are most
    probable with a Laplace distribution of the width of the prediction, and the size of the
    spread the one that holds 68.3 % of them within one standard deviation. The spread of the
    prediction alone is compared: it therefore holds what the linear model cannot explain as well.

    Parameters
    ----------
    sums
        Over the rows of training.
    features, errors
        Of held-out rows, shapes (row, feature) and (row,).

    Raises
    ------
    TrainingSetError
        If no row has a feature, or most errors are zero.
    WrongShapeError
        If the shapes do not fit.
    """
    axes = _Axes.of(sums)
    if errors.size == 0 or errors.shape != features.shape[:1] or np.median(np.abs(errors)) == 0.0:
        raise TrainingSetError(
            f"{errors.shape} errors of {features.shape} features calibrate nothing",
            hint="Give held-out cells, of other compositions, with their forces",
        )
    along = (features @ axes.vectors) ** 2
    floor = float(along.sum(axis=1).max()) * 1e-12  # rows without features say nothing
    kept = along.sum(axis=1) > floor
    sizes, along = np.abs(errors[kept]), along[kept]

    def widths(ridge: float) -> FloatArray:
        return np.asarray(np.sqrt(along @ (1.0 / (axes.values + ridge))))

    def badness(log_ridge: float) -> float:
        width = widths(math.exp(log_ridge))
        return float(math.log(np.mean(sizes / width)) + np.mean(np.log(width)))

    ridge = _lowest(badness, axes.mean)
    return axes.posterior(ridge, float(np.quantile(sizes / widths(ridge), _WITHIN_ONE_STD)) ** 2)


def _lowest(badness: Callable[[float], float], size: float) -> float:
    """Find the best ridge: the lowest point of a grid, then the minimum beside it."""
    grid = _LOG_RIDGES + math.log(size)
    place = int(np.argmin([badness(float(x)) for x in grid]))
    around = float(grid[max(place - 1, 0)]), float(grid[min(place + 1, len(grid) - 1)])
    found = minimize_scalar(badness, bounds=around, method="bounded", options={"xatol": 1e-6})
    return math.exp(float(found.x))
