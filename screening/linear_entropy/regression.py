r"""Bayesian ridge regression without intercept, and how far a new row is from the rows it knows.

An intercept, or features and targets less their mean, would break extensivity: twice the system
would no longer have twice the entropy. Features are scaled only.

Where the share of each atom in the target is known, the rows of atoms are observations beside
those of systems. There are hundreds of times more of them, so that the weights are determined
even where there are more features than systems. They enter by their moments, in memory that
does not grow with their number.

The posterior says how well the weights are determined *if* the target is linear in the
features. It is not, and what is left of the errors of the training rows says how far: each of
these has a change of the weights, the smallest in the metric of the posterior, that would remove
its error, and the spread of a prediction over these changes is added to its variance. Errors of
the atoms of a system are not independent; where they are learned from, the posterior variance
itself is far too small, and only this spread and the noise count.

References
----------
D. J. C. MacKay, Neural Computation 4, 415 (1992): evidence of the two precisions.
T. D. Swinburne and D. Perez, arXiv:2402.01810: changes of the weights that fit one row each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.errors import ModelCorruptError, NonFiniteInputError, TrainingSetError
from screening.prediction import FloatArray

__all__ = ["AtomMoments", "LinearFit", "fit_rows"]

_MAX_ITERATIONS = 20_000
_TOLERANCE = 1e-6
_UNSEEN = 1e-3  # scale of a feature that is zero in all rows, over the median scale
_RANK = 1e-12  # smallest singular value over the largest
_MOMENT_RANK = 1e-14  # smallest eigenvalue of a matrix of moments over the largest
_LEAST_LEVERAGE = 1e-6
_ROWS_AT_ONCE = 2048  # they stay in a core's cache
_ANEW = "Export or train the model again"


@dataclass(frozen=True, eq=False)
class AtomMoments:
    """Second moments of the rows and targets of many atoms.

    Attributes
    ----------
    gram
        Sum of the products of two features, shape (feature, feature).
    projection
        Sum of the products of a feature with the target, shape (feature,).
    square
        Sum of the squares of the targets.
    count
        Number of atoms.
    """

    gram: FloatArray
    projection: FloatArray
    square: float
    count: int

    @classmethod
    def of(cls, rows: FloatArray, targets: FloatArray) -> AtomMoments:
        """Take the moments of some atoms."""
        return cls(rows.T @ rows, rows.T @ targets, float(targets @ targets), len(rows))

    @classmethod
    def total(cls, parts: Iterable[AtomMoments]) -> AtomMoments:
        """Add the moments of several sets of atoms."""
        every = list(parts)
        return cls(
            np.asarray(sum(one.gram for one in every)),
            np.asarray(sum(one.projection for one in every)),
            sum(one.square for one in every),
            sum(one.count for one in every),
        )


@dataclass(frozen=True, eq=False)
class LinearFit:
    """A linear model with its posterior, all in the space that its training rows span.

    Attributes
    ----------
    weights
        Target per feature, shape (feature,).
    scales
        What each feature is divided by, shape (feature,).
    directions
        Orthonormal directions of the scaled features, shape (direction, feature).
    variances
        Posterior variance of the weight along each direction, shape (direction,).
    misfit
        Matrix whose product with the coordinates of a row along the directions has, as its
        squared length, the variance over the changes of the weights that fit one row each,
        shape (direction, direction).
    noise_variance
        Variance of the observations around the linear model.
    prior_variance
        Variance of a weight along directions that no training row has.
    posterior_share
        1 where the posterior variance counts, 0 where it rests on single atoms.
    """

    weights: FloatArray
    scales: FloatArray
    directions: FloatArray
    variances: FloatArray
    misfit: FloatArray
    noise_variance: float
    prior_variance: float
    posterior_share: float

    def predict(self, rows: FloatArray) -> FloatArray:
        """Mean of the target of each row, shape (row,)."""
        return np.asarray(rows @ self.weights)

    def leverage(self, rows: FloatArray) -> FloatArray:
        """Posterior variance of each row over that of the noise, shape (row,).

        It is D (D^T D + lambda)^-1 D^T: of a training row, its share in its own prediction.
        """
        return self._weight_variance(*self._coordinates(rows)) / self.noise_variance

    def atom_leverages(self, rows: FloatArray, reference: FloatArray) -> tuple[float, float]:
        """Largest and summed leverage of many rows after a reference is taken off all."""
        starts = range(0, len(rows), _ROWS_AT_ONCE)
        parts = (rows[start : start + _ROWS_AT_ONCE] - reference for start in starts)
        found = [self.leverage(part) for part in parts]
        return max(float(one.max()) for one in found), sum(float(one.sum()) for one in found)

    def std(self, rows: FloatArray) -> FloatArray:
        """Return the standard deviation before calibration, shape (row,)."""
        return self.assess(rows)[0]

    def assess(self, rows: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return standard deviation and leverage of rows, each of shape (row,)."""
        along, beside = self._coordinates(rows)
        posterior = self._weight_variance(along, beside)
        misfit = ((along @ self.misfit.T) ** 2).sum(axis=1)
        variance = self.noise_variance + misfit + self.posterior_share * posterior
        return np.sqrt(variance), posterior / self.noise_variance

    def _coordinates(self, rows: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Coordinates along the directions, and the squared length of what is beside them."""
        scaled = np.atleast_2d(rows) / self.scales
        along = scaled @ self.directions.T
        if len(self.directions) == len(self.weights):
            return along, np.zeros(len(along))
        beside = scaled - along @ self.directions
        return along, np.einsum("rf,rf->r", beside, beside)

    def _weight_variance(self, along: FloatArray, beside: FloatArray) -> FloatArray:
        return np.asarray(along**2 @ self.variances + self.prior_variance * beside)

    def as_arrays(self, name: str) -> dict[str, NDArray[Any]]:
        """Its numbers by name, for a `screening.trained_model.TrainedModel`."""
        single = (self.noise_variance, self.prior_variance, self.posterior_share)
        return {
            f"{name}.weights": self.weights,
            f"{name}.scales": self.scales,
            f"{name}.directions": self.directions,
            f"{name}.variances": self.variances,
            f"{name}.misfit": self.misfit,
            f"{name}.single": np.array(single),
        }

    @classmethod
    def from_arrays(cls, name: str, arrays: Mapping[str, NDArray[Any]]) -> LinearFit:
        """Take it back from what `as_arrays` gave.

        Raises
        ------
        ModelCorruptError
            If a number is missing, not finite or out of its range, or shapes do not fit.
        """
        try:
            noise, prior, share = (float(value) for value in arrays[f"{name}.single"])
            fields = ("weights", "scales", "directions", "variances", "misfit")
            found = {one: np.asarray(arrays[f"{name}.{one}"], dtype=np.float64) for one in fields}
        except (KeyError, TypeError, ValueError) as error:
            raise ModelCorruptError(
                f"an array cannot be read: {error!r}", subject=name, hint=_ANEW
            ) from error
        fit = cls(**found, noise_variance=noise, prior_variance=prior, posterior_share=share)
        if not _is_sound(fit):
            raise ModelCorruptError(
                "arrays do not fit together, or a number is out of its range",
                subject=name,
                hint=_ANEW,
            )
        return fit


def _is_sound(fit: LinearFit) -> bool:
    """Whether shapes fit together and numbers are finite and of the right sign."""
    if fit.weights.ndim != 1 or fit.directions.ndim != 2 or fit.misfit.ndim != 2:  # noqa: PLR2004 - axes
        return False
    n_directions, n_features = fit.directions.shape
    single = np.array([fit.noise_variance, fit.prior_variance, fit.posterior_share])
    arrays = (fit.weights, fit.scales, fit.directions, fit.variances, fit.misfit, single)
    return (
        0 < n_directions <= n_features
        and fit.weights.shape == fit.scales.shape == (n_features,)
        and fit.variances.shape == (n_directions,)
        and fit.misfit.shape[1] == n_directions
        and all(bool(np.isfinite(one).all()) for one in arrays)
        and bool((fit.scales > 0.0).all() and (fit.variances >= 0.0).all())
        and min(fit.noise_variance, fit.prior_variance) > 0.0
        and fit.posterior_share in (0.0, 1.0)
    )


def fit_rows(rows: FloatArray, targets: FloatArray, atoms: AtomMoments | None = None) -> LinearFit:
    """Fit a linear model by the evidence of its two precisions.

    Parameters
    ----------
    rows
        Features, shape (row, feature).
    targets
        Shape (row,).
    atoms
        Moments of observations of single atoms, each of the weight of one row.

    Raises
    ------
    NonFiniteInputError
        If a number is not finite.
    TrainingSetError
        If all rows or targets are zero, or the evidence has no maximum that is reached.
    """
    if not (np.isfinite(rows).all() and np.isfinite(targets).all()):
        raise NonFiniteInputError(
            "a feature or target is not finite", subject="rows", hint="Check the training set"
        )
    if not (rows.any() and targets.any()):
        raise TrainingSetError(
            "all features or all targets are zero",
            subject="rows",
            hint="Check the training set, and that the cutoff reaches the neighbours",
        )
    mean_squares = np.mean(rows**2, axis=0) if atoms is None else np.diag(atoms.gram) / atoms.count
    scales = _scales(np.sqrt(mean_squares))
    scaled = rows / scales
    if atoms is None:
        return _fit(scaled, targets, scaled, targets, len(rows), scales)
    more_rows, more_targets = _equivalent_rows(atoms, scales)
    return _fit(
        np.vstack([more_rows, scaled]),
        np.concatenate([more_targets, targets]),
        scaled,
        targets,
        atoms.count + len(rows),
        scales,
    )


def _fit(
    observed: FloatArray,
    observed_targets: FloatArray,
    rows: FloatArray,
    targets: FloatArray,
    count: int,
    scales: FloatArray,
) -> LinearFit:
    """Fit to all that is observed; what is left of the errors of the rows makes the misfit."""
    unit = float(np.sqrt(np.mean(observed_targets**2)))
    left, sizes, right = np.linalg.svd(observed, full_matrices=False)
    kept = sizes > _RANK * sizes[0]
    directions = right[kept]
    along, precision, prior = _evidence(left[:, kept] * sizes[kept], observed_targets / unit, count)
    shares = 1.0 / (sizes[kept] ** 2 + prior / precision)
    coordinates = rows @ directions.T
    return LinearFit(
        weights=unit * (directions.T @ along) / scales,
        scales=scales,
        directions=directions,
        variances=unit**2 / precision * shares,
        misfit=_misfit(coordinates, shares, targets - unit * (coordinates @ along)),
        noise_variance=unit**2 / precision,
        prior_variance=unit**2 / prior,
        posterior_share=1.0 if observed is rows else 0.0,
    )


def _scales(sizes: FloatArray) -> FloatArray:
    """Root mean square of each feature; what no row has gets a small one: it is news."""
    seen = sizes > _RANK * sizes.max()
    return np.where(seen, sizes, _UNSEEN * float(np.median(sizes[seen])))


def _equivalent_rows(atoms: AtomMoments, scales: FloatArray) -> tuple[FloatArray, FloatArray]:
    """As few rows and targets as have the moments of all atoms; the last row is zero."""
    values, vectors = np.linalg.eigh(atoms.gram / np.outer(scales, scales))
    kept = values > _MOMENT_RANK * values[-1]
    roots = np.sqrt(values[kept])
    targets = (vectors[:, kept].T @ (atoms.projection / scales)) / roots
    unexplained = np.sqrt(max(atoms.square - float(targets @ targets), 0.0))
    rows = np.vstack([roots[:, None] * vectors[:, kept].T, np.zeros(len(scales))])
    return rows, np.append(targets, unexplained)


def _evidence(
    coordinates: FloatArray, targets: FloatArray, count: int
) -> tuple[FloatArray, float, float]:
    """Weights, and the precisions of noise and weights, where the evidence is largest.

    ``count`` is the number of observations, which fewer rows may stand for.
    """
    import warnings

    from sklearn.linear_model import BayesianRidge

    model = BayesianRidge(fit_intercept=False, tol=_TOLERANCE, max_iter=_MAX_ITERATIONS)
    # weights multiply rows by their root and add up to the number of observations
    weight = count / len(targets)
    root = np.sqrt(weight)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # precisions that diverge are refused below
        model.fit(coordinates / root, targets / root, np.full(len(targets), weight))
    precision, prior = float(model.alpha_), float(model.lambda_)
    if model.n_iter_ >= _MAX_ITERATIONS or not np.isfinite([precision, prior]).all():
        raise TrainingSetError(
            f"the evidence did not settle in {model.n_iter_} iterations",
            subject="evidence",
            hint="Give more structures, or a descriptor with fewer features",
        )
    return np.asarray(model.coef_, dtype=np.float64), precision, prior


def _misfit(coordinates: FloatArray, shares: FloatArray, residuals: FloatArray) -> FloatArray:
    """Root of the mean square of the changes of the weights that fit one row each."""
    moves = coordinates * shares
    leverages = np.einsum("rd,rd->r", coordinates, moves)
    usable = leverages > _LEAST_LEVERAGE * float(leverages.max())
    pulls = moves[usable] * (residuals[usable] / leverages[usable])[:, None]
    values, vectors = np.linalg.eigh(pulls.T @ pulls / len(pulls))
    return np.asarray(np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T)
