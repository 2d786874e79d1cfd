"""JSON of the command line: documented names, units in the names, stable between releases.

Every payload says its kind and version; a change of meaning raises `PAYLOAD_VERSION`. Values
are those of the documents: nothing is rounded, a missing value is null.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from flows.tables.gaussian_process import GAUSSIAN_PROCESS_FIELDS
from flows.tables.kernels import KERNEL_FIELDS
from screening.errors import SettingError

if TYPE_CHECKING:
    from flows.deciding import Decided
    from flows.planning import Plan
    from flows.routing import RoutingReport
    from flows.run import ScreenReport
    from flows.tables.runs import Status
    from flows.trail import Trail
    from screening.decisions.outcome import Answer

__all__ = [
    "PAYLOAD_VERSION",
    "payload_fields",
    "payload_hull",
    "payload_plan",
    "payload_query",
    "payload_ranking",
    "payload_routing",
    "payload_screen",
    "payload_show",
    "payload_status",
    "payload_trail",
]

PAYLOAD_VERSION = 1

_NOT_SHOWN = frozenset(
    {"_id", "schema_version", "content_digest", "input_digest", "provenance", "last_updated"}
)
_COMPUTED_FIELDS: Mapping[str, Mapping[str, str]] = {
    "query": {},
    "rank": {
        "transitions": "Crossings between the lowest polymorphs, by temperature.",
        "experiment": "Of every polymorph: what experiment says; null where no note was given.",
        "lowest_frequency_thz": "Of every polymorph: lowest frequency in THz, imaginary "
        "negative; null where not predicted.",
    },
    "show": {
        "structure": "Document of the structure.",
        "summary": "Best-available numbers; null before a prediction.",
        "thermodynamics": "Curves on temperatures_k; null before a prediction.",
        "spread": "Standard deviations on the same grid; null without a committee.",
        "stability": "Verdicts under all criteria; null before a prediction.",
        "relaxation": "How the structure was relaxed; null where it was not.",
        "cost": "What the prediction cost; null before a prediction.",
        "model_settings": "Settings of a model from first principles; empty for a potential.",
        "warnings": "What to know before using the numbers.",
        "failures": "Failures of this material.",
    },
    "status": {
        "uri": "The database, password masked.",
        "collections": "Number of documents by collection.",
        "pending": "Materials without a prediction and without a failure.",
        "escalated": "Materials for which a better method was asked that has said nothing yet.",
        "verdicts": "Number of materials by verdict.",
        "models": "Number of predictions by model.",
        "failures": "Number of failures by error code.",
    },
    "screen": {
        "outcomes": "Number of materials by outcome: computed, already_done, busy_elsewhere, "
        "failed, failed_before.",
        "failures": "material_id, formula and detail of what failed now or before.",
        "written": "Number of summary documents written, by collection.",
        "wall_seconds": "Duration of the run in s.",
    },
    "repair": {
        "material_id": "The material to repair.",
        "formula": "Its reduced formula.",
        "outcome": "repaired, led_to_known, repaired_before, not_unstable, not_screened, refused, "
        "busy_elsewhere, failed or failed_before.",
        "child_id": "The lower structure it led to; null where there is none.",
        "gain_mev_per_atom": "How far that one lies below, meV/atom; null where there is none.",
        "detail": "How it was found, or why not.",
        "lowest_frequency_thz": "Of the material, THz, imaginary negative; null where unknown.",
        "child_verdict": "Stability of the lower structure; null where it is not predicted.",
        "child_lowest_frequency_thz": "Its lowest frequency in THz; null where not predicted.",
    },
    "routing": {
        "questions": "What was asked.",
        "alpha": "Accepted risk of a wrong answer.",
        "material_ids": "Materials asked for.",
        "outcomes": "Number of materials by what became of them: accept, escalate, reject.",
        "decisions": "For every material and question: material_id, formula, question, tier, "
        "outcome, reason, detail, next_tier, answer, answer_text, and values: quantity, unit, "
        "value (corrected for the bias of the method), raw_value (as predicted), lower, upper; "
        "null where an end is open or a value belongs to no single crystal.",
        "polymorphs": "For every composition and question about polymorphs: formula, question, "
        "answer, answer_text.",
        "methods": "For every method: tier, calculator, outcomes.",
        "failures": "material_id, formula and detail of what failed now or before.",
        "n_calculations": "Number of escalations, of a material to each better method one.",
        "core_hours": "What the escalations took; estimated where they failed.",
        "waiting": "Materials without a result.",
        "notes": "What intervals rest on, where it is no calibration against the better method.",
        "written": "Number of summary documents written, by collection.",
        "wall_seconds": "Duration of the run in s.",
    },
    "plan": {
        "n_materials": "Materials asked for.",
        "questions": "What is asked; empty without routing.",
        "alpha": "Accepted risk of a wrong answer.",
        "budget": "max_calculations and core_hours above the first tier; null for no limit.",
        "steps": "For every method, by tier: done, failed, materials, force calls, atoms of the "
        "smallest and largest supercell, core-hours with the factor that nine of ten are "
        "within, what it rests on, refused materials, and what is expected.",
    },
    "trail": {
        "material_id": "Key of the material.",
        "formula": "Reduced formula.",
        "label": "What the user calls it, or null.",
        "space_group_symbol": "International symbol.",
        "predictions": "Origin and cost of every prediction, by tier.",
        "decisions": "Documents of the decisions, by tier.",
        "failures": "Documents of the failures.",
        "next_step": "What is open, and what to do about it.",
        "calibrations": "Methods that the calibrations of the intervals compare, by their keys.",
    },
    **GAUSSIAN_PROCESS_FIELDS,
    **KERNEL_FIELDS,
}


def payload_query(documents: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Make the payload of ``query`` from documents of the ``vibrational`` collection.

    Examples
    --------
    >>> payload_query([])
    {'payload': 'query', 'payload_version': 1, 'n_materials': 0, 'materials': []}
    """
    materials = [_plain(document) for document in documents]
    return _head("query") | {"n_materials": len(materials), "materials": materials}


def payload_ranking(
    documents: Iterable[Mapping[str, Any]],
    *,
    materials: Iterable[Mapping[str, Any]] = (),
    experiments: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Make the payload of ``rank`` from documents of the ``polymorphs`` collection.

    Parameters
    ----------
    documents, materials, experiments
        As in `table_ranking`.
    """
    lowest = {one["material_id"]: one.get("lowest_frequency_thz") for one in materials}
    compositions = [_composition(one, lowest, experiments or {}) for one in documents]
    return _head("rank") | {"n_compositions": len(compositions), "compositions": compositions}


def payload_hull(documents: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Make the payload of ``hull`` from documents of the ``hulls`` collection."""
    systems = [_plain(one) for one in documents]
    return _head("hull") | {"n_systems": len(systems), "systems": systems}


def payload_show(
    structure: Mapping[str, Any],
    *,
    summary: Mapping[str, Any] | None = None,
    prediction: Mapping[str, Any] | None = None,
    failures: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Make the payload of ``show``; parameters are those of `table_show`."""
    parts = ("thermodynamics", "spread", "stability", "relaxation", "cost")
    predicted = _plain(prediction) if prediction is not None else {}
    return (
        _head("show")
        | {
            "material_id": structure["material_id"],
            "structure": _plain(structure),
            "summary": None if summary is None else _plain(summary),
        }
        | {name: predicted.get(name) for name in parts}
        | {
            "model_settings": predicted.get("model_settings", {}),
            "warnings": predicted.get("warnings", []),
            "failures": [_plain(one) for one in failures],
        }
    )


def payload_status(status: Status) -> dict[str, Any]:
    """Make the payload of ``status``."""
    return _head("status") | {
        "uri": status.uri,
        "collections": dict(status.collections),
        "pending": status.pending,
        "escalated": status.escalated,
        "verdicts": dict(status.verdicts),
        "models": dict(status.models),
        "failures": dict(status.failures),
    }


def payload_screen(report: ScreenReport) -> dict[str, Any]:
    """Make the payload of ``screen``."""
    return _head("screen") | {
        "outcomes": {str(name): count for name, count in report.outcomes.items()},
        "failures": [
            {"material_id": one.material_id, "formula": one.formula, "detail": one.detail}
            for one in report.failures
        ],
        "written": dict(report.written),
        "wall_seconds": report.wall_seconds,
    }


def payload_routing(report: RoutingReport) -> dict[str, Any]:
    """Make the payload of ``screen --question``."""
    return _head("routing") | {
        "questions": list(report.questions),
        "alpha": report.alpha,
        "material_ids": list(report.formulas),
        "outcomes": report.outcomes(),
        "decisions": [
            {
                "material_id": one.material_id,
                "formula": report.formulas[one.material_id],
                "question": one.question.text,
                "tier": one.standing.tier,
                "outcome": one.decision.outcome.value,
                "reason": one.decision.reason.value,
                "detail": one.decision.detail,
                "next_tier": one.decision.next_tier,
                **_answer(one.decision.answer),
                "values": _values(one),
            }
            for one in report.decided
        ],
        "polymorphs": [
            {"formula": one.formula, "question": one.question.text, **_answer(one.answer)}
            for one in report.answers
        ],
        "methods": [
            {"tier": one.tier, "calculator": one.calculator, "outcomes": dict(one.outcomes)}
            for one in report.steps
        ],
        "failures": [
            {"material_id": one.material_id, "formula": one.formula, "detail": one.detail}
            for one in report.failures
        ],
        "n_calculations": report.n_calculations,
        "core_hours": report.core_hours,
        "waiting": list(report.waiting),
        "notes": list(report.notes),
        "written": dict(report.written),
        "wall_seconds": report.wall_seconds,
    }


def _answer(answer: Answer | None) -> dict[str, Any]:
    return {
        "answer": None if answer is None else _value(answer.content),
        "answer_text": None if answer is None else answer.text,
    }


def _values(one: Decided) -> list[dict[str, Any]]:
    """Values that a decision rests on, as corrected and as predicted."""
    decision = one.decision
    raw = one.raw_values or (None,) * len(decision.intervals)
    rivals = decision.rivals or (None,) * len(decision.intervals)
    return [
        {
            "quantity": interval.quantity.name,
            "unit": interval.quantity.unit,
            "rival_id": rival,
            "value": interval.value,
            "raw_value": value,
            "lower": interval.lower if math.isfinite(interval.lower) else None,
            "upper": interval.upper if math.isfinite(interval.upper) else None,
        }
        for interval, value, rival in zip(decision.intervals, raw, rivals, strict=True)
    ]


def payload_plan(plan: Plan) -> dict[str, Any]:
    """Make the payload of ``plan``."""
    return _head("plan") | {name: _value(item) for name, item in asdict(plan).items()}


def payload_trail(trail: Trail, calibrations: Mapping[str, str]) -> dict[str, Any]:
    """Make the payload of ``why``; ``calibrations`` are those of its intervals, by key."""
    return _head("trail") | {
        "calibrations": dict(calibrations),
        "material_id": trail.material_id,
        "formula": trail.formula,
        "label": trail.label,
        "space_group_symbol": trail.space_group_symbol,
        "predictions": [asdict(one) for one in trail.predictions],
        "decisions": [
            _plain(one.to_store()) | {"last_updated": _value(one.last_updated)}
            for one in trail.decisions
        ],
        "failures": [_plain(one.to_store()) for one in trail.failures],
        "next_step": trail.next_step,
    }


def payload_fields(kind: str) -> dict[str, str]:
    """Names and meanings of the fields of a payload.

    Fields of ``query``, ``rank`` and ``repair`` are those of each material, composition and repair.

    Parameters
    ----------
    kind
        ``query``, ``rank``, ``show``, ``status``, ``screen``, ``repair``, ``routing``, ``plan``,
        ``trail``, ``gp-plan``, ``gp-fit``, ``gp-fit-rbf``, ``gp-kappa`` or ``gp-learn``.

    Raises
    ------
    SettingError
        If there is no such payload.
    """
    from stores.documents import Document, PolymorphsDocument, VibrationalDocument

    if kind not in _COMPUTED_FIELDS:
        raise SettingError(
            f"there is no payload {kind!r}",
            subject="payload",
            hint=f"Choose one of {', '.join(_COMPUTED_FIELDS)}",
        )
    models: dict[str, type[Document]] = {"query": VibrationalDocument, "rank": PolymorphsDocument}
    described: dict[str, str] = {}
    if kind in models:
        described = {
            name: info.description or ""
            for name, info in models[kind].model_fields.items()
            if name not in _NOT_SHOWN
        }
    return described | dict(_COMPUTED_FIELDS[kind])


def _head(kind: str) -> dict[str, Any]:
    return {"payload": kind, "payload_version": PAYLOAD_VERSION}


def _plain(document: Mapping[str, Any]) -> dict[str, Any]:
    """Copy without the fields of the store's bookkeeping."""
    return {name: _value(value) for name, value in document.items() if name not in _NOT_SHOWN}


def _value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _value(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_value(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value


def _composition(
    document: Mapping[str, Any], lowest: Mapping[str, float | None], said: Mapping[str, str]
) -> dict[str, Any]:
    """One ranking with its transitions, and for every phase frequency and experiment."""
    plain = _plain(document)
    for one in [*plain["polymorphs"], *plain["excluded"]]:
        one["lowest_frequency_thz"] = lowest.get(one["material_id"])
        one["experiment"] = said.get(one["material_id"])
    plain["transitions"] = [
        crossing
        for crossing in plain["crossings"]
        if crossing["between_lowest"] and crossing["comparable"]
    ]
    return plain
