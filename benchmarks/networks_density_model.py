"""A given ensemble on the crystals of PhononDB, beside densities of states from potentials.

The crystals are DFT's and the ensemble learned from something else, so its row holds the error of
its labels as well; the rows of the potentials say how large such an error is. The mean and the
nearest neighbours are those of the other compositions of these very crystals: they learn from DFT.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from networks_density import (
    COVERAGE_K,
    LEAST_PER_SECOND,
    coverage_of,
    dos_labels,
    ratio_figures,
    throughput,
)
from networks_models import PotentialPhonons
from report import Figure

from screening.model_files import read_model
from screening.network_dos.baselines import MeanDensity, NearestNeighbours, ZeroDensity
from screening.network_dos.estimates import CURVES
from screening.network_dos.grid import FrequencyGrid
from screening.network_dos.labels import DosLabel, label_of_mesh
from screening.network_dos.model import DensityOfStatesModel
from screening.network_dos.scalar_model import label_curves
from screening.network_dos.scores import SCORE_TEMPERATURES_K, dos_scores
from screening.prediction import FloatArray

__all__ = ["given_model_figures", "leave_one_out", "potential_histograms"]


def given_model_figures(
    path: Path, phonons: PotentialPhonons
) -> tuple[list[Figure], dict[str, Any]]:
    """Score a stored ensemble against DFT."""
    trained = read_model(path)
    model, name = DensityOfStatesModel.from_trained(trained, "cpu"), f"alignn:{trained.name}"
    grid = model.settings.grid
    labels, n_outside = dos_labels(phonons.data, grid)
    potentials = potential_histograms(phonons, grid)
    known = [one for one in labels if _is_known(one, model, potentials)]
    learned = {x for part in ("learning", "calibration") for x in trained.card["split"][part]}
    counts = {
        "crystals": len(known),
        "left out, modes outside": n_outside,
        "left out, element not known or failed": len(labels) - len(known),
        "compositions it has seen": len({one.group for one in known} & learned),
    }
    figures = [Figure(f"{name}: {key}", count, "") for key, count in counts.items()]
    if not known or model.settings.architecture.with_prior:
        return figures, {}
    rows, refused = _rows(model, known, potentials)
    per_second, _ = throughput(known, model.settings)
    return [
        *figures,
        Figure(f"{name}: refused as unlike", refused, "crystals"),
        *ratio_figures(rows, name),
        *_coverage_figures(model, known, name),
        Figure(f"{name}: one member", per_second, "crystals/s", f">= {LEAST_PER_SECOND:g}"),
    ], {"rows": rows}


def _is_known(
    label: DosLabel, model: DensityOfStatesModel, potentials: Mapping[str, Mapping[str, Any]]
) -> bool:
    """Whether the model knows its elements and no potential failed on it."""
    known = _elements(label) <= set(model.elements)
    return known and all(label.material_id in found for found in potentials.values())


def _rows(
    model: DensityOfStatesModel,
    labels: Sequence[DosLabel],
    potentials: Mapping[str, Mapping[str, FloatArray]],
) -> tuple[dict[str, dict[str, float | int | None]], int]:
    """Score the ensemble and all baselines, and count crystals that it would refuse."""
    grid = model.settings.grid
    predicted = model.predict([one.structure for one in labels])
    rows = {"network": _row(predicted.histograms.mean(axis=1), labels, grid)}
    rows |= leave_one_out(labels, grid)
    for name, found in potentials.items():
        rows[name] = _row(np.array([found[one.material_id] for one in labels]), labels, grid)
    return rows, int((model.novelty(predicted) > 1.0).sum())


def _coverage_figures(
    model: DensityOfStatesModel, labels: Sequence[DosLabel], name: str
) -> list[Figure]:
    found = coverage_of(model, labels)
    return [
        Figure(
            f"{name}: {quantity} at {COVERAGE_K:.0f} K, coverage of DFT",
            float(np.mean(found.inside[quantity])),
            "",
        )
        for quantity in CURVES
    ]


def _elements(label: DosLabel) -> set[int]:
    return {int(site.specie.Z) for site in label.structure}


def potential_histograms(
    phonons: PotentialPhonons, grid: FrequencyGrid
) -> dict[str, dict[str, FloatArray]]:
    """Densities of states of each potential by crystal, where the potential did not fail."""
    found: dict[str, dict[str, FloatArray]] = {}
    for potential in phonons.potentials:
        run = phonons.run(potential)
        found[potential.name] = {
            reference.name: label_of_mesh(
                reference.primitive, outcome.pair.predicted, reference.name, grid
            ).histogram
            for reference, outcome in zip(run.references, run.outcomes, strict=True)
        }
    return found


def leave_one_out(
    labels: Sequence[DosLabel], grid: FrequencyGrid
) -> dict[str, dict[str, float | int | None]]:
    """Score the mean and the neighbours of the other compositions, and no modes at all."""
    guesses: dict[str, list[FloatArray]] = {"mean": [], "nearest_neighbours": []}
    for one in labels:
        others = [x for x in labels if x.group != one.group]
        guesses["mean"] += list(MeanDensity.fit(others, grid).predict([one.structure]))
        near = NearestNeighbours.fit(others, grid)
        guesses["nearest_neighbours"] += list(near.predict([one.structure]))
    zero = ZeroDensity(grid).predict([one.structure for one in labels])
    rows = {"zero": _row(zero, labels, grid)}
    return rows | {name: _row(np.array(one), labels, grid) for name, one in guesses.items()}


def _row(
    histograms: FloatArray, labels: Sequence[DosLabel], grid: FrequencyGrid
) -> dict[str, float | int | None]:
    curves = label_curves(labels, grid, SCORE_TEMPERATURES_K)
    atoms = [one.n_atoms for one in labels]
    reference = np.array([one.histogram for one in labels])
    return dos_scores(histograms, reference, grid, atoms, curves=curves).row()
