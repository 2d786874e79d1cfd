"""Derivatives of harmonic properties by the squared frequencies of the modes.

With x = h nu / k T and n = 1 / (e^x - 1), the derivatives by the frequency of one mode are

    free energy      h (1/2 + n)
    entropy         -h / T  x n (n + 1)
    heat capacity    h / T  [2 x n (n + 1) - x² n (n + 1) (2 n + 1)]

and those by the squared frequency are these over twice the frequency: smooth functions of the
square, equal for degenerate modes, so that their sums have derivatives even where frequencies
cross.
"""

from __future__ import annotations

import numpy as np

from screening.acoustic import acoustic_mask
from screening.errors import SettingError
from screening.gaussian_process.mode_response import ModeResponse, degenerate_means
from screening.prediction import FloatArray
from screening.quantities import Property, Quantity
from screening.thermodynamics import ThermodynamicsSettings
from screening.units import (
    KELVIN_PER_THZ,
    PLANCK_MEV_PER_THZ,
    SQRT_EV_PER_ANGSTROM2_AMU_TO_THZ,
)

__all__ = ["property_gradient"]

_LARGEST_X = 300.0  # beyond it nothing is excited, and squares of exponentials overflow


def property_gradient(
    response: ModeResponse, quantity: Quantity, settings: ThermodynamicsSettings | None = None
) -> FloatArray:
    """Differentiate a property by the amplitudes of second-order force constants.

    Parameters
    ----------
    response
        Modes and what amplitudes change.
    quantity
        Free energy, entropy or heat capacity at a temperature, or the lowest frequency.
    settings
        What is done with low modes. Which modes are low is taken as fixed.

    Returns
    -------
    ndarray
        In the unit of the quantity over eV/Å², shape (column,); zero where all modes are low,
        for then nothing is summed.

    Raises
    ------
    SettingError
        If the quantity belongs to two crystals, or low modes take half the mean frequency.

    References
    ----------
    A. Togo and I. Tanaka, Scripta Materialia 108, 1 (2015), equations 10 to 13, for the sums.
    """
    settings = settings or ThermodynamicsSettings()
    if quantity.kind.is_difference:
        raise SettingError(
            f"{quantity.name} belongs to two crystals",
            subject="quantity",
            hint="Ask for the property of each",
        )
    if quantity.kind is Property.LOWEST_FREQUENCY:
        return response.gradient(_lowest_slopes(response))
    return response.gradient(_thermal_slopes(response, quantity, settings))


def _lowest_slopes(response: ModeResponse) -> FloatArray:
    """Slopes of the lowest frequency by the squares, shared among degenerate modes."""
    frequencies = response.mesh.frequencies_thz
    acoustic = acoustic_mask(frequencies, response.mesh.is_gamma)
    lowest = np.argmin(np.where(acoustic, np.inf, frequencies))
    slopes = np.zeros(frequencies.shape)
    slopes.flat[lowest] = _root_slope(frequencies).flat[lowest]
    return degenerate_means(slopes, response.squares)


def _thermal_slopes(
    response: ModeResponse, quantity: Quantity, settings: ThermodynamicsSettings
) -> FloatArray:
    """Slopes of a sum over modes by the squares, shape (q, branch)."""
    if settings.low_mode_policy == "half_mean_optical":
        raise SettingError(
            "low modes that take half the mean frequency have no derivative of their own",
            subject="low_mode_policy",
            hint="Use drop or renormalise",
        )
    mesh = response.mesh
    frequencies = mesh.frequencies_thz
    acoustic = acoustic_mask(frequencies, mesh.is_gamma)
    kept = (frequencies > settings.cutoff_thz) & ~acoustic
    counts = np.where(kept, mesh.weights[:, None] / response.harmonic.n_atoms, 0.0)
    if settings.low_mode_policy == "renormalise" and kept.any():
        counts *= mesh.weights.sum() * 3.0 / counts.sum()
    safe = np.where(kept, frequencies, 1.0)
    assert quantity.temperature_k is not None
    slopes = _mode_slopes(safe, quantity.kind, quantity.temperature_k)
    return np.asarray(counts * slopes * _root_slope(safe))


def _root_slope(frequencies_thz: FloatArray) -> FloatArray:
    """Differentiate frequencies in THz by their squares in eV/Å²/amu."""
    safe = np.where(frequencies_thz == 0.0, np.inf, np.abs(frequencies_thz))
    return np.asarray(0.5 * SQRT_EV_PER_ANGSTROM2_AMU_TO_THZ**2 / safe)


def _mode_slopes(frequencies_thz: FloatArray, kind: Property, temperature_k: float) -> FloatArray:
    """Differentiate what a mode contributes by its frequency, in the property's unit per THz."""
    if temperature_k == 0.0:
        still = 0.5 if kind is Property.FREE_ENERGY else 0.0
        return np.full(frequencies_thz.shape, still * PLANCK_MEV_PER_THZ)
    x = np.minimum(frequencies_thz * (KELVIN_PER_THZ / temperature_k), _LARGEST_X)
    n = 1.0 / np.expm1(x)
    if kind is Property.FREE_ENERGY:
        return np.asarray(PLANCK_MEV_PER_THZ * (0.5 + n))
    per_kelvin = PLANCK_MEV_PER_THZ / temperature_k
    product = x * n * (n + 1.0)
    if kind is Property.ENTROPY:
        return np.asarray(-per_kelvin * product)
    return np.asarray(per_kelvin * product * (2.0 - x * (2.0 * n + 1.0)))
