"""How far predicted densities of states are from reference ones, beside what no model reaches.

The published measure, the mean absolute difference of curves that have their maximum at one, is
small for any prediction, for most bins are empty: it stands beside that of predicting no modes at
all and beside the deviation from the mean. The Wasserstein distance, how far modes must be moved,
is in THz and, unlike the other, tells a peak in the neighbouring bin from one far away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from screening.errors import InconsistentDataError
from screening.metrics import RegressionScores, StabilityScores, regression_scores, stability_scores
from screening.network_dos.grid import FrequencyGrid
from screening.network_dos.properties import DosProperties, DosSettings, dos_properties
from screening.network_dos.scalar_model import ThermalCurves
from screening.prediction import FloatArray, Verdict, frozen_array
from screening.quantities import Property, Quantity

__all__ = [
    "SCORE_TEMPERATURES_K",
    "DosScores",
    "dos_scores",
    "thermal_row",
    "thermal_scores",
    "wasserstein_thz",
]

SCORE_TEMPERATURES_K = (300.0, 1000.0)
"""Where thermodynamic functions are compared."""

_PUBLISHED_MAE = 0.086  # 78 % of the published test set are below


@dataclass(frozen=True, eq=False)
class DosScores:
    """How predicted densities of states compare with reference ones.

    Attributes
    ----------
    count
        Number of crystals.
    mae
        Mean absolute difference over bins and crystals, every curve divided by its maximum.
    zero_mae
        The same of predicting nothing.
    mad
        Mean absolute deviation of the reference from its mean curve.
    fraction_below_published
        Share of the crystals whose own difference is below 0.086.
    wasserstein_thz, median_wasserstein_thz
        Mean and median distance in THz; where nothing is predicted, all modes are taken to lie
        at zero.
    mae_by_crystal, wasserstein_thz_by_crystal
        Of each crystal, shape (crystal,).
    stability
        By the rule for weight below zero.
    n_thermal, n_called_unstable
        Number of crystals that are stable in the reference, of which thermodynamics is compared,
        and how many of them the prediction calls unstable: they count like the others, by the
        modes that it has above zero.
    thermal
        Errors of thermodynamic functions by the name of the quantity, per atom.
    """

    count: int
    mae: float
    zero_mae: float
    mad: float
    fraction_below_published: float
    wasserstein_thz: float
    median_wasserstein_thz: float
    mae_by_crystal: FloatArray
    wasserstein_thz_by_crystal: FloatArray
    stability: StabilityScores
    n_thermal: int
    n_called_unstable: int
    thermal: Mapping[str, RegressionScores]

    @property
    def mae_over_zero(self) -> float | None:
        """Error over that of predicting nothing: below one is better."""
        return self.mae / self.zero_mae if self.zero_mae > 0.0 else None

    @property
    def mae_over_mad(self) -> float | None:
        """Error over the deviation from the mean, None where all references are the same."""
        return self.mae / self.mad if self.mad > 0.0 else None

    def row(self) -> dict[str, float | int | None]:
        """Return a row of a table, plain JSON."""
        return {
            "count": self.count,
            "mae": self.mae,
            "mae_over_zero": self.mae_over_zero,
            "mae_over_mad": self.mae_over_mad,
            "fraction_below_published": self.fraction_below_published,
            "wasserstein_thz": self.wasserstein_thz,
            "median_wasserstein_thz": self.median_wasserstein_thz,
            "recall_of_instability": self.stability.recall_of_instability,
            "n_thermal": self.n_thermal,
            "n_called_unstable": self.n_called_unstable,
        } | thermal_row(self.thermal)


def thermal_row(thermal: Mapping[str, RegressionScores]) -> dict[str, float | int | None]:
    """Return the part of a row of a table that is about thermodynamics, plain JSON."""
    found: dict[str, float | int | None] = {}
    for name, one in thermal.items():
        found |= {f"{name}_mae": one.mae, f"{name}_bias": one.bias, f"{name}_skill": one.skill}
    return found


def dos_scores(
    predicted: ArrayLike,
    reference: ArrayLike,
    grid: FrequencyGrid,
    n_atoms: ArrayLike,
    *,
    curves: ThermalCurves | None = None,
    settings: DosSettings | None = None,
) -> DosScores:
    """Compare predicted with reference densities of states.

    Parameters
    ----------
    predicted, reference
        Modes in each bin, of any normalisation, shape (crystal, bin). Predictions may be zero
        everywhere.
    grid
        The bins.
    n_atoms
        Atoms in the cell of each crystal, shape (crystal,).
    curves
        Reference thermodynamics, from sums over modes for instance; None takes that of the
        reference histograms, and the error of the bins is then not seen.
    settings
        Limits; the temperatures are those of the curves, 300 and 1000 K without them.

    Raises
    ------
    InconsistentDataError
        If there is no crystal, or a reference has no modes.
    WrongShapeError, NonFiniteInputError
        As `screening.network_dos.properties.dos_properties`.
    """
    kelvin = SCORE_TEMPERATURES_K if curves is None else curves.temperatures_k
    chosen = replace(settings or DosSettings(), temperatures_k=kelvin)
    found = dos_properties(predicted, n_atoms, grid, chosen)
    truth = dos_properties(reference, n_atoms, grid, chosen)
    if len(found) != len(truth) or not len(truth) or not truth.histograms.any(axis=1).all():
        raise InconsistentDataError(
            f"cannot compare {len(found)} densities of states with {len(truth)}",
            subject="reference",
            hint="Give a density of states with modes for each of the same crystals",
        )
    ours, theirs = _to_maximum(found.histograms), _to_maximum(truth.histograms)
    by_crystal = np.abs(ours - theirs).mean(axis=1)
    distances = wasserstein_thz(found.histograms, truth.histograms, grid)
    compared = np.flatnonzero(truth.stable & truth.suitable)
    return DosScores(
        count=len(truth),
        mae=float(by_crystal.mean()),
        zero_mae=float(theirs.mean()),
        mad=float(np.abs(theirs - theirs.mean(axis=0)).mean()),
        fraction_below_published=float((by_crystal < _PUBLISHED_MAE).mean()),
        wasserstein_thz=float(distances.mean()),
        median_wasserstein_thz=float(np.median(distances)),
        mae_by_crystal=frozen_array(by_crystal),
        wasserstein_thz_by_crystal=frozen_array(distances),
        stability=stability_scores(_verdicts(found.stable), _verdicts(truth.stable)),
        n_thermal=len(compared),
        n_called_unstable=int((~found.stable[compared]).sum()),
        thermal=thermal_scores(_curves(found), curves or _curves(truth), compared),
    )


def thermal_scores(
    predicted: ThermalCurves, reference: ThermalCurves, chosen: NDArray[np.int64] | None = None
) -> Mapping[str, RegressionScores]:
    """Compare thermodynamic functions, each at each temperature.

    Parameters
    ----------
    predicted, reference
        Curves of the same crystals at the same temperatures.
    chosen
        Which crystals to compare, shape (chosen,); None takes all. With none, there are no
        scores.

    Returns
    -------
    Mapping
        Scores by the name of the quantity.

    Raises
    ------
    InconsistentDataError
        If temperatures or numbers of crystals differ.
    """
    if predicted.temperatures_k != reference.temperatures_k:
        raise InconsistentDataError(
            f"{predicted.temperatures_k} K and {reference.temperatures_k} K",
            subject="temperatures_k",
            hint="Compute both at the same temperatures",
        )
    rows = slice(None) if chosen is None else chosen
    scores: dict[str, RegressionScores] = {}
    if chosen is not None and not len(chosen):
        return MappingProxyType(scores)
    for kind, ours, theirs in _pairs(predicted, reference):
        for place, kelvin in enumerate(predicted.temperatures_k):
            name = Quantity(kind, kelvin).name
            scores[name] = regression_scores(ours[rows, place], theirs[rows, place])
    return MappingProxyType(scores)


def _pairs(
    predicted: ThermalCurves, reference: ThermalCurves
) -> list[tuple[Property, FloatArray, FloatArray]]:
    fields = (
        (Property.HEAT_CAPACITY, "heat_capacity_mev_per_k_per_atom"),
        (Property.ENTROPY, "entropy_mev_per_k_per_atom"),
        (Property.FREE_ENERGY, "free_energy_mev_per_atom"),
    )
    return [(kind, getattr(predicted, name), getattr(reference, name)) for kind, name in fields]


def wasserstein_thz(
    predicted: FloatArray, reference: FloatArray, grid: FrequencyGrid
) -> FloatArray:
    """Mean distance in THz that modes must be moved by, shape (crystal,).

    Parameters
    ----------
    predicted, reference
        Modes in each bin, of any normalisation, shape (crystal, bin). Where all bins are empty,
        all modes are taken to lie at zero.
    grid
        The bins.

    Examples
    --------
    >>> from screening.network_dos.grid import PAPER_GRID
    >>> two = np.eye(len(PAPER_GRID))[[20, 30]]
    >>> wasserstein_thz(two[:1], two[1:], PAPER_GRID).round(3)
    array([5.996])
    """
    ours, theirs = _cumulative(predicted, grid), _cumulative(reference, grid)
    return np.asarray(np.abs(ours - theirs).sum(axis=1) * grid.width_thz)


def _cumulative(histograms: FloatArray, grid: FrequencyGrid) -> FloatArray:
    """Share of the modes up to the end of each bin."""
    filled = np.array(histograms, dtype=np.float64)
    filled[~filled.any(axis=1), grid.zero] = 1.0
    sums = np.cumsum(filled, axis=1)
    return np.asarray(sums / sums[:, -1:])


def _to_maximum(histograms: FloatArray) -> FloatArray:
    """Every curve over its maximum."""
    largest = histograms.max(axis=1, keepdims=True)
    return np.asarray(histograms / np.where(largest > 0.0, largest, 1.0))


def _verdicts(stable: NDArray[np.bool_]) -> list[Verdict]:
    return [Verdict.STABLE if one else Verdict.UNSTABLE for one in stable]


def _curves(properties: DosProperties) -> ThermalCurves:
    return ThermalCurves(
        properties.settings.temperatures_k,
        properties.heat_capacity_mev_per_k_per_atom,
        properties.entropy_mev_per_k_per_atom,
        properties.free_energy_mev_per_atom,
    )
