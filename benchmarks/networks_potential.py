"""Phonons by a potential against those of DFT, with its frequency scale and without it.

The stored scale multiplies all frequencies, so those without it follow by division. Beside both
stands what a factor would reach that is fitted to the other compositions of these very crystals:
no potential that is judged by them may carry it, but it says what is left once softening is gone.
Transitions between polymorphs take the static energies of one potential on both sides, so that
they differ by the vibrations alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from networks_models import Potential, PotentialPhonons, training_figures
from phonondb import Outcome, Run
from report import Figure

from screening.calculators import ForceCalculator
from screening.errors import ScreeningError
from screening.network_potential.evaluation import PhononEvaluation, evaluate_phonons
from screening.network_potential.frequency_errors import frequency_scores
from screening.network_potential.phonon_pairs import PhononPair
from screening.network_potential.softening import fit_frequency_scale

__all__ = ["potential_figures", "scaled_run"]

MOST_MAE_THZ, MOST_MAE_MEV = 0.9, 8.0
GOAL_MAE_THZ, GOAL_MAE_MEV = 0.5, 4.0
FREQUENCY = "frequency MAE, mean over crystals"
FREE_ENERGY = "A(300 K) MAE"
REQUIRED = {FREQUENCY: f"<= {MOST_MAE_THZ}", FREE_ENERGY: f"<= {MOST_MAE_MEV}"}
GOALS = {FREQUENCY: GOAL_MAE_THZ, FREE_ENERGY: GOAL_MAE_MEV}
WITHOUT_SCALE = (
    FREQUENCY,
    "frequency MAE, median over crystals",
    "slope against DFT, mean over crystals",
    FREE_ENERGY,
    "A(300 K) bias",
    "A(1000 K) MAE",
    "A(1000 K) bias",
)
_MOST_POINTS = 4000


def potential_figures(phonons: PotentialPhonons) -> tuple[list[Figure], dict[str, Any]]:
    """Compare every potential with DFT; only the first one has something to reach."""
    figures: list[Figure] = []
    details: dict[str, Any] = {}
    enthalpies_by = phonons.potentials[-1].calculator
    for place, potential in enumerate(phonons.potentials):
        run = _with_enthalpies(phonons.run(potential), enthalpies_by)
        required = REQUIRED if place == 0 else {}
        figures += _named(potential.name, _figures(run, required), enthalpies_by.name)
        if run.references and potential.scale != 1.0:
            figures += _unscaled_figures(run, potential)
        if run.references:
            figures += [_refitted_figure(run, potential.name)]
            details[potential.name] = _details(run)
    judged = phonons.potentials[0]
    names = [one.composition for one in phonons.run(judged).references]
    figures += _named(judged.name, training_figures(judged, names))
    return figures, details


def scaled_run(run: Run, factor: float) -> Run:
    """Return a run whose predicted frequencies are multiplied by a factor."""
    outcomes = [_scaled(one, factor) for one in run.outcomes]
    return replace(run, outcomes=outcomes)


def _scaled(outcome: Outcome, factor: float) -> Outcome:
    pair = outcome.pair
    mesh = replace(pair.predicted, frequencies_thz=factor * pair.predicted.frequencies_thz)
    return replace(outcome, pair=replace(pair, predicted=mesh))


def _with_enthalpies(run: Run, calculator: ForceCalculator) -> Run:
    """Give every crystal the static energy of the DFT cell by one potential."""
    outcomes = []
    for reference, outcome in zip(run.references, run.outcomes, strict=True):
        cell = reference.primitive
        numbers = np.array([site.specie.Z for site in cell])
        try:
            energy = calculator.energy(np.array(cell.lattice.matrix), cell.cart_coords, numbers)
        except Exception as error:  # noqa: BLE001 - of any library: none may hide a crystal
            print(f"  FAILED energy of {reference.name}: {error}", flush=True)
            outcomes.append(outcome)
            continue
        pair = replace(outcome.pair, static_enthalpy_ev_per_atom=energy / len(cell))
        outcomes.append(replace(outcome, pair=pair))
    return replace(run, outcomes=outcomes)


def _figures(run: Run, required: dict[str, str]) -> list[Figure]:
    figures = [replace(one, required=required.get(one.name, one.required)) for one in run.figures()]
    found = {one.name: one for one in figures}
    missing = [Figure(name, None, "", limit) for name, limit in required.items()]
    figures += [one for one in missing if one.name not in found]
    for name, goal in GOALS.items():
        value = found[name].value if name in found and required else None
        if value is not None:
            figures.append(Figure(f"  {name} over the goal {goal:g}", value / goal, ""))
    if run.references:
        evaluation = evaluate_phonons([one.pair for one in run.outcomes])
        figures += _stability_figures(evaluation) + _transition_figures(evaluation)
    return figures


def _stability_figures(evaluation: PhononEvaluation) -> list[Figure]:
    """Lowest frequencies on the mesh of DFT against the threshold; it has no band path."""
    found, scores = evaluation.stability, evaluation.stability.scores
    at = f"below {found.threshold_thz:g} THz"
    return [
        Figure(f"unstable by DFT and found {at}", scores.unstable_found, "crystals"),
        Figure(f"unstable by DFT and missed {at}", scores.unstable_missed, "crystals"),
        Figure(f"stable by DFT and found {at}", scores.stable_found, "crystals"),
        Figure(f"stable by DFT and missed {at}", scores.stable_missed, "crystals"),
        Figure("recall of instability (none where DFT has none)", scores.recall_of_instability, ""),
        Figure("balanced accuracy (none where DFT has none)", scores.balanced_accuracy, ""),
        Figure("accuracy of stability", scores.accuracy, ""),
        Figure("  baseline: always stable", found.always_stable_accuracy, ""),
    ]


def _transition_figures(evaluation: PhononEvaluation) -> list[Figure]:
    """Polymorphs within 10 meV/atom that the two sides name."""
    figures = []
    for one in evaluation.transitions:
        at = f"transitions at {one.temperature_k:.0f} K"
        figures += [
            Figure(f"{at}: compositions with polymorphs", one.n_compositions, ""),
            Figure(f"{at}: without a static energy", one.n_without_enthalpy, ""),
            Figure(f"{at}: named with DFT vibrations", len(one.reference), ""),
            Figure(f"{at}: named by the potential", len(one.predicted), ""),
            Figure(f"{at}: named by both", len(one.common), ""),
        ]
    return figures


def _unscaled_figures(run: Run, potential: Potential) -> list[Figure]:
    """Judge the same crystals without the scale that the model carries."""
    figures = scaled_run(run, 1.0 / potential.scale).figures()
    kept = [one for one in figures if one.name in WITHOUT_SCALE]
    scale = Figure("frequency scale of the model", potential.scale, "")
    return _named(f"{potential.name} without its scale", [scale, *kept])


def _refitted_figure(run: Run, name: str) -> Figure:
    """Judge each composition with a factor that is fitted to the others."""
    pairs = [one.pair for one in run.outcomes]
    errors = []
    for pair in pairs:
        others = [one for one in pairs if one.group != pair.group]
        if others:
            try:
                factor = fit_frequency_scale(others, "the others", n_resamples=0).factor
            except ScreeningError as error:
                print(f"  FAILED factor without {pair.group}: {error}", flush=True)
                continue
            errors.append(_error_thz(pair, factor))
    value = float(np.mean(errors)) if errors else None
    return Figure(f"{name}: frequency MAE, factor of other compositions", value, "THz")


def _error_thz(pair: PhononPair, factor: float) -> float:
    predicted, reference, weights = pair.on_mesh()
    return frequency_scores(factor * predicted, reference, weights).mae_thz


def _named(name: str, figures: Sequence[Figure], enthalpies_by: str = "") -> list[Figure]:
    """Put the name of the potential before that of the figure."""
    with_source = f" (energies: {enthalpies_by})"
    return [
        replace(
            one,
            name=f"{name}: {one.name}"
            + (with_source if enthalpies_by and one.name.endswith("with polymorphs") else ""),
        )
        for one in figures
    ]


def _details(run: Run) -> dict[str, Any]:
    """Errors by crystal, and points of the parity plot, evenly thinned out."""
    crystals = []
    for reference, outcome in zip(run.references, run.outcomes, strict=True):
        scores = frequency_scores(*outcome.pair.on_mesh())
        crystals.append(
            {
                "name": reference.name,
                "mae_thz": scores.mae_thz,
                "slope": scores.slope,
                "free_energy_error_mev_per_atom": outcome.shift_mev_per_atom,
            }
        )
    predicted = np.concatenate([one.pair.on_mesh()[0] for one in run.outcomes])
    truth = np.concatenate([one.pair.on_mesh()[1] for one in run.outcomes])
    kept = np.linspace(0, len(truth) - 1, min(len(truth), _MOST_POINTS)).astype(int)
    return {
        "crystals": crystals,
        "reference_thz": truth[kept].tolist(),
        "predicted_thz": predicted[kept].tolist(),
        "failures": run.failures,
    }
