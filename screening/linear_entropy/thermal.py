"""Thermodynamics of a crystal from the two moments, and what an error of the moments does to it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from screening.linear_entropy.model_spectrum import (
    ModelSpectrum,
    model_spectrum,
    spectrum_thermodynamics,
    with_translations,
)
from screening.linear_entropy.moments import FrequencyMoments
from screening.prediction import FloatArray, Thermodynamics
from screening.thermodynamics import ThermodynamicsSettings
from screening.units import BOLTZMANN_MEV_PER_K, KELVIN_PER_THZ

__all__ = ["CURVES", "ThermalPrediction", "thermal_prediction"]

CURVES = (
    "free_energy_mev_per_atom",
    "entropy_mev_per_k_per_atom",
    "heat_capacity_mev_per_k_per_atom",
)
"""Fields of `screening.prediction.Thermodynamics` that get a spread."""

_LARGEST_X = 700.0
_LEAST_RESPONSE = 1e-9


@dataclass(frozen=True, eq=False)
class ThermalPrediction:
    """Curves of a crystal and how far each moves with the moments.

    Attributes
    ----------
    thermodynamics
        The curves, per atom.
    scales
        Standard deviation of each of `CURVES`, shape (curve, temperature), to first order and
        before calibration.
    spectrum
        The model spectrum.
    """

    thermodynamics: Thermodynamics
    scales: FloatArray
    spectrum: ModelSpectrum


def thermal_prediction(
    moments: FrequencyMoments, settings: ThermodynamicsSettings, shape: FloatArray | None = None
) -> ThermalPrediction:
    """Sum the model spectrum that has two moments.

    With all frequencies times c, F(T) becomes c F(T/c): the derivative of F by ln c is the
    internal energy, that of the entropy minus the heat capacity, and that of the heat capacity
    minus T dC/dT. The heat capacity also follows the width of the spectrum.

    Parameters
    ----------
    moments
        Of all frequencies. Translations at the zone centre count as
        `screening.zone_centre_modes` says, at half of the mean of the others.
    settings
        Temperatures.
    shape
        As `screening.linear_entropy.model_spectrum.model_spectrum` takes it.
    """
    share = moments.translation_share
    if share > 0.0:
        settings = replace(settings, low_mode_policy="half_mean_optical")
    spectrum = model_spectrum(moments.mean_log_thz, moments.root_mean_square_thz, shape)
    spectrum = with_translations(spectrum, share)
    found = spectrum_thermodynamics(spectrum, settings)
    first = moments.mean_log_std
    second = float(np.hypot(first, moments.log_root_mean_square_std))
    scales = np.array(
        [
            first * found.internal_energy_mev_per_atom,
            first * found.heat_capacity_mev_per_k_per_atom,
            second * _heat_capacity_slope(spectrum, found.temperatures_k),
        ]
    )
    return ThermalPrediction(found, np.maximum(scales, _LEAST_RESPONSE * first), spectrum)


def _heat_capacity_slope(spectrum: ModelSpectrum, temperatures_k: FloatArray) -> FloatArray:
    """T dC/dT in meV/K/atom, shape (temperature,)."""
    kelvin = np.maximum(temperatures_k, np.finfo(float).tiny)
    with np.errstate(over="ignore"):
        x = np.minimum(spectrum.frequencies_thz[:, None] * (KELVIN_PER_THZ / kelvin), _LARGEST_X)
    half = 0.5 * x
    capacity = (half / np.sinh(half)) ** 2
    slopes = capacity * (x / np.tanh(half) - 2.0)
    return np.asarray(3.0 * BOLTZMANN_MEV_PER_K * (spectrum.weights @ slopes))
