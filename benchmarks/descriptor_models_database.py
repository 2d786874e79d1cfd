"""The descriptor models through a database, and two moments for the spectra of real crystals."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from kznf3_labels import ARCHIVE
from pymatgen.core import Structure
from references import SAME_Q_POINT, TEMPERATURES_K, Reference, read_records, reference_of
from report import Figure

from flows.imports import import_structures
from flows.predicting import PredictingReport, predict_stored
from flows.stored_models import find_model
from flows.training import TrainingTask, train_and_store
from screening.linear_entropy.model_spectrum import model_spectrum, spectrum_thermodynamics
from screening.metrics import regression_scores
from screening.prediction import FloatArray
from screening.thermodynamics import ThermodynamicsSettings
from stores.connect import open_database
from stores.importers import iter_structures

__all__ = ["database_figures"]

Progress = Callable[[str], None]
METHODS = ("rf-ifc", "ldml")
COPIES, QUICK_COPIES = 6, 1
RATTLE_ANGSTROM = 0.005
LARGEST_STRAIN = 0.005


def database_figures(
    data: Path, progress: Progress, *, quick: bool
) -> tuple[list[Figure], dict[str, Any]]:
    """Train on an imported archive, predict what is new, and rebuild the spectra of ``data``."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        uri = f"sqlite:///{Path(folder) / 'kznf3.db'}"
        known = import_structures(uri, [ARCHIVE]).material_ids
        progress(f"imported {len(known)} crystals with their forces")
        variants = _write_variants(Path(folder) / "new", QUICK_COPIES if quick else COPIES)
        names = known + import_structures(uri, [variants]).material_ids
        for method in METHODS:
            figures += _streamed(uri, names, method, progress)
    found, details = _rebuilt_figures(data)
    return figures + found, details


def _write_variants(folder: Path, copies: int) -> Path:
    """Write strained and slightly displaced copies of the stored crystals: others, and near."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index, one in enumerate(iter_structures([ARCHIVE])):
        for copy in range(copies):
            varied: Structure = one.crystal.structure.copy()  # type: ignore[union-attr]
            varied.apply_strain(rng.uniform(-LARGEST_STRAIN, LARGEST_STRAIN, 3))
            varied.perturb(RATTLE_ANGSTROM, seed=int(rng.integers(2**31)))
            varied.to(str(folder / f"{index:03d}-{copy}.vasp"), fmt="poscar")
    return folder


def _streamed(uri: str, names: Sequence[str], method: str, progress: Progress) -> list[Figure]:
    """Train one method on what has phonons, and predict everything with it."""
    trained = train_and_store(uri, TrainingTask(method, name="kznf3"))
    n_training = trained.model.n_training_samples
    progress(f"{method}: trained on {n_training} in {trained.wall_seconds:.0f} s")
    with open_database(uri, read_only=True) as database:
        model = find_model(database, method, None)
    report: PredictingReport = predict_stored(uri, model, names)
    refused = sum(report.refused.values())
    progress(f"{method}: {report.n_predicted} structures, {refused} refused")
    with open_database(uri, read_only=True) as database:
        written = list(database.predictions.query({"tier": 0}, ["intervals"]))
    with_intervals = sum(bool(row["intervals"]) for row in written)
    return [
        Figure(f"{method}: structures through the database", report.n_predicted, "", ">= 1"),
        Figure("  refused, each with its reason", refused, ""),
        Figure("  predicted, of the model alone", report.predicting_rate, "structures/s"),
        Figure("  read, predicted and written", report.whole_rate, "structures/s"),
        Figure(
            "  predictions so far without an interval", len(written) - with_intervals, "", "<= 0"
        ),
    ]


def _rebuilt_figures(data: Path) -> tuple[list[Figure], dict[str, Any]]:
    """Thermodynamics of DFT spectra from their two moments alone."""
    if not data.exists():
        return [], {"rebuilt": "no reference data"}
    references = [reference_of(record) for record in read_records(data)]
    exact, rebuilt = zip(*(_curves(one) for one in references), strict=True)
    rows = []
    for place, (name, unit) in enumerate(
        (("F", "meV/atom"), ("S", "meV/K/atom"), ("C_V", "meV/K/atom"))
    ):
        truth = np.array([one[place] for one in exact])
        found = np.array([one[place] for one in rebuilt])
        scores = regression_scores(found, truth)
        rows += [
            Figure(f"{name}(300 K) of DFT spectra from two moments: MAE", scores.mae, unit),
            Figure("  skill, 1 - MAE/MAD", scores.skill, ""),
        ]
    return rows, {"rebuilt": {"crystals": [one.name for one in references]}}


def _curves(reference: Reference) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """F, S and C_V at 300 K by the mesh, and by the mesh's two moments."""
    from screening.thermodynamics import thermodynamics

    settings = ThermodynamicsSettings(temperatures_k=TEMPERATURES_K)
    n_atoms = len(reference.primitive)
    is_gamma = np.all(np.abs(reference.q_points) < SAME_Q_POINT, axis=1)
    exact = thermodynamics(
        reference.frequencies_thz, reference.weights, n_atoms, settings, is_gamma=is_gamma
    )
    above = reference.frequencies_thz > settings.cutoff_thz
    weights = np.broadcast_to(reference.weights[:, None], above.shape)[above]
    logs: FloatArray = np.log(reference.frequencies_thz[above])
    squares = reference.frequencies_thz[above] ** 2
    spectrum = model_spectrum(
        float(np.average(logs, weights=weights)),
        float(np.sqrt(np.average(squares, weights=weights))),
    )
    found = spectrum_thermodynamics(spectrum, settings)
    place = TEMPERATURES_K.index(300.0)
    names = (
        "free_energy_mev_per_atom",
        "entropy_mev_per_k_per_atom",
        "heat_capacity_mev_per_k_per_atom",
    )
    return (
        tuple(float(getattr(exact, name)[place]) for name in names),
        tuple(float(getattr(found, name)[place]) for name in names),
    )
