"""Killed at random again and again and restarted, the database is that of an undisturbed run."""

import json
import os
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "robustness.py"


def test_nothing_lost_nothing_twice_nothing_torn(tmp_path):
    report = tmp_path / "report.json"
    command = [sys.executable, str(BENCHMARK), "--kills", "20", "--rounds", "1"]
    subprocess.run(
        [*command, "--json", str(report)],
        check=True,
        timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    figures = json.loads(report.read_text())["figures"]
    values = {figure["name"]: figure["value"] for figure in figures}
    assert values.pop("kills") >= 20
    assert values.pop("rounds with a fresh database") >= 1
    assert set(values.values()) == {0}
    assert len(values) == 6
