"""The report of every benchmark: JSON first, then an exit code that tells what was missed."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = ("correctness", "phonondb", "phonons", "robustness", "routing", "databases")


def publish(figures: str, report: Path) -> subprocess.CompletedProcess[str]:
    code = (
        f"import sys; sys.path.append({str(BENCHMARKS)!r})\n"
        "from pathlib import Path\n"
        "from report import Figure, publish\n"
        f"raise SystemExit(publish('name', {figures}, Path({str(report)!r})))"
    )
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(
    ("figure", "code", "met"),
    [
        ("Figure('x', 2.0, 's', '>= 2')", 0, True),
        ("Figure('x', 1.9, 's', '>= 2')", 1, False),
        ("Figure('x', None, 's', '>= 2')", 1, False),
        ("Figure('x', float('nan'), 's', '< 2')", 1, False),
        ("Figure('x', None, 's')", 0, None),
    ],
)
def test_a_missed_figure_is_written_and_ends_with_one(
    tmp_path: Path, figure: str, code: int, met: bool | None
) -> None:
    report = tmp_path / "report.json"
    done = publish(f"[{figure}]", report)
    assert done.returncode == code, done.stderr
    (written,) = json.loads(report.read_text())["figures"]
    assert written["met"] is met
    assert written["value"] is None or met == (written["value"] >= 2.0)


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_exit_code_is_that_of_the_report(name: str) -> None:
    tree = ast.parse((BENCHMARKS / f"{name}.py").read_text(encoding="utf-8"))
    assert ast.unparse(tree.body[-1]).endswith("raise SystemExit(main())")


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_finds_the_packages_beside_a_benchmark_of_the_same_name(name: str) -> None:
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / f"{name}.py"), "--help"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
