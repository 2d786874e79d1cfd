"""What the intervals of a method that calibrates itself are worth at other risks than its own.

A conformal quantile at 90 % says nothing of 98 %: errors have heavier tails than any formula that
would lead from one to the other. Quantiles are therefore kept at several risks; between two of
them the smaller risk is taken, and at a smaller one than any, or at a temperature beyond the
calibrated ones, an interval is open.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from screening.prediction import FloatArray, ThermodynamicsSpread, frozen_array
from screening.quantities import Property, Quantity
from screening.uncertainty.conformal import conformal_quantile

__all__ = [
    "RISKS",
    "OwnCalibration",
    "known_risk",
    "quantiles_at_risks",
    "risks_with",
    "spread_of_half_widths",
]

RISKS = (0.5, 0.32, 0.2, 0.1, 0.05, 0.02, 0.01)
"""Risks that quantiles are kept at, where there are groups enough."""

_ROUNDING = 1e-9


def risks_with(alpha: float) -> tuple[float, ...]:
    """Return `RISKS` and one more, descending.

    Examples
    --------
    >>> risks_with(0.15)
    (0.5, 0.32, 0.2, 0.15, 0.1, 0.05, 0.02, 0.01)
    """
    return tuple(sorted({*RISKS, alpha}, reverse=True))


def known_risk(alpha: float, known: Iterable[float]) -> float | None:
    """Return the largest known risk that is not above the one asked for, None without one.

    Examples
    --------
    >>> known_risk(0.07, RISKS), known_risk(1.0 - 0.9, RISKS), known_risk(0.005, RISKS)
    (0.05, 0.1, None)
    """
    return max((one for one in known if one <= alpha + _ROUNDING), default=None)


def quantiles_at_risks(
    scores: Sequence[float], groups: Sequence[str], risks: Sequence[float] = RISKS
) -> dict[float, float]:
    """Conformal quantiles of scores by risk; without those that would be infinite.

    Raises
    ------
    SettingError, InconsistentDataError
        As `screening.uncertainty.conformal.conformal_quantile`.

    Examples
    --------
    >>> quantiles_at_risks([1.0, 2.0, 3.0, 4.0], ["a", "b", "c", "d"], (0.5, 0.2, 0.1))
    {0.5: 3.0, 0.2: 4.0}
    """
    found = {one: conformal_quantile(scores, groups, one) for one in risks}
    return {risk: value for risk, value in found.items() if math.isfinite(value)}


@dataclass(frozen=True)
class OwnCalibration:
    """Half widths of a method's intervals at several risks, over those of its predictions.

    Attributes
    ----------
    alpha
        Risk of the interval that the spread of a prediction stands for: its half width is the
        standard deviation times the quantile of Student's t of ``n_members - 1`` degrees of
        freedom at ``1 - alpha / 2``.
    temperatures_k
        Calibrated temperatures in K, ascending.
    quantiles
        By risk, and then for each calibrated property, one number for each temperature; a
        property without temperature has one. Only their ratios count. The risk ``alpha`` is
        among them.
    """

    alpha: float
    temperatures_k: tuple[float, ...]
    quantiles: Mapping[float, Mapping[Property, Sequence[float]]]

    def factor(self, quantity: Quantity, alpha: float) -> float:
        """Half width of an interval at some risk over that of the prediction.

        Parameters
        ----------
        quantity
            Of one crystal. Between two calibrated temperatures the larger factor is taken.
        alpha
            Accepted risk. Between two known ones the smaller is taken.

        Returns
        -------
        float
            Infinite where nothing is calibrated: for another property, a smaller risk or a
            temperature that lies beyond.
        """
        risk, kind = known_risk(alpha, self.quantiles), quantity.kind
        if risk is None or kind not in self.quantiles[risk]:
            return math.inf
        if kind not in self.quantiles.get(self.alpha, {}):
            return math.inf
        wanted = np.asarray(self.quantiles[risk][kind], dtype=np.float64)
        own = np.asarray(self.quantiles[self.alpha][kind], dtype=np.float64)
        places = self._places(quantity.temperature_k)
        return max((_ratio(wanted[one], own[one]) for one in places), default=math.inf)

    def _places(self, temperature_k: float | None) -> tuple[int, ...]:
        """Places of the calibrated temperatures around one; none where it lies beyond."""
        if temperature_k is None:
            return (0,)
        grid = np.asarray(self.temperatures_k)
        above = int(np.searchsorted(grid, temperature_k - _ROUNDING))
        if above == len(grid):
            return ()
        if abs(grid[above] - temperature_k) <= _ROUNDING:
            return (above,)
        return (above - 1, above) if above > 0 else ()


def _ratio(wanted: float, own: float) -> float:
    """Ratio of two quantiles; one of zero has no multiple, nor has one that is not known."""
    if not (math.isfinite(wanted) and math.isfinite(own)):
        return math.inf
    if wanted == own:
        return 1.0
    return float(wanted / own) if own > 0.0 else math.inf


def spread_of_half_widths(
    half_widths: FloatArray, alpha: float, n_groups: int
) -> ThermodynamicsSpread:
    """Return standard deviations whose Student interval over the groups is the calibrated one.

    Parameters
    ----------
    half_widths
        Of free energy, entropy and heat capacity in the units of the spread, shape
        (curve, temperature).
    alpha
        Risk that they were calibrated at.
    n_groups
        Groups that they were calibrated on.

    Returns
    -------
    ThermodynamicsSpread
        Nothing is known of the lowest frequency.
    """
    from scipy.stats import t

    factor = float(t.ppf(1.0 - 0.5 * alpha, n_groups - 1))
    free_energy, entropy, heat_capacity = (frozen_array(one / factor) for one in half_widths)
    return ThermodynamicsSpread(free_energy, entropy, heat_capacity, None, n_groups)
