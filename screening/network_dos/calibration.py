"""Intervals of what follows from predicted densities of states, found on unseen compositions.

The error of each property is divided by how hard the crystal seems: the standard deviation over the
members of the ensemble plus what that is in the middle of the calibration set, and more for
crystals with much weight at low frequency, whose entropies err most. The quantiles of these ratios
scale them back. Bins have no intervals: they are not what anybody decides by.

References
----------
J. Lei et al., J. Am. Stat. Assoc. 113, 1094 (2018): split conformal intervals with a normaliser.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.errors import ModelCorruptError, TrainingSetError
from screening.network_dos.estimates import CURVES, SCALARS, Estimates, Truth
from screening.network_dos.settings import ANEW
from screening.prediction import FloatArray
from screening.quantities import Property
from screening.uncertainty.conformal import conformal_quantile, fewest_groups
from screening.uncertainty.own_intervals import OwnCalibration, quantiles_at_risks, risks_with

__all__ = ["Calibration", "calibrate", "check_stable", "held_out_coverage"]

_TINY = np.finfo(np.float64).tiny
_FEWEST_GROUPS = 2
_LEAST_SOFT = 0.01  # of all modes


@dataclass(frozen=True)
class Calibration:
    """Quantiles of errors on compositions that no member saw.

    Attributes
    ----------
    temperatures_k
        Where it was made, in K; nothing is claimed beyond.
    alpha
        Risk of the intervals that predictions carry.
    n_groups
        Number of compositions that it rests on.
    risks
        Descending; alpha is among them.
    quantiles
        For each of `screening.network_dos.estimates.CURVES` the quantiles of the ratios, by risk
        and temperature.
    floors
        For each of them what is added to the deviation, by temperature.
    scalar_quantiles
        For each of `screening.network_dos.estimates.SCALARS` the quantiles by risk; fewer, or
        none, where compositions with a value are too few.
    scalar_floors
        What is added to their deviations.
    soft_scale
        Share of modes at low frequency that doubles an interval.
    """

    temperatures_k: tuple[float, ...]
    alpha: float
    n_groups: int
    risks: tuple[float, ...]
    quantiles: Mapping[str, Sequence[Sequence[float]]]
    floors: Mapping[str, Sequence[float]]
    scalar_quantiles: Mapping[str, Mapping[float, float]]
    scalar_floors: Mapping[str, float]
    soft_scale: float

    def half_widths(self, estimates: Estimates) -> dict[str, FloatArray]:
        """Half widths of the curves, by name, shape (crystal, temperature).

        Quantiles are linear between temperatures that are known. Beyond them the nearest stands,
        which calibrates nothing: `own` says where intervals have ends.
        """
        at, kelvin = self.risks.index(self.alpha), estimates.temperatures_k
        found = {}
        for name in CURVES:
            floor = np.interp(kelvin, self.temperatures_k, self.floors[name])
            factor = np.interp(kelvin, self.temperatures_k, self.quantiles[name][at])
            scales = estimates.deviations[name] + floor
            found[name] = factor * scales * _difficulty(estimates, self.soft_scale)[:, None]
        return found

    def scalar_half_widths(self, estimates: Estimates) -> dict[str, FloatArray]:
        """Half widths of the scalars by name, shape (crystal,), infinite where not known."""
        found = {}
        for name in SCALARS:
            factor = self.scalar_quantiles[name].get(self.alpha, math.inf)
            scales = estimates.scalar_deviations[name] + self.scalar_floors[name]
            found[name] = factor * scales * _difficulty(estimates, self.soft_scale)
        return found

    @property
    def own(self) -> OwnCalibration:
        """What the intervals of the curves are worth at other risks."""
        by_risk = {
            risk: {Property(name): tuple(self.quantiles[name][at]) for name in CURVES}
            for at, risk in enumerate(self.risks)
        }
        return OwnCalibration(self.alpha, self.temperatures_k, by_risk)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        scalars = {
            name: list(map(list, one.items())) for name, one in self.scalar_quantiles.items()
        }
        return asdict(self) | {
            "temperatures_k": list(self.temperatures_k),
            "risks": list(self.risks),
            "quantiles": {name: [list(row) for row in one] for name, one in self.quantiles.items()},
            "floors": {name: list(one) for name, one in self.floors.items()},
            "scalar_quantiles": scalars,
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Calibration:
        """Rebuild it.

        Raises
        ------
        ModelCorruptError
            If a number is missing, not finite or out of range.
        """
        try:
            given = dict(stored)
            for name in ("temperatures_k", "risks"):
                given[name] = tuple(map(float, given[name]))
            given["scalar_quantiles"] = {
                name: {float(risk): float(value) for risk, value in given["scalar_quantiles"][name]}
                for name in SCALARS
            }
            found = cls(**given)
            problem = _problem(found)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ModelCorruptError(
                f"the calibration cannot be read: {error!r}", subject="calibration", hint=ANEW
            ) from error
        if problem:
            raise ModelCorruptError(problem, subject="calibration", hint=ANEW)
        return found


def _are_numbers(values: Sequence[object], size: int) -> bool:
    numbers = [one for one in values if isinstance(one, float) and 0.0 <= one < math.inf]
    return len(values) == len(numbers) == size


def _problem(one: Calibration) -> str:
    """Say which number cannot be; empty where all can."""
    n, n_risks = len(one.temperatures_k), len(one.risks)
    ascending = all(a < b for a, b in pairwise(one.temperatures_k))
    falling = all(a > b for a, b in pairwise((1.0, *one.risks, 0.0)))
    curves = all(
        len(one.quantiles[name]) == n_risks
        and all(_are_numbers(row, n) for row in one.quantiles[name])
        and _are_numbers(one.floors[name], n)
        for name in CURVES
    )
    scalars = all(
        _are_numbers([*one.scalar_quantiles[name].values()], len(one.scalar_quantiles[name]))
        for name in SCALARS
    )
    checks = {
        "the temperatures are not ascending numbers": _are_numbers(one.temperatures_k, n)
        and n > 0
        and ascending,
        "the risks are not descending numbers with that of the intervals among them": falling
        and one.alpha in one.risks,
        "there are no two compositions": type(one.n_groups) is int
        and one.n_groups >= _FEWEST_GROUPS,
        "numbers of a curve are missing or cannot be": curves,
        "numbers of a scalar are missing or cannot be": scalars
        and _are_numbers([one.scalar_floors[name] for name in SCALARS], len(SCALARS)),
        "the scale of soft modes is not positive": 0.0 < one.soft_scale < math.inf,
    }
    return next((problem for problem, sound in checks.items() if not sound), "")


def _difficulty(estimates: Estimates, soft_scale: float) -> FloatArray:
    """One, and more where much weight lies at low frequency, shape (crystal,)."""
    return np.asarray(1.0 + estimates.soft_fraction / soft_scale)


@dataclass(frozen=True, eq=False)
class _Scores:
    """Errors over what they are normalised by, and which crystals have them."""

    curves: Mapping[str, FloatArray]
    scalars: Mapping[str, FloatArray]
    thermal: NDArray[np.bool_]
    floors: Mapping[str, FloatArray]
    scalar_floors: Mapping[str, float]
    soft_scale: float


def _scores(estimates: Estimates, truth: Truth) -> _Scores:
    soft = max(float(np.median(estimates.soft_fraction)), _LEAST_SOFT)
    difficulty, thermal = _difficulty(estimates, soft), truth.has_thermodynamics
    curves, floors, scalars, scalar_floors = {}, {}, {}, {}
    for name in CURVES:
        deviations = estimates.deviations[name]
        floors[name] = np.maximum(np.median(deviations[thermal], axis=0), _TINY)
        errors = np.abs(estimates.values[name] - truth.values[name])
        curves[name] = errors / ((deviations + floors[name]) * difficulty[:, None])
    for name, least in SCALARS.items():
        own, there = estimates.scalar_deviations[name], truth.has_scalar[name]
        middle = float(np.median(own[there])) if there.any() else 0.0
        scalar_floors[name] = max(middle, least)
        errors = np.abs(estimates.scalars[name] - truth.scalars[name])
        scalars[name] = errors / ((own + scalar_floors[name]) * difficulty)
    return _Scores(curves, scalars, thermal, floors, scalar_floors, soft)


def _chosen(values: Sequence[str], mask: NDArray[np.bool_]) -> list[str]:
    return [one for one, is_in in zip(values, mask, strict=True) if is_in]


def check_stable(truth: Truth, groups: Sequence[str], alpha: float) -> None:
    """Refuse a calibration set of too few stable crystals; no prediction is needed to know.

    Parameters
    ----------
    truth, groups, alpha
        As in `calibrate`.

    Raises
    ------
    TrainingSetError
        If stable crystals are of too few compositions for intervals with ends.
    """
    found = len(set(_chosen(groups, truth.has_thermodynamics)))
    needed = fewest_groups(alpha)
    if found < needed:
        raise TrainingSetError(
            f"stable crystals of {found} compositions to calibrate on, {needed} are needed",
            subject="training",
            hint="Give more stable crystals, or a larger calibration_fraction",
        )


def calibrate(
    estimates: Estimates, truth: Truth, groups: Sequence[str], alpha: float
) -> Calibration:
    """Find the quantiles.

    Parameters
    ----------
    estimates
        Of crystals that no member saw.
    truth
        Of the same crystals. Thermodynamics is calibrated on those that are stable.
    groups
        Their compositions.
    alpha
        Risk.

    Raises
    ------
    TrainingSetError
        As `check_stable` says.
    """
    check_stable(truth, groups, alpha)
    scores = _scores(estimates, truth)
    own = _chosen(groups, scores.thermal)
    risks = [one for one in risks_with(alpha) if len(set(own)) >= fewest_groups(one)]
    quantiles = {}
    for name in CURVES:
        columns = scores.curves[name][scores.thermal].T
        table = [quantiles_at_risks(column.tolist(), own, risks) for column in columns]
        quantiles[name] = [[column[risk] for column in table] for risk in risks]
    return Calibration(
        temperatures_k=tuple(float(one) for one in estimates.temperatures_k),
        alpha=alpha,
        n_groups=len(set(own)),
        risks=tuple(risks),
        quantiles=quantiles,
        floors={name: [float(x) for x in one] for name, one in scores.floors.items()},
        scalar_quantiles={
            name: quantiles_at_risks(
                scores.scalars[name][there].tolist(), _chosen(groups, there), risks_with(alpha)
            )
            for name, there in truth.has_scalar.items()
        },
        scalar_floors=scores.scalar_floors,
        soft_scale=scores.soft_scale,
    )


def held_out_coverage(
    estimates: Estimates, truth: Truth, groups: Sequence[str], alpha: float, kelvin: float = 300.0
) -> dict[str, float | None]:
    """How often intervals hold the truth within the calibration set.

    Those of each composition are what the others of the same set give. The share is therefore close
    to 1 - alpha by construction, whatever the ensemble is worth: it shows that the intervals are
    computed as they should be, and says nothing of compositions of another kind. For these,
    predict labels that neither members nor calibration saw.

    Parameters
    ----------
    estimates, truth, groups, alpha
        As in `calibrate`.
    kelvin
        Temperature of the curves in K.

    Returns
    -------
    dict
        Fraction of the compositions by name, each left out in turn; None where they are too few.
    """
    scores = _scores(estimates, truth)
    at = int(np.abs(np.asarray(estimates.temperatures_k) - kelvin).argmin())
    found: dict[str, float | None] = {}
    for name in CURVES:
        own = _chosen(groups, scores.thermal)
        found[name] = _left_out(scores.curves[name][scores.thermal, at], own, alpha)
    for name, there in truth.has_scalar.items():
        found[name] = _left_out(scores.scalars[name][there], _chosen(groups, there), alpha)
    return found


def _left_out(scores: FloatArray, groups: Sequence[str], alpha: float) -> float | None:
    """Mean over compositions of the share of their scores within the quantile of the others."""
    names = sorted(set(groups))
    if len(names) - 1 < fewest_groups(alpha):
        return None
    shares = []
    for name in names:
        mine = np.array([one == name for one in groups])
        limit = conformal_quantile(scores[~mine].tolist(), _chosen(groups, ~mine), alpha)
        shares.append(float((scores[mine] <= limit).mean()))
    return float(np.mean(shares))
