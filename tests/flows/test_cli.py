"""The command line as a user meets it: outputs, JSON with units, exit codes, errors that help."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from flows.cli import ExitCode
from stores.connect import open_database

EMT = "ase.calculators.emt.EMT"


@pytest.fixture
def settings_file(small, tmp_path):
    file = tmp_path / "settings.json"
    file.write_text(json.dumps(small.as_dict()))
    return file


@pytest.fixture
def screened(phonoscreen, relaxed_file, tmp_path):
    """The command, after a screen of all crystals."""
    shutil.copy(relaxed_file, tmp_path / "screening.db")
    return phonoscreen


def test_screen_imports_computes_and_ranks(phonoscreen, crystals, settings_file):
    code, out, err = phonoscreen(
        "screen", crystals, "-c", EMT, "-w", 0, "--settings", settings_file
    )
    assert code == ExitCode.DONE
    assert "6 new materials" in err
    assert err.count(" s\n") == 6  # a line for each
    assert "computed now" in out
    assert "ΔA 300 K" in out


def test_screen_again_computes_nothing(screened, crystals, settings_file):
    arguments = ("screen", crystals, "-c", EMT, "-w", 0, "--settings", settings_file, "--json")
    code, out, _ = screened(*arguments)
    assert code == ExitCode.DONE
    assert json.loads(out)["outcomes"] == {"already_done": 6}


def test_a_screen_of_one_file_ranks_its_composition_only(screened, crystals, settings_file):
    again = ("-c", EMT, "-w", 0, "--settings", settings_file)
    code, out, _ = screened("screen", crystals / "Cu-bcc.cif", *again)
    assert code == ExitCode.DONE
    assert "ΔA 300 K" in out
    assert "Cu" in out
    assert "Ag" not in out


def test_query_json_has_units_in_its_names(screened):
    code, out, _ = screened("query", "formula_reduced = Cu and verdict = stable", "--json")
    assert code == ExitCode.DONE
    (material,) = json.loads(out)["materials"]
    assert material["formula_reduced"] == "Cu"
    assert -60.0 < material["free_energy_300k_mev_per_atom"] < 0.0
    assert material["lowest_frequency_thz"] > 0.0


def test_query_sorts_and_limits(screened):
    _, out, _ = screened(
        "query", "--sort", "-entropy_300k_mev_per_k_per_atom", "--limit", 2, "--json"
    )
    entropies = [x["entropy_300k_mev_per_k_per_atom"] for x in json.loads(out)["materials"]]
    assert len(entropies) == 2
    assert entropies == sorted(entropies, reverse=True)


def test_rank_json_has_curves_on_a_temperature_grid(screened):
    _, out, _ = screened("rank", "Cu", "--json")
    (ranking,) = json.loads(out)["compositions"]
    for phase in ranking["polymorphs"]:
        curve = phase["relative_free_energy_mev_per_atom"]
        assert len(curve) == len(ranking["temperatures_k"])


def test_show_finds_a_material_by_the_start_of_its_id(screened):
    _, out, _ = screened("query", "formula_reduced = Al", "--json")
    name = json.loads(out)["materials"][0]["material_id"]
    code, out, _ = screened("show", name[:10], "--json")
    assert code == ExitCode.DONE
    shown = json.loads(out)
    assert name in json.dumps(shown)
    assert "free_energy_mev_per_atom" in json.dumps(shown)
    assert screened("show", name)[0] == ExitCode.DONE


def test_status_counts(screened):
    _, out, _ = screened("status", "--json")
    status = json.loads(out)
    assert status["collections"]["predictions"] == 6
    assert status["pending"] == 0
    assert "nothing left to do" in screened("status")[1]


def test_plots_are_pictures(screened, tmp_path):
    _, out, _ = screened("query", "verdict = stable", "--limit", 1, "--json")
    name = json.loads(out)["materials"][0]["material_id"]
    code, out, _ = screened("plot", name, "Cu", "--out", tmp_path / "pictures")
    assert code == ExitCode.DONE
    files = out.split()
    assert len(files) == 3
    assert all(Path(file).read_bytes().startswith(b"\x89PNG") for file in files)


@pytest.mark.parametrize(
    "kind", ["phonopy", "emmet", "phononwebsite", "forces", "extxyz", "csv", "parquet"]
)
def test_every_export_format_is_written(screened, tmp_path, kind):
    folder = tmp_path / kind
    code, out, _ = screened("export", "-q", "formula_reduced = Cu", "-f", kind, "-o", folder)
    assert code == ExitCode.DONE
    assert {str(file) for file in folder.iterdir()} == set(out.split())
    assert all(file.stat().st_size > 100 for file in folder.iterdir())


def test_the_csv_table_holds_every_summary(screened, tmp_path):
    screened("export", "-f", "csv", "-o", tmp_path)
    with (tmp_path / "phonoscreen.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 6
    assert {row["formula_reduced"] for row in rows} == {"Al", "Cu", "Ag"}


def test_a_bad_file_is_named_and_the_others_are_screened(phonoscreen, crystals, settings_file):
    (crystals / "broken.cif").write_text("data_x\n_cell_length_a nonsense\n")
    code, out, err = phonoscreen(
        "screen", crystals, "-c", EMT, "-w", 0, "--settings", settings_file, "--json"
    )
    assert code == ExitCode.SOME_FAILED
    assert "broken.cif" in err
    assert json.loads(out)["outcomes"] == {"computed": 6}
    _, out, _ = phonoscreen("status", "--json")
    assert sum(json.loads(out)["failures"].values()) == 1


def test_retry_forgets_failures_by_code(phonoscreen, crystals, settings_file):
    faulty = "faulty_calculators.NanForSilver"
    code, _, err = phonoscreen(
        "screen", crystals, "-c", faulty, "-w", 0, "--settings", settings_file
    )
    assert code == ExitCode.SOME_FAILED
    assert "NONFINITE_FORCES" in err
    assert json.loads(phonoscreen("retry", "--code", "TIMEOUT", "--json")[1])["forgotten"] == []
    assert len(json.loads(phonoscreen("retry", "--json")[1])["forgotten"]) == 2


def test_a_failure_that_a_better_method_answered_is_counted_and_not_shown(
    phonoscreen, uri, crystals, settings_file
):
    again = ("-w", 0, "--settings", settings_file)
    phonoscreen("screen", crystals, "-c", "faulty_calculators.NanForSilver", *again)
    _, out, _ = phonoscreen("status")
    assert "NONFINITE_FORCES" in out
    assert "not finite" in out
    code, _, _ = phonoscreen("screen", crystals, "-c", "pretended_dft.StifferEmt", *again)
    assert code == ExitCode.DONE
    _, out, _ = phonoscreen("status")
    assert "2 failures by cheaper methods, where a better one answered since" in out
    assert "not finite" not in out
    assert sum(json.loads(phonoscreen("status", "--json")[1])["failures"].values()) == 2
    with open_database(uri) as database:  # of before tiers were written
        for row in list(database.failures.query({})):
            del row["tier"]
            database.failures.update(row | {"schema_version": 1})
    assert "not finite" in phonoscreen("status")[1]


def test_doctor_checks_database_and_calculator(phonoscreen):
    code, out, _ = phonoscreen("doctor", "-c", EMT, "--json")
    assert code == ExitCode.DONE
    found = {check["name"]: check["ok"] for check in json.loads(out)["checks"]}
    assert found["database"]
    assert found["calculator"]
    code, out, _ = phonoscreen("doctor", "-c", "no.such.Calculator")
    assert code == ExitCode.SOME_FAILED
    assert "MODEL_REFUSED" in out


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("query", "no_such_field > 1"), ExitCode.WRONG_USAGE, "no_such_field"),
        (("query", "verdict ~ 1"), ExitCode.WRONG_USAGE, "QUERY"),
        (("show", "ps-nothing"), ExitCode.WRONG_USAGE, "ps-nothing"),
        (("rank", "Ti9O"), ExitCode.WRONG_USAGE, "Ti9O"),
        (("retry", "--code", "NO_SUCH"), ExitCode.WRONG_USAGE, "NO_SUCH"),
        (("import", "no-such-folder"), ExitCode.NOTHING_USABLE, "no-such-folder"),
        (("import", ".", "--fingerprint-distance", "0"), ExitCode.WRONG_USAGE, "fingerprint"),
        (("screen", "--temperatures", "hot"), ExitCode.WRONG_USAGE, "hot"),
        (("screen", "--criterion", "mine"), ExitCode.WRONG_USAGE, "mine"),
        (("screen", "--low-modes", "ignore"), ExitCode.WRONG_USAGE, "ignore"),
        (("export", "-f", "docx"), ExitCode.WRONG_USAGE, "docx"),
        (("no-such-command",), ExitCode.WRONG_USAGE, "no-such-command"),
    ],
)
def test_errors_name_the_value_and_have_their_exit_code(phonoscreen, uri, arguments, code, text):
    with open_database(uri):
        pass
    found, out, err = phonoscreen(*arguments)
    assert found == code
    assert text in out + err
    assert "Traceback" not in out + err


@pytest.mark.parametrize(
    "command",
    [("screen",), ("query",), ("show", "ps-1"), ("status",), ("rank",), ("plot",), ("hull",)],
)
def test_a_database_that_is_not_there_is_an_error_and_not_made(phonoscreen, tmp_path, command):
    code, _, err = phonoscreen(*command)
    assert code == ExitCode.DATABASE
    assert "screening.db" in err
    assert not list(tmp_path.glob("*.db"))


def test_hulls_say_why_there_is_none(phonoscreen, tmp_path, settings_file):
    folder = tmp_path / "alloys"
    folder.mkdir()
    alloy = Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(3.75), ["Au", "Cu"], [[0, 0, 0], [0, 0.5, 0.5]]
    )
    alloy.to(folder / "AuCu3.cif")
    phonoscreen("screen", folder, "-c", EMT, "-w", 0, "--settings", settings_file)
    code, out, _ = phonoscreen("hull", "Cu-Au")
    assert code == ExitCode.DONE
    assert "Au-Cu" in out
    assert "Au" in json.loads(phonoscreen("hull", "--json")[1])["systems"][0]["detail"]
    assert phonoscreen("hull", "Au-Ag")[0] == ExitCode.WRONG_USAGE


@pytest.mark.parametrize("database", ["screening.db", "mysql://host/db", "sqlite://"])
def test_a_wrong_database_is_told_what_to_write(phonoscreen, database):
    code, _, err = phonoscreen("status", database=database)
    assert code == ExitCode.DATABASE
    assert "DB_URI" in err


def test_a_file_that_is_no_database_is_refused(phonoscreen, tmp_path):
    (tmp_path / "text.db").write_text(
        "not a database, though it is long enough to look like one\n" * 9
    )
    code, _, err = phonoscreen("status", database=f"sqlite:///{tmp_path}/text.db")
    assert code == ExitCode.DATABASE
    assert "text.db" in err


def test_ctrl_c_says_how_to_go_on_and_gives_the_claims_back(uri, crystals, settings_file):
    command = [sys.executable, "-c", "from flows.cli import main; main()", "--db", uri, "screen"]
    options = ["-c", "faulty_calculators.HangsForSilver", "-w", "1", "--settings"]
    support = Path(__file__).parents[1] / "support"
    process = subprocess.Popen(
        [*command, str(crystals), *options, str(settings_file)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(support)},
    )
    wait_until(lambda: holds_a_claim(uri))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED
    assert "run the same command again" in err
    assert not holds_a_claim(uri)


def holds_a_claim(uri):
    file = Path(uri.removeprefix("sqlite:///"))
    if not file.exists():
        return False
    with open_database(uri) as database:
        return any(row.get("owner") for row in database.collection("claims").query({}))


def wait_until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)
