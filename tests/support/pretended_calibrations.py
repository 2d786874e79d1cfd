"""Calibrations of known width, in place of fitted ones, for tests of what is decided with them."""

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import combinations

from screening.prediction import Verdict
from screening.uncertainty.estimates import estimate_difference, raw_value
from screening.uncertainty.interval import Interval
from screening.uncertainty.risk import StabilityJudgement


@dataclass(frozen=True)
class FixedWidth:
    """The same half width for every quantity of a crystal; infinite where none is named.

    ``half_widths`` by reduced formula; ``band_thz`` is the half width of the abstention band.
    """

    half_widths: dict[str, float] = field(default_factory=dict)
    band_thz: float = 1e9
    novel: frozenset[str] = frozenset()
    tables: Collection[str] = ()

    def _interval(self, value, formula, quantity, alpha):
        half = self.half_widths.get(formula, math.inf)
        return Interval(quantity, value, value - half, value + half, 1.0 - alpha, "fixed")

    def intervals(self, sample, quantities, alpha):
        formula = sample.composition
        return tuple(
            self._interval(raw_value(sample, one), formula, one, alpha) for one in quantities
        )

    def differences(self, samples, quantities, alpha):
        return {
            (first.material_id, second.material_id): tuple(
                self._interval(
                    estimate_difference(first, second, one, 0.0, 1.0).value,
                    first.composition,
                    one,
                    alpha,
                )
                for one in quantities
            )
            for first, second in combinations(samples, 2)
        }

    def stability(self, sample, alpha):  # noqa: ARG002 - the same band for all
        lowest, band = sample.lowest_frequency_thz, self.band_thz
        verdict = Verdict.STABLE if lowest > band else Verdict.UNDETERMINED
        verdict = Verdict.UNSTABLE if lowest < -band else verdict
        return StabilityJudgement(verdict, lowest, band, -band)

    def novelty(self, sample):
        return 2.0 if sample.composition in self.novel else 0.0
