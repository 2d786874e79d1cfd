"""Where decisions get their intervals from: a calibration, the method itself, or nothing."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import ClassVar, Protocol

import numpy as np

from flows.calibrating import calibration_note, find_calibration
from flows.ladder import Ladder
from screening.decisions.evidence import exact_interval
from screening.decisions.questions import GroupQuestion, Question
from screening.prediction import Verdict
from screening.predictors.interface import Predictor, Tier
from screening.quantities import Property, Quantity
from screening.stability import CRITERIA, DEFAULT_CRITERION
from screening.uncertainty.calibration import (
    DEFAULT_TEMPERATURES_K,
    Calibration,
    default_quantities,
)
from screening.uncertainty.estimates import estimate, estimate_difference, raw_value
from screening.uncertainty.interval import Interval, opened
from screening.uncertainty.own_intervals import OwnCalibration
from screening.uncertainty.risk import StabilityJudgement
from screening.uncertainty.samples import Sample
from stores.builders.calibrations import build_calibrations
from stores.connect import Database

__all__ = [
    "MAX_TEMPERATURES",
    "OwnSpread",
    "Reference",
    "Uncalibrated",
    "Uncertainty",
    "calibrate_for",
    "load_calibrations",
    "notes_on_calibrations",
    "temperatures_of",
]

MAX_TEMPERATURES = 11
"""Polymorphs are compared at no more temperatures than this."""

_DIFFERENCES = (Property.FREE_ENERGY_DIFFERENCE, Property.RELATIVE_FREE_ENERGY)


class Uncertainty(Protocol):
    """What decisions ask of a calibration."""

    @property
    def tables(self) -> Collection[str]:
        """Names of the quantities that are calibrated."""

    def intervals(
        self, sample: Sample, quantities: Sequence[Quantity], alpha: float
    ) -> tuple[Interval, ...]:
        """Intervals of properties of one crystal, which hold together."""

    def differences(
        self, samples: Sequence[Sample], quantities: Sequence[Quantity], alpha: float
    ) -> Mapping[tuple[str, str], tuple[Interval, ...]]:
        """Intervals of the differences of all pairs of polymorphs, which hold together."""

    def stability(self, sample: Sample, alpha: float) -> StabilityJudgement:
        """Verdict with a bounded risk, or an abstention."""

    def novelty(self, sample: Sample) -> float:
        """Above 1 where the crystal is unlike those of the calibration."""


class Reference:
    """The method that calibrations are made against: its values are taken as they are."""

    tables: Collection[str] = ()

    def intervals(
        self, sample: Sample, quantities: Sequence[Quantity], alpha: float
    ) -> tuple[Interval, ...]:
        """Intervals of zero width."""
        return tuple(exact_interval(one, raw_value(sample, one), alpha) for one in quantities)

    def differences(
        self, samples: Sequence[Sample], quantities: Sequence[Quantity], alpha: float
    ) -> Mapping[tuple[str, str], tuple[Interval, ...]]:
        """Intervals of zero width, first minus second, in the order given."""
        return {
            (first.material_id, second.material_id): tuple(
                exact_interval(one, estimate_difference(first, second, one, 0.0, 1.0).value, alpha)
                for one in quantities
            )
            for first, second in combinations(samples, 2)
        }

    def stability(self, sample: Sample, alpha: float) -> StabilityJudgement:  # noqa: ARG002 - the same for all
        """Return the verdict of the method."""
        lowest = sample.lowest_frequency_thz
        return StabilityJudgement(sample.verdict, lowest, math.inf, -math.inf)

    def novelty(self, sample: Sample) -> float:  # noqa: ARG002 - the same for all
        """Return zero: it knows all crystals."""
        return 0.0


class Uncalibrated(Reference):
    """A method that nothing is calibrated for: every interval is open."""

    def intervals(
        self, sample: Sample, quantities: Sequence[Quantity], alpha: float
    ) -> tuple[Interval, ...]:
        """Intervals without ends around the values."""
        return tuple(map(opened, super().intervals(sample, quantities, alpha)))

    def differences(
        self, samples: Sequence[Sample], quantities: Sequence[Quantity], alpha: float
    ) -> Mapping[tuple[str, str], tuple[Interval, ...]]:
        """Intervals without ends around the differences."""
        found = super().differences(samples, quantities, alpha)
        return {pair: tuple(map(opened, one)) for pair, one in found.items()}

    def stability(self, sample: Sample, alpha: float) -> StabilityJudgement:
        """Abstain."""
        return replace(super().stability(sample, alpha), verdict=Verdict.UNDETERMINED)


@dataclass(frozen=True)
class OwnSpread:
    """A method that says itself how sure it is: intervals from its own standard deviations.

    Those of a few cells from first principles come from draws of the force constants, widened
    where cells that were left out show them to be too narrow; their intervals are those of
    Student's t at any risk. They do not know what displacements of finite length add, which
    grows with their square; for that stands what `screening.uncertainty.estimates` takes as the
    least deviation of any method.

    Those of a trained model stand for conformal intervals at the one risk that it was calibrated
    at. At another risk its calibration says how wide they are, and where it says nothing, they
    are open.

    Several intervals hold together in the manner of Bonferroni. Without a spread they are open,
    and so is that of a lowest frequency that the method does not know.

    Attributes
    ----------
    calibration
        Of a trained model; None for a posterior distribution.
    """

    calibration: OwnCalibration | None = None
    tables: ClassVar[Collection[str]] = ()

    def intervals(
        self, sample: Sample, quantities: Sequence[Quantity], alpha: float
    ) -> tuple[Interval, ...]:
        """Intervals around the values as predicted."""
        risk = alpha / max(1, len(quantities))
        return tuple(
            _around(one, raw_value(sample, one), self._half_width(sample, one, risk), alpha)
            for one in quantities
        )

    def differences(
        self, samples: Sequence[Sample], quantities: Sequence[Quantity], alpha: float
    ) -> Mapping[tuple[str, str], tuple[Interval, ...]]:
        """Intervals around the differences; static energies are exact, the crystals err apart."""
        pairs = list(combinations(samples, 2))
        risk = alpha / max(1, len(pairs) * len(quantities))
        return {
            (pair[0].material_id, pair[1].material_id): tuple(
                _around(
                    one,
                    estimate_difference(*pair, one, 0.0, 1.0).value,
                    self._pair_half_width(pair, _vibration(one), risk),
                    alpha,
                )
                for one in quantities
            )
            for pair in pairs
        }

    def stability(self, sample: Sample, alpha: float) -> StabilityJudgement:
        """Return the verdict of the method where the lowest frequency is sure enough for it.

        It must be further than half its interval from where the default criterion gives no
        verdict.
        """
        lowest = sample.lowest_frequency_thz
        half = self._half_width(sample, Quantity(Property.LOWEST_FREQUENCY), alpha)
        criterion = CRITERIA[DEFAULT_CRITERION]
        above = criterion.threshold_thz + criterion.abstention_thz + half
        below = criterion.threshold_thz - criterion.abstention_thz - half
        sure = {Verdict.STABLE: lowest > above, Verdict.UNSTABLE: lowest < below}
        verdict = sample.verdict if sure.get(sample.verdict, False) else Verdict.UNDETERMINED
        return StabilityJudgement(verdict, lowest, above, below)

    def novelty(self, sample: Sample) -> float:  # noqa: ARG002 - the same for all
        """Return zero: it knows each crystal from its own cells, or refuses what is new to it."""
        return 0.0

    def _pair_half_width(self, pair: Sequence[Sample], quantity: Quantity, risk: float) -> float:
        """Half the width of an interval of a difference.

        Deviations of a posterior distribution add in squares; conformal half widths, which each
        hold with half of the risk, add up.
        """
        if self.calibration is None:
            return math.hypot(*(self._half_width(one, quantity, risk) for one in pair))
        return sum(self._half_width(one, quantity, risk / len(pair)) for one in pair)

    def _half_width(self, sample: Sample, quantity: Quantity, risk: float) -> float:
        """Half the width of an interval of one crystal; infinite where it is open."""
        from scipy.stats import t

        spread = sample.spread
        if spread is None:
            return math.inf
        if quantity.kind is Property.LOWEST_FREQUENCY and spread.lowest_frequency_std_thz is None:
            return math.inf
        own_risk, factor = risk, 1.0
        if self.calibration is not None:
            own_risk, factor = self.calibration.alpha, self.calibration.factor(quantity, risk)
        quantile = float(t.ppf(1.0 - 0.5 * own_risk, spread.n_members - 1))
        return factor * quantile * estimate(sample, quantity, 0.0, 0.0).deviation


def _around(quantity: Quantity, value: float, half_width: float, alpha: float) -> Interval:
    return Interval(quantity, value, value - half_width, value + half_width, coverage=1.0 - alpha)


def _vibration(difference: Quantity) -> Quantity:
    """Return what of each polymorph enters a difference."""
    return Quantity(Property.FREE_ENERGY, difference.temperature_k)


def load_calibrations(
    database: Database, ladder: Ladder, alpha: float, questions: Iterable[Question] = ()
) -> dict[int, Uncertainty]:
    """Find the calibration of every method of a ladder, by its place; of some there is none.

    Parameters
    ----------
    database
        Whose calibrations compete with those that are shipped.
    ladder
        The methods; those below the reference are looked for, but not those that say
        themselves how sure they are.
    alpha
        Accepted risk.
    questions
        What the calibrations will have to answer.
    """
    reference = _reference_of(ladder, alpha)
    quantities = _quantities(questions)
    found: dict[int, Uncertainty] = {}
    for level, step in enumerate(ladder.steps):
        if step.predictor is reference or step.tier == Tier.FEW_DFT_CELLS:
            continue
        calibration = find_calibration(database, step.predictor, reference, alpha, quantities)
        if calibration is not None:
            found[level] = calibration
    return found


def notes_on_calibrations(
    ladder: Ladder, calibrations: Mapping[int, Uncertainty], alpha: float
) -> tuple[str, ...]:
    """Say of each method what its intervals are calibrated against, where that needs saying.

    Parameters
    ----------
    ladder
        The methods.
    calibrations
        As `load_calibrations` found them.
    alpha
        Accepted risk.
    """
    from flows.learned_intervals import learned_note  # which needs this module

    reference = _reference_of(ladder, alpha)
    found = (
        calibration_note(one, reference)
        for one in calibrations.values()
        if isinstance(one, Calibration)
    )
    own = (
        f"{step.name}: intervals are those of its own posterior distribution"
        for level, step in enumerate(ladder.steps)
        if step.tier == Tier.FEW_DFT_CELLS and not ladder.standing(level, alpha).is_reference
    )
    learned = (
        learned_note(ladder, level, calibrations, alpha)
        for level, step in enumerate(ladder.steps)
        if step.tier == Tier.FAST_MODEL and level not in calibrations
    )
    return tuple(dict.fromkeys((*(note for note in found if note), *own, *learned)))


def _reference_of(ladder: Ladder, alpha: float) -> Predictor | None:
    """Return the method that decides what is true; None where the ladder has none."""
    best = len(ladder.steps) - 1
    return ladder.steps[best].predictor if ladder.standing(best, alpha).is_reference else None


def calibrate_for(database: Database, questions: Iterable[Question]) -> None:
    """Bring the calibrations up to date, also at temperatures that are not the usual ones.

    Once, before the first decision: what a run escalates was chosen for being uncertain, and
    would bias the calibration that the rest of the run is judged by.
    """
    unusual = set(_quantities(questions)) - set(default_quantities())
    build_calibrations(database, sorted(unusual, key=lambda one: one.name))


def _quantities(questions: Iterable[Question]) -> tuple[Quantity, ...]:
    """List what has to be calibrated: of a window its ends, between which the usual ones lie."""
    found: list[Quantity] = []
    for question in questions:
        if isinstance(question, GroupQuestion):
            ends = (question.lowest_temperature_k, question.highest_temperature_k)
            found += [Quantity(kind, end) for kind in _DIFFERENCES for end in ends]
        else:
            found += question.quantities
    return tuple(dict.fromkeys(found))


def temperatures_of(
    window_k: tuple[float, float],
    kind: Property,
    calibrated: Collection[str],
    samples: Sequence[Sample],
) -> tuple[float, ...]:
    """Choose the temperatures at which polymorphs are compared.

    The ends of the window, as far as the predictions reach, and the calibrated temperatures
    between them, or the usual ones where none is; evenly thinned out where they are many.

    Parameters
    ----------
    window_k
        Lowest and highest temperature in K.
    kind
        Which difference.
    calibrated
        Names of calibrated quantities.
    samples
        Predictions whose grids have to reach that far.

    Returns
    -------
    tuple of float
        Ascending; none where no temperature of the window is within the grids of all samples.
    """
    lowest = max([window_k[0], *(one.thermodynamics.temperatures_k[0] for one in samples)])
    highest = min([window_k[1], *(one.thermodynamics.temperatures_k[-1] for one in samples)])
    if lowest > highest:
        return ()
    known = (Quantity.parse(name) for name in calibrated)
    chosen = {one.temperature_k for one in known if one.kind is kind}
    inside = {t for t in chosen if t is not None and lowest < t < highest}
    inside = inside or {t for t in DEFAULT_TEMPERATURES_K if lowest < t < highest}
    grid = sorted(inside | {float(lowest), float(highest)})
    kept = np.linspace(0, len(grid) - 1, min(len(grid), MAX_TEMPERATURES)).round().astype(int)
    return tuple(grid[place] for place in kept)
