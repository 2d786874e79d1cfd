"""What density-of-states networks learn from, and where their progress is kept."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from flows.catalogue import materials_where
from flows.dos_training import (
    DosLesson,
    density_settings,
    jarvis_lessons,
    train_densities,
)
from flows.local import Crew
from flows.plots import plot_density
from flows.run import screen
from flows.trained import METHODS
from flows.training import TrainingTask, train
from screening.anharmonic import ForceConstants
from screening.errors import OutOfDomainError, SettingError, TrainingSetError
from screening.harmonic import MeshFrequencies
from screening.network_dos.grid import PAPER_GRID, WIDE_GRID
from screening.prediction import DensityOfStates, SpectralProperties
from screening.supercell import SupercellSettings
from screening.trained_model import TrainedModel
from stores.connect import open_database
from stores.training import TrainingPhonons, training_phonons

TRAINER = "screening.network_dos.training.train_density_of_states"


@pytest.fixture
def lessons(uri, screened) -> list[DosLesson]:
    with open_database(uri, read_only=True) as database:
        return [METHODS["alignn"].label(one) for one in training_phonons(database, screened)]


@pytest.fixture
def kept(monkeypatch) -> dict:
    """What is given to the trainer, which learns nothing."""
    seen: dict = {}

    def keep(labels, settings, name, _, checkpoint):
        seen.update(labels=labels, settings=settings, name=name, file=checkpoint.path)
        state = {"settings": settings.as_dict()}
        digest, method = "0" * 64, METHODS["alignn"].method
        return TrainedModel(method, name, (13,), {"x": np.ones(1)}, state, {}, digest, len(labels))

    monkeypatch.setattr(TRAINER, keep)
    return seen


def test_labels_are_made_on_the_grid_of_the_settings_unstable_crystals_among_them(lessons, kept):
    for preset, grid in (("paper", PAPER_GRID), ("small", WIDE_GRID)):
        train_densities(lessons, {"preset": preset, "checkpoints": "here"}, "metals")
        assert len(kept["labels"]) == 6
        assert {len(one.histogram) for one in kept["labels"]} == {len(grid)}
        assert kept["settings"].grid == grid
        below = [one.histogram[: grid.zero].sum() for one in kept["labels"]]
        assert max(below) > 0.05 > min(below) == 0.0
        assert kept["file"].parent.name == "here"


@pytest.mark.usefixtures("kept")
def test_modes_outside_the_grid_are_left_out_with_the_reason(lessons, tmp_path):
    narrow = {"lowest_inverse_cm": -300.0, "step_inverse_cm": 20.0, "n_points": 26}
    given = {"grid": narrow, "checkpoints": str(tmp_path)}
    model = train_densities(lessons, given, "metals")
    left = {one["material_id"] for one in model.card["rejected"]}
    assert left
    assert left | set(model.card["training_ids"]) == {one.material_id for one in lessons}
    assert {one["reason"] for one in model.card["rejected"]} == {
        "modes outside the grid of the model"
    }


def _spread_out(edge_angstrom: float, frequency_thz: float) -> DosLesson:
    """Return a crystal of one atom in a cube, all of whose modes have one frequency."""
    structure = Structure(Lattice.cubic(edge_angstrom), ["Cu"], [[0.0] * 3])
    frequencies = np.full((1, 3), frequency_thz)
    modes = MeshFrequencies(frequencies, np.ones(1), np.full((1, 3), 0.5), (2, 2, 2))
    return DosLesson("one", "by hand", structure, modes)


def test_crystals_that_fall_apart_are_not_learned():
    settings = density_settings({})
    assert _spread_out(4.9, 5.0).label_for(settings).n_atoms == 1
    with pytest.raises(OutOfDomainError, match="no neighbour within 5 Å"):
        _spread_out(5.1, 5.0).label_for(settings)
    with pytest.raises(TrainingSetError, match="falls apart"):
        _spread_out(4.9, 0.1).label_for(settings)


def _single_cell(edge_angstrom: float, force_ev_per_angstrom: float | None) -> TrainingPhonons:
    """Rock salt in a cell that is not repeated; the positions of its atoms do not matter."""
    cell = Structure(Lattice.cubic(edge_angstrom), ["Na", "Cl"], [[0.0] * 3, [0.5] * 3])
    spring = 2.0 * np.eye(3)
    constants = ForceConstants(
        primitive=cell,
        supercell_matrix=np.eye(3, dtype=np.int64),
        supercell_scaled_positions=cell.frac_coords,
        supercell_numbers=np.array(cell.atomic_numbers),
        second_order_ev_per_angstrom2=np.array([[spring, -spring], [-spring, spring]]),
    )
    return TrainingPhonons(
        "one", "a" * 64, "NaCl", "by hand", 1, None, force_ev_per_angstrom, None, constants
    )


def test_a_single_cell_is_learned_where_it_is_as_large_as_supercells_are():
    label, enough = METHODS["alignn"].label, SupercellSettings().min_length_angstrom
    for accepted in (0.009, None):
        assert label(_single_cell(enough + 0.01, accepted)).modes.frequencies_thz.shape[1] == 6
    with pytest.raises(TrainingSetError, match="not repeated") as caught:
        label(_single_cell(enough - 0.01, 0.0))
    assert "supercell" in caught.value.hint
    with pytest.raises(TrainingSetError, match="not at rest"):
        label(_single_cell(enough + 0.01, 0.02))


@pytest.mark.usefixtures("kept")
def test_phonons_of_cells_that_were_not_repeated_are_left_out(uri, names, maker, quick, tmp_path):
    """As those of a search are; supercells of the same source are learned alone."""
    single = SupercellSettings(min_length_angstrom=1.0, min_atoms=1, max_atoms=4)
    alone = replace(quick, phonons=replace(quick.phonons, supercell=single))
    task = TrainingTask("alignn", settings={"checkpoints": str(tmp_path)})
    with open_database(uri, read_only=True) as database:
        copper = materials_where(database, "chemsys = Cu")
    for settings, chosen in ((alone, copper), (quick, sorted(set(names) - set(copper)))):
        maker.settings = settings.as_dict()
        screen(uri, chosen, maker, crew=Crew(workers=0))
    with open_database(uri) as database:
        done = train(database, task)
        with pytest.raises(TrainingSetError, match=r"not repeated.*\(2\)") as caught:
            train(database, replace(task, material_ids=copper))
    assert set(done.training_ids) == set(names) - set(copper)
    [(reason, count)] = done.left_out.items()
    assert ("not repeated" in reason, count) == (True, len(copper))
    assert caught.value.hint == METHODS["alignn"].advice


def test_another_training_never_meets_this_checkpoint(lessons, kept, tmp_path):
    files = set()
    for labels, seed in ((lessons, 0), (lessons[1:], 0), (lessons, 1)):
        train_densities(labels, {"seed": seed, "checkpoints": str(tmp_path)}, "metals")
        files.add(kept["file"])
    assert len(files) == 3


def test_settings_are_those_of_a_preset_with_what_differs():
    found = density_settings({"preset": "tiny", "epochs": 3, "architecture": {"hidden": 32}})
    assert (found.epochs, found.n_members) == (3, 2)
    assert (found.architecture.hidden, found.architecture.embedding) == (32, 16)
    assert density_settings({"prior": "chgnet"}).architecture.with_prior
    for wrong in ({"preset": "huge"}, {"epoch": 3}):
        with pytest.raises(SettingError):
            density_settings(wrong)


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"architecture": 5}, "architecture"),
        ({"architecture": None}, "architecture"),
        ({"architecture": 0}, "architecture"),
        ({"architecture": [], "prior": "chgnet"}, "architecture"),
        ({"architecture": "hidden"}, "architecture"),
        ({"checkpoints": 5}, "checkpoints"),
        ({"checkpoints": ["here"]}, "checkpoints"),
        ({"checkpoints": False}, "checkpoints"),
        ({"prior": 5}, "prior"),
        ({"prior": ["chgnet"]}, "prior"),
        ({"prior": {}}, "prior"),
        ({"preset": ["tiny"]}, "--preset"),
        ({"preset": None}, "--preset"),
    ],
)
def test_settings_of_a_wrong_type_are_refused_by_their_name(wrong, name):
    with pytest.raises(SettingError) as refused:
        density_settings(wrong)
    assert refused.value.subject == name
    assert refused.value.hint
    [(_, value)] = list(wrong.items())[:1]
    assert repr(value) in refused.value.message


def test_what_is_not_there_may_be_nothing(tmp_path):
    nothing = {"checkpoints": None, "prior": None}
    assert density_settings(nothing) == density_settings({})
    assert density_settings({"checkpoints": tmp_path, "prior": ""}) == density_settings({})


def test_a_file_of_jarvis_is_learned_in_place_of_the_database(uri, kept, tmp_path):
    atoms = {
        "lattice_mat": (4.0 * np.eye(3)).tolist(),
        "coords": [[0, 0, 0], [0.5, 0.5, 0.5]],
        "elements": ["Cs", "Cl"],
        "cartesian": False,
    }
    density = np.exp(-(((np.linspace(-300, 1000, 66) - 150) / 40) ** 2)).tolist()
    file = tmp_path / "jarvis.json"
    values = [{"jid": "JVASP-1", "atoms": atoms, "pdos_elast": density}, {"jid": "JVASP-2"}]
    file.write_text(json.dumps(values))
    task = TrainingTask("alignn", settings={"checkpoints": str(tmp_path)}, file=str(file))
    with open_database(uri) as database:
        done = train(database, task)
        other = replace(task, method="ldml", settings={})
        with pytest.raises(SettingError, match="no option of ldml"):
            train(database, other)
        for chosen in ({"query": "x = 1"}, {"source": "gpaw"}, {"material_ids": ()}):
            with pytest.raises(SettingError, match="training from a file") as caught:
                train(database, replace(task, **chosen))
            assert next(iter(chosen)).replace("_", "-") in caught.value.subject
        from_zero = np.exp(-(((np.linspace(0, 1000, 201) - 150) / 40) ** 2)).tolist()
        file.write_text(json.dumps([{"jid": "JVASP-3", "atoms": atoms, "pdos_elast": from_zero}]))
        [[lesson], _] = jarvis_lessons(file)
        assert lesson.source == "JARVIS-DFT (OptB88vdW), without imaginary modes"
        file.write_text("[]")
        with pytest.raises(TrainingSetError, match="nothing to learn"):
            train(database, task)
    assert (done.training_ids, sum(done.left_out.values())) == (("JVASP-1",), 1)
    assert done.source == "JARVIS-DFT (OptB88vdW)"
    [label] = kept["labels"]
    assert label.histogram.sum() == pytest.approx(6.0)


def test_a_density_of_states_alone_is_drawn_with_its_spread():
    grid = np.linspace(-3.0, 12.0, 26)
    total = np.exp(-((grid - 5.0) ** 2) / 4)
    density = DensityOfStates(grid, total, None, 0.1 * total)
    numbers = SpectralProperties(0.01, -1.0, 5.0, 9.0, 300.0, 240.0, 3.5)
    figure = plot_density(density, numbers, verdict="undetermined", title="NaCl")
    [axes] = figure.axes
    low, high = axes.get_xlim()
    assert low < 0.0
    assert high > 9.0
    assert "Debye 300 K" in axes.texts[0].get_text()
    bare = plot_density(replace(density, total_std_per_thz=None))
    assert bare.axes[0].get_legend() is None
    assert not list(bare.axes[0].texts)
