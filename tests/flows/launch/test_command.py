"""`phonoscreen launch` and the engines in `phonoscreen doctor`, as a user meets them."""

import json
from importlib.metadata import PackageNotFoundError, version

import pytest

from flows.cli import ExitCode

EMT = "ase.calculators.emt.EMT"


@pytest.fixture
def uri(server):
    """The database that the server's workers open."""
    return server.database_uri


@pytest.fixture
def command(metals):
    """Options of a quick screen of the stored metals."""
    assert metals
    return ("launch", "-c", EMT, "--min-length", 5, "--max-atoms", 16)


def test_a_launch_says_what_it_submitted_and_a_second_one_why_nothing(
    phonoscreen, command, launchpad
):
    _, destination = launchpad
    on = ("--on", "fireworks", "--launchpad", destination.launchpad, "--worker", "gpu")
    code, out, err = phonoscreen(*command, *on, "--dry-run")
    assert code == ExitCode.DONE
    assert "would be submitted" in out
    code, out, _ = phonoscreen(*command, *on)
    assert code == ExitCode.DONE
    assert "submitted now" in out
    assert "2 jobs" in out
    code, out, err = phonoscreen(*command, *on)
    assert code == ExitCode.DONE
    assert "submitted before, not finished" in out
    assert "nothing submitted" in out
    code, out, _ = phonoscreen(*command, *on, "--json")
    payload = json.loads(out)
    assert len(payload["material_ids"]["waiting"]) == 3
    assert payload["launch_id"] is None
    code, out, _ = phonoscreen(*command, *on, "--json", "--resubmit", "--batch-size", 1)
    assert json.loads(out)["n_jobs"] == 4
    assert not err.count("password")


def test_a_selection_is_launched_by_a_filter(phonoscreen, command, project):
    _, destination = project
    on = ("--on", "jobflow-remote", "--project", destination.project, "-q", "formula_reduced = Cu")
    _, out, _ = phonoscreen(*command, *on, "--dft-worker", "dft_worker", "--json")
    payload = json.loads(out)
    assert len(payload["material_ids"]["submitted"]) == 1
    assert len(payload["identifiers"]) == 2
    code, _, err = phonoscreen(*command, *on, "--worker", "cluster")
    if "sqlite" in err:
        assert code == ExitCode.DATABASE
        assert "DB_URI" in err


def test_questions_go_along(phonoscreen, command, launchpad):
    pad, destination = launchpad
    on = ("--on", "fireworks", "--launchpad", destination.launchpad, "--dft-worker", "dft")
    asked = ("--question", "stability", "--fallback", "pretended_dft.StifferEmt", "--max-dft", 1)
    code, out, _ = phonoscreen(*command, *on, *asked, "--json")
    assert code == ExitCode.DONE
    payload = json.loads(out)
    assert payload["n_jobs"] == 3
    names = [pad.get_fw_by_id(int(number)).name for number in payload["identifiers"]]
    assert "screen a batch" in names
    assert json.loads(phonoscreen(*command, *on, *asked, "--json")[1])["launch_id"] is None


def test_here_it_runs_at_once(phonoscreen, command):
    code, out, _ = phonoscreen(*command, "-w", 0)
    assert code == ExitCode.DONE
    assert "run now" in out
    assert "3 computed" in out
    code, out, _ = phonoscreen(*command, "-w", 0)
    assert "done before" in out


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (("--on", "slurm"), ExitCode.WRONG_USAGE, "Use local, fireworks, jobflow-remote"),
        (
            ("--on", "fireworks", "--launchpad", "none.yaml"),
            ExitCode.WRONG_USAGE,
            "ENGINE_UNAVAILABLE none.yaml",
        ),
        (
            ("--on", "jobflow-remote", "--project", "none"),
            ExitCode.WRONG_USAGE,
            "jf project generate",
        ),
        (("-q", "formula_reduced = Xe"), ExitCode.NOTHING_USABLE, "nothing to launch"),
    ],
)
def test_errors_say_what_to_do(phonoscreen, command, options, code, text):
    found, out, err = phonoscreen(*command, *options)
    assert found == code
    assert text in " ".join(err.split())
    assert "Traceback" not in out + err


def test_doctor_asks_the_engine_that_is_named(phonoscreen, metals, launchpad, monkeypatch):
    _, destination = launchpad
    monkeypatch.setattr("fireworks.fw_config.LAUNCHPAD_LOC", str(destination.launchpad))
    code, out, _ = phonoscreen("doctor", "--on", "fireworks", "--json")
    checks = {check["name"]: check for check in json.loads(out)["checks"]}
    assert code == ExitCode.DONE
    assert checks["fireworks"]["ok"] is True
    assert {"gpaw", "espresso", "vasp", "jobflow-remote", "graphics"} <= set(checks)
    monkeypatch.setattr("fireworks.fw_config.LAUNCHPAD_LOC", None)
    code, out, _ = phonoscreen("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(out)["checks"]}
    assert code == ExitCode.DONE  # nobody said that it is used
    assert checks["fireworks"]["ok"] is None
    assert "lpad init" in checks["fireworks"]["detail"]
    code, out, _ = phonoscreen("doctor", "--on", "fireworks")
    assert code == ExitCode.SOME_FAILED
    assert metals


def test_doctor_says_which_engine_is_not_installed(phonoscreen, launchpad, metals, monkeypatch):
    _, destination = launchpad
    monkeypatch.setattr("fireworks.fw_config.LAUNCHPAD_LOC", str(destination.launchpad))

    def found(name):
        if name == "FireWorks":
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr("flows.doctor.version", found)
    code, out, _ = phonoscreen("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(out)["checks"]}
    assert (code, checks["fireworks"]["ok"]) == (ExitCode.DONE, None)
    assert checks["fireworks"]["detail"] == "not installed: pip install FireWorks, where wanted"
    assert metals


def test_here_a_missing_program_is_a_failure(phonoscreen, command, monkeypatch):
    monkeypatch.delenv("VASP_PP_PATH", raising=False)
    asked = ("-w", 0, "--question", "stability", "--fallback", "vasp")
    code, out, err = phonoscreen(*command, *asked)
    assert code == ExitCode.SOME_FAILED
    assert "3 failed" in out
    assert "EXECUTABLE_MISSING" in err
    code, out, _ = phonoscreen(*command, *asked, "--json")
    assert code == ExitCode.SOME_FAILED
    assert len(json.loads(out)["material_ids"]["failed"]) == 3
