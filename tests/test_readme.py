"""What the README promises exists, and is what the checks run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from screening.errors import ERROR_CODES

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
INSTALL = "pip install -c constraints.txt -e '.[test]'"
TESTS = "pytest -n auto --dist loadfile"
TEST_COMMAND = f"python3 -m venv .venv && . .venv/bin/activate && {INSTALL} && {TESTS}"

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


def test_every_error_code_has_its_row() -> None:
    table = between("<!-- error-codes -->", "<!-- /error-codes -->")
    assert set(re.findall(r"`([A-Z][A-Z_]+)`", table)) == set(ERROR_CODES)
