"""Bands of learned force constants, and of draws from their distribution."""

from __future__ import annotations

from screening.errors import SettingError
from screening.gaussian_process.fit import GaussianProcessFit
from screening.gaussian_process.propagation import left_out_ratio
from screening.harmonic import harmonic_from_force_constants
from screening.prediction import BandStructure
from screening.spectra import DEFAULT_BAND_SPACING_PER_ANGSTROM, band_structure

__all__ = ["sampled_bands"]


def sampled_bands(
    fit: GaussianProcessFit,
    n_samples: int = 16,
    seed: int = 0,
    spacing_per_angstrom: float = DEFAULT_BAND_SPACING_PER_ANGSTROM,
) -> tuple[BandStructure, ...]:
    """Compute the bands of draws from the posterior, along one path.

    Deviations from the mean are widened as in `screening.gaussian_process.propagation`, where
    cells that are left out of the fit are predicted worse than it expects.

    Parameters
    ----------
    fit
        Force constants with their distribution.
    n_samples
        Number of draws.
    seed
        Seed of the draws.
    spacing_per_angstrom
        As in `band_structure`.

    Raises
    ------
    SettingError
        If there is no draw, or the spacing is not positive.
    CellError
        If no path is known for the cell.
    """
    if n_samples < 1:
        raise SettingError(f"{n_samples} draws", subject="n_samples", hint="Give a positive number")
    factor = max(1.0, left_out_ratio(fit))
    known, drawn = fit.posterior.amplitudes(), fit.posterior.sample(n_samples, seed)
    found = []
    for sample in range(n_samples):
        pairs = zip(known, drawn, strict=True)
        amplitudes = tuple(mean + factor * (one[:, sample] - mean) for mean, one in pairs)
        harmonic = harmonic_from_force_constants(fit.expanded(amplitudes))
        found.append(band_structure(harmonic, spacing_per_angstrom))
    return tuple(found)
