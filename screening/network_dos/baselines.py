r"""Densities of states that need no network: what a network must beat.

Every baseline is fitted to training labels and answers with modes in each bin, 3N of them over
the bins of each crystal (none at all for the zero prediction).

With the cut-off :math:`\nu_D` Debye's model has the cumulative density of states
:math:`3 (\nu/\nu_D)^3` of an atom; with the dispersion of a chain, :math:`\nu = \nu_D
\sin(\pi q / 2 q_D)` in every direction, it is :math:`3 (\frac{2}{\pi} \arcsin(\nu/\nu_D))^3`.

References
----------
R. Gurunathan, K. Choudhary and F. Tavazza, Phys. Rev. Materials 7, 023803 (2023),
doi:10.1103/PhysRevMaterials.7.023803, compares with both models.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np
from pymatgen.core import Structure

from screening.errors import SettingError, TrainingSetError, WrongShapeError
from screening.network_dos.features import FEATURES, structure_features
from screening.network_dos.grid import FrequencyGrid
from screening.network_dos.labels import DosLabel, check_labels
from screening.network_dos.properties import DosSettings, dos_properties
from screening.prediction import FloatArray, frozen_array
from screening.units import KELVIN_PER_THZ

__all__ = [
    "AnalyticDensity",
    "AnalyticModel",
    "Baseline",
    "GivenDensity",
    "MeanDensity",
    "NearestNeighbours",
    "ZeroDensity",
    "analytic_histograms",
    "debye_frequency_thz",
]

AnalyticModel = Literal["debye", "born_von_karman"]

_DEBYE_FEATURES = tuple(FEATURES.index(name) for name in ("log_mass", "log_volume"))
_TIE = 1e-9  # of the distance: crystals as far as the last neighbour are neighbours too
_MORE = "Give labels of at least one crystal, made on this grid"


class Baseline(Protocol):
    """What predicts densities of states."""

    def predict(self, structures: Sequence[Structure]) -> FloatArray:
        """Predict modes of the cell in each bin, shape (crystal, bin)."""
        ...


@dataclass(frozen=True)
class ZeroDensity:
    """No modes anywhere.

    Attributes
    ----------
    grid
        The bins.
    """

    grid: FrequencyGrid

    def predict(self, structures: Sequence[Structure]) -> FloatArray:
        """Return zeros, shape (crystal, bin)."""
        return np.zeros((len(structures), len(self.grid)))


@dataclass(frozen=True, eq=False)
class MeanDensity:
    """The mean of the training set for every crystal.

    Attributes
    ----------
    shares
        Share of the modes in each bin, shape (bin,).
    """

    shares: FloatArray

    @classmethod
    def fit(cls, labels: Sequence[DosLabel], grid: FrequencyGrid) -> MeanDensity:
        """Average the densities of states of an atom.

        Raises
        ------
        TrainingSetError
            As `screening.network_dos.labels.check_labels`, or if there is no label.
        """
        return cls(frozen_array(_label_shares(labels, grid).mean(axis=0)))

    def predict(self, structures: Sequence[Structure]) -> FloatArray:
        """Predict modes of the cell in each bin, shape (crystal, bin)."""
        return _modes(np.broadcast_to(self.shares, (len(structures), len(self.shares))), structures)


@dataclass(frozen=True, eq=False)
class NearestNeighbours:
    """The mean of the training crystals that look most alike.

    Attributes
    ----------
    features
        Features of `screening.network_dos.features` of the training crystals, divided by the
        scales, shape (crystal, feature).
    scales
        Standard deviations of the features, shape (feature,).
    shares
        Share of the modes of each training crystal in each bin, shape (crystal, bin).
    n_neighbours
        How many; those that are as far as the last one count as well, so that the order of the
        training set does not matter.
    """

    features: FloatArray
    scales: FloatArray
    shares: FloatArray
    n_neighbours: int

    @classmethod
    def fit(
        cls, labels: Sequence[DosLabel], grid: FrequencyGrid, n_neighbours: int = 3
    ) -> NearestNeighbours:
        """Keep the training set.

        Raises
        ------
        TrainingSetError
            As `screening.network_dos.labels.check_labels`, or if there is no label.
        SettingError
            If there is to be no neighbour.
        """
        if n_neighbours < 1:
            raise SettingError(
                f"{n_neighbours} neighbours", subject="n_neighbours", hint="Take at least one"
            )
        shares = _label_shares(labels, grid)
        features = structure_features([one.structure for one in labels])
        spreads = features.std(axis=0)
        scales = np.where(spreads > 0.0, spreads, 1.0)
        return cls(
            frozen_array(features / scales),
            frozen_array(scales),
            frozen_array(shares),
            min(n_neighbours, len(labels)),
        )

    def predict(self, structures: Sequence[Structure]) -> FloatArray:
        """Predict modes of the cell in each bin, shape (crystal, bin)."""
        rows = structure_features(structures) / self.scales
        distances = np.array([np.linalg.norm(self.features - row, axis=1) for row in rows])
        distances = distances.reshape(len(rows), len(self.features))
        last = np.sort(distances, axis=1)[:, self.n_neighbours - 1 : self.n_neighbours]
        near = (distances <= last * (1.0 + _TIE) + _TIE).astype(np.float64)
        return _modes((near @ self.shares) / near.sum(axis=1, keepdims=True), structures)


@dataclass(frozen=True, eq=False)
class AnalyticDensity:
    """A model with one frequency, which is learned from mass and volume.

    Attributes
    ----------
    grid
        The bins.
    model
        Which density of states.
    coefficients
        Logarithm of the Debye temperature in K: a constant, and what multiplies the means of ln
        mass (u) and of ln volume (Å³/atom), shape (3,).
    """

    grid: FrequencyGrid
    model: AnalyticModel
    coefficients: FloatArray

    @classmethod
    def fit(
        cls, labels: Sequence[DosLabel], grid: FrequencyGrid, model: AnalyticModel = "debye"
    ) -> AnalyticDensity:
        """Learn the Debye temperatures that belong to the second moments of the labels.

        Raises
        ------
        TrainingSetError
            As `screening.network_dos.labels.check_labels`, or if no label has weight above zero.
        """
        shares = _label_shares(labels, grid)
        found = dos_properties(shares, np.ones(len(labels), dtype=np.int64), grid, DosSettings())
        usable = found.debye_temperature_k > 0.0
        if not usable.any():
            raise TrainingSetError("no label has weight above zero", subject="labels", hint=_MORE)
        rows = _debye_rows([one.structure for one in labels])[usable]
        targets = np.log(found.debye_temperature_k[usable])
        return cls(grid, model, frozen_array(np.linalg.lstsq(rows, targets, rcond=None)[0]))

    def debye_temperatures_k(self, structures: Sequence[Structure]) -> FloatArray:
        """Predict Debye temperatures in K, shape (crystal,)."""
        return np.asarray(np.exp(_debye_rows(structures) @ self.coefficients))

    def predict(self, structures: Sequence[Structure]) -> FloatArray:
        """Predict modes of the cell in each bin, shape (crystal, bin)."""
        cutoffs = self.debye_temperatures_k(structures) / KELVIN_PER_THZ
        return _modes(analytic_histograms(cutoffs, self.grid, self.model) / 3.0, structures)


@dataclass(frozen=True, eq=False)
class GivenDensity:
    """Densities of states that something else computed, a potential for instance.

    Attributes
    ----------
    histograms
        Modes in each bin, of any normalisation, shape (crystal, bin).

    Raises
    ------
    WrongShapeError
        If they are no matrix.
    """

    histograms: FloatArray

    def __post_init__(self) -> None:
        if np.ndim(self.histograms) != 2:  # noqa: PLR2004 - a matrix
            raise WrongShapeError(
                f"histograms of shape {np.shape(self.histograms)}",
                subject="histograms",
                hint="Give shape (crystal, bin)",
            )
        object.__setattr__(self, "histograms", frozen_array(self.histograms))

    @classmethod
    def of_labels(cls, labels: Sequence[DosLabel]) -> GivenDensity | None:
        """Take what the labels hold of a potential, None where one of them holds nothing."""
        found = [one.prior for one in labels]
        kept = [one for one in found if one is not None]
        return cls(np.array(kept)) if kept and len(kept) == len(found) else None

    def predict(self, structures: Sequence[Structure]) -> FloatArray:
        """Return the modes of the cell in each bin, shape (crystal, bin).

        Raises
        ------
        WrongShapeError
            If the crystals are not those that the histograms belong to.
        """
        if len(structures) != len(self.histograms):
            raise WrongShapeError(
                f"{len(self.histograms)} histograms for {len(structures)} crystals",
                subject="histograms",
                hint="Give the same crystals in the same order",
            )
        totals = self.histograms.sum(axis=1, keepdims=True)
        return _modes(self.histograms / np.where(totals > 0.0, totals, 1.0), structures)


def analytic_histograms(
    cutoffs_thz: FloatArray, grid: FrequencyGrid, model: AnalyticModel = "debye"
) -> FloatArray:
    """Count the modes of an atom in each bin, exactly.

    Parameters
    ----------
    cutoffs_thz
        Highest frequencies in THz, shape (crystal,).
    grid
        The bins. What lies above them is left out, and the rest scaled up.
    model
        ``debye`` or ``born_von_karman``, the latter with the same highest frequency.

    Returns
    -------
    ndarray
        Shape (crystal, bin), 3 over the bins.

    Raises
    ------
    SettingError
        If the model is unknown or a frequency is not positive.

    Examples
    --------
    >>> from screening.network_dos.grid import PAPER_GRID
    >>> analytic_histograms(np.array([10.0]), PAPER_GRID).sum().round(9)
    np.float64(3.0)
    """
    cutoffs = np.asarray(cutoffs_thz, dtype=np.float64)
    if model not in get_args(AnalyticModel):
        raise SettingError(
            f"unknown model {model!r}",
            subject="model",
            hint=f"Choose one of {', '.join(get_args(AnalyticModel))}",
        )
    if not np.all(np.isfinite(cutoffs) & (cutoffs > 0.0)):
        raise SettingError(
            "a highest frequency is not positive", subject="cutoffs_thz", hint="Give it in THz"
        )
    reduced = np.clip(np.asarray(grid.edges_thz) / cutoffs[:, None], 0.0, 1.0)
    wave = reduced if model == "debye" else 2.0 / math.pi * np.arcsin(reduced)
    modes = np.diff(wave**3, axis=1)
    return np.asarray(3.0 * modes / modes.sum(axis=1, keepdims=True))


def debye_frequency_thz(
    sound_velocity_angstrom_thz: float, volume_angstrom3_per_atom: float, *, chain: bool = False
) -> float:
    """Highest frequency in THz that belongs to a sound velocity.

    Parameters
    ----------
    sound_velocity_angstrom_thz
        Mean over directions and polarisations in Å THz, a tenth of a km/s.
    volume_angstrom3_per_atom
        In Å³/atom.
    chain
        For the dispersion of a chain, which bends down to 2/pi of the Debye frequency.

    Raises
    ------
    SettingError
        If one of them is not positive.

    Examples
    --------
    >>> round(debye_frequency_thz(35.0, 16.6), 2)
    8.51
    """
    if not (sound_velocity_angstrom_thz > 0.0 and volume_angstrom3_per_atom > 0.0):
        raise SettingError(
            f"{sound_velocity_angstrom_thz} Å THz and {volume_angstrom3_per_atom} Å³",
            subject="sound_velocity_angstrom_thz",
            hint="Give two positive numbers",
        )
    wave_number = math.cbrt(6.0 * math.pi**2 / volume_angstrom3_per_atom)
    frequency = sound_velocity_angstrom_thz * wave_number / (2.0 * math.pi)
    return 2.0 / math.pi * frequency if chain else frequency


def _debye_rows(structures: Sequence[Structure]) -> FloatArray:
    """Return a constant, ln mass and ln volume, shape (crystal, 3)."""
    features = structure_features(structures)[:, list(_DEBYE_FEATURES)]
    return np.column_stack([np.ones(len(features)), features])


def _label_shares(labels: Sequence[DosLabel], grid: FrequencyGrid) -> FloatArray:
    """Share of the modes of each label in each bin, shape (crystal, bin)."""
    if not labels:
        raise TrainingSetError("there is no label", subject="labels", hint=_MORE)
    check_labels(labels, grid)
    return np.array([one.histogram / one.histogram.sum() for one in labels])


def _modes(shares: FloatArray, structures: Sequence[Structure]) -> FloatArray:
    """Modes of the cells from the shares of the bins, shape (crystal, bin)."""
    counts = np.array([3.0 * len(one) for one in structures])
    return np.asarray(shares * counts[:, None])
