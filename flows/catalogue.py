"""Which materials: those a user names, those a filter selects, those that wait."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from flows.events import MaterialEvent, Outcome
from flows.materials import key_of
from screening.errors import NotFoundError, QueryError
from screening.predictors.interface import Predictor
from screening.structure import Crystal
from stores.connect import Database
from stores.documents import PredictionDocument, StructureDocument, VibrationalDocument
from stores.query import Criteria, by_field, in_values, parse_filter

__all__ = [
    "WorkList",
    "crystal_of",
    "find_material",
    "in_chunks",
    "materials_where",
    "originals_of",
    "prediction_keys",
    "prefer_predictions",
    "summaries_where",
    "work_list",
]

LEAST_PREFIX = 4
_CHUNK = 500  # keys per query
_IDENTITY = ["material_id", "structure_digest", "formula_reduced", "n_atoms"]
_KEY_ONLY = ["prediction_id"]
_FAILURE = ["prediction_id", "code", "message"]


def crystal_of(database: Database, material_id: str) -> Crystal:
    """Read one crystal.

    Raises
    ------
    NotFoundError
        If there is no such material.
    """
    stored = database.structures.query_one(by_field("material_id", material_id))
    if stored is None:
        raise NotFoundError("no such material", subject=material_id, hint="Import it first")
    return StructureDocument.load(stored).to_crystal()


def originals_of(database: Database, material_ids: Iterable[str]) -> tuple[str, ...]:
    """Replace duplicates by the material that stands for them, without repetition.

    Raises
    ------
    NotFoundError
        If a material is unknown.
    """
    wanted = list(dict.fromkeys(material_ids))
    links: dict[str, str | None] = {}
    for chunk in in_chunks(wanted):
        rows = database.structures.query(
            in_values("material_id", chunk), ["material_id", "duplicate_of"]
        )
        links |= {row["material_id"]: row.get("duplicate_of") for row in rows}
    unknown = [name for name in wanted if name not in links]
    if unknown:
        raise NotFoundError(
            f"no such material: {', '.join(unknown[:5])}", hint="Import the structures first"
        )
    return tuple(dict.fromkeys(links[name] or name for name in wanted))


@dataclass(frozen=True)
class WorkList:
    """What is left to do among some materials, and what earlier runs left of the others.

    Attributes
    ----------
    pending
        Materials without a prediction or a failure, largest first, because the last material
        decides when several workers are done.
    settled
        An event for every other one.
    """

    pending: tuple[str, ...]
    settled: tuple[MaterialEvent, ...]


def work_list(database: Database, material_ids: Sequence[str], predictor: Predictor) -> WorkList:
    """Find out what is left to do for a predictor, with a few queries for all materials."""
    waiting: list[tuple[int, str]] = []
    settled: list[MaterialEvent] = []
    for chunk in in_chunks(material_ids):
        rows = list(database.structures.query(in_values("material_id", chunk), _IDENTITY))
        keys = {row["material_id"]: key_of(row["structure_digest"], predictor) for row in rows}
        same = in_values("prediction_id", list(keys.values()))
        done = {row["prediction_id"] for row in database.predictions.query(same, _KEY_ONLY)}
        failed = {row["prediction_id"]: row for row in database.failures.query(same, _FAILURE)}
        for row in rows:
            name, key = row["material_id"], keys[row["material_id"]]
            if key in done:
                event = MaterialEvent(name, row["formula_reduced"], Outcome.ALREADY_DONE)
                settled.append(event)
            elif key in failed:
                detail = f"{failed[key]['code']}: {failed[key]['message']}"
                event = MaterialEvent(
                    name, row["formula_reduced"], Outcome.FAILED_BEFORE, detail=detail
                )
                settled.append(event)
            else:
                waiting.append((-row["n_atoms"], name))
    return WorkList(tuple(name for _, name in sorted(waiting)), tuple(settled))


def prediction_keys(
    database: Database, material_ids: Sequence[str], predictor: Predictor
) -> dict[str, str]:
    """Return the key that each material's prediction by a predictor has, or will have."""
    keys: dict[str, str] = {}
    for chunk in in_chunks(material_ids):
        rows = database.structures.query(in_values("material_id", chunk), _IDENTITY)
        found = {row["material_id"]: key_of(row["structure_digest"], predictor) for row in rows}
        keys |= {name: found[name] for name in chunk if name in found}
    return keys


def prefer_predictions(
    database: Database, material_ids: Sequence[str], predictor: Predictor
) -> None:
    """Let summaries show the predictions asked for now, where others were made after them.

    Among equals of one tier a summary shows the newest, of trained models the narrowest first;
    asking again makes a stored prediction the newest without computing it.
    """
    for chunk in in_chunks(material_ids):
        named = in_values("material_id", chunk)
        keys = prediction_keys(database, chunk, predictor)
        others = [
            keys[row["material_id"]]
            for row in database.vibrational.query(named, ["material_id", "prediction_id", "tier"])
            if row["prediction_id"] != keys[row["material_id"]] and row["tier"] <= predictor.tier
        ]
        stored = list(database.predictions.query(in_values("prediction_id", others)))
        renewed = [PredictionDocument.load(one).replaced().to_store() for one in stored]
        if renewed:
            database.predictions.update(renewed)


def in_chunks(names: Sequence[str], size: int = _CHUNK) -> Iterator[list[str]]:
    """Divide names into groups, by default the largest that one query may ask for."""
    for start in range(0, len(names), size):
        yield list(names[start : start + size])


def find_material(database: Database, text: str) -> str:
    """Return the material that a user means by an id, the beginning of one, or a label.

    Raises
    ------
    NotFoundError
        If nothing or more than one material fits.
    """
    fields = ["material_id", "label"]
    exact = list(database.structures.query(by_field("material_id", text), fields))
    labelled = exact or list(database.structures.query(by_field("label", text), fields))
    found = [row["material_id"] for row in labelled]
    if not found and text.startswith("ps-") and len(text) >= LEAST_PREFIX:
        every = (row["material_id"] for row in database.structures.query({}, ["material_id"]))
        found = [name for name in every if name.startswith(text)]
    if len(found) == 1:
        return str(found[0])
    problem = f"{len(found)} materials have this name" if found else "no such material"
    raise NotFoundError(
        problem, subject=text, hint="Give the whole id, as 'phonoscreen query' lists it"
    )


def materials_where(database: Database, text: str) -> tuple[str, ...]:
    """Return the materials that a filter on structures or on summaries selects.

    Raises
    ------
    QueryError
        If the filter cannot be read, or mixes fields of both collections.
    """
    try:
        criteria = _criteria(text, StructureDocument)
        rows = database.structures.query(criteria, ["material_id"])
    except QueryError:
        rows = database.vibrational.query(_criteria(text, VibrationalDocument), ["material_id"])
    return tuple(sorted(row["material_id"] for row in rows))


def summaries_where(
    database: Database, text: str, *, sort: dict[str, int] | None = None, limit: int = 0
) -> list[dict[str, Any]]:
    """Return the summaries that a filter selects.

    Raises
    ------
    QueryError
        If the filter cannot be read.
    """
    criteria = _criteria(text, VibrationalDocument)
    return list(database.vibrational.query(criteria, sort=sort, limit=limit))


def _criteria(text: str, model: type[StructureDocument | VibrationalDocument]) -> Criteria:
    return parse_filter(text, tuple(model.model_fields))
