"""Why a material has the numbers it has: predictions, decisions, failures, and what is next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flows.names import names_of
from screening.decisions.outcome import Outcome, Reason
from screening.errors import NotFoundError
from stores.connect import Database
from stores.documents import DecisionDocument, FailureDocument
from stores.query import by_field

__all__ = ["PredictionMark", "Trail", "trail_of"]

_IDENTITY = ["material_id", "formula_reduced", "label", "space_group_symbol"]
_MARK = [
    "prediction_id",
    "tier",
    "provenance",
    "model_settings",
    "cost",
    "stability.verdict",
    "stability.lowest_frequency_thz",
    "last_updated",
]

_NEXT = {
    Reason.BUDGET_EXHAUSTED: "The budget was spent: raise --max-dft or --budget-hours to go on",
    Reason.POLYMORPHS_MISSING: "Polymorphs of it have no numbers yet: screen them too",
    Reason.POLYMORPH_NOT_ASKED: "It stays open against polymorphs: ask about them too",
    Reason.POLYMORPH_UNUSABLE: "A polymorph of it has no usable numbers: run "
    "'phonoscreen why' on that one",
    Reason.NO_HIGHER_TIER: "No better method was allowed: name one with --fallback",
    Reason.ALL_TIERS_FAILED: "Every method failed: look at the failures, then run "
    "'phonoscreen retry'",
}
"""What to do about a question that is not answered, what can be done soonest first."""


@dataclass(frozen=True)
class PredictionMark:
    """One prediction as far as its origin goes.

    Attributes
    ----------
    prediction_id, tier, method, method_version, model, model_digest, settings_digest
        What made it.
    model_settings
        Settings of a model from first principles; empty for a potential.
    versions
        Of the packages that can change a number.
    verdict, lowest_frequency_thz
        Its dynamical stability.
    wall_seconds, force_calls
        What it cost.
    is_shown
        Whether the summary shows this one.
    """

    prediction_id: str
    tier: int
    method: str
    method_version: int
    model: str
    model_digest: str
    settings_digest: str
    versions: Mapping[str, str]
    verdict: str
    lowest_frequency_thz: float
    wall_seconds: float
    force_calls: int
    is_shown: bool
    model_settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Trail:
    """All that led to a material's numbers, in the order in which it happened.

    Attributes
    ----------
    material_id, formula, label, space_group_symbol
        Which crystal.
    predictions
        By tier.
    decisions
        By tier, then by time.
    failures
        What failed and was not made good since.
    next_step
        What is open, and what to do about it.
    names
        What people call it and its polymorphs.
    """

    material_id: str
    formula: str
    label: str | None
    space_group_symbol: str
    predictions: tuple[PredictionMark, ...]
    decisions: tuple[DecisionDocument, ...]
    failures: tuple[FailureDocument, ...]
    next_step: str
    names: Mapping[str, str] = field(default_factory=dict)


def trail_of(database: Database, material_id: str) -> Trail:
    """Read the trail of one material.

    Raises
    ------
    NotFoundError
        If there is no such material.
    """
    same = by_field("material_id", material_id)
    structure = database.structures.query_one(same, _IDENTITY)
    if structure is None:
        raise NotFoundError("no such material", subject=material_id, hint="Import it first")
    shown = database.vibrational.query_one(same, ["prediction_id"])
    shown_id = shown["prediction_id"] if shown else None
    marks = [_mark(row, shown_id) for row in database.predictions.query(same, _MARK)]
    decisions = [DecisionDocument.load(row) for row in database.decisions.query(same)]
    failures = [FailureDocument.load(row) for row in database.failures.query(same)]
    decisions.sort(key=lambda one: (one.tier, str(one.last_updated), one.question))
    return Trail(
        material_id=material_id,
        formula=structure["formula_reduced"],
        label=structure.get("label"),
        space_group_symbol=structure["space_group_symbol"],
        predictions=tuple(sorted(marks, key=lambda one: (one.tier, one.model))),
        decisions=tuple(decisions),
        failures=tuple(sorted(failures, key=lambda one: str(one.last_updated))),
        next_step=_next_step(marks, decisions, failures),
        names=names_of(database, [material_id]),
    )


def _mark(row: Mapping[str, Any], shown_id: str | None) -> PredictionMark:
    source, stability, cost = row["provenance"], row["stability"], row["cost"]
    return PredictionMark(
        prediction_id=row["prediction_id"],
        tier=row["tier"],
        method=source["method"],
        method_version=source["method_version"],
        model=source["model"],
        model_digest=source["model_digest"],
        settings_digest=source["settings_digest"],
        versions=dict(source["package_versions"]),
        verdict=stability["verdict"],
        lowest_frequency_thz=stability["lowest_frequency_thz"],
        wall_seconds=cost["wall_seconds"],
        force_calls=cost["force_calls"],
        is_shown=row["prediction_id"] == shown_id,
        model_settings=row.get("model_settings", {}),  # stored since schema version 2
    )


def _next_step(
    marks: Sequence[PredictionMark],
    decisions: Sequence[DecisionDocument],
    failures: Sequence[FailureDocument],
) -> str:
    """Say what is open: by the newest decision on every question, else by the failures."""
    by_time = sorted(decisions, key=lambda one: (str(one.last_updated), one.tier))
    last = {(one.question, one.alpha): one for one in by_time}
    if last:
        return _open_questions(list(last.values()))
    if marks:
        return "Nothing was asked yet: phonoscreen screen --question"
    if failures:
        hint = (failures[-1].next_step or "Look at the failure").rstrip(".")
        return f"{hint}; then run 'phonoscreen retry' and screen again"
    return "Not predicted yet: phonoscreen screen"


def _open_questions(last: Sequence[DecisionDocument]) -> str:
    """Say what is open of questions that were asked, what can be done soonest first."""
    asked = {str(one.next_tier) for one in last if one.outcome is Outcome.ESCALATE}
    if asked:
        tiers = ", ".join(sorted(asked))
        return f"Tier {tiers} is asked: run the same 'phonoscreen screen' again to go on"
    reasons = {one.reason for one in last}
    for reason, what_next in _NEXT.items():
        if reason in reasons:
            return what_next
    rejected = [one.question for one in last if one.outcome is Outcome.REJECT]
    return f"No method answers: {'; '.join(rejected)}" if rejected else "All questions are answered"
