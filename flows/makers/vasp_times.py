"""What VASP runs cost, as they say themselves at the end of their OUTCAR."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["RunTimes", "run_times"]

_ELAPSED = re.compile(r"Elapsed time \(sec\):\s+([\d.]+)")
_CORES = re.compile(r"running on\s+(\d+) total cores")
_RANKS = re.compile(r"running\s+(\d+) mpi-ranks, with\s+(\d+) threads/rank")
_NAMES = ("OUTCAR.gz", "OUTCAR")


@dataclass(frozen=True)
class RunTimes:
    """Sums over runs, and how many runs could not be read."""

    wall_seconds: float = 0.0
    core_seconds: float = 0.0
    n_unknown: int = 0


def run_times(directories: Iterable[str | None]) -> RunTimes:
    """Add up the times of runs.

    Parameters
    ----------
    directories
        Folders as atomate2 names them, ``HOST:/PATH`` or a path; one that is not on this machine
        or holds no finished OUTCAR counts as unknown.

    Returns
    -------
    RunTimes
        Elapsed time in s, and times the number of cores.
    """
    wall = core = 0.0
    n_unknown = 0
    for directory in directories:
        text = _outcar(directory)
        elapsed = _ELAPSED.findall(text)
        if not elapsed:
            n_unknown += 1
            continue
        wall += float(elapsed[-1])
        core += float(elapsed[-1]) * _n_cores(text)
    return RunTimes(wall, core, n_unknown)


def _outcar(directory: str | None) -> str:
    if not directory:
        return ""
    _, separator, local = directory.partition(":/")
    path = Path(f"/{local}" if separator else directory)
    for name in _NAMES:
        try:
            data = (path / name).read_bytes()
            return (gzip.decompress(data) if name.endswith(".gz") else data).decode(
                errors="replace"
            )
        except (OSError, EOFError):
            continue
    return ""


def _n_cores(text: str) -> int:
    ranks = _RANKS.search(text)
    if ranks:
        return int(ranks[1]) * int(ranks[2])
    cores = _CORES.search(text)
    return int(cores[1]) if cores else 1
