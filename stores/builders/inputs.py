"""What builders read: light projections to plan from, whole documents to compute from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from screening.errors import ScreeningError
from stores.builders.incremental import by_key
from stores.documents.base import Document
from stores.documents.decision import DecisionDocument
from stores.documents.prediction import PredictionDocument
from stores.documents.structure import StructureDocument
from stores.query import Criteria, in_values

if TYPE_CHECKING:
    from stores.connect import Database, DocumentStore  # brings the databases along

__all__ = ["Marks", "Materials", "document_or_error", "read_inputs", "read_marks"]

_D = TypeVar("_D", bound=Document)


@dataclass(frozen=True)
class Marks:
    """Keys and content digests of all inputs, by material: enough to see what changed.

    Attributes
    ----------
    structures
        Projection of every structure.
    predictions, decisions
        Content digest by key, by material.
    failures
        Error codes by material, sorted.
    newest
        Key of the prediction that was made or asked for last, by material.
    """

    structures: Mapping[str, Mapping[str, Any]]
    predictions: Mapping[str, Mapping[str, str]]
    decisions: Mapping[str, Mapping[str, str]]
    failures: Mapping[str, tuple[str, ...]]
    newest: Mapping[str, str] = field(default_factory=dict)

    def of_material(self, material_id: str) -> dict[str, Any]:
        """List what a material's summary depends on, as plain values to digest."""
        return {
            "structure": self.structures.get(material_id, {}).get("content_digest"),
            "predictions": dict(self.predictions.get(material_id, {})),
            "newest": self.newest.get(material_id),
            "decisions": dict(self.decisions.get(material_id, {})),
        }

    def of_phase(self, material_id: str) -> dict[str, Any]:
        """List what a material's part in a comparison depends on."""
        predictions = dict(self.predictions.get(material_id, {}))
        codes = [] if predictions else list(self.failures.get(material_id, ()))
        return {
            "structure": self.structures.get(material_id, {}).get("content_digest"),
            "predictions": predictions,
            "newest": self.newest.get(material_id),
            "failures": codes,
        }


@dataclass(frozen=True)
class Materials:
    """Whole documents by material, and what could not be read."""

    structures: Mapping[str, StructureDocument]
    predictions: Mapping[str, tuple[PredictionDocument, ...]]
    decisions: Mapping[str, tuple[DecisionDocument, ...]] = field(default_factory=dict)
    errors: Mapping[str, ScreeningError] = field(default_factory=dict)


def read_marks(db: Database, criteria: Criteria | None = None) -> Marks:
    """Read keys and digests of all inputs of the materials that meet the criteria.

    ``criteria`` may only name ``material_id``, the field that all collections share.
    """
    structures = by_key(
        db.structures,
        "material_id",
        ["content_digest", "formula_reduced", "chemsys", "duplicate_of"],
        criteria,
    )
    failures: dict[str, set[str]] = defaultdict(set)
    for failure in by_key(db.failures, "failure_id", ["material_id", "code"], criteria).values():
        if failure.get("material_id"):
            failures[str(failure["material_id"])].add(str(failure.get("code")))
    return Marks(
        structures=structures,
        predictions=_digests(db.predictions, "prediction_id", criteria),
        decisions=_digests(db.decisions, "decision_id", criteria),
        failures={name: tuple(sorted(codes)) for name, codes in failures.items()},
        newest=_newest(db.predictions, criteria),
    )


def _newest(store: DocumentStore, criteria: Criteria | None) -> dict[str, str]:
    """Key of the newest prediction by material; of two at one time, the greater key."""
    found: dict[str, tuple[str, str]] = {}
    fields = ["material_id", "last_updated"]
    for key, row in by_key(store, "prediction_id", fields, criteria).items():
        name, mark = str(row["material_id"]), (str(row.get("last_updated") or ""), key)
        found[name] = max(found.get(name, mark), mark)
    return {name: key for name, (_, key) in found.items()}


def _digests(
    store: DocumentStore, key: str, criteria: Criteria | None
) -> dict[str, dict[str, str]]:
    """Content digest by key, by material."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    projected = by_key(store, key, ["material_id", "content_digest"], criteria)
    for name, document in projected.items():
        found[str(document.get("material_id"))][name] = str(document.get("content_digest"))
    return dict(found)


def read_inputs(db: Database, material_ids: Sequence[str], *, decisions: bool = False) -> Materials:
    """Read whole documents of some materials; a broken one is an error of its material."""
    criteria = in_values("material_id", list(material_ids))
    errors: dict[str, ScreeningError] = {}
    structures = _load(StructureDocument, db.structures.query(criteria), errors)
    predictions = _load(PredictionDocument, db.predictions.query(criteria), errors)
    decided = _load(DecisionDocument, db.decisions.query(criteria), errors) if decisions else []
    return Materials(
        structures={document.material_id: document for document in structures},
        predictions=_grouped(predictions),
        decisions=_grouped(decided),
        errors=errors,
    )


def document_or_error(
    materials: Materials,
    material_ids: Sequence[str],
    make: Callable[[Sequence[StructureDocument]], Document],
) -> Document | ScreeningError:
    """Make a document of some materials, or say why not: a broken input, or what was raised.

    Parameters
    ----------
    materials
        What was read.
    material_ids
        Whose structures to hand over; those not found are left out.
    make
        From structures to the document.
    """
    broken = next((materials.errors[n] for n in material_ids if n in materials.errors), None)
    if broken is not None:
        return broken
    try:
        return make([materials.structures[n] for n in material_ids if n in materials.structures])
    except ScreeningError as error:
        return error


def _load(
    kind: type[_D], stored: Iterable[Mapping[str, Any]], errors: dict[str, ScreeningError]
) -> list[_D]:
    documents = []
    for one in stored:
        try:
            documents.append(kind.load(one))
        except ScreeningError as error:
            errors.setdefault(str(one.get("material_id")), error)
    return documents


def _grouped(documents: Sequence[Any]) -> dict[str, tuple[Any, ...]]:
    """Documents by material, sorted by key."""
    groups: dict[str, list[Any]] = defaultdict(list)
    for document in sorted(documents, key=lambda one: str(one.key)):
        groups[document.material_id].append(document)
    return {name: tuple(group) for name, group in groups.items()}
