"""From what the database knows to decisions: every question about every material, at once.

A material is judged by the best method that predicted it; where that one has no calibration for
it, an answer of a cheaper one stands. Where the best one says to escalate and the next has failed
already, the failure is judged in its place, so that nothing is asked twice. Polymorphs are
compared by the best method that both of a pair have, with all of their composition that the
database holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flows.comparing import Comparison, static_energies
from flows.knowledge import Knowledge, Predicted, read_knowledge
from flows.ladder import Ladder, read_ladder
from flows.learned_intervals import learned_uncertainty
from flows.uncertainty import (
    OwnSpread,
    Reference,
    Uncalibrated,
    Uncertainty,
    load_calibrations,
)
from screening.decisions.evidence import Evidence
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
from screening.predictors.interface import Tier
from screening.uncertainty.estimates import raw_value
from screening.uncertainty.interval import Interval
from screening.uncertainty.samples import Sample
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
    key
        Key that the prediction has or would have.
    group
        Reduced formula for a question about polymorphs, else None.
    spent_seconds
        Wall time of the prediction; zero where it failed.
    raw_values
        Beside the intervals of the decision, the values as predicted, before the correction for
        the method's bias; empty for a question about polymorphs.
    """

    material_id: str
    question: Question
    decision: Decision
    standing: Standing
    prediction_id: str | None
    key: str
    group: str | None = None
    spent_seconds: float = 0.0
    raw_values: tuple[float, ...] = ()


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
        One for every material that was asked about, and question.
    units
        What has to be escalated together to settle something.
    answers
        Of the questions about compositions.
    unknown
        Materials asked about, or polymorphs of them, that the cheapest method has said nothing
        of: still being computed somewhere, or never asked for.
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
        reference, or a few cells from first principles, which know how sure they are, or a
        trained model where that is enough (`flows.learned_intervals`).
    """

    ladder: Ladder
    questions: tuple[Question, ...]
    alpha: float
    calibrations: Mapping[int, Uncertainty]

    def judge(self, known: Mapping[str, Knowledge]) -> Judgement:
        """Decide all questions about all materials that are asked about."""
        decided: list[Decided] = []
        units: list[Unit] = []
        answers: list[GroupAnswer] = []
        unknown = tuple(name for name, one in known.items() if not one.is_known)
        usable = [one for one in known.values() if one.is_known and one.is_asked]
        groups: dict[str, list[Knowledge]] = {one.formula: [] for one in usable}
        for one in known.values():
            if one.formula in groups:
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

    @property
    def compares(self) -> bool:
        """Whether a question is about polymorphs."""
        return any(isinstance(question, GroupQuestion) for question in self.questions)

    def known_of(self, database: Database, material_ids: Sequence[str]) -> dict[str, Knowledge]:
        """Read what has to be known of some materials: of polymorphs all of the composition."""
        return read_knowledge(database, material_ids, self.ladder, with_polymorphs=self.compares)

    def uncertainty(self, level: int) -> Uncertainty:
        """Return where the intervals of a method come from."""
        if self._is_reference(level):
            return Reference()
        if self.ladder.steps[level].tier == Tier.FEW_DFT_CELLS:
            return OwnSpread()
        found = self.calibrations.get(level)
        if found is None and self.ladder.steps[level].tier == Tier.FAST_MODEL:
            return learned_uncertainty(self.ladder, level, self.calibrations, self.alpha)
        return found or Uncalibrated()

    def _one(self, question: MaterialQuestion, known: Knowledge) -> Decided:
        level, evidence = self._speaking(question, known)
        while True:
            decision = decide(question, evidence, self.ladder.standing(level, self.alpha))
            if decision.outcome is not Outcome.ESCALATE or level + 1 not in known.failures:
                return self._decided(question, known, level, decision)
            level += 1
            evidence = self._evidence(question, known, level)

    def _speaking(self, question: MaterialQuestion, known: Knowledge) -> tuple[int, Evidence]:
        """Place and evidence of the best prediction, or where that is silent, of an answer."""
        best = known.level or 0
        first = self._evidence(question, known, best)
        if not first.is_silent or self._is_reference(best):
            return best, first
        for level in sorted((one for one in known.predictions if one < best), reverse=True):
            evidence = self._evidence(question, known, level)
            standing = self.ladder.standing(level, self.alpha)
            if decide(question, evidence, standing).outcome is Outcome.ACCEPT:
                return level, evidence
        return best, first

    def _is_reference(self, level: int) -> bool:
        return self.ladder.standing(level, self.alpha).is_reference

    def _evidence(self, question: Question, known: Knowledge, level: int) -> Evidence:
        predicted = known.predictions.get(level)
        if predicted is None:
            codes = tuple(known.failures[one] for one in sorted(known.failures) if one <= level)
            return Evidence(known.material_id, failures=codes)
        source, sample = self.uncertainty(level), predicted.sample
        intervals: tuple[Interval, ...] | None = ()
        if isinstance(question, MaterialQuestion):
            intervals = _intervals(source, sample, question, self.alpha)
        if intervals is None:  # a grid of its own, which does not reach what is asked
            return Evidence(known.material_id, failures=(InconsistentDataError.code,))
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
        levels = {one.material_id: _first_level(one) for one in members}
        differences = Comparison(question, members, self.alpha, self.uncertainty).differences()
        energies = static_energies(members)
        while True:
            polymorphs = [
                self._polymorph(question, one, levels[one.material_id], energies) for one in members
            ]
            found = decide_group(question, polymorphs, differences)
            escalated = {name for name, one in found.decisions.items() if one.next_tier is not None}
            stuck = [
                one.material_id
                for one in members
                if one.material_id in escalated and levels[one.material_id] + 1 in one.failures
            ]
            if not stuck:
                break
            for name in stuck:
                levels[name] += 1
        decided = [
            self._decided(question, one, levels[one.material_id], found.decisions[one.material_id])
            for one in members
            if one.is_known and one.is_asked
        ]
        return found, decided

    def _polymorph(
        self, question: GroupQuestion, known: Knowledge, level: int, energies: Mapping[str, float]
    ) -> Polymorph:
        return Polymorph(
            self._evidence(question, known, level),
            self.ladder.standing(level, self.alpha),
            energies.get(known.material_id),
            is_asked=known.is_asked,
            is_waiting=not known.is_known,
        )

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
            key=known.keys[level],
            group=known.formula if isinstance(question, GroupQuestion) else None,
            spent_seconds=predicted.wall_seconds if predicted else 0.0,
            raw_values=_raw_values(predicted, decision),
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
    calibrations = load_calibrations(database, methods, alpha, questions)
    return Judge(methods, tuple(questions), alpha, calibrations)


def pending_keys(judge: Judge, known: Mapping[str, Knowledge]) -> dict[str, str]:
    """Return the key of the next prediction of each material with something left to do.

    Where a question is about polymorphs and one of them is left, all of its composition are
    that were asked about.
    """
    asked = {name: one for name, one in known.items() if one.is_asked}
    next_levels = {name: 0 for name, one in asked.items() if not one.is_known}
    for one in judge.judge(known).decided:
        if one.decision.next_tier is not None:
            next_levels[one.material_id] = judge.ladder.level_of(one.decision.next_tier)
    if judge.compares:
        formulas = {known[name].formula for name in next_levels}
        together = {name: one.level or 0 for name, one in asked.items() if one.formula in formulas}
        next_levels = together | next_levels
    return {name: known[name].keys[level] for name, level in next_levels.items()}


def _escalates(one: Decided) -> bool:
    return one.decision.outcome is Outcome.ESCALATE


def _first_level(known: Knowledge) -> int:
    """Place of the best prediction; of what is not asked about, also of a failure after it.

    Nothing is computed for the latter, so that what failed already is not waited for.
    """
    level = known.level or 0
    best = known.predictions.get(level)
    if known.is_asked or not known.is_known or (best is not None and best.is_valid):
        return level
    while level + 1 in known.failures:
        level += 1
    return level


def _raw_values(predicted: Predicted | None, decision: Decision) -> tuple[float, ...]:
    if predicted is None or decision.rivals:
        return ()
    return tuple(raw_value(predicted.sample, one.quantity) for one in decision.intervals)


def _intervals(
    source: Uncertainty, sample: Sample, question: MaterialQuestion, alpha: float
) -> tuple[Interval, ...] | None:
    """Intervals that hold together: open where the source cannot say, None where nothing can."""
    if not question.quantities:
        return ()
    for tried in (source, Uncalibrated()):
        try:
            return tried.intervals(sample, question.quantities, alpha)
        except InconsistentDataError:
            continue
    return None
