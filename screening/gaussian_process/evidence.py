"""The marginal likelihood of forces, its gradient, and the hyperparameters that maximise it.

Forces are linear in the force constants, so that their covariance is

    K = sum over orders of s² X C(p) Xᵀ + sum over prior means of t² m mᵀ + noise² 1

with the designs X, the prior covariances C and the forces m of a prior mean whose scale is known
to t. The noise has a floor: without one the evidence of few forces falls into noise zero.

References
----------
C. E. Rasmussen and C. K. I. Williams, Gaussian Processes for Machine Learning (MIT Press, 2006),
equations 2.30 and 5.9.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy.linalg import cho_solve
from scipy.optimize import minimize

from screening.errors import InconsistentDataError
from screening.gaussian_process.basis import OrderBasis
from screening.gaussian_process.prior import Locality, OrderPrior, OrderScale
from screening.gaussian_process.settings import Decay
from screening.prediction import FloatArray

__all__ = ["Hyperparameters", "Observations", "covariance", "log_evidence", "maximise_evidence"]

_EXPONENT_BOUNDS = (0.2, 12.0)
_STARTING_EXPONENTS = (1.5, 4.0)
_LOG_VARIANCE_SPAN = 16.0
_LOG_NOISE_BOUNDS = (-25.0, 2.0)
_CUBIC = 3
_SHARE_OF_ANHARMONIC_FORCES = 0.02
_EVIDENCE_ROWS = 800  # of more rows a part is enough to choose the decay


@dataclass(frozen=True, eq=False)
class Observations:
    """Forces and what they are linear in.

    Attributes
    ----------
    bases
        The orders.
    designs
        Forces in eV/Å of unit amplitudes, one array of shape (row, column) for each order.
    forces_ev_per_angstrom
        Forces without residual and known parts, shape (row,).
    means
        Forces of each part of a prior mean, shape (part, row).
    mean_scale_std
        Standard deviation of the factor that multiplies each part.
    n_hidden_rows
        Rows of noise alone that an orthogonal transformation has put aside.
    """

    bases: tuple[OrderBasis, ...]
    designs: tuple[FloatArray, ...]
    forces_ev_per_angstrom: FloatArray
    means: FloatArray
    mean_scale_std: float
    n_hidden_rows: int = 0

    @property
    def n_rows(self) -> int:
        """Rows that are kept."""
        return len(self.forces_ev_per_angstrom)

    def rows(self, selection: slice) -> Observations:
        """Return some rows."""
        return replace(
            self,
            designs=tuple(design[selection] for design in self.designs),
            forces_ev_per_angstrom=self.forces_ev_per_angstrom[selection],
            means=self.means[:, selection],
        )

    def reduced(self) -> Observations:
        """Turn more rows than unknowns into as many as matter, without loss.

        An orthogonal transformation of the rows leaves the likelihood as it is, and collects
        what no force constant explains in one row.
        """
        widths = [design.shape[1] for design in self.designs]
        n_kept = sum(widths) + len(self.means) + 1
        if self.n_rows <= n_kept:
            return self
        stacked = np.column_stack([*self.designs, self.means.T, self.forces_ev_per_angstrom])
        triangle = np.asarray(np.linalg.qr(stacked, mode="r"))
        edges = [int(edge) for edge in np.cumsum([0, *widths])]
        return replace(
            self,
            designs=tuple(triangle[:, a:b] for a, b in pairwise(edges)),
            forces_ev_per_angstrom=triangle[:, -1],
            means=triangle[:, edges[-1] : -1].T,
            n_hidden_rows=self.n_hidden_rows + self.n_rows - len(triangle),
        )


@dataclass(frozen=True)
class Hyperparameters:
    """What the evidence chooses.

    Attributes
    ----------
    scales
        Variance and decay of every order.
    log_excess_noise_variance
        Logarithm of the variance of the noise above its floor, (eV/Å)².
    noise_floor_ev_per_angstrom
        Smallest standard deviation of a force in eV/Å.
    """

    scales: tuple[OrderScale, ...]
    log_excess_noise_variance: float
    noise_floor_ev_per_angstrom: float

    @property
    def noise_variance(self) -> float:
        """Variance of a force in (eV/Å)²."""
        return float(self.noise_floor_ev_per_angstrom**2 + np.exp(self.log_excess_noise_variance))

    @property
    def noise_ev_per_angstrom(self) -> float:
        """Standard deviation of a force in eV/Å."""
        return float(np.sqrt(self.noise_variance))

    def vector(self) -> FloatArray:
        """Return all that is optimised, as one array."""
        flat = [(scale.log_variance, scale.exponent) for scale in self.scales]
        return np.array([*np.ravel(flat), self.log_excess_noise_variance])

    def with_vector(self, vector: FloatArray) -> Hyperparameters:
        """Return the same with other values."""
        scales = tuple(
            replace(scale, log_variance=float(vector[2 * k]), exponent=float(vector[2 * k + 1]))
            for k, scale in enumerate(self.scales)
        )
        return replace(self, scales=scales, log_excess_noise_variance=float(vector[-1]))


def covariance(
    observations: Observations, locality: Locality, hyperparameters: Hyperparameters
) -> FloatArray:
    """Covariance of the rows in (eV/Å)², shape (row, row)."""
    total = observations.mean_scale_std**2 * (observations.means.T @ observations.means)
    for basis, design, scale in zip(
        observations.bases, observations.designs, hyperparameters.scales, strict=True
    ):
        prior = OrderPrior.at(basis, locality, scale.exponent)
        total += scale.variance * (design @ prior.covariance(design.T))
    total[np.diag_indices_from(total)] += hyperparameters.noise_variance
    return total


def log_evidence(
    observations: Observations, locality: Locality, hyperparameters: Hyperparameters
) -> tuple[float, FloatArray]:
    """Logarithm of the marginal likelihood of the forces, and its gradient.

    Parameters
    ----------
    observations, locality, hyperparameters
        What was seen and what is assumed.

    Returns
    -------
    value, gradient
        The gradient with respect to `Hyperparameters.vector`.

    Raises
    ------
    InconsistentDataError
        If the covariance is not positive definite.
    """
    forces = observations.forces_ev_per_angstrom
    n_rows, hidden = len(forces), observations.n_hidden_rows
    priors = [
        OrderPrior.at(basis, locality, scale.exponent)
        for basis, scale in zip(observations.bases, hyperparameters.scales, strict=True)
    ]
    spreads = [
        prior.covariance(design.T)
        for prior, design in zip(priors, observations.designs, strict=True)
    ]
    parts = [design @ spread for design, spread in zip(observations.designs, spreads, strict=True)]
    total = observations.mean_scale_std**2 * (observations.means.T @ observations.means)
    for scale, part in zip(hyperparameters.scales, parts, strict=True):
        total += scale.variance * part
    noise = hyperparameters.noise_variance
    total[np.diag_indices(n_rows)] += noise
    factor = _cholesky(total)
    inverse = cho_solve((factor, True), np.eye(n_rows), check_finite=False)
    weights = inverse @ forces
    logarithm = 2.0 * np.log(np.diag(factor)).sum() + hidden * np.log(noise)
    value = -0.5 * (forces @ weights + logarithm + (n_rows + hidden) * np.log(2.0 * np.pi))
    gradient = []
    for prior, scale, part, spread in zip(
        priors, hyperparameters.scales, parts, spreads, strict=True
    ):
        slope = float(weights @ part @ weights - np.sum(inverse * part))
        gradient.append(0.5 * scale.variance * slope)
        moved = -((spread @ weights) ** 2) + np.einsum(
            "cr,rs,cs->c", spread, inverse, spread, optimize=True
        )
        gradient.append(0.5 * scale.variance * float(prior.weight_slopes @ moved))
    excess = float(np.exp(hyperparameters.log_excess_noise_variance))
    spent = float(weights @ weights - np.trace(inverse) - hidden / noise)
    gradient.append(0.5 * excess * spent)
    return float(value), np.array(gradient)


def _cholesky(matrix: FloatArray) -> FloatArray:
    try:
        return np.asarray(np.linalg.cholesky(matrix), dtype=np.float64)
    except np.linalg.LinAlgError as error:
        raise InconsistentDataError(
            "the covariance of the forces is not positive definite",
            subject="forces",
            hint="Raise noise_floor_ev_per_angstrom",
        ) from error


def maximise_evidence(
    observations: Observations, locality: Locality, noise_floor_ev_per_angstrom: float
) -> tuple[Hyperparameters, float]:
    """Choose variances, decays and noise by the evidence.

    From the first rows alone several starting points are tried; the best goes on with more
    rows, and at last all rows choose variances and noise at that decay.

    Parameters
    ----------
    observations
        Forces, cell by cell.
    locality
        The form of the prior.
    noise_floor_ev_per_angstrom
        Smallest standard deviation of a force in eV/Å.

    Returns
    -------
    hyperparameters, log_evidence
        The best ones and the evidence that all forces give them.
    """
    few = _first_rows(observations, _EVIDENCE_ROWS // 4)
    starts = [
        _start(few, locality, exponent, noise_floor_ev_per_angstrom)
        for exponent in (_STARTING_EXPONENTS if locality.decay is not Decay.NONE else (1.0,))
    ]
    found = max((_climb(few, locality, one) for one in starts), key=lambda pair: pair[1])
    some = _first_rows(observations, _EVIDENCE_ROWS)
    if some.n_rows > few.n_rows:
        found = _climb(some, locality, found[0])
    every = observations.reduced()
    if every.n_rows + every.n_hidden_rows > some.n_rows:
        found = _climb(every, locality, found[0], fixed_decay=True)
    return found


def _first_rows(observations: Observations, n_rows: int) -> Observations:
    return observations.rows(slice(0, max(n_rows, 1)))


def _start(
    observations: Observations, locality: Locality, exponent: float, floor: float
) -> Hyperparameters:
    """Variances at which each order would give its usual share of the forces."""
    power = float(observations.forces_ev_per_angstrom @ observations.forces_ev_per_angstrom)
    scales = []
    for basis, design in zip(observations.bases, observations.designs, strict=True):
        prior = OrderPrior.at(basis, locality, exponent)
        trace = float(np.einsum("rc,cr->", design, prior.covariance(design.T), optimize=True))
        share = 1.0 if basis.order == _CUBIC - 1 else _SHARE_OF_ANHARMONIC_FORCES
        variance = share * max(power, floor**2) / max(trace, np.finfo(float).tiny)
        scales.append(OrderScale(basis.order, float(np.log(variance)), exponent))
    return Hyperparameters(tuple(scales), float(np.log(floor**2)), floor)


def _climb(
    observations: Observations,
    locality: Locality,
    start: Hyperparameters,
    *,
    fixed_decay: bool = False,
) -> tuple[Hyperparameters, float]:
    """Follow the gradient from one starting point."""

    def cost(vector: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = log_evidence(observations, locality, start.with_vector(vector))
        return -value, -gradient

    origin = start.vector()
    bounds = _bounds(start, fixed_decay=fixed_decay)
    result = minimize(
        cost, origin, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 40}
    )
    return start.with_vector(result.x), -float(result.fun)


def _bounds(start: Hyperparameters, *, fixed_decay: bool) -> Sequence[tuple[float, float]]:
    found = []
    for scale in start.scales:
        span = _LOG_VARIANCE_SPAN
        found.append((scale.log_variance - span, scale.log_variance + span))
        held = (scale.exponent, scale.exponent)
        found.append(held if fixed_decay else _EXPONENT_BOUNDS)
    return [*found, _LOG_NOISE_BOUNDS]
