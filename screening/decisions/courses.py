"""Differences between polymorphs over a window of temperatures, as decisions read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from screening.decisions.endings import check_coverage
from screening.decisions.evidence import Evidence
from screening.decisions.outcome import Reason, Standing
from screening.decisions.questions import GroupQuestion
from screening.errors import InconsistentDataError, SettingError
from screening.uncertainty.interval import Interval

__all__ = ["Course", "Differences", "Finding", "Pair", "Polymorph", "courses_of", "turned"]

Pair = tuple[str, str]
"""Two materials, the first by name first."""

Differences = Mapping[tuple[str, str], Sequence[Interval]]
"""Free energy of the first minus that of the second, at every temperature."""


@dataclass(frozen=True)
class Polymorph:
    """One polymorph of the composition, as far as it is known.

    Attributes
    ----------
    evidence
        Its intervals of its own are not read.
    standing
        Where the method that gave the evidence stands.
    static_energy_ev_per_atom
        Energy without vibrations, of one method for all polymorphs; transitions need it, for
        the lowest one is their reference.
    is_asked
        Whether the user asked about it. Others of the composition are compared with, but
        nothing is decided about them and nothing computed.
    is_waiting
        Whether no method has said anything of it yet.
    """

    evidence: Evidence
    standing: Standing
    static_energy_ev_per_atom: float | None = None
    is_asked: bool = True
    is_waiting: bool = False

    @property
    def material_id(self) -> str:
        """Key of the material."""
        return self.evidence.material_id

    @property
    def is_usable(self) -> bool:
        """Whether it has numbers that can be compared."""
        evidence = self.evidence
        return not self.is_waiting and not evidence.failures and evidence.thermodynamics_valid

    @property
    def is_missing(self) -> bool:
        """Whether it could have numbers, and is not about to get them by this decision."""
        could_have = not self.is_usable and self.standing.next_tier is not None
        return self.is_waiting or (could_have and not self.is_asked)

    def may_reach(self, tier: int | None) -> bool:
        """Whether it has numbers of this tier, or may be computed with it."""
        return self.is_asked or (tier is not None and self.standing.tier >= tier)


@dataclass(frozen=True)
class Course:
    """Difference of two polymorphs, by ascending temperature.

    Attributes
    ----------
    pair
        Whose.
    intervals
        Free energy of the first minus that of the second; of zero width where both come from
        the reference method; empty where no difference was given.
    is_novel
        Whether one of them is unlike the calibration's crystals.
    """

    pair: Pair
    intervals: tuple[Interval, ...]
    is_novel: bool = False

    @property
    def trouble(self) -> Reason | None:
        """Why nothing can be read from it; None where something can."""
        if self.is_novel:
            return Reason.OUT_OF_DOMAIN
        return None if self.intervals else Reason.NOT_CALIBRATED

    def open_reason(self, reason: Reason) -> Reason:
        """Return why it is undecided: for this reason, or for want of calibration points."""
        is_finite = all(one.is_finite for one in self.intervals)
        return reason if is_finite else Reason.NOT_CALIBRATED

    def seen_from(self, name: str) -> Course:
        """Return the same difference with this polymorph first."""
        first, second = self.pair
        if name == first:
            return self
        return Course((second, first), tuple(map(turned, self.intervals)), self.is_novel)


@dataclass(frozen=True)
class Finding:
    """What a course says about its pair.

    Attributes
    ----------
    reason
        Why the pair is undecided; None where it is decided.
    closest
        Interval that decides, the first minus the second; None where there is none.
    """

    reason: Reason | None
    closest: Interval | None


def turned(interval: Interval) -> Interval:
    """Return the interval of the opposite difference."""
    return replace(
        interval,
        value=0.0 - interval.value,  # a plain minus would make -0
        lower=0.0 - interval.upper,
        upper=0.0 - interval.lower,
    )


def courses_of(
    question: GroupQuestion, usable: Sequence[Polymorph], differences: Differences
) -> dict[Pair, Course]:
    """Differences of all pairs of usable polymorphs, in the window of the question.

    Raises
    ------
    SettingError
        If no temperature lies in the window.
    InconsistentDataError
        If a pair is given twice, with something else than a difference, with a higher risk
        than accepted, or not at the temperatures of the others.
    """
    by_name = {one.material_id: one for one in usable}
    given = _oriented(differences, by_name)
    found = {
        pair: _course(question, by_name[pair[0]], by_name[pair[1]], given.get(pair, ()))
        for pair in combinations(sorted(by_name), 2)
    }
    if any(given.values()) and not any(course.intervals for course in found.values()):
        raise SettingError(
            f"no temperature of the predictions lies in the window of '{question}'",
            subject="question",
            hint="Widen the window or predict on a finer grid",
        )
    _check_grid(found.values())
    return found


def _oriented(differences: Differences, names: Iterable[str]) -> dict[Pair, tuple[Interval, ...]]:
    """Turn all differences so that the first name comes first."""
    known = set(names)
    found: dict[Pair, tuple[Interval, ...]] = {}
    for (first, second), intervals in differences.items():
        if not {first, second} <= known:
            continue  # one of them has no numbers that can be compared
        pair = (min(first, second), max(first, second))
        if first == second or pair in found:
            raise InconsistentDataError("given twice, or with itself", subject=" - ".join(pair))
        for one in intervals:
            if not one.quantity.kind.is_difference:
                message = f"{one.quantity.name} is no difference"
                raise InconsistentDataError(message, subject=" - ".join(pair))
        ahead = first == pair[0]
        found[pair] = tuple(one if ahead else turned(one) for one in intervals)
    return found


def _course(
    question: GroupQuestion, first: Polymorph, second: Polymorph, given: Sequence[Interval]
) -> Course:
    pair = (first.material_id, second.material_id)
    inside = sorted((one for one in given if question.covers(_temperature(one))), key=_temperature)
    if first.standing.is_reference and second.standing.is_reference:
        exact = (replace(one, lower=one.value, upper=one.value) for one in inside)
        return Course(pair, tuple(exact))
    for one in (first, second):
        check_coverage(inside, one.standing, " - ".join(pair))
    novel = any(one.evidence.is_novel for one in (first, second) if not one.standing.is_reference)
    return Course(pair, tuple(inside), novel)


def _temperature(interval: Interval) -> float:
    assert interval.quantity.temperature_k is not None  # every difference has one
    return interval.quantity.temperature_k


def _check_grid(courses: Iterable[Course]) -> None:
    """See that all pairs are known at the same temperatures, each once."""
    grids = {
        tuple(_temperature(one) for one in course.intervals): course.pair
        for course in courses
        if course.intervals
    }
    repeated = [grid for grid in grids if len(set(grid)) < len(grid)]
    if len(grids) > 1 or repeated:
        pair = list(grids.values())[-1]
        raise InconsistentDataError(
            "not given once at every temperature of the other pairs", subject=" - ".join(pair)
        )
