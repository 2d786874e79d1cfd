"""Maker of the screen that stops when the question is answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from jobflow import Flow, Maker

from flows.jobs import decide_job
from flows.makers.batch import ScreenBatchMaker, SummaryMaker
from flows.resources import Resource, tagged
from screening.calculators import DEFAULT_CALCULATOR
from screening.errors import SettingError

if TYPE_CHECKING:
    from flows.deciding import Decided
    from stores.connect import Database

__all__ = ["RoutedScreenMaker"]


@dataclass
class RoutedScreenMaker(Maker):
    """Batches with the cheapest method, decisions, a flow per escalated material, and so on.

    The flow grows while it runs: every round of decisions is a job that is replaced by the
    fallback flows of the materials it escalates and by the next round. The summaries come last.

    Parameters
    ----------
    name
        Name of the flow.
    ladder
        Methods from the cheapest to the best, as :func:`flows.ladder.read_ladder` reads them.
    questions
        Texts that :func:`screening.decisions.parsing.parse_question` reads.
    alpha
        Accepted risk of a wrong answer.
    max_calculations, core_hours
        Budget of all methods above the cheapest, earlier runs for the same materials included;
        None for no limit.
    batch_size
        Materials per job of the cheapest method.
    """

    name: str = "routed screen"
    ladder: list[dict[str, Any]] = field(
        default_factory=lambda: [{"calculator": DEFAULT_CALCULATOR}]
    )
    questions: list[str] = field(default_factory=list)
    alpha: float = 0.1
    max_calculations: int | None = None
    core_hours: float | None = None
    batch_size: int = 50

    @property
    def batch_maker(self) -> ScreenBatchMaker:
        """Maker of the batches with the cheapest method."""
        first = self.ladder[0]
        return ScreenBatchMaker(
            calculator=first["calculator"], settings=dict(first.get("settings") or {})
        )

    def pending(self, database: Database, material_ids: Sequence[str]) -> dict[str, str]:
        """Return the key of the next prediction of each material with something left to do.

        Where only a decision is missing, it is the key of what is to be judged. For a question
        about polymorphs all of the composition that are asked about belong to it.
        """
        from flows.deciding import judge_of, pending_keys
        from screening.decisions.parsing import parse_questions

        judge = judge_of(database, self.ladder, parse_questions(self.questions), self.alpha)
        known = judge.known_of(database, material_ids)
        keys = pending_keys(judge, known)
        unwritten = _unwritten(database, judge.judge(known).decided)
        if judge.compares:
            formulas = {known[name].formula for name in unwritten}
            unwritten |= {name for name, one in known.items() if one.formula in formulas}
        for name, one in known.items():
            if one.is_asked and name in unwritten:
                keys.setdefault(name, one.keys[one.level or 0])
        return keys

    def failed(self, database: Database, material_ids: Sequence[str]) -> dict[str, str]:
        """Return the key of what failed of materials whose best method so far failed."""
        from flows.knowledge import read_knowledge
        from flows.ladder import read_ladder

        known = read_knowledge(database, material_ids, read_ladder(self.ladder))
        return {
            name: one.keys[max(one.failures)]
            for name, one in known.items()
            if max(one.failures, default=-1) > (-1 if one.level is None else one.level)
        }

    def make(self, database_uri: str, material_ids: Sequence[str]) -> Flow:
        """Return the flow; its output is the number of summary documents written.

        Raises
        ------
        SettingError
            If nothing is asked, a question cannot be read, contradicts another or goes beyond
            the temperatures of the predictions, or the ladder cannot be used.
        ModelError
            If a program of the ladder, which identifies its results, is not installed here.
        """
        from flows.ladder import read_ladder
        from flows.routing import Work
        from screening.decisions.parsing import parse_questions
        from screening.decisions.selection import Budget

        if not self.questions:
            raise SettingError("nothing is asked", subject="questions")
        budget = Budget(self.max_calculations, self.core_hours)
        asked = Work(self.ladder, parse_questions(self.questions), self.alpha, budget)
        names = list(material_ids)
        starts = range(0, len(names), self.batch_size)
        batches = [
            self.batch_maker.make(database_uri, names[start : start + self.batch_size])
            for start in starts
        ]
        work = {
            "ladder": read_ladder(self.ladder).named(),
            "questions": [question.text for question in asked.questions],
            "alpha": asked.alpha,
            "budget": asdict(asked.budget),
        }
        decide = decide_job(database_uri, names, work, [], [one.output for one in batches])
        tagged(decide, Resource.DATABASE)
        summary = SummaryMaker().make(database_uri, names, after=[decide.output])
        return Flow([*batches, decide, summary], output=summary.output, name=self.name)


def _unwritten(database: Database, decided: Sequence[Decided]) -> set[str]:
    """Return the materials with a decision that the database does not hold, or not like this."""
    from flows.catalogue import in_chunks
    from stores.documents.decision import decision_id_of
    from stores.query import in_values

    by_id = {decision_id_of(one.question.text, one.key, one.standing.alpha): one for one in decided}
    written: dict[str, str] = {}
    for some in in_chunks(sorted(by_id)):
        rows = database.decisions.query(in_values("decision_id", some), ["decision_id", "outcome"])
        written |= {row["decision_id"]: row["outcome"] for row in rows}
    return {
        one.material_id
        for decision_id, one in by_id.items()
        if written.get(decision_id) != one.decision.outcome
    }
