"""The bias of a cheap method as a smooth function of chemistry: a Gaussian process on ln s.

What is learned is the logarithm of the scale that brings the frequencies of the cheap method
to the reference. Its prior mean is zero (the cheap method is right); a constant, a linear and
a smooth part follow the data, and what polymorphs of one composition have in common is a part
of its own. The posterior spread grows away from the data and is what intervals are normalised
by; their width comes from the conformal scores of compositions left out, so for a new
composition a wrong prior costs sharpness, never coverage. For a further polymorph of a
calibrated composition the prior's parts ``composition`` and ``noise`` must be about right.

References
----------
Rasmussen, Williams (2006), Gaussian Processes for Machine Learning, chapter 2 and
section 5.4.2 (leaving out).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np

from screening.errors import SettingError
from screening.prediction import FloatArray, frozen_array

__all__ = ["CorrectionPrior", "ScaleCorrection", "fit_correction", "leave_one_group_out"]

_LEAST = 1e-6  # without noise two equal crystals could not differ


@dataclass(frozen=True)
class CorrectionPrior:
    """Standard deviations of the parts of ln s before any data.

    Attributes
    ----------
    constant
        Of the bias that all crystals share.
    linear
        Of the change per unit of each scaled feature.
    smooth, length
        Of the part without a form, and the distance in features over which it changes.
    composition
        Of what the polymorphs of one composition have in common.
    noise
        Of each single crystal.

    Raises
    ------
    SettingError
        If one is negative or not finite, or the length or the noise is zero.
    """

    constant: float = 0.3
    linear: float = 0.1
    smooth: float = 0.15
    length: float = 2.0
    composition: float = 0.08
    noise: float = 0.03

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            least = _LEAST if name in {"length", "noise"} else 0.0
            if not (math.isfinite(value) and value >= least):
                raise SettingError(f"{value} is no standard deviation or length", subject=name)


@dataclass(frozen=True)
class ScaleCorrection:
    """The fitted process.

    Attributes
    ----------
    features
        Of the calibrated crystals, shape (crystal, feature).
    compositions
        Of the same crystals.
    log_scales
        What was observed, shape (crystal,).
    prior
        The prior it was fitted with.
    """

    features: FloatArray
    compositions: tuple[str, ...]
    log_scales: FloatArray
    prior: CorrectionPrior

    @cached_property
    def _precision(self) -> FloatArray:
        """Inverse of the covariance of what was observed, shape (crystal, crystal)."""
        return frozen_array(np.linalg.inv(_observed_covariance(self)))

    def predict(self, features: FloatArray, composition: str) -> tuple[float, float]:
        """Mean and standard deviation of ln s for a crystal that is to be observed.

        Parameters
        ----------
        features
            Shape (feature,).
        composition
            Reduced formula; one that was calibrated is known better.
        """
        prior = self.prior
        own = _covariance(features[None], features[None], prior)[0, 0]
        variance = own + prior.composition**2 + prior.noise**2
        if not self.compositions:
            return 0.0, float(np.sqrt(variance))
        same = np.array([name == composition for name in self.compositions])
        shared = prior.composition**2 * same
        cross = frozen_array(_covariance(features[None], self.features, prior)[0] + shared)
        weights = self._precision @ cross
        mean, reduction = weights @ self.log_scales, weights @ cross
        return float(mean), float(np.sqrt(max(variance - reduction, prior.noise**2)))


def fit_correction(
    features: FloatArray,
    compositions: Sequence[str],
    log_scales: FloatArray,
    prior: CorrectionPrior | None = None,
) -> ScaleCorrection:
    """Condition the process on observed scales.

    Parameters
    ----------
    features
        Shape (crystal, feature).
    compositions
        Reduced formula of each crystal.
    log_scales
        ln s of each crystal, shape (crystal,).
    prior
        Standard deviations before any data.
    """
    return ScaleCorrection(
        frozen_array(features),
        tuple(compositions),
        frozen_array(log_scales),
        prior or CorrectionPrior(),
    )


def leave_one_group_out(correction: ScaleCorrection) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation for each crystal from the other compositions alone.

    These are what a crystal of a new composition would get, so residuals of them are honest
    scores without setting half of the data aside. The inverse of a block of the precision
    matrix is the covariance of the block given the rest, so that one inversion serves all.

    Returns
    -------
    tuple of FloatArray
        Both of shape (crystal,).
    """
    names = np.array(correction.compositions)
    means, deviations = np.zeros(len(names)), np.zeros(len(names))
    precision = correction._precision  # noqa: SLF001 - of this module
    weighted = precision @ correction.log_scales
    for name in dict.fromkeys(correction.compositions):
        group = np.flatnonzero(names == name)
        covariance = np.linalg.inv(precision[np.ix_(group, group)])
        means[group] = correction.log_scales[group] - covariance @ weighted[group]
        deviations[group] = np.sqrt(covariance.diagonal())
    return means, deviations


def _covariance(first: FloatArray, second: FloatArray, prior: CorrectionPrior) -> FloatArray:
    """Covariance of the parts that depend on the features, shape (first, second)."""
    distances = ((first[:, None] - second[None]) ** 2).sum(axis=-1)
    smooth = prior.smooth**2 * np.exp(-distances / (2.0 * prior.length**2))
    found: FloatArray = prior.constant**2 + prior.linear**2 * (first @ second.T) + smooth
    return found


def _observed_covariance(correction: ScaleCorrection) -> FloatArray:
    prior, names = correction.prior, np.array(correction.compositions)
    same = names[:, None] == names[None]
    found: FloatArray = (
        _covariance(correction.features, correction.features, prior)
        + prior.composition**2 * same
        + prior.noise**2 * np.eye(len(names))
    )
    return found
