"""How far the curves of crystals are off in cross-validation, against exact sums over a mesh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from screening.errors import TrainingSetError
from screening.linear_entropy.labels import SpectralLabel
from screening.linear_entropy.model_spectrum import shape_of
from screening.linear_entropy.moments import Moments, frequency_moments
from screening.linear_entropy.table import TrainingTable
from screening.linear_entropy.thermal import CURVES, thermal_prediction
from screening.prediction import FloatArray
from screening.thermodynamics import ThermodynamicsSettings
from screening.uncertainty.conformal import conformal_quantile
from screening.uncertainty.own_intervals import risks_with

__all__ = ["ThermalErrors", "spectrum_shape", "thermal_errors"]


@dataclass(frozen=True, eq=False)
class ThermalErrors:
    """Curves of the training crystals, predicted without their group and exact.

    Attributes
    ----------
    temperatures_k
        In K.
    predicted, exact, scales
        Values and standard deviations of `screening.linear_entropy.thermal.CURVES`, shape
        (crystal, curve, temperature); not a number where the moments allow no spectrum.
    """

    temperatures_k: tuple[float, ...]
    predicted: FloatArray
    exact: FloatArray
    scales: FloatArray

    @property
    def scores(self) -> FloatArray:
        """Absolute errors over standard deviations; infinite where there is no spectrum."""
        scores = np.abs(self.predicted - self.exact) / self.scales
        return np.where(np.isfinite(scores), scores, np.inf)

    def quantiles(
        self, groups: Sequence[str], alpha: float
    ) -> dict[float, dict[str, tuple[float, ...]]]:
        """Find the quantile of each curve at each temperature, by risk, where all are finite.

        Raises
        ------
        TrainingSetError
            If there are none at the risk alpha, because the moments of too many crystals allow
            no spectrum.
        """
        every = self.scores.transpose(1, 2, 0)
        found: dict[float, dict[str, tuple[float, ...]]] = {}
        for risk in risks_with(alpha):
            curves = {
                curve: tuple(conformal_quantile(one.tolist(), list(groups), risk) for one in scores)
                for curve, scores in zip(CURVES, every, strict=True)
            }
            if np.isfinite(list(curves.values())).all():
                found[risk] = curves
        if alpha not in found:
            raise TrainingSetError(
                "too many crystals are estimated to have a negative mean square of the"
                " frequencies, or frequencies that cannot be",
                subject="training",
                hint="Give more structures, or a descriptor with fewer features",
            )
        return found


def thermal_errors(table: TrainingTable, moments: Sequence[Moments]) -> ThermalErrors | None:
    """Compare the curves of all crystals; None where labels have no traces or no exact curves."""
    if not table.with_traces or any(one.thermodynamics is None for one in table.labels):
        return None
    first = table.labels[0].thermodynamics
    assert first is not None
    settings = ThermodynamicsSettings(temperatures_k=tuple(first.temperatures_k.tolist()))
    parts = table.folds.tolist()
    shapes = {
        part: spectrum_shape([x for x, of in zip(table.labels, parts, strict=True) if of != part])
        for part in sorted(set(parts))
    }
    rows = zip(table.labels, moments, parts, strict=True)
    stacked = np.array([_curves(label, one, settings, shapes[part]) for label, one, part in rows])
    return ThermalErrors(settings.temperatures_k, stacked[:, 0], stacked[:, 1], stacked[:, 2])


def spectrum_shape(labels: Sequence[SpectralLabel]) -> FloatArray:
    """Mean shape of the spectra of labels, that of a power law where they do not say theirs."""
    known = [x.log_frequency_quantiles for x in labels if x.log_frequency_quantiles is not None]
    return shape_of(known)


def _curves(
    label: SpectralLabel,
    moments: Moments,
    settings: ThermodynamicsSettings,
    shape: FloatArray,
) -> FloatArray:
    """Predicted and exact curves and their scales, shape (3, curve, temperature)."""
    exact = np.array([getattr(label.thermodynamics, curve) for curve in CURVES])
    of_frequencies = frequency_moments(moments, label.system, label.kind)
    if not of_frequencies.has_spectrum:
        return np.array([np.full_like(exact, np.nan), exact, np.ones_like(exact)])
    found = thermal_prediction(of_frequencies, settings, shape)
    predicted = np.array([getattr(found.thermodynamics, curve) for curve in CURVES])
    return np.array([predicted, exact, found.scales])
