"""What the linear entropy costs from a thousand to a million atoms, and what it replaces.

A relaxed cell of iron with two vacancies is repeated along its edges; the model is one of stored
defects (the angular Fourier series of the paper, 20 x 11 functions, within 4.2 Å and once within
its 5 Å; the 20 x 21 that defects in iron are learned with cost 2.3 times as much), the novelty of
every atom included. Each size runs in a process of its own, so that its peak memory
is its own, and what is predicted must be that of one cell as many times. Beside it: the dense
diagonalisation (eigenvalues alone), and central differences of forces, of which some are measured
and multiplied to the 6N that a Hessian takes. Forces are those of a pair list that is kept, linear
in the number of atoms: of iron itself, within 6 Å, and of as many Lennard-Jones atoms within
2.5 sigma. A Cholesky factor would give the same entropy without any
eigenvalue: it is shown as well. What is compared is time of one thread on a processor; curves
show the time that passes on two threads.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from entropy_configurations import BCC_IRON, FCC_LENNARD_JONES, SKIN
from entropy_data import read_set
from entropy_learning import IRON, labels_of
from entropy_potentials import (
    FloatArray,
    PairList,
    Potential,
    candidate_pairs,
    energy_and_forces,
    hessian,
)
from report import Figure

__all__ = ["scale_figures"]

Progress = Callable[[str], None]

Tiles = tuple[int, int, int]
CURVE: tuple[Tiles, ...] = ((2, 2, 1), (4, 3, 3), (8, 7, 7), (16, 16, 16))
QUICK_CURVE = CURVE[:2]
DENSE: tuple[Tiles, ...] = ((1, 1, 1), (2, 1, 1), (2, 2, 1), (2, 2, 2))
QUICK_DENSE = DENSE[:2]
ONE_CELL, SMALL = (1, 1, 1), (0, 0, 0)
TILE_KIND = "V2"
RATTLE_ANGSTROM = 0.05
N_FORCE_CALLS = 20
PAPER_CUTOFF = 5.0
N_REPETITIONS = 11
MANY_ATOMS = 5_000
MILLION = 1e6
COMPARED_TILES = 8
CHILD_SECONDS = 1800.0


def scale_figures(
    data: Path, quick: bool, progress: Progress
) -> tuple[list[Figure], dict[str, Any]]:
    """Measure the curve and what it replaces.

    Parameters
    ----------
    data
        Not used: the training set is in the repository.
    quick
        Up to ten thousand atoms, and the diagonalisation up to 432.
    progress
        Told what was done.
    """
    del data
    curve = []
    for tiles in QUICK_CURVE if quick else CURVE:
        curve.append(_in_own_process(tiles, workers=2))
        progress("{atoms:.0f} atoms: {seconds:.2f} s, {peak_mb:.0f} MB".format(**curve[-1]))
    dense = []
    for tiles in QUICK_DENSE if quick else DENSE:
        dense.append(_dense_cost(tiles) | _in_own_process(tiles, workers=1))
        progress("{atoms:.0f} atoms dense: {diagonalisation_s:.2f} s".format(**dense[-1]))
    small = _in_own_process(SMALL, workers=1)
    wide = _in_own_process(DENSE[-1], workers=1, cutoff=PAPER_CUTOFF)
    details = {"curve": curve, "dense": dense, "small": small, "paper_cutoff": wide}
    name = f"{wide['atoms']:.0f} atoms: within {PAPER_CUTOFF:g} Å, one thread"
    return [*_figures(curve, dense, small), Figure(name, 1e3 * wide["cpu_s"], "ms")], details


def _figures(
    curve: list[dict[str, float]], dense: list[dict[str, float]], small: dict[str, float]
) -> list[Figure]:
    figures = [Figure("entropy of 40 atoms, one thread", 1e3 * small["cpu_s"], "ms", "< 10")]
    for one in curve:
        million = one["atoms"] > MILLION
        figures += [
            Figure(
                f"entropy of {one['atoms']:.0f} atoms, 2 threads",
                one["seconds"],
                "s",
                "< 300" if million else None,
            ),
            Figure("  peak memory", one["peak_mb"] / 1000.0, "GB", "< 4" if million else None),
        ]
    # per cell it must not depend on the size
    of_one = dense[0]["entropy_boltzmann"]
    last = curve[-1]["entropy_boltzmann"] / curve[-1]["n_tiles"]
    figures.append(Figure("  entropy of a cell there, less one", last - of_one, "k_B", "<= 1e-6"))
    atoms, times = (np.log([one[name] for one in curve]) for name in ("atoms", "cpu_s"))
    exponent = float(np.polyfit(atoms, times, 1)[0])
    figures.append(Figure("exponent of time over atoms", exponent, ""))
    for one in dense:
        figures += _dense_figures(one)
    return figures


def _dense_figures(one: dict[str, float]) -> list[Figure]:
    seconds, diagonalisation = one["cpu_s"], one["diagonalisation_s"]
    ratios = {
        name: (one[name] + diagonalisation) / seconds
        for name in ("finite_differences_s", "own_differences_s")
    }
    named = (">= 200", ">= 1000") if one["n_tiles"] == COMPARED_TILES else (None, None)
    return [
        Figure(f"{one['atoms']:.0f} atoms: entropy by descriptors", 1e3 * seconds, "ms"),
        Figure("  dense diagonalisation", diagonalisation, "s"),
        Figure("  Hessian by 6N Lennard-Jones forces", one["finite_differences_s"], "s"),
        Figure("  Hessian by 6N forces of iron", one["own_differences_s"], "s"),
        Figure("  Cholesky factor", one["cholesky_s"], "s"),
        Figure("  diagonalisation over descriptors", diagonalisation / seconds, "x", named[0]),
        Figure("  the same, after Lennard-Jones", ratios["finite_differences_s"], "x", named[1]),
        Figure("  the same, after forces of iron", ratios["own_differences_s"], "x"),
        Figure("  Cholesky factor over descriptors", one["cholesky_s"] / seconds, "x"),
    ]


def _tiled_iron(tiles: Tiles) -> tuple[FloatArray, FloatArray]:
    """Positions and cell in Å; without tiles 40 atoms off their sites."""
    if tiles == SMALL:
        cells = np.argwhere(np.ones((2, 2, 5)))[:, None]
        sites = BCC_IRON.edge * (cells + np.array(BCC_IRON.basis)).reshape(-1, 3)
        moves = np.random.default_rng(0).normal(scale=RATTLE_ANGSTROM, size=sites.shape)
        return sites + moves, BCC_IRON.edge * np.diag([2.0, 2.0, 5.0])
    one = next(x for x in read_set("bcc_fe_250") if x.kind == TILE_KIND)
    assert one.edge is not None
    cells = one.edge * np.argwhere(np.ones(tiles))[:, None]
    return (cells + one.positions).reshape(-1, 3), one.edge * np.diag(np.array(tiles, dtype=float))


def _dense_cost(tiles: Tiles) -> dict[str, float]:
    """Seconds on a processor of what the method replaces."""
    from scipy.linalg import cholesky, eigvalsh

    potential = BCC_IRON.potential
    positions, cell = _tiled_iron(tiles)
    pairs = candidate_pairs(positions, np.diag(cell), potential.cutoff + SKIN)
    own_call = _seconds_of_forces(potential, positions, pairs)
    pair_call = _seconds_of_lennard_jones(len(positions))
    matrix = hessian(potential, positions, pairs)
    started = time.process_time()
    eigenvalues = eigvalsh(matrix)
    diagonalisation = time.process_time() - started
    # lifted above zero: of the cost alone
    matrix[np.diag_indices_from(matrix)] += 1.0 + abs(float(eigenvalues[0]))
    started = time.process_time()
    cholesky(matrix, lower=True, overwrite_a=True, check_finite=False)
    return {
        "diagonalisation_s": diagonalisation,
        "cholesky_s": time.process_time() - started,
        "own_differences_s": 6.0 * len(positions) * own_call,
        "finite_differences_s": 6.0 * len(positions) * pair_call,
    }


def _seconds_of_forces(potential: Potential, positions: FloatArray, pairs: PairList) -> float:
    started = time.process_time()
    for _ in range(N_FORCE_CALLS):
        energy_and_forces(potential, positions, pairs)
    return (time.process_time() - started) / N_FORCE_CALLS


def _seconds_of_lennard_jones(n_atoms: int) -> float:
    """One call for a crystal of nearly as many atoms, scaled to their number."""
    lattice = FCC_LENNARD_JONES
    positions, edge = lattice.positions(round((n_atoms / len(lattice.basis)) ** (1.0 / 3.0)), 0.0)
    pairs = candidate_pairs(positions, edge, lattice.potential.cutoff + SKIN)
    return _seconds_of_forces(lattice.potential, positions, pairs) * n_atoms / len(positions)


def _in_own_process(tiles: Tiles, workers: int, cutoff: float = IRON.cutoff) -> dict[str, float]:
    """Run this file for one size."""
    chosen = ["--workers", str(workers), "--cutoff", str(cutoff), "--tiles", *map(str, tiles)]
    command = [sys.executable, __file__, *chosen]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    found = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=CHILD_SECONDS, env=environment
    )
    return dict(json.loads(found.stdout.splitlines()[-1]))


def measure_one_size(tiles: Tiles, workers: int, cutoff: float) -> dict[str, float]:
    """Train on stored defects, then describe and predict one system.

    Small systems are predicted several times; the median counts.
    """
    import resource

    from screening.descriptors.interface import AtomicSystem
    from screening.linear_entropy.model import LinearEntropyModel, predict_entropy
    from screening.linear_entropy.training import train_entropy

    labels = labels_of(IRON.small, IRON.number)
    settings = replace(IRON, cutoff=cutoff, n_radial=20, l_max=10).settings()
    trained = train_entropy(labels, settings, "scale")
    model = LinearEntropyModel.from_trained(trained, workers=workers)
    sites, edge = BCC_IRON.positions(1, 0.0)
    bulk = AtomicSystem(sites, np.full(len(sites), IRON.number), edge * np.eye(3))
    positions, cell = _tiled_iron(tiles)
    system = AtomicSystem(positions, np.full(len(positions), IRON.number), cell)
    wall, on_processor = [], []
    for _ in range(N_REPETITIONS if len(positions) < MANY_ATOMS else 1):
        started = time.perf_counter(), time.process_time()
        found = predict_entropy(model, [system], bulks=[bulk])
        wall.append(time.perf_counter() - started[0])
        on_processor.append(time.process_time() - started[1])
    return {
        "atoms": float(len(positions)),
        "n_tiles": float(np.prod(tiles)),
        "seconds": float(np.median(wall)),
        "cpu_s": float(np.median(on_processor)),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000.0,
        "entropy_boltzmann": float(found.entropy_boltzmann[0]),
        "novelty": float(found.novelty[0]),
    }


if __name__ == "__main__":
    options = argparse.ArgumentParser(description="Cost of one size")
    options.add_argument("--tiles", type=int, nargs=3, required=True)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--cutoff", type=float, default=IRON.cutoff)
    chosen = options.parse_args()
    print(json.dumps(measure_one_size(tuple(chosen.tiles), chosen.workers, chosen.cutoff)))
