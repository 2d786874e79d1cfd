"""Which crystals a network can vouch for: those that it sees much as it sees what it learned from.

A network places every crystal somewhere in the space of its last layer. How far a crystal lies from
the nearest of those it learned from, and how much the members of the ensemble differ over it, are
compared with the same of compositions that no member ever saw.

References
----------
J. P. Janet et al., Chem. Sci. 10, 7913 (2019): distances in the latent space.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.errors import ModelCorruptError
from screening.network_dos.settings import ANEW
from screening.prediction import FloatArray, frozen_array
from screening.uncertainty.conformal import conformal_quantile

__all__ = ["NOVELTY_RISK", "Domain", "disagreement", "fit_domain"]

NOVELTY_RISK = 0.02
"""Share of crystals like those of the training set that each of the two limits may refuse."""

_NEIGHBOURS = 3
_LEAST_SCALE = 1e-6
_ARRAYS = ("mean", "scales", "points")


@dataclass(frozen=True, eq=False)
class Domain:
    """What the training set looks like to the first member of an ensemble.

    Attributes
    ----------
    mean, scales
        Mean and standard deviation of each feature of the last layer, shape (feature,).
    points
        Features of the crystals that were learned from, scaled, shape (crystal, feature).
    distance_limit, disagreement_limit
        What is usual among held-out compositions.
    """

    mean: FloatArray
    scales: FloatArray
    points: FloatArray
    distance_limit: float
    disagreement_limit: float

    def novelty(self, latent: FloatArray, histograms: FloatArray) -> FloatArray:
        """How unlike all that was learned crystals are: above one, beyond what was calibrated.

        Parameters
        ----------
        latent
            Features of the first member, shape (crystal, feature).
        histograms
            Of all members, shape (crystal, member, bin).

        Returns
        -------
        ndarray
            Shape (crystal,).
        """
        far = self._distances(latent) / self.distance_limit
        return np.maximum(far, disagreement(histograms) / self.disagreement_limit)

    def _distances(self, latent: FloatArray) -> FloatArray:
        """Mean distance to the nearest points, shape (crystal,)."""
        rows = (latent - self.mean) / self.scales
        count = min(_NEIGHBOURS, len(self.points))
        found = np.empty(len(rows))
        for place, row in enumerate(rows):
            distances = np.linalg.norm(self.points - row, axis=1)
            found[place] = np.partition(distances, count - 1)[:count].mean()
        return found

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what is not a single number, by name."""
        return {f"domain/{name}": np.asarray(getattr(self, name)) for name in _ARRAYS}

    def as_dict(self) -> dict[str, float]:
        """Return the limits as plain JSON."""
        return {
            "distance_limit": self.distance_limit,
            "disagreement_limit": self.disagreement_limit,
        }

    @classmethod
    def from_stored(cls, values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Domain:
        """Rebuild it.

        Raises
        ------
        ModelCorruptError
            If a part is missing, of another shape or out of its range.
        """
        try:
            own = {name: frozen_array(arrays[f"domain/{name}"]) for name in _ARRAYS}
            limits = [float(values[name]) for name in ("distance_limit", "disagreement_limit")]
        except (KeyError, TypeError, ValueError) as error:
            raise ModelCorruptError(
                f"a part of the domain cannot be read: {error!r}", subject="domain", hint=ANEW
            ) from error
        mean, scales, points = (own[name] for name in _ARRAYS)
        fit = mean.ndim == 1 and scales.shape == mean.shape and points.shape[1:] == mean.shape
        finite = all(np.isfinite(one).all() for one in own.values())
        positive = all(0.0 < one < math.inf for one in limits) and bool(np.all(scales > 0.0))
        if not (fit and len(points) and finite and positive):
            raise ModelCorruptError("the domain is not whole", subject="domain", hint=ANEW)
        return cls(mean, scales, points, *limits)


def disagreement(histograms: FloatArray) -> FloatArray:
    """Mean distance of the members from their mean, in bins that modes are moved, (crystal,)."""
    shares = histograms / histograms.sum(axis=2, keepdims=True)
    difference = np.cumsum(shares - shares.mean(axis=1, keepdims=True), axis=2)
    return np.asarray(np.abs(difference).sum(axis=2).mean(axis=1))


def fit_domain(
    learned: FloatArray, held_out: FloatArray, histograms: FloatArray, groups: Sequence[str]
) -> Domain:
    """Find out what is usual.

    Parameters
    ----------
    learned, held_out
        Features of the first member of crystals that it learned from, and of others, shape
        (crystal, feature).
    histograms
        Of all members for the others, shape (crystal, member, bin).
    groups
        Compositions of the others.
    """
    mean, scales = learned.mean(axis=0), np.maximum(learned.std(axis=0), _LEAST_SCALE)
    points = (learned - mean) / scales
    found = Domain(frozen_array(mean), frozen_array(scales), frozen_array(points), 1.0, 1.0)
    limits = [found._distances(held_out), disagreement(histograms)]  # noqa: SLF001 - its maker
    return Domain(found.mean, found.scales, found.points, *(_limit(one, groups) for one in limits))


def _limit(values: FloatArray, groups: Sequence[str]) -> float:
    """Quantile that few exceed; the largest where there are too few groups for it."""
    found = conformal_quantile(values.tolist(), groups, NOVELTY_RISK)
    return max(found if math.isfinite(found) else float(values.max()), _LEAST_SCALE)
