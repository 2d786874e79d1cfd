"""The benchmark of the network models on other crystals: few, bad ones, or none at all."""

import argparse
import gzip
import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from screening.network_dos.grid import PAPER_GRID, WIDE_GRID

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
HALF = 2.5


@pytest.fixture(scope="module")
def modules():
    """The modules of the benchmark by name; at the end of the path, as when it is run."""
    path = list(sys.path)
    sys.path.append(BENCHMARKS)
    yield importlib.import_module
    sys.path[:] = path


def record(number, cation, anion, highest_thz=9.0, formula=None):
    """A crystal of the data, with made-up phonons."""
    cell = Structure(Lattice(HALF * (1.0 - np.eye(3))), [cation, anion], [[0.0] * 3, [0.5] * 3])
    frequencies = [[0.0, 0.0, 0.0, 5.0, 5.0, 6.0], [2.0, 2.0, 3.0, 5.0, 5.0, highest_thz]]
    values = {
        f"{name}_{kelvin}K_{unit}": 1.0
        for name, unit in (
            ("free_energy", "meV_atom"),
            ("entropy", "meV_K_atom"),
            ("heat_capacity", "meV_K_atom"),
        )
        for kelvin in (300, 1000)
    }
    return values | {
        "material_id": f"mp-{number}",
        "formula": formula or f"{cation}{anion}",
        "space_group": 225,
        "structure": cell.as_dict(),
        "primitive_matrix": np.eye(3).tolist(),
        "q_mesh": [2, 2, 2],
        "qpoints": [[0.0, 0.0, 0.0], [0.5, 0.0, 0.0]],
        "weights": [1.0, 7.0],
        "frequencies_THz": frequencies,
    }


def bad_record(number):
    return record(number, "Na", "I") | {"weights": [1.0]}


def folder_with(path, records):
    with gzip.open(path / "phonondb_pbe.json.gz", "wt") as stream:
        json.dump(records, stream)
    return path


def value_of(figures, name):
    return next(one for one in figures if one.name == name)


class Springs:
    """A potential that ties every atom to where it is at rest."""

    displacement_angstrom, elements, members = 0.03, None, ()

    def __init__(self, name, fails_on=()):
        self.name, self._fails_on = name, set(fails_on)

    def forces(self, _cell, positions, numbers):
        if self._fails_on & set(np.asarray(numbers).tolist()):
            raise RuntimeError("no forces")
        return -(positions - np.round(positions / HALF) * HALF)


def potentials_of(modules, fails_on=()):
    make = modules("networks_models").Potential
    return [make("mace:x", Springs("ours", fails_on)), make("chgnet", Springs("rival"))]


def test_a_record_that_is_no_use_is_left_out_and_named(modules):
    found, failures = modules("references").usable_references(
        [record(0, "K", "Cl"), bad_record(1), {"material_id": "mp-2"}, "nothing"]
    )
    assert [one.name for one in found] == ["mp-0 KCl 225"]
    assert len(failures) == 3
    assert failures[0].startswith("mp-1 NaI 225: ValueError: q points, weights")
    assert failures[1].startswith("mp-2: KeyError")
    assert failures[2].startswith("record 4: TypeError")


def test_too_few_crystals_for_a_split_leave_the_other_densities_alone(modules, tmp_path):
    pairs = [("K", "Cl"), ("Na", "Cl"), ("K", "Br")]
    records = [record(k, *one) for k, one in enumerate(pairs)]
    folder = folder_with(tmp_path, [*records, bad_record(8), record(9, "Be", "O", 33.0)])
    figures, details = modules("networks_density").density_figures(folder, 0, 1, quick=True)
    assert value_of(figures, "density: records left out, of no use").value == 1
    assert value_of(figures, "paper grid: crystals").value == 3
    assert value_of(figures, "paper grid: left out, modes outside").value == 1
    assert value_of(figures, "3 crystals learned by heart: MAE, 20 epochs").value > 0.0
    assert value_of(figures, "crystals per second of processor time").value > 0.0
    assert value_of(figures, "paper grid: splits for accuracy that failed").value == 1
    assert value_of(figures, "paper grid: splits for coverage that failed").value == 1
    required = [one for one in figures if one.required == "< 1"]
    assert len(required) == 3
    assert all(one.value is None and one.met is False for one in required)
    assert list(details) == ["overfit", "coverage, paper grid"]


def test_one_split_that_fails_leaves_the_others(modules, monkeypatch):
    density = modules("networks_density")
    labels = density.dos_labels(
        modules("references").usable_references([record(0, "K", "Cl")])[0], PAPER_GRID
    ).labels
    scores = {"network": {"wasserstein_thz": 1.0}, "mean": {"wasserstein_thz": 2.0}}
    covered = {"held_out_300k": dict.fromkeys(density.CURVES, 0.9)}
    card = {"n_held_out": 5, "scores": scores, "parity": {}, "coverage": covered}

    def train(_labels, settings, _name):
        if settings.seed == 1:
            raise density.TrainingSetError("too few", subject="training", hint="Give more")
        return argparse.Namespace(card=card)

    monkeypatch.setattr(density, "train_density_of_states", train)
    settings, details = density.DOS_PRESETS["small"], {}
    figures = density._accuracy(labels, settings, range(3), "paper", details)
    assert value_of(figures, "paper grid: splits for accuracy that failed").value == 1
    assert value_of(figures, "paper grid: held-out predictions, seeds 0 to 2").value == 10
    ratio = "paper grid: Wasserstein distance over best of zero, mean and neighbours"
    assert value_of(figures, ratio).met is True
    assert value_of(figures, "paper grid: entropy, coverage by the card").value == 0.9


@pytest.mark.parametrize("records", [[], [record(0, "Be", "O", 33.0)]])
def test_densities_of_no_crystal_on_the_paper_grid_are_missed(modules, tmp_path, records):
    folder = folder_with(tmp_path, records)
    figures, details = modules("networks_density").density_figures(folder, 0, 1, quick=True)
    assert value_of(figures, "0 crystals learned by heart: MAE, 20 epochs").value is None
    speed = value_of(figures, "crystals per second of processor time")
    assert (speed.value is None) == (not records)
    assert (speed.met is False) or records
    assert "overfit" not in details


def test_crystals_without_a_mode_on_the_grid_lie_outside(modules):
    one = record(0, "Be", "O")
    one["frequencies_THz"] = (np.array(one["frequencies_THz"]) + 200.0).tolist()
    references, failures = modules("references").usable_references([one])
    found = modules("networks_density").dos_labels(references, WIDE_GRID)
    assert (found.labels, found.n_outside, found.failures, failures) == ([], 1, [], [])


def test_speed_of_no_crystal_is_missed(modules):
    figures, details = modules("networks_speed").speed_figures(potentials_of(modules), [], 1)
    assert value_of(figures, "speed: crystals").met is False
    assert value_of(figures, "speed against rival, all crystals").met is False
    assert details == {"crystals": []}


def test_a_crystal_without_forces_is_left_out_of_the_speed(modules):
    records = [record(0, "K", "Cl"), record(1, "Na", "Cl"), bad_record(2)]
    references, unreadable = modules("references").usable_references(records)
    potentials = potentials_of(modules, fails_on=[11])
    figures, details = modules("networks_speed").speed_figures(
        potentials, references, 1, unreadable
    )
    assert [one["name"] for one in details["crystals"]] == ["mp-0 KCl 225"]
    assert value_of(figures, "speed: left out, of no use or failed").value == 2
    assert value_of(figures, "speed against rival, all crystals").value > 0.0


def test_guesses_by_other_compositions_need_others(modules):
    module = modules("networks_ensemble")
    references, _ = modules("references").usable_references(
        [record(0, "K", "Cl"), record(1, "K", "Cl", 8.0)]
    )
    labels = modules("networks_density").dos_labels(references, PAPER_GRID).labels
    assert list(module.leave_one_out(labels, PAPER_GRID)) == ["zero"]


@pytest.mark.parametrize(
    ("found", "text"),
    [(ValueError("need one array"), "ValueError: need one array"), ({1j}, "TypeError")],
)
def test_whatever_stops_a_part_the_others_are_written(
    modules, monkeypatch, tmp_path, found, text, capsys
):
    monkeypatch.setattr(sys, "path", list(sys.path))  # the benchmark puts its folder last
    networks = modules("networks")

    def stops(_self):
        if isinstance(found, Exception):
            raise found
        return [], {"crystals": found}

    monkeypatch.setattr(networks.Measurements, "speed", stops)
    figure = networks.Figure("atoms", 3, "")
    monkeypatch.setattr(networks.Measurements, "density", lambda _self: ([figure], {"a": np.nan}))
    file = tmp_path / "report.json"
    command = ["networks.py", "--only", "speed", "density", "--json", str(file)]
    monkeypatch.setattr(sys, "argv", command)
    assert networks.main() == 1
    report = json.loads(file.read_text())
    names = {one["name"]: one["met"] for one in report["figures"]}
    [failed] = [name for name in names if name.startswith("FAILED speed")]
    assert text in failed
    assert names[failed] is False
    assert names["atoms"] is None
    assert report["density"] == {"a": None}
    assert "FAILED speed" in capsys.readouterr().out
