"""Questions on the command line: plan, screen until they are answered, and why."""

import json

import pytest

from flows.cli import ExitCode

EMT = "ase.calculators.emt.EMT"
DFT = "pretended_dft.StifferEmt"


@pytest.fixture
def common(quick, tmp_path):
    file = tmp_path / "settings.json"
    file.write_text(json.dumps(quick.as_dict()))
    return ("-c", EMT, "--settings", file)


ASKED = ("--question", "free-energy", "--tolerance", 5, "--fallback", DFT)


def test_plan_screen_and_why_tell_one_story(phonoscreen, common, crystals):
    code, out, _ = phonoscreen("plan", crystals, *common, *ASKED, "--json")
    assert code == ExitCode.DONE
    before = json.loads(out)
    assert [step["n_materials"] for step in before["steps"]] == [6, 6]
    code, out, err = phonoscreen("screen", *common, *ASKED, "--max-dft", 1, "-w", 0, "--json")
    assert code == ExitCode.DONE
    report = json.loads(out)
    assert report["n_calculations"] == 1
    assert report["outcomes"] == {"accept": 1, "reject": 5}
    assert "tier 3, " in err
    accepted = next(one for one in report["decisions"] if one["outcome"] == "accept")
    code, out, _ = phonoscreen("why", accepted["material_id"], "--json")
    assert code == ExitCode.DONE
    trail = json.loads(out)
    assert [one["tier"] for one in trail["predictions"]] == [1, 3]
    assert trail["decisions"][-1]["answer"]["text"] == accepted["answer_text"]
    _, out, _ = phonoscreen("plan", *common, *ASKED, "--json")
    after = json.loads(out)
    assert [step["n_done"] for step in after["steps"]] == [6, 1]
    assert after["steps"][1]["expected_materials"] == 5.0


def test_tables_for_people(phonoscreen, common, crystals):
    code, out, _ = phonoscreen("screen", crystals, *common, *ASKED, "--max-dft", 1, "-w", 0)
    assert code == ExitCode.DONE
    for part in ("budget_exhausted", "reference_method", "1 escalations"):
        assert part in out
    _, out, _ = phonoscreen("plan", *common, *ASKED)
    assert "core-" in out
    assert "nine of ten" in out


def test_a_material_that_nothing_predicts_is_a_failure_of_the_command(
    phonoscreen, common, crystals
):
    broken = ("-c", "faulty_calculators.NanForSilver", *common[2:])
    asked = ("--question", "stability", "--fallback", "pretended_dft.FailsForSilver")
    code, out, _ = phonoscreen("screen", crystals, *broken, *asked, "-w", 0)
    assert code == ExitCode.SOME_FAILED
    assert "all_tiers_failed" in out
    assert "NONFINITE_FORCES" in out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--tolerance", 5), "without a question"),
        (("--question", "stability", "--max-dft", 1), "--fallback"),
        (("--question", "stability", "--dft-time-limit", 60), "--fallback"),
        (("--question", "order from 1100 to 1500 K"), "beyond the temperatures"),
        (("--question", "free-energy"), "tolerance"),
        (("--question", "free-energy", "--tolerance", 0), "tolerance of 0"),
        (("--question", "stability", "--fallback", EMT), "is not above"),
        (("--question", "stability", "--alpha", 2, "--fallback", DFT), "no risk"),
        (("--question", "stability", "--fallback", "gpow"), "names no calculator"),
    ],
)
def test_wrong_usage_is_named_before_anything_is_computed(
    phonoscreen, common, crystals, options, said
):
    code, _, err = phonoscreen("screen", crystals, *common, *options, "-w", 0)
    assert code == ExitCode.WRONG_USAGE
    assert said in err


def test_why_of_nothing(phonoscreen, crystals):
    phonoscreen("import", crystals)
    code, _, err = phonoscreen("why", "ps-zzzz")
    assert code == ExitCode.WRONG_USAGE
    assert "NOT_FOUND" in err


def test_a_plan_of_nothing_says_so(phonoscreen, crystals):
    phonoscreen("import", crystals)
    code, _, err = phonoscreen("plan", "-q", "formula_reduced = Xe")
    assert code == ExitCode.NOTHING_USABLE
    assert "nothing to plan" in err


def test_decisions_are_drawn(phonoscreen, common, crystals, tmp_path):
    phonoscreen("import", crystals)
    code, _, err = phonoscreen("plot", "--decisions", "-o", tmp_path)
    assert code == ExitCode.WRONG_USAGE
    assert "nothing was decided" in err
    asked = (*ASKED, "--question", "stability", "--question", "order", "--max-dft", 1)
    phonoscreen("screen", *common, *asked, "-w", 0)
    code, out, _ = phonoscreen("plot", "--decisions", "-o", tmp_path / "all")
    assert code == ExitCode.DONE
    assert len(out.splitlines()) == len(list((tmp_path / "all").glob("*.png"))) == 3
    code, out, _ = phonoscreen("plot", "Cu", "--decisions", "-o", tmp_path / "copper")
    assert code == ExitCode.DONE
    assert phonoscreen("plot", "Xe", "--decisions", "-o", tmp_path)[0] == ExitCode.WRONG_USAGE
