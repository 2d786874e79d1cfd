"""What the README promises exists, and is what the checks run."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure
from random_springs import spring_hessian

from screening.errors import ERROR_CODES
from screening.linear_entropy.labels import LabelOrigin, label_of_hessian
from stores.connect import open_database
from stores.models import load_model

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
INSTALL = "pip install -c constraints.txt -e '.[test]'"
TESTS = "pytest -n auto --dist loadfile"
TEST_COMMAND = f"python3 -m venv .venv && . .venv/bin/activate && {INSTALL} && {TESTS}"

FCC = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]

LINKS = sorted(
    {target for target in re.findall(r"(?<!!)\[[^]]*\]\(([^)#]+)\)", TEXT) if "://" not in target}
)
ROOM_PATHS = sorted(set(re.findall(r"`((?:screening|stores|flows)/[\w./]*)`", TEXT)))


def between(start: str, end: str) -> str:
    return TEXT.partition(start)[2].partition(end)[0]


def test_test_command_stands_once_between_its_markers() -> None:
    assert TEST_COMMAND in between("<!-- test-command -->", "<!-- /test-command -->")
    assert TEXT.count(TEST_COMMAND) == 1


def test_ci_takes_the_command_from_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "<!-- test-command -->" in script
    assert INSTALL not in script


def test_workflow_installs_with_the_same_command() -> None:
    workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    assert workflow.count(f"- run: {INSTALL}\n") == 4


def test_constraints_are_exact_and_name_torch_without_a_build() -> None:
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in pins if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in pins)
    assert "torch==2.13.0" in pins
    assert pins == sorted(
        pins, key=lambda line: re.sub(r"[-_.]+", "-", line.split("==")[0]).lower()
    )


@pytest.mark.parametrize("target", LINKS)
def test_links_lead_somewhere(target: str) -> None:
    assert (ROOT / target).exists()


@pytest.mark.parametrize("path", ROOM_PATHS)
def test_rooms_named_in_the_readme_exist(path: str) -> None:
    assert (ROOT / path).exists()


def test_defects_are_learned_as_the_readme_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vacancies in cells of which every spring is at rest, wherever its atoms are."""
    perfect = Structure(Lattice.cubic(4.0), ["Al"] * 4, FCC) * (2, 2, 2)
    vacancies = []
    for seed in range(12):
        vacancies.append(perfect.copy())
        vacancies[-1].perturb(0.1, seed=seed)
        vacancies[-1].remove_sites([seed])
    block = between("<!-- defects -->\n```python\n", "```\n<!-- /defects -->")
    script = tmp_path / "defects.py"
    script.write_text(block, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    given = {"perfect": perfect, "defects": vacancies[:-1], "new": vacancies[-1]}
    ran = runpy.run_path(str(script), {**given, "hessian": spring_hessian})
    truth = label_of_hessian(spring_hessian(vacancies[-1]), ran["unseen"], LabelOrigin("new"))
    of_bulk = 31 / 32 * ran["labels"][0].extensive_log_determinant
    exact = 0.5 * (of_bulk - truth.extensive_log_determinant)
    assert exact == pytest.approx(ran["found"].entropy_boltzmann[0], abs=0.03)
    with open_database("sqlite:///phonoscreen.db") as database:
        assert load_model(database, "ldml:vacancies").digest == ran["trained"].digest


def test_every_error_code_has_its_row() -> None:
    table = between("<!-- error-codes -->", "<!-- /error-codes -->")
    assert set(re.findall(r"`([A-Z][A-Z_]+)`", table)) == set(ERROR_CODES)
