"""Densities of states of the crystals of PhononDB, or a skipped test where they are absent."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path

import numpy as np
import orjson
import pytest
from pymatgen.core import Structure

from screening.harmonic import MeshFrequencies
from screening.network_dos.grid import FrequencyGrid
from screening.network_dos.labels import DosLabel, label_of_mesh

FILE = Path(__file__).resolve().parents[3] / "shared" / "data" / "phonondb_pbe.json.gz"


@cache
def _meshes() -> list[tuple[str, Structure, MeshFrequencies]]:
    if not FILE.exists():
        pytest.skip(f"reference data not found: {FILE}")
    found = []
    for record in orjson.loads(gzip.decompress(FILE.read_bytes())):
        frequencies = np.array(record["frequencies_THz"])
        structure = Structure.from_dict(record["structure"])
        if len(structure) != frequencies.shape[1] // 3:
            structure = structure.get_primitive_structure()
        weights = np.array(record["weights"], dtype=np.float64)
        mesh = MeshFrequencies(
            frequencies,
            weights / weights.sum(),
            np.array(record["qpoints"]),
            tuple(record["q_mesh"]),
        )
        found.append((record["material_id"], structure, mesh))
    return found


@cache
def phonondb_labels(grid: FrequencyGrid) -> tuple[DosLabel, ...]:
    """Return the labels of all crystals, with the exact sums over their modes."""
    return tuple(label_of_mesh(one, mesh, name, grid) for name, one, mesh in _meshes())


def phonondb_frequencies() -> list[tuple[np.ndarray, np.ndarray]]:
    """Return all frequencies in THz and the weights of the modes, 3 of them for each atom."""
    return [
        (mesh.frequencies_thz.ravel(), np.repeat(mesh.weights, 3 * len(one)) / len(one))
        for _, one, mesh in _meshes()
    ]
