"""How fast one crystal's phonons are, beside phonopy, matcalc and atomate2, in one run.

All codes get the same primitive cells, supercells, displacements and the same potential
(CHGNet), run in one thread, and take turns crystal by crystal; the best of the repeats
counts. Crystals come from the reference data plus some of lower symmetry. The free energies
at 300 K are compared with plain phonopy's on the crystals that are stable. What is not forces is
timed twice: the part that the other codes have too (supercell, force constants, mesh, bands), and
all that a user pays, from the structure to the prediction in a database. A crystal that fails in
any code is left out of every figure, named and counted.

    python benchmarks/phonons.py --crystals 12 --repeats 2
    python benchmarks/phonons.py --peers phonopy --crystals 4 --repeats 1     # a quick look
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from peers import CUTOFF_THZ, PEERS, REPORTED_TEMPERATURE_K, Task, load_peer
from product import product_figures, product_seconds
from pymatgen.core import Structure
from report import Figure, parser, publish
from samples import lower_symmetry_crystals, reference_records

from screening.adaptive import adaptive_forces
from screening.calculators import load_calculator
from screening.phonons import (
    PhononSettings,
    compute_forces,
    harmonic_from_forces,
    mesh_frequencies,
)
from screening.prediction import ForceData
from screening.spectra import band_structure, lowest_frequency
from screening.structure import canonical_crystal
from screening.supercell import SupercellSettings, choose_supercell
from screening.thermodynamics import ThermodynamicsSettings, thermodynamics

MESH_LENGTH_ANGSTROM = 60.0
STABLE_ABOVE_THZ = -0.05
TEMPERATURES_K = tuple(float(t) for t in range(0, 1501, 10))
REQUIRED_SPEED = {"phonopy": ">= 2.2", "matcalc": ">= 2.5", "atomate2": ">= 8"}
REQUIRED_ADAPTIVE = {"phonopy": ">= 4", "matcalc": ">= 4"}
PASSES = 2  # passes over the set that two workers share


@dataclass(frozen=True)
class Result:
    """Free energy in meV/atom, lowest frequency in THz and seconds without the forces."""

    free_energy_mev_per_atom: float
    lowest_frequency_thz: float
    overhead_seconds: float


class Timed:
    """A calculator that adds up the time spent in it."""

    def __init__(self, calculator: Any) -> None:
        self._calculator = calculator
        self.seconds = 0.0
        self.displacement_angstrom = float(calculator.displacement_angstrom)
        self.members: tuple[Any, ...] = ()

    def forces(self, *arguments: Any) -> Any:
        """Return the forces of the wrapped calculator."""
        start = time.perf_counter()
        try:
            return self._calculator.forces(*arguments)
        finally:
            self.seconds += time.perf_counter() - start


def make_tasks(
    crystals: dict[str, Structure | dict[str, Any]],
    displacement_angstrom: float,
    failures: Failures,
) -> list[Task]:
    """Reduce crystals to their primitive cells and choose the supercell that all codes use."""
    tasks = []
    for name, given in crystals.items():
        with failures.of(name):
            whole = Structure.from_dict(given["structure"]) if isinstance(given, dict) else given
            structure = canonical_crystal(whole, subject=name).structure
            matrix = choose_supercell(structure, SupercellSettings())
            tasks.append(Task(name, structure, matrix, displacement_angstrom, MESH_LENGTH_ANGSTROM))
    return tasks


@dataclass
class Failures:
    """Crystals that failed, with the error."""

    errors: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Catch whatever goes wrong with a crystal, and name it."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - of any library: none may hide a crystal
            self.errors[name] = f"{name}: {type(error).__name__}: {error}"
            print(f"  FAILED {self.errors[name]}", flush=True)

    def figures(self) -> list[Figure]:
        """Count and names."""
        figures = [Figure("failures", len(self.errors), "", "<= 0")]
        return figures + [
            Figure(f"FAILED {error}", 1, "", "<= 0") for error in self.errors.values()
        ]


def our_run(calculator: Any, *, adaptive: bool) -> Callable[[Task], Result]:
    """Our way: supercell, forces, force constants, mesh, band path, thermodynamics."""

    def run(task: Task) -> Result:
        start = time.perf_counter()
        timed = Timed(calculator)
        settings = PhononSettings(
            displacement_angstrom=task.displacement_angstrom,
            mesh_length_angstrom=task.mesh_length_angstrom,
        )
        if adaptive:
            forces = adaptive_forces(task.structure, timed, settings).force_data
        else:
            forces = compute_forces(task.structure, timed, settings)
        free_energy, lowest = finish(forces, task)
        elapsed = time.perf_counter() - start
        return Result(free_energy, lowest, elapsed - timed.seconds)

    return run


def finish(forces: ForceData, task: Task) -> tuple[float, float]:
    """Free energy at 300 K in meV/atom and lowest frequency in THz."""
    harmonic = harmonic_from_forces(forces)
    mesh = mesh_frequencies(harmonic, task.mesh_length_angstrom)
    lowest = lowest_frequency(mesh, band_structure(harmonic)).frequency_thz
    curves = thermodynamics(
        mesh.frequencies_thz,
        mesh.weights,
        len(task.structure),
        ThermodynamicsSettings(TEMPERATURES_K, cutoff_thz=CUTOFF_THZ),
        is_gamma=mesh.is_gamma,
    )
    at = TEMPERATURES_K.index(REPORTED_TEMPERATURE_K)
    return float(curves.free_energy_mev_per_atom[at]), lowest


Codes = dict[str, Callable[[Task], Any]]


def alternate(
    codes: Codes, tasks: Sequence[Task], repeats: int, failures: Failures
) -> tuple[dict[str, list[float]], dict[str, list[Any]], list[Task]]:
    """Run all codes in turn on every crystal.

    Returns
    -------
    dict, dict, list
        Best times and last results of every code, and the crystals that no code failed on.
    """
    times: dict[str, dict[str, float]] = {task.name: {} for task in tasks}
    results: dict[str, dict[str, Any]] = {task.name: {} for task in tasks}
    warm_up(codes, tasks)
    for repeat in range(repeats):
        for index, task in enumerate(tasks):
            names = list(codes)
            first = (repeat + index) % len(names)  # nobody always profits from a warm memory
            with failures.of(task.name):
                for name in names[first:] + names[:first]:
                    start = time.perf_counter()
                    results[task.name][name] = codes[name](task)
                    elapsed = time.perf_counter() - start
                    times[task.name][name] = min(times[task.name].get(name, np.inf), elapsed)
                shown = "  ".join(f"{name} {times[task.name][name]:.2f}" for name in codes)
                print(f"  {repeat + 1}/{repeats} {task.name:<14} s: {shown}", flush=True)
    done = [task for task in tasks if task.name not in failures.errors]
    return (
        {code: [times[task.name][code] for task in done] for code in codes},
        {code: [results[task.name][code] for task in done] for code in codes},
        done,
    )


def warm_up(codes: Codes, tasks: Sequence[Task]) -> None:
    """Let every code load its model and compile on the last crystal, which is a plain one."""
    for code in codes.values():
        with Failures().of("the first call"):
            code(tasks[-1])


def overhead_figures(results: Sequence[Result]) -> list[Figure]:
    """Time without forces of the part that all codes have."""
    seconds = [result.overhead_seconds for result in results]
    part = "supercell, force constants, mesh, bands, without forces"
    return [
        Figure(f"{part}: mean", float(np.mean(seconds)), "s"),
        Figure(f"{part}: longest", max(seconds), "s"),
    ]


_worker_run: Callable[[Task], Result] | None = None


def _start_worker(barrier: Any) -> None:
    """Load the potential once per worker, and wait for the others."""
    global _worker_run  # noqa: PLW0603 - a worker process has no other place to keep it
    _worker_run = our_run(load_calculator("chgnet"), adaptive=False)
    barrier.wait()


def _work(task: Task) -> float:
    assert _worker_run is not None
    return _worker_run(task).free_energy_mev_per_atom


def throughput(tasks: Sequence[Task], workers: int, repeats: int) -> float:
    """Crystals per second of so many worker processes of one thread each."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(workers + 1)
    many = sorted([*tasks] * PASSES, key=lambda t: -len(t.structure))  # long ones first
    with context.Pool(workers, _start_worker, (barrier,)) as pool:
        barrier.wait()
        pool.map(_work, many[:workers], chunksize=1)
        best = np.inf
        for _ in range(repeats):
            start = time.perf_counter()
            list(pool.imap_unordered(_work, many, chunksize=1))
            best = min(best, time.perf_counter() - start)
    return len(many) / best


def speed_figures(seconds: dict[str, list[float]], peers: Sequence[str]) -> list[Figure]:
    """How many times faster than each peer."""
    total = {name: float(np.sum(values)) for name, values in seconds.items()}
    figures = [Figure(f"{name}: all crystals", value, "s") for name, value in total.items()]
    for peer in peers:
        ratio = total[peer] / total["ours"]
        figures.append(Figure(f"speed beside {peer}", ratio, "x", REQUIRED_SPEED.get(peer)))
        ratio = total[peer] / total["adaptive"]
        required = REQUIRED_ADAPTIVE.get(peer)
        figures.append(Figure(f"speed beside {peer}, adaptive", ratio, "x", required))
    return figures


def accuracy_figures(results: dict[str, list[Any]], peers: Sequence[str]) -> list[Figure]:
    """Largest differences of the free energy at 300 K on the stable crystals."""
    stable = np.array([r.lowest_frequency_thz > STABLE_ABOVE_THZ for r in results["ours"]])
    values = {name: np.array([_free_energy(r) for r in found]) for name, found in results.items()}
    figures = [Figure("stable crystals", float(stable.sum()), "")]
    if not stable.any():
        return figures
    pairs = [("adaptive", "ours", "<= 0.5")]
    if "phonopy" in peers:
        pairs += [("ours", "phonopy", "<= 0.5"), ("adaptive", "phonopy", "<= 0.5")]
        pairs += [(peer, "phonopy", "") for peer in peers if peer != "phonopy"]
    for name, reference, required in pairs:
        worst = float(np.abs(values[name] - values[reference])[stable].max())
        label = f"largest |difference of F(300 K)|, {name} - {reference}"
        figures.append(Figure(label, worst, "meV/atom", required or None))
    return figures


def _free_energy(result: Any) -> float:
    return float(result.free_energy_mev_per_atom if isinstance(result, Result) else result)


def worker_figures(tasks: Sequence[Task], repeats: int) -> list[Figure]:
    """Two workers beside one."""
    one, two = (throughput(tasks, workers, repeats) for workers in (1, 2))
    return [
        Figure("one worker", 3600.0 * one, "crystals/h"),
        Figure("two workers", 3600.0 * two, "crystals/h"),
        Figure("throughput of two workers beside one", two / one, "x", ">= 1.8"),
    ]


def options() -> argparse.Namespace:
    """Read the command line."""
    result = parser("Time the phonons of some crystals beside other codes.")
    result.add_argument("--crystals", type=int, default=12, help="crystals from the data")
    result.add_argument("--repeats", type=int, default=2, help="the best of so many counts")
    result.add_argument("--peers", default=",".join(PEERS), help="names, or an empty string")
    result.add_argument("--displacement", type=float, default=None, help="in Å")
    result.add_argument("--no-workers", action="store_true", help="leave two workers out")
    return result.parse_args()


def insist_on_one_thread() -> None:
    """Start anew with one thread: libraries read these variables when they are imported."""
    wanted = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | wanted)


def main() -> int:
    """Run the benchmark and publish its figures."""
    arguments = options()
    insist_on_one_thread()
    peers = [name for name in arguments.peers.split(",") if name]
    calculator = load_calculator("chgnet")
    displacement = arguments.displacement or calculator.displacement_angstrom
    failures = Failures()
    crystals = {
        **reference_records(arguments.data, arguments.crystals),
        **lower_symmetry_crystals(),
    }
    tasks = make_tasks(crystals, displacement, failures)
    codes: Codes = {
        "ours": our_run(calculator, adaptive=False),
        "adaptive": our_run(calculator, adaptive=True),
        **{name: load_peer(name) for name in peers},
    }
    seconds, results, tasks = alternate(codes, tasks, arguments.repeats, failures)
    figures = [
        Figure("crystals", float(len(tasks)), "", ">= 1"),
        Figure("displacement", displacement, "Å"),
    ]
    if tasks:
        figures += [*speed_figures(seconds, peers), *accuracy_figures(results, peers)]
        figures += overhead_figures(results["ours"])
        whole = product_seconds(calculator, tasks, arguments.repeats, failures.of)
        figures += product_figures(tasks, whole)
    figures += failures.figures()
    if tasks and not arguments.no_workers:
        figures += worker_figures(tasks, arguments.repeats)
    return publish("phonons", figures, arguments.json)


if __name__ == "__main__":
    raise SystemExit(main())
