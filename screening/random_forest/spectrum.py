"""From predicted Hessians to frequencies, and what held-out structures correct in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from screening.acoustic import acoustic_mask
from screening.errors import ModelCorruptError
from screening.hessians import (
    ZERO_MODE_FRACTION,
    RepairOrder,
    repair_hessian,
    without_translations,
    zone_centre_frequencies_thz,
)
from screening.prediction import FloatArray
from screening.random_forest.settings import ANEW
from screening.units import SQRT_EV_PER_ANGSTROM2_AMU_TO_THZ

__all__ = [
    "Spectrum",
    "SpectrumCorrection",
    "correction_from",
    "fit_correction",
    "lowest_optical_thz",
    "spectrum_of",
]

_DEGREE = 2
_LEAST_FRACTION = 0.1  # of an eigenvalue, which a member may not fall below


@dataclass(frozen=True, eq=False)
class SpectrumCorrection:
    """A smooth change of logarithms of frequencies.

    Attributes
    ----------
    coefficients
        Of a polynomial in the logarithm of the frequency in THz, highest power first.
    low, high
        Range of logarithms it was fitted in; beyond it the change stays as at its ends.
    mean_change
        Mean change of the logarithms.
    """

    coefficients: tuple[float, ...] = (0.0,)
    low: float = 0.0
    high: float = 0.0
    mean_change: float = 0.0

    def __call__(self, frequencies_thz: FloatArray) -> FloatArray:
        """Correct frequencies in THz, any shape; those that are not positive stay."""
        positive = frequencies_thz > 0.0
        logarithms = np.log(np.where(positive, frequencies_thz, 1.0))
        change = np.polyval(self.coefficients, np.clip(logarithms, self.low, self.high))
        return np.asarray(np.where(positive, frequencies_thz * np.exp(change), frequencies_thz))


def fit_correction(
    predicted_thz: Sequence[FloatArray], reference_thz: Sequence[FloatArray]
) -> SpectrumCorrection:
    """Fit the mean change of logarithms of frequencies over held-out structures.

    Parameters
    ----------
    predicted_thz, reference_thz
        All frequencies of each structure in THz, ascending; the n-th of one is compared with the
        n-th of the other, low modes left out.
    """
    x, y = [], []
    for predicted, reference in zip(predicted_thz, reference_thz, strict=True):
        high = np.minimum(predicted, reference) > ZERO_MODE_FRACTION * reference.max()
        x.append(np.log(predicted[high]))
        y.append(np.log(reference[high]))
    logarithms, changes = np.concatenate(x), np.concatenate(y) - np.concatenate(x)
    if len(logarithms) <= _DEGREE:
        return SpectrumCorrection()
    found = np.polyfit(logarithms, changes, _DEGREE)
    low, high = np.quantile(logarithms, [0.01, 0.99])
    mean = float(changes.mean())
    return SpectrumCorrection(tuple(map(float, found)), float(low), float(high), mean)


def correction_from(stored: dict[str, Any]) -> SpectrumCorrection:
    """Rebuild a correction from plain JSON.

    Raises
    ------
    ModelCorruptError
        If a number is missing or not finite.
    """
    try:
        found = SpectrumCorrection(
            tuple(map(float, stored["coefficients"])),
            float(stored["low"]),
            float(stored["high"]),
            float(stored["mean_change"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelCorruptError(
            f"the correction of the spectrum cannot be read: {error}", hint=ANEW
        ) from error
    numbers = np.array([*found.coefficients, found.low, found.high, found.mean_change])
    if not found.coefficients or not np.all(np.isfinite(numbers)) or found.low > found.high:
        raise ModelCorruptError("the correction of the spectrum cannot be", hint=ANEW)
    return found


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Modes of one crystal at the zone centre.

    Attributes
    ----------
    frequencies_thz
        Of the repaired Hessian, corrected, ascending, shape (3 site,).
    member_frequencies_thz
        The same for members, to first order in how they differ, shape (member, 3 site).
    lowest_thz, member_lowest_thz
        Lowest optical frequency before negative modes were removed, imaginary negative; of
        the prediction, and of members, shape (member,).
    n_clipped
        Number of negative modes that were removed.
    relative_change
        Frobenius norm of what the repair changed over that of the Hessian as predicted.
    sum_rule_violation_ev_per_angstrom2
        Of the Hessian as predicted.
    """

    frequencies_thz: FloatArray
    member_frequencies_thz: FloatArray
    lowest_thz: float
    member_lowest_thz: FloatArray
    n_clipped: int
    relative_change: float
    sum_rule_violation_ev_per_angstrom2: float


def lowest_optical_thz(frequencies_thz: FloatArray) -> float:
    """Lowest frequency of one cell beside the three nearest to zero.

    Examples
    --------
    >>> lowest_optical_thz(np.array([-3.0, 0.0, 0.0, 0.01, 2.0, 5.0]))
    -3.0
    """
    return float(_lowest_thz(frequencies_thz[None])[0])


def _lowest_thz(frequencies_thz: FloatArray) -> FloatArray:
    """Do the same for each row of many."""
    acoustic = acoustic_mask(frequencies_thz, np.ones(len(frequencies_thz), dtype=bool))
    return np.asarray(np.where(acoustic, np.inf, frequencies_thz).min(axis=1))


def spectrum_of(
    hessians: FloatArray,
    masses_amu: FloatArray,
    order: RepairOrder,
    correction: SpectrumCorrection,
) -> Spectrum:
    """Repair a predicted Hessian and find its modes and their spread.

    Parameters
    ----------
    hessians
        The prediction, then members, shape (1 + member, 3 site + axis, 3 site + axis), eV/Å².
    masses_amu
        Of the sites, shape (site,).
    order
        See `screening.hessians.repair_hessian`.
    correction
        Of frequencies.
    """
    repaired = repair_hessian(hessians[0], order)
    roots = np.repeat(np.sqrt(masses_amu), 3)
    scale = roots[:, None] * roots
    values, vectors = np.linalg.eigh(repaired.hessian / scale)
    lowest = lowest_optical_thz(_thz(values))
    if repaired.n_clipped:
        projected = without_translations(hessians[0])
        lowest = lowest_optical_thz(zone_centre_frequencies_thz(projected, masses_amu))
    moves = vectors / roots[:, None]
    shifts = np.einsum("mij,ij->mj", (hessians[1:] - hessians[0]) @ moves, moves)
    kept = values > (ZERO_MODE_FRACTION**2) * values[-1]
    moved = np.maximum(values + shifts, _LEAST_FRACTION * values)
    members = correction(_thz(np.where(kept, moved, values)))
    return Spectrum(
        frequencies_thz=correction(_thz(values)),
        member_frequencies_thz=np.sort(members, axis=1),
        lowest_thz=float(correction(np.array(lowest))),
        member_lowest_thz=_lowest_thz(members),
        n_clipped=repaired.n_clipped,
        relative_change=repaired.relative_change,
        sum_rule_violation_ev_per_angstrom2=repaired.sum_rule_violation_before,
    )


def _thz(values: FloatArray) -> FloatArray:
    """Frequencies from eigenvalues of a matrix without negative ones but by rounding."""
    return np.asarray(np.sqrt(np.maximum(values, 0.0)) * SQRT_EV_PER_ANGSTROM2_AMU_TO_THZ)
