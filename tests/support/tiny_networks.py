"""Network potentials with random weights, and cells that they label."""

from __future__ import annotations

import importlib.util
from functools import cache

import numpy as np
import pytest

from screening.trained_model import TrainedModel

SODIUM, CHLORINE, CAESIUM = 11, 17, 55


@cache
def tiny_model(seed: int = 0) -> TrainedModel:
    """Return a potential for sodium, chlorine and caesium that was never trained."""
    if importlib.util.find_spec("mace") is None:
        pytest.skip("mace-torch is not installed")
    from screening.network_potential.network import (
        NETWORK_ARRAYS,
        NETWORK_POTENTIAL,
        build_network,
        network_to_arrays,
    )
    from screening.network_potential.settings import MaceArchitecture

    architecture = MaceArchitecture(
        elements=(SODIUM, CHLORINE, CAESIUM),
        channels=8,
        cutoff_angstrom=4.5,
        max_ell=2,
        radial_mlp=(8,),
        mlp_channels=8,
    )
    network = build_network(architecture, avg_num_neighbors=12.0, scale=2.0, seed=seed)
    return TrainedModel(
        method=NETWORK_POTENTIAL,
        name="tiny",
        elements=architecture.elements,
        arrays={NETWORK_ARRAYS + key: one for key, one in network_to_arrays(network).items()},
        state={
            "architecture": architecture.as_dict(),
            "avg_num_neighbors": 12.0,
            "precision": "float64",
            "frequency_scale": None,
        },
        card={},
        training_set_digest="0" * 64,
        n_training_samples=0,
    )


@cache
def network_for(purpose: str):
    """Return a network of the tiny model, one for each purpose: building takes most of a second."""
    from screening.network_potential.network import network_of

    assert purpose
    return network_of(tiny_model())


def put_weights(network, model: TrainedModel) -> None:
    """Give a network the weights of a model, in place."""
    import torch

    from screening.network_potential.network import NETWORK_ARRAYS

    changed = {
        name: torch.tensor(np.asarray(model.arrays[NETWORK_ARRAYS + name]))
        for name in network.state_dict()
        if NETWORK_ARRAYS + name in model.arrays
    }
    network.load_state_dict({**network.state_dict(), **changed})


def salt_cell(seed, rattle_angstrom=0.05, cation=SODIUM, group="NaCl", forces=None):
    """Return a rattled cell of eight atoms of rock salt."""
    from screening.network_potential.labelled_cells import LabelledCell

    rng = np.random.default_rng(seed)
    corners = np.array([[0.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])
    places = 5.64 * np.vstack([corners, corners + np.array([0.5, 0.0, 0.0])])
    return LabelledCell(
        material_id=f"{group}-{seed}",
        group=group,
        numbers=np.array([cation] * 4 + [CHLORINE] * 4),
        cell_angstrom=5.64 * np.eye(3),
        positions_angstrom=places + rng.normal(scale=rattle_angstrom, size=(8, 3)),
        forces_ev_per_angstrom=np.zeros((8, 3)) if forces is None else forces,
    )
