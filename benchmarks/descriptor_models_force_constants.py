"""Force constants from pair descriptors on stored polymorphs of KZnF3, folds by structure."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
from kznf3_labels import read_labels
from pymatgen.core import Lattice, Structure
from report import Figure
from scipy.spatial.transform import Rotation

from screening.errors import OutOfDomainError, ScreeningError, TrainingSetError
from screening.hessians import ZoneCentreHessian
from screening.prediction import FloatArray, Prediction
from screening.predictors.random_forest import RandomForestPhonons
from screening.random_forest.model import RandomForestForceConstants
from screening.random_forest.settings import RandomForestSettings
from screening.random_forest.training import train_force_constants
from screening.structure import Crystal, canonical_crystal
from screening.trained_model import TrainedModel
from screening.zone_centre_modes import zone_centre_thermodynamics

__all__ = ["default_figures", "force_constant_figures"]

Progress = Callable[[str], None]
Scores = dict[str, dict[str, Any]]

ROWS = {
    "force_constant_components": "components of pair blocks",
    "entropy_300k": "S(300 K)",
    "free_energy_300k": "F(300 K)",
    "heat_capacity_300k": "C_V(300 K)",
    "frequency_mean": "mean frequency",
    "frequency_max": "highest frequency",
}
VARIANTS = ("rf_component", "rf_multi", "rf_frame", "tensor_ridge", "auto")
QUICK_VARIANTS = ("rf_frame", "tensor_ridge", "auto")
QUICK_STRUCTURES = 60
HELD_OUT = 4  # every fourth structure
LARGE_ATOMS = 40
N_TIMED, N_REPEATS = 20, 5


def force_constant_figures(
    seed: int, progress: Progress, *, quick: bool
) -> tuple[list[Figure], dict[str, Any]]:
    """Measure every variant."""
    labels = _labels(quick=quick)
    figures = [Figure("KZnF3 minima that differ", len(labels), "", None if quick else ">= 121")]
    details: dict[str, Any] = {}
    scores: dict[str, Scores] = {}
    for variant in QUICK_VARIANTS if quick else VARIANTS:
        model, seconds = _trained(labels, _settings(variant, seed))
        card = model.card
        scores[variant] = {row["quantity"]: row for row in card["scores"]}
        figures += _variant_figures(variant, scores[variant], card, seconds)
        details[variant] = dict(card)
        progress(f"{variant}: {seconds:.0f} s")
    return figures + _best_figures(scores, quick=quick), details


def default_figures(
    seed: int, progress: Progress, *, quick: bool
) -> tuple[list[Figure], dict[str, Any]]:
    """Measure what the default variant promises besides its errors."""
    labels = _labels(quick=quick)
    model, seconds = _trained(labels, _settings("auto", seed))
    progress(f"trained in {seconds:.0f} s")
    return _default_figures(labels, model, seed), {}


def _labels(*, quick: bool) -> list[ZoneCentreHessian]:
    labels = read_labels()
    return labels[:: len(labels) // QUICK_STRUCTURES] if quick else labels


def _settings(variant: str, seed: int) -> RandomForestSettings:
    if variant == "rf_component":
        return RandomForestSettings.published(seed=seed)
    return RandomForestSettings.from_dict({"variant": variant, "seed": seed})


def _trained(
    labels: Sequence[ZoneCentreHessian], settings: RandomForestSettings
) -> tuple[TrainedModel, float]:
    began = time.perf_counter()
    model = train_force_constants(labels, settings, "benchmark")
    return model, time.perf_counter() - began


def _variant_figures(
    variant: str, scores: Scores, card: Mapping[str, Any], seconds: float
) -> list[Figure]:
    figures = [Figure(f"{variant}: training with {card['n_folds']} folds", seconds, "s")]
    for quantity, label in ROWS.items():
        row = scores[quantity]
        published = row["published"] or {}
        figures += [
            Figure(f"  {label}: MAE", row["mae"], row["unit"]),
            Figure(f"  {label}: MAE published (DFT, 121)", published.get("mae"), row["unit"]),
            Figure(f"  {label}: correlation", row["pearson"], ""),
            Figure(f"  {label}: skill, 1 - MAE/MAD", row["skill"], ""),
        ]
    clipped = card["clipped_modes_per_cell"]
    return [*figures, Figure("  clipped modes in a cell", clipped, "")]


def _best_figures(scores: dict[str, Scores], *, quick: bool) -> list[Figure]:
    """Return what is required, of the variant whose entropies correlate best."""
    best = max(scores, key=lambda name: scores[name]["entropy_300k"]["pearson"])
    found = scores[best]
    bounds = (None, None, None) if quick else ("<= 0.17", ">= 0.8", "<= 2.9")
    return [
        Figure(f"best variant ({best}): components, MAE",
               found["force_constant_components"]["mae"], "eV/Å²", bounds[0]),
        Figure("  S(300 K): correlation", found["entropy_300k"]["pearson"], "", bounds[1]),
        Figure("  F(300 K): MAE", found["free_energy_300k"]["mae"], "meV/atom", bounds[2]),
        Figure("  F(300 K): MAE of the mean of all", found["free_energy_300k"]["mean_value_mae"],
               "meV/atom"),
        Figure("  F(300 K): skill", found["free_energy_300k"]["skill"], "", "> 0"),
        Figure("  S(300 K): skill", found["entropy_300k"]["skill"], "", "> 0"),
    ]  # fmt: skip


def _default_figures(
    labels: Sequence[ZoneCentreHessian], model: TrainedModel, seed: int
) -> list[Figure]:
    clipped = model.card["clipped_modes_per_cell"]
    return [
        Figure("default: change of a Hessian when the crystal turns", _turned(labels, model),
               "eV/Å²", "<= 1e-8"),
        Figure("  clipped modes in a cell", clipped, "", "< 1"),
        *_coverage_figures(labels, seed),
        *_time_figures(labels, model),
        Figure("  3 structures refused as too few", float(_refuses(labels[:3])), "", ">= 1"),
    ]  # fmt: skip


def _turned(labels: Sequence[ZoneCentreHessian], model: TrainedModel) -> float:
    """Largest change of any component beside the turned Hessian."""
    predict = RandomForestForceConstants.from_trained(model).hessians
    worst = 0.0
    for index, label in enumerate(labels[:: max(1, len(labels) // 10)]):
        turn = Rotation.random(rng=index).as_matrix()
        old = label.structure
        turned = Structure(Lattice(old.lattice.matrix @ turn.T), old.species, old.frac_coords)
        first, second = predict([old, turned])
        axes = np.kron(np.eye(len(old)), turn)
        worst = max(worst, float(np.abs(axes @ first @ axes.T - second).max()))
    return worst


def _coverage_figures(labels: Sequence[ZoneCentreHessian], seed: int) -> list[Figure]:
    """Train without every fourth structure, and predict it as a user would."""
    held_out = list(labels[::HELD_OUT])
    rest = [one for index, one in enumerate(labels) if index % HELD_OUT]
    model, _ = _trained(rest, _settings("auto", seed))
    crystals = [canonical_crystal(one.structure) for one in held_out]
    found = RandomForestPhonons(model).predict_many(crystals)
    pairs = [
        (one, label)
        for one, label in zip(found, held_out, strict=True)
        if isinstance(one, Prediction)
    ]
    refused = [one for one in found if isinstance(one, ScreeningError)]
    names = ("free_energy_300k_mev_per_atom", "entropy_300k_mev_per_k_per_atom")
    figures = [
        Figure("  crystals held out of a training of its own", len(held_out), ""),
        Figure("  of them refused as novel",
               sum(isinstance(one, OutOfDomainError) for one in refused), ""),
        Figure("  refused for another reason",
               sum(not isinstance(one, OutOfDomainError) for one in refused), "", "<= 0"),
    ]  # fmt: skip
    for name, label in zip(names, ("F", "S"), strict=True):
        inside = [_holds(one, truth, name) for one, truth in pairs]
        share = float(np.mean(inside)) if inside else None
        figures.append(
            Figure(f"  90 % intervals of {label}(300 K) that hold it", share, "", ">= 0.85")
        )
    return figures


def _holds(prediction: Prediction, label: ZoneCentreHessian, name: str) -> bool:
    from screening.hessians import atomic_masses_amu, zone_centre_frequencies_thz

    hessian = np.asarray(label.hessian_ev_per_angstrom2)
    frequencies = zone_centre_frequencies_thz(hessian, atomic_masses_amu(label.structure))
    exact = zone_centre_thermodynamics(frequencies, len(label.structure))
    place = int(np.argmin(np.abs(exact.temperatures_k - 300.0)))
    curve: FloatArray = getattr(exact, name.replace("_300k", ""))
    (interval,) = (one for one in prediction.intervals if one.quantity.name == name)
    return interval.lower <= float(curve[place]) <= interval.upper


def _time_figures(labels: Sequence[ZoneCentreHessian], model: TrainedModel) -> list[Figure]:
    """Time whole predictions, of cells that were learned and of cells four times as large."""
    crystals = (canonical_crystal(one.structure) for one in labels)
    small = (one for one in crystals if one.n_atoms == len(labels[0].structure))
    doubled = (one.structure * (2, 2, 1) for one in labels)
    large = (
        replace(canonical_crystal(one), structure=one, n_atoms=len(one))
        for one in doubled
        if len(one) == LARGE_ATOMS
    )
    of_large = RandomForestPhonons(_of_size(model, LARGE_ATOMS))
    return [
        Figure("  a whole prediction, 10 atoms, processor time",
               _milliseconds(RandomForestPhonons(model), small), "ms"),
        Figure(f"  a whole prediction, {LARGE_ATOMS} atoms, processor time",
               _milliseconds(of_large, large), "ms", "< 10"),
    ]  # fmt: skip


def _of_size(model: TrainedModel, n_sites: int) -> TrainedModel:
    """Tell a model that it learned cells of another size, so that it does all its work on them."""
    calibration = deepcopy(dict(model.state["calibration"]))
    calibration["domain"]["sites_per_cell"] = [n_sites, n_sites]
    return replace(model, state={**model.state, "calibration": calibration})


def _milliseconds(predictor: RandomForestPhonons, crystals: Iterable[Crystal]) -> float | None:
    """Processor time for the first crystal that is not refused, in ms; None without one."""
    for crystal in crystals:
        (found,) = predictor.predict_many([crystal])  # loads tables and libraries, too
        if isinstance(found, Prediction):
            return min(_processor_ms(predictor, [crystal] * N_TIMED) for _ in range(N_REPEATS))
    return None


def _processor_ms(predictor: RandomForestPhonons, crystals: Sequence[Crystal]) -> float:
    began = time.process_time()
    predictor.predict_many(crystals)
    return 1e3 * (time.process_time() - began) / len(crystals)


def _refuses(labels: Sequence[ZoneCentreHessian]) -> bool:
    try:
        train_force_constants(labels, RandomForestSettings(), "too few")
    except TrainingSetError:
        return True
    return False
