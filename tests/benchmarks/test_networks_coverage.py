"""Which crystals the coverage of intervals counts, and what it says without any."""

import argparse
import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from screening.network_dos.estimates import CURVES
from screening.network_dos.grid import WIDE_GRID
from screening.network_dos.labels import DosLabel
from screening.network_dos.model import PredictedDos

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
CELL = Structure(Lattice(2.5 * (1.0 - np.eye(3))), ["K", "Cl"], [[0.0] * 3, [0.5] * 3])
CENTRES = np.asarray(WIDE_GRID.centres_thz)


@pytest.fixture(scope="module")
def modules():
    """The modules of the benchmark by name; at the end of the path, as when it is run."""
    path = list(sys.path)
    sys.path.append(BENCHMARKS)
    yield importlib.import_module
    sys.path[:] = path


def modes(middle_thz, below=0.0):
    """Six modes around a frequency, a share of them imaginary."""
    found = np.where(np.abs(CENTRES - middle_thz) < 1.0, 1.0, 0.0)
    low = np.where(np.abs(CENTRES + 3.0) < 1.0, 1.0, 0.0)
    return 6.0 * ((1.0 - below) * found / found.sum() + below * low / low.sum())


class Made:
    """An ensemble whose predictions and half widths are given."""

    elements = (17, 19)
    settings = argparse.Namespace(grid=WIDE_GRID)

    def __init__(self, predicted, novelty, half_width):
        self._predicted, self._novelty = np.array(predicted), np.array(novelty)
        self.calibration = argparse.Namespace(
            half_widths=lambda found: {
                name: np.full(found.values[name].shape, half_width) for name in CURVES
            }
        )

    def predict(self, structures):
        assert len(structures) == len(self._predicted)
        return PredictedDos(np.repeat(self._predicted[:, None], 2, axis=1), np.zeros((3, 1)))

    def novelty(self, _predicted):
        return self._novelty


def label(name, histogram, structure=CELL):
    return DosLabel(name, name, structure, histogram, source="made")


def test_every_crystal_with_an_interval_is_counted_beside_what_is_required(modules):
    module = modules("networks_coverage")
    labels = [
        label("both stable", modes(5.0)),
        label("both stable, refused as unlike", modes(5.0)),
        label("unstable label, predicted stable and wrong", modes(9.0, below=0.4)),
        label("stable label, predicted unstable", modes(5.0)),
    ]
    predicted = [modes(5.0), modes(5.0), modes(5.0), modes(5.0, below=0.4)]
    found = module.coverage_of(Made(predicted, [0.5, 2.0, 0.5, 0.5], 1e-3), labels)
    assert found.inside["entropy"] == (True, True)
    assert found.given["entropy"] == (True, False)
    spread = dict.fromkeys(CURVES, 2e-3)
    figures = {
        one.name: one for one in module.coverage_figures([found], "x", spread, required=True)
    }
    at = "x: entropy at 300 K"
    required = f"{at}: coverage of 2 with label and prediction stable by 90 % intervals, least"
    every = f"{at}: coverage of all 2 given an interval, unstable labels included"
    assert (figures[required].value, figures[required].required) == (1.0, ">= 0.85")
    assert (figures[every].value, figures[every].required) == (0.5, None)
    assert figures[f"{at}: half width over mean deviation"].value == pytest.approx(0.5)


def test_one_crystal_does_not_deviate_and_widths_stand_over_nothing(modules):
    module = modules("networks_coverage")
    labels = [label("one", modes(5.0))]
    spread = module.deviations(labels, WIDE_GRID)
    assert spread == dict.fromkeys(CURVES, 0.0)
    found = module.coverage_of(Made([modes(5.0)], [0.5], 1e-3), labels)
    figures = module.coverage_figures([found], "x", spread, required=False)
    [width] = [one for one in figures if one.name.startswith("x: entropy") and "width" in one.name]
    assert width.value is None


def test_no_crystal_has_no_coverage_and_misses_what_is_required(modules):
    module = modules("networks_coverage")
    other = Structure(CELL.lattice, ["Na", "F"], CELL.frac_coords)
    found = module.coverage_of(Made([], [], 1.0), [label("unknown", modes(5.0), other)])
    spread = module.deviations([], WIDE_GRID)
    figures = module.coverage_figures([found], "x", spread, required=True)
    assert figures[-1].value == 1  # refused for an element
    assert all(one.value is None for one in figures[:-1])
    assert [one.met for one in figures if one.required] == [False] * 6
