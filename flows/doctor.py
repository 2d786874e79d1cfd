"""Whether this machine can do what it will be asked: one line per check, with the mend."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from screening.errors import ScreeningError

__all__ = ["Check", "run_checks"]

NEEDED = ("numpy", "pymatgen", "phonopy", "ase", "jobflow", "maggma", "spglib")
OPTIONAL = {
    "chgnet": "Install phonoscreen with its extra 'chgnet'",
    "mace-torch": "Install phonoscreen with its extra 'mace'",
    "pyarrow": "Install phonoscreen with its extra 'tables'",
    "mp-api": "Install phonoscreen with its extra 'materials-project'",
}
LEAST_FREE_GB = 1.0


@dataclass(frozen=True)
class Check:
    """One finding; ``ok`` is None where nothing depends on it."""

    name: str
    ok: bool | None
    detail: str


def run_checks(database_uri: str, calculator: str | None) -> list[Check]:
    """Check packages, processor, disk, database and, where one is named, the calculator."""
    checks = [_python(), _cores(), *(_package(name) for name in NEEDED)]
    checks += [_optional(name, mend) for name, mend in OPTIONAL.items()]
    checks.append(_tried("database", lambda: _database(database_uri)))
    if calculator is not None:
        checks.append(_tried("calculator", lambda: _calculator(calculator)))
    return checks


def _python() -> Check:
    fits = (3, 11) <= sys.version_info[:2] < (3, 14)
    return Check("python", fits, ".".join(map(str, sys.version_info[:3])))


def _cores() -> Check:
    threads = os.environ.get("OMP_NUM_THREADS", "not set")
    return Check("processor", None, f"{os.cpu_count()} cores, OMP_NUM_THREADS {threads}")


def _package(name: str) -> Check:
    try:
        return Check(name, ok=True, detail=version(name))
    except PackageNotFoundError:
        return Check(name, ok=False, detail="not installed; install phonoscreen again")


def _optional(name: str, mend: str) -> Check:
    try:
        return Check(name, ok=True, detail=version(name))
    except PackageNotFoundError:
        return Check(name, ok=None, detail=f"not installed. {mend}, where wanted")


def _tried(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, ok=True, detail=check())
    except ScreeningError as error:
        return Check(name, ok=False, detail=f"{error.code}: {error}")


def _database(uri: str) -> str:
    from stores.connect import open_database

    with open_database(uri) as database:
        count = database.structures.count()
        free = ""
        if uri.startswith("sqlite:"):
            free_gb = shutil.disk_usage(Path.cwd()).free / 1e9
            warning = "" if free_gb > LEAST_FREE_GB else ", nearly full"
            free = f", {free_gb:.0f} GB free{warning}"
        return f"{database.uri}: {count} structures{free}"


def _calculator(specification: str) -> str:
    """Load it and compute one crystal, so that a broken installation shows here."""
    import numpy as np

    from screening.calculators import load_calculator

    calculator = load_calculator(specification)
    number = 13 if calculator.elements is None else min(calculator.elements)
    cell = 4.05 * (np.ones((3, 3)) - np.eye(3)) / 2
    calculator.forces(cell, np.zeros((1, 1, 3)), np.array([number]))
    return f"{calculator.name}, SHA-256 {calculator.digest[:16]}"
