"""Crystals as a model relaxed them: what stored predictions took their phonons at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stores.builders.incremental import chunks
from stores.documents.prediction import PredictionDocument
from stores.query import in_values
from stores.training_sources import is_source

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from stores.connect import Database  # brings the databases along

__all__ = ["read_relaxed", "relaxed_by"]

_FIELDS = ["prediction_id", "material_id", "tier", "provenance", "relaxation", "last_updated"]


def relaxed_by(database: Database, material_ids: Sequence[str], source: str) -> dict[str, str]:
    """Find predictions whose crystals a model has relaxed.

    Of several predictions of one material that of the highest tier counts, then that of the
    latest version of the method, then the newest, as where phonons are learned from.

    Parameters
    ----------
    database
        An open database.
    material_ids
        Which materials.
    source
        Name of the model, with or without ``@`` and the start of its digest.

    Returns
    -------
    dict
        Key of the prediction by material; materials that it has not relaxed are left out.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for names in chunks(material_ids):
        for row in database.predictions.query(in_values("material_id", names), _FIELDS):
            made = row["provenance"]
            if row.get("relaxation") and is_source(source, made["model"], made["model_digest"]):
                held = found.get(row["material_id"], row)
                found[row["material_id"]] = max(held, row, key=_merit)
    return {name: str(row["prediction_id"]) for name, row in found.items()}


def _merit(row: Mapping[str, Any]) -> tuple[Any, ...]:
    version = row["provenance"]["method_version"]
    return row["tier"], version, str(row.get("last_updated") or ""), row["prediction_id"]


def read_relaxed(database: Database, prediction_ids: Sequence[str]) -> dict[str, Structure]:
    """Read the structures of predictions, by the keys of their materials."""
    found: dict[str, Structure] = {}
    for keys in chunks(prediction_ids):
        for row in database.predictions.query(in_values("prediction_id", keys)):
            document = PredictionDocument.load(row)
            found[document.material_id] = document.structure.to_pymatgen()
    return found
