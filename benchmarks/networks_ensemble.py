"""The ensemble that is installed: on compositions it never saw, and against DFT.

Its labels are phonons by the potential that is installed. Stored ones of compositions that were set
aside before the training tell what it knows of its labels, and how often its intervals hold them;
the baselines learn from all the others. The crystals of PhononDB tell what it knows of DFT: its
row holds the error of the labels as well, and rows of potentials say how large such an error is.
There the mean and the nearest neighbours are those of the other compositions, by DFT.

From database to database the whole ensemble is timed, and the smallest that can be loaded: two of
its networks, for a spread needs two. That one is asked for what a single network has to reach: one
network less takes no longer, and nothing is shared out that does not grow with their number.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from ase.io import write
from density_labels import STORED, read_labels
from networks_coverage import coverage_figures, coverage_of, deviations, knows
from networks_density import (
    LEAST_PER_SECOND,
    REQUIRED,
    dos_labels,
    label_figures,
    ratio_figures,
)
from networks_models import RESERVED, PotentialPhonons, failure_figures
from pymatgen.io.ase import AseAtomsAdaptor
from references import read_records, usable_references
from report import Figure

from flows.imports import import_structures
from flows.predicting import PredictingReport, predict_stored
from screening.errors import ScreeningError
from screening.model_files import read_model
from screening.network_dos.baseline_rows import baseline_rows
from screening.network_dos.baselines import MeanDensity, NearestNeighbours, ZeroDensity
from screening.network_dos.grid import FrequencyGrid
from screening.network_dos.labels import DosLabel, label_of_mesh
from screening.network_dos.model import DensityOfStatesModel, PredictedDos
from screening.network_dos.scalar_model import label_curves
from screening.network_dos.scores import SCORE_TEMPERATURES_K, dos_scores
from screening.prediction import FloatArray
from screening.shipped_models import read_shipped
from screening.trained_model import TrainedModel

__all__ = [
    "ensemble_figures",
    "leave_one_out",
    "potential_histograms",
    "streamed_figures",
    "with_members",
]

STREAMED_RUNS, FEWEST_MEMBERS = 3, 2  # fewer have no spread, and are not loaded


def ensemble_figures(
    path: Path | None, phonons: PotentialPhonons
) -> tuple[list[Figure], dict[str, Any]]:
    """Score a stored ensemble, by default the installed one, on stored labels and against DFT."""
    trained = read_shipped("alignn", "phonoscreen-dos") if path is None else read_model(path)
    model, name = DensityOfStatesModel.from_trained(trained, "cpu"), f"alignn:{trained.name}"
    split = trained.card["split"]
    learned = frozenset(x for part in ("learning", "calibration") for x in split[part])
    figures, details = _on_stored(model, learned, name)
    against, behind = _against_dft(model, learned, name, phonons)
    streamed, times = streamed_figures(trained, read_labels(STORED).unseen, name)
    return [*figures, *against, *streamed], {**details, **behind, **times}


def _on_stored(
    model: DensityOfStatesModel, learned: frozenset[str], name: str
) -> tuple[list[Figure], dict[str, Any]]:
    """Score on labels of the kind it learned, of compositions that were set aside."""
    stored = read_labels(STORED)
    labels, groups = list(stored.unseen), {one.group for one in stored.unseen}
    predicted = model.predict([one.structure for one in labels])
    grid, seed = model.settings.grid, model.settings.seed
    rows = {
        "network": _row(predicted.histograms.mean(axis=1), labels, grid),
        **baseline_rows(stored.learned, labels, grid, seed),
    }
    at = f"{name}, compositions set aside"
    coverage = coverage_of(model, labels)
    return [
        Figure(f"{at}: crystals", len(labels), "", ">= 50"),
        Figure(f"{at}: compositions", len(groups), ""),
        Figure(f"{at}: compositions it has seen", len(groups & learned), "", "<= 0"),
        Figure(f"{at}: refused as unlike", _refused(model, predicted), "crystals"),
        *ratio_figures(rows, at, REQUIRED),
        *coverage_figures([coverage], at, deviations(labels, grid), required=True),
    ], {"rows, installed ensemble": rows, "coverage, installed ensemble": coverage.counts}


def _against_dft(
    model: DensityOfStatesModel, learned: frozenset[str], name: str, phonons: PotentialPhonons
) -> tuple[list[Figure], dict[str, Any]]:
    """Score on the crystals of PhononDB."""
    grid = model.settings.grid
    references, unreadable = usable_references(read_records(phonons.data))
    on_grid = dos_labels(references, grid)
    labels, potentials = on_grid.labels, potential_histograms(phonons, grid)
    known = [one for one in labels if _is_known(one, model, potentials)]
    seen = {one.group for one in known} & learned
    figures = [
        Figure(f"{name}: reserved compositions it has seen", len(learned & RESERVED), "", "<= 0"),
        Figure(f"{name}, DFT: crystals judged", len(known), ""),
        *label_figures(f"{name}, DFT, on the grid", on_grid),
        *failure_figures(f"{name}, DFT: records left out, of no use", unreadable),
        Figure(f"{name}, DFT: left out, unknown or failed", len(labels) - len(known), "crystals"),
        Figure(f"{name}, DFT: compositions it has seen", len(seen), "", "<= 0"),
    ]
    if not known or model.settings.architecture.with_prior:
        return figures, {}
    rows, refused = _rows(model, known, potentials)
    coverage = coverage_of(model, known)
    return [
        *figures,
        Figure(f"{name}, DFT: refused as unlike", refused, "crystals"),
        *ratio_figures(rows, f"{name}, DFT"),
        *coverage_figures([coverage], f"{name}, DFT", deviations(known, grid), required=False),
    ], {"rows, installed, DFT": rows, "coverage, installed, DFT": coverage.counts}


def streamed_figures(
    trained: TrainedModel, labels: Sequence[DosLabel], name: str, n_runs: int = STREAMED_RUNS
) -> tuple[list[Figure], dict[str, Any]]:
    """Predict crystals from database to database, by all members and by the fewest.

    Parameters
    ----------
    trained
        The ensemble.
    labels
        Of the crystals.
    name
        What figures begin with.
    n_runs
        Of which the fastest counts.
    """
    at, least = f"{name}, database to database", f">= {LEAST_PER_SECOND:g}"
    everyone, n_members = "all networks", int(trained.state["settings"]["n_members"])
    fewest = f"{FEWEST_MEMBERS} of its networks, the fewest that predict"
    models = {everyone: trained, fewest: with_members(trained, FEWEST_MEMBERS)}
    reports: dict[str, list[PredictingReport]] = {who: [] for who in models}
    for _ in range(n_runs):  # in turn: a machine that is busy for a while is so for both
        for who, one in models.items():
            reports[who].append(_stream_once(one, labels))
    best = {who: max(runs, key=lambda one: one.whole_rate or 0.0) for who, runs in reports.items()}
    rates = {who: one.whole_rate for who, one in best.items()}
    figures = [
        Figure(f"{at}: {everyone}", rates[everyone], "crystals/s"),
        Figure(f"{at}: {fewest}", rates[fewest], "crystals/s", least),
        Figure(f"{at}: networks", n_members, ""),
        Figure(f"{at}: crystals", len(labels), "crystals"),
        Figure(f"{at}: mean size", float(np.mean([one.n_atoms for one in labels])), "atoms"),
    ]
    figures += [
        Figure(f"{at}: refused by {who}", sum(one.refused.values()), "crystals")
        for who, one in best.items()
    ]
    return figures, {
        f"streamed by {who}, wall times in s": [asdict(one.times) for one in runs]
        for who, runs in reports.items()
    }


def with_members(trained: TrainedModel, count: int) -> TrainedModel:
    """Return the model of the first networks of an ensemble, all else as it is; for times alone.

    Its calibration and its limits are those of the whole ensemble.
    """
    kept = tuple(f"member/{number}/" for number in range(count))
    arrays = {
        name: one
        for name, one in trained.arrays.items()
        if not name.startswith("member/") or name.startswith(kept)
    }
    settings = {**trained.state["settings"], "n_members": count}
    return replace(trained, arrays=arrays, state={**trained.state, "settings": settings})


def _stream_once(trained: TrainedModel, labels: Sequence[DosLabel]) -> PredictingReport:
    with tempfile.TemporaryDirectory() as folder:
        uri, file = f"sqlite:///{folder}/crystals.db", Path(folder) / "crystals.extxyz"
        write(file, [AseAtomsAdaptor.get_atoms(one.structure) for one in labels])
        return predict_stored(uri, trained, import_structures(uri, [file]).material_ids)


def _refused(model: DensityOfStatesModel, predicted: PredictedDos) -> int:
    return int((model.novelty(predicted) > 1.0).sum())


def _is_known(
    label: DosLabel, model: DensityOfStatesModel, potentials: Mapping[str, Mapping[str, Any]]
) -> bool:
    """Whether the model knows its elements and no potential failed on it."""
    return knows(model, label) and all(label.material_id in found for found in potentials.values())


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
    return rows, _refused(model, predicted)


def potential_histograms(
    phonons: PotentialPhonons, grid: FrequencyGrid
) -> dict[str, dict[str, FloatArray]]:
    """Densities of states of each potential by crystal, where the potential did not fail."""
    found: dict[str, dict[str, FloatArray]] = {}
    for potential in phonons.potentials:
        run, own = phonons.run(potential), dict[str, FloatArray]()
        for reference, outcome in zip(run.references, run.outcomes, strict=True):
            mesh = outcome.pair.predicted
            try:
                label = label_of_mesh(reference.primitive, mesh, reference.name, grid)
            except ScreeningError as error:
                print(f"  FAILED {potential.name}, {reference.name}: {error}", flush=True)
                continue
            own[reference.name] = label.histogram
        found[potential.name] = own
    return found


def leave_one_out(
    labels: Sequence[DosLabel], grid: FrequencyGrid
) -> dict[str, dict[str, float | int | None]]:
    """Score the mean and the neighbours of the other compositions, and no modes at all.

    Where all crystals are of one composition, there are no others to guess by.
    """
    zero = ZeroDensity(grid).predict([one.structure for one in labels])
    rows = {"zero": _row(zero, labels, grid)}
    if len({one.group for one in labels}) == 1:
        return rows
    guesses: dict[str, list[FloatArray]] = {"mean": [], "nearest_neighbours": []}
    for one in labels:
        others = [x for x in labels if x.group != one.group]
        guesses["mean"] += list(MeanDensity.fit(others, grid).predict([one.structure]))
        near = NearestNeighbours.fit(others, grid)
        guesses["nearest_neighbours"] += list(near.predict([one.structure]))
    return rows | {name: _row(np.array(one), labels, grid) for name, one in guesses.items()}


def _row(
    histograms: FloatArray, labels: Sequence[DosLabel], grid: FrequencyGrid
) -> dict[str, float | int | None]:
    curves = label_curves(labels, grid, SCORE_TEMPERATURES_K)
    atoms = [one.n_atoms for one in labels]
    reference = np.array([one.histogram for one in labels])
    return dos_scores(histograms, reference, grid, atoms, curves=curves).row()
