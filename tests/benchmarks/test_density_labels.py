"""The stored densities of states come back, and the installed ensemble knows those of others."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from screening.network_dos.baselines import NearestNeighbours
from screening.network_dos.estimates import CURVES, estimates_of, truth_of
from screening.network_dos.model import DensityOfStatesModel
from screening.network_dos.scores import wasserstein_thz
from screening.shipped_models import read_shipped


@pytest.fixture(scope="module")
def benchmark():
    path = list(sys.path)
    sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
    yield importlib.import_module("density_labels")
    sys.path[:] = path


@pytest.fixture(scope="module")
def stored(benchmark):
    return benchmark.read_labels(benchmark.STORED)


def test_labels_come_back_as_they_were_written(benchmark, stored, tmp_path):
    some = stored.learned[:6]
    benchmark.write_labels(tmp_path / "some.npz", some)
    found = benchmark.read_labels(tmp_path / "some.npz")
    again = {one.material_id: one for one in (*found.learned, *found.unseen)}
    for one in some:
        other = again[one.material_id]
        assert other.group == one.group
        assert other.structure.matches(one.structure)
        np.testing.assert_allclose(other.histogram, one.histogram, atol=1e-5)
        assert other.histogram.sum() == pytest.approx(3 * one.n_atoms, rel=1e-12)
        for name in ("free_energy_mev_per_atom", "entropy_mev_per_k_per_atom"):
            exact, read = (getattr(x.thermodynamics, name) for x in (one, other))
            np.testing.assert_allclose(read, exact, rtol=1e-5, atol=1e-4)


def test_no_composition_is_on_both_sides_or_reserved(benchmark, stored):
    learned, unseen = ({one.group for one in part} for part in (stored.learned, stored.unseen))
    assert not learned & unseen
    assert not (learned | unseen) & benchmark.RESERVED
    split = read_shipped("alignn", "phonoscreen-dos").card["split"]
    assert {name for part in ("learning", "calibration") for name in split[part]} == learned


def test_spectra_of_others_are_nearer_than_those_of_neighbours_and_intervals_hold(stored):
    asked = stored.unseen[::4]
    model = DensityOfStatesModel.from_trained(read_shipped("alignn", "phonoscreen-dos"), "cpu")
    structures, grid = [one.structure for one in asked], model.settings.grid
    reference = np.array([one.histogram for one in asked])
    found = model.predict(structures).histograms
    neighbours = NearestNeighbours.fit(stored.learned, grid).predict(structures)
    own, theirs = (
        wasserstein_thz(one, reference, grid).mean() for one in (found.mean(axis=1), neighbours)
    )
    assert own < 0.85 * theirs
    estimates, truth = estimates_of(found, structures, grid), truth_of(asked, grid)
    sound = truth.has_thermodynamics & estimates.properties.stable
    widths = model.calibration.half_widths(estimates)
    for name in CURVES:
        errors = np.abs(estimates.values[name] - truth.values[name])[sound]
        assert 0.8 < (errors <= widths[name][sound]).mean() < 0.99
