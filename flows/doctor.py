"""Whether this machine can do what it will be asked: one line per check, with the mend."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from screening.errors import ExecutableMissingError, ScreeningError

__all__ = ["Check", "run_checks"]

NEEDED = (
    "numpy",
    "pymatgen",
    "phonopy",
    "phono3py",
    "symfc",
    "ase",
    "jobflow",
    "maggma",
    "spglib",
)
OPTIONAL = {
    "chgnet": "Install phonoscreen with its extra 'chgnet'",
    "mace-torch": "Install phonoscreen with its extra 'mace'",
    "pyarrow": "Install phonoscreen with its extra 'tables'",
    "mp-api": "Install phonoscreen with its extra 'materials-project'",
    "torch": "Install phonoscreen with its extra 'chgnet' or 'mace'",
    "atomate2": "Install it for VASP",
}
LEAST_FREE_GB = 1.0
DFT = ("gpaw", "espresso")
VASP_MEND = "Set VASP_CMD in ~/.atomate2.yaml and PMG_VASP_PSP_DIR with 'pmg config'"
GPU_FOLDER = Path("/proc/driver/nvidia/gpus")


@dataclass(frozen=True)
class Check:
    """One finding; ``ok`` is None where nothing depends on it."""

    name: str
    ok: bool | None
    detail: str


def run_checks(database_uri: str, calculator: str | None, engine: str | None = None) -> list[Check]:
    """Check packages, processor, disk and database, and what a worker may need.

    Parameters
    ----------
    database_uri
        The database, which is opened.
    calculator
        One that must work here, and is tried; None where nothing is meant to be computed.
    engine
        A workflow engine that must be configured here, and whose server is asked; None where
        none is used.
    """
    checks = [_python(), _cores(), _graphics(), *(_package(name) for name in NEEDED)]
    checks += [_optional(name, mend) for name, mend in OPTIONAL.items()]
    checks += [_wanted(name, partial(_first_principles, name)) for name in DFT]
    checks.append(_wanted("vasp", _vasp))
    checks += [_wanted(name, look) for name, look in _engines().items() if name != engine]
    checks.append(_tried("database", lambda: _database(database_uri)))
    if calculator is not None:
        checks.append(_tried("calculator", lambda: _calculator(calculator)))
    if engine is not None:
        checks.append(_tried(engine, lambda: _queue(engine)))
    return checks


def _python() -> Check:
    fits = (3, 11) <= sys.version_info[:2] < (3, 14)
    return Check("python", fits, ".".join(map(str, sys.version_info[:3])))


def _cores() -> Check:
    threads = os.environ.get("OMP_NUM_THREADS", "not set")
    advice = "" if threads == "1" else ": export OMP_NUM_THREADS=1 where each core has a worker"
    return Check("processor", None, f"{os.cpu_count()} cores, OMP_NUM_THREADS {threads}{advice}")


def _graphics() -> Check:
    """Count the cards; no library is loaded for it."""
    count = sum(1 for _ in GPU_FOLDER.iterdir()) if GPU_FOLDER.is_dir() else 0
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "not set")
    return Check("graphics", None, f"{count} NVIDIA cards, CUDA_VISIBLE_DEVICES {visible}")


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


def _wanted(name: str, check: Callable[[], str]) -> Check:
    """Try what only some workers need, so that its absence is no fault."""
    try:
        return Check(name, ok=True, detail=check())
    except ScreeningError as error:
        return Check(name, ok=None, detail=str(error))
    except PackageNotFoundError as error:
        mend = f"pip install {error.name}, where wanted"
        return Check(name, ok=None, detail=f"not installed: {mend}")


def _first_principles(name: str) -> str:
    """Find the program and its pseudopotentials, without computing."""
    from screening.calculators import load_calculator

    calculator = load_calculator(name)
    known = calculator.elements
    return f"{calculator.name}, {'all' if known is None else len(known)} elements"


def _vasp() -> str:
    from flows.makers.vasp_environment import check_vasp_environment

    problems = check_vasp_environment()
    if problems:
        raise ExecutableMissingError("; ".join(problems), hint=VASP_MEND)
    return "command and POTCARs found"


def _engines() -> dict[str, Callable[[], str]]:
    """Return, by engine, what finds its configuration without asking a server."""
    from flows.launch.queues import Engine

    return {
        Engine.FIREWORKS.value: _fireworks,
        Engine.JOBFLOW_REMOTE.value: _jobflow_remote,
    }


def _fireworks() -> str:
    from flows.launch.fireworks import launchpad_file

    return f"{version('FireWorks')}, LaunchPad {launchpad_file()}"


def _jobflow_remote() -> str:
    from flows.launch.remote import project_of

    project = project_of(None)
    workers = ", ".join(f"{name} ({one.type})" for name, one in project.workers.items())
    return f"{version('jobflow-remote')}, project {project.name}: workers {workers or 'none'}"


def _queue(engine: str) -> str:
    """Open the queue of an engine, and ask it for a flow that nobody submitted."""
    from flows.launch.queues import Destination, engine_named, open_queue

    with closing(open_queue(Destination(engine_named(engine)))) as queue:
        queue.progress(["none"])
        return queue.address


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

    from flows.trained import is_trained, load_trained
    from screening.calculators import load_calculator

    if is_trained(specification):
        trained = load_trained(specification)
        return f"{trained.model}, SHA-256 {trained.model_digest[:16]}"
    calculator = load_calculator(specification)
    number = 13 if calculator.elements is None else min(calculator.elements)
    cell = 4.05 * (np.ones((3, 3)) - np.eye(3)) / 2
    calculator.forces(cell, np.zeros((1, 1, 3)), np.array([number]))
    return f"{calculator.name}, SHA-256 {calculator.digest[:16]}"
