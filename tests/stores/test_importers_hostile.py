"""Broken and hostile files: each a typed error or a structure, and the others go on."""

from __future__ import annotations

import importlib.util
import resource
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from screening.errors import ERROR_CODES
from stores.importers import ReadStructure, Rejection, iter_structures
from stores.importers.records import display_name


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hostile", Path(__file__).with_name("hostile.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["hostile"] = module
    spec.loader.exec_module(module)
    return module


hostile = _load()
LIMIT_SECONDS = 10.0


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """Read one folder with everything hostile in it, and valid files first and last."""
    root = tmp_path_factory.mktemp("hostile")
    folder, canary = root / "input", root / "canary"
    folder.mkdir()
    cases = [*hostile.crafted(folder, canary), *hostile.mutated(folder, rounds=3)]
    for name in ("aaa.cif", "zzz.cif"):
        (folder / name).write_text(hostile.CIF)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)  # some packages raise it when they are imported
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    items: dict[str, list[ReadStructure | Rejection]] = {}
    slowest, before = 0.0, time.monotonic()
    for item in iter_structures([folder]):
        now = time.monotonic()
        slowest, before = max(slowest, now - before), now
        items.setdefault(_file(item.file, folder), []).append(item)
    sys.setrecursionlimit(limit)
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024
    return folder, canary, cases, items, slowest, growth


def _file(name: str, folder: Path) -> str:
    """File of an item, without the member of an archive."""
    rest = name.removeprefix(f"{display_name(folder)}/")
    return rest.split("/")[0]


def test_there_are_at_least_150_hostile_files(outcome):
    cases = outcome[2]
    assert len([case for case in cases if case.expected]) >= 100
    assert len(cases) >= 250


def test_every_file_gives_a_typed_outcome_with_its_name_and_reason(outcome):
    folder, _, cases, items, _, _ = outcome
    for case in cases:
        found = items.get(_file(display_name(case.path), folder))
        assert found, f"{case.path.name!r} left no trace"
        for item in found:
            if isinstance(item, Rejection):
                assert item.code in ERROR_CODES
                assert item.message
                assert item.message.isprintable()
                assert item.file.isprintable()


def test_crafted_files_are_rejected_with_the_expected_code(outcome):
    folder, _, cases, items, _, _ = outcome
    wrong = []
    for case in cases:
        found = items[_file(display_name(case.path), folder)]
        codes = {item.code if isinstance(item, Rejection) else "read" for item in found}
        if case.expected and codes != {case.expected}:
            wrong.append((case.path.name, case.expected, [str(item)[:200] for item in found]))
    assert not wrong, "\n".join(map(str, wrong))


def test_nothing_ran_and_nothing_was_written(outcome):
    folder, canary, cases, _, _, _ = outcome
    assert not canary.exists()
    assert not Path("canary").exists()
    assert {path.name for path in canary.parent.iterdir()} == {"input"}
    assert {path.name for path in folder.iterdir()} == {
        *(case.path.name for case in cases),
        "aaa.cif",
        "zzz.cif",
    }


def test_the_valid_files_around_them_are_read(outcome):
    items = outcome[3]
    for name in ("aaa.cif", "zzz.cif"):
        (item,) = items[name]
        assert isinstance(item, ReadStructure)
        assert (item.crystal.formula, item.crystal.space_group_number) == ("TiO2", 136)


def test_no_file_hangs_or_eats_memory(outcome):
    *_, slowest, growth = outcome
    assert slowest < LIMIT_SECONDS
    assert growth < 512


def test_harmless_encodings_are_read(outcome):
    items = outcome[3]
    for kind in ("bom", "crlf", "utf16"):
        for name in hostile.SEEDS:
            found = items[f"{kind}-{name}"]
            assert all(isinstance(item, ReadStructure) for item in found), (kind, name, found)


def test_code_in_a_file_that_is_otherwise_valid_changes_nothing(outcome):
    items = outcome[3]
    (item,) = items["code.cif"]
    assert isinstance(item, ReadStructure)
    assert item.crystal.digest == items["aaa.cif"][0].crystal.digest


@pytest.mark.parametrize("name", ["pbc.json", "symbols.json"])
def test_entries_behind_a_malformed_one_are_read(outcome, name):
    bad, good = outcome[3][name]
    assert bad.code == "PARSE_ERROR"
    assert bad.message.startswith("TypeError: ")
    assert good.crystal.formula == "MgO"
