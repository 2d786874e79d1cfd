"""The card of a trained model: what cross-validation found, beside baselines and the paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.linear_entropy.calibration import ALL, held_out_coverage
from screening.linear_entropy.moments import Moments
from screening.linear_entropy.settings import LinearEntropySettings
from screening.linear_entropy.table import TrainingTable
from screening.linear_entropy.thermal import CURVES
from screening.linear_entropy.thermal_validation import ThermalErrors
from screening.linear_entropy.validation import cross_validation_errors
from screening.metrics import regression_scores
from screening.prediction import FloatArray

__all__ = ["PAPER_FIGURES", "model_card"]

PAPER_FIGURES: Mapping[str, float] = {
    "formation_rmse_boltzmann_afs": 0.3,
    "formation_rmse_boltzmann_scattering": 0.7,
    "formation_rmse_boltzmann_bso4": 0.8,
    "strained_cells_rmse_boltzmann": 0.4,
    "random_damage_and_defects_rmse_boltzmann": 0.8,
    "defects_to_random_damage_rmse_boltzmann": 1.53,
}
"""Errors of entropies of formation by Lapointe et al. (2020), for bcc iron with 1024 atoms."""

_NORMAL_90 = 1.6448536269514722
_MOST_POINTS = 3000
_SHOWN_K = 300.0
_CURVE_UNITS = ("meV/atom", "meV/K/atom", "meV/K/atom")


def model_card(
    table: TrainingTable,
    moments: Sequence[Moments],
    thermal: ThermalErrors | None,
    settings: LinearEntropySettings,
) -> dict[str, Any]:
    """Collect what people should know, as plain JSON.

    Parameters
    ----------
    table, moments
        Training set, and what each structure was estimated to be without its part.
    thermal
        Curves of crystals, where there are any.
    settings
        What the model was trained with.
    """
    labels = table.labels
    truth = -0.5 * table.truth
    errors = -0.5 * cross_validation_errors(table, moments)
    card = {
        "reference": "doi:10.1103/PhysRevMaterials.4.063802",
        "target": settings.target,
        "modes": str(labels[0].kind),
        "descriptor": {"name": settings.descriptor, **table.maker.descriptor.settings},
        "n_features": int(table.summed.shape[1]),
        "n_structures": len(labels),
        "learned_from_atoms": bool(table.atoms),
        "n_groups": len({label.group for label in labels}),
        "n_unknown_residual_force": sum(
            label.origin.largest_force_ev_per_angstrom is None for label in labels
        ),
        "n_atoms": [min(len(one.system) for one in labels), max(len(one.system) for one in labels)],
        "entropy_boltzmann_per_cell": _scores(truth, errors),
        "entropy_boltzmann_per_atom": _scores(truth / _sizes(table), errors / _sizes(table)),
        "families": _by_family(table, truth, errors),
        "coverage": _coverage(table, moments, errors, settings.alpha),
        "baselines": _baselines(table, truth),
        "parity": _parity(table, truth, errors),
        "notes": [
            "cross-validated: no structure was predicted with one of its group in the training",
            "entropies without masses and temperature, which add exact terms",
        ],
    }
    if settings.target == "formation":  # of whole systems the paper has no figure
        card["paper"] = dict(PAPER_FIGURES)
    return card if thermal is None else card | _of_curves(card, table, thermal, settings.alpha)


def _of_curves(
    card: Mapping[str, Any], table: TrainingTable, thermal: ThermalErrors, alpha: float
) -> dict[str, Any]:
    """Collect what the curves of crystals add to a card."""
    found: dict[str, Any] = {"thermodynamics": _thermal(thermal)}
    if _SHOWN_K not in thermal.temperatures_k:
        return found
    at = thermal.temperatures_k.index(_SHOWN_K)
    return found | {
        "parity": card["parity"] | _parity_of_curves(thermal, at),
        "held_out_coverage_300k": _coverage_of_curves(table, thermal, at, alpha),
    }


def _parity(table: TrainingTable, truth: FloatArray, errors: FloatArray) -> dict[str, Any]:
    """Held-out entropies beside the true ones."""
    sizes = _sizes(table)
    found = _panel(truth / sizes, (truth + errors) / sizes, "k_B/atom")
    return {"entropy_boltzmann_per_atom": found}


def _parity_of_curves(thermal: ThermalErrors, at: int) -> dict[str, Any]:
    """Held-out free energies and heat capacities of all that have a spectrum."""
    usable = np.isfinite(thermal.predicted).all(axis=(1, 2))
    return {
        f"{curve} {_SHOWN_K:g} K": _panel(
            thermal.exact[usable, number, at], thermal.predicted[usable, number, at], unit
        )
        for number, (curve, unit) in enumerate(zip(CURVES, _CURVE_UNITS, strict=True))
        if not curve.startswith("entropy")  # it has its own panel
    }


def _panel(reference: FloatArray, predicted: FloatArray, unit: str) -> dict[str, Any]:
    """Values for a picture, evenly thinned out where they are many."""
    count = len(reference)
    chosen = np.linspace(0, count - 1, min(count, _MOST_POINTS)).round().astype(int)
    return {
        "reference": reference[chosen].tolist(),
        "predicted": predicted[chosen].tolist(),
        "unit": unit,
    }


def _coverage_of_curves(
    table: TrainingTable, thermal: ThermalErrors, at: int, alpha: float
) -> dict[str, float]:
    """Fraction of the crystals within intervals of each curve that other parts calibrate.

    One without a spectrum is in none.
    """
    groups = [label.group for label in table.labels]
    found = {}
    for number, curve in enumerate(CURVES):
        scores = thermal.scores[:, number, at]
        inside, _ = held_out_coverage(scores, groups, [ALL] * len(groups), table.folds, alpha)
        found[curve.partition("_mev")[0]] = float((inside & np.isfinite(scores)).mean())
    return found


def _sizes(table: TrainingTable) -> FloatArray:
    return np.array([len(label.system) for label in table.labels], dtype=np.float64)


def _scores(truth: FloatArray, errors: FloatArray) -> dict[str, Any]:
    return asdict(regression_scores(truth + errors, truth)) | {"spread": float(np.std(truth))}


def _by_family(table: TrainingTable, truth: FloatArray, errors: FloatArray) -> dict[str, Any]:
    """Scores of each class of structures."""
    names = np.array([label.origin.family for label in table.labels])
    found = {}
    for name in sorted(set(names.tolist()) - {""}):
        mine = names == name
        found[name] = _scores(truth[mine], errors[mine])
    return found


def _coverage(
    table: TrainingTable,
    moments: Sequence[Moments],
    errors: FloatArray,
    alpha: float,
) -> dict[str, Any]:
    """Fraction of the structures within their intervals, native and calibrated on other parts.

    Open intervals, of families that the other parts hardly know, hold everything: their fraction
    stands beside.
    """
    stds = 0.5 * np.array([one.std for one in moments])
    families = [label.origin.family for label in table.labels]
    groups = [label.group for label in table.labels]
    scores = np.abs(errors) / stds
    inside, closed = held_out_coverage(scores, groups, families, table.folds, alpha)
    native = scores <= _NORMAL_90
    by_family = {
        name: {
            "count": families.count(name),
            "native_90": float(native[[one == name for one in families]].mean()),
            "calibrated": float(inside[[one == name for one in families]].mean()),
            "open": float(1.0 - closed[[one == name for one in families]].mean()),
        }
        for name in sorted(set(families) - {""})
    }
    return {
        "intended": 1.0 - alpha,
        "native_90": float(native.mean()),
        "calibrated": float(inside.mean()),
        "open": float(1.0 - closed.mean()),
        "families": by_family,
    }


def _baselines(table: TrainingTable, truth: FloatArray) -> dict[str, Any]:
    """Root mean square errors of models that know no surroundings, by the same parts."""
    sizes, n_elements = _sizes(table), len(table.maker.elements)
    times = table.multipliers
    counts = table.summed[:, -n_elements:] / sizes[:, None]
    designs = {"mean": np.ones((len(sizes), 1)), "atom_counts": counts}
    energies = [label.origin.energy_ev for label in table.labels]
    if all(one is not None for one in energies):
        per_row = np.array(energies, dtype=np.float64) / times
        # beside the number of atoms the energy of a defect is that of its formation
        designs["linear_in_energy"] = np.column_stack([np.ones(len(sizes)), per_row, sizes / times])
    return {
        name: _scores(truth, times * _held_out(design, truth / times, table.folds) - truth)
        for name, design in designs.items()
    }


def _held_out(design: FloatArray, targets: FloatArray, folds: NDArray[np.int64]) -> FloatArray:
    """Least-squares predictions of each part from the others."""
    found = np.empty_like(targets)
    for part in np.unique(folds):
        rest = folds != part
        weights = np.linalg.lstsq(design[rest], targets[rest], rcond=None)[0]
        found[~rest] = design[~rest] @ weights
    return found


def _thermal(thermal: ThermalErrors) -> dict[str, Any]:
    """Scores of the curves of crystals with natural masses, by temperature."""
    usable = np.isfinite(thermal.predicted).all(axis=(1, 2))
    found: dict[str, Any] = {"crystals_without_spectrum": int(np.count_nonzero(~usable))}
    for number, curve in enumerate(CURVES):
        found[curve] = {
            f"{kelvin:g} K": asdict(
                regression_scores(
                    thermal.predicted[usable, number, index], thermal.exact[usable, number, index]
                )
            )
            for index, kelvin in enumerate(thermal.temperatures_k)
        }
    return found
