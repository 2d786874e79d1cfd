"""JSON of the command line: documented names, units in the names, stable between releases.

Every payload says its kind and version; a change of meaning raises `PAYLOAD_VERSION`. Values
are those of the documents: nothing is rounded, a missing value is null.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from screening.errors import SettingError

if TYPE_CHECKING:
    from flows.run import ScreenReport
    from flows.tables.runs import Status

__all__ = [
    "PAYLOAD_VERSION",
    "payload_fields",
    "payload_hull",
    "payload_query",
    "payload_ranking",
    "payload_screen",
    "payload_show",
    "payload_status",
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
        "warnings": "What to know before using the numbers.",
        "failures": "Failures of this material.",
    },
    "status": {
        "uri": "The database, password masked.",
        "collections": "Number of documents by collection.",
        "pending": "Materials without a prediction and without a failure.",
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


def payload_fields(kind: str) -> dict[str, str]:
    """Names and meanings of the fields of a payload.

    Fields of ``query`` and ``rank`` are those of each material and each composition.

    Parameters
    ----------
    kind
        ``query``, ``rank``, ``show``, ``status`` or ``screen``.

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
