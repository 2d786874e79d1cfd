"""Phases to compare: one prediction per material, of one method for all where possible.

Thermodynamics of different methods or models differ by systematic errors (a soft potential by
tens of meV/atom) that do not cancel between phases. So the highest-tier method that all
predicted phases share is used for all of them; only where they share none, each gets its best.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from screening.comparison import Candidate
from stores.builders.vibrational import best_prediction
from stores.documents.prediction import PredictionDocument
from stores.documents.structure import StructureDocument

_HIGHEST_MODEL_TIER = 1  # DFT comes above

__all__ = ["candidate_of", "choose_predictions", "method_of"]


def method_of(prediction: PredictionDocument) -> str:
    """Everything but the structure that determines a prediction's numbers, as one text."""
    source = prediction.provenance
    return f"{source.method}/{source.method_version}/{source.model_digest}/{source.settings_digest}"


def choose_predictions(
    predictions: Mapping[str, Sequence[PredictionDocument]],
) -> dict[str, PredictionDocument]:
    """Choose one prediction per material, of one method for all where they share one.

    Parameters
    ----------
    predictions
        Predictions by material; materials without any are left out of the answer.
    """
    present = {name: tuple(group) for name, group in predictions.items() if group}
    by_method: dict[str, dict[str, PredictionDocument]] = {}
    for name, group in present.items():
        for one in group:
            by_method.setdefault(method_of(one), {})[name] = one
    shared = [chosen for chosen in by_method.values() if len(chosen) == len(present)]
    if not shared:
        return {name: best_prediction(group) for name, group in present.items()}
    first = min(present)
    best = best_prediction([chosen[first] for chosen in shared])
    return next(chosen for chosen in shared if chosen[first] is best)


def candidate_of(
    structure: StructureDocument,
    prediction: PredictionDocument | None,
    failure_codes: Sequence[str] = (),
    relaxed_into: str | None = None,
) -> Candidate:
    """Make the phase to compare out of a material's documents.

    Parameters
    ----------
    structure, prediction
        The documents; None where there is no prediction.
    failure_codes
        Codes of the material's failures.
    relaxed_into
        Material that is compared in this one's place, or None.
    """
    return Candidate(
        material_id=structure.material_id,
        label=structure.label,
        space_group_symbol=structure.space_group_symbol,
        formula=structure.formula_reduced,
        static_energy_ev_per_atom=structure.static_energy_ev_per_atom,
        static_energy_source=structure.static_energy_source,
        thermodynamics=prediction.thermodynamics.to_result() if prediction else None,
        verdict=prediction.stability.verdict if prediction else None,
        potential_energy_ev_per_atom=prediction.static_energy_ev_per_atom if prediction else None,
        potential_energy_source=prediction.static_energy_source if prediction else None,
        potential_energy_digest=_potential_of(prediction) if prediction else None,
        spread=prediction.spread.to_result() if prediction and prediction.spread else None,
        method=method_of(prediction) if prediction else "",
        failure=", ".join(failure_codes) or None,
        relaxed_into=relaxed_into,
    )


def _potential_of(prediction: PredictionDocument) -> str | None:
    """Digest of the model that the static energy is from; the name says it all for DFT.

    What stands for the model of given DFT data is the data, which differ for every material.
    """
    return prediction.provenance.model_digest if prediction.tier <= _HIGHEST_MODEL_TIER else None
