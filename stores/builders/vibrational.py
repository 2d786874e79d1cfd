"""The best-available summary of every material that has a prediction.

Rule: the highest tier; among equals the one that a decision accepted, then the one with most
committee members, then of trained models the one with the narrowest calibrated interval of the
free energy, then the latest version of the method, then the newest, then by key. A given
static energy (from DFT) is preferred to the potential's. The thermal conductivity is that of the
best prediction, by the same rule, among those that have one. The interval of the free energy is
that of a decision on the prediction shown; where no calibration answered, it is the one that the
prediction's own method calibrated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from screening.decisions.outcome import Outcome
from screening.errors import InconsistentDataError, NotFoundError, ScreeningError
from screening.predictors.interface import Tier
from stores.builders.failures import clear_failures
from stores.builders.incremental import (
    Builder,
    BuildReport,
    by_key,
    input_digest_of,
    run_build,
)
from stores.builders.inputs import Marks, Materials, read_inputs, read_marks
from stores.documents.base import Document, Provenance
from stores.documents.decision import DecisionDocument
from stores.documents.interval import IntervalRecord
from stores.documents.prediction import PredictionDocument
from stores.documents.structure import StructureDocument
from stores.documents.vibrational import VibrationalDocument
from stores.query import in_values

if TYPE_CHECKING:
    from stores.connect import Database  # brings the databases along

__all__ = ["best_prediction", "build_vibrational", "summarise"]

BUILDER_VERSION = 2
STAGE = "build_vibrational"
_TEMPERATURES_K = {"300k": 300.0, "1000k": 1000.0}
_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)


def best_prediction(
    predictions: Sequence[PredictionDocument], decisions: Sequence[DecisionDocument] = ()
) -> PredictionDocument:
    """Choose the prediction a summary shows, by the rule at the top of this module.

    Raises
    ------
    InconsistentDataError
        If there is no prediction.
    """
    if not predictions:
        raise InconsistentDataError("there is no prediction to choose from")
    accepted = {d.prediction_id for d in decisions if d.outcome is Outcome.ACCEPT}

    def merit(one: PredictionDocument) -> tuple[Any, ...]:
        return (
            one.tier,
            one.prediction_id in accepted,
            _committee_size(one),
            _sharpness(one),
            one.provenance.method_version,
            one.last_updated or _BEFORE_ALL,
            one.prediction_id,
        )

    return max(predictions, key=merit)


def _committee_size(one: PredictionDocument) -> int:
    """Count members; samples of fitted force constants are all of one model.

    What a trained model counts are the groups that its intervals were calibrated on.
    """
    is_committee = one.force_constants is None and one.tier != Tier.FAST_MODEL
    return one.spread.n_members if one.spread and is_committee else 1


def _sharpness(one: PredictionDocument) -> float:
    """Of a trained model minus the width of its interval; nothing where it has none.

    Which of two models was asked last says nothing of which is better; other methods are compared
    by their versions and times.
    """
    if one.tier != Tier.FAST_MODEL:
        return 0.0
    widths = [upper - lower for _, lower, upper in _closed(one.intervals)]
    return -min(widths, default=math.inf)


def summarise(
    structure: StructureDocument,
    predictions: Sequence[PredictionDocument],
    decisions: Sequence[DecisionDocument] = (),
    *,
    input_digest: str = "0" * 64,
) -> VibrationalDocument:
    """Summarise a material.

    Raises
    ------
    InconsistentDataError
        If there is no prediction.
    """
    best = best_prediction(predictions, decisions)
    return VibrationalDocument.build(
        provenance=Provenance.now(
            method="summary",
            method_version=BUILDER_VERSION,
            source_ids=(structure.material_id, *(one.prediction_id for one in predictions)),
        ),
        **_identity(structure),
        **_physics(best),
        **_intervals(best, decisions),
        **_conductivity(predictions, decisions),
        **_static_energy(structure, best),
        n_predictions=len(predictions),
        warnings=best.warnings,
        input_digest=input_digest,
    )


def build_vibrational(db: Database, material_ids: Sequence[str] | None = None) -> BuildReport:
    """Bring the summaries up to date, and forget failures whose prediction exists now.

    Parameters
    ----------
    db
        An open database.
    material_ids
        Only these materials; by default all.

    Returns
    -------
    BuildReport
        What was written, removed, left alone, and what failed.
    """
    asked = None if material_ids is None else set(material_ids)
    criteria = None if asked is None else in_values("material_id", sorted(asked))
    clear_failures(db, criteria)
    marks = read_marks(db, criteria)
    built = by_key(db.vibrational, "material_id", ["input_digest"], criteria)
    return run_build(
        Builder(
            STAGE,
            "material_id",
            lambda keys: _compute(db, keys),
            covers=lambda name: asked is None or name in asked,
        ),
        planned={name: _input_digest(marks, name) for name in marks.predictions},
        built={name: document.get("input_digest") for name, document in built.items()},
        target=db.vibrational,
        failures=db.failures,
    )


def _input_digest(marks: Marks, material_id: str) -> str:
    schema = VibrationalDocument.SCHEMA_VERSION
    return input_digest_of(BUILDER_VERSION, schema, **marks.of_material(material_id))


def _compute(db: Database, keys: Sequence[str]) -> dict[str, Document | ScreeningError]:
    """Summaries of some materials, or the error of each that cannot be summarised."""
    # Marks and documents are read again together: what is written names what it was made from.
    marks = read_marks(db, in_values("material_id", list(keys)))
    materials = read_inputs(db, keys, decisions=True)
    return {key: _summary_or_error(marks, materials, key) for key in keys}


def _summary_or_error(marks: Marks, materials: Materials, key: str) -> Document | ScreeningError:
    if key in materials.errors:
        return materials.errors[key]
    structure = materials.structures.get(key)
    if structure is None:
        hint = "Import the structure again, or remove its predictions"
        return NotFoundError("the structure of a prediction is missing", subject=key, hint=hint)
    try:
        return summarise(
            structure,
            materials.predictions.get(key, ()),
            materials.decisions.get(key, ()),
            input_digest=_input_digest(marks, key),
        )
    except ScreeningError as error:
        return error


def _identity(structure: StructureDocument) -> dict[str, Any]:
    names = (
        "material_id",
        "formula_reduced",
        "chemsys",
        "elements",
        "n_elements",
        "n_atoms",
        "space_group_number",
        "space_group_symbol",
        "prototype",
        "label",
    )
    return {name: getattr(structure, name) for name in names}


def _physics(best: PredictionDocument) -> dict[str, Any]:
    """Verdict, frequencies and thermal values of the chosen prediction."""
    curves, stability, spread = best.thermodynamics, best.stability, best.spread
    # an ordinary method without a committee has no spread; a spread without this number says
    # that the lowest frequency itself is none
    is_known = spread is None or spread.lowest_frequency_std_thz is not None
    values: dict[str, Any] = {
        "prediction_id": best.prediction_id,
        "method": best.provenance.method,
        "model": best.provenance.model,
        "tier": best.tier,
        "verdict": stability.verdict,
        "criterion": stability.criterion,
        "lowest_frequency_thz": stability.lowest_frequency_thz if is_known else None,
        "lowest_frequency_std_thz": spread.lowest_frequency_std_thz if spread else None,
        "thermodynamics_valid": curves.valid,
        "dropped_weight": curves.dropped_weight,
        "imaginary_weight": curves.imaginary_weight,
        "zero_point_energy_mev_per_atom": curves.zero_point_energy_mev_per_atom,
    }
    for name, temperature_k in _TEMPERATURES_K.items():
        values |= _at_temperature(best, name, curves.index_of(temperature_k))
    return values


def _at_temperature(best: PredictionDocument, name: str, index: int | None) -> dict[str, Any]:
    curves = {
        f"free_energy_{name}_mev_per_atom": best.thermodynamics.free_energy_mev_per_atom,
        f"entropy_{name}_mev_per_k_per_atom": best.thermodynamics.entropy_mev_per_k_per_atom,
        f"heat_capacity_{name}_mev_per_k_per_atom": (
            best.thermodynamics.heat_capacity_mev_per_k_per_atom
        ),
        f"free_energy_{name}_std_mev_per_atom": (
            best.spread.free_energy_std_mev_per_atom if best.spread else None
        ),
    }
    return {
        field: None if curve is None or index is None else curve[index]
        for field, curve in curves.items()
    }


def _intervals(best: PredictionDocument, decisions: Sequence[DecisionDocument]) -> dict[str, Any]:
    """Take the closed interval of the free energy at 300 K of most coverage, then the narrowest."""
    decided = [
        interval
        for decision in decisions
        if decision.prediction_id == best.prediction_id
        for interval in decision.intervals
    ]
    found = _closed(decided) or _closed(best.intervals)

    def merit(interval: tuple[float, float, float]) -> tuple[float, ...]:
        coverage, lower, upper = interval
        return (coverage, lower - upper, lower)

    _, lower, upper = max(found, key=merit, default=(None, None, None))
    return {
        "free_energy_300k_lower_mev_per_atom": lower,
        "free_energy_300k_upper_mev_per_atom": upper,
    }


def _closed(intervals: Sequence[IntervalRecord]) -> list[tuple[float, float, float]]:
    """Coverage and ends of the intervals of the free energy at 300 K that have both."""
    return [
        (one.coverage, one.lower, one.upper)
        for one in intervals
        if one.quantity == "free_energy_300k_mev_per_atom"
        if one.lower is not None and one.upper is not None
    ]


def _conductivity(
    predictions: Sequence[PredictionDocument], decisions: Sequence[DecisionDocument]
) -> dict[str, Any]:
    """Conductivity at room temperature of the best prediction that has it."""
    having = [one for one in predictions if _conductivity_index(one) is not None]
    value, std, prediction_id = None, None, None
    if having:
        best = best_prediction(having, decisions)
        index, curve = _conductivity_index(best), best.thermal_conductivity
        assert curve is not None
        assert index is not None
        value, prediction_id = curve.conductivity_w_per_m_k[index], best.prediction_id
        if curve.conductivity_std_w_per_m_k is not None:
            std = curve.conductivity_std_w_per_m_k[index]
    return {
        "thermal_conductivity_300k_w_per_m_k": value,
        "thermal_conductivity_300k_std_w_per_m_k": std,
        "thermal_conductivity_prediction_id": prediction_id,
    }


def _conductivity_index(one: PredictionDocument) -> int | None:
    curve = one.thermal_conductivity
    return None if curve is None else curve.index_of(_TEMPERATURES_K["300k"])


def _static_energy(structure: StructureDocument, best: PredictionDocument) -> dict[str, Any]:
    owner = structure if structure.static_energy_ev_per_atom is not None else best
    return {
        "static_energy_ev_per_atom": owner.static_energy_ev_per_atom,
        "static_energy_source": owner.static_energy_source,
    }
