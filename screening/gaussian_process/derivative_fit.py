"""A Gaussian process of energies and gradients, in any coordinates.

References
----------
S. Keeratikarn and J. M. Frost, "Anharmonic phonons with Gaussian processes" (2024). Its
observations are gradients, that is forces with the opposite sign; its likelihood is printed
without the inverse of the covariance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from screening.errors import (
    InconsistentDataError,
    NonFiniteInputError,
    SettingError,
    TooLargeError,
    WrongShapeError,
)
from screening.gaussian_process.derivative_covariance import (
    DerivativeKernel,
    PolynomialKernel,
    RadialKernel,
)
from screening.gaussian_process.derivative_solver import (
    DerivativeNoise,
    DerivativeWeights,
    IterativeLimits,
    log_evidence,
    solve_weights,
)
from screening.prediction import FloatArray

__all__ = [
    "DerivativeFit",
    "DerivativeKernelSettings",
    "best_length_scale",
    "check_observations",
    "fit_derivatives",
    "typical_displacement",
]

IntArray = NDArray[np.int64]

_SCALED_LENGTH = 10.0
_SHORTEST, _LONGEST, _GRID_POINTS, _GRID_ROUNDS = 1.0, 100.0, 7, 3
_TABLE = 2


@dataclass(frozen=True)
class DerivativeKernelSettings:
    """How force constants are inferred from energies and gradients.

    Attributes
    ----------
    kernel
        "rbf", the published squared exponential, or "polynomial".
    polynomial_degree
        Highest order of the polynomial kernel, 2 or 3.
    length_scale
        "scaled" is ten times the typical length of a displacement vector of all coordinates
        (for the polynomial kernel that length itself); "evidence" maximises the marginal
        likelihood between 1 and 100 times that length; "fixed" takes the next setting.
    length_scale_angstrom
        Length scale in Å if it is fixed. The published 0.4 Å suits few atoms: displacement
        vectors grow with the square root of their number.
    variance_ev2
        Variance of the energy in eV².
    profile_variance
        Whether the variance is replaced by its most likely value. The noise keeps its ratio to
        it, so that force constants stay the same.
    noise_energy_ev, noise_force_ev_per_angstrom
        Standard deviations of the noise in eV and eV/Å, at the variance above.
    use_energies
        Whether energies are used where they are known.
    third_order
        Whether third-order force constants are wanted.
    limits
        When and how far equations are solved by iteration.
    """

    kernel: Literal["rbf", "polynomial"] = "rbf"
    polynomial_degree: Literal[2, 3] = 3
    length_scale: Literal["scaled", "evidence", "fixed"] = "scaled"
    length_scale_angstrom: float = 0.4
    variance_ev2: float = 1.0
    profile_variance: bool = True
    noise_energy_ev: float = 1e-7
    noise_force_ev_per_angstrom: float = 1e-7
    use_energies: bool = True
    third_order: bool = True
    limits: IterativeLimits = field(default_factory=IterativeLimits)

    def __post_init__(self) -> None:
        positive = (
            "length_scale_angstrom",
            "variance_ev2",
            "noise_energy_ev",
            "noise_force_ev_per_angstrom",
        )
        for name in positive:
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0.0):
                raise SettingError(
                    f"is {value}, must be above 0",
                    subject=name,
                    hint="Give a positive number",
                )
        choices = {
            "kernel": ("rbf", "polynomial"),
            "polynomial_degree": (2, 3),
            "length_scale": ("scaled", "evidence", "fixed"),
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise SettingError(
                    f"unknown choice {getattr(self, name)!r}",
                    subject=name,
                    hint=f"Choose one of {', '.join(map(str, known))}",
                )

    @property
    def noise(self) -> DerivativeNoise:
        """Noise variances in units of the variance of the energy."""
        return DerivativeNoise(
            self.noise_energy_ev**2 / self.variance_ev2,
            self.noise_force_ev_per_angstrom**2 / self.variance_ev2,
        )


@dataclass(frozen=True, eq=False)
class DerivativeFit:
    """A derivative Gaussian process after it has seen its data.

    Attributes
    ----------
    kernel
        Kernel of unit variance, with its length scale.
    points
        Displacements in Å, shape (point, coordinate).
    weights
        Weights of the observations.
    variance_ev2
        Variance of the energy in eV².
    log_evidence
        Logarithm of the marginal likelihood, or None where iteration solved the equations.
    """

    kernel: DerivativeKernel
    points: FloatArray
    weights: DerivativeWeights
    variance_ev2: float
    log_evidence: float | None

    def predict(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return energies in eV and gradients in eV/Å, shapes (point,) and (point, coordinate)."""
        weights = self.weights
        energies, gradients = self.kernel.predict(
            points, self.points, weights.energy_weights, weights.gradient_weights
        )
        return energies + weights.energy_offset, gradients

    def second_derivatives(self, rows: IntArray | None = None) -> FloatArray:
        """Return second derivatives at the origin in eV/Å², shape (row, coordinate)."""
        return self.kernel.second_derivatives(*self._at_origin(rows))

    def third_derivatives(self, rows: IntArray | None = None) -> FloatArray:
        """Return third derivatives at the origin in eV/Å³, shape (row, coordinate, coordinate)."""
        return self.kernel.third_derivatives(*self._at_origin(rows))

    def _at_origin(
        self, rows: IntArray | None
    ) -> tuple[FloatArray, FloatArray, FloatArray, IntArray, FloatArray]:
        """Return what the kernel's derivatives need."""
        dimension = self.points.shape[1]
        every = np.arange(dimension) if rows is None else rows
        weights = self.weights
        identity = np.eye(dimension)
        return self.points, weights.energy_weights, weights.gradient_weights, every, identity


def fit_derivatives(
    points: FloatArray,
    gradients: FloatArray,
    settings: DerivativeKernelSettings | None = None,
    energies: FloatArray | None = None,
) -> DerivativeFit:
    """Condition a derivative Gaussian process on gradients, and energies where given.

    Parameters
    ----------
    points
        Displacements in Å from the positions where derivatives are wanted, shape
        (point, coordinate); coordinates can be any orthonormal ones.
    gradients
        Gradients of the energy (forces with the opposite sign) in eV/Å, same shape.
    settings
        Kernel, length scale, noise and solver.
    energies
        Energies in eV up to a constant, shape (point,), or None.

    Raises
    ------
    WrongShapeError, NonFiniteInputError, InconsistentDataError
        If arrays do not fit each other, hold NaN or infinity, or nothing is displaced.
    SettingError
        If the covariance is not positive definite.
    TooLargeError
        If iteration does not converge, or the evidence is wanted of what only iteration solves.
    """
    settings = settings or DerivativeKernelSettings()
    check_observations(points, gradients, energies)
    if not settings.use_energies:
        energies = None

    def fit(length_scale: float) -> DerivativeFit:
        kernel = _kernel(length_scale, settings)
        return _fit_at(kernel, points, gradients, energies, settings)

    if settings.length_scale == "fixed":
        return fit(settings.length_scale_angstrom)
    typical = typical_displacement(points)
    if settings.length_scale == "scaled":
        return fit(typical * (_SCALED_LENGTH if settings.kernel == "rbf" else 1.0))
    return fit(best_length_scale(lambda length: _evidence(fit(length)), typical))


def _kernel(length_scale: float, settings: DerivativeKernelSettings) -> DerivativeKernel:
    """Kernel of this length scale."""
    if settings.kernel == "rbf":
        return RadialKernel(length_scale)
    return PolynomialKernel(length_scale, settings.polynomial_degree)


def typical_displacement(points: FloatArray) -> float:
    """Root mean square length in Å of displacement vectors of all coordinates."""
    return float(np.sqrt(np.mean(np.sum(points**2, axis=1))))


def best_length_scale(evidence: Callable[[float], float], typical_angstrom: float) -> float:
    """Maximise the evidence between 1 and 100 typical displacements, to a tenth.

    A grid comes first, for the evidence can have several maxima. Length scales whose covariance
    is not positive definite in double precision are left out.

    Parameters
    ----------
    evidence
        Log evidence of a length scale in Å.
    typical_angstrom
        Typical length of a displacement vector in Å.

    Returns
    -------
    float
        Length scale in Å.

    Raises
    ------
    SettingError
        If no length scale has a positive definite covariance.
    """
    low, high = typical_angstrom * _SHORTEST, typical_angstrom * _LONGEST
    for _ in range(_GRID_ROUNDS):
        grid = np.geomspace(low, high, _GRID_POINTS)
        heights = np.array([_or_impossible(evidence, float(length)) for length in grid])
        best = int(heights.argmax())
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, _GRID_POINTS - 1)]
    if not np.isfinite(heights[best]):
        raise SettingError(
            "no length scale has a positive definite covariance",
            subject="noise_force_ev_per_angstrom",
            hint="Raise the noise",
        )
    return float(grid[best])


def _or_impossible(evidence: Callable[[float], float], length_scale: float) -> float:
    """Evidence, or minus infinity where double precision cannot hold the covariance."""
    try:
        return evidence(length_scale)
    except SettingError:
        return -np.inf


def _fit_at(
    kernel: DerivativeKernel,
    points: FloatArray,
    gradients: FloatArray,
    energies: FloatArray | None,
    settings: DerivativeKernelSettings,
) -> DerivativeFit:
    """Solve with one length scale."""
    weights = solve_weights(kernel, points, energies, gradients, settings.noise, settings.limits)
    variance = settings.variance_ev2
    if settings.profile_variance:
        variance = weights.quadratic / weights.n_rows
    evidence = None
    if weights.log_determinant is not None:
        evidence = log_evidence(
            weights.n_rows, weights.quadratic, weights.log_determinant, variance
        )
    return DerivativeFit(kernel, points, weights, variance, evidence)


def _evidence(fit: DerivativeFit) -> float:
    """Evidence of a fit, which iteration does not give."""
    if fit.log_evidence is None:
        raise TooLargeError(
            f"the evidence of {fit.weights.n_rows} values needs a dense covariance",
            subject="length_scale",
            hint='Choose "scaled" or "fixed", give fewer cells, or raise max_dense_rows',
        )
    return fit.log_evidence


def check_observations(
    points: FloatArray, gradients: FloatArray, energies: FloatArray | None
) -> None:
    """Refuse data that cannot be fitted; parameters and errors as of `fit_derivatives`."""
    flat = energies is None or energies.shape == points.shape[:1]
    if points.ndim != _TABLE or gradients.shape != points.shape or not flat:
        told = "none" if energies is None else energies.shape
        raise WrongShapeError(
            f"points {points.shape}, gradients {gradients.shape} and energies {told} differ",
            hint="Give a gradient for every coordinate, and energies of all cells or of none",
        )
    known = (points, gradients) if energies is None else (points, gradients, energies)
    if not all(np.isfinite(values).all() for values in known):
        raise NonFiniteInputError(
            "displacements, forces or energies hold NaN or infinity",
            hint="Compute these cells again or leave them out",
        )
    for name, values in (("displacements", points), ("forces", gradients)):
        if not np.any(values):
            raise InconsistentDataError(
                f"all {name} are zero", hint="Give supercells with displaced atoms"
            )
