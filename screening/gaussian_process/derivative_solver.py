r"""Weights and evidence of a derivative Gaussian process, solved where its structure lets it be.

All vectors of the covariance beyond a multiple of the identity lie in the span of the points.
In its p dimensions the process is one of m (1 + p) numbers; across them every coordinate is
independent with one m by m covariance. Rotated so, the solution is exact, and for m < d costs
:math:`m^3 (1 + p)^3` and not :math:`m^3 (1 + d)^3`. Where even that is too much, conjugate
gradients need products in time :math:`m^2 p` alone.

References
----------
F. de Roos, A. Gessner and P. Hennig, arXiv:2102.07542 (2021), section 3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.sparse.linalg import LinearOperator, cg

from screening.errors import SettingError, TooLargeError
from screening.gaussian_process.derivative_covariance import DerivativeKernel
from screening.prediction import FloatArray

__all__ = [
    "DerivativeNoise",
    "DerivativeWeights",
    "IterativeLimits",
    "factorise",
    "log_evidence",
    "solve_weights",
]


@dataclass(frozen=True)
class DerivativeNoise:
    """Variances of the noise, in units of the kernel's variance.

    Attributes
    ----------
    energy
        Of energies.
    gradient_per_angstrom2
        Of components of gradients in 1/Å².
    """

    energy: float
    gradient_per_angstrom2: float


@dataclass(frozen=True)
class IterativeLimits:
    """When and how far equations are solved by iteration.

    Attributes
    ----------
    max_dense_rows
        Largest covariance that is factorised; a larger one is solved by conjugate gradients.
    tolerance
        Residual relative to the data where iteration stops.
    max_iterations
        Iterations after which the solution is refused.
    """

    max_dense_rows: int = 6000
    tolerance: float = 1e-10
    max_iterations: int = 2000


@dataclass(frozen=True, eq=False)
class DerivativeWeights:
    """Solution of the equations of a derivative Gaussian process.

    Attributes
    ----------
    energy_weights, gradient_weights
        Shapes (point,) and (point, coordinate); those of energies are zero without energies.
    energy_offset
        Estimate of the constant in the energies; zero without energies.
    n_rows
        Number of observed values.
    quadratic
        Data times weights.
    log_determinant
        Of the covariance of unit variance, or None where it was not factorised.
    """

    energy_weights: FloatArray
    gradient_weights: FloatArray
    energy_offset: float
    n_rows: int
    quadratic: float
    log_determinant: float | None


def solve_weights(
    kernel: DerivativeKernel,
    points: FloatArray,
    energies: FloatArray | None,
    gradients: FloatArray,
    noise: DerivativeNoise,
    limits: IterativeLimits,
) -> DerivativeWeights:
    """Solve for the weights of all energies and gradients.

    Energies are known up to a constant, which is estimated by generalised least squares: the
    limit of an infinitely uncertain prior for it.

    Parameters
    ----------
    kernel, noise, limits
        Covariance, noise and solver. Noise below the rounding error of the covariance is raised
        to it.
    points, gradients
        Shape (point, coordinate).
    energies
        Shape (point,), or None.

    Raises
    ------
    SettingError
        If the covariance is not positive definite in double precision.
    TooLargeError
        If iteration does not converge.
    """
    span = _span(points)
    reduced, inner = points @ span.T, gradients @ span.T
    n_rows = reduced.size + (0 if energies is None else len(points))
    noise = _resolvable(kernel, points, noise, n_rows)
    solve = _solve_directly if n_rows <= limits.max_dense_rows else _solve_iteratively
    # total energies are thousands of times their differences: what is common would cost digits
    mean = 0.0 if energies is None else float(energies.mean())
    differences = None if energies is None else energies - mean
    weights = solve(kernel, reduced, differences, inner, noise, limits)
    weights = replace(
        weights,
        gradient_weights=weights.gradient_weights @ span,
        energy_offset=weights.energy_offset + mean,
    )
    beyond = points.shape[1] - len(span)
    return _add_across(weights, kernel, points, gradients - inner @ span, noise, beyond)


def _resolvable(
    kernel: DerivativeKernel, points: FloatArray, noise: DerivativeNoise, n_rows: int
) -> DerivativeNoise:
    """Raise the noise to the rounding error of the covariance, which acts as noise does."""
    rounding = float(np.finfo(float).eps) * n_rows
    slopes = float(np.diag(kernel.gradient_coupling(points)).max())
    return DerivativeNoise(
        max(noise.energy, rounding * kernel.energy_variance(points)),
        max(noise.gradient_per_angstrom2, rounding * slopes),
    )


def _span(points: FloatArray) -> FloatArray:
    """Orthonormal rows that span the points, shape (dimension of the span, coordinate)."""
    _, sizes, rows = np.linalg.svd(points, full_matrices=False)
    kept = sizes > np.finfo(float).eps * max(points.shape) * sizes[0]
    if kept.sum() == points.shape[1]:
        return np.eye(points.shape[1])
    return np.asarray(rows[kept])


def _add_across(
    weights: DerivativeWeights,
    kernel: DerivativeKernel,
    points: FloatArray,
    across: FloatArray,
    noise: DerivativeNoise,
    beyond: int,
) -> DerivativeWeights:
    """Add the solution for gradients across the span of the points."""
    if not beyond:
        return weights
    coupling = kernel.gradient_coupling(points)
    coupling[np.diag_indices_from(coupling)] += noise.gradient_per_angstrom2
    factor, log_determinant = factorise(coupling)
    solved = cho_solve(factor, across)
    inner = weights.log_determinant
    return replace(
        weights,
        gradient_weights=weights.gradient_weights + solved,
        n_rows=weights.n_rows + beyond * len(points),
        quadratic=weights.quadratic + float(np.sum(across * solved)),
        log_determinant=None if inner is None else inner + beyond * log_determinant,
    )


def factorise(covariance: FloatArray) -> tuple[tuple[FloatArray, bool], float]:
    """Cholesky factor, as SciPy solves with it, and logarithm of the determinant.

    Raises
    ------
    SettingError
        If the matrix is not positive definite in double precision.
    """
    try:
        factor = cho_factor(covariance, lower=True, check_finite=False)
    except LinAlgError as error:
        raise SettingError(
            f"the covariance of {len(covariance)} values is not positive definite",
            subject="noise_force_ev_per_angstrom",
            hint="Raise the noise or shorten the length scale",
        ) from error
    return factor, 2.0 * float(np.sum(np.log(np.diag(factor[0]))))


def _solve_directly(
    kernel: DerivativeKernel,
    points: FloatArray,
    energies: FloatArray | None,
    gradients: FloatArray,
    noise: DerivativeNoise,
    limits: IterativeLimits,
) -> DerivativeWeights:
    """Factorise the covariance of everything in the span of the points."""
    del limits
    covariance = kernel.covariance(points, with_energies=energies is not None)
    covariance[np.diag_indices_from(covariance)] += _noise_rows(energies, gradients, noise)
    factor, log_determinant = factorise(covariance)
    data = _stack(energies, gradients)

    def solve(values: FloatArray) -> FloatArray:
        return np.asarray(cho_solve(factor, values, check_finite=False))

    head = 0 if energies is None else len(points)
    return _collect(points, head, data, *_without_constant(solve, data, head), log_determinant)


def _solve_iteratively(
    kernel: DerivativeKernel,
    points: FloatArray,
    energies: FloatArray | None,
    gradients: FloatArray,
    noise: DerivativeNoise,
    limits: IterativeLimits,
) -> DerivativeWeights:
    """Solve by conjugate gradients, preconditioned with the isotropic part of the gradients."""
    data, n_points = _stack(energies, gradients), len(points)
    head = 0 if energies is None else n_points
    noise_rows = _noise_rows(energies, gradients, noise)
    coupling = kernel.gradient_coupling(points)
    coupling[np.diag_indices_from(coupling)] += noise.gradient_per_angstrom2
    factor, _ = factorise(coupling)

    def multiply(vector: FloatArray) -> FloatArray:
        weights = np.zeros(n_points)
        weights[:head] = vector[:head]
        found = kernel.predict(points, points, weights, vector[head:].reshape(points.shape))
        return np.concatenate([found[0][:head], found[1].ravel()]) + noise_rows * vector

    def precondition(vector: FloatArray) -> FloatArray:
        solved = cho_solve(factor, vector[head:].reshape(points.shape))
        return np.concatenate([vector[:head], solved.ravel()])

    shape = (len(data), len(data))
    operator = LinearOperator(shape, matvec=multiply, dtype=np.float64)
    preconditioner = LinearOperator(shape, matvec=precondition, dtype=np.float64)

    def solve(values: FloatArray) -> FloatArray:
        return _iterate(operator, preconditioner, values, limits)

    return _collect(points, head, data, *_without_constant(solve, data, head), None)


def _iterate(
    operator: LinearOperator,
    preconditioner: LinearOperator,
    data: FloatArray,
    limits: IterativeLimits,
) -> FloatArray:
    """Run conjugate gradients to the tolerance, or refuse."""
    solution, status = cg(
        operator, data, rtol=limits.tolerance, maxiter=limits.max_iterations, M=preconditioner
    )
    if status != 0:
        residual = np.linalg.norm(operator @ solution - data) / np.linalg.norm(data)
        raise TooLargeError(
            f"{len(data)} equations have a residual of {residual:.1e} after"
            f" {limits.max_iterations} iterations, above {limits.tolerance:.1e}",
            subject="max_dense_rows",
            hint="Raise the noise, give fewer cells, or allow a larger dense covariance",
        )
    return np.asarray(solution)


def _stack(energies: FloatArray | None, gradients: FloatArray) -> FloatArray:
    """Return data in the order of the covariance, shape (row,)."""
    if energies is None:
        return gradients.flatten()
    return np.concatenate([energies, gradients.ravel()])


def _noise_rows(
    energies: FloatArray | None, gradients: FloatArray, noise: DerivativeNoise
) -> FloatArray:
    """Noise variance of every observed value, shape (row,)."""
    rows = np.full(gradients.size, noise.gradient_per_angstrom2)
    if energies is None:
        return rows
    return np.concatenate([np.full(len(energies), noise.energy), rows])


def _without_constant(
    solve: Callable[[FloatArray], FloatArray], data: FloatArray, head: int
) -> tuple[float, FloatArray]:
    """Estimate the constant of the energies, and solve for the weights without it.

    Energies are the first ``head`` of the data. Their constant is no part of the covariance, so
    that its weights are large: taking them out of others would cost all digits.
    """
    weights, offset = solve(data), 0.0
    if head:
        constant = np.zeros_like(data)
        constant[:head] = 1.0
        answer = float(solve(constant)[:head].sum())
        for _ in range(2):
            offset += float(weights[:head].sum()) / answer
            weights = solve(data - offset * constant)
    return offset, weights


def _collect(
    points: FloatArray,
    head: int,
    data: FloatArray,
    offset: float,
    weights: FloatArray,
    log_determinant: float | None,
) -> DerivativeWeights:
    """Split the solved rows into energies, the first ``head``, and gradients."""
    data[:head] -= offset
    return DerivativeWeights(
        energy_weights=weights[:head] if head else np.zeros(len(points)),
        gradient_weights=weights[head:].reshape(points.shape),
        energy_offset=offset,
        n_rows=len(data),
        quadratic=float(data @ weights),
        log_determinant=log_determinant,
    )


def log_evidence(
    n_rows: int, quadratic: float, log_determinant: float, variance_ev2: float
) -> float:
    r"""Logarithm of the marginal likelihood.

    Parameters
    ----------
    n_rows, quadratic, log_determinant
        Number of observed values; :math:`y^T K^{-1} y` and :math:`\ln \det K`, both of the
        covariance of unit variance.
    variance_ev2
        Variance in eV² that multiplies the covariance.

    Returns
    -------
    float
        :math:`-(y^T K^{-1} y / s^2 + \ln \det K + n \ln 2 \pi s^2) / 2`.

    Notes
    -----
    The published formula lacks the inverse of the covariance.
    """
    spread = n_rows * np.log(2.0 * np.pi * variance_ev2)
    return float(-0.5 * (quadratic / variance_ev2 + log_determinant + spread))
