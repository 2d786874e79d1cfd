"""Training on stored phonons: what is read, what is left out, and what cannot be trained on."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from springy_models import SPRINGS

from flows.catalogue import materials_where
from flows.imports import import_structures
from flows.local import Crew
from flows.run import screen
from flows.trained import METHODS
from flows.training import (
    TrainingTask,
    _chemistry,
    _metrics,
    read_training_settings,
    train,
    train_and_store,
)
from screening.errors import NotFoundError, QueryError, SettingError, TrainingSetError
from stores.connect import open_database
from stores.documents.model import ModelDocument
from stores.models import learned_by

HERE = Crew(workers=0)


pytestmark = pytest.mark.usefixtures("springs", "screened")


def test_what_is_of_no_use_is_left_out_and_counted(uri):
    seen = []
    done = train_and_store(uri, TrainingTask("rf-ifc"), lambda *said: seen.append(said))
    assert done.n_matching == 6
    assert len(done.training_ids) == 4
    assert done.left_out == {"TRAINING_SET, the first: has a negative mode": 2}
    assert done.source == "ase.calculators.emt.EMT"
    assert done.model.name == "Al-Cu"
    assert done.model_id == f"rf-ifc:Al-Cu@{done.model.digest[:12]}"
    assert seen[:6] == [("reading phonons", i + 1, 6) for i in range(6)]
    assert seen[6:] == [("folds", i + 1, 3) for i in range(3)]


def test_the_model_is_stored_with_its_training_set_and_scores(uri):
    done = train_and_store(uri, TrainingTask("rf-ifc", name="metals", settings={"variant": "x"}))
    with open_database(uri) as database:
        stored = ModelDocument.load(database.models.query_one({"model_id": done.model_id}))
    assert set(stored.provenance.source_ids) == set(done.training_ids)
    assert {(one.name, one.quantity) for one in stored.metrics} == {
        (name, "stiffness_ev_per_angstrom2") for name in ("mae", "rmse", "skill")
    }
    assert stored.state["settings"] == {"variant": "x"}


def test_scores_are_of_as_many_as_were_held_out(uri):
    model = train_and_store(uri, TrainingTask("rf-ifc")).model
    assert {(one.data_set, one.n_samples) for one in _metrics(model)} == {("held-out folds", 4)}
    scores = {"network": {"wasserstein_thz": 2.2, "mae": 0.06, "count": 2}}
    thermal = {"free_energy_300k_mev_per_atom": {"mae": 1.0, "rmse": 1.0, "mad": 2.0, "count": 1}}
    densities = {"n_held_out": 2, "scores": scores, "thermodynamics": thermal}
    found = {one.quantity: one for one in _metrics(replace(model, card=densities))}
    assert {one.data_set for one in found.values()} == {"compositions held out"}
    assert {name: one.n_samples for name, one in found.items()} == {
        "wasserstein_thz": 2,
        "mae": 2,
        "free_energy_300k_mev_per_atom": 1,
    }


@pytest.mark.parametrize(
    "query", ["elements has Cu or elements has Al", '{"chemsys": {"$in": ["Al", "Cu"]}}']
)
def test_a_filter_chooses_the_training_set_in_either_way_of_writing(uri, query):
    done = train_and_store(uri, TrainingTask("rf-ifc", query=query))
    assert done.n_matching == len(done.training_ids) == 4
    assert done.left_out == {}


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"method": "rf"}, SettingError, "rf-ifc, ldml"),
        ({"query": "chemsys = Xe"}, NotFoundError, "no structure matches"),
        ({"query": "colour = red"}, QueryError, "colour"),
        ({"query": "chemsys = Al"}, TrainingSetError, "too few"),
        ({"query": "chemsys = Ag"}, TrainingSetError, "negative mode"),
        ({"source": "gpaw"}, TrainingSetError, "EMT"),
    ],
)
def test_what_cannot_be_trained_on_is_said(uri, changes, error, said):
    with pytest.raises(error) as caught:
        train_and_store(uri, TrainingTask(**{"method": "rf-ifc"} | changes))
    assert said in str(caught.value)


def test_phonons_of_two_sources_do_not_mix(uri, screened, quick, maker):
    maker.settings = quick.as_dict()
    maker.calculator = "pretended_dft.StifferEmt"
    screen(uri, screened[:2], maker, crew=HERE)
    with pytest.raises(TrainingSetError, match="several sources") as caught:
        train_and_store(uri, TrainingTask("rf-ifc"))
    assert "ase.calculators.emt.EMT (6)" in str(caught.value)
    done = train_and_store(uri, TrainingTask("rf-ifc", source="ase.calculators.emt.EMT"))
    assert done.source == "ase.calculators.emt.EMT"


def test_without_phonons_there_is_nothing_to_learn(tmp_path, crystals):
    other = f"sqlite:///{tmp_path}/other.db"
    import_structures(other, [crystals])
    with open_database(other) as database, pytest.raises(TrainingSetError, match="phonons"):
        train(database, TrainingTask("rf-ifc"))


def test_options_go_before_the_file(tmp_path):
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"variant": "rf_multi", "n_trees": 20}))
    assert read_training_settings(file, {"variant": "auto", "descriptor": None}) == {
        "variant": "auto",
        "n_trees": 20,
    }
    file.write_text("[1]")
    with pytest.raises(SettingError, match="no JSON object"):
        read_training_settings(file, {})
    with pytest.raises(SettingError, match="cannot be read"):
        read_training_settings(tmp_path / "missing.json", {})


def test_a_name_is_refused_before_anything_is_read(uri, monkeypatch):
    def never(*_):
        raise AssertionError

    monkeypatch.setattr("stores.training.training_phonons", never)
    with pytest.raises(SettingError, match="cannot name a model"):
        train_and_store(uri, TrainingTask("rf-ifc", name="Mg(HO)2"))


@pytest.mark.parametrize(
    ("method", "settings", "said"),
    [
        ("rf-ifc", {"variant": "rf_foo"}, "'rf_foo' is not known"),
        ("ldml", {"descriptor": "foo"}, "foo"),
        ("ldml", {"target": "formation"}, "name no perfect one.*in Python"),
        ("alignn", {"preset": "foo"}, "'foo' is no preset"),
    ],
)
def test_settings_are_refused_before_anything_is_read(uri, monkeypatch, method, settings, said):
    def never(*_, **__):
        raise AssertionError

    monkeypatch.undo()  # the methods themselves
    monkeypatch.setattr("stores.training.training_phonons", never)
    with pytest.raises(SettingError, match=said):
        train_and_store(uri, TrainingTask(method, settings=settings))


def test_a_formula_with_brackets_names_a_model():
    row = {"material_id": "ps-1", "formula_reduced": "Mg(HO)2", "elements": ["H", "Mg", "O"]}
    fake = SimpleNamespace(structures=SimpleNamespace(query=lambda *_: [row]))
    assert _chemistry(fake, ["ps-1"]) == "MgHO2"


def test_what_the_trainer_leaves_out_is_not_learned_from_but_known_to_the_model(
    uri, screened, monkeypatch
):
    """One is refused by the trainer and one is a copy of another."""
    kept = []

    def choosy(labels, settings, name, progress):
        names = sorted(one["material_id"] for one in labels)
        kept[:] = names[2:]
        model = SPRINGS.train(labels, settings, name, progress)
        rejected = [{"material_id": names[0], "reason": "one atom alone"}]
        card = {**model.card, "training_ids": names[2:], "rejected": rejected}
        return replace(model, card=card)

    monkeypatch.setitem(METHODS, "rf-ifc", replace(SPRINGS, train=choosy))
    done = train_and_store(uri, TrainingTask("rf-ifc"))
    assert list(done.training_ids) == kept
    assert done.left_out["one atom alone"] == 1
    assert done.left_out["nearly the same as one that is learned from"] == 1
    with open_database(uri) as database:
        assert len(learned_by(database, done.model.digest, screened)) == 4


def test_only_the_materials_named_are_learned(uri, screened):
    with open_database(uri) as database:
        copper = materials_where(database, "chemsys = Cu")
    with pytest.raises(TrainingSetError, match="2 structures are too few"):
        train_and_store(uri, TrainingTask("rf-ifc", material_ids=copper))
    with pytest.raises(NotFoundError):
        train_and_store(uri, TrainingTask("rf-ifc", material_ids=()))
    assert train_and_store(uri, TrainingTask("rf-ifc", material_ids=screened)).n_matching == 6


def test_forces_that_nobody_knows_are_counted(uri, monkeypatch):
    done = train_and_store(uri, TrainingTask("rf-ifc"))
    assert done.model.card["n_forces_unknown"] == 0
    monkeypatch.setattr("stores.training._force_at_rest", lambda *_, **__: None)
    card = train_and_store(uri, TrainingTask("rf-ifc")).model.card
    assert card["n_forces_unknown"] == 4
    assert "forces not known: 4 of 4 were taken to be at rest" in card["notes"]


def test_labels_of_the_kind_that_most_are_of_are_kept(uri, monkeypatch):
    several = replace(SPRINGS, kind=lambda one: "zone_centre" if one["numbers"] == [13] else "mesh")
    monkeypatch.setitem(METHODS, "rf-ifc", several)
    monkeypatch.setattr("springy_models.LEAST_SAMPLES", 2)
    with open_database(uri) as database:
        aluminium = materials_where(database, "chemsys = Al")
    names = [name for name in _all(uri) if name != aluminium[0]]
    done = train_and_store(uri, TrainingTask("rf-ifc", material_ids=names))
    assert len(done.training_ids) == 2
    assert done.left_out["label of the kind zone_centre, most are of the kind mesh"] == 1
    assert not set(done.training_ids) & set(aluminium)


def _all(uri):
    with open_database(uri) as database:
        return materials_where(database, "")
