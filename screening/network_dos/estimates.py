"""Numbers that follow from an ensemble's densities of states, with their spread, and the true ones.

What an ensemble says is what follows from the mean of its densities of states; how sure it seems is
the standard deviation of the same numbers over its members.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from screening.network_dos.grid import FrequencyGrid
from screening.network_dos.isotope_scattering import isotope_scattering
from screening.network_dos.isotopes import MassVariances, mass_variances
from screening.network_dos.labels import LABEL_TEMPERATURES_K, DosLabel
from screening.network_dos.properties import DosProperties, DosSettings, dos_properties
from screening.network_dos.scalar_model import label_curves
from screening.prediction import FloatArray
from screening.units import THZ_TO_INVERSE_CM

__all__ = ["CURVES", "SCALARS", "Estimates", "Truth", "estimates_of", "truth_of"]

CURVES: Mapping[str, str] = MappingProxyType(
    {
        "free_energy": "free_energy_mev_per_atom",
        "entropy": "entropy_mev_per_k_per_atom",
        "heat_capacity": "heat_capacity_mev_per_k_per_atom",
    }
)
"""Thermodynamic functions, and the fields of results that hold them."""

SCALARS: Mapping[str, float] = MappingProxyType(
    {"log_isotope_rate": 1e-3, "log_published_isotope_number": 1e-3, "negative_fraction": 1e-3}
)
"""Numbers without temperature, and the least deviation that errors of each are divided by."""

_SOFT_INVERSE_CM = 40.0
_ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class Estimates:
    """What an ensemble says of some crystals.

    Attributes
    ----------
    properties
        Of the mean density of states.
    values, deviations
        By name of `CURVES`, value and standard deviation, shape (crystal, temperature).
    scalars, scalar_deviations
        By name of `SCALARS`, shape (crystal,): logarithms of the mean isotope scattering rate in
        GHz and of the published number (zero where isotopes do not scatter), and the share of the
        modes below zero.
    scatters
        Where isotopes scatter, shape (crystal,).
    soft_fraction
        Share of the modes from zero to 40 1/cm, shape (crystal,).
    """

    properties: DosProperties
    values: Mapping[str, FloatArray]
    deviations: Mapping[str, FloatArray]
    scalars: Mapping[str, FloatArray]
    scalar_deviations: Mapping[str, FloatArray]
    scatters: NDArray[np.bool_]
    soft_fraction: FloatArray

    def __len__(self) -> int:
        return len(self.properties)

    @property
    def temperatures_k(self) -> FloatArray:
        """Temperatures in K, shape (temperature,)."""
        return self.properties.temperatures_k


@dataclass(frozen=True, eq=False)
class Truth:
    """The same numbers of labels.

    Attributes
    ----------
    values, scalars
        As in `Estimates`; curves are exact sums over modes where the label holds them.
    has_thermodynamics
        Which crystals are stable, shape (crystal,).
    has_scalar
        By name of `SCALARS`, which crystals have it.
    """

    values: Mapping[str, FloatArray]
    scalars: Mapping[str, FloatArray]
    has_thermodynamics: NDArray[np.bool_]
    has_scalar: Mapping[str, NDArray[np.bool_]]


def estimates_of(
    histograms: FloatArray,
    structures: Sequence[Structure],
    grid: FrequencyGrid,
    temperatures_k: tuple[float, ...] = LABEL_TEMPERATURES_K,
    outside_fraction: FloatArray | None = None,
) -> Estimates:
    """Find what follows from the predictions of an ensemble.

    Parameters
    ----------
    histograms
        Of two members or more, shape (crystal, member, bin).
    structures
        The crystals.
    grid
        The bins.
    temperatures_k
        In K.
    outside_fraction
        Share of the modes outside the window, shape (crystal,), where known.
    """
    settings = DosSettings(temperatures_k=temperatures_k)
    atoms = np.array([len(one) for one in structures], dtype=np.int64)
    variances = _variances(structures)
    shares = histograms / histograms.sum(axis=2, keepdims=True)
    mean = dos_properties(shares.mean(axis=1), atoms, grid, settings, outside_fraction)
    members = [
        dos_properties(shares[:, one], atoms, grid, settings) for one in range(shares.shape[1])
    ]
    by_member = [_scalars(one, variances)[0] for one in members]
    scalars, scatters = _scalars(mean, variances)
    return Estimates(
        properties=mean,
        values={name: getattr(mean, one) for name, one in CURVES.items()},
        deviations={
            name: np.std([getattr(member, one) for member in members], axis=0, ddof=1)
            for name, one in CURVES.items()
        },
        scalars=scalars,
        scalar_deviations={
            name: np.std([one[name] for one in by_member], axis=0, ddof=1) for name in SCALARS
        },
        scatters=scatters,
        soft_fraction=_soft_fraction(mean, grid),
    )


def truth_of(labels: Sequence[DosLabel], grid: FrequencyGrid) -> Truth:
    """Find the true numbers of labels, at `screening.network_dos.labels.LABEL_TEMPERATURES_K`."""
    atoms = np.array([one.n_atoms for one in labels], dtype=np.int64)
    histograms = np.array([one.histogram for one in labels])
    settings = DosSettings(temperatures_k=LABEL_TEMPERATURES_K)
    found = dos_properties(histograms, atoms, grid, settings)
    curves = label_curves(labels, grid, LABEL_TEMPERATURES_K)
    variances = _variances([one.structure for one in labels])
    scalars, scatters = _scalars(found, variances)
    stable = found.stable & found.suitable
    return Truth(
        values={name: getattr(curves, one) for name, one in CURVES.items()},
        scalars=scalars,
        has_thermodynamics=stable,
        has_scalar={
            "log_isotope_rate": scatters & stable,
            "log_published_isotope_number": scatters & stable,
            "negative_fraction": np.ones(len(labels), dtype=bool),
        },
    )


def _variances(structures: Sequence[Structure]) -> MassVariances:
    return mass_variances(
        [np.array([site.specie.Z for site in one], dtype=np.int64) for one in structures]
    )


def _scalars(
    properties: DosProperties, variances: MassVariances
) -> tuple[dict[str, FloatArray], NDArray[np.bool_]]:
    """Scalars by name, and where isotopes scatter."""
    found = isotope_scattering(properties, variances)
    rates = np.where(found.suitable, found.mean_rate_ghz, 1.0)
    numbers = np.where(found.suitable, found.published_number, 1.0)
    scalars = {
        "log_isotope_rate": np.log(rates),
        "log_published_isotope_number": np.log(numbers),
        "negative_fraction": np.asarray(properties.negative_fraction),
    }
    return scalars, found.suitable


def _soft_fraction(properties: DosProperties, grid: FrequencyGrid) -> FloatArray:
    centres = np.asarray(grid.centres_thz) * THZ_TO_INVERSE_CM
    soft = (centres >= -_ROUNDING) & (centres <= _SOFT_INVERSE_CM + _ROUNDING)
    modes = 3.0 * np.asarray(properties.n_atoms)
    return np.asarray(properties.histograms[:, soft].sum(axis=1) / modes)
