"""Where decisions get their intervals from: a calibration, nothing, or the reference itself."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from flows.calibrating import find_calibration
from flows.ladder import Ladder
from screening.decisions.evidence import StabilityJudgement as Judgement
from screening.decisions.evidence import exact_interval
from screening.decisions.questions import MaterialQuestion, Question
from screening.errors import InconsistentDataError
from screening.prediction import Verdict
from screening.quantities import Property, Quantity
from screening.uncertainty.calibration import DEFAULT_TEMPERATURES_K, default_quantities
from screening.uncertainty.estimates import estimate_difference, raw_value
from screening.uncertainty.interval import Interval
from screening.uncertainty.risk import StabilityJudgement
from screening.uncertainty.samples import Sample
from stores.builders.calibrations import build_calibrations
from stores.connect import Database

__all__ = [
    "Reference",
    "Uncalibrated",
    "Uncertainty",
    "calibrate_for",
    "load_calibrations",
    "temperatures_of",
]


class Uncertainty(Protocol):
    """What decisions ask of a calibration."""

    @property
    def tables(self) -> Collection[str]:
        """Names of the quantities that are calibrated."""

    def interval(self, sample: Sample, quantity: Quantity, alpha: float) -> Interval:
        """Interval of a property of one crystal."""

    def difference(
        self, first: Sample, second: Sample, quantity: Quantity, alpha: float
    ) -> Interval:
        """Interval of a difference of two polymorphs, first minus second."""

    def stability(self, sample: Sample, alpha: float) -> Judgement:
        """Verdict with a bounded risk, or an abstention."""

    def novelty(self, sample: Sample) -> float:
        """Above 1 where the crystal is unlike those of the calibration."""


class Reference:
    """The method that calibrations are made against: its values are taken as they are."""

    tables: Collection[str] = ()

    def interval(self, sample: Sample, quantity: Quantity, alpha: float) -> Interval:
        """Interval of zero width."""
        return exact_interval(quantity, raw_value(sample, quantity), alpha)

    def difference(
        self, first: Sample, second: Sample, quantity: Quantity, alpha: float
    ) -> Interval:
        """Interval of zero width."""
        found = estimate_difference(first, second, quantity, 0.0, 1.0)
        return exact_interval(quantity, found.value, alpha)

    def stability(self, sample: Sample, alpha: float) -> Judgement:  # noqa: ARG002 - the same for all
        """Return the verdict of the method."""
        lowest = sample.lowest_frequency_thz
        return StabilityJudgement(sample.verdict, lowest, math.inf, -math.inf)

    def novelty(self, sample: Sample) -> float:  # noqa: ARG002 - the same for all
        """Return zero: it knows all crystals."""
        return 0.0


class Uncalibrated(Reference):
    """A method that nothing is calibrated for: every interval is open."""

    def interval(self, sample: Sample, quantity: Quantity, alpha: float) -> Interval:
        """Interval without ends around the value."""
        return _open(super().interval(sample, quantity, alpha))

    def difference(
        self, first: Sample, second: Sample, quantity: Quantity, alpha: float
    ) -> Interval:
        """Interval without ends around the difference."""
        return _open(super().difference(first, second, quantity, alpha))

    def stability(self, sample: Sample, alpha: float) -> Judgement:
        """Abstain."""
        return replace(_judgement(super().stability(sample, alpha)), verdict=Verdict.UNDETERMINED)


def _open(interval: Interval) -> Interval:
    return replace(interval, lower=-math.inf, upper=math.inf)


def _judgement(found: Judgement) -> StabilityJudgement:
    return StabilityJudgement(
        found.verdict, found.lowest_frequency_thz, found.stable_above_thz, found.unstable_below_thz
    )


def load_calibrations(database: Database, ladder: Ladder, alpha: float) -> dict[int, Uncertainty]:
    """Find the calibration of every method of a ladder, by its place; of some there is none.

    Parameters
    ----------
    database
        Whose calibrations compete with those that are shipped.
    ladder
        The methods; those below the reference are looked for.
    alpha
        Accepted risk.
    """
    best = len(ladder.steps) - 1
    has_reference = ladder.standing(best, alpha).is_reference
    reference = ladder.steps[best].predictor if has_reference else None
    found: dict[int, Uncertainty] = {}
    for level, step in enumerate(ladder.steps):
        if step.predictor is reference:
            continue
        calibration = find_calibration(database, step.predictor, reference, alpha)
        if calibration is not None:
            found[level] = calibration
    return found


def calibrate_for(database: Database, questions: Iterable[Question]) -> None:
    """Bring the calibrations up to date, also at temperatures that are not the usual ones."""
    asked = {quantity for question in questions for quantity in _quantities(question)}
    unusual = sorted(asked - set(default_quantities()), key=lambda one: one.name)
    build_calibrations(database, unusual)


def _quantities(question: Question) -> tuple[Quantity, ...]:
    """List what has to be calibrated; of a window without a usual temperature the ends."""
    if isinstance(question, MaterialQuestion):
        return question.quantities
    if any(question.covers(usual) for usual in DEFAULT_TEMPERATURES_K):
        return ()
    ends = (question.lowest_temperature_k, question.highest_temperature_k)
    kinds = (Property.FREE_ENERGY_DIFFERENCE, Property.RELATIVE_FREE_ENERGY)
    return tuple(Quantity(kind, end) for kind in kinds for end in dict.fromkeys(ends))


def temperatures_of(
    window_k: tuple[float, float],
    kind: Property,
    calibrated: Collection[str],
    samples: Sequence[Sample],
) -> tuple[float, ...]:
    """Choose the temperatures at which polymorphs are compared.

    Those that are calibrated, where some of the window are; else a coarse grid; at least the
    ends of the window.

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

    Raises
    ------
    InconsistentDataError
        If no temperature of the window is within the grids of all samples.
    """
    lowest = max([window_k[0], *(one.thermodynamics.temperatures_k[0] for one in samples)])
    highest = min([window_k[1], *(one.thermodynamics.temperatures_k[-1] for one in samples)])
    if lowest > highest:
        raise InconsistentDataError(
            f"no temperature from {window_k[0]:g} to {window_k[1]:g} K was predicted",
            subject="temperatures",
            hint="Predict on a grid that covers the window: --temperatures",
        )
    known = (Quantity.parse(name) for name in calibrated)
    chosen = {one.temperature_k for one in known if one.kind is kind}
    inside = {t for t in chosen if t is not None and lowest <= t <= highest}
    if not inside:
        grid = {t for t in DEFAULT_TEMPERATURES_K if lowest <= t <= highest}
        inside = grid | {float(lowest), float(highest)}
    return tuple(sorted(inside))
