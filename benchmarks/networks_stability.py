"""Whether potentials find crystals that are known to be unstable, beside calling all stable.

PhononDB has stable crystals alone, so the unstable ones are those of `unstable`: saddle points by
published first-principles calculations. Each is relaxed in its own symmetry by the potential. A
composition that the potential has learned from is counted beside the score.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from networks_models import DISPLACEMENT_ANGSTROM, Potential, compositions_trained_on
from phonondb import Run
from report import Figure
from unstable import UNSTABLE, UnstableCrystal

from screening.calculators import check_elements
from screening.harmonic import mesh_frequencies
from screening.metrics import stability_scores
from screening.network_potential.evaluation import STABILITY_CRITERION
from screening.phonons import PhononSettings, compute_forces, harmonic_from_forces
from screening.prediction import Verdict
from screening.relaxation import RelaxationSettings, relax
from screening.spectra import band_structure
from screening.stability import assess_stability
from screening.structure import canonical_crystal

__all__ = ["stability_figures", "verdict_of"]


def stability_figures(
    potential: Potential, run: Run, crystals: Sequence[UnstableCrystal] = UNSTABLE
) -> tuple[list[Figure], dict[str, Any]]:
    """Score a potential on unstable crystals and on the stable ones of a run."""
    found: dict[str, Verdict] = {}
    failures: list[str] = []
    for one in crystals:
        try:
            found[one.name] = verdict_of(one, potential)
        except Exception as error:  # noqa: BLE001 - of any library: none may hide a crystal
            failures.append(f"{one.name}: {type(error).__name__}: {error}")
            print(f"  FAILED {failures[-1]}", flush=True)
            continue
        print(f"  {one.name:<26} {found[one.name]}", flush=True)
    stable = [outcome.verdicts[STABILITY_CRITERION] for outcome in run.outcomes]
    truth = [Verdict.UNSTABLE] * len(found) + [Verdict.STABLE] * len(stable)
    figures = _figures([*found.values(), *stable], truth, failures)
    figures.append(Figure("unstable compositions trained on", _n_known(potential, crystals), ""))
    named = [
        Figure(f"{potential.name}: {one.name}", one.value, one.unit, one.required)
        for one in figures
    ]
    return named, {"verdicts": {name: str(one) for name, one in found.items()}}


def verdict_of(crystal: UnstableCrystal, potential: Potential) -> Verdict:
    """Relax a crystal in its symmetry and judge its lowest frequency on mesh and path."""
    structure = canonical_crystal(crystal.structure, subject=crystal.name).structure
    numbers = np.array([site.specie.Z for site in structure])
    check_elements(potential.calculator, numbers, subject=crystal.name)
    relaxed = relax(structure, potential.calculator, RelaxationSettings())[0]
    settings = PhononSettings(displacement_angstrom=DISPLACEMENT_ANGSTROM)
    harmonic = harmonic_from_forces(compute_forces(relaxed, potential.calculator, settings))
    mesh = mesh_frequencies(harmonic, settings.mesh_length_angstrom)
    return assess_stability(mesh, band_structure(harmonic)).verdicts[STABILITY_CRITERION]


def _figures(
    predicted: Sequence[Verdict], truth: Sequence[Verdict], failures: Sequence[str]
) -> list[Figure]:
    figures = [Figure("unstable crystals that failed", len(failures), "")]
    figures += [Figure(f"FAILED {one}", 1, "") for one in failures]
    if truth:
        scores = stability_scores(predicted, truth)
        always = truth.count(Verdict.STABLE) / len(truth)
        figures += [
            Figure("unstable crystals found", scores.unstable_found, "crystals"),
            Figure("unstable crystals missed", scores.unstable_missed, "crystals"),
            Figure("stable crystals called unstable", scores.stable_missed, "crystals"),
            Figure("recall of known instability", scores.recall_of_instability, ""),
            Figure("balanced accuracy, known instability", scores.balanced_accuracy, ""),
            Figure("  baseline: always stable, balanced", 0.5, ""),
            Figure("accuracy, known instability", scores.accuracy, ""),
            Figure("  baseline: always stable, accuracy", always, ""),
        ]
    return figures


def _n_known(potential: Potential, crystals: Sequence[UnstableCrystal]) -> int | None:
    learned = compositions_trained_on(potential.model)
    if learned is None:
        return None
    return sum(one.structure.composition.reduced_formula in learned for one in crystals)
