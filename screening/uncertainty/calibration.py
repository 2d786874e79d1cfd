"""What a cheap method's numbers are worth against a better method, learned from pairs.

A calibration holds the bias correction, the domain, and for every quantity the scores of
crystals that both methods have predicted. It answers for any risk alpha. It is plain JSON, so
that it can be stored, exported and shipped.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from screening.digest import digest_of
from screening.errors import InconsistentDataError
from screening.quantities import Property, Quantity
from screening.uncertainty.conformal import conformal_quantile, fewest_groups
from screening.uncertainty.correction import ScaleCorrection
from screening.uncertainty.domain import Domain
from screening.uncertainty.estimates import (
    Estimate,
    estimate,
    estimate_difference,
)
from screening.uncertainty.interval import Interval
from screening.uncertainty.risk import LowestFrequencies, StabilityJudgement, judge_stability
from screening.uncertainty.samples import Sample

__all__ = ["DEFAULT_TEMPERATURES_K", "Calibration", "ScoreTable", "default_quantities"]

DEFAULT_TEMPERATURES_K = (0.0, 100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 800.0, 1000.0)
"""Temperatures in K that are calibrated unless others are asked for."""

MIN_GROUPS_PER_CLASS = 30
"""A chemistry with fewer compositions is judged by the scores of all."""

_NEW_COMPOSITION = ""


def default_quantities(
    temperatures_k: tuple[float, ...] = DEFAULT_TEMPERATURES_K,
) -> tuple[Quantity, ...]:
    """All properties at these temperatures, and the lowest frequency."""
    thermal = [kind for kind in Property if kind is not Property.LOWEST_FREQUENCY]
    return (
        Quantity(Property.LOWEST_FREQUENCY),
        *(Quantity(kind, t) for kind in thermal for t in temperatures_k),
    )


@dataclass(frozen=True)
class ScoreTable:
    """Normalised absolute errors of one quantity.

    Attributes
    ----------
    scores
        |reference - corrected| / deviation, each from a correction without its composition.
    compositions, classes
        Reduced formula and chemistry class of each score.
    """

    scores: tuple[float, ...] = ()
    compositions: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()

    def quantile(self, chemistry: str, alpha: float) -> float:
        """Quantile in the class of a chemistry, in all classes together where it is small."""
        groups: dict[str, set[str]] = defaultdict(set)
        for name, composition in zip(self.classes, self.compositions, strict=True):
            groups[name].add(composition)
        least = max(MIN_GROUPS_PER_CLASS, fewest_groups(alpha))
        own = len(groups[chemistry]) >= least
        kept = [i for i, name in enumerate(self.classes) if not own or name == chemistry]
        return conformal_quantile(
            [self.scores[i] for i in kept], [self.compositions[i] for i in kept], alpha
        )


@dataclass(frozen=True)
class Calibration:
    """A cheap method calibrated against a better one.

    Attributes
    ----------
    cheap_family, reference_family
        The two methods, as :func:`stores.builders.phases.method_of` names them or as a user
        does.
    correction
        Bias of the frequencies; empty where no pair was usable.
    domain
        Which crystals were calibrated.
    tables
        Scores by the name of the quantity.
    shares
        By the name of a difference, the slope of the reference's differences over the
        predicted ones.
    lowest_frequencies
        Of crystals whose verdict by the better method is known.
    material_ids
        The crystals of all pairs, sorted.
    skipped
        Pairs that could not be used, by reason.
    """

    cheap_family: str
    reference_family: str
    correction: ScaleCorrection
    domain: Domain
    tables: Mapping[str, ScoreTable]
    shares: Mapping[str, float] = field(default_factory=dict)
    lowest_frequencies: LowestFrequencies = field(default_factory=LowestFrequencies)
    material_ids: tuple[str, ...] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def calibration_id(self) -> str:
        """SHA-256 of everything the calibration holds."""
        return digest_of(self.as_dict())

    @property
    def n_compositions(self) -> int:
        """Number of exchangeable units behind the thermal scores."""
        return len(set(self.correction.compositions))

    def novelty(self, sample: Sample) -> float:
        """How far a crystal lies from the calibrated ones; above 1 it is out of the domain."""
        return self.domain.novelty(sample.domain_features)

    def interval(self, sample: Sample, quantity: Quantity, alpha: float) -> Interval:
        """Interval that holds the reference's value with a probability of 1 - alpha.

        Parameters
        ----------
        sample
            A prediction by the cheap method.
        quantity
            A property of one crystal.
        alpha
            Risk, strictly between 0 and 1.

        Returns
        -------
        Interval
            Around the corrected value; around the raw one and with infinite ends where the
            crystal is out of the domain, its thermodynamics are not valid, or too few
            compositions are calibrated for this quantity.
        """
        quantile = self._quantile(sample, quantity, alpha)
        if not math.isfinite(quantile):
            return self._open(estimate(sample, quantity, 0.0, 0.0), quantity, alpha)
        features = sample.correction_features
        mean, _ = self.correction.predict(features, sample.composition)
        # Scores come from compositions left out: so does the scale of the error, also for a
        # further polymorph of a calibrated composition.
        _, std = self.correction.predict(features, _NEW_COMPOSITION)
        return self._closed(estimate(sample, quantity, mean, std), quantile, quantity, alpha)

    def difference(
        self, first: Sample, second: Sample, quantity: Quantity, alpha: float
    ) -> Interval:
        """Interval of a difference, first minus second, between polymorphs.

        Calibrated on differences: errors that two polymorphs share cancel, and two intervals
        of single crystals would not know it.

        Raises
        ------
        InconsistentDataError
            If the two have different compositions, or lack the static energies asked for.
        """
        if first.composition != second.composition:
            raise InconsistentDataError(
                f"{first.composition} and {second.composition} are no polymorphs",
                subject=f"{first.material_id}, {second.material_id}",
            )
        quantile = max(self._quantile(x, quantity, alpha) for x in (first, second))
        if not math.isfinite(quantile):
            raw = estimate_difference(first, second, quantity, 0.0, 1.0)
            return self._open(raw, quantity, alpha)
        mean = sum(
            self.correction.predict(x.correction_features, x.composition)[0]
            for x in (first, second)
        )
        share = self.shares.get(quantity.name, 1.0)
        corrected = estimate_difference(first, second, quantity, mean / 2.0, share)
        return self._closed(corrected, quantile, quantity, alpha)

    def stability(self, sample: Sample, alpha: float) -> StabilityJudgement:
        """Verdict with at most alpha missed instabilities, or an abstention."""
        return judge_stability(sample.lowest_frequency_thz, self.lowest_frequencies, alpha)

    def _quantile(self, sample: Sample, quantity: Quantity, alpha: float) -> float:
        """Quantile of the scores for this crystal; infinite where nothing is known."""
        table = self.tables.get(quantity.name, ScoreTable())
        quantile = table.quantile(sample.chemistry, alpha)
        if not (math.isfinite(quantile) and sample.thermodynamics.valid):
            return math.inf
        return quantile if self.novelty(sample) <= 1.0 else math.inf

    def _closed(
        self, found: Estimate, quantile: float, quantity: Quantity, alpha: float
    ) -> Interval:
        half = quantile * found.deviation
        return Interval(
            quantity,
            found.value,
            found.value - half,
            found.value + half,
            1.0 - alpha,
            self.calibration_id,
        )

    def _open(self, found: Estimate, quantity: Quantity, alpha: float) -> Interval:
        return Interval(
            quantity, found.value, -math.inf, math.inf, 1.0 - alpha, self.calibration_id
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain finite JSON from which `from_dict` makes an equal calibration."""
        from screening.uncertainty.serialization import calibration_as_dict

        return calibration_as_dict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """Read what `as_dict` wrote.

        Raises
        ------
        InconsistentDataError
            If it is something else.
        """
        from screening.uncertainty.serialization import calibration_from_dict

        return calibration_from_dict(values)
