"""Potentials trained on what a database holds: from which cells, resumed, stored with a card."""

import hashlib
import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from jobflow import Flow, JobStore, run_locally
from maggma.stores import MemoryStore
from monty.json import MontyDecoder, MontyEncoder
from pymatgen.core import Lattice, Structure
from rich.console import Console

from flows.cli import ExitCode
from flows.gathered_cells import gathered_cells
from flows.imports import import_structures
from flows.labelled_files import write_labelled_cells
from flows.labelling_run import label
from flows.labelling_settings import LabellingSettings
from flows.local import Crew
from flows.makers import LabelBatchMaker, LabelMaker, TrainPotentialMaker
from flows.model_cards import notes_of, score_rows
from flows.potential_training import (
    PotentialTask,
    default_checkpoints,
    potential_settings,
    starting_model,
    train_potentials,
)
from flows.stored_models import model_named
from flows.tables import payload_model, table_model
from screening.calculators import load_calculator
from screening.errors import (
    ElementNotInModelError,
    InconsistentDataError,
    ModelRefusedError,
    NotFoundError,
    SettingError,
    TrainingSetError,
)
from screening.network_potential.last_layer import (
    EARLIER_IS_KNOWN,
    last_layer_of,
    with_last_layer,
)
from screening.network_potential.rattling import RattlingSettings
from screening.shipped_models import read_shipped
from screening.trained_model import TrainedModel
from stores.connect import open_database
from stores.model_files import read_model, write_model
from stores.models import SOURCE_IDS, learned_by, load_model, store_model

EMT = "ase.calculators.emt.EMT"
FCC = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
SMALL = LabellingSettings(RattlingSettings(n_cells=2, min_length_angstrom=4.0, max_atoms=16))
TINY = {"valid_fraction": 0.3, "device": "cpu"}


@pytest.fixture(scope="module")
def labelled_file(tmp_path_factory):
    """A database file with two rattled cells of each of six metals, to be copied."""
    folder = tmp_path_factory.mktemp("labelled")
    for symbol, edge in {"Al": 4.05, "Cu": 3.61, "Ag": 4.09}.items():
        Structure(Lattice.cubic(edge), [symbol] * 4, FCC).to(folder / f"{symbol}-fcc.cif")
        bcc = Lattice.cubic(edge / 2 ** (1 / 3))
        Structure(bcc, [symbol] * 2, [FCC[0], [0.5] * 3]).to(folder / f"{symbol}-bcc.cif")
    uri = f"sqlite:///{folder}/labelled.db"
    names = import_structures(uri, sorted(folder.glob("*.cif"))).material_ids
    maker = LabelBatchMaker(calculator=EMT, settings=SMALL.as_dict())
    label(uri, names, maker, crew=Crew(workers=0))
    return folder / "labelled.db", names


@pytest.fixture
def labelled(labelled_file, tmp_path):
    """Names of the crystals, in a database file of its own with their cells."""
    file, names = labelled_file
    shutil.copy(file, tmp_path / "screening.db")
    return names


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def task(**changes):
    fields = {"preset": "tiny", "settings": TINY, "name": "metals", "epochs": 2}
    return PotentialTask(**fields | changes)


class Epochs:
    """Remembers what it is told, and interrupts where it is asked to."""

    def __init__(self, stop_at=None):
        self.heard, self._stop_at = [], stop_at

    def __call__(self, name, said, epoch, n_epochs):
        is_first = name not in [one for one, _ in self.heard]
        assert ("loss" if not is_first else "goes on" if epoch else "begins") in said
        self.heard.append((name, epoch))
        assert n_epochs >= epoch
        if (name, epoch) == self._stop_at:
            raise KeyboardInterrupt


def test_a_potential_is_stored_with_its_card(uri, labelled):
    pytest.importorskip("careful_mace")
    heard = Epochs()
    done = train_potentials(uri, task(), heard)
    assert heard.heard == [("metals", 0), ("metals", 1), ("metals", 2)]
    [(key, model)] = done.models.items()
    with open_database(uri, read_only=True) as database:
        assert model_named(database, "metals")[0] == key
        assert load_model(database, "mace:metals").digest == model.digest
        assert learned_by(database, model.digest, labelled) == set(labelled)
        [stored] = database.models.query({})
    assert {one["quantity"] for one in stored["metrics"]} == {
        "forces_ev_per_angstrom",
        "energy_ev_per_atom",
        "stress_ev_per_angstrom3",
    }
    card = model.card
    assert card["sources"] == [EMT]
    assert card[SOURCE_IDS] == sorted(labelled)
    assert card["split"]["n_held_out_cells"] >= 0.3 * 12
    forces = score_rows(card)[0]
    assert forces.baseline == "zero forces"
    assert forces.baseline_mae == card["scores"]["zero_forces_mae"]
    assert list(default_checkpoints().iterdir()) == []


@pytest.mark.usefixtures("labelled")
def test_a_training_that_was_stopped_ends_as_an_undisturbed_one(uri):
    pytest.importorskip("careful_mace")
    [undisturbed] = train_potentials(uri, task(name="other")).models.values()
    with pytest.raises(KeyboardInterrupt):
        train_potentials(uri, task(), Epochs(stop_at=("metals", 1)))
    [kept] = default_checkpoints().iterdir()
    assert kept.name.startswith("metals-")
    with open_database(uri, read_only=True) as database, pytest.raises(NotFoundError):
        load_model(database, "mace:metals")
    rest = Epochs()
    [model] = train_potentials(uri, task(), rest).models.values()
    assert rest.heard == [("metals", 1), ("metals", 2)]
    assert model.digest == undisturbed.digest
    assert list(default_checkpoints().iterdir()) == []


@pytest.mark.usefixtures("labelled")
def test_a_committee_goes_on_with_the_member_it_was_at(uri, tmp_path):
    pytest.importorskip("careful_mace")
    both = task(committee=2, epochs=1, checkpoints=str(tmp_path / "kept"))
    with pytest.raises(KeyboardInterrupt):
        train_potentials(uri, both, Epochs(stop_at=("metals-1", 1)))
    rest = Epochs()
    done = train_potentials(uri, both, rest)
    assert rest.heard == []
    first, second = done.models.values()
    assert (first.name, second.name) == ("metals-0", "metals-1")
    assert (first.card["seed"], second.card["seed"]) == (0, 1)
    held_out = [one.card["split"]["held_out_groups"] for one in (first, second)]
    assert held_out[0] == held_out[1] != []
    assert first.digest != second.digest
    with open_database(uri, read_only=True) as database:
        assert database.models.count() == 2


class Cells:
    """Remembers the cells of last layers, and interrupts where it is asked to."""

    def __init__(self, stop_at=""):
        self.heard, self._stop_at = {}, stop_at

    def __call__(self, name, done, total):
        if name == self._stop_at:
            raise KeyboardInterrupt
        self.heard.setdefault(name, []).append((done, total))


@pytest.fixture
def with_spread(uri, labelled):
    """A stored potential with its last layer, and what was told of its cells."""
    pytest.importorskip("careful_mace")
    assert labelled
    cells = Cells()
    [model] = train_potentials(uri, task(last_layer=True, epochs=1), None, cells).models.values()
    return model, cells.heard


def test_a_last_layer_is_fitted_in_the_split_of_the_training(uri, with_spread):
    model, heard = with_spread
    with open_database(uri, read_only=True) as database:
        stored = load_model(database, "mace:metals")
    layer, split = last_layer_of(stored), stored.card["split"]
    assert (layer.n_cells, layer.n_held_out) == (
        split["n_training_cells"],
        split["n_held_out_cells"],
    )
    assert layer.calibration == stored.card["last_layer"]["calibration"] == "held-out"
    assert heard == {"metals": [(done, 12) for done in range(1, 13)]}
    assert layer.note in notes_of(stored.card)
    assert stored.digest == model.digest
    shown = Console(width=200, record=True, file=io.StringIO())
    shown.print(table_model(stored, "mace:metals"))
    assert f"{layer.n_held_out} held-out cells of other compositions" in shown.export_text()
    assert payload_model(stored, "mace:metals")["card"]["last_layer"]["n_cells"] == layer.n_cells


@pytest.mark.usefixtures("labelled")
def test_a_stored_last_layer_that_claims_too_much_is_fitted_again(uri, with_spread):
    from flows.last_layers import with_own_last_layer

    model, _ = with_spread
    with open_database(uri, read_only=True) as database:
        cells = gathered_cells(database).cells
    split = {**model.card["split"], EARLIER_IS_KNOWN: False}
    bare = with_last_layer(model, None)
    told = []
    for known, calibration in ((bare.card["split"], "held-out"), (split, "evidence")):
        again = replace(bare, card={**bare.card, "split": known})
        found = with_own_last_layer(uri, again, cells, "cpu", lambda *one: told.append(one))
        assert last_layer_of(found).calibration == calibration
        assert bool(told) == (calibration == "evidence")


@pytest.mark.usefixtures("labelled")
def test_each_member_has_a_last_layer_which_is_fitted_once(uri):
    pytest.importorskip("careful_mace")
    both = task(committee=2, epochs=1, last_layer=True)
    first = Cells(stop_at="metals-1")
    with pytest.raises(KeyboardInterrupt):
        train_potentials(uri, both, None, first)
    rest, epochs = Cells(), Epochs()
    models = train_potentials(uri, both, epochs, rest).models.values()
    assert epochs.heard == []
    assert [list(one.heard) for one in (first, rest)] == [["metals-0"], ["metals-1"]]
    layers = [last_layer_of(one) for one in models]
    assert all(one.n_cells + one.n_held_out == 12 for one in layers)
    assert not np.array_equal(layers[0].root, layers[1].root)
    assert list(default_checkpoints().iterdir()) == []


def test_a_screen_with_a_drawn_committee_says_who_computed_and_how_sure(
    uri, with_spread, phonoscreen, tmp_path, quick
):
    model, _ = with_spread
    file = write_model(tmp_path / "metals.psm", model)
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps(quick.as_dict()))
    assert 13 in model.elements
    screen = ("screen", "--query", "chemsys = Al", "--settings", settings, "--json")
    for workers in (1, 0):  # the second run finds everything
        arguments = ("--calculator", f"mace:{file}@{model.digest[:16]}#3", "--workers", workers)
        code, out, err = phonoscreen(*screen, *arguments)
        assert code == ExitCode.DONE, err
        assert json.loads(out)["outcomes"] == {"computed" if workers else "already_done": 2}
    committee = load_calculator(f"mace:{file}#3")
    with open_database(uri, read_only=True) as database:
        found = list(database.predictions.query({}))
    assert len(found) == 2
    for row in found:
        assert row["provenance"]["model"] == "mace:metals#3"
        assert row["provenance"]["model_digest"] == committee.digest
        assert row["spread"]["free_energy_std_mev_per_atom"][-1] > 0.0
        assert any("held-out cells" in one for one in row["warnings"])


@pytest.mark.usefixtures("labelled")
def test_a_training_starts_from_stored_weights_or_those_of_a_file(uri, tmp_path):
    pytest.importorskip("careful_mace")
    [model] = train_potentials(uri, task(epochs=1)).models.values()
    file = write_model(tmp_path / "metals.psm", model)
    named = ("metals", "mace:metals", str(file), f"mace:{file}@{model.digest[:16]}")
    with open_database(uri) as database:
        found = [starting_model(database, text) for text in named]
    assert {one.digest for one in found} == {model.digest}
    again = task(name="later", epochs=1, start_from="metals", query="chemsys in Cu,Ag")
    [later] = train_potentials(uri, again).models.values()
    assert later.card["started_from"] == "mace:metals"
    assert set(later.card[SOURCE_IDS]) == set(model.card[SOURCE_IDS])
    splits = [one.card["split"] for one in (model, later)]
    before, after = (set(one["training_groups"]) for one in splits)
    assert before <= after
    assert set(splits[1]["held_out_groups"]) == {"Cu", "Ag"} - before  # the others were learned
    assert "were learned by the weights" not in " ".join(later.card["notes"])
    known = task(
        name="known",
        epochs=1,
        start_from="metals",
        query=f"chemsys in {','.join(before)}",
        last_layer=True,
    )
    [known] = train_potentials(uri, known).models.values()
    assert "held-out compositions were learned by the weights" in " ".join(known.card["notes"])
    assert last_layer_of(known).calibration == "evidence"
    assert "likely too small" in " ".join(known.card["notes"])
    assert later.elements == model.elements
    assert later.digest != model.digest
    with open_database(uri) as database, pytest.raises(ModelRefusedError):
        starting_model(database, f"{file}@{'0' * 16}")


def test_a_training_starts_from_the_potential_that_is_installed(uri):
    installed = read_shipped("mace", "phonoscreen-small")
    with open_database(uri) as database:
        for text in ("phonoscreen", "mace:phonoscreen-small"):
            assert starting_model(database, text).digest == installed.digest


@pytest.mark.usefixtures("labelled")
def test_a_training_starts_from_a_network_of_the_package(uri, tmp_path, monkeypatch):
    pytest.importorskip("careful_mace")
    from tiny_mace import save_tiny_mace

    file = save_tiny_mace(tmp_path / "big.model")  # for Al and Cu
    digits = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    with open_database(uri) as database, pytest.raises(ModelRefusedError, match="runs code"):
        starting_model(database, str(file))
    start = f"mace:{file}@{digits}"
    with pytest.raises(ElementNotInModelError, match="Ag"):
        train_potentials(uri, task(start_from=start), Epochs())
    tuned = task(
        start_from=start, query="chemsys in Al,Cu", epochs=1, name="tuned", last_layer=True
    )
    [model] = train_potentials(uri, tuned).models.values()
    assert last_layer_of(model).calibration == "evidence"
    assert "likely too small" in " ".join(model.card["notes"])
    assert model.card["started_from"] == f"mace:big.model@{digits}"
    assert model.elements == (13, 29)
    assert model.state["architecture"]["n_interactions"] == 1
    assert "not known" in " ".join(model.card["notes"])
    monkeypatch.setattr("screening.calculators.mace._published", lambda _: file)  # downloaded
    with open_database(uri) as database:
        with pytest.raises(ModelRefusedError, match="runs code"):
            starting_model(database, "mace:medium")
        assert starting_model(database, f"mace:medium@{digits}").name == "medium"
        with pytest.raises(NotFoundError):
            starting_model(database, "medium")


@pytest.mark.usefixtures("labelled")
def test_only_potentials_are_started_from(uri, tmp_path):
    entropy = TrainedModel(
        "linear-descriptor-entropy", "x", (13,), {"a": np.zeros(1)}, {}, {}, "0" * 64, 1
    )
    file = write_model(tmp_path / "entropy.psm", entropy)
    with open_database(uri) as database:
        store_model(database, entropy)
        with pytest.raises(ModelRefusedError, match="linear-descriptor-entropy"):
            starting_model(database, str(file))
        with pytest.raises(NotFoundError):
            starting_model(database, "x")
        assert starting_model(database, "") is None


@pytest.mark.usefixtures("screened")
def test_displaced_cells_of_phonons_are_labelled_cells(uri):
    with open_database(uri) as database:
        found = gathered_cells(database, "chemsys = Cu")
        rows = database.phonons.query({}, ["material_id", "n_displacements"])
        expected = {row["material_id"]: row["n_displacements"] for row in rows}
    counts = dict.fromkeys({cell.material_id for cell in found.cells}, 0)
    for cell in found.cells:
        counts[cell.material_id] += 1
    assert len(counts) == 2
    assert counts == {name: expected[name] for name in counts}
    assert found.n_from_phonons == len(found.cells)
    assert set(found.sources) == {EMT}
    assert "displaced cells of stored phonons" in " ".join(found.lines())


def test_labelled_cells_and_phonons_of_one_calculator_come_together(uri, screened):
    maker = LabelBatchMaker(calculator=EMT, settings=SMALL.as_dict())
    label(uri, screened[:1], maker, crew=Crew(workers=0))
    with open_database(uri) as database:
        found = gathered_cells(database)
    assert len(found.cells) == found.n_from_phonons + 2


@pytest.mark.usefixtures("labelled")
def test_files_alone_are_trained_on_alone(uri, tmp_path):
    with open_database(uri) as database:
        stored = gathered_cells(database)
        file = write_labelled_cells(stored.cells[:4], tmp_path / "cells.extxyz")
        assert len(gathered_cells(database, files=[file]).cells) == 4
        both = gathered_cells(database, source=EMT, files=[file])
        assert (len(both.cells), both.n_from_files) == (16, 4)
        assert len(gathered_cells(database, "chemsys = Cu", files=[file]).cells) == 8
        with pytest.raises(NotFoundError):
            gathered_cells(database, "chemsys = Pt")


@pytest.mark.usefixtures("labelled")
def test_cells_of_files_are_of_the_source_of_all_others(uri, tmp_path):
    with open_database(uri) as database:
        cells = gathered_cells(database).cells
        own, pbe, both = (tmp_path / f"{name}.extxyz" for name in ("own", "pbe", "both"))
        others = [replace(cell, source="PBE") for cell in cells[4:6]]
        for file, some in ((own, cells[:4]), (pbe, others), (both, [*cells[:4], *others])):
            write_labelled_cells(some, file)
        for query, files in (("", [own, pbe]), ("", [both]), ("chemsys = Cu", [pbe])):
            with pytest.raises(TrainingSetError, match="do not mix") as caught:
                gathered_cells(database, query, files=files)
            assert {"PBE", EMT} <= set(re.findall(r"[\w.]+", caught.value.message))
            assert "--source" in caught.value.hint
        chosen = gathered_cells(database, source="PBE", files=[both])  # no stored cell is by PBE
        assert chosen.sources == {"PBE": 2}
        assert (chosen.n_from_files, chosen.left_out[f"cell of a file, by {EMT}"]) == (2, 4)
        mixed = gathered_cells(database, "chemsys = Cu", EMT, [both])
        assert (mixed.sources, mixed.n_from_files) == ({EMT: 8}, 4)
        assert mixed.left_out == {"cell of a file, by PBE": 2}
        with pytest.raises(TrainingSetError, match="no cell of the files was labelled by PBE"):
            gathered_cells(database, source="PBE", files=[own])
        with pytest.raises(TrainingSetError, match="no cell was labelled by PBE"):
            gathered_cells(database, "chemsys = Cu", "PBE", [pbe])


@pytest.mark.usefixtures("labelled")
def test_a_file_that_names_no_source_is_its_own_one(uri, tmp_path):
    with open_database(uri) as database:
        nameless = [replace(one, source="") for one in gathered_cells(database).cells[:2]]
        files = [write_labelled_cells(nameless, tmp_path / name) for name in ("a.xyz", "b.xyz")]
        assert gathered_cells(database, files=files[:1]).sources == {"a.xyz": 2}
        with pytest.raises(TrainingSetError, match=r"a\.xyz \(2\), b\.xyz \(2\)") as caught:
            gathered_cells(database, files=files)
        assert "cells import" in caught.value.hint
        assert gathered_cells(database, source="b.xyz", files=files).sources == {"b.xyz": 2}


@pytest.mark.usefixtures("labelled")
def test_a_bad_frame_stops_a_training_and_is_named(uri, tmp_path):
    with open_database(uri) as database:
        file = write_labelled_cells(gathered_cells(database).cells[:2], tmp_path / "a.extxyz")
        file.write_text(file.read_text().replace(":forces:R:3", ":speed:R:3", 1))
        with pytest.raises(InconsistentDataError, match=r"a\.extxyz, frame 1: no forces"):
            gathered_cells(database, files=[file])


def test_epochs_are_shared_out_to_stages():
    whole = potential_settings(PotentialTask(preset="paper"))
    assert [one.epochs for one in whole.stages] == [100, 100]
    few = potential_settings(PotentialTask(preset="paper", epochs=8))
    assert [one.epochs for one in few.stages] == [4, 4]
    for n_epochs in range(2, 20):
        own = potential_settings(PotentialTask(preset="paper", epochs=n_epochs))
        assert own.n_epochs == n_epochs
    own = potential_settings(PotentialTask(preset="paper", epochs=2))
    assert [one.epochs for one in own.stages] == [1, 1]
    stages = [{"epochs": 1}, {"epochs": 98}, {"epochs": 1}]
    uneven = PotentialTask(settings={"stages": stages}, epochs=4)
    assert [one.epochs for one in potential_settings(uneven).stages] == [1, 2, 1]
    channels = PotentialTask(settings={"architecture": {"channels": 8}, "seed": 3})
    assert potential_settings(channels).architecture.channels == 8
    assert potential_settings(channels).seed == 3


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"preset": "huge"}, SettingError),
        ({"preset": "paper", "epochs": 1}, SettingError),
        ({"settings": {"chanels": 3}}, SettingError),
        ({"settings": {"architecture": {"channels": 0}}}, SettingError),
        ({"committee": 0}, SettingError),
        ({"name": "no/name"}, SettingError),
        ({"name": "phonoscreen"}, SettingError),
        ({"start_from": "nobody"}, NotFoundError),
        ({"source": "nobody"}, TrainingSetError),
        ({"files": ("nowhere.xyz",)}, Exception),
    ],
)
@pytest.mark.usefixtures("labelled")
def test_what_cannot_be_trained_is_refused_before_the_work(uri, changes, error):
    heard = Epochs()
    with pytest.raises(error):
        train_potentials(uri, task(**changes), heard)
    assert heard.heard == []


@pytest.mark.parametrize(
    "maker",
    [
        LabelBatchMaker(),
        LabelMaker(batch_size=3),
        TrainPotentialMaker(epochs=3, last_layer=True),
    ],
)
def test_a_maker_survives_serialisation(maker):
    assert MontyDecoder().decode(json.dumps(maker, cls=MontyEncoder)) == maker


def test_cells_are_labelled_and_trained_on_in_one_flow(uri, names, tmp_path):
    pytest.importorskip("careful_mace")
    batch_maker = LabelBatchMaker(calculator=EMT, settings=SMALL.as_dict())
    labelling = LabelMaker(batch_maker=batch_maker, batch_size=4).make(uri, list(names))
    training = TrainPotentialMaker(
        model_name="metals", preset="tiny", settings=TINY, epochs=1,
        checkpoints=str(tmp_path / "kept"), last_layer=True,
    ).make(uri, after=[labelling.output])  # fmt: skip
    assert len(labelling.jobs) == 3
    responses = run_locally(
        Flow([labelling, training]), log=False, ensure_success=True, raise_immediately=True,
        store=JobStore(MemoryStore()),
    )  # fmt: skip
    counted = responses[labelling.jobs[-1].uuid][1].output
    assert (counted["outcomes"], counted["n_lost_batches"]) == ({"computed": 6}, 0)
    output = responses[training.uuid][1].output
    assert output["sources"] == {EMT: 12}
    assert output["model_id"].startswith("mace:metals@")
    with open_database(uri, read_only=True) as database:
        assert last_layer_of(load_model(database, "mace:metals")) is not None


@pytest.mark.usefixtures("names")
def test_the_commands(phonoscreen, tmp_path):
    pytest.importorskip("careful_mace")
    size = ("--min-length", 4, "--max-atoms", 16, "--cells", 2)
    code, out, _ = phonoscreen("cells", "label", "-c", EMT, "-w", 0, *size)
    assert (code, "computed now" in out) == (ExitCode.DONE, True)
    code, out, _ = phonoscreen("cells")
    assert code == ExitCode.DONE
    assert EMT in out
    training = ("train", "mace", "--preset", "tiny", "--name", "metals", "--epochs", 2,
                "--held-out", 0.3, "--device", "cpu", "--last-layer")  # fmt: skip
    code, out, err = phonoscreen(*training)
    assert code == ExitCode.DONE, err
    for said in ("mace:metals@", "trained on 8 cells", "zero forces", "eV/Å", "2 epochs"):
        assert said in out
    assert f"kept after every epoch in {tmp_path / 'cache' / 'phonoscreen' / 'training'}" in err
    assert "metals, epoch 2 of 2" in err
    assert "--calculator mace:metals.psm" in err
    assert "metals, last layer, cell 12 of 12" in err
    assert "--calculator 'mace:metals.psm#4'" in err
    assert "held-out cells of other compositions" in out
    code, shown, _ = phonoscreen("models", "show", "metals")
    assert (code, "zero forces" in shown) == (ExitCode.DONE, True)
    file = tmp_path / "metals.psm"
    code, _, _ = phonoscreen("models", "export", "metals", file)
    assert code == ExitCode.DONE
    assert read_model(file).method == "mace-potential"


@pytest.mark.usefixtures("labelled")
def test_cells_are_handed_out_and_taken_back_by_commands(phonoscreen, tmp_path):
    todo, done = tmp_path / "todo.extxyz", tmp_path / "done.extxyz"
    size = ("--min-length", 4, "--max-atoms", 16, "--cells", 2)
    code, out, err = phonoscreen("cells", "write", todo, "--query", "chemsys = Cu", *size)
    assert (code, out.strip()) == (ExitCode.DONE, str(todo))
    assert "4 cells of 2 crystals" in err
    assert phonoscreen("cells", "import", todo)[0] == ExitCode.NOTHING_USABLE
    assert phonoscreen("cells", "export", done, "--query", "chemsys = Cu")[0] == ExitCode.DONE
    code, out, _ = phonoscreen("cells", "import", done, "--json")
    assert code == ExitCode.DONE
    assert json.loads(out)["sources"] == {EMT: 4}
    with Path(done).open("a") as stream:
        stream.write('1\nLattice="4 0 0 0 4 0 0 0 4"\nCu 0 0 0\n')
    code, out, _ = phonoscreen("cells", "import", done)
    assert code == ExitCode.SOME_FAILED
    assert "frame 5" in out
    assert phonoscreen("train", "mace", "--preset", "tiny")[0] == ExitCode.WRONG_USAGE


@pytest.mark.parametrize(
    "arguments",
    [
        ("rf-ifc", "--preset", "tiny"),
        ("rf-ifc", "--last-layer"),
        ("mace", "--variant", "auto"),
        ("mace", "--committee", "2", "--out", "a.psm"),
        ("mace", "--preset", "huge"),
    ],
)
@pytest.mark.usefixtures("labelled")
def test_options_that_do_not_fit_are_refused(phonoscreen, arguments):
    assert phonoscreen("train", *arguments)[0] == ExitCode.WRONG_USAGE
