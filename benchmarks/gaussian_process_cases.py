"""Sets of displaced cells: read, checked, and divided into cells to train on and to hold out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from screening.anharmonic import DisplacedCells
from screening.errors import ScreeningError
from screening.gaussian_process.basis import ForceConstantBasis
from screening.gaussian_process.checks import check_cells
from screening.gaussian_process.fit import basis_for
from screening.gaussian_process.settings import GaussianProcessSettings
from stores.importers.displaced_cells import find_displaced_cells, read_displaced_cells

__all__ = ["Case", "Refusal", "Split", "divide", "iter_cases", "make_case", "some_cells"]

IntArray = NDArray[np.int64]

HELD_OUT_FRACTION = 0.4
LEAST_HELD_OUT_FRACTION = 0.2
LEAST_HELD_OUT = 10
CHECKED_CELLS = 200


@dataclass(frozen=True, eq=False)
class Case:
    """One set of displaced cells that may be used.

    Attributes
    ----------
    formula
        Of the primitive cell, reduced.
    file
        Name of the file or folder.
    cells
        All cells.
    basis
        Independent force constants of the supercell.
    settings
        How force constants are fitted.
    systematic
        Whether at most two atoms are displaced in every cell.
    """

    formula: str
    file: str
    cells: DisplacedCells
    basis: ForceConstantBasis
    settings: GaussianProcessSettings
    systematic: bool

    @property
    def key(self) -> tuple[str, int, int]:
        """What tells which requirements hold: formula, atoms of the supercell, cells."""
        return self.formula, self.cells.n_atoms, self.cells.n_cells

    @property
    def name(self) -> str:
        """Name for people."""
        return f"{self.formula} {self.cells.n_atoms}"

    @property
    def forces(self) -> NDArray[np.float64]:
        """Forces without the residual ones in eV/Å, shape (cell, atom, 3)."""
        cells = self.cells
        return cells.forces_ev_per_angstrom - cells.residual_forces_ev_per_angstrom


@dataclass(frozen=True)
class Refusal:
    """A file that cannot be used, and why."""

    file: str
    reason: str

    @classmethod
    def of(cls, file: str, error: Exception) -> Refusal:
        """Name the error by its code."""
        kind = error.code if isinstance(error, ScreeningError) else type(error).__name__
        return cls(file, f"{kind}: {error}")

    @property
    def code(self) -> str:
        """Code of the error."""
        return self.reason.partition(":")[0]


@dataclass(frozen=True, eq=False)
class Split:
    """Cells to train on, and cells that no draw contains.

    Attributes
    ----------
    draws
        Indices of the cells of each draw, in the order in which they are taken.
    held_out
        Indices of the others that are predicted.
    """

    draws: tuple[IntArray, ...]
    held_out: IntArray


def iter_cases(data: Path, only: str | None = None) -> Iterator[Case | Refusal]:
    """Read every set in a folder; what cannot be used becomes a refusal.

    Parameters
    ----------
    data
        Folder with ``third_order`` in it.
    only
        Formula or part of a file name; None takes all.
    """
    folder = data / "third_order"
    for path in find_displaced_cells(folder) if folder.is_dir() else []:
        name = str(path.relative_to(folder))
        try:
            cells = read_displaced_cells(path)
            formula = cells.primitive.composition.reduced_formula
            if only is None or only == formula or only in name:
                yield make_case(name, cells)
        except Exception as error:  # noqa: BLE001 - of any library: no file may stop the others
            if only is None or only in name:
                yield Refusal.of(name, error)


def make_case(
    file: str, cells: DisplacedCells, settings: GaussianProcessSettings | None = None
) -> Case:
    """Check a set and build its basis.

    Raises
    ------
    ScreeningError
        If the set contradicts itself.
    """
    settings = settings or GaussianProcessSettings()
    check_cells(cells)  # before anything expensive
    basis = basis_for(cells, settings)
    first = some_cells(cells, np.arange(min(cells.n_cells, CHECKED_CELLS)))
    report = check_cells(first, basis.design(2, first.displacements_angstrom))
    formula = cells.primitive.composition.reduced_formula
    return Case(formula, file, cells, basis, settings, report.systematic)


def some_cells(cells: DisplacedCells, chosen: IntArray) -> DisplacedCells:
    """Keep some of the cells."""
    energies = cells.energies_ev
    return replace(
        cells,
        displacements_angstrom=cells.displacements_angstrom[chosen],
        forces_ev_per_angstrom=cells.forces_ev_per_angstrom[chosen],
        energies_ev=None if energies is None else energies[chosen],
    )


def divide(n_cells: int, n_draws: int, longest: int, seed: int, most_held_out: int = 40) -> Split:
    """Divide cells at random: draws are as different as the number of cells permits.

    Parameters
    ----------
    n_cells
        All cells.
    n_draws, longest
        Number of draws, and cells of the largest training set.
    seed
        Seed of the only permutation.
    most_held_out
        At most so many are held out, unless a fifth of all is more.
    """
    least = max(round(LEAST_HELD_OUT_FRACTION * n_cells), min(LEAST_HELD_OUT, n_cells // 2))
    n_held_out = max(least, min(round(HELD_OUT_FRACTION * n_cells), most_held_out))
    order = np.random.default_rng(seed).permutation(n_cells)
    pool = order[n_held_out:]
    step = max(1, len(pool) // n_draws)
    n_draws = min(n_draws, len(pool))
    draws = tuple(np.roll(pool, -step * draw)[:longest] for draw in range(n_draws))
    return Split(draws, np.sort(order[:n_held_out]))
