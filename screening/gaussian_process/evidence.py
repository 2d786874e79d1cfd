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
from dataclasses import dataclass

import numpy as np
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize

from screening.errors import InconsistentDataError
from screening.gaussian_process.observations import Hyperparameters, Observations
from screening.gaussian_process.prior import Locality, OrderPrior, OrderScale
from screening.gaussian_process.settings import Decay
from screening.prediction import FloatArray

__all__ = ["covariance", "log_evidence", "maximise_evidence"]

_EXPONENT_BOUNDS = (0.2, 12.0)
_STARTING_EXPONENTS = (4.0, 1.5)
_LOG_VARIANCE_SPAN = 16.0
_LEAST_EXCESS_NOISE, _LARGEST_LOG_NOISE = 0.01, 2.0  # of the floor's variance; (eV/Å)²
_CUBIC = 3
_SHARE_OF_ANHARMONIC_FORCES = 0.02
_USUAL_NOISE = 0.01  # of the forces
_WORST = 1e25
_TOLERANCE = 1e-6  # the evidence of a thousand forces to a thousandth
_EVIDENCE_ROWS = (200, 400, 800)  # of more rows a part is enough to choose the decay
_STARTS = (4, 1, 0)  # how many starting points are tried with each


@dataclass(frozen=True, eq=False)
class _Term:
    """What one order adds to the covariance of the rows at unit variance.

    Attributes
    ----------
    part
        The covariance, shape (row, row).
    spread
        Covariance of amplitudes with rows, shape (column, row).
    weight_slopes
        Derivatives of the prior's weights by the exponent, shape (column,).
    """

    part: FloatArray
    spread: FloatArray
    weight_slopes: FloatArray


def _terms(
    observations: Observations, locality: Locality, hyperparameters: Hyperparameters
) -> list[_Term]:
    """Evaluate every order at its exponent: the expensive part, which variances do not change."""
    found = []
    for basis, design, scale in zip(
        observations.bases, observations.designs, hyperparameters.scales, strict=True
    ):
        prior = OrderPrior.at(basis, locality, scale.exponent)
        spread = prior.covariance(design.T, exact=False)
        found.append(_Term(design @ spread, spread, prior.weight_slopes))
    return found


def covariance(
    observations: Observations, locality: Locality, hyperparameters: Hyperparameters
) -> FloatArray:
    """Covariance of the rows in (eV/Å)², shape (row, row)."""
    return _total(observations, _terms(observations, locality, hyperparameters), hyperparameters)


def _total(
    observations: Observations, terms: Sequence[_Term], hyperparameters: Hyperparameters
) -> FloatArray:
    total = observations.mean_scale_std**2 * (observations.means.T @ observations.means)
    for scale, term in zip(hyperparameters.scales, terms, strict=True):
        total += scale.variance * term.part
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
    terms = _terms(observations, locality, hyperparameters)
    return _evidence(observations, terms, hyperparameters, fixed_decay=False)


def _evidence(
    observations: Observations,
    terms: Sequence[_Term],
    hyperparameters: Hyperparameters,
    *,
    fixed_decay: bool,
) -> tuple[float, FloatArray]:
    """Evidence and gradient; that by the exponents is zero where the decay is fixed."""
    forces, hidden = observations.forces_ev_per_angstrom, observations.n_hidden_rows
    noise = hyperparameters.noise_variance
    factor = _cholesky(_total(observations, terms, hyperparameters))
    inverse = _inverse(factor)
    weights = inverse @ forces
    logarithm = 2.0 * np.log(np.diag(factor)).sum() + hidden * np.log(noise)
    constant = (len(forces) + hidden) * np.log(2.0 * np.pi)
    value = -0.5 * (forces @ weights + logarithm + constant)
    gradient = []
    for scale, term in zip(hyperparameters.scales, terms, strict=True):
        slope = float(weights @ term.part @ weights - np.sum(inverse * term.part))
        gradient.append(0.5 * scale.variance * slope)
        by_weight = 0.0 if fixed_decay else _slope_by_weights(term, weights, inverse)
        gradient.append(0.5 * scale.variance * by_weight)
    excess = float(np.exp(hyperparameters.log_excess_noise_variance))
    spent = float(weights @ weights - np.trace(inverse) - hidden / noise)
    gradient.append(0.5 * excess * spent)
    return float(value), np.array(gradient)


def _slope_by_weights(term: _Term, weights: FloatArray, inverse: FloatArray) -> float:
    """Twice the slope of the evidence by the exponent, at unit variance."""
    moved = np.sum((term.spread @ inverse) * term.spread, axis=1) - (term.spread @ weights) ** 2
    return float(term.weight_slopes @ moved)


def _inverse(factor: FloatArray) -> FloatArray:
    """Inverse of a symmetric matrix from its lower Cholesky factor."""
    lower, _ = dpotri(factor, lower=1)
    return np.asarray(np.tril(lower) + np.tril(lower, -1).T)


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

    A part of the rows, spread over cells and atoms, chooses among several starting points; a
    larger one tries again from the likeliest of them, for few rows may have a maximum of their
    own; at last all rows choose variances and noise at that decay.

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
    floor = noise_floor_ev_per_angstrom
    found: list[tuple[Hyperparameters, float]] = []
    seen = 0
    for stage, n_rows in enumerate(_EVIDENCE_ROWS):
        some = _some_rows(observations, n_rows)
        if some.n_all_rows == seen:  # there are no more
            break
        fresh = _starts(some, locality, floor)[: _STARTS[stage]]
        tried = [*(one for one, _ in found), *fresh]
        found = [_highest(some, locality, tried)]
        seen = some.n_all_rows
    every = observations.reduced()
    if every.n_all_rows > seen:
        return _climb(every, locality, found[0][0], fixed_decay=True)
    return found[0]


def _highest(
    observations: Observations, locality: Locality, starts: Sequence[Hyperparameters]
) -> tuple[Hyperparameters, float]:
    """Climb from every start; one whose covariance is lost in rounding is no reason to stop."""
    climbed, lost = [], list[InconsistentDataError]()
    for one in starts:
        try:
            climbed.append(_climb(observations, locality, one))
        except InconsistentDataError as error:
            lost.append(error)
    if not climbed:
        raise lost[0]
    return max(climbed, key=lambda pair: pair[1])


def _starts(observations: Observations, locality: Locality, floor: float) -> list[Hyperparameters]:
    """List starting points, the likeliest first."""
    exponents = _STARTING_EXPONENTS if locality.decay is not Decay.NONE else (1.0,)
    return [
        _start(observations, locality, exponent, floor, noise)
        for exponent in exponents
        for noise in _starting_noises(observations, floor)
    ]


def _some_rows(observations: Observations, n_rows: int) -> Observations:
    """Take rows evenly from all, so that no cell, atom or direction is preferred."""
    n_all = observations.n_rows
    if n_rows >= n_all:
        return observations.reduced()
    return observations.rows(np.linspace(0, n_all - 1, n_rows).round().astype(np.int64)).reduced()


def _starting_noises(observations: Observations, floor: float) -> tuple[float, ...]:
    """Noise in eV/Å at its floor, and a share of the forces where that is more.

    Few forces can be explained by noise or by force constants of high order: the evidence has a
    maximum for each, and the first is not reached from the second.
    """
    forces = observations.forces_ev_per_angstrom
    usual = _USUAL_NOISE * float(np.sqrt(forces @ forces / observations.n_all_rows))
    return (usual, floor) if usual > floor else (floor,)


def _start(
    observations: Observations, locality: Locality, exponent: float, floor: float, noise: float
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
    return Hyperparameters(tuple(scales), float(np.log(noise**2)), floor)


def _climb(
    observations: Observations,
    locality: Locality,
    start: Hyperparameters,
    *,
    fixed_decay: bool = False,
) -> tuple[Hyperparameters, float]:
    """Follow the gradient from one starting point."""
    kept = _terms(observations, locality, start) if fixed_decay else None

    def cost(vector: FloatArray) -> tuple[float, FloatArray]:
        tried = start.with_vector(vector)
        terms = kept or _terms(observations, locality, tried)
        try:
            value, gradient = _evidence(observations, terms, tried, fixed_decay=fixed_decay)
        except InconsistentDataError:  # a step too far: the search then tries a shorter one
            if np.array_equal(vector, origin):
                raise
            return _WORST, np.zeros_like(vector)
        return -value, -gradient

    origin = start.vector()
    bounds = _bounds(start, fixed_decay=fixed_decay)
    result = minimize(
        cost,
        origin,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": 40, "ftol": _TOLERANCE},
    )
    return start.with_vector(result.x), -float(result.fun)


def _bounds(start: Hyperparameters, *, fixed_decay: bool) -> Sequence[tuple[float, float]]:
    found = []
    for scale in start.scales:
        span = _LOG_VARIANCE_SPAN
        found.append((scale.log_variance - span, scale.log_variance + span))
        held = (scale.exponent, scale.exponent)
        found.append(held if fixed_decay else _EXPONENT_BOUNDS)
    least = float(np.log(_LEAST_EXCESS_NOISE * start.noise_floor_ev_per_angstrom**2))
    return [*found, (least, _LARGEST_LOG_NOISE)]
