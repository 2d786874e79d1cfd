"""The commands of trained models: trained, shown, handed on, and used."""

import json
import shlex
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from flows import tables
from flows.cli import ExitCode
from flows.searching import search_settings
from flows.stored_models import model_named
from flows.trained import METHODS
from screening.shipped_models import WEIGHTS_FOLDER, read_shipped
from screening.trained_model import TrainedModel
from stores.connect import open_database
from stores.model_files import write_model
from stores.models import store_model

pytestmark = pytest.mark.usefixtures("springs", "screened")


def trained(phonoscreen, *more):
    code, out, err = phonoscreen("train", "rf-ifc", "--name", "metals", *more)
    assert code == ExitCode.DONE, err
    return out, err


def test_training_prints_the_card_and_what_was_left_out(phonoscreen):
    out, err = trained(phonoscreen)
    for said in ("rf-ifc:metals@", "Al Cu", "4 structures of ase.calculators.emt.EMT", "paper",
                 "0.170", "eV/Å²", "of no use", "2 left out: TRAINING_SET"):  # fmt: skip
        assert said in out
    assert "reading phonons: 6" in err
    assert "folds: 3" in err
    assert "phonoscreen predict --method rf-ifc --model metals" in err


def test_a_narrow_terminal_keeps_the_error_the_skill_and_the_paper():
    rows = [
        {"quantity": name, "unit": "meV/K/atom", "mae": 0.1, "rmse": 0.2, "mad": 0.4,
         "skill": 0.753, "pearson": 0.912, "spearman": 0.823, "mean_value_mae": 0.456,
         "published": {"mae": 0.321, "rmse": 0.432}}
        for name in ("self_force_constant_components", "heat_capacity_1000k")
    ]  # fmt: skip
    card = {"choice": {"9-9": "rf_multi"}, "n_folds": 10, "scores": rows}
    model = TrainedModel("random-forest-force-constants", "x", (9,), {}, {}, card, "0" * 64, 1)
    console = Console(width=80, file=StringIO())
    console.print(tables.table_model(model, "rf-ifc:x@1", width=80))
    shown = console.file.getvalue()
    for kept in ("0.100", "0.75", "0.456", "0.321"):
        assert shown.count(kept) == 2
    assert "0.432" not in shown
    assert "a wider terminal shows" in shown
    assert "paper RMSE" in " ".join(shown.split())
    assert max(map(len, shown.splitlines())) <= 80


def test_the_filter_may_be_json_and_the_model_a_file(phonoscreen, tmp_path):
    file = tmp_path / "metals.psm"
    out, _ = trained(
        phonoscreen, "--query", '{"chemsys": {"$in": ["Al", "Cu"]}}', "--out", file, "--json"
    )
    told = json.loads(out)
    assert told["left_out"] == {}
    assert len(told["training_ids"]) == told["n_training_samples"] == 4
    assert told["files"] == [str(file)]
    assert told["card"]["scores"][0]["mae"] > 0.0
    assert file.is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("rf",), ExitCode.WRONG_USAGE, "no trained method"),
        (("rf-ifc", "--query", "chemsys = Xe"), ExitCode.WRONG_USAGE, "no structure matches"),
        (("rf-ifc", "--query", "chemsys = Al"), ExitCode.WRONG_USAGE, "TRAINING_SET"),
        (("rf-ifc", "--descriptor", "afs"), ExitCode.WRONG_USAGE, "--descriptor"),
        (("rf-ifc", "--settings", "missing.json"), ExitCode.WRONG_USAGE, "cannot be read"),
        (("rf-ifc", "--source", "gpaw"), ExitCode.WRONG_USAGE, "EMT"),
    ],
)
def test_what_cannot_be_trained_is_said_with_its_code(phonoscreen, arguments, code, said):
    found, _, err = phonoscreen("train", *arguments)
    assert found == code
    assert said in err


@pytest.mark.parametrize(
    ("method", "settings", "said"),
    [
        ("mace", {"architecture": 5}, "architecture: 5. Give an object"),
        ("mace", {"stages": [{"weights": 5}]}, "weights: 5. Give an object"),
        ("mace", {"valid_fraction": None}, "valid_fraction: None. Give 0 or more"),
        ("alignn", {"architecture": 5}, "architecture: 5 is no object"),
        ("alignn", {"checkpoints": 5}, "checkpoints: 5. Give the path"),
    ],
)
def test_a_file_of_settings_of_a_wrong_type_is_refused(
    phonoscreen, tmp_path, method, settings, said
):
    file = tmp_path / "settings.json"
    file.write_text(json.dumps(settings))
    code, _, err = phonoscreen("train", method, "--settings", file)
    assert code == ExitCode.WRONG_USAGE
    assert f"INVALID_SETTING {said}" in " ".join(err.split())


def test_what_cannot_predict_here_says_what_to_do(phonoscreen, tmp_path):
    potential = WEIGHTS_FOLDER / "phonoscreen-small.psm"
    code, _, err = phonoscreen("predict", "--method", "alignn", "--model", potential)
    assert code == ExitCode.WRONG_USAGE
    assert "phonoscreen-small: is a potential" in err
    assert "--calculator mace:FILE.psm" in " ".join(err.split())
    sound = read_shipped("alignn", "phonoscreen-dos")
    broken = replace(sound, name="broken", state={**sound.state, "prior": {}})
    file = write_model(tmp_path / "broken.psm", broken)
    code, _, err = phonoscreen("predict", "--method", "alignn", "--model", file)
    assert code == ExitCode.WRONG_USAGE
    assert "MODEL_CORRUPT broken: it does not name the potential" in " ".join(err.split())


def test_predicting_reports_rates_and_refusals(phonoscreen):
    trained(phonoscreen)
    code, out, err = phonoscreen("predict", "--method", "rf-ifc", "--batch-size", 2)
    assert code == ExitCode.SOME_FAILED
    assert "structures/s by the model" in out
    assert "the model learned from 4 of the 6 structures that it was given now" in out
    assert "ELEMENT_NOT_IN_MODEL" in out
    assert "predicting: 6" in err
    code, out, _ = phonoscreen("predict", "--method", "rf-ifc", "--query", "chemsys = Cu", "--json")
    told = json.loads(out)
    assert (code, told["outcomes"], told["n_predicted"]) == (0, {"already_done": 2}, 0)
    code, _, _ = phonoscreen("predict", "--method", "rf-ifc", "--query", "chemsys = Ag")
    assert code == ExitCode.NOTHING_USABLE


def test_a_mesh_is_asked_of_models_that_have_one(phonoscreen):
    trained(phonoscreen)
    code, _, err = phonoscreen("predict", "--method", "rf-ifc", "--mesh")
    assert code == ExitCode.WRONG_USAGE
    assert "rf-ifc leaves no choice of the modes" in err
    assert METHODS["ldml"].on_mesh is None


def test_a_material_that_only_a_fast_model_knows_is_drawn_with_its_interval(
    phonoscreen, uri, tmp_path
):
    trained(phonoscreen)
    with open_database(uri) as database:
        for name in ("predictions", "phonons", "vibrational"):
            database.collection(name).remove_docs({})
    phonoscreen("predict", "--method", "rf-ifc")
    with open_database(uri, read_only=True) as database:
        known = database.vibrational.query_one({"formula_reduced": "Cu"})["material_id"]
    code, out, err = phonoscreen("plot", known, "--out", tmp_path, "--format", "svg")
    assert code == ExitCode.DONE, err
    (file,) = map(Path, out.split())
    assert "band: 90 % interval" in file.read_text()


def test_without_a_model_the_next_step_is_said(phonoscreen):
    code, _, err = phonoscreen("predict", "--method", "rf-ifc")
    assert code == ExitCode.WRONG_USAGE
    assert "phonoscreen train rf-ifc" in err
    code, out, err = phonoscreen("models")
    assert (code, out) == (ExitCode.DONE, "")
    assert "phonoscreen train" in err


def test_models_are_listed_shown_and_handed_on(phonoscreen, tmp_path):
    trained(phonoscreen)
    code, out, _ = phonoscreen("models")
    assert code == ExitCode.DONE
    assert "rf-ifc:metals@" in out
    code, out, _ = phonoscreen("models", "--json")
    listed = json.loads(out)["models"][0]
    assert (listed["elements"], listed["n_training_samples"]) == (["Al", "Cu"], 4)
    for name in ("metals", "rf-ifc:metals", listed["model_id"]):
        code, out, _ = phonoscreen("models", "show", name)
        assert code == ExitCode.DONE
        assert "MAE" in out
    code, out, _ = phonoscreen("models", "show", "metals", "--json")
    assert json.loads(out)["model_digest"] == listed["model_digest"]
    file = tmp_path / "metals.psm"
    code, out, _ = phonoscreen("models", "export", "metals", file)
    assert (code, out.strip()) == (ExitCode.DONE, str(file))
    other = f"sqlite:///{tmp_path}/other.db"
    code, _, err = phonoscreen("models", "import", file, database=other)
    assert code == ExitCode.DONE
    assert listed["model_id"] in err
    code, out, _ = phonoscreen("models", "--json", database=other)
    assert json.loads(out)["models"][0]["model_digest"] == listed["model_digest"]
    code, _, err = phonoscreen("models", "show", "missing")
    assert code == ExitCode.WRONG_USAGE
    assert "missing: no such trained model" in err


def test_the_advice_for_a_name_of_two_methods_works_as_it_stands(
    phonoscreen, uri, tmp_path, monkeypatch
):
    trained(phonoscreen)
    with open_database(uri) as database:
        _, model = model_named(database, "metals")
        store_model(database, replace(model, method="linear-descriptor-entropy"))
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.chdir(tmp_path)
    for asked in (
        ("models", "show", "metals"),
        ("models", "export", "metals", "{a} model.psm"),
        ("plot", "--model", "metals"),
    ):
        code, _, err = phonoscreen(*asked)
        assert code == ExitCode.WRONG_USAGE
        advice = err.split("Use phonoscreen ")[1].strip().split(" or phonoscreen ")[1]
        code, _, _ = phonoscreen(*shlex.split(advice))
        assert code == ExitCode.DONE
    assert (tmp_path / "{a} model.psm").is_file()


def test_a_screen_starts_with_the_model(phonoscreen, tmp_path, quick):
    file, settings = tmp_path / "metals.psm", tmp_path / "settings.json"
    trained(phonoscreen, "--out", file)
    settings.write_text(json.dumps(quick.as_dict()))
    code, out, err = phonoscreen(
        "screen", "--calculator", f"rf-ifc:{file}", "--fallback", "ase.calculators.emt.EMT",
        "--question", "free_energy at 300 K within 5 meV/atom", "--settings", settings,
        "--temperatures", "0,300,1000", "--workers", 0, "--json",
    )  # fmt: skip
    assert code == ExitCode.DONE, err
    told = json.loads(out)
    assert [one["tier"] for one in told["methods"]] == [0, 1]
    assert "tier 0, rf-ifc:metals: 6 materials" in err
    assert "tier 1, ase.calculators.emt.EMT: 2 materials" in err


def test_a_search_goes_on_where_it_stopped(phonoscreen, tmp_path):
    settings = tmp_path / "settings.json"
    plain = search_settings(1).as_dict()
    plain["thermodynamics"]["temperatures_k"] = [0.0, 300.0, 1000.0]
    settings.write_text(json.dumps(plain))
    arguments = ("search", "Cu1", "--volume", 12, "--calculator", "ase.calculators.emt.EMT",
                 "--workers", 0, "--settings", settings)  # fmt: skip
    other = f"sqlite:///{tmp_path}/search.db"
    code, out, err = phonoscreen(*arguments, "--count", 1, "--json", database=other)
    assert json.loads(out)["outcomes"] == {"computed": 1}, err
    code, out, err = phonoscreen(*arguments, "--count", 2, "--minima", database=other)
    assert code == ExitCode.DONE
    assert "drawing crystals: 2" in err
    assert "done before" in out
    assert "1 different minima are stored" in err
    code, _, err = phonoscreen("search", "Qq", "--volume", 12, database=other)
    assert code == ExitCode.WRONG_USAGE
    assert "K2 Zn2 F6" in err


def test_the_card_is_drawn(phonoscreen, tmp_path):
    trained(phonoscreen)
    code, out, err = phonoscreen("plot", "--model", "metals", "--out", tmp_path)
    assert code == ExitCode.DONE, err
    files = [Path(line) for line in out.split()]
    assert [file.name.rpartition("-")[2] for file in files] == ["scores.png", "parity.png"]
    assert all(file.stat().st_size > 10_000 for file in files)
