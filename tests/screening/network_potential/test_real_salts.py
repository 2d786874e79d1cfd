"""A small network learns the phonons of two salts from six real cells of each."""

from __future__ import annotations

import numpy as np
import pytest
from phonopy import Phonopy
from random_cells import real_cells

pytest.importorskip("mace")

import torch

from screening.network_potential.batches import batch_of, cell_tensors
from screening.network_potential.forward import NetworkForward
from screening.network_potential.labelled_cells import LabelledCell
from screening.network_potential.losses import predict
from screening.network_potential.network import network_of
from screening.network_potential.settings import (
    LossWeights,
    MaceArchitecture,
    MaceTrainingSettings,
    TrainingStage,
)
from screening.network_potential.training import train_potential
from screening.supercell_symmetry import phonopy_cell

N_CELLS = 100
SETTINGS = MaceTrainingSettings(
    stages=(TrainingStage(80, 0.01, 1e-4, LossWeights(forces=1.0)),),
    batch_atoms=128,
    warm_up_steps=20,
    ema_decay=0.95,
    valid_fraction=0.0,
)


def labelled(name, index):
    data = real_cells(name, index)
    lattice = data.primitive.lattice.matrix
    cell = data.supercell_matrix @ lattice
    still = data.supercell_scaled_positions @ cell
    return [
        LabelledCell(name, name, data.supercell_numbers, cell, still + moves, forces, source="PBE")
        for moves, forces in zip(
            data.displacements_angstrom, data.forces_ev_per_angstrom, strict=True
        )
    ]


def frequencies_thz(name, forces):
    """Frequencies on a mesh from forces on all the cells."""
    data = real_cells(name, range(N_CELLS))
    phonons = Phonopy(phonopy_cell(data.primitive), data.supercell_matrix, primitive_matrix="P")
    scaled = phonons.supercell.scaled_positions
    apart = data.supercell_scaled_positions[None] - scaled[:, None]
    order = np.linalg.norm(apart - np.round(apart), axis=2).argmin(axis=1)
    phonons.dataset = {
        "displacements": data.displacements_angstrom[:, order],
        "forces": forces[:, order],
    }
    phonons.produce_force_constants(fc_calculator="symfc", show_drift=False)
    phonons.run_mesh([6, 6, 6])
    return phonons.mesh.frequencies


@pytest.mark.slow
def test_six_cells_of_each_salt_are_enough():
    cells = [*labelled("NaCl", range(6)), *labelled("MgO", range(6))]
    model = train_potential(cells, SETTINGS, "salts")
    network = network_of(model, precision="float64")
    forward = NetworkForward(network)
    architecture = MaceArchitecture.from_dict(model.state["architecture"])
    for name, limit_thz in (("NaCl", 0.4), ("MgO", 0.2)):
        reference = real_cells(name, range(N_CELLS)).forces_ev_per_angstrom
        found = [
            predict(forward, batch_of([cell_tensors(one, architecture, torch.float64)])).forces
            for one in labelled(name, range(N_CELLS))
        ]
        forces = torch.stack(found).numpy()
        error = abs(forces[6:] - reference[6:]).mean()
        assert error < 0.2 * abs(reference[6:]).mean()
        wanted, got = (frequencies_thz(name, one) for one in (reference, forces))
        assert abs(got - wanted).mean() <= limit_thz
        assert got.min() > -0.3
