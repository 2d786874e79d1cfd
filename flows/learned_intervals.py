"""What the intervals of a trained model are worth in a ladder.

A trained model calibrates itself against what it learned from, which is rarely what decides what
is true: one that learned from a potential knows how far it is from the potential, not how far the
potential is from first principles. Where the ladder holds a calibration of that potential, both
errors are added; where nothing is known of it, or of the model itself, the model settles nothing.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

from flows.trained import training_source
from flows.uncertainty import OwnSpread, Uncalibrated, Uncertainty
from screening.prediction import Verdict
from screening.uncertainty.families import closeness
from screening.uncertainty.interval import Interval
from screening.uncertainty.own_intervals import OwnCalibration
from screening.uncertainty.risk import StabilityJudgement

if TYPE_CHECKING:
    from flows.ladder import Ladder
    from screening.quantities import Quantity
    from screening.uncertainty.samples import Sample

__all__ = ["LearnedFrom", "learned_note", "learned_uncertainty"]

_OWN_SHARE = 0.2
"""Of the risk: the part that the model's own interval takes, which is the cheaper one to widen."""


@dataclass(frozen=True)
class LearnedFrom:
    """A model that learned from a calibrated method: its own error, and that of the method.

    The interval of the calibration is widened by the model's own on either side, so that the
    two risks add up; it is open where the model is not calibrated at so small a risk. It is
    taken at the value that the model predicts, where the correction for the method's bias
    changes the value by a factor near one.

    Attributes
    ----------
    source
        Calibration of the method that it learned from.
    own
        The model's own intervals.
    """

    source: Uncertainty
    own: OwnSpread

    @property
    def tables(self) -> Collection[str]:
        """Names of the quantities that are calibrated."""
        return self.source.tables

    def intervals(
        self, sample: Sample, quantities: Sequence[Quantity], alpha: float
    ) -> tuple[Interval, ...]:
        """Intervals of properties of one crystal, which hold together."""
        bare, own_alpha = replace(sample, spread=None), _OWN_SHARE * alpha
        found = self.source.intervals(bare, quantities, alpha - own_alpha)
        own = self.own.intervals(sample, quantities, own_alpha)
        return tuple(
            _widened(one, add.half_width, alpha) for one, add in zip(found, own, strict=True)
        )

    def differences(
        self, samples: Sequence[Sample], quantities: Sequence[Quantity], alpha: float
    ) -> Mapping[tuple[str, str], tuple[Interval, ...]]:
        """Intervals of the differences of all pairs of polymorphs, which hold together."""
        bare, own_alpha = [replace(one, spread=None) for one in samples], _OWN_SHARE * alpha
        found = self.source.differences(bare, quantities, alpha - own_alpha)
        own = self.own.differences(samples, quantities, own_alpha)
        pairs = [(one.material_id, two.material_id) for one, two in combinations(samples, 2)]
        return {
            pair: tuple(
                _widened(one, add.half_width, alpha)
                for one, add in zip(found[pair], own[pair], strict=True)
            )
            for pair in pairs
            if pair in found
        }

    def stability(self, sample: Sample, alpha: float) -> StabilityJudgement:  # noqa: ARG002 - the same for all
        """Abstain: frequencies of a trained model cannot vouch for stability."""
        lowest = sample.lowest_frequency_thz
        return StabilityJudgement(Verdict.UNDETERMINED, lowest, math.inf, -math.inf)

    def novelty(self, sample: Sample) -> float:
        """Above 1 where the crystal is unlike those of the calibration."""
        return self.source.novelty(sample)


def _widened(one: Interval, half_width: float, alpha: float) -> Interval:
    lower, upper = one.lower - half_width, one.upper + half_width
    return replace(one, lower=lower, upper=upper, coverage=1.0 - alpha)


def learned_uncertainty(
    ladder: Ladder, level: int, calibrations: Mapping[int, Uncertainty], alpha: float
) -> Uncertainty:
    """Return where the intervals of a trained model come from that nobody calibrated.

    Parameters
    ----------
    ladder, level
        The methods, and the place of the model among them.
    calibrations
        Of the other methods, by place.
    alpha
        Accepted risk.
    """
    predictor = ladder.steps[level].predictor
    calibration = getattr(predictor, "own_calibration", None)
    if not isinstance(calibration, OwnCalibration) or not calibration.quantiles:
        return Uncalibrated()
    own, source = OwnSpread(calibration), training_source(predictor)
    places = [place for place, one in enumerate(ladder.steps) if one.predictor.model == source]
    calibrated = next((calibrations[one] for one in places if one in calibrations), None)
    if calibrated is not None:
        return LearnedFrom(calibrated, own)
    return own if _decides(ladder, source, alpha) else Uncalibrated()


def _decides(ladder: Ladder, source: str, alpha: float) -> bool:
    """Whether what a model learned from is what decides what is true, or nothing else does."""
    best = len(ladder.steps) - 1
    if not ladder.standing(best, alpha).is_reference:
        return True
    reference = ladder.steps[best].predictor.model
    return bool(source) and bool(closeness(f"/{source}", f"/{reference}"))


def learned_note(
    ladder: Ladder, level: int, calibrations: Mapping[int, Uncertainty], alpha: float
) -> str:
    """Say what the intervals of a trained model that nobody calibrated are intervals of."""
    step = ladder.steps[level]
    source = training_source(step.predictor) or "what it learned from"
    found = learned_uncertainty(ladder, level, calibrations, alpha)
    if isinstance(found, LearnedFrom):
        return f"{step.name}: intervals are its own, widened by those of {source}"
    if isinstance(found, OwnSpread):
        return f"{step.name}: intervals are its own, and hold against {source} alone"
    calibration = getattr(step.predictor, "own_calibration", None)
    if not isinstance(calibration, OwnCalibration):
        return f"{step.name}: settles nothing, because it carries no calibration of its own"
    if not calibration.quantiles:
        return (
            f"{step.name}: settles nothing, because its intervals hold the zone centre of single "
            "cells; train it on phonons of supercells"
        )
    return (
        f"{step.name}: settles nothing, because how far {source} is from "
        f"{ladder.steps[-1].name} is not known"
    )
