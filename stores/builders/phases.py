"""Phases to compare: one prediction per material, of one method for all where possible.

Thermodynamics of different methods or models differ by systematic errors (a soft potential by
tens of meV/atom) that do not cancel between phases. So the highest-tier method that all
predicted phases share is used for all of them; only where they share none, each gets its best.

Where a better method was asked for some phases alone, because the others were settled, the
order among those some is the better method's. Each of the others is anchored to them: it keeps
the distance from their mean that the shared method gives it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from screening.comparison import Candidate
from screening.prediction import FloatArray, Thermodynamics, frozen_array
from screening.predictors.interface import GIVEN_CELLS, GIVEN_FORCES
from stores.builders.vibrational import best_prediction
from stores.documents.prediction import PredictionDocument
from stores.documents.structure import StructureDocument

_HIGHEST_MODEL_TIER = 1  # DFT comes above
_MIN_ANCHORS = 2  # one alone has no order of its own

__all__ = ["Anchor", "anchored_predictions", "candidate_of", "choose_predictions", "method_of"]


def method_of(prediction: PredictionDocument) -> str:
    """Everything but the structure that determines a prediction's numbers, as one text.

    What stands for the model of given forces is the forces, which differ for every material:
    their name says where they come from.
    """
    source = prediction.provenance
    is_given = source.method in {GIVEN_CELLS, GIVEN_FORCES}
    model = source.model if is_given else source.model_digest
    return f"{source.method}/{source.method_version}/{model}/{source.settings_digest}"


@dataclass(frozen=True)
class Anchor:
    """A phase that both the better and the shared method have predicted."""

    better: PredictionDocument
    shared: PredictionDocument


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


def anchored_predictions(
    predictions: Mapping[str, Sequence[PredictionDocument]],
) -> tuple[dict[str, PredictionDocument], tuple[Anchor, ...]]:
    """Choose as `choose_predictions`, but let a better method that some phases have count.

    Parameters
    ----------
    predictions
        Predictions by material; materials without any are left out of the answer.

    Returns
    -------
    tuple
        One prediction per material, and the anchors of those that are not the better method's;
        none where all are of one method, or share none, or fewer than two have a better one.
    """
    shared = choose_predictions(predictions)
    if len({method_of(one) for one in shared.values()}) != 1:
        return shared, ()
    by_method: dict[str, list[Anchor]] = {}
    for name, group in sorted(predictions.items()):
        for one in group:
            if name in shared and _can_anchor(one, shared[name]):
                by_method.setdefault(method_of(one), []).append(Anchor(one, shared[name]))
    anchors = max(
        by_method.items(),
        key=lambda item: (len(item[1]), max(x.better.tier for x in item[1]), item[0]),
        default=("", []),
    )[1]
    if len(anchors) < _MIN_ANCHORS:
        return shared, ()
    return shared | {one.better.material_id: one.better for one in anchors}, tuple(anchors)


def _can_anchor(better: PredictionDocument, shared: PredictionDocument) -> bool:
    """Whether a better prediction may be compared with the shared one, point by point."""
    curves, others = better.thermodynamics, shared.thermodynamics
    same_grid = curves.temperatures_k == others.temperatures_k
    return better.tier > shared.tier and same_grid and curves.valid and others.valid


def candidate_of(
    structure: StructureDocument,
    prediction: PredictionDocument | None,
    failure_codes: Sequence[str] = (),
    relaxed_into: str | None = None,
    anchors: Sequence[Anchor] = (),
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
    anchors
        Phases that this one is placed relative to, unless it is one of them.
    """
    found = _candidate(structure, prediction, failure_codes, relaxed_into)
    is_anchor = any(prediction is one.better for one in anchors)
    return found if is_anchor or not anchors else _anchored(found, anchors)


def _candidate(
    structure: StructureDocument,
    prediction: PredictionDocument | None,
    failure_codes: Sequence[str],
    relaxed_into: str | None,
) -> Candidate:
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


def _anchored(candidate: Candidate, anchors: Sequence[Anchor]) -> Candidate:
    """Shift a phase by what the better method changes in its anchors, on average.

    Left alone where its grid is another one.
    """
    curves, first = candidate.thermodynamics, anchors[0].better
    if curves is None or tuple(curves.temperatures_k) != first.thermodynamics.temperatures_k:
        return candidate
    energies = [
        (one.better.static_energy_ev_per_atom, one.shared.static_energy_ev_per_atom)
        for one in anchors
    ]
    shifts = [two - one for two, one in energies if one is not None and two is not None]
    own = candidate.potential_energy_ev_per_atom
    has_energy = own is not None and len(shifts) == len(anchors)
    energy = own + float(np.mean(shifts)) if own is not None and has_energy else None
    return replace(
        candidate,
        thermodynamics=_shifted(curves, anchors),
        potential_energy_ev_per_atom=energy,
        potential_energy_source=first.static_energy_source if has_energy else None,
        potential_energy_digest=_potential_of(first) if has_energy else None,
        method=method_of(first),
        is_anchored=True,
    )


def _shifted(curves: Thermodynamics, anchors: Sequence[Anchor]) -> Thermodynamics:
    pairs = [
        (one.better.thermodynamics.to_result(), one.shared.thermodynamics.to_result())
        for one in anchors
    ]

    def moved(name: str) -> FloatArray:
        changes = [getattr(better, name) - getattr(shared, name) for better, shared in pairs]
        return frozen_array(getattr(curves, name) + np.mean(changes, axis=0))

    return replace(
        curves,
        free_energy_mev_per_atom=moved("free_energy_mev_per_atom"),
        entropy_mev_per_k_per_atom=moved("entropy_mev_per_k_per_atom"),
        heat_capacity_mev_per_k_per_atom=moved("heat_capacity_mev_per_k_per_atom"),
        internal_energy_mev_per_atom=moved("internal_energy_mev_per_atom"),
        zero_point_energy_mev_per_atom=float(moved("zero_point_energy_mev_per_atom")),
    )
