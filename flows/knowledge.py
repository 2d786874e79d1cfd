"""What the database knows of some materials by the methods of a ladder, read in bulk.

One query per collection and 500 materials: predictions of the methods of the ladder by their
keys, and failures by the same keys. What other methods or settings gave is not looked at.
Where a question is about polymorphs, all others of their compositions are read too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from flows.catalogue import in_chunks
from flows.ladder import Ladder
from flows.materials import key_of
from screening.uncertainty.samples import Sample, sample_of
from stores.connect import Database
from stores.documents import PredictionDocument
from stores.query import and_, by_field, in_values

__all__ = ["Knowledge", "Predicted", "read_knowledge"]

_IDENTITY = [
    "material_id",
    "structure_digest",
    "formula_reduced",
    "static_energy_ev_per_atom",
    "static_energy_source",
]
_FAILURE = ["prediction_id", "code"]


@dataclass(frozen=True)
class Predicted:
    """A prediction by one method, as far as decisions are concerned."""

    prediction_id: str
    sample: Sample
    wall_seconds: float
    cpu_seconds: float = 0.0

    @property
    def is_valid(self) -> bool:
        """Whether its free energies mean anything."""
        return self.sample.thermodynamics.valid


@dataclass(frozen=True)
class Knowledge:
    """One material and what every method of the ladder said of it, by place in the ladder.

    Attributes
    ----------
    material_id, formula
        Which crystal; its reduced formula.
    static_energy_ev_per_atom, static_energy_source
        Given with the structure, or None.
    keys
        Key that the prediction of each method has or will have.
    predictions
        What there is.
    failures
        Error codes of the methods that failed.
    is_asked
        Whether the user asked about it; others of its composition are there to be compared.
    """

    material_id: str
    formula: str
    static_energy_ev_per_atom: float | None
    static_energy_source: str | None
    keys: tuple[str, ...]
    predictions: Mapping[int, Predicted] = field(default_factory=dict)
    failures: Mapping[int, str] = field(default_factory=dict)
    is_asked: bool = True

    @property
    def level(self) -> int | None:
        """Place of the best method with a prediction; of none, None."""
        return max(self.predictions, default=None)

    @property
    def is_known(self) -> bool:
        """Whether there is a prediction, or the cheapest method failed.

        Where only a better one failed, the cheapest has still to be asked.
        """
        return bool(self.predictions) or 0 in self.failures


def read_knowledge(
    database: Database,
    material_ids: Sequence[str],
    ladder: Ladder,
    *,
    with_polymorphs: bool = False,
) -> dict[str, Knowledge]:
    """Read what is known of some materials, in the order given.

    Parameters
    ----------
    database, ladder
        Where, and by which methods.
    material_ids
        What is asked about; originals, not duplicates.
    with_polymorphs
        Whether the others of their compositions follow, as not asked about.
    """
    asked = dict.fromkeys(material_ids)
    others = _polymorphs(database, material_ids) if with_polymorphs else []
    names = [*asked, *(name for name in others if name not in asked)]
    found = _read(database, names, ladder)
    return {
        name: found[name] if name in asked else replace(found[name], is_asked=False)
        for name in names
        if name in found
    }


def _polymorphs(database: Database, material_ids: Sequence[str]) -> list[str]:
    """All originals of the compositions of some materials, by name."""
    formulas: set[str] = set()
    for names in in_chunks(material_ids):
        rows = database.structures.query(in_values("material_id", names), ["formula_reduced"])
        formulas |= {row["formula_reduced"] for row in rows}
    found: list[str] = []
    for some in in_chunks(sorted(formulas)):
        same = and_(in_values("formula_reduced", some), by_field("duplicate_of", None))
        found += [row["material_id"] for row in database.structures.query(same, ["material_id"])]
    return sorted(found)


def _read(database: Database, material_ids: Sequence[str], ladder: Ladder) -> dict[str, Knowledge]:
    found: dict[str, Knowledge] = {}
    for names in in_chunks(material_ids):
        rows = list(database.structures.query(in_values("material_id", names), _IDENTITY))
        keys = {
            row["material_id"]: tuple(
                key_of(row["structure_digest"], step.predictor) for step in ladder.steps
            )
            for row in rows
        }
        same = in_values("prediction_id", [key for group in keys.values() for key in group])
        predicted = {
            row["prediction_id"]: _predicted(row) for row in database.predictions.query(same)
        }
        failed = {
            row["prediction_id"]: str(row["code"])
            for row in database.failures.query(same, _FAILURE)
        }
        for row in rows:
            name = row["material_id"]
            found[name] = _knowledge(row, keys[name], predicted, failed)
    return found


def _knowledge(
    row: Mapping[str, Any],
    keys: tuple[str, ...],
    predicted: Mapping[str, Predicted],
    failed: Mapping[str, str],
) -> Knowledge:
    levels = dict(enumerate(keys))
    return Knowledge(
        material_id=row["material_id"],
        formula=row["formula_reduced"],
        static_energy_ev_per_atom=row.get("static_energy_ev_per_atom"),
        static_energy_source=row.get("static_energy_source"),
        keys=keys,
        predictions={level: predicted[key] for level, key in levels.items() if key in predicted},
        failures={
            level: failed[key]
            for level, key in levels.items()
            if key in failed and key not in predicted
        },
    )


def _predicted(row: Mapping[str, Any]) -> Predicted:
    document = PredictionDocument.load(row)
    sample = sample_of(document.to_prediction(), document.material_id)
    cost = document.cost
    return Predicted(document.prediction_id, sample, cost.wall_seconds, cost.cpu_seconds)
