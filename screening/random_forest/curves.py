"""Thermal properties of a predicted spectrum and its members, and those they are held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from screening.prediction import FloatArray, Thermodynamics
from screening.random_forest.spectrum import Spectrum
from screening.thermodynamics import ThermodynamicsSettings
from screening.zone_centre_modes import zone_centre_thermodynamics

__all__ = ["PROPERTIES", "Curves", "curves_of", "mesh_references", "references_of"]

PROPERTIES = ("free_energy", "entropy", "heat_capacity")
_FIELDS = {
    "free_energy": "free_energy_mev_per_atom",
    "entropy": "entropy_mev_per_k_per_atom",
    "heat_capacity": "heat_capacity_mev_per_k_per_atom",
}
_ROUNDING_K = 1e-6


@dataclass(frozen=True, eq=False)
class Curves:
    """What intervals are made of, for one structure.

    Attributes
    ----------
    values, deviations
        Value and native standard deviation of each property, shape (temperature,).
    difficulty
        One, and more where the Hessian needed repair; no unit, and of no extent.
    """

    values: dict[str, FloatArray]
    deviations: dict[str, FloatArray]
    difficulty: float


def curves_of(spectrum: Spectrum, temperatures_k: Sequence[float]) -> Curves:
    """Evaluate a spectrum and its members at some temperatures in K."""
    values = references_of(spectrum.frequencies_thz, temperatures_k)
    members = [references_of(one, temperatures_k) for one in spectrum.member_frequencies_thz]
    deviations = {
        name: np.std([one[name] for one in members], axis=0, ddof=1) for name in PROPERTIES
    }
    share = spectrum.n_clipped / len(spectrum.frequencies_thz)
    return Curves(values, deviations, 1.0 + share + spectrum.relative_change)


def references_of(
    frequencies_thz: FloatArray, temperatures_k: Sequence[float]
) -> dict[str, FloatArray]:
    """Return the properties of the modes of a zone centre."""
    settings = _settings(tuple(temperatures_k))
    found = zone_centre_thermodynamics(frequencies_thz, len(frequencies_thz) // 3, settings)
    return {name: np.asarray(getattr(found, attribute)) for name, attribute in _FIELDS.items()}


@lru_cache(maxsize=4)  # they check themselves, for longer than some sums take
def _settings(temperatures_k: tuple[float, ...]) -> ThermodynamicsSettings:
    return ThermodynamicsSettings(temperatures_k, low_mode_policy="half_mean_optical")


def mesh_references(
    thermodynamics: Thermodynamics | None, temperatures_k: Sequence[float]
) -> dict[str, FloatArray] | None:
    """Return the same properties of known curves, None where a temperature is not among them."""
    if thermodynamics is None:
        return None
    grid = thermodynamics.temperatures_k
    places = np.minimum(
        np.searchsorted(grid, np.array(temperatures_k) - _ROUNDING_K), len(grid) - 1
    )
    if np.abs(grid[places] - temperatures_k).max() > _ROUNDING_K:
        return None
    return {name: getattr(thermodynamics, attribute)[places] for name, attribute in _FIELDS.items()}
