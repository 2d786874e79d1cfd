"""Quantiles that turn standard deviations into intervals, and where structures are too new.

References
----------
V. Vovk, Ann. Math. Artif. Intell. 74, 9 (2015): cross-conformal prediction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.errors import ModelCorruptError
from screening.linear_entropy.cells import CellMeasures, CellRange
from screening.linear_entropy.moments import Moments
from screening.linear_entropy.thermal import CURVES
from screening.novelty_limits import NoveltyLimits
from screening.prediction import FloatArray
from screening.quantities import Property
from screening.uncertainty.own_intervals import (
    OwnCalibration,
    known_risk,
    quantiles_at_risks,
    risks_with,
)

__all__ = ["ALL", "Calibration", "calibrate", "held_out_coverage", "quantiles_by_family"]

_ENOUGH_GROUPS_OF_A_FAMILY = 30
_LEAST_LEVERAGE = 1e-12
_PROPERTIES = (Property.FREE_ENERGY, Property.ENTROPY, Property.HEAT_CAPACITY)  # as CURVES
ALL = ""
"""Family that everything belongs to, and of which nothing is said."""


@dataclass(frozen=True)
class Calibration:
    """What cross-validation found out about standard deviations and novelty.

    Attributes
    ----------
    alpha
        Risk of the intervals that predictions carry.
    n_groups
        Number of groups that it rests on.
    quantiles
        By family, with the empty name for all together, and by risk: half width of an interval
        over the standard deviation. A risk is missing where groups are too few for it.
    row_leverage_limit, atom_leverage_limit
        Largest leverage of a system and of an atom that was seen.
    coherence_limit
        Largest leverage of a system over the square of the sum of those of its atoms; zero
        where the leverage of a system does not grow with the number of its defects.
    temperatures_k
        In K, ascending; none without traces.
    thermal_quantiles
        By risk and curve, the quantile at each of these temperatures; empty without traces.
    cluster_sizes
        Smallest and largest number of atoms of the clusters that were seen; None for crystals,
        whose number of atoms is that of the cell they happen to be described in.
    sites_per_cell
        Fewest and most sites of the cells that were seen, of entropies of crystals of which the
        zone centre alone is summed: the modes there are those of one cell. Else None.
    cells
        Sizes and strains of the cells that were seen, of entropies of formation in crystals; else
        None.
    at_rest
        How unlike crystals at rest of the training set a crystal may be, of entropies of
        crystals; else None.

    Raises
    ------
    ModelCorruptError
        If a number is out of its range.
    """

    alpha: float
    n_groups: int
    quantiles: Mapping[str, Mapping[float, float]]
    row_leverage_limit: float
    atom_leverage_limit: float
    coherence_limit: float
    temperatures_k: tuple[float, ...] = ()
    thermal_quantiles: Mapping[float, Mapping[str, tuple[float, ...]]] = field(default_factory=dict)
    cluster_sizes: tuple[int, int] | None = None
    sites_per_cell: tuple[int, int] | None = None
    cells: CellRange | None = None
    at_rest: NoveltyLimits | None = None

    def __post_init__(self) -> None:
        if problem := _problem(self):
            raise ModelCorruptError(
                problem, subject="calibration", hint="Export or train the model again"
            )

    def quantile(self, family: str = ALL, alpha: float | None = None) -> float:
        """Quantile of a family of structures.

        Parameters
        ----------
        family
            Empty where it is not known: then the widest of all families and of all together.
        alpha
            Risk; None takes that of the intervals that predictions carry. Between two known
            ones the smaller counts.

        Returns
        -------
        float
            Infinite at a smaller risk than is known. Where the calibration knows families, they
            are all there is: the quantile of another one is infinite, for nothing is known of
            its errors.
        """
        risk = self.alpha if alpha is None else alpha
        families = [one for name, one in self.quantiles.items() if name != ALL]
        if family == ALL or not families:
            every = _at(self.quantiles[ALL], risk)
            known = [found for one in families if math.isfinite(found := _at(one, risk))]
            return max(every, *known) if known else every
        return _at(self.quantiles.get(family, {}), risk)

    def novelty(
        self, moments: Moments, n_atoms: int | None = None, cell: CellMeasures | None = None
    ) -> float:
        """How new a system is: above 1, newer than all that the quantiles were found on.

        So is a cluster of another size. No leverage shows it, but its surface is another part
        of it, and errors grow with every atom. So is a cell of another size where modes of the
        zone centre alone are summed, and a cell of defects of another size or strain
        (`screening.linear_entropy.cells`).

        More defects of a kind that was seen are not new: k times as many have k times the
        standard deviation and k^2 times the leverage. Such a leverage is new only where it is
        also out of proportion to the square of what single atoms have.
        """
        row = moments.row_leverage / self.row_leverage_limit
        if self.coherence_limit > 0.0 and row > 1.0:
            row = min(row, _coherence(moments) / self.coherence_limit)
        leverage = max(row, moments.atom_leverage / self.atom_leverage_limit)
        if self.cells is not None and cell is not None:
            leverage = max(leverage, self.cells.novelty(cell))
        sizes = self.cluster_sizes or self.sites_per_cell
        if sizes is None or n_atoms is None:
            return leverage
        smallest, largest = sizes
        return max(leverage, n_atoms / largest if n_atoms > largest else smallest / n_atoms)

    def thermal_quantile(self, curve: str, temperatures_k: FloatArray) -> FloatArray:
        """Quantiles of a curve at the risk that predictions carry.

        Linear between temperatures that are known. Beyond them the nearest stands, which
        calibrates nothing: `own_calibration` says where intervals have ends.
        """
        known = self.thermal_quantiles[self.alpha][curve]
        return np.asarray(np.interp(temperatures_k, self.temperatures_k, known))

    def own_calibration(self) -> OwnCalibration:
        """Say what the intervals of crystals are worth at other risks and temperatures.

        Entropy and heat capacity vanish at 0 K together with their scales, and nothing leads
        from there to the lowest temperature above: between the two they have no interval.
        Those of the zone centre of single cells hold no sum over all wave vectors: they are worth
        nothing to a decision.
        """
        if self.sites_per_cell is not None:
            return OwnCalibration(self.alpha, self.temperatures_k, {})
        cold = [kelvin <= 0.0 for kelvin in self.temperatures_k]
        found: dict[float, dict[Property, tuple[float, ...]]] = {}
        for risk, curves in self.thermal_quantiles.items():
            found[risk] = {}
            for kind, name in zip(_PROPERTIES, CURVES, strict=True):
                vanishes = kind is not Property.FREE_ENERGY
                found[risk][kind] = tuple(
                    math.inf if is_cold and vanishes else value
                    for is_cold, value in zip(cold, curves[name], strict=True)
                )
        return OwnCalibration(self.alpha, self.temperatures_k, found)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        thermal = self.thermal_quantiles.items()
        cells = None if self.cells is None else self.cells.as_dict()
        at_rest = None if self.at_rest is None else self.at_rest.as_dict()
        return asdict(self) | {
            "quantiles": [
                [name, [list(pair) for pair in one.items()]] for name, one in self.quantiles.items()
            ],
            "temperatures_k": list(self.temperatures_k),
            "cluster_sizes": None if self.cluster_sizes is None else list(self.cluster_sizes),
            "sites_per_cell": None if self.sites_per_cell is None else list(self.sites_per_cell),
            "cells": cells,
            "at_rest": at_rest,
            "thermal_quantiles": [
                [risk, {name: list(values) for name, values in curves.items()}]
                for risk, curves in thermal
            ],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """Take it back from plain JSON.

        Raises
        ------
        ModelCorruptError
            If a part is missing, of another type or out of its range.
        """
        try:
            thermal = {
                float(risk): {str(name): tuple(map(float, one)) for name, one in curves.items()}
                for risk, curves in values["thermal_quantiles"]
            }
            quantiles = {
                str(name): {float(risk): float(value) for risk, value in one}
                for name, one in values["quantiles"]
            }
            cells, rest = values["cells"], values["at_rest"]
            limits = ("alpha", "row_leverage_limit", "atom_leverage_limit", "coherence_limit")
            return cls(
                n_groups=values["n_groups"],
                quantiles=quantiles,
                temperatures_k=tuple(map(float, values["temperatures_k"])),
                thermal_quantiles=thermal,
                cluster_sizes=_sizes_from(values["cluster_sizes"]),
                sites_per_cell=_sizes_from(values.get("sites_per_cell")),
                cells=None if cells is None else CellRange.from_dict(cells),
                at_rest=None if rest is None else NoveltyLimits.from_dict(rest),
                **{name: float(values[name]) for name in limits},
            )
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise ModelCorruptError(
                f"a part of the calibration cannot be read: {error!r}",
                subject="calibration",
                hint="Export or train the model again",
            ) from error


def _sizes_from(stored: Any) -> tuple[int, int] | None:
    return None if stored is None else (int(stored[0]), int(stored[1]))


def _at(quantiles: Mapping[float, float], alpha: float) -> float:
    """Quantile at the largest known risk that is not above one; infinite without it."""
    risk = known_risk(alpha, quantiles)
    return math.inf if risk is None else quantiles[risk]


def _problem(one: Calibration) -> str:
    """Say what is wrong with the numbers of a calibration; nothing where they are sound."""
    limits = (one.row_leverage_limit, one.atom_leverage_limit)
    risks = [*one.thermal_quantiles, *(risk for found in one.quantiles.values() for risk in found)]
    values = [value for found in one.quantiles.values() for value in found.values()]
    known = one.quantiles.get(ALL, {})
    smallest, largest = one.cluster_sizes or (1, 1)
    fewest, most = one.sites_per_cell or (2, 2)
    checks = {
        "the risk is none": 0.0 < one.alpha < 1.0,
        "the number of groups is not above one": isinstance(one.n_groups, int) and one.n_groups > 1,
        "a limit of leverages is not above zero": all(0.0 < x < math.inf for x in limits),
        "the limit of coherence is negative": 0.0 <= one.coherence_limit < math.inf,
        "a risk of a quantile is none": all(0.0 < risk < 1.0 for risk in risks),
        "a quantile is negative": all(0.0 <= value < math.inf for value in values),
        "no quantile of all at the risk of the intervals": one.alpha in known,
        "the sizes of clusters are no range": 0 < smallest <= largest,
        "the sites of cells are no range": 1 < fewest <= most,
        "the curves and their temperatures do not fit": _fits(one),
    }
    return next((problem for problem, sound in checks.items() if not sound), "")


def _fits(one: Calibration) -> bool:
    """Whether each curve has a quantile at each temperature, at the stated risk at least."""
    grid = one.temperatures_k
    ascending = all(0.0 <= low < high < math.inf for low, high in pairwise(grid))
    if not one.thermal_quantiles or not grid:
        return not one.thermal_quantiles and not grid
    curves = one.thermal_quantiles.values()
    values = [value for found in curves for each in found.values() for value in each]
    return (
        ascending
        and 0.0 <= grid[0] < math.inf
        and one.alpha in one.thermal_quantiles
        and all(set(found) == set(CURVES) for found in curves)
        and all(len(each) == len(grid) for found in curves for each in found.values())
        and all(0.0 <= value < math.inf for value in values)
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
        Whether rows are sums over defects that are known atom by atom, and no means over atoms.
    """
    scores = np.abs(errors) / np.array([one.std for one in moments])
    return Calibration(
        alpha=alpha,
        n_groups=len(set(groups)),
        quantiles=quantiles_by_family(scores, groups, families, risks_with(alpha)),
        row_leverage_limit=max(one.row_leverage for one in moments),
        atom_leverage_limit=max(one.atom_leverage for one in moments),
        coherence_limit=max(map(_coherence, moments)) if is_extensive else 0.0,
    )


def _coherence(moments: Moments) -> float:
    """Leverage of a system over the square of the sum of those of its atoms."""
    return moments.row_leverage / max(moments.total_leverage, _LEAST_LEVERAGE) ** 2


def quantiles_by_family(
    scores: FloatArray, groups: Sequence[str], families: Sequence[str], risks: Sequence[float]
) -> dict[str, dict[float, float]]:
    """Quantiles of all together and of each family, by risk, where there are groups enough.

    The quantile of a family of few groups scatters much: it is never below that of all.

    Examples
    --------
    >>> names = [str(number) for number in range(39)]
    >>> quantiles_by_family(np.arange(39.0), names, ["a"] * 39, [0.1])
    {'': {0.1: 35.0}, 'a': {0.1: 35.0}}
    """
    found = {ALL: quantiles_at_risks(scores.tolist(), list(groups), risks)}
    for family in sorted(set(families) - {ALL}):
        mine = np.array([one == family for one in families])
        own = [group for group, one in zip(groups, mine, strict=True) if one]
        found[family] = quantiles_at_risks(scores[mine].tolist(), own, risks)
        if len(set(own)) < _ENOUGH_GROUPS_OF_A_FAMILY:
            every = found[ALL]
            found[family] = {
                risk: max(value, every.get(risk, math.inf)) for risk, value in found[family].items()
            }
    return found


def held_out_coverage(
    scores: FloatArray,
    groups: Sequence[str],
    families: Sequence[str],
    folds: NDArray[np.int64],
    alpha: float,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Compare each score with the quantile of its family among the scores of the other parts.

    Returns
    -------
    tuple of NDArray
        Whether the score is within it, and whether it is finite, each of shape (score,): an
        open interval holds everything and says nothing.
    """
    inside, closed = np.zeros((2, len(scores)), dtype=bool)
    for part in np.unique(folds):
        rest = np.flatnonzero(folds != part).tolist()
        own = np.flatnonzero(folds == part).tolist()
        limits = quantiles_by_family(
            scores[rest], [groups[k] for k in rest], [families[k] for k in rest], [alpha]
        )
        limit = np.array([_at(limits.get(families[k], {}), alpha) for k in own])
        inside[own], closed[own] = scores[own] <= limit, np.isfinite(limit)
    return inside, closed
