"""Calibrations on the command line: what is known is listed, exported and imported."""

import json

import pytest

from flows.cli import ExitCode
from screening.uncertainty.shipped import shipped_calibrations

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
