"""From what the database knows to decisions: every question about every material, at once.

A material is judged by the best method that predicted it. Where that one says to escalate and
the next has failed already, the failure is judged in its place, so that nothing is asked
twice. Polymorphs are compared by the best method that both of a pair have.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from flows.knowledge import Knowledge
from flows.ladder import Ladder, read_ladder
from flows.uncertainty import (
    Reference,
    Uncalibrated,
    Uncertainty,
    load_calibrations,
    temperatures_of,
)
from screening.decisions.evidence import Evidence, with_static_energy
from screening.decisions.groups import GroupDecision, Polymorph, decide_group
from screening.decisions.outcome import Answer, Decision, Outcome, Standing
from screening.decisions.policy import decide
from screening.decisions.questions import (
    GroupQuestion,
    MaterialQuestion,
    Question,
    StabilityQuestion,
)
from screening.decisions.selection import Unit
from screening.errors import InconsistentDataError
from screening.quantities import Property, Quantity
from screening.uncertainty.interval import Interval
from screening.uncertainty.samples import Sample
from screening.units import EV_TO_MEV
from stores.connect import Database

__all__ = ["Decided", "GroupAnswer", "Judge", "Judgement", "judge_of", "pending_keys"]


@dataclass(frozen=True)
class Decided:
    """One decision, and what it is about.

    Attributes
    ----------
    material_id, question, decision, standing
        Who, what, and with which method.
    prediction_id
        Key of the prediction that was judged; None where the method gave none.
    group
        Reduced formula for a question about polymorphs, else None.
    spent_seconds
        Wall time of the prediction; zero where it failed.
    """

    material_id: str
    question: Question
    decision: Decision
    standing: Standing
    prediction_id: str | None
    group: str | None = None
    spent_seconds: float = 0.0


@dataclass(frozen=True)
class GroupAnswer:
    """What can be said of the polymorphs of one composition."""

    formula: str
    question: GroupQuestion
    answer: Answer


@dataclass(frozen=True)
class Judgement:
    """Decisions on all questions about some materials.

    Attributes
    ----------
    decided
        One for every material and question.
    units
        What has to be escalated together to settle something.
    answers
        Of the questions about compositions.
    unknown
        Materials without a prediction or a failure: still being computed somewhere.
    """

    decided: tuple[Decided, ...]
    units: tuple[Unit, ...]
    answers: tuple[GroupAnswer, ...]
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class Judge:
    """Decides with the methods of a ladder at a risk.

    Attributes
    ----------
    ladder
        The methods.
    questions
        What is asked of every material or composition.
    alpha
        Accepted risk of a wrong answer.
    calibrations
        By place in the ladder; a method without one settles nothing unless it is the
        reference.
    """

    ladder: Ladder
    questions: tuple[Question, ...]
    alpha: float
    calibrations: Mapping[int, Uncertainty]

    def judge(self, known: Mapping[str, Knowledge]) -> Judgement:
        """Decide all questions about all materials."""
        decided: list[Decided] = []
        units: list[Unit] = []
        answers: list[GroupAnswer] = []
        unknown = tuple(name for name, one in known.items() if not one.is_known)
        usable = [one for one in known.values() if one.is_known]
        groups: dict[str, list[Knowledge]] = defaultdict(list)
        for one in usable:
            groups[one.formula].append(one)
        for question in self.questions:
            if not isinstance(question, GroupQuestion):
                found = [self._one(question, one) for one in usable]
                decided += found
                units += [Unit(frozenset({one.material_id})) for one in found if _escalates(one)]
                continue
            for formula, members in groups.items():
                together, of_group = self._group(question, members)
                decided += of_group
                units += [Unit(one) for one in together.units]
                answers.append(GroupAnswer(formula, question, together.answer))
        return Judgement(tuple(decided), tuple(units), tuple(answers), unknown)

    def uncertainty(self, level: int) -> Uncertainty:
        """Return where the intervals of a method come from."""
        if self.ladder.standing(level, self.alpha).is_reference:
            return Reference()
        return self.calibrations.get(level) or Uncalibrated()

    def _one(self, question: MaterialQuestion, known: Knowledge) -> Decided:
        level = 0 if known.level is None else known.level
        while True:
            standing = self.ladder.standing(level, self.alpha)
            decision = decide(question, self._evidence(question, known, level), standing)
            if decision.outcome is not Outcome.ESCALATE or level + 1 not in known.failures:
                return self._decided(question, known, level, decision)
            level += 1

    def _evidence(self, question: Question, known: Knowledge, level: int) -> Evidence:
        predicted = known.predictions.get(level)
        if predicted is None:
            codes = tuple(known.failures[one] for one in sorted(known.failures) if one <= level)
            return Evidence(known.material_id, failures=codes)
        source, sample = self.uncertainty(level), predicted.sample
        intervals: tuple[Interval, ...] = ()
        if isinstance(question, MaterialQuestion):
            intervals = tuple(
                source.interval(sample, quantity, self.alpha) for quantity in question.quantities
            )
        asks_stability = isinstance(question, StabilityQuestion)
        return Evidence(
            known.material_id,
            intervals=intervals,
            stability=source.stability(sample, self.alpha) if asks_stability else None,
            thermodynamics_valid=predicted.is_valid,
            novelty=source.novelty(sample),
        )

    def _group(
        self, question: GroupQuestion, members: Sequence[Knowledge]
    ) -> tuple[GroupDecision, list[Decided]]:
        """Decide about a composition, moving members whose next method failed up to it."""
        levels = {one.material_id: one.level or 0 for one in members}
        differences = _Differences(self, question, members).of_all_pairs()
        energies = _static_energies(members)
        while True:
            polymorphs = [
                Polymorph(
                    self._evidence(question, one, levels[one.material_id]),
                    self.ladder.standing(levels[one.material_id], self.alpha),
                    energies.get(one.material_id),
                )
                for one in members
            ]
            found = decide_group(question, polymorphs, differences)
            stuck = [
                one.material_id
                for one in members
                if found.decisions[one.material_id].outcome is Outcome.ESCALATE
                and levels[one.material_id] + 1 in one.failures
            ]
            if not stuck:
                break
            for name in stuck:
                levels[name] += 1
        decided = [
            self._decided(question, one, levels[one.material_id], found.decisions[one.material_id])
            for one in members
        ]
        return found, decided

    def _decided(
        self, question: Question, known: Knowledge, level: int, decision: Decision
    ) -> Decided:
        predicted = known.predictions.get(level)
        return Decided(
            material_id=known.material_id,
            question=question,
            decision=decision,
            standing=self.ladder.standing(level, self.alpha),
            prediction_id=known.keys[level] if predicted else None,
            group=known.formula if isinstance(question, GroupQuestion) else None,
            spent_seconds=predicted.wall_seconds if predicted else 0.0,
        )


def judge_of(
    database: Database,
    ladder: Sequence[Mapping[str, Any]],
    questions: Sequence[Question],
    alpha: float,
) -> Judge:
    """Make a judge with the calibrations that a database holds or that are shipped.

    Raises
    ------
    SettingError
        If the ladder cannot be read.
    """
    methods = read_ladder(ladder)
    calibrations = load_calibrations(database, methods, alpha)
    return Judge(methods, tuple(questions), alpha, calibrations)


def pending_keys(judge: Judge, known: Mapping[str, Knowledge]) -> dict[str, str]:
    """Return the key of the next prediction of each material with something left to do.

    Where a question is about polymorphs and one of them is left, all of its composition are.
    """
    next_levels = {name: 0 for name, one in known.items() if not one.is_known}
    for one in judge.judge(known).decided:
        if one.decision.next_tier is not None:
            next_levels[one.material_id] = judge.ladder.level_of(one.decision.next_tier)
    if any(isinstance(question, GroupQuestion) for question in judge.questions):
        formulas = {known[name].formula for name in next_levels}
        together = {name: one.level or 0 for name, one in known.items() if one.formula in formulas}
        next_levels = together | next_levels
    return {name: known[name].keys[level] for name, level in next_levels.items()}


def _escalates(one: Decided) -> bool:
    return one.decision.outcome is Outcome.ESCALATE


@dataclass(frozen=True)
class _Differences:
    """Differences between the polymorphs of one composition."""

    judge: Judge
    question: GroupQuestion
    members: Sequence[Knowledge]

    def of_all_pairs(self) -> dict[tuple[str, str], tuple[Interval, ...]]:
        """Intervals of every pair that some method predicted both of."""
        usable = [one for one in self.members if one.level is not None]
        pairs = [(one, two, _shared_level(one, two)) for one, two in combinations(usable, 2)]
        shared = [(one, two, level) for one, two, level in pairs if level is not None]
        if not shared:
            return {}
        grid = self._temperatures({level for *_, level in shared}, usable)
        return {
            (one.material_id, two.material_id): found
            for one, two, level in shared
            if (found := self._of_pair(one, two, level, grid))
        }

    def _temperatures(
        self, levels: Iterable[int], usable: Sequence[Knowledge]
    ) -> tuple[float, ...]:
        """One grid for all pairs, which decisions compare."""
        samples = [found.sample for one in usable for found in one.predictions.values()]
        calibrated = {name for one in levels for name in self.judge.uncertainty(one).tables}
        window = (self.question.lowest_temperature_k, self.question.highest_temperature_k)
        return temperatures_of(window, self._kind(), calibrated, samples)

    def _kind(self) -> Property:
        given = _given_energies(self.members)
        return Property.FREE_ENERGY_DIFFERENCE if given else Property.RELATIVE_FREE_ENERGY

    def _of_pair(
        self, one: Knowledge, two: Knowledge, level: int, grid: Sequence[float]
    ) -> tuple[Interval, ...]:
        """Intervals by temperature; none where the energies cannot be compared."""
        source, alpha, kind = self.judge.uncertainty(level), self.judge.alpha, self._kind()
        first, second = (each.predictions[level].sample for each in (one, two))
        try:
            found = [source.difference(first, second, Quantity(kind, t), alpha) for t in grid]
        except InconsistentDataError:  # no static energies of one source: the pair stays open
            return ()
        if kind is Property.RELATIVE_FREE_ENERGY:
            return tuple(found)
        given = _given_energies(self.members)
        static_mev = (given[one.material_id] - given[two.material_id]) * EV_TO_MEV
        return tuple(with_static_energy(interval, static_mev) for interval in found)


def _shared_level(one: Knowledge, two: Knowledge) -> int | None:
    """Place of the best method that predicted both."""
    return max(set(one.predictions) & set(two.predictions), default=None)


def _given_energies(members: Sequence[Knowledge]) -> dict[str, float]:
    """Energies in eV/atom that came with the structures, if all have one of the same source."""
    given = {
        one.material_id: one.static_energy_ev_per_atom
        for one in members
        if one.static_energy_ev_per_atom is not None
    }
    sources = {one.static_energy_source for one in members}
    return given if len(given) == len(members) and len(sources) == 1 else {}


def _static_energies(members: Sequence[Knowledge]) -> dict[str, float]:
    """Energies in eV/atom of one source for as many polymorphs as possible."""
    given = _given_energies(members)
    if given:
        return given
    usable = [one for one in members if one.predictions]
    shared: set[int] = (
        set.intersection(*(set(one.predictions) for one in usable)) if usable else set()
    )
    if not shared:
        return {}
    samples: dict[str, Sample] = {
        one.material_id: one.predictions[max(shared)].sample for one in usable
    }
    return {
        name: sample.static_energy_ev_per_atom
        for name, sample in samples.items()
        if sample.static_energy_ev_per_atom is not None
    }
