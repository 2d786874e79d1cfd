"""Numbers without temperature that follow from an ensemble, with their calibrated intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from screening.network_dos.estimates import Estimates
from screening.prediction import FloatArray, SpectralProperties

__all__ = ["spectral_properties"]

Ends = tuple[float, float]


def spectral_properties(
    estimates: Estimates, half_widths: Mapping[str, FloatArray], coverage: float
) -> tuple[SpectralProperties, ...]:
    """Collect what belongs to each crystal.

    Parameters
    ----------
    estimates
        Of some crystals.
    half_widths
        By name of `screening.network_dos.estimates.SCALARS`, shape (crystal,); those of logarithms
        give intervals with a factor on either side. Infinite where nothing is calibrated.
    coverage
        Intended coverage of these intervals.
    """
    return tuple(_of_one(estimates, half_widths, coverage, one) for one in range(len(estimates)))


def _of_one(
    estimates: Estimates, half_widths: Mapping[str, FloatArray], coverage: float, place: int
) -> SpectralProperties:
    found = estimates.properties
    scatters, stable = bool(estimates.scatters[place]), bool(found.stable[place])
    rate, number = (
        math.exp(float(estimates.scalars[name][place])) if scatters else None
        for name in ("log_isotope_rate", "log_published_isotope_number")
    )
    share, half = float(found.negative_fraction[place]), half_widths["negative_fraction"][place]
    share_ends = _within(share - half, share + half)
    ends = [
        _factors(value, float(half_widths[name][place])) if stable else None
        for value, name in (
            (rate, "log_isotope_rate"),
            (number, "log_published_isotope_number"),
        )
    ]
    return SpectralProperties(
        negative_fraction=share,
        lowest_frequency_thz=float(found.lowest_frequency_thz[place]),
        mean_frequency_thz=float(found.mean_frequency_thz[place]),
        highest_frequency_thz=float(found.highest_frequency_thz[place]),
        debye_temperature_k=float(found.debye_temperature_k[place]),
        cell_debye_temperature_k=float(found.published_debye_temperature_k[place]),
        isotope_rate_ghz=rate,
        isotope_number_ghz_thz=number,
        negative_fraction_ends=share_ends,
        isotope_rate_ends_ghz=ends[0],
        isotope_number_ends_ghz_thz=ends[1],
        coverage=None if share_ends is None and not any(ends) else coverage,
    )


def _within(lower: float, upper: float) -> Ends | None:
    """Return the ends of a share, zero and one at most; None where they are not known."""
    if not (math.isfinite(lower) and math.isfinite(upper)):
        return None
    low, high = np.clip([lower, upper], 0.0, 1.0)
    return float(low), float(high)


def _factors(value: float | None, half_width: float) -> Ends | None:
    """Return the ends of an interval of a logarithm; None where they are not known."""
    if value is None or not half_width < math.log(np.finfo(np.float64).max) - math.log(value):
        return None
    return value * math.exp(-half_width), value * math.exp(half_width)
