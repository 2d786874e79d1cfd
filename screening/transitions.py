"""Where free-energy curves cross: transition temperatures with their spread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.optimize import brentq

from screening.prediction import FloatArray

__all__ = ["Crossing", "Curves", "find_crossings"]

_LOWEST_TOLERANCE_MEV = 1e-6  # rounding of interpolated curves, far below any physics


@dataclass(frozen=True)
class Curves:
    """Free energies of several phases on one grid.

    Attributes
    ----------
    ids
        Name of every phase.
    temperatures_k
        Grid in K, ascending, shape (temperature,).
    free_energy_mev_per_atom
        Above any common reference, shape (phase, temperature).
    slopes_mev_per_k_per_atom
        Their derivatives: minus the entropy above the same reference, same shape.
    std_mev_per_atom
        Standard deviation of every phase, shape (temperature,), or None where all of it or a
        part that matters is not known.
    comparable
        Pairs of indices (smaller first) that may be compared.
    """

    ids: tuple[str, ...]
    temperatures_k: FloatArray
    free_energy_mev_per_atom: FloatArray
    slopes_mev_per_k_per_atom: FloatArray
    std_mev_per_atom: tuple[FloatArray | None, ...]
    comparable: frozenset[tuple[int, int]]

    def std_of_difference(self, one: int, two: int) -> FloatArray | None:
        """Return the spread of a difference, the phases' errors being independent."""
        first, second = self.std_mev_per_atom[one], self.std_mev_per_atom[two]
        if first is None or second is None:
            return None
        return np.asarray(np.hypot(first, second), dtype=np.float64)


@dataclass(frozen=True)
class Crossing:
    """Where two free energies are equal.

    Attributes
    ----------
    below_id, above_id
        The lower one below and above this temperature.
    temperature_k
        Between grid points by cubic Hermite interpolation with slopes -S.
    temperature_std_k
        Spread of the difference over the difference of the slopes, or None without spreads;
        of the vibrational part, for given static energies only.
    between_lowest
        Whether both are the lowest of all there: a transition rather than a mere crossing.
    comparable
        False where the dropped weights differ too much.
    """

    below_id: str
    above_id: str
    temperature_k: float
    temperature_std_k: float | None
    between_lowest: bool
    comparable: bool


def find_crossings(curves: Curves) -> tuple[Crossing, ...]:
    """All crossings of all pairs, by temperature and then by name."""
    found = [
        _crossing(curves, pair, left, right)
        for pair in combinations(range(len(curves.ids)), 2)
        for left, right in _sign_changes(_difference(curves, pair))
    ]
    return tuple(sorted(found, key=lambda c: (c.temperature_k, c.below_id, c.above_id)))


def _difference(curves: Curves, pair: tuple[int, int]) -> FloatArray:
    energies = curves.free_energy_mev_per_atom
    gap: FloatArray = energies[pair[0]] - energies[pair[1]]
    return gap


def _sign_changes(values: FloatArray) -> Iterator[tuple[int, int]]:
    """Neighbouring indices of opposite sign; zeros between them belong to the change."""
    nonzero = np.flatnonzero(values)
    negative = values[nonzero] < 0
    for place in np.flatnonzero(negative[1:] != negative[:-1]).tolist():
        yield int(nonzero[place]), int(nonzero[place + 1])


def _crossing(curves: Curves, pair: tuple[int, int], left: int, right: int) -> Crossing:
    temperature_k = _root(curves, pair, left, right)
    first_is_below = _difference(curves, pair)[left] < 0
    below, above = pair if first_is_below else pair[::-1]
    values = _energies_at(curves, temperature_k)
    return Crossing(
        below_id=curves.ids[below],
        above_id=curves.ids[above],
        temperature_k=temperature_k,
        temperature_std_k=_temperature_std(curves, pair, temperature_k),
        between_lowest=bool(max(values[list(pair)]) <= values.min() + _LOWEST_TOLERANCE_MEV),
        comparable=pair in curves.comparable,
    )


def _root(curves: Curves, pair: tuple[int, int], left: int, right: int) -> float:
    """Temperature of the crossing; the middle of the grid points where the curves are equal."""
    grid = curves.temperatures_k
    if right > left + 1:
        return float(grid[left + 1 : right].mean())

    def gap(temperature_k: float) -> float:
        values = _hermite(curves, left, temperature_k)
        return float(values[pair[0]] - values[pair[1]])

    low, high = float(grid[left]), float(grid[right])
    if gap(low) * gap(high) >= 0:  # rounding moved an end onto the crossing
        return low if abs(gap(low)) < abs(gap(high)) else high
    return float(brentq(gap, low, high))


def _energies_at(curves: Curves, temperature_k: float) -> FloatArray:
    """Interpolated energies of all phases, shape (phase,)."""
    last = len(curves.temperatures_k) - 2
    left = int(np.searchsorted(curves.temperatures_k, temperature_k, side="right")) - 1
    return _hermite(curves, min(max(left, 0), last), temperature_k)


def _hermite(curves: Curves, left: int, temperature_k: float) -> FloatArray:
    """Cubic between two grid points from values and slopes; exact at both."""
    grid, energies = curves.temperatures_k, curves.free_energy_mev_per_atom
    slopes = curves.slopes_mev_per_k_per_atom
    step = grid[left + 1] - grid[left]
    x = (temperature_k - grid[left]) / step
    blend = x * x * (3.0 - 2.0 * x)
    value: FloatArray = (
        energies[:, left] * (1.0 - blend)
        + energies[:, left + 1] * blend
        + step * x * (1.0 - x) * (slopes[:, left] * (1.0 - x) - slopes[:, left + 1] * x)
    )
    return value


def _temperature_std(curves: Curves, pair: tuple[int, int], temperature_k: float) -> float | None:
    """First-order propagation of the committee's spread onto the temperature."""
    std = curves.std_of_difference(*pair)
    if std is None:
        return None
    grid, slopes = curves.temperatures_k, curves.slopes_mev_per_k_per_atom
    slope = float(np.interp(temperature_k, grid, slopes[pair[0]] - slopes[pair[1]]))
    return None if slope == 0.0 else float(np.interp(temperature_k, grid, std)) / abs(slope)
