"""Random splits by composition, and what a calibration on one part says of the other.

The compositions are divided, never the crystals: polymorphs err alike, and a crystal whose
sister was calibrated would be no test. Every composition weighs the same in a mean.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from references import TEMPERATURES_K
from routing_crystals import Case
from routing_unstable import UnstableCase

from screening.quantities import Property, Quantity
from screening.uncertainty.calibration import Calibration
from screening.uncertainty.fitting import fit_calibration
from screening.uncertainty.interval import Interval
from screening.uncertainty.risk import LowestFrequencies

__all__ = [
    "DIFFERENCES",
    "LEAST_CALIBRATED",
    "LOWEST",
    "THERMAL",
    "Split",
    "groups_of",
    "make_splits",
    "mean_over_groups",
    "n_calibrated",
    "polymorph_pairs",
]

THERMAL = tuple(
    Quantity(kind, temperature)
    for kind in (Property.FREE_ENERGY, Property.ENTROPY, Property.HEAT_CAPACITY)
    for temperature in TEMPERATURES_K
)
DIFFERENCES = tuple(Quantity(Property.FREE_ENERGY_DIFFERENCE, t) for t in TEMPERATURES_K)
LOWEST = Quantity(Property.LOWEST_FREQUENCY)

LEAST_CALIBRATED = 20
"""Compositions that calibrate, where there are as many and some are left to test."""

_CALIBRATED_SHARE = 2.0 / 3.0


@dataclass(frozen=True)
class Split:
    """One calibration and the crystals it has not seen.

    Attributes
    ----------
    calibration
        Made of the other compositions.
    tested
        Crystals of the compositions that were left out.
    unstable
        Crystals known to be unstable that were left out.
    known
        Crystals that were calibrated.
    """

    calibration: Calibration
    tested: tuple[Case, ...]
    unstable: tuple[UnstableCase, ...]
    known: tuple[Case, ...]

    def interval(self, case: Case, quantity: Quantity, alpha: float) -> Interval:
        """Interval of a tested crystal."""
        return self.calibration.interval(case.cheap, quantity, alpha)

    def pairs(self) -> list[tuple[Case, Case]]:
        """Pairs of polymorphs of the tested compositions."""
        return polymorph_pairs(self.tested)


def groups_of(cases: Iterable[Case]) -> dict[str, list[Case]]:
    """Crystals by composition."""
    groups: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        groups[case.composition].append(case)
    return dict(groups)


def polymorph_pairs(cases: Iterable[Case]) -> list[tuple[Case, Case]]:
    """All pairs of crystals of one composition."""
    return [
        pair for _, group in sorted(groups_of(cases).items()) for pair in combinations(group, 2)
    ]


def n_calibrated(n_compositions: int) -> int:
    """How many compositions calibrate: two thirds, at least 20, and one is left to test."""
    wanted = max(LEAST_CALIBRATED, round(_CALIBRATED_SHARE * n_compositions))
    return max(0, min(wanted, n_compositions - 1))


def make_splits(
    cases: Sequence[Case], unstable: Sequence[UnstableCase], count: int, seed: int
) -> list[Split]:
    """Calibrate on random compositions, again and again.

    Parameters
    ----------
    cases, unstable
        Stable crystals with a reference, and unstable ones; both are divided, each for itself
        and independently of the other.
    count, seed
        Number of splits, and seed of all of them.
    """
    rng, other_rng = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    stable_names = sorted({case.composition for case in cases})
    unstable_names = sorted({case.composition for case in unstable})
    splits = []
    for _ in range(count):
        chosen = _drawn(rng, stable_names, n_calibrated(len(stable_names)))
        also = _drawn(other_rng, unstable_names, round(_CALIBRATED_SHARE * len(unstable_names)))
        splits.append(_split(cases, unstable, chosen, also))
    return splits


def _drawn(rng: np.random.Generator, names: Sequence[str], count: int) -> set[str]:
    return {names[i] for i in rng.permutation(len(names))[:count]}


def _split(
    cases: Sequence[Case],
    unstable: Sequence[UnstableCase],
    chosen: set[str],
    chosen_unstable: set[str],
) -> Split:
    known = tuple(case for case in cases if case.composition in chosen)
    taken = [case for case in unstable if case.composition in chosen_unstable]
    calibration = fit_calibration(
        [(case.cheap, case.better) for case in known],
        cheap_family="potential",
        reference_family="stored reference",
        quantities=(*THERMAL, *DIFFERENCES, LOWEST),
        known_verdicts=LowestFrequencies(
            unstable_thz=tuple(case.cheap.lowest_frequency_thz for case in taken),
            unstable_compositions=tuple(case.composition for case in taken),
        ),
    )
    return Split(
        calibration=calibration,
        tested=tuple(case for case in cases if case.composition not in chosen),
        unstable=tuple(case for case in unstable if case.composition not in chosen_unstable),
        known=known,
    )


def mean_over_groups(values: Sequence[float], groups: Sequence[str]) -> float:
    """Mean in which every group weighs the same; not a number where there is none.

    Examples
    --------
    >>> mean_over_groups([1.0, 0.0, 0.0], ["a", "a", "b"])
    0.25
    """
    by_group: dict[str, list[float]] = defaultdict(list)
    for value, group in zip(values, groups, strict=True):
        by_group[group].append(value)
    if not by_group:
        return math.nan
    return float(np.mean([np.mean(found) for found in by_group.values()]))
