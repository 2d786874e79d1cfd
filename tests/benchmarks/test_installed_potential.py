"""The stored labels of the installed potential come back from the files that train on them."""

import importlib
import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from flows.labelled_files import read_cell_files
from flows.potential_training import potential_settings
from screening.errors import ModelRefusedError
from screening.model_files import read_model
from screening.network_potential.settings import MaceArchitecture
from screening.shipped_models import WEIGHTS_FOLDER
from stores.connect import open_database


@pytest.fixture(scope="module")
def benchmark():
    path = list(sys.path)
    sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
    yield importlib.import_module("installed_potential")
    sys.path[:] = path


def columns(path):
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def first(stored, count):
    """The first crystals of a file."""
    cells = int(stored["n_cells"][:count].sum())
    atoms = int((stored["n_cells"][:count].astype(int) * stored["n_atoms"][:count]).sum())
    ends = {
        **dict.fromkeys(("material_id", "formula", "n_cells", "n_atoms"), count),
        **dict.fromkeys(("cell_ticks", "energy_ev", "stress_ev_per_angstrom3", "is_soft"), cells),
        **dict.fromkeys(("position_ticks", "force_ticks"), atoms),
        "numbers": int(stored["n_atoms"][:count].sum()),
    }
    return {name: value[: ends[name]] for name, value in stored.items()}


@pytest.fixture
def files(benchmark, tmp_path):
    """A dozen crystals of each file, in files of their own."""
    found = []
    for path in benchmark.FILES:
        found.append(tmp_path / path.name)
        np.savez(found[-1], **first(columns(path), 12))
    return found


def test_labels_come_back_from_the_files_of_a_training(benchmark, files, tmp_path):
    cells = [one for path in files for one in benchmark.read_cells(path)]
    written = benchmark.write_cells(cells, tmp_path / "labels")
    with open_database("memory://") as database:
        read = [read_cell_files(database, [one]) for one in written]
    assert not [error for one in read for error in one.rejections]
    found = [cell for one in read for group in one.sets for cell in group.labelled()]
    assert len(found) == len(cells)
    by_energy = {round(one.energy_ev, 7): one for one in found}  # they are kept per atom
    assert len(by_energy) == len(found)
    names: dict[str, str] = {}
    for one in cells:
        other = by_energy[round(one.energy_ev, 7)]
        assert (one.group, one.source) == (other.group, other.source)
        np.testing.assert_array_equal(one.numbers, other.numbers)
        for name in ("cell_angstrom", "positions_angstrom", "forces_ev_per_angstrom"):
            np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-7)
        np.testing.assert_allclose(
            one.stress_ev_per_angstrom3, other.stress_ev_per_angstrom3, atol=1e-9
        )
        assert names.setdefault(one.pair, other.pair) == other.pair
    assert len(set(names.values())) == len(names)


def test_pairs_and_compositions_are_what_the_files_say(benchmark, files):
    """Four or five rattled cells are two pairs, two are none; soft cells are always in pairs."""
    for path in files:
        stored, cells = columns(path), list(benchmark.read_cells(path))
        assert {one.group for one in cells} == set(stored["formula"].tolist())
        counts = Counter(one.pair for one in cells if one.pair)
        assert set(counts.values()) == {2}
        n_cells = stored["n_cells"].astype(int)
        soft = stored.get("is_soft")
        n_pairs = 2 * (n_cells >= 4).sum() if soft is None else soft.sum() // 2
        assert len(counts) == n_pairs
        forces = np.concatenate([one.forces_ev_per_angstrom for one in cells])
        np.testing.assert_array_equal(np.rint(forces * 1e4), stored["force_ticks"])
        assert cells[0].stress_ev_per_angstrom3[1, 2] == stored["stress_ev_per_angstrom3"][0, 3]


def test_reserved_compositions_are_refused_by_their_atoms(benchmark, files):
    stored = columns(files[0])
    n_atoms = int(stored["n_atoms"][0])
    stored["numbers"][:n_atoms] = np.resize([11, 17], n_atoms)
    np.savez(files[0], **stored)
    with pytest.raises(ModelRefusedError, match="NaCl"):
        next(benchmark.read_cells(files[0]))


def test_some_crystals_come_with_all_their_cells_and_files_never_share_one(
    benchmark, files, tmp_path, monkeypatch
):
    cells = [one for path in files for one in benchmark.read_cells(path)]
    names = {one.material_id for one in cells}
    chosen = benchmark.some_crystals(cells, 5)
    few = {one.material_id for one in chosen}
    assert len(few) == 5 < len(names)
    assert len(chosen) == sum(one.material_id in few for one in cells)
    assert benchmark.some_crystals(cells, None) == cells
    monkeypatch.setattr(benchmark, "_CELLS_OF_FILE", 10)
    rattled = list(benchmark.read_cells(files[0]))
    written = benchmark.write_cells(rattled, tmp_path / "labels")
    said = [re.findall(r'material_id=("[^"]*"|\S+)', one.read_text()) for one in written]
    assert len(written) > 2
    assert sum(map(len, said)) == len(rattled)
    assert len(set().union(*said)) == sum(len(set(one)) for one in said) == 12


def test_the_training_is_that_of_the_installed_file(benchmark, tmp_path):
    card = read_model(WEIGHTS_FOLDER / "phonoscreen-small.psm").card
    task = benchmark.training_task([tmp_path / "x.extxyz"], tmp_path, "own", None, "")
    settings = potential_settings(task)
    assert settings.architecture == MaceArchitecture.from_dict(card["settings"]["architecture"])
    assert (settings.n_epochs, settings.max_seconds) == (sum(benchmark.ROUNDS), None)
    same = {"stages", "max_seconds"}
    plain = settings.as_dict()
    assert {name: plain[name] for name in set(plain) - same} == {
        name: card["settings"][name] for name in set(plain) - same
    }
    again = benchmark.training_task([], tmp_path, "own", None, "own.psm")
    assert potential_settings(again).n_epochs == card["n_epochs"]
    assert set(benchmark.NOTES) <= set(card["notes"])
