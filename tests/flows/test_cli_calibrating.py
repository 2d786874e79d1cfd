"""Calibrations on the command line: what is known is listed, exported and imported."""

import json

import pytest

from flows.catalogue import materials_where
from flows.cli import ExitCode
from flows.local import Crew
from flows.predicting import predict_stored
from flows.run import screen
from flows.training import TrainingTask, train_and_store
from screening.uncertainty.shipped import shipped_calibrations
from stores.connect import open_database

SHIPPED = {one.calibration_id for one in shipped_calibrations()}


@pytest.fixture
def other_file(tmp_path):
    """Write a calibration of another method."""
    values = shipped_calibrations()[0].as_dict() | {"cheap_family": "another/1/method@00/relaxed"}
    file = tmp_path / "other.json"
    file.write_text(json.dumps(values))
    return file


def test_shipped_calibrations_are_listed_where_nothing_was_compared(phonoscreen):
    code, out, err = phonoscreen("calibrate")
    assert code == ExitCode.DONE
    assert "no crystal here has predictions of two tiers" in err
    assert out.count("shipped") == len(SHIPPED) > 0
    code, out, _ = phonoscreen("calibrate", "--json")
    told = json.loads(out)
    assert (code, told["calibrations"], told["stored"]) == (ExitCode.DONE, [], None)
    assert {one["calibration_id"] for one in told["known"]} == SHIPPED
    assert all(one["n_compositions"] >= len(one["elements"]) / 2 > 0 for one in told["known"])


def test_what_is_imported_is_listed_and_exported_with_the_rest(phonoscreen, other_file, tmp_path):
    folder = tmp_path / "exported"
    code, out, _ = phonoscreen("calibrate", "--import", other_file, "--export", folder, "--json")
    assert code == ExitCode.DONE
    told = json.loads(out)
    assert [one["origin"] for one in told["known"]] == ["imported", *["shipped"] * len(SHIPPED)]
    files = [json.loads(file.read_text()) for file in folder.glob("*.json")]
    assert len(files) == len(told["known"])
    assert json.loads(other_file.read_text()) in files
    _, out, _ = phonoscreen("calibrate", "--export", folder)
    assert "imported" in out
    assert len(list(folder.glob("*.json"))) == len(files)  # each has its name


@pytest.mark.parametrize("alpha", [0.5, 0.7])
def test_a_coin_toss_is_no_risk_to_accept(phonoscreen, alpha):
    code, _, err = phonoscreen("calibrate", "--alpha", alpha)
    assert code == ExitCode.WRONG_USAGE
    assert "settles nothing" in err


@pytest.mark.usefixtures("springs", "screened")
def test_what_a_trained_model_learned_from_is_no_pair(phonoscreen, uri, maker, quick):
    model = train_and_store(uri, TrainingTask("rf-ifc", name="metals")).model
    with open_database(uri) as database:
        copper = materials_where(database, "chemsys = Cu")
        for name in ("predictions", "phonons", "vibrational"):
            database.collection(name).remove_docs({})
    predict_stored(uri, model, copper)
    maker.settings, maker.calculator = quick.as_dict(), "pretended_dft.StifferEmt"
    screen(uri, copper[:1], maker, crew=Crew(workers=0))
    code, _, err = phonoscreen("calibrate")
    assert code == ExitCode.DONE
    assert "1 crystals that it learned from say nothing of others" in err
    with open_database(uri) as database:
        database.models.remove_docs({})
    code, out, _ = phonoscreen("calibrate", "--json")
    told = json.loads(out)
    assert (code, told["calibrations"]) == (ExitCode.DONE, [])
    assert ["not known here" in reason for reason in told["left_out"].values()] == [True]
