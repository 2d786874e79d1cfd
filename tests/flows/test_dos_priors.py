"""The potential that a network corrects: asked once for each crystal, named, and no other taken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flows.dos_priors import stored_prior, training_priors
from flows.dos_training import DosLesson, density_predictor, train_densities
from flows.trained import METHODS
from screening.calculators import load_calculator
from screening.calculators.specification import runs_no_code
from screening.errors import (
    ModelCorruptError,
    ModelRefusedError,
    NonFiniteForcesError,
    OutOfDomainError,
    TrainingDivergedError,
)
from screening.network_dos.grid import PAPER_GRID, WIDE_GRID
from screening.network_dos.settings import ANEW
from screening.phonons import PhononSettings
from screening.prediction import frozen_array
from screening.predictors.dos_prior import PotentialPrior
from screening.settings import ScreeningSettings
from screening.trained_model import TrainedModel
from stores.connect import open_database
from stores.training import training_phonons

TRAINER = "screening.network_dos.training.train_density_of_states"
EMT = "ase.calculators.emt.EMT"


class Killed(BaseException):
    """What no code catches."""


class Springs:
    """A potential in place of a large one."""

    name, displacement_angstrom, members = "springs", 0.01, ()

    def __init__(self, digest="d" * 64):
        self.digest = digest


@pytest.fixture
def lessons(uri, screened) -> list[DosLesson]:
    with open_database(uri, read_only=True) as database:
        return [METHODS["alignn"].label(one) for one in training_phonons(database, screened)]


@pytest.fixture
def any_potential(monkeypatch):
    """Potentials of tests are neither installed nor files of plain numbers."""
    monkeypatch.setattr("screening.calculators.specification.runs_no_code", lambda _: True)


@pytest.fixture
def trainer(monkeypatch) -> dict:
    """A trainer that learns nothing; fails where it is told to."""
    seen: dict = {"error": None, "labels": ()}

    def train(labels, settings, name, _, __):
        if seen["error"] is not None:
            raise seen["error"]
        seen["labels"] = labels
        state = {"settings": settings.as_dict()}
        digest, method = "0" * 64, METHODS["alignn"].method
        return TrainedModel(method, name, (13,), {"x": np.ones(1)}, state, {}, digest, len(labels))

    monkeypatch.setattr(TRAINER, train)
    return seen


@pytest.fixture
def asked(monkeypatch) -> dict:
    """What the potential is asked for; it fails on silver, and copper is outside its grid."""
    seen: dict = {"names": [], "most": None}

    def histogram(_self, structure, _meter=None, subject=""):
        if seen["most"] is not None and len(seen["names"]) >= seen["most"]:
            raise Killed
        seen["names"].append(subject)
        if "Ag" in structure.composition:
            raise NonFiniteForcesError("a force is not finite", subject=subject)
        if "Cu" in structure.composition:
            raise OutOfDomainError("modes outside the grid", subject=subject)
        found = np.zeros(len(WIDE_GRID))
        found[WIDE_GRID.zero + 4] = 3.0 * len(structure)
        return frozen_array(found)

    monkeypatch.setattr("screening.calculators.load_calculator", lambda _: Springs())
    monkeypatch.setattr(PotentialPrior, "histogram", histogram)
    return seen


@pytest.mark.usefixtures("any_potential")
def test_a_potential_is_asked_for_every_crystal_and_named_in_the_model(
    lessons, trainer, asked, monkeypatch, tmp_path
):
    given = {"prior": "springs", "checkpoints": str(tmp_path)}
    model = train_densities(lessons, given, "metals")
    assert sorted(asked["names"]) == sorted(one.material_id for one in lessons)
    assert all(one.prior is not None for one in trainer["labels"])
    reasons = {one["reason"] for one in model.card["rejected"]}
    assert reasons == {"springs: NONFINITE_FORCES", "springs: OUT_OF_DOMAIN"}
    assert len(trainer["labels"]) + len(model.card["rejected"]) == len(lessons)
    displaced = replace(PhononSettings(), displacement_angstrom=0.01)
    assert (
        model.state["prior"]
        == model.card["prior"]
        == {
            "specification": "springs",
            "model": "springs",
            "digest": "d" * 64,
            "phonons": ScreeningSettings(phonons=displaced).as_dict()["phonons"],
        }
    )
    monkeypatch.setattr("screening.calculators.load_calculator", lambda _: Springs("e" * 64))
    with pytest.raises(ModelRefusedError, match=r"d{12}.*other weights: e{12}"):
        density_predictor(model, None)


@pytest.mark.usefixtures("any_potential")
def test_a_training_that_was_stopped_asks_for_no_crystal_twice(lessons, trainer, asked, tmp_path):
    given = {"prior": "springs", "checkpoints": str(tmp_path / "kept")}
    asked["most"] = 3
    with pytest.raises(Killed):
        train_densities(lessons, given, "metals")
    asked["most"], trainer["error"] = None, TrainingDivergedError("the loss is no number")
    with pytest.raises(TrainingDivergedError):
        train_densities(lessons, given, "metals")
    failing = {one.material_id for one in lessons if "Ag" in one.structure.composition}
    counts = {one.material_id: asked["names"].count(one.material_id) for one in lessons}
    assert {counts[name] for name in set(counts) - failing} == {1}
    assert any("Cu" in one.structure.composition for one in lessons)  # refused, and kept so
    trainer["error"], n_before = None, len(asked["names"])
    train_densities(lessons, given, "metals")
    assert set(asked["names"][n_before:]) == failing  # that may have been an accident
    kept_over = {one.material_id: one.prior for one in trainer["labels"]}
    assert not list((tmp_path / "kept").iterdir())
    train_densities(lessons, given, "metals")
    for one in trainer["labels"]:
        np.testing.assert_array_equal(one.prior, kept_over[one.material_id])


@pytest.mark.usefixtures("asked", "any_potential")
def test_what_is_kept_is_of_one_potential_one_grid_and_one_crystal(lessons, monkeypatch, tmp_path):
    monkeypatch.setattr("screening.calculators.load_calculator", lambda name: Springs(64 * name))
    folder, labels = tmp_path / "kept", [one.label(WIDE_GRID) for one in lessons]
    training_priors("d", WIDE_GRID, folder).added_to(labels)
    [kept] = folder.iterdir()
    for other in (
        training_priors("e", WIDE_GRID, folder),
        training_priors("d", PAPER_GRID, folder),
    ):
        other.added_to(labels[:0])
        other.forget()
    assert [kept] == list(folder.iterdir())
    training_priors("e", WIDE_GRID, folder).added_to(labels)
    assert len(list(folder.iterdir())) == 2
    files = sorted(kept.iterdir())
    files[0].write_bytes(files[1].read_bytes())
    with pytest.raises(ModelCorruptError, match="of this crystal"):
        training_priors("d", WIDE_GRID, folder).added_to(labels)


@pytest.mark.usefixtures("any_potential")
def test_predictions_compute_phonons_as_the_training_did():
    calculator = load_calculator(EMT)
    coarse = PhononSettings(mesh_length_angstrom=12.0)
    record = PotentialPrior(calculator, WIDE_GRID, coarse).record
    state = {"prior": {"specification": EMT, **record}, "settings": {}}
    model = TrainedModel(METHODS["alignn"].method, "x", (13,), {}, state, {}, "0" * 64, 1)
    prior = stored_prior(model)
    assert prior.record == record
    assert prior.phonons["mesh_length_angstrom"] == 12.0
    assert prior.phonons["displacement_angstrom"] == calculator.displacement_angstrom
    damaged = {**state["prior"], "phonons": {"mesh": 1}}
    with pytest.raises(ModelCorruptError, match="settings of its potential"):
        stored_prior(replace(model, state={**state, "prior": damaged}))
    assert stored_prior(replace(model, state={"settings": {}})) is None


PLAIN = {"specification": "phonoscreen"}


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"prior": {}, "settings": {}}, "does not name the potential that it corrects: {}"),
        ({"prior": 5, "settings": {}}, "does not name the potential that it corrects: 5"),
        ({"prior": [], "settings": {}}, "does not name the potential"),
        ({"prior": False, "settings": {}}, "does not name the potential"),
        ({"prior": "chgnet", "settings": {}}, "does not name the potential"),
        ({"prior": {"specification": 5}, "settings": {}}, "does not name the potential"),
        ({"prior": {"specification": ""}, "settings": {}}, "does not name the potential"),
        ({"prior": PLAIN}, "settings are missing"),
        ({"prior": PLAIN, "settings": 5}, "settings cannot be read: settings: 5"),
        ({"prior": PLAIN, "settings": {"grid": 5}}, "settings cannot be read: grid: 5"),
        ([PLAIN], "its state is no object"),
    ],
)
def test_a_model_that_does_not_say_what_it_corrects_is_damaged(state, said, monkeypatch):
    monkeypatch.setattr("screening.calculators.load_calculator", lambda _: pytest.fail("loaded"))
    model = TrainedModel("x", "broken", (13,), {}, state, {}, "0" * 64, 1)
    with pytest.raises(ModelCorruptError) as refused:
        density_predictor(model, None)
    assert said in refused.value.message
    assert (refused.value.subject, refused.value.hint) == ("broken", ANEW)


@pytest.mark.parametrize(
    "specification",
    [EMT, "os.system(command='true')", "mace:net.model@0123456789abcdef", "chgnet," + EMT, "gpaw"],
)
def test_a_file_of_a_model_cannot_name_what_runs_code(specification, monkeypatch):
    monkeypatch.setattr("screening.calculators.load_calculator", lambda _: pytest.fail("loaded"))
    state = {"prior": {"specification": specification}, "settings": {}}
    model = TrainedModel("x", "x", (13,), {"x": np.ones(1)}, state, {}, "0" * 64, 1)
    with pytest.raises(ModelRefusedError, match="runs no code"):
        stored_prior(model)
    with pytest.raises(ModelRefusedError, match="runs no code"):
        training_priors(specification, WIDE_GRID, Path())


@pytest.mark.parametrize(
    "specification", ["chgnet", "phonoscreen", "mace:net.psm", "chgnet:r2scan"]
)
def test_potentials_of_plain_numbers_may_be_named(specification):
    assert runs_no_code(specification)
