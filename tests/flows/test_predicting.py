"""Predicting with trained models: in bulk, resumable, and with the intervals they calibrate."""

import json
from dataclasses import replace

import pytest
from springy_models import HALF_WIDTH_MEV, Springs

from flows.catalogue import materials_where
from flows.events import Outcome
from flows.local import Crew
from flows.makers import ScreenBatchMaker
from flows.materials import write_prediction
from flows.predicting import LEARNED, predict_stored
from flows.predictors import cached_predictor
from flows.run import screen
from flows.trained import is_trained
from flows.training import TrainingTask, train_and_store
from screening.errors import (
    ModelRefusedError,
    ModelUnavailableError,
    NotFoundError,
    SettingError,
)
from screening.settings import ScreeningSettings
from stores.connect import open_database
from stores.documents import PredictionDocument, StructureDocument, VibrationalDocument
from stores.model_files import write_model

pytestmark = pytest.mark.usefixtures("springs", "screened")
NOT_SILVER = "not elements has Ag"


@pytest.fixture
def trained(uri):
    """A model of copper and aluminium."""
    return train_and_store(uri, TrainingTask("rf-ifc", name="metals")).model


@pytest.fixture
def file(trained, tmp_path):
    return write_model(tmp_path / "metals.psm", trained)


@pytest.fixture
def alone(uri, trained):
    """The model, where only structures are left beside it."""
    with open_database(uri) as database:
        for name in ("predictions", "phonons", "vibrational"):
            database.collection(name).remove_docs({})
    return trained


def those(uri, text):
    with open_database(uri, read_only=True) as database:
        return materials_where(database, text)


def test_everything_is_predicted_refused_or_known(uri, trained, screened):
    told = []
    done = predict_stored(
        uri, trained, screened, batch_size=4, told=lambda *said: told.append(said)
    )
    assert done.outcomes == {"computed": 4, "failed": 2}
    assert done.refused == {"ELEMENT_NOT_IN_MODEL": 2}
    assert "was not trained on it" in done.messages["ELEMENT_NOT_IN_MODEL"]
    assert told == [(0, 6, 0), (4, 6, told[1][2]), (6, 6, 2)]
    assert done.n_predicted == 6
    assert done.predicting_rate > done.whole_rate > 0.0
    again = predict_stored(uri, trained, screened)
    assert again.outcomes == {"already_done": 4, "failed_before": 2}
    assert again.refused == done.refused
    assert (again.n_predicted, again.predicting_rate) == (0, None)


def test_the_summaries_show_the_intervals_that_the_model_calibrated(uri, alone, phonoscreen):
    done = predict_stored(uri, alone, those(uri, NOT_SILVER))
    assert done.written["vibrational"] == 4
    with open_database(uri, read_only=True) as database:
        row = database.vibrational.query_one({"chemsys": "Cu"})
        summary = VibrationalDocument.load(row)
        kept = PredictionDocument.load(
            database.predictions.query_one({"prediction_id": summary.prediction_id})
        )
    assert (summary.method, summary.tier, summary.model) == (Springs.method, 0, "rf-ifc:metals")
    width = (
        summary.free_energy_300k_upper_mev_per_atom - summary.free_energy_300k_lower_mev_per_atom
    )
    assert width == pytest.approx(2 * HALF_WIDTH_MEV)
    assert [one.quantity for one in kept.intervals] == ["free_energy_300k_mev_per_atom"]
    assert kept.to_prediction().intervals[0].coverage == 0.9
    code, out, _ = phonoscreen("query", "model = rf-ifc:metals", "--json")
    shown = [one["free_energy_300k_lower_mev_per_atom"] for one in json.loads(out)["materials"]]
    assert (code, len(shown)) == (0, 4)
    assert all(isinstance(one, float) for one in shown)


def test_bulk_writing_leaves_what_writing_one_by_one_leaves(uri, trained):
    predict_stored(uri, trained, those(uri, "chemsys = Cu"))
    with open_database(uri) as database:
        model = Springs(trained)
        row = database.predictions.query_one({"tier": 0, "formula_reduced": "Cu"})
        crystal_row = database.structures.query_one({"material_id": row["material_id"]})
        crystal = StructureDocument.load(crystal_row).to_crystal()
        one = model.predict(crystal)
        known = replace(one, warnings=(*one.warnings, LEARNED))
        write_prediction(database, known, crystal.material_id)
        alone = database.predictions.query_one({"prediction_id": row["prediction_id"]})
    assert alone["content_digest"] == row["content_digest"]


def test_crystals_that_the_model_learned_from_are_counted_and_marked(uri, screened):
    task = TrainingTask("rf-ifc", name="metals", query="elements has Al or elements has Cu")
    done = train_and_store(uri, task)
    report = predict_stored(uri, done.model, screened)
    assert (report.n_learned, report.outcomes["computed"]) == (4, 4)
    with open_database(uri) as database:
        rows = list(database.predictions.query({"tier": 0}))
        assert all(LEARNED in row["warnings"] for row in rows)
        # the numbers are what they are without the mark
        crystal_row = database.structures.query_one({"material_id": rows[0]["material_id"]})
        plain = Springs(done.model).predict(StructureDocument.load(crystal_row).to_crystal())
        assert plain.intervals == PredictionDocument.load(rows[0]).to_prediction().intervals
        database.models.remove_docs({})
        database.predictions.remove_docs({"tier": 0})
    report = predict_stored(uri, done.model, screened)
    assert report.n_learned is None  # a model of elsewhere
    with open_database(uri, read_only=True) as database:
        rows = list(database.predictions.query({"tier": 0}))
    assert len(rows) == 4
    assert not any(LEARNED in row["warnings"] for row in rows)


def test_an_interrupted_run_keeps_and_summarises_what_is_done(uri, alone):
    def interrupt(done, *_):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_stored(uri, alone, those(uri, NOT_SILVER), batch_size=1, told=interrupt)
    with open_database(uri, read_only=True) as database:
        assert database.vibrational.count() == 1
    done = predict_stored(uri, alone, those(uri, NOT_SILVER), batch_size=1)
    assert done.outcomes == {"already_done": 1, "computed": 3}


def test_what_breaks_a_whole_batch_is_one_failure(uri, trained, monkeypatch):
    sound = Springs.predict

    def breaks(self, crystal):
        if crystal.formula == "Cu":
            raise ZeroDivisionError("no mass")
        return sound(self, crystal)

    monkeypatch.setattr(Springs, "predict", breaks)
    done = predict_stored(uri, trained, those(uri, NOT_SILVER))
    assert done.outcomes == {"computed": 2, "failed": 2}
    assert done.refused == {"UNEXPECTED": 2}


def test_nothing_is_no_work(uri, trained, screened):
    with pytest.raises(NotFoundError, match="no structure to predict"):
        predict_stored(uri, trained, ())
    with pytest.raises(SettingError, match="no batch"):
        predict_stored(uri, trained, screened, batch_size=0)


def test_a_file_with_a_model_stands_where_a_calculator_stands(uri, trained, file, screened):
    spec = f"rf-ifc:{file}@{trained.digest[:16]}"
    assert is_trained(spec)
    maker = ScreenBatchMaker(calculator=spec)
    events = []
    report = screen(uri, screened, maker, crew=Crew(workers=0), listener=events.append)
    assert report.outcomes == {"computed": 4, "failed": 2}
    assert {one.outcome for one in events} == {Outcome.COMPUTED, Outcome.FAILED}
    assert screen(uri, screened, maker, crew=Crew(workers=0)).outcomes == {
        "already_done": 4,
        "failed_before": 2,
    }


def test_what_is_no_model_is_refused(file, tmp_path):
    settings = ScreeningSettings().as_dict()
    with pytest.raises(ModelRefusedError):
        cached_predictor(f"rf-ifc:{file}@{'0' * 16}", settings)
    with pytest.raises(ModelRefusedError, match="not linear"):
        cached_predictor(f"ldml:{file}", settings)
    with pytest.raises(ModelUnavailableError):
        cached_predictor(f"rf-ifc:{tmp_path}/missing.psm", settings)
    with pytest.raises(SettingError, match="names no file"):
        cached_predictor("rf-ifc:", settings)
    with pytest.raises(SettingError, match="no forces to learn from"):
        cached_predictor(f"rf-ifc:{file}", settings | {"few_cells": {}})


def test_a_file_that_is_written_again_is_read_again(file, trained, uri):
    settings = ScreeningSettings().as_dict()
    assert cached_predictor(f"rf-ifc:{file}", settings).model_digest == trained.digest
    other = train_and_store(uri, TrainingTask("rf-ifc", settings={"variant": "longer"})).model
    write_model(file, other)
    assert cached_predictor(f"rf-ifc:{file}", settings).model_digest == other.digest


@pytest.mark.slow
def test_the_doctor_tries_a_model_too(phonoscreen, trained, file):
    _, out, _ = phonoscreen("doctor", "--calculator", f"rf-ifc:{file}", "--json")
    found = {one["name"]: one for one in json.loads(out)["checks"]}
    assert found["calculator"]["ok"] is True
    assert trained.digest[:16] in found["calculator"]["detail"]


def test_what_was_learned_is_counted_among_what_is_predicted_now(uri, screened):
    task = TrainingTask("rf-ifc", name="metals", query="elements has Al or elements has Cu")
    model = train_and_store(uri, task).model
    with open_database(uri) as database:
        learned = materials_where(database, task.query)
    report = predict_stored(uri, model, learned)
    assert (report.n_predicted, report.n_learned) == (4, 4)
    report = predict_stored(uri, model, screened)
    assert (report.n_predicted, report.n_learned) == (2, 0)
    report = predict_stored(uri, model, screened)
    assert (report.n_predicted, report.n_learned) == (0, 0)
