"""How long cores work on force calls: a power law of the size of the cell, learned from calls made.

A default of known machine and wide uncertainty is narrowed by every measured call, in the
manner of a Bayesian straight line in logarithms. One measured call fixes the speed of the
machine, calls on cells of several sizes fix the exponent too; far from what was measured the
uncertainty grows again.

References
----------
C. M. Bishop, Pattern Recognition and Machine Learning (2006), section 3.3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from screening.errors import NonFiniteInputError, SettingError

__all__ = [
    "FIRST_PRINCIPLES",
    "POTENTIAL",
    "CallTimes",
    "DefaultTimes",
    "MeasuredCall",
    "fit_call_times",
    "valence_electrons",
]

_QUANTILE = 1.645
"""Standard deviations that hold nine of ten values of a normal distribution."""

_EXPONENT_STD = 0.4
_LEAST_NOISE = 0.15  # times of equal calls on a busy machine, in logarithms
_MIN_FOR_NOISE = 4
_LARGEST_POINT_SET = 2000
_FIRST_P_GROUP = 13


@dataclass(frozen=True)
class DefaultTimes:
    """What is assumed of calls before any was measured.

    Attributes
    ----------
    size, seconds
        One measured point: atoms for a potential, valence electrons from first principles;
        time of one core in s.
    exponent
        Of the power law in the size.
    factor
        Nine of ten calculators and machines are within this factor of it.
    machine
        What it was measured with and on.
    unit
        What sizes count.
    ecut_ev, n_kpoints
        Cutoff of plane waves in eV, and number of wave vectors that time reversal leaves
        different, that it was measured with; 0 where a calculator has none.
    """

    size: float
    seconds: float
    exponent: float
    factor: float
    machine: str
    unit: str = "atoms"
    ecut_ev: float = 0.0
    n_kpoints: int = 0

    def cutoff_factor(self, ecut_ev: float) -> float:
        """Return by how much a call takes longer with another cutoff than that measured.

        The number of plane waves, which all steps but the diagonalisation are linear in, goes
        with the power 3/2 of the cutoff.
        """
        return (ecut_ev / self.ecut_ev) ** 1.5 if ecut_ev and self.ecut_ev else 1.0

    def kpoint_factor(self, n_kpoints: int) -> float:
        """Return by how much a call takes longer with another number of wave vectors."""
        return n_kpoints / self.n_kpoints if n_kpoints and self.n_kpoints else 1.0


POTENTIAL = DefaultTimes(100.0, 0.02, 1.0, 20.0, "CHGNet on one core of an AMD EPYC server")
"""Calls of potentials; large graph networks are an order of magnitude slower."""

FIRST_PRINCIPLES = DefaultTimes(
    size=64.0,
    seconds=18.0,
    exponent=2.0,
    factor=20.0,
    machine="GPAW, 16 Si atoms, plane waves to 300 eV, 8 k points, one core of an AMD EPYC server",
    unit="valence electrons",
    ecut_ev=300.0,
    n_kpoints=8,
)
"""Calls from first principles: 16 atoms of silicon on a grid of 2 x 2 x 2; spin counts too."""


@dataclass(frozen=True)
class MeasuredCall:
    """One call, or the mean of several on one cell: its size and the time of its cores in s."""

    size: float
    seconds: float


@dataclass(frozen=True)
class CallTimes:
    """Expected core time of a call as a function of the size of its cell.

    Attributes
    ----------
    reference_size
        Size that logarithms are taken relative to.
    log_seconds, exponent
        Logarithm of the time at that size, and the exponent of the power law.
    covariance
        Of these two, as nested tuples, shape (2, 2).
    noise
        Standard deviation of the logarithm of single calls.
    basis
        What it rests on, for people.
    n_measured
        Number of measured calls it rests on.
    """

    reference_size: float
    log_seconds: float
    exponent: float
    covariance: tuple[tuple[float, float], tuple[float, float]]
    noise: float
    basis: str
    n_measured: int = 0

    def seconds(self, size: float) -> float:
        """Core time of one call in s."""
        return math.exp(self.log_seconds + self.exponent * math.log(size / self.reference_size))

    def factor(self, size: float) -> float:
        """Nine of ten sums of calls of this size are within this factor of the estimate."""
        design = np.array([1.0, math.log(size / self.reference_size)])
        variance = float(design @ np.array(self.covariance) @ design)
        return math.exp(_QUANTILE * math.sqrt(variance))


def fit_call_times(calls: Sequence[MeasuredCall], default: DefaultTimes) -> CallTimes:
    """Learn the time of calls of one calculator from those it made.

    Parameters
    ----------
    calls
        What was measured; none leaves the default.
    default
        What is assumed otherwise.

    Raises
    ------
    NonFiniteInputError
        If a size or a time is not finite and above zero.

    Examples
    --------
    >>> times = fit_call_times([], POTENTIAL)
    >>> round(times.seconds(200.0), 3), round(times.factor(100.0))
    (0.04, 20)
    """
    points = np.array([(one.size, one.seconds) for one in calls[-_LARGEST_POINT_SET:]])
    points = points.reshape(-1, 2)
    if not np.all(np.isfinite(points) & (points > 0.0)):
        raise NonFiniteInputError("a size or time is not finite and above zero", subject="calls")
    x, y = np.log(points[:, 0] / default.size), np.log(points[:, 1])
    mean, covariance, noise = _posterior(x, y, default)
    return CallTimes(
        reference_size=default.size,
        log_seconds=float(mean[0]),
        exponent=float(mean[1]),
        covariance=(
            (float(covariance[0, 0]), float(covariance[0, 1])),
            (float(covariance[1, 0]), float(covariance[1, 1])),
        ),
        noise=noise,
        basis=_basis(points[:, 0], default),
        n_measured=len(points),
    )


def _posterior(
    x: np.ndarray[tuple[int], np.dtype[np.float64]],
    y: np.ndarray[tuple[int], np.dtype[np.float64]],
    default: DefaultTimes,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean and covariance of intercept and slope, and the noise of single calls."""
    prior_mean = np.array([math.log(default.seconds), default.exponent])
    speed_std = math.log(default.factor) / _QUANTILE
    prior = np.diag([speed_std**-2, _EXPONENT_STD**-2])
    design = np.stack([np.ones_like(x), x], axis=1)
    noise = 2.0 * _LEAST_NOISE
    for _ in range(2):  # the second time with the noise that the first one left
        precision = prior + design.T @ design / noise**2
        covariance = np.linalg.inv(precision)
        mean = covariance @ (prior @ prior_mean + design.T @ y / noise**2)
        if len(y) >= _MIN_FOR_NOISE:
            rest = float(np.sqrt(np.mean((y - design @ mean) ** 2)))
            noise = max(_LEAST_NOISE, rest)
    return mean, covariance, noise


def _basis(sizes: np.ndarray, default: DefaultTimes) -> str:
    if not len(sizes):
        return f"default: {default.machine}"
    low, high = sizes.min(), sizes.max()
    span = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    return f"{len(sizes)} measured, {span} {default.unit}"


def valence_electrons(composition: Mapping[int, float]) -> float:
    """Count the electrons outside noble-gas cores and filled d shells, as a measure of size.

    Pseudopotentials with semicore states have more; what counts is that it grows with the work.

    Parameters
    ----------
    composition
        Number of atoms by atomic number.

    Raises
    ------
    SettingError
        If an atomic number is no element's.

    Examples
    --------
    >>> valence_electrons({12: 1, 8: 1}), valence_electrons({22: 1})
    (8.0, 4.0)
    """
    return float(sum(count * _valence(number) for number, count in composition.items()))


def _valence(atomic_number: int) -> int:
    from pymatgen.core import Element

    try:
        element = Element.from_Z(atomic_number)
    except ValueError as error:
        raise SettingError(f"no element has the number {atomic_number}") from error
    if element.is_lanthanoid or element.is_actinoid:
        return atomic_number - (54 if element.is_lanthanoid else 86)
    if element.symbol == "He":
        return 2
    group = int(element.group)
    return group - 10 if group >= _FIRST_P_GROUP else group
