"""What a cheap method's numbers are worth against a better method, learned from pairs.

A calibration holds the bias correction, the domain, and for every quantity the scores of
crystals that both methods have predicted. It answers for any risk alpha. It is plain JSON, so
that it can be stored, exported and shipped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import Any

from screening.digest import digest_of
from screening.errors import InconsistentDataError
from screening.quantities import Property, Quantity
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
from screening.uncertainty.scores import ScoreTable, joint_table, neighbours, tables_of

__all__ = ["DEFAULT_TEMPERATURES_K", "Calibration", "default_quantities"]

DEFAULT_TEMPERATURES_K = (
    *(float(kelvin) for kelvin in range(0, 1001, 100)),
    1200.0,
    1400.0,
)
"""Temperatures in K that are calibrated unless others are asked for."""

_NEW_COMPOSITION = ""
_PAIR = 2


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
class Calibration:
    """A cheap method calibrated against a better one.

    Attributes
    ----------
    cheap_family, reference_family
        The two methods, as :func:`screening.uncertainty.families.method_family` names them.
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

    def n_answered(self, quantities: Sequence[Quantity], alpha: float) -> int:
        """Count the quantities that have finite intervals at a risk, for a crystal it knows."""
        tables = [joint_table(tables_of(self.tables, (one,))) for one in quantities]
        return sum(math.isfinite(table.quantile("", alpha)) for table in tables)

    def novelty(self, sample: Sample) -> float:
        """How far a crystal lies from the calibrated ones; above 1 it is out of the domain.

        Infinite where it holds an element that none of them resembles.
        """
        if self.domain.unknown_elements(sample.composition):
            return math.inf
        return self.domain.novelty(sample.domain_features)

    def interval(self, sample: Sample, quantity: Quantity, alpha: float) -> Interval:
        """Interval of one quantity, see `intervals`."""
        return self.intervals(sample, (quantity,), alpha)[0]

    def intervals(
        self, sample: Sample, quantities: Sequence[Quantity], alpha: float
    ) -> tuple[Interval, ...]:
        """Intervals that together hold the reference's values with a probability of 1 - alpha.

        Parameters
        ----------
        sample
            A prediction by the cheap method.
        quantities
            Properties of one crystal. A temperature between two calibrated ones is judged by
            both.
        alpha
            Risk that any of the intervals misses, strictly between 0 and 1.

        Returns
        -------
        tuple of Interval
            Around the corrected values; around the raw ones and with infinite ends where the
            crystal is out of the domain, its thermodynamics are not valid, or too few
            compositions are calibrated for these quantities.

        Raises
        ------
        InconsistentDataError
            If a temperature lies below the sample's grid.
        """
        table = joint_table(tables_of(self.tables, quantities))
        quantile = table.quantile(sample.chemistry, alpha) if self._knows(sample) else math.inf
        return tuple(self._interval(sample, one, quantile, alpha) for one in quantities)

    def difference(
        self, first: Sample, second: Sample, quantity: Quantity, alpha: float
    ) -> Interval:
        """Interval of the difference of two polymorphs, first minus second, see `differences`."""
        found = self.differences((first, second), (quantity,), alpha)
        return found[first.material_id, second.material_id][0]

    def differences(
        self, samples: Sequence[Sample], quantities: Sequence[Quantity], alpha: float
    ) -> dict[tuple[str, str], tuple[Interval, ...]]:
        """Intervals of all differences of polymorphs, which hold together.

        Calibrated on differences: errors that two polymorphs share cancel, and two intervals
        of single crystals would not know it.

        Parameters
        ----------
        samples
            Predictions of crystals of one composition by the cheap method.
        quantities
            Differences at one or several temperatures.
        alpha
            Risk that any of the intervals misses.

        Returns
        -------
        dict
            Intervals of A_first - A_second by the two materials, for every pair in the order
            given.

        Raises
        ------
        InconsistentDataError
            If the compositions differ, or static energies asked for are missing.
        """
        if len({sample.composition for sample in samples}) > 1:
            names = " and ".join(dict.fromkeys(sample.composition for sample in samples))
            raise InconsistentDataError(
                f"{names} are no polymorphs", subject=", ".join(x.material_id for x in samples)
            )
        table = joint_table(tables_of(self.tables, quantities))
        if len(samples) > _PAIR:
            table = table.worst_of_compositions()
        quantile = table.quantile(samples[0].chemistry, alpha) if samples else math.inf
        known = {sample.material_id: self._knows(sample) for sample in samples}
        return {
            (one.material_id, two.material_id): tuple(
                self._difference(
                    (one, two),
                    quantity,
                    quantile if known[one.material_id] and known[two.material_id] else math.inf,
                    alpha,
                )
                for quantity in quantities
            )
            for one, two in combinations(samples, _PAIR)
        }

    def stability(self, sample: Sample, alpha: float) -> StabilityJudgement:
        """Verdict with at most alpha missed instabilities, or an abstention."""
        return judge_stability(sample.lowest_frequency_thz, self.lowest_frequencies, alpha)

    def _knows(self, sample: Sample) -> bool:
        return sample.thermodynamics.valid and self.novelty(sample) <= 1.0

    def _interval(
        self, sample: Sample, quantity: Quantity, quantile: float, alpha: float
    ) -> Interval:
        features = sample.correction_features
        mean, _ = self.correction.predict(features, sample.composition)
        # Scores come from compositions left out: so does the scale of the error, also for a
        # further polymorph of a calibrated composition.
        _, std = self.correction.predict(features, _NEW_COMPOSITION)
        if math.isfinite(quantile):
            try:
                found = estimate(sample, quantity, mean, std)
            except InconsistentDataError:  # the scaled temperature lies below the grid
                quantile = math.inf
            else:
                return self._closed(found, quantile, quantity, alpha)
        return self._open(estimate(sample, quantity, 0.0, 0.0), quantity, alpha)

    def _difference(
        self, pair: tuple[Sample, Sample], quantity: Quantity, quantile: float, alpha: float
    ) -> Interval:
        if math.isfinite(quantile):
            means = [self.correction.predict(x.correction_features, x.composition)[0] for x in pair]
            shares = [self.shares.get(name, 1.0) for name in neighbours(self.shares, quantity)]
            share = sum(shares) / len(shares) if shares else 1.0
            try:
                found = estimate_difference(*pair, quantity, sum(means) / _PAIR, share)
            except InconsistentDataError:  # raised again below, where it is not the scale's fault
                quantile = math.inf
            else:
                return self._closed(found, quantile, quantity, alpha)
        return self._open(estimate_difference(*pair, quantity, 0.0, 1.0), quantity, alpha)

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
