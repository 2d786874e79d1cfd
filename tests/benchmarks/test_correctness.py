"""The benchmark itself, on one set of forces: its agreement with phonopy must be seen to hold."""

import gzip
import json
import lzma
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DATA = ROOT / ".." / "shared" / "data"
CRYSTAL = "MgB2"


def run(data: Path, report: Path) -> tuple[int, str, dict[str, dict[str, object]]]:
    command = [sys.executable, str(ROOT / "benchmarks" / "correctness.py"), "--crystals", "0"]
    command += ["--data", str(data), "--json", str(report)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, env=environment
    )
    assert report.exists(), done.stderr
    figures = json.loads(report.read_text())["figures"]
    return done.returncode, done.stdout, {figure["name"]: figure for figure in figures}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = DATA / "force_sets" / f"{CRYSTAL}.yaml.xz"
    stored = DATA / "phonondb_pbe.json.gz"
    if not (source.exists() and stored.exists()):
        pytest.skip(f"reference data not found: {DATA}")
    (tmp_path / "force_sets").mkdir()
    (tmp_path / "force_sets" / "other name.yaml.xz").write_bytes(source.read_bytes())
    records = json.loads(gzip.decompress(stored.read_bytes()))[:1]
    (tmp_path / "phonondb_pbe.json.gz").write_bytes(gzip.compress(json.dumps(records).encode()))
    return tmp_path


def test_all_requirements_are_met_on_any_folder_of_the_same_layout(folder: Path) -> None:
    code, output, figures = run(folder, folder / "report.json")
    assert code == 0, output
    missed = [name for name, figure in figures.items() if figure["met"] is False]
    assert missed == []
    agreement = [f for n, f in figures.items() if n.startswith("1 other name: ")]
    assert [f["required"] for f in agreement] == ["<= 1e-06"]
    assert figures["0 stored records done"]["value"] == 1


def test_a_crystal_that_fails_is_counted_and_named(folder: Path) -> None:
    good = folder / "force_sets" / "other name.yaml.xz"
    text = lzma.decompress(good.read_bytes()).decode()
    no_forces = lzma.compress(text.partition("\ndisplacements:")[0].encode())
    (folder / "force_sets" / "broken.yaml.xz").write_bytes(no_forces)
    code, output, figures = run(folder, folder / "report.json")
    assert code == 1
    assert figures["0 failures"]["value"] == 1
    assert any(name.startswith("0 FAILED broken") for name in figures)
    assert "broken" in output
    assert figures["0 force sets done"]["value"] == 1


def test_wrong_stored_values_are_missed(folder: Path) -> None:
    file = folder / "phonondb_pbe.json.gz"
    records = json.loads(gzip.decompress(file.read_bytes()))
    records[0]["entropy_300K_meV_K_atom"] += 2e-6
    file.write_bytes(gzip.compress(json.dumps(records).encode()))
    code, _, figures = run(folder, folder / "report.json")
    assert code == 1
    missed = [name for name, figure in figures.items() if figure["met"] is False]
    assert [name.partition(" less")[0] for name in missed] == ["4 S(300 K)"]
