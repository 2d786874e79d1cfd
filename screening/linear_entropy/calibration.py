"""Quantiles that turn standard deviations into intervals, and where structures are too new.

References
----------
V. Vovk, Ann. Math. Artif. Intell. 74, 9 (2015): cross-conformal prediction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.linear_entropy.moments import Moments
from screening.prediction import FloatArray
from screening.uncertainty.conformal import conformal_quantile

__all__ = ["Calibration", "calibrate", "held_out_coverage", "quantiles_by_family"]

_FEWEST_GROUPS_OF_A_FAMILY = 30
_LEAST_LEVERAGE = 1e-12
ALL = ""
"""Family that everything belongs to."""


@dataclass(frozen=True)
class Calibration:
    """What cross-validation found out about standard deviations and novelty.

    Attributes
    ----------
    alpha
        Risk of the intervals.
    n_groups
        Number of groups that it rests on.
    quantiles
        By family, with the empty name for all together: half width of an interval over the
        standard deviation.
    row_leverage_limit, atom_leverage_limit
        Largest leverage of a system and of an atom that was seen.
    coherence_limit
        Largest leverage of a system over the square of the sum of those of its atoms; zero
        where the leverage of a system does not grow with the number of its defects.
    temperatures_k, thermal_quantiles
        Temperatures in K, and for each curve the quantiles at them; empty without traces.
    """

    alpha: float
    n_groups: int
    quantiles: Mapping[str, float]
    row_leverage_limit: float
    atom_leverage_limit: float
    coherence_limit: float
    temperatures_k: tuple[float, ...] = ()
    thermal_quantiles: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def quantile(self, family: str = ALL) -> float:
        """Quantile of a family, or that of all where it is too small or unknown."""
        return self.quantiles.get(family, self.quantiles[ALL])

    def novelty(self, moments: Moments) -> float:
        """How new a system is: above 1, newer than all that the quantiles were found on.

        More defects of a kind that was seen are not new: k times as many have k times the
        standard deviation and k^2 times the leverage. Such a leverage is new only where it is
        also out of proportion to the square of what single atoms have.
        """
        row = moments.row_leverage / self.row_leverage_limit
        if self.coherence_limit > 0.0 and row > 1.0:
            row = min(row, _coherence(moments) / self.coherence_limit)
        return max(row, moments.atom_leverage / self.atom_leverage_limit)

    def thermal_quantile(self, curve: str, temperatures_k: FloatArray) -> FloatArray:
        """Quantiles of a curve at any temperatures, linear between those that are known."""
        known = self.thermal_quantiles[curve]
        return np.asarray(np.interp(temperatures_k, self.temperatures_k, known))

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        found = asdict(self)
        curves = self.thermal_quantiles.items()
        return found | {
            "quantiles": [[name, value] for name, value in self.quantiles.items()],
            "temperatures_k": list(self.temperatures_k),
            "thermal_quantiles": {name: list(values) for name, values in curves},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """Take it back from plain JSON."""
        curves = values["thermal_quantiles"].items()
        return cls(
            **{
                **values,
                "quantiles": {str(name): float(value) for name, value in values["quantiles"]},
                "temperatures_k": tuple(values["temperatures_k"]),
                "thermal_quantiles": {name: tuple(one) for name, one in curves},
            }
        )


def calibrate(
    moments: Sequence[Moments],
    errors: FloatArray,
    groups: Sequence[str],
    families: Sequence[str],
    alpha: float,
    *,
    is_extensive: bool = False,
) -> Calibration:
    """Find the quantiles of a cross-validation.

    Parameters
    ----------
    moments
        What each structure was estimated to be without its group.
    errors
        Estimate less truth of the logarithm of the determinant, shape (structure,).
    groups, families
        Of each structure.
    alpha
        Risk.
    is_extensive
        Whether rows are sums over defects and no means over atoms.
    """
    scores = np.abs(errors) / np.array([one.std for one in moments])
    return Calibration(
        alpha=alpha,
        n_groups=len(set(groups)),
        quantiles=quantiles_by_family(scores, groups, families, alpha),
        row_leverage_limit=max(one.row_leverage for one in moments),
        atom_leverage_limit=max(one.atom_leverage for one in moments),
        coherence_limit=max(map(_coherence, moments)) if is_extensive else 0.0,
    )


def _coherence(moments: Moments) -> float:
    """Leverage of a system over the square of the sum of those of its atoms."""
    return moments.row_leverage / max(moments.total_leverage, _LEAST_LEVERAGE) ** 2


def quantiles_by_family(
    scores: FloatArray, groups: Sequence[str], families: Sequence[str], alpha: float
) -> dict[str, float]:
    """Quantiles of all together, and of each family with enough groups.

    Examples
    --------
    >>> names = [str(number) for number in range(39)]
    >>> quantiles_by_family(np.arange(39.0), names, ["a"] * 39, 0.1)
    {'': 35.0, 'a': 35.0}
    """
    found = {ALL: conformal_quantile(scores.tolist(), list(groups), alpha)}
    for family in sorted(set(families) - {ALL}):
        mine = np.array([one == family for one in families])
        own = [group for group, one in zip(groups, mine, strict=True) if one]
        if len(set(own)) >= _FEWEST_GROUPS_OF_A_FAMILY:
            found[family] = conformal_quantile(scores[mine].tolist(), own, alpha)
    return {name: value for name, value in found.items() if math.isfinite(value)}


def held_out_coverage(
    scores: FloatArray,
    groups: Sequence[str],
    families: Sequence[str],
    folds: NDArray[np.int64],
    alpha: float,
) -> NDArray[np.bool_]:
    """Whether each score is within the quantile of the scores of the other parts."""
    inside = np.zeros(len(scores), dtype=bool)
    for part in np.unique(folds):
        rest = np.flatnonzero(folds != part).tolist()
        own = np.flatnonzero(folds == part).tolist()
        limits = quantiles_by_family(
            scores[rest], [groups[k] for k in rest], [families[k] for k in rest], alpha
        )
        inside[own] = [scores[k] <= limits.get(families[k], limits.get(ALL, math.inf)) for k in own]
    return inside
