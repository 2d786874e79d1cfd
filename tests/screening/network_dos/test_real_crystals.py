"""The network on crystals of PhononDB: what it holds, and what it says of unseen compositions."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pymatgen.core import Structure

from screening.harmonic import MeshFrequencies
from screening.network_dos.fitting import MemberTraining, Sample
from screening.network_dos.graphs import GraphBuilder, batch_of, element_features
from screening.network_dos.grid import PAPER_GRID
from screening.network_dos.labels import DosLabel, label_of_mesh
from screening.network_dos.network import network_from_arrays
from screening.network_dos.scores import dos_scores
from screening.network_dos.settings import DOS_PRESETS
from screening.network_dos.training import train_density_of_states

PHONONDB = Path(__file__).parents[4] / "shared" / "data" / "phonondb_pbe.json.gz"
CPU = torch.device("cpu")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def labels() -> list[DosLabel]:
    """All that fit on the published grid."""
    if not PHONONDB.exists():
        pytest.skip(f"no reference data at {PHONONDB}")
    made = [label(record) for record in json.loads(gzip.decompress(PHONONDB.read_bytes()))]
    return [one for one in made if one.weight_outside < 1e-3]


def label(record) -> DosLabel:
    primitive = Structure.from_dict(record["structure"]).get_primitive_structure()
    weights = np.array(record["weights"], dtype=np.float64)
    mesh = MeshFrequencies(
        np.array(record["frequencies_THz"]),
        weights / weights.sum(),
        np.array(record["qpoints"]),
        tuple(record["q_mesh"]),
    )
    return label_of_mesh(primitive, mesh, record["material_id"], PAPER_GRID, "PhononDB-PBE")


def test_the_network_can_hold_twenty_crystals(labels) -> None:
    settings = replace(
        DOS_PRESETS["small"], grid=PAPER_GRID, epochs=300, patience=300, batch_size=5, device="cpu"
    )
    own, chosen = settings.architecture, labels[:20]
    builder = GraphBuilder(own.bond_cutoff_angstrom, own.angle_cutoff_angstrom)
    samples = [Sample(builder.graph(one.structure), one.histogram) for one in chosen]
    weights = MemberTraining(samples, [], settings, element_features(), 1, CPU).run()
    network = network_from_arrays(own, PAPER_GRID, 92, weights).eval()
    features = torch.from_numpy(element_features().copy())
    with torch.inference_mode():
        found = network(batch_of([one.graph for one in samples], features, CPU)).numpy()
    scores = dos_scores(
        found,
        np.array([one.histogram for one in chosen]),
        PAPER_GRID,
        [one.n_atoms for one in chosen],
    )
    assert scores.mae < 0.02
    assert scores.wasserstein_thz < 0.1


def test_unseen_compositions_are_predicted_better_than_by_any_baseline(labels) -> None:
    """From some 18 compositions: the scale of the network is what it learns first."""
    settings = replace(
        DOS_PRESETS["small"],
        grid=PAPER_GRID,
        epochs=60,
        batch_size=8,
        n_members=3,
        valid_fraction=0.15,
        calibration_fraction=0.35,
        device="cpu",
    )
    rows = train_density_of_states(labels, settings, "binaries").card["scores"]
    network = rows.pop("network")
    for name in (
        "wasserstein_thz",
        "entropy_300k_mev_per_k_per_atom_mae",
        "heat_capacity_300k_mev_per_k_per_atom_mae",
        "free_energy_300k_mev_per_atom_mae",
    ):
        others = {one: row[name] for one, row in rows.items() if row.get(name) is not None}
        assert {"mean", "nearest_neighbours"} <= set(others)
        assert network[name] < min(others.values()), name
