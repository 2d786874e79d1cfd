"""What the database knows of some materials by the methods of a ladder, read in bulk.

One query per collection and 500 materials: predictions of the methods of the ladder by their
keys, and failures by the same keys. What other methods or settings gave is not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flows.catalogue import in_chunks
from flows.ladder import Ladder
from flows.materials import key_of
from screening.uncertainty.samples import Sample, sample_of
from stores.connect import Database
from stores.documents import PredictionDocument
from stores.query import in_values

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
    """

    material_id: str
    formula: str
    static_energy_ev_per_atom: float | None
    static_energy_source: str | None
    keys: tuple[str, ...]
    predictions: Mapping[int, Predicted] = field(default_factory=dict)
    failures: Mapping[int, str] = field(default_factory=dict)

    @property
    def level(self) -> int | None:
        """Place of the best method with a prediction; of none, None."""
        return max(self.predictions, default=None)

    @property
    def is_known(self) -> bool:
        """Whether any method said anything, be it that it failed."""
        return bool(self.predictions or self.failures)


def read_knowledge(
    database: Database, material_ids: Sequence[str], ladder: Ladder
) -> dict[str, Knowledge]:
    """Read what is known of some materials, in the order given."""
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
    return {name: found[name] for name in material_ids if name in found}


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
    return Predicted(document.prediction_id, sample, document.cost.wall_seconds)
