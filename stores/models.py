"""Trained models in the database: numbers in the blob store, everything else in ``models``.

Each version is kept, because predictions name the one that made them. A version is the start of
the model's digest, so that what predicts the same is stored once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from screening.errors import CorruptDataError, ModelCorruptError, NotFoundError
from screening.shipped_models import own_model_name, shipped_with_digest
from screening.trained_model import TrainedModel, method_and_name
from stores.builders.incremental import chunks
from stores.documents.model import MetricRecord, ModelDocument, ModelKind
from stores.query import and_, by_field, in_values

if TYPE_CHECKING:
    from stores.connect import Database  # brings the databases along

__all__ = [
    "SOURCE_IDS",
    "learned_by",
    "list_models",
    "load_model",
    "no_such_model",
    "store_model",
]

SOURCE_IDS = "source_ids"
"""Field of a card: keys of all that its training was given, which travels with its file."""

_MAX_NAMES = 10  # in a message


def store_model(
    database: Database,
    model: TrainedModel,
    training_ids: Sequence[str] = (),
    *,
    metrics: Sequence[MetricRecord] = (),
) -> str:
    """Write a trained model to the models; returns its key, such as ``rf-ifc:NAME@VERSION``.

    Storing the same model again changes nothing but its card, its scores and its time.

    Parameters
    ----------
    database
        An open database.
    model
        What to store.
    training_ids
        Keys of the documents that it was trained on; empty for those that the card names.
    metrics
        Scores on held-out sets.

    Raises
    ------
    SerializationError
        If an array, the state or the card cannot be stored; names what.
    SettingError
        If the model is of no known method, its name cannot name a model, or is that of what is
        installed.
    """
    if shipped_with_digest(model.digest) is None:  # a copy of what is installed keeps its name
        own_model_name(model.method, model.name)
    weights = database.blobs.put(model.arrays)
    named = training_ids or tuple(model.card.get(SOURCE_IDS, ()))
    document = ModelDocument.from_trained(model, weights, metrics=metrics, training_ids=named)
    database.models.update(document.to_store())
    return document.model_id


def learned_by(
    database: Database, model_digest: str, material_ids: Iterable[str]
) -> frozenset[str] | None:
    """Return those of some materials that a trained model learned from.

    Materials that stand for a duplicate that it learned from are among them, and duplicates of
    what it learned from.

    Parameters
    ----------
    database
        An open database.
    model_digest
        Digest of the model, as its predictions carry it.
    material_ids
        Which materials.

    Returns
    -------
    frozenset of str or None
        None where it is not known what the model learned from: it is neither stored here nor
        installed with the project, or does not say so.
    """
    known = _learned_from(database, model_digest)
    if not known:
        return None
    asked = tuple(dict.fromkeys(material_ids))
    learned = known.intersection(asked)
    fields = ["material_id", "duplicate_of"]
    for names in chunks(asked):
        for field in fields:
            for row in database.structures.query(in_values(field, names), fields):
                pair = {row["material_id"], row.get("duplicate_of")} - {None}
                learned |= pair if pair & known else set()
    return frozenset(learned.intersection(asked))


def _learned_from(database: Database, model_digest: str) -> frozenset[str]:
    rows = database.models.query(by_field("model_digest", model_digest), ["kind", "provenance"])
    stored = frozenset(
        name
        for row in rows
        if row["kind"] == ModelKind.PREDICTOR.value
        for name in row["provenance"]["source_ids"]
    )
    installed = None if stored else shipped_with_digest(model_digest)
    return stored if installed is None else frozenset(installed.card.get(SOURCE_IDS, ()))


def load_model(database: Database, name: str) -> TrainedModel:
    """Read a trained model.

    Parameters
    ----------
    database
        An open database.
    name
        ``rf-ifc:NAME`` or ``ldml:NAME`` for the version that was stored last, or with
        ``@VERSION`` for one of them.

    Raises
    ------
    SettingError
        If this is no name of a trained model.
    NotFoundError
        If there is no such model; says which there are.
    ModelCorruptError
        If its numbers are missing or not those of its digest.
    CorruptDataError
        If its document was changed.
    """
    given, _, version = name.partition("@")
    method_and_name(given)
    criteria = by_field("model_id", name) if version else by_field("name", given)
    found = _stored(database, criteria)
    if not found:
        raise no_such_model(name, list_models(database))
    return _assembled(database, max(found, key=_age))


def no_such_model(name: str, known: Sequence[ModelDocument]) -> NotFoundError:
    """Make the error of a name that no model has, which says what models there are."""
    names = [one.model_id for one in known]
    advice = "None was trained in this database yet; 'phonoscreen train' makes one"
    if names:
        more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
        advice = f"There are {', '.join(names[:_MAX_NAMES])}{more}"
    return NotFoundError("no such trained model", subject=name, hint=advice)


def list_models(database: Database) -> tuple[ModelDocument, ...]:
    """Read the documents of all trained models, by name, the newest version of each last.

    Raises
    ------
    CorruptDataError
        If a document was changed.
    """
    return tuple(sorted(_stored(database, {}), key=lambda one: (one.name, *_age(one))))


def _stored(database: Database, criteria: Mapping[str, Any]) -> list[ModelDocument]:
    """Read models that were trained here; potentials and calibrations have no weights."""
    kind = by_field("kind", ModelKind.PREDICTOR.value)
    rows = database.models.query(and_(kind, dict(criteria)) if criteria else kind)
    documents = (ModelDocument.load(row) for row in rows)
    return [one for one in documents if one.weights_blob is not None]


def _assembled(database: Database, document: ModelDocument) -> TrainedModel:
    """Put a model together and compare it with its digest."""
    assert document.weights_blob is not None
    assert document.provenance.method is not None
    try:
        arrays = database.blobs.get(document.weights_blob.sha256)
    except (CorruptDataError, NotFoundError) as error:
        raise _corrupt(error.message, document) from error
    model = TrainedModel(
        method=document.provenance.method,
        name=method_and_name(document.name)[1],
        elements=document.atomic_numbers or (),
        arrays=arrays,
        state=document.state or {},
        card=document.card or {},
        training_set_digest=document.training_set_digest or "",
        n_training_samples=document.n_training_samples or 0,
    )
    if model.digest != document.model_digest:
        raise _corrupt("its content does not match its digest", document)
    return model


def _corrupt(message: str, document: ModelDocument) -> ModelCorruptError:
    return ModelCorruptError(
        f"the weights cannot be used: {message}",
        subject=document.model_id,
        hint="Train it again, or import its file",
    )


def _age(document: ModelDocument) -> tuple[str, str]:
    """Order by time; of one time by key, so that every process picks the same."""
    when = document.last_updated.isoformat() if document.last_updated else ""
    return when, document.key
