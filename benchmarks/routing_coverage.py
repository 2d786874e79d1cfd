"""How often calibrated intervals hold the reference, how wide they are, what they correct.

Only finite intervals count for the coverage: an infinite one, which a crystal out of the
domain or a calibration of too few compositions gets, holds everything and says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from report import Figure
from routing_crystals import Case
from routing_splits import DIFFERENCES, LOWEST, THERMAL, Split, make_splits, mean_over_groups

from screening.prediction import FloatArray
from screening.quantities import Property, Quantity
from screening.uncertainty.conformal import coverage_band
from screening.uncertainty.estimates import estimate, estimate_difference, raw_value
from screening.uncertainty.interval import Interval

__all__ = [
    "ALPHA",
    "Trial",
    "coverage_figures",
    "difference_trials",
    "many_splits_figure",
    "thermal_trials",
]

ALPHA = 0.1
"""Nominal risk of the intervals that are tested."""

MANY_SPLITS = 200
"""A second look at the coverage, with as many splits as a minute allows."""

LOWEST_COVERAGE, HIGHEST_COVERAGE = 0.85, 0.95


@dataclass(frozen=True)
class Trial:
    """One interval beside what the reference says.

    Attributes
    ----------
    split
        Number of the split.
    composition
        Exchangeable unit.
    interval
        As calibrated.
    raw, truth
        What the potential and the reference give.
    scaled, line
        Guesses of the trivial baselines; not a number for a difference.
    is_novel
        Whether a crystal was refused as out of the domain.
    """

    split: int
    composition: str
    interval: Interval
    raw: float
    truth: float
    scaled: float = math.nan
    line: float = math.nan
    is_novel: bool = False

    @property
    def is_covered(self) -> bool:
        """Whether the interval holds the reference."""
        return self.interval.lower <= self.truth <= self.interval.upper


def thermal_trials(splits: Sequence[Split], quantity: Quantity, alpha: float) -> list[Trial]:
    """Intervals of one property for all tested crystals of all splits."""
    found = []
    for number, split in enumerate(splits):
        scale, line = _baselines(split, quantity)
        for case in split.tested:
            interval = split.interval(case, quantity, alpha)
            found.append(
                Trial(
                    split=number,
                    composition=case.composition,
                    interval=interval,
                    raw=raw_value(case.cheap, quantity),
                    truth=raw_value(case.better, quantity),
                    scaled=estimate(case.cheap, quantity, scale, 0.0).value,
                    line=float(_mass_and_volume(case) @ line),
                    is_novel=split.calibration.novelty(case.cheap) > 1.0,
                )
            )
    return found


def difference_trials(splits: Sequence[Split], quantity: Quantity, alpha: float) -> list[Trial]:
    """Intervals of the difference of all tested pairs of polymorphs of all splits."""
    found = []
    for number, split in enumerate(splits):
        novelty = split.calibration.novelty
        for one, two in split.pairs():
            interval = split.calibration.difference(one.cheap, two.cheap, quantity, alpha)
            raw, truth = (
                estimate_difference(*pair, quantity, 0.0, 1.0).value
                for pair in ((one.cheap, two.cheap), (one.better, two.better))
            )
            is_novel = max(novelty(one.cheap), novelty(two.cheap)) > 1.0
            trial = Trial(number, one.composition, interval, raw, truth, is_novel=is_novel)
            found.append(trial)
    return found


def coverage_figures(splits: Sequence[Split]) -> list[Figure]:
    """All quantities at the nominal risk."""
    figures: list[Figure] = []
    for quantity in THERMAL:
        trials = thermal_trials(splits, quantity, ALPHA)
        figures += [*_coverage(quantity, trials, splits, required=True), *_errors(quantity, trials)]
    for quantity in DIFFERENCES:
        trials = difference_trials(splits, quantity, ALPHA)
        figures += [*_coverage(quantity, trials, splits, required=True), *_errors(quantity, trials)]
    trials = thermal_trials(splits, LOWEST, ALPHA)
    return [*figures, *_coverage(LOWEST, trials, splits, required=False), *_errors(LOWEST, trials)]


def many_splits_figure(cases: Sequence[Case], seed: int) -> Figure:
    """Coverage of F(300 K) over many more splits: what is left is not the luck of the draw."""
    trials = thermal_trials(make_splits(cases, (), MANY_SPLITS, seed), THERMAL[0], ALPHA)
    covered = _by_split([trial for trial in trials if trial.interval.is_finite])
    mean = float(np.mean(covered)) if covered else None
    return Figure(f"coverage of F(300 K), mean of {len(covered)} other splits", mean, "")


def _coverage(
    quantity: Quantity, trials: Sequence[Trial], splits: Sequence[Split], *, required: bool
) -> list[Figure]:
    """Coverage with its band, and how much is answered at all."""
    finite = [trial for trial in trials if trial.interval.is_finite]
    covered = _by_split(finite)
    mean = float(np.mean(covered)) if covered else math.nan
    inside, low, high = _band(quantity, finite, splits)
    name = f"coverage of {_short(quantity)}"
    widths = [trial.interval.half_width for trial in finite]
    n_known = _largest_calibration(quantity, finite, splits)
    least = f">= {LOWEST_COVERAGE}" if required else None
    can_be_tight = math.floor((n_known + 1) * ALPHA) > 1
    most = f"<= {HIGHEST_COVERAGE}" if required and can_be_tight else None
    reason = "" if can_be_tight else f": the largest of {n_known} scores or fewer"
    return [
        Figure(f"{name}, mean of {len(covered)} splits", mean, "", least),
        Figure(f"  and not more than needed{reason}", mean, "", most),
        Figure(f"  splits inside their band (95 %: {low:.2f} to {high:.2f})", inside, ""),
        Figure("  median half width", float(np.median(widths)) if widths else None, quantity.unit),
        Figure("  finite intervals", _share(t.interval.is_finite for t in trials), ""),
        Figure("  refused as out of the domain", _share(t.is_novel for t in trials), ""),
    ]


def _by_split(trials: Sequence[Trial]) -> list[float]:
    """Coverage of every split that has a finite interval."""
    found = []
    for number in sorted({trial.split for trial in trials}):
        own = [trial for trial in trials if trial.split == number]
        found.append(
            mean_over_groups([float(t.is_covered) for t in own], [t.composition for t in own])
        )
    return found


def _largest_calibration(
    quantity: Quantity, trials: Sequence[Trial], splits: Sequence[Split]
) -> int:
    """Most compositions behind the intervals of a quantity.

    Below 19, the quantile for a risk of 0.1 is the largest score there is, whose coverage is
    more than intended: n/(n + 1) on average.
    """
    tables = [splits[number].calibration.tables for number in {trial.split for trial in trials}]
    return max((len(set(found[quantity.name].compositions)) for found in tables), default=0)


def _band(
    quantity: Quantity, trials: Sequence[Trial], splits: Sequence[Split]
) -> tuple[float, float, float]:
    """Share of splits whose coverage lies in the band of its own sizes, and a typical band."""
    inside, ends = [], []
    for number in sorted({trial.split for trial in trials}):
        own = [trial for trial in trials if trial.split == number]
        names = [trial.composition for trial in own]
        table = splits[number].calibration.tables[quantity.name]
        n_known, n_tested = len(set(table.compositions)), len(set(names))
        low, high = coverage_band(n_known, ALPHA, n_tested=n_tested)
        reached = mean_over_groups([float(trial.is_covered) for trial in own], names)
        inside.append(low <= reached <= high)
        ends.append((low, high))
    if not ends:
        return math.nan, math.nan, math.nan
    low, high = np.median(np.array(ends), axis=0)
    return float(np.mean(inside)), float(low), float(high)


def _errors(quantity: Quantity, trials: Sequence[Trial]) -> list[Figure]:
    """Errors before and after the correction, beside guesses without chemistry."""
    finite = [trial for trial in trials if trial.interval.is_finite]
    names = [trial.composition for trial in finite]

    def mae(values: Sequence[float]) -> float:
        errors = [abs(v - trial.truth) for v, trial in zip(values, finite, strict=True)]
        return mean_over_groups(errors, names)

    corrected = mae([trial.interval.value for trial in finite])
    others = {
        "raw": mae([trial.raw for trial in finite]),
        "baseline: one scale for all": mae([trial.scaled for trial in finite]),
        "baseline: mass and volume": mae([trial.line for trial in finite]),
    }
    if quantity.kind.is_difference:
        others = {"raw": others["raw"], "baseline: no difference": mae([0.0] * len(finite))}
    best = min(others.values())
    return [
        Figure("  MAE, corrected", corrected, quantity.unit),
        *(Figure(f"  MAE, {label}", value, quantity.unit) for label, value in others.items()),
        Figure("  skill over the best of these", 1.0 - corrected / best if best else None, ""),
    ]


def _baselines(split: Split, quantity: Quantity) -> tuple[float, FloatArray]:
    """Mean ln s of the calibrated crystals, and a line in the logarithms of mass and volume."""
    scales = split.calibration.correction.log_scales
    features = np.array([_mass_and_volume(case) for case in split.known]).reshape(-1, 3)
    truth = np.array([raw_value(case.better, quantity) for case in split.known])
    line = np.linalg.lstsq(features, truth, rcond=None)[0]
    return float(scales.mean()) if len(scales) else 0.0, np.asarray(line, dtype=float)


def _mass_and_volume(case: Case) -> FloatArray:
    structure = case.crystal.structure
    mass = float(structure.composition.weight) / len(structure)
    return np.array([1.0, math.log(mass), math.log(structure.volume / len(structure))])


def _short(quantity: Quantity) -> str:
    symbols = {
        Property.FREE_ENERGY: "F",
        Property.ENTROPY: "S",
        Property.HEAT_CAPACITY: "C_V",
        Property.FREE_ENERGY_DIFFERENCE: "dF of polymorphs",
    }
    if quantity.temperature_k is None:
        return "the lowest frequency"
    return f"{symbols[quantity.kind]}({quantity.temperature_k:.0f} K)"


def _share(flags: object) -> float:
    values = list(flags)  # type: ignore[call-overload]
    return float(np.mean(values)) if values else math.nan
