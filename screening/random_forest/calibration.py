"""Half widths that hold the truth with a stated probability, learned from held-out structures.

The error of a structure is divided by how hard it seems: the spread of the members plus what
that spread is in the middle of the training set, more where a repair changed much of the Hessian.
The quantiles of these ratios over held-out structures scale them back. What the truth is depends
on the training set: sums over all wave vectors where every structure has them, else sums over
the modes of the zone centre of the same cell.

References
----------
J. Lei et al., J. Am. Stat. Assoc. 113, 1094 (2018): split conformal intervals with a normaliser.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np

from screening.errors import ModelCorruptError
from screening.novelty_limits import NoveltyLimits
from screening.prediction import FloatArray
from screening.quantities import Property
from screening.random_forest.curves import PROPERTIES, Curves
from screening.random_forest.settings import ANEW, RandomForestSettings
from screening.uncertainty.conformal import conformal_quantile
from screening.uncertainty.own_intervals import OwnCalibration, quantiles_at_risks, risks_with

__all__ = [
    "DISAGREEMENT_RISK",
    "INTERVALS_HOLD",
    "Calibration",
    "Domain",
    "Truth",
    "calibrate",
    "domain_of",
    "held_out_coverage",
]

Truth = Literal["mesh", "zone_centre"]

INTERVALS_HOLD: Mapping[Truth, str] = MappingProxyType(
    {
        "mesh": "intervals hold the sum over all wave vectors, though the values are sums over the"
        " modes of the zone centre",
        "zone_centre": "intervals hold the zone-centre sum of the same cell, not that over all wave"
        " vectors: they settle no decision",
    }
)
"""What the intervals are of, for people."""

DISAGREEMENT_RISK = 0.02
"""Share of crystals like those of the training set that may be refused for it."""
_LEAST_GROUPS = 2  # a spread needs two
_TINY = np.finfo(np.float64).tiny


@dataclass(frozen=True)
class Domain:
    """What a calibration saw: nothing is claimed beyond.

    Attributes
    ----------
    sites_per_cell
        Least and largest number of sites of a cell.
    at_rest
        How unlike crystals at rest of the training set a crystal may be.
    disagreement_limit
        Quantile of `Calibration.disagreement`, which one in fifty exceeds; the largest found
        where there are too few structures.
    """

    sites_per_cell: tuple[int, int]
    at_rest: NoveltyLimits
    disagreement_limit: float


@dataclass(frozen=True)
class Calibration:
    """Quantiles of held-out errors.

    Attributes
    ----------
    temperatures_k
        Where it was made, in K; nothing is claimed beyond.
    coverage
        Intended probability.
    n_groups
        Number of groups of held-out structures.
    truth
        ``mesh`` where errors are those of sums over all wave vectors, ``zone_centre`` where
        they are of the same sum over the modes of the zone centre.
    risks
        Descending; one of them is what the coverage leaves.
    quantiles
        For every property the quantiles of the ratios, by risk and temperature.
    floors
        For every property what is added to the native deviation, by temperature.
    domain
        Which crystals it is for.
    """

    temperatures_k: tuple[float, ...]
    coverage: float
    n_groups: int
    truth: Truth
    risks: tuple[float, ...]
    quantiles: Mapping[str, Sequence[Sequence[float]]]
    floors: Mapping[str, Sequence[float]]
    domain: Domain

    @property
    def alpha(self) -> float:
        """Risk of the intervals."""
        return _risk(self.coverage)

    def half_widths(self, curves: Curves) -> dict[str, FloatArray]:
        """Half widths at the calibrated temperatures, shape (temperature,)."""
        at = self.risks.index(self.alpha)
        return {
            name: np.array(self.quantiles[name][at])
            * (deviation + np.array(self.floors[name]))
            * curves.difficulty
            for name, deviation in curves.deviations.items()
        }

    def disagreement(self, curves: Curves) -> float:
        """How hard a crystal seems beside one in the middle: largest over all curves."""
        return _disagreement(curves, self.floors)

    @property
    def own(self) -> OwnCalibration:
        """What intervals are worth at other risks; of a zone centre alone nothing."""
        rows = enumerate(self.risks) if self.truth == "mesh" else ()
        return OwnCalibration(
            self.alpha,
            self.temperatures_k,
            {
                risk: {Property(name): self.quantiles[name][at] for name in PROPERTIES}
                for at, risk in rows
            },
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        found = asdict(self)
        domain = found["domain"] | {"at_rest": self.domain.at_rest.as_dict()}
        found["domain"] = {name: _plain(one) for name, one in domain.items()}
        return {name: _plain(one) for name, one in found.items()}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Calibration:
        """Rebuild it.

        Raises
        ------
        ModelCorruptError
            If a number is missing, not finite or out of range.
        """
        try:
            given = dict(stored)
            domain = _domain_from(dict(given.pop("domain")))
            for name in ("temperatures_k", "risks"):
                given[name] = tuple(given[name])
            found = cls(**given, domain=domain)
            problem = _problem(found)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ModelCorruptError(
                f"the calibration cannot be read: {error}", hint=ANEW
            ) from error
        if problem:
            raise ModelCorruptError(problem, subject="calibration", hint=ANEW)
        return found


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _risk(coverage: float) -> float:
    """Return what a coverage leaves, without the last digits of the subtraction."""
    return round(1.0 - coverage, 12)


def _domain_from(stored: dict[str, Any]) -> Domain:
    low, high = stored.pop("sites_per_cell")
    limits = NoveltyLimits.from_dict(stored.pop("at_rest"))
    return Domain(sites_per_cell=(low, high), at_rest=limits, **stored)


def _is_number(value: Any, low: float, high: float = math.inf) -> bool:
    usable = isinstance(value, int | float) and not isinstance(value, bool)
    return usable and math.isfinite(value) and low <= value <= high


def _are_numbers(values: object, size: int, low: float) -> bool:
    if not isinstance(values, list | tuple) or len(values) != size:
        return False
    return all(_is_number(one, low) for one in values)


def _ascend(values: Sequence[float]) -> bool:
    return all(a < b for a, b in pairwise(values))


def _problem(one: Calibration) -> str:
    """Say which number cannot be; empty where all can."""
    n, n_risks = len(one.temperatures_k), len(one.risks)
    if not (n and _are_numbers(one.temperatures_k, n, 0.0) and _ascend(one.temperatures_k)):
        return "the temperatures are not ascending numbers"
    if not (_is_number(one.coverage, 0.0, 1.0) and 0.0 < one.coverage < 1.0):
        return "the coverage is no probability"
    falling = _are_numbers(one.risks, n_risks, 0.0) and _ascend(one.risks[::-1])
    if not (falling and one.alpha in one.risks):
        return "the risks are not descending numbers with that of the coverage among them"
    for name in PROPERTIES:
        rows = one.quantiles[name]
        sound = len(rows) == n_risks and all(_are_numbers(row, n, 0.0) for row in rows)
        if not (sound and _are_numbers(one.floors[name], n, 0.0)):
            return f"numbers of {name} are missing or cannot be"
    return _domain_problem(one)


def _domain_problem(one: Calibration) -> str:
    domain = one.domain
    if type(one.n_groups) is not int or one.n_groups < _LEAST_GROUPS:
        return "there are no two groups"
    if one.truth not in get_args(Truth):
        return "it is not said what intervals hold"
    low, high = domain.sites_per_cell
    if not (type(low) is int and type(high) is int and 1 < low <= high):
        return "the sizes of cells are no range"
    if not _is_number(domain.disagreement_limit, 0.0):
        return "the limit of the disagreement is not a finite number"
    return ""


def _floors(predicted: Sequence[Curves]) -> dict[str, list[float]]:
    """Median of the native deviations."""
    found = {}
    for name in PROPERTIES:
        middle = np.median(np.stack([one.deviations[name] for one in predicted]), axis=0)
        found[name] = [float(x) for x in np.maximum(middle, _TINY)]
    return found


def _disagreement(curves: Curves, floors: Mapping[str, Sequence[float]]) -> float:
    worst = 0.0
    for name in PROPERTIES:
        floor = np.array(floors[name])
        known = floor > _TINY  # an entropy at 0 K never errs
        ratios = curves.deviations[name][known] / floor[known]
        worst = max(worst, float(ratios.max(initial=0.0)))
    return (1.0 + worst) * curves.difficulty


def domain_of(predicted: Sequence[Curves], measures: FloatArray, sites: Sequence[int]) -> Domain:
    """Find out which crystals a calibration on held-out structures is for.

    Parameters
    ----------
    predicted
        Of each structure.
    measures
        Of novelty, shape (structure, measure).
    sites
        Number of sites of each cell.
    """
    floors = _floors(predicted)
    return Domain(
        (int(min(sites)), int(max(sites))),
        NoveltyLimits.of(measures),
        _limit([_disagreement(one, floors) for one in predicted], DISAGREEMENT_RISK),
    )


def _limit(scores: list[float], risk: float) -> float:
    """Conformal quantile, or the largest score where there are too few for it."""
    found = conformal_quantile(scores, [str(index) for index in range(len(scores))], risk)
    return min(found, max(scores))


def calibrate(
    predicted: Sequence[Curves],
    references: Sequence[Mapping[str, FloatArray]],
    groups: Sequence[str],
    settings: RandomForestSettings,
    domain: Domain,
    truth: Truth = "zone_centre",
) -> Calibration:
    """Calibrate on held-out structures.

    Parameters
    ----------
    predicted, references
        Of each held-out structure, at the temperatures of the settings.
    groups
        Which structures count as one, by name.
    settings
        Temperatures and coverage.
    domain
        Which crystals it is for.
    truth
        What the references are.
    """
    alpha = _risk(settings.coverage)
    risks = risks_with(alpha)
    floors = _floors(predicted)
    quantiles: dict[str, list[list[float]]] = {}
    for name in PROPERTIES:
        columns = [
            quantiles_at_risks([float(x) for x in column], groups, risks)
            for column in _ratios(predicted, references, name, np.array(floors[name])).T
        ]
        risks = tuple(one for one in risks if one in columns[0])
        quantiles[name] = [[column[one] for column in columns] for one in risks]
    return Calibration(
        settings.temperatures_k,
        settings.coverage,
        len(set(groups)),
        truth,
        risks,
        quantiles,
        floors,
        domain,
    )


def _ratios(
    predicted: Sequence[Curves],
    references: Sequence[Mapping[str, FloatArray]],
    name: str,
    floor: FloatArray,
) -> FloatArray:
    """Errors over how hard structures seem, shape (structure, temperature)."""
    return np.stack(
        [
            np.abs(one.values[name] - truth[name])
            / ((one.deviations[name] + floor) * one.difficulty)
            for one, truth in zip(predicted, references, strict=True)
        ]
    )


def held_out_coverage(
    predicted: Sequence[Curves],
    references: Sequence[Mapping[str, FloatArray]],
    groups: Sequence[str],
    settings: RandomForestSettings,
    folds: Sequence[int],
) -> dict[str, float]:
    """Fraction of structures inside of intervals calibrated on the other folds, at 300 K.

    Infinite intervals hold everything.
    """
    index = int(np.argmin(np.abs(np.array(settings.temperatures_k) - 300.0)))
    inside: dict[str, list[bool]] = {name: [] for name in PROPERTIES}
    for fold in sorted(set(folds)):
        seen = [i for i, one in enumerate(folds) if one != fold]
        curves, truths = [predicted[i] for i in seen], [references[i] for i in seen]
        floors = _floors(curves)
        own = [groups[i] for i in seen]
        for name, found in inside.items():
            floor = np.array(floors[name])
            scores = [float(x) for x in _ratios(curves, truths, name, floor)[:, index]]
            limit = conformal_quantile(scores, own, _risk(settings.coverage))
            there = [i for i, one in enumerate(folds) if one == fold]
            ratios = _ratios(
                [predicted[i] for i in there], [references[i] for i in there], name, floor
            )
            found += [bool(x <= limit) for x in ratios[:, index]]
    return {name: float(np.mean(found)) for name, found in inside.items()}
