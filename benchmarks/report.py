"""What every benchmark shares: its two options, and the report with versions and hardware.

A benchmark that misses what is required of it ends with the exit code 1.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["Figure", "parser", "publish"]

PACKAGES = (
    "phonoscreen", "numpy", "scipy", "torch", "chgnet", "mace-torch", "phonopy", "spglib",
    "pymatgen", "ase", "jobflow", "maggma", "atomate2", "matcalc", "gpaw",
)  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """One measured number beside what is required of it.

    ``required`` reads like ">= 2.2", "<= 10" or None where the number is only reported. A value
    that does not exist, or is not finite, is None; what is required of it is missed.
    """

    name: str
    value: float | None
    unit: str
    required: str | None = None

    def __post_init__(self) -> None:
        if self.value is not None and not math.isfinite(self.value):
            object.__setattr__(self, "value", None)

    @property
    def met(self) -> bool | None:
        """Whether the requirement holds, None where there is none."""
        if self.required is None:
            return None
        if self.value is None:
            return False
        relation, bound = self.required.split()
        return {
            ">=": self.value >= float(bound),
            "<=": self.value <= float(bound),
            ">": self.value > float(bound),
            "<": self.value < float(bound),
        }[relation]


def parser(description: str) -> argparse.ArgumentParser:
    """Return the command line with the two options all benchmarks have."""
    result = argparse.ArgumentParser(description=description)
    default = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
    result.add_argument("--data", type=Path, default=default, help="folder of reference data")
    result.add_argument("--json", type=Path, default=None, help="write the report to this file")
    return result


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    """Name of the processor where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), "unknown")


def publish(
    name: str,
    figures: Sequence[Figure],
    json_file: Path | None,
    details: Mapping[str, Any] | None = None,
) -> int:
    """Print the figures and write them with versions and hardware to a file.

    Parameters
    ----------
    name, figures
        Title and content of the report.
    json_file
        None where nothing is written.
    details
        Plain JSON behind the figures that the file holds too, such as curves.

    Returns
    -------
    int
        The exit code: 1 where a required figure is missed, 0 otherwise.
    """
    print(f"\n{name}")
    for figure in figures:
        verdict = {True: "met", False: "MISSED", None: ""}[figure.met]
        required = figure.required or ""
        number = "none" if figure.value is None else f"{figure.value:.5g}"
        value = f"{number:>12} {figure.unit:<14}"
        print(f"  {figure.name:<58} {value} {required:<10} {verdict}")
    if json_file is not None:
        _write(name, figures, json_file, details or {})
    return int(any(figure.met is False for figure in figures))


def _write(
    name: str, figures: Sequence[Figure], json_file: Path, details: Mapping[str, Any]
) -> None:
    report = {
        "benchmark": name,
        "versions": {"python": platform.python_version(), **_versions()},
        "hardware": {
            "processor": _processor(),
            "logical_cores": os.cpu_count(),
            "system": platform.platform(),
            "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
        },
        "figures": [{**asdict(figure), "met": figure.met} for figure in figures],
        **details,
    }
    json_file.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n")
