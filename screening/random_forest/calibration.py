"""Half widths that hold the truth with a stated probability, learned from held-out structures.

The error of a structure is divided by how hard it seems: the spread of the members plus what
that spread is in the middle of the training set, more where negative modes were removed or the
sum rule was broken. The quantile of these ratios over held-out structures scales them back.

References
----------
J. Lei et al., J. Am. Stat. Assoc. 113, 1094 (2018): split conformal intervals with a normaliser.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from screening.errors import ModelCorruptError
from screening.prediction import FloatArray
from screening.random_forest.settings import ANEW
from screening.random_forest.spectrum import Spectrum
from screening.thermodynamics import ThermodynamicsSettings
from screening.uncertainty.conformal import conformal_quantile
from screening.zone_centre_modes import zone_centre_thermodynamics

__all__ = [
    "LOWEST",
    "PROPERTIES",
    "Calibration",
    "Curves",
    "calibrate",
    "curves_of",
    "held_out_coverage",
    "references_of",
]

PROPERTIES = ("free_energy", "entropy", "heat_capacity")
LOWEST = "lowest_frequency"
_FIELDS = {
    "free_energy": "free_energy_mev_per_atom",
    "entropy": "entropy_mev_per_k_per_atom",
    "heat_capacity": "heat_capacity_mev_per_k_per_atom",
}


@dataclass(frozen=True, eq=False)
class Curves:
    """What intervals are made of, for one structure.

    Attributes
    ----------
    values, deviations
        Value and native standard deviation of each property, shape (temperature,), and of the
        lowest frequency in THz, shape (1,).
    difficulty
        One, and more where the Hessian needed repair.
    """

    values: dict[str, FloatArray]
    deviations: dict[str, FloatArray]
    difficulty: float


@dataclass(frozen=True)
class Calibration:
    """Quantiles of held-out errors.

    Attributes
    ----------
    temperatures_k
        Where it was made, in K.
    coverage
        Intended probability.
    n_groups
        Number of held-out structures.
    quantiles, floors
        For every property, one number per temperature: quantile of the ratios, and what is
        added to the native deviation; one number for the lowest frequency.
    novelty_limit
        Largest novelty among the held-out structures.
    """

    temperatures_k: tuple[float, ...]
    coverage: float
    n_groups: int
    quantiles: dict[str, list[float]]
    floors: dict[str, list[float]]
    novelty_limit: float

    def half_widths(self, curves: Curves) -> dict[str, FloatArray]:
        """Half widths at the calibrated temperatures, shape (temperature,)."""
        return {
            name: np.array(self.quantiles[name])
            * (deviation + np.array(self.floors[name]))
            * curves.difficulty
            for name, deviation in curves.deviations.items()
        }

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "temperatures_k": list(self.temperatures_k),
            "coverage": self.coverage,
            "n_groups": self.n_groups,
            "quantiles": self.quantiles,
            "floors": self.floors,
            "novelty_limit": self.novelty_limit,
        }

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Calibration:
        """Rebuild it.

        Raises
        ------
        ModelCorruptError
            If numbers are missing or not finite.
        """
        try:
            found = cls(**(stored | {"temperatures_k": tuple(stored["temperatures_k"])}))
            n = len(found.temperatures_k)
            sizes = dict.fromkeys(PROPERTIES, n) | {LOWEST: 1}
            lists = [
                (one[name], size)
                for one in (found.quantiles, found.floors)
                for name, size in sizes.items()
            ]
            sound = all(len(one) == size and all(map(math.isfinite, one)) for one, size in lists)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelCorruptError(
                f"the calibration cannot be read: {error}", hint=ANEW
            ) from error
        if not sound:
            raise ModelCorruptError(
                "the calibration lacks numbers", subject="calibration", hint=ANEW
            )
        return found


def curves_of(spectrum: Spectrum, temperatures_k: Sequence[float]) -> Curves:
    """Evaluate a spectrum and its members at some temperatures in K."""
    values = _properties(spectrum.frequencies_thz, temperatures_k)
    members = [_properties(one, temperatures_k) for one in spectrum.member_frequencies_thz]
    deviations = {
        name: np.std([one[name] for one in members], axis=0, ddof=1) for name in PROPERTIES
    }
    values[LOWEST] = np.array([spectrum.lowest_thz])
    deviations[LOWEST] = np.array([np.std(spectrum.member_lowest_thz, ddof=1)])
    difficulty = 1.0 + spectrum.n_clipped + spectrum.sum_rule_violation_ev_per_angstrom2
    return Curves(values, deviations, difficulty)


def references_of(
    frequencies_thz: FloatArray, lowest_thz: float, temperatures_k: Sequence[float]
) -> dict[str, FloatArray]:
    """Return the true values of the same quantities."""
    return _properties(frequencies_thz, temperatures_k) | {LOWEST: np.array([lowest_thz])}


def _properties(
    frequencies_thz: FloatArray, temperatures_k: Sequence[float]
) -> dict[str, FloatArray]:
    settings = ThermodynamicsSettings(temperatures_k=tuple(temperatures_k))
    found = zone_centre_thermodynamics(frequencies_thz, len(frequencies_thz) // 3, settings)
    return {name: np.asarray(getattr(found, attribute)) for name, attribute in _FIELDS.items()}


def calibrate(
    predicted: Sequence[Curves],
    references: Sequence[dict[str, FloatArray]],
    temperatures_k: Sequence[float],
    coverage: float,
    novelty_limit: float,
) -> Calibration:
    """Calibrate on held-out structures, each its own exchangeable unit.

    Parameters
    ----------
    predicted, references
        Of each held-out structure.
    temperatures_k
        The temperatures of both, in K.
    coverage
        Intended probability.
    novelty_limit
        Largest novelty among them.
    """
    groups = [str(index) for index in range(len(predicted))]
    quantiles: dict[str, list[float]] = {}
    floors: dict[str, list[float]] = {}
    for name in (*PROPERTIES, LOWEST):
        deviations = np.stack([one.deviations[name] for one in predicted])
        floor = np.maximum(np.median(deviations, axis=0), np.finfo(np.float64).tiny)
        ratios = _ratios(predicted, references, name, floor)
        floors[name] = [float(x) for x in floor]
        quantiles[name] = [
            float(conformal_quantile([float(x) for x in column], groups, 1.0 - coverage))
            for column in ratios.T
        ]
    return Calibration(
        tuple(temperatures_k), coverage, len(groups), quantiles, floors, novelty_limit
    )


def _ratios(
    predicted: Sequence[Curves],
    references: Sequence[dict[str, FloatArray]],
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
    calibration: Calibration,
    predicted: Sequence[Curves],
    references: Sequence[dict[str, FloatArray]],
    folds: Sequence[int],
) -> dict[str, float]:
    """Fraction of structures inside of intervals calibrated on the other folds.

    At the temperature nearest to 300 K; infinite intervals hold everything.
    """
    index = int(np.argmin(np.abs(np.array(calibration.temperatures_k) - 300.0)))
    inside: dict[str, list[bool]] = {name: [] for name in (*PROPERTIES, LOWEST)}
    for fold in sorted(set(folds)):
        seen = [i for i, one in enumerate(folds) if one != fold]
        own = calibrate(
            [predicted[i] for i in seen],
            [references[i] for i in seen],
            calibration.temperatures_k,
            calibration.coverage,
            0.0,
        )
        for i in (i for i, one in enumerate(folds) if one == fold):
            widths = own.half_widths(predicted[i])
            for name, found in inside.items():
                at = index if name in PROPERTIES else 0
                error = abs(predicted[i].values[name][at] - references[i][name][at])
                found.append(bool(error <= widths[name][at]))
    return {name: float(np.mean(found)) for name, found in inside.items()}
