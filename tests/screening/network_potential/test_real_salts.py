"""A small network learns the phonons of two salts from six real cells of each."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
from random_cells import real_cells

pytest.importorskip("careful_mace")

from screening.network_potential.training import train_potential

BENCHMARKS = str(Path(__file__).parents[3] / "benchmarks")
N_CELLS = 100


@pytest.fixture(scope="module")
def salts():
    """The part of the benchmark that trains on salts; at the end of the path."""
    path = list(sys.path)
    sys.path.append(BENCHMARKS)
    yield importlib.import_module("networks_training")
    sys.path[:] = path


@pytest.mark.slow
def test_six_cells_of_each_salt_are_enough(salts):
    data = {name: real_cells(name, range(N_CELLS)) for name in salts.LIMITS_THZ}
    cells = {name: salts.labelled_cells(name, one) for name, one in data.items()}
    training = [cell for own in cells.values() for cell in own[: salts.N_TRAINING]]
    model = train_potential(training, salts.SALT_SETTINGS, "salts")
    for name, limit_thz in salts.LIMITS_THZ.items():
        reference = data[name].forces_ev_per_angstrom
        forces = salts.network_forces(model, cells[name])
        error = abs(forces - reference)[salts.N_TRAINING :].mean()
        assert error < 0.2 * abs(reference)[salts.N_TRAINING :].mean()
        frequencies = [salts.salt_frequencies_thz(data[name], one) for one in (reference, forces)]
        wanted, got = frequencies
        assert abs(got - wanted).mean() <= limit_thz
        assert got.min() > -0.3
