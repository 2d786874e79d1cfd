"""What a fit costs in time and memory, from 16 to 216 atoms.

Cells are rocksalt with forces of a pair potential, displaced at random. Every size is measured
in a process of its own, from the basis to the force constants; memory is that of the process
above what it takes once everything is imported.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Lattice, Structure
from report import Figure

from screening.anharmonic import DisplacedCells
from screening.gaussian_process.displacements import random_displacements
from screening.gaussian_process.fit import basis_for, fit_force_constants
from screening.gaussian_process.settings import GaussianProcessSettings
from screening.prediction import FloatArray

__all__ = ["Cost", "Size", "cost_figures", "measure_costs", "rocksalt_cells"]

N_CELLS = 4
LATTICE_ANGSTROM = 5.64
FIXED_CUTOFF_ANGSTROM = 5.0
STRENGTH_EV, RANGE_ANGSTROM = 1500.0, 0.35
REQUIRED_ATOMS, REQUIRED_SECONDS = 64, 10
_PRIMITIVE = Lattice(0.5 * LATTICE_ANGSTROM * (np.ones((3, 3)) - np.eye(3)))
_CONVENTIONAL = np.ones((3, 3), dtype=np.int64) - 2 * np.eye(3, dtype=np.int64)


@dataclass(frozen=True)
class Size:
    """A supercell of rocksalt, and the cutoff of its triplets in Å or None for the automatic."""

    matrix: tuple[tuple[int, ...], ...]
    cutoff_angstrom: float | None


@dataclass(frozen=True)
class Cost:
    """What one fit took.

    Attributes
    ----------
    n_atoms, cutoff_angstrom, n_unknowns
        Size of the supercell, cutoff (None for the automatic one), independent constants.
    basis_seconds, fit_seconds
        Time until the basis, and from there to the force constants.
    memory_mb
        Peak memory above the imports.
    """

    n_atoms: int
    cutoff_angstrom: float | None
    n_unknowns: int
    basis_seconds: float
    fit_seconds: float
    memory_mb: float

    @property
    def seconds(self) -> float:
        """Time of everything."""
        return self.basis_seconds + self.fit_seconds

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def sizes(largest_atoms: int) -> list[Size]:
    """Supercells from 16 atoms up, with the automatic and a fixed cutoff."""
    unit = np.eye(3, dtype=np.int64)
    matrices = [2 * unit, 3 * unit, 2 * _CONVENTIONAL, 4 * unit, 3 * _CONVENTIONAL]
    kept = [m for m in matrices if 2 * abs(round(np.linalg.det(m))) <= largest_atoms]
    return [
        Size(tuple(tuple(map(int, row)) for row in matrix), cutoff)
        for matrix in kept
        for cutoff in (None, FIXED_CUTOFF_ANGSTROM)
    ]


def rocksalt_cells(matrix: np.ndarray, n_cells: int, seed: int = 0) -> DisplacedCells:
    """Displace all atoms of a supercell of rocksalt; forces of a pair potential."""
    primitive = Structure(_PRIMITIVE, ["Na", "Cl"], [[0.0] * 3, [0.5] * 3])
    supercell = primitive.make_supercell(matrix, in_place=False)
    moves = random_displacements(len(supercell), n_cells, seed=seed)
    lattice, still = supercell.lattice, np.array(supercell.cart_coords)
    return DisplacedCells(
        primitive,
        np.asarray(matrix, dtype=np.int64),
        np.array(supercell.frac_coords),
        np.array(supercell.atomic_numbers, dtype=np.int64),
        moves,
        np.array([_pair_forces(lattice, still + one) for one in moves]),
        _pair_forces(lattice, still),
    )


def _pair_forces(lattice: Lattice, positions: FloatArray) -> FloatArray:
    """Return forces in eV/Å of an exponential repulsion, images in the neighbouring cells too."""
    images = np.array(list(product((-1, 0, 1), repeat=3))) @ lattice.matrix
    found = np.zeros(positions.shape)
    for image in images:
        vectors = positions[:, None] - positions[None] + image
        distances = np.linalg.norm(vectors, axis=2)
        distances[distances == 0.0] = np.inf  # an atom and itself
        slopes = STRENGTH_EV / RANGE_ANGSTROM * np.exp(-distances / RANGE_ANGSTROM) / distances
        found += (slopes[:, :, None] * vectors).sum(axis=1)
    return found


def measure_one(size: Size) -> Cost:
    """Measure one size in this process."""
    warm_up()
    cells = rocksalt_cells(np.array(size.matrix), N_CELLS)
    settings = GaussianProcessSettings(third_order_cutoff_angstrom=size.cutoff_angstrom)
    before, start = _peak_mb(), time.perf_counter()
    basis = basis_for(cells, settings)
    built = time.perf_counter()
    fit = fit_force_constants(cells, settings, basis=basis)
    _ = fit.force_constants
    done = time.perf_counter()
    return Cost(
        cells.n_atoms, size.cutoff_angstrom, basis.n_unknowns, built - start, done - built,
        _peak_mb() - before,
    )  # fmt: skip


def warm_up() -> None:
    """Import and compile everything on the smallest cell."""
    cells = rocksalt_cells(np.eye(3, dtype=np.int64), 1)
    fit_force_constants(cells, GaussianProcessSettings(max_order=2))


def _peak_mb() -> float:
    """Return the largest memory of this process so far in MB.

    What getrusage says starts from the memory of the process that started this one.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    return next(float(x.split()[1]) for x in lines if x.startswith("VmHWM")) / 1024.0


def measure_costs(largest_atoms: int) -> list[Cost]:
    """Measure all sizes up to a number of atoms, one process after the other."""
    context = multiprocessing.get_context("spawn")
    found = []
    for size in sizes(largest_atoms):
        with context.Pool(1) as pool:
            cost = pool.apply(measure_one, (size,))
        print(
            f"  {cost.n_atoms} atoms, {cost.n_unknowns} unknowns: {cost.seconds:.1f} s,"
            f" {cost.memory_mb:.0f} MB",
            flush=True,
        )
        found.append(cost)
    return found


def cost_figures(costs: list[Cost]) -> list[Figure]:
    """Time and memory of every size; one of them is required."""
    figures = []
    for cost in costs:
        cutoff = "automatic cutoff" if cost.cutoff_angstrom is None else "cutoff 5 Å"
        name = f"fit of {N_CELLS} cells of {cost.n_atoms} atoms, {cutoff}"
        is_required = cost.n_atoms == REQUIRED_ATOMS and cost.cutoff_angstrom is None
        required = f"< {REQUIRED_SECONDS}" if is_required else None
        figures += [
            Figure(name, cost.seconds, "s", required),
            Figure("  of which the basis", cost.basis_seconds, "s"),
            Figure("  independent force constants", cost.n_unknowns, ""),
            Figure("  memory", cost.memory_mb, "MB"),
        ]
    return figures
