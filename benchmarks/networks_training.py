"""A small network from six cells of NaCl and six of MgO: its phonons, and what it knows of errors.

The cells are supercells with all atoms displaced at random and DFT forces; all cells that no
network learned from are there to judge by. The spread of the forces comes from a committee of
seeds and from the last layer of one network. Its rank correlation with the error stands beside
that of the size of the force, which needs no second network. Half of the other cells calibrate
the spread, the other half say how often 90 % intervals then hold.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from networks_spread import norms, spread_figures
from phonopy import Phonopy
from report import Figure

from screening.anharmonic import DisplacedCells
from screening.network_potential.batches import batch_of, cell_tensors
from screening.network_potential.force_uncertainty import (
    ForceUncertainty,
    LastLayerSettings,
    fit_last_layer,
)
from screening.network_potential.forward import NetworkForward
from screening.network_potential.labelled_cells import LabelledCell
from screening.network_potential.last_layer import with_last_layer
from screening.network_potential.losses import predict
from screening.network_potential.network import network_of
from screening.network_potential.settings import (
    LossWeights,
    MaceArchitecture,
    MaceTrainingSettings,
    TrainingStage,
)
from screening.network_potential.training import train_potential
from screening.prediction import FloatArray
from screening.supercell_symmetry import phonopy_cell
from screening.trained_model import TrainedModel
from stores.importers.displaced_cells import read_displaced_cells

__all__ = [
    "LIMITS_THZ",
    "SALT_SETTINGS",
    "labelled_cells",
    "network_forces",
    "salt_frequencies_thz",
    "training_figures",
]

LIMITS_THZ: Mapping[str, float] = {"NaCl": 0.4, "MgO": 0.2}
SALT_SETTINGS = MaceTrainingSettings(
    stages=(TrainingStage(80, 0.01, 1e-4, LossWeights(forces=1.0)),),
    batch_atoms=128,
    warm_up_steps=20,
    ema_decay=0.95,
    valid_fraction=0.0,
)
N_TRAINING, N_MEMBERS = 6, 3
N_SPREAD = 12  # cells of each salt whose spread is computed
_MESH = [7, 7, 7]  # odd: it holds the centre of the zone and has all symmetries


@dataclass(frozen=True, eq=False)
class _Salt:
    """One set of cells, and what the committee says of those that it did not learn from."""

    name: str
    data: DisplacedCells
    cells: Sequence[LabelledCell]


def training_figures(
    folder: Path, seed: int, *, quick: bool
) -> tuple[list[Figure], dict[str, Any]]:
    """Train on twelve cells and judge."""
    salts = [_salt(folder, name) for name in LIMITS_THZ]
    training = [cell for salt in salts for cell in salt.cells[:N_TRAINING]]
    settings = _quick(SALT_SETTINGS) if quick else SALT_SETTINGS
    started = time.process_time()
    n_spread = 2 if quick else N_SPREAD
    models = [
        train_potential(training, replace(settings, seed=seed + number), f"salts-{number}")
        for number in range(2 if quick else N_MEMBERS)
    ]
    seconds = (time.process_time() - started) / len(models)
    figures = [
        Figure(f"salts: networks, seeds from {seed}", len(models), ""),
        Figure("salts: cells trained on", len(training), ""),
        Figure("salts: processor time of one training", seconds, "s"),
    ]
    details: dict[str, Any] = {}
    for salt in salts:
        figures += _phonon_figures(salt, models[0], required=not quick)
    forces = {salt.name: _held_out(salt, models, n_spread) for salt in salts}
    figures += spread_figures("committee", forces)
    figures += spread_figures("last layer", _last_layer(models[0], training, salts, n_spread))
    details["committee"] = {
        name: {"error": norms(f - t)[::7].tolist(), "spread": norms(s)[::7].tolist()}
        for name, (t, f, s) in forces.items()
    }
    return figures, details


def _quick(settings: MaceTrainingSettings) -> MaceTrainingSettings:
    return replace(settings, stages=tuple(replace(one, epochs=4) for one in settings.stages))


def _salt(folder: Path, name: str) -> _Salt:
    path = folder / "third_order" / f"{name}-random-displacements.yaml.xz"
    data = read_displaced_cells(path)
    return _Salt(name, data, labelled_cells(name, data))


def labelled_cells(name: str, data: DisplacedCells) -> list[LabelledCell]:
    """Make labelled cells of a set whose atoms are all displaced."""
    cell = data.supercell_matrix @ data.primitive.lattice.matrix
    still = data.supercell_scaled_positions @ cell
    return [
        LabelledCell(name, name, data.supercell_numbers, cell, still + moves, forces, source="PBE")
        for moves, forces in zip(
            data.displacements_angstrom, data.forces_ev_per_angstrom, strict=True
        )
    ]


def network_forces(model: TrainedModel, cells: Sequence[LabelledCell]) -> FloatArray:
    """Compute forces in eV/Å by a trained network in float64, shape (cell, atom, 3)."""
    forward = NetworkForward(network_of(model, precision="float64"))
    architecture = MaceArchitecture.from_dict(model.state["architecture"])
    found = [
        predict(forward, batch_of([cell_tensors(one, architecture, torch.float64)])).forces
        for one in cells
    ]
    return np.asarray(torch.stack(found).numpy())


def salt_frequencies_thz(data: DisplacedCells, forces: FloatArray) -> FloatArray:
    """Frequencies on a mesh from forces on all the cells of a set."""
    phonons = Phonopy(phonopy_cell(data.primitive), data.supercell_matrix, primitive_matrix="P")
    apart = data.supercell_scaled_positions[None] - phonons.supercell.scaled_positions[:, None]
    order = np.linalg.norm(apart - np.round(apart), axis=2).argmin(axis=1)
    phonons.dataset = {
        "displacements": data.displacements_angstrom[:, order],
        "forces": forces[:, order],
    }
    phonons.produce_force_constants(fc_calculator="symfc", show_drift=False)
    phonons.run_mesh(_MESH)
    return np.asarray(phonons.mesh.frequencies)


def _phonon_figures(salt: _Salt, model: TrainedModel, *, required: bool) -> list[Figure]:
    """Compare frequencies and the forces of cells that were not learned from."""
    reference = salt.data.forces_ev_per_angstrom
    forces = network_forces(model, salt.cells)
    wanted, got = (salt_frequencies_thz(salt.data, one) for one in (reference, forces))
    error, spread = np.abs(got - wanted).mean(), np.abs(wanted - wanted.mean()).mean()
    own = np.abs(forces - reference)[N_TRAINING:].mean()
    zero = np.abs(reference)[N_TRAINING:].mean()
    limit = f"<= {LIMITS_THZ[salt.name]:g}" if required else None
    return [
        Figure(f"{salt.name}: frequency MAE from {N_TRAINING} cells", float(error), "THz", limit),
        Figure("  baseline: mean of the frequencies", float(spread), "THz"),
        Figure(f"{salt.name}: skill of the frequencies", float(1.0 - error / spread), ""),
        Figure(f"{salt.name}: lowest frequency", float(got.min()), "THz"),
        Figure(f"{salt.name}: force MAE, other cells", 1e3 * float(own), "meV/Å"),
        Figure("  baseline: zero forces", 1e3 * float(zero), "meV/Å"),
    ]


def _held_out(
    salt: _Salt, models: Sequence[TrainedModel], n_spread: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return true and mean forces of cells that were not learned from, and their deviation."""
    chosen = slice(N_TRAINING, N_TRAINING + 2 * n_spread)
    members = np.array([network_forces(model, salt.cells[chosen]) for model in models])
    truth = np.asarray(salt.data.forces_ev_per_angstrom[chosen])
    return truth, members.mean(axis=0), members.std(axis=0, ddof=1)


def _last_layer(
    model: TrainedModel, training: Sequence[LabelledCell], salts: Sequence[_Salt], n_spread: int
) -> dict[str, tuple[FloatArray, FloatArray, FloatArray]]:
    """Return the same by the posterior of the last layer of one network."""
    settings = LastLayerSettings(n_cells=min(len(training), n_spread))
    layer = fit_last_layer(model, training, settings=settings)
    uncertainty = ForceUncertainty(with_last_layer(model, layer))
    found = {}
    for salt in salts:
        cells = salt.cells[N_TRAINING : N_TRAINING + n_spread]
        forces = [uncertainty.of(cell) for cell in cells]
        found[salt.name] = (
            np.array([cell.forces_ev_per_angstrom for cell in cells]),
            np.array([one.forces_ev_per_angstrom for one in forces]),
            np.array([one.std_ev_per_angstrom for one in forces]),
        )
    return found
