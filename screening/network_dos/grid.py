"""The grids of frequencies that densities of states are learned on, and histograms on them.

A density of states on a grid is a histogram: how many modes lie in each bin. Samples of a smeared
curve would not do, for a smearing narrower than a bin falls between the points.

References
----------
R. Gurunathan, K. Choudhary and F. Tavazza, Phys. Rev. Materials 7, 023803 (2023): -300 to
1000 1/cm in steps of 20, with both ends 66 points.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from screening.errors import InconsistentDataError, NonFiniteInputError, SettingError
from screening.prediction import FloatArray, frozen_array
from screening.units import THZ_TO_INVERSE_CM

__all__ = ["PAPER_GRID", "WIDE_GRID", "FrequencyGrid", "Histogram"]

_FEWEST_POINTS = 3
_MOST_POINTS = 10_000


@dataclass(frozen=True, eq=False)
class Histogram:
    """How the weight of some modes is shared among the bins.

    Attributes
    ----------
    weights
        Weight in each bin, shape (bin,).
    below, above
        Weight outside the grid.
    """

    weights: FloatArray
    below: float
    above: float

    @property
    def outside(self) -> float:
        """Fraction of all weight that lies outside the grid."""
        total = float(self.weights.sum()) + self.below + self.above
        return (self.below + self.above) / total if total > 0.0 else 0.0


@dataclass(frozen=True)
class FrequencyGrid:
    """Bins of equal width, named by their centres; one of them is centred at zero.

    Attributes
    ----------
    lowest_inverse_cm
        Centre of the first bin in 1/cm; negative ones hold imaginary frequencies.
    step_inverse_cm
        Width of a bin in 1/cm.
    n_points
        Number of bins.

    Raises
    ------
    SettingError
        If it has no bin at zero, or none above.

    Examples
    --------
    >>> len(PAPER_GRID), round(float(PAPER_GRID.centres_thz[-1]), 3)
    (66, 29.979)
    """

    lowest_inverse_cm: float
    step_inverse_cm: float
    n_points: int

    def __post_init__(self) -> None:
        low, step = self.lowest_inverse_cm, self.step_inverse_cm
        usable = math.isfinite(low) and math.isfinite(step) and step > 0.0 and low <= 0.0
        if not (usable and _FEWEST_POINTS <= self.n_points <= _MOST_POINTS):
            raise SettingError(
                f"{self.n_points} bins of {step} 1/cm from {low} 1/cm are no grid",
                subject="grid",
                hint="Begin at or below zero, with 3 to 10000 bins of a positive width",
            )
        steps = -low / step
        if abs(steps - round(steps)) > 1e-9 * max(1.0, steps) or round(steps) >= self.n_points - 1:
            raise SettingError(
                f"no bin is centred at zero, or none lies above: {steps} steps from {low} 1/cm",
                subject="grid",
                hint="Let the lowest centre be a multiple of the width, and the highest positive",
            )

    def __len__(self) -> int:
        return self.n_points

    @property
    def zero(self) -> int:
        """Place of the bin that is centred at zero."""
        return round(-self.lowest_inverse_cm / self.step_inverse_cm)

    @property
    def width_thz(self) -> float:
        """Width of a bin in THz."""
        return self.step_inverse_cm / THZ_TO_INVERSE_CM

    @property
    def centres_thz(self) -> FloatArray:
        """Centres of the bins in THz, ascending, shape (bin,)."""
        return frozen_array((np.arange(self.n_points) - self.zero) * self.width_thz)

    @property
    def edges_thz(self) -> FloatArray:
        """Edges of the bins in THz, ascending, shape (bin + 1,)."""
        return frozen_array((np.arange(self.n_points + 1) - self.zero - 0.5) * self.width_thz)

    def histogram(self, frequencies_thz: ArrayLike, weights: ArrayLike) -> Histogram:
        """Count modes.

        Parameters
        ----------
        frequencies_thz
            In THz, imaginary ones negative, any shape.
        weights
            Weight of each mode, of the same shape.

        Raises
        ------
        InconsistentDataError
            If the shapes differ or a weight is negative.
        NonFiniteInputError
            If a value is not finite.
        """
        values, own = _checked(frequencies_thz, weights)
        places = np.floor(values / self.width_thz + 0.5).astype(np.int64) + self.zero
        inside = (places >= 0) & (places < self.n_points)
        found = np.bincount(places[inside], own[inside], minlength=self.n_points)
        below, above = own[places < 0].sum(), own[places >= self.n_points].sum()
        return Histogram(frozen_array(found), float(below), float(above))

    def histogram_of_density(
        self, frequencies_thz: ArrayLike, density_per_thz: ArrayLike
    ) -> Histogram:
        """Integrate a density of states over each bin, exactly between its points.

        Parameters
        ----------
        frequencies_thz
            Points in THz, ascending, shape (point,); the density is linear between them and
            zero outside.
        density_per_thz
            Modes per THz, shape (point,).

        Raises
        ------
        InconsistentDataError
            If the shapes do not fit, the points do not ascend or the density is negative.
        NonFiniteInputError
            If a value is not finite.
        """
        points, density = _checked(frequencies_thz, density_per_thz)
        if len(points) < 2 or np.any(np.diff(points) <= 0.0):  # noqa: PLR2004 - an interval
            raise InconsistentDataError(
                "the frequencies of a density of states do not ascend",
                subject="frequencies_thz",
                hint="Give at least two, sorted",
            )
        edges = np.asarray(self.edges_thz)
        integral = np.diff(_integral(points, density, edges))
        total = _integral(points, density, np.array([edges[0], edges[-1], points[-1]]))
        return Histogram(
            frozen_array(np.maximum(integral, 0.0)), float(total[0]), float(total[2] - total[1])
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FrequencyGrid:
        """Rebuild it.

        Raises
        ------
        SettingError
            If a number is missing or cannot be.
        """
        try:
            low, step = float(values["lowest_inverse_cm"]), float(values["step_inverse_cm"])
            return cls(low, step, operator.index(values["n_points"]))
        except (KeyError, TypeError, ValueError) as error:
            raise SettingError(
                f"a part of the grid cannot be read: {error!r}",
                subject="grid",
                hint="Give lowest_inverse_cm, step_inverse_cm and n_points",
            ) from error


def _checked(values: ArrayLike, weights: ArrayLike) -> tuple[FloatArray, FloatArray]:
    x = np.asarray(values, dtype=np.float64).ravel()
    y = np.asarray(weights, dtype=np.float64).ravel()
    if x.shape != y.shape or np.shape(values) != np.shape(weights):
        raise InconsistentDataError(
            f"{np.shape(weights)} weights for {np.shape(values)} frequencies",
            subject="weights",
            hint="Give one weight for each frequency",
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise NonFiniteInputError(
            "a frequency or weight is not finite", subject="histogram", hint="Check the phonons"
        )
    if np.any(y < 0.0):
        raise InconsistentDataError(
            "a weight or density is negative", subject="weights", hint="Check the phonons"
        )
    return x, y


def _integral(points: FloatArray, density: FloatArray, ends: FloatArray) -> FloatArray:
    """Integral of a piecewise linear density from its first point up to each of some ends."""
    pieces = 0.5 * (density[1:] + density[:-1]) * np.diff(points)
    sums = np.concatenate([[0.0], np.cumsum(pieces)])
    inside = np.clip(ends, points[0], points[-1])
    place = np.clip(np.searchsorted(points, inside, side="right") - 1, 0, len(points) - 2)
    step = inside - points[place]
    slope = (density[place + 1] - density[place]) / (points[place + 1] - points[place])
    return np.asarray(sums[place] + step * (density[place] + 0.5 * slope * step))


PAPER_GRID = FrequencyGrid(-300.0, 20.0, 66)
"""The published one: some stiff compounds, hydrides among them, do not fit."""

WIDE_GRID = FrequencyGrid(-300.0, 20.0, 216)
"""The same bins up to 4000 1/cm, above the stretching of bonds to hydrogen."""
