"""Displaced cells for others to compute: chosen, counted, and written as files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from screening.anharmonic import DisplacedCells
from screening.errors import ParseError, SettingError
from screening.few_cells import FewCellSettings
from screening.gaussian_process.displacements import random_displacements
from screening.prediction import frozen_array
from screening.settings import ScreeningSettings

if TYPE_CHECKING:
    from screening.structure import Crystal

__all__ = ["CellPlan", "parse_supercell", "plan_cells", "planned_crystal", "write_plan"]

_POSCAR = "POSCAR-{:03d}"


@dataclass(frozen=True, eq=False)
class CellPlan:
    """Cells whose forces are to be computed.

    Attributes
    ----------
    formula, space_group_symbol
        The crystal.
    cells
        Displacements; the forces are zeros that nobody computed.
    n_unknowns
        Independent force constants that the forces shall determine.
    max_order
        Highest order of them.
    """

    formula: str
    space_group_symbol: str
    cells: DisplacedCells
    n_unknowns: int
    max_order: int

    @property
    def n_forces(self) -> int:
        """Force components that the cells give."""
        return int(self.cells.displacements_angstrom.size)

    @property
    def unknowns_per_equation(self) -> float:
        """Independent force constants for each force component."""
        return self.n_unknowns / self.n_forces


def planned_crystal(path: Path) -> Crystal:
    """Read the one crystal of a structure file.

    Raises
    ------
    ParseError
        If the file holds no crystal, or several.
    """
    from stores.importers import iter_structures
    from stores.importers.records import Rejection

    found = list(iter_structures([path]))
    rejected = [one for one in found if isinstance(one, Rejection)]
    if rejected:
        raise ParseError(rejected[0].message, subject=str(path), hint=rejected[0].hint)
    crystals = [one.crystal for one in found if not isinstance(one, Rejection)]
    if len(crystals) != 1:
        raise ParseError(
            f"holds {len(crystals)} crystals", subject=str(path), hint="Give a file with one"
        )
    return crystals[0]


def parse_supercell(text: str) -> NDArray[np.int64]:
    """Read a supercell: three multiples of the primitive vectors, or the rows of a matrix.

    Returns
    -------
    ndarray
        Integers, rows are supercell vectors in primitive vectors, shape (3, 3).

    Raises
    ------
    SettingError
        If it is neither, or its determinant is not positive.

    Examples
    --------
    >>> parse_supercell("2 2 2").tolist()
    [[2, 0, 0], [0, 2, 0], [0, 0, 2]]
    >>> parse_supercell("-2,2,2, 2,-2,2, 2,2,-2").tolist()
    [[-2, 2, 2], [2, -2, 2], [2, 2, -2]]
    """
    parts = text.replace(",", " ").split()
    try:
        numbers = np.array([int(part) for part in parts], dtype=np.int64)
        matrix = np.diag(numbers) if len(numbers) == 3 else numbers.reshape(3, 3)  # noqa: PLR2004
    except (ValueError, OverflowError):
        matrix = np.zeros((3, 3), dtype=np.int64)
    if round(float(np.linalg.det(matrix))) < 1:
        raise SettingError(
            f"{text!r} is no supercell",
            subject="--supercell",
            hint="Give three whole numbers such as '2 2 2', multiples of the primitive vectors, "
            "or the nine of a matrix of positive determinant whose rows are the vectors",
        )
    return matrix


def plan_cells(
    crystal: Crystal,
    n_cells: int,
    settings: ScreeningSettings,
    supercell_matrix: NDArray[np.int64] | None = None,
) -> CellPlan:
    """Choose a supercell and displace all its atoms at random.

    Parameters
    ----------
    crystal
        Taken as it is, for nobody relaxes it here.
    n_cells
        How many displaced supercells. More cells of the same seed begin with the same ones.
    settings
        Of ``few_cells`` the length of the displacements, the seed and the fit.
    supercell_matrix
        Rows are supercell vectors in primitive vectors; None chooses.

    Raises
    ------
    TooLargeError
        If the crystal has more atoms than a supercell may have.
    SettingError
        If a number is out of range.
    """
    from screening.displacements import plan_displacements
    from screening.gaussian_process.fit import basis_for
    from screening.supercell import choose_supercell

    few_cells, phonons = settings.few_cells or FewCellSettings(), settings.phonons
    structure, symprec = crystal.structure, phonons.symprec_angstrom
    if supercell_matrix is None:
        supercell_matrix = choose_supercell(structure, phonons.supercell, symprec)
    length = few_cells.displacement_angstrom
    plan = plan_displacements(structure, supercell_matrix, length, symprec)
    n_atoms = len(plan.numbers)
    moves = random_displacements(n_atoms, n_cells, length, few_cells.seed)
    cells = DisplacedCells(
        primitive=structure,
        supercell_matrix=plan.supercell_matrix,
        supercell_scaled_positions=frozen_array(plan.scaled_positions),
        supercell_numbers=plan.numbers,
        displacements_angstrom=moves,
        forces_ev_per_angstrom=frozen_array(np.zeros_like(moves)),
        residual_forces_ev_per_angstrom=frozen_array(np.zeros((n_atoms, 3))),
    )
    basis = basis_for(cells, few_cells.fit)
    return CellPlan(
        formula=crystal.formula,
        space_group_symbol=crystal.space_group_symbol,
        cells=cells,
        n_unknowns=basis.n_unknowns,
        max_order=few_cells.fit.max_order,
    )


def write_plan(plan: CellPlan, folder: Path) -> list[Path]:
    """Write the cells to compute; returns the files.

    ``cells.extxyz`` and ``supercell.yaml`` as
    `stores.exporters.displaced_cells.write_displaced_cells` describes them, and a POSCAR for
    every cell, with its atoms in the same order.
    """
    from stores.exporters.displaced_cells import (
        FRAMES_NAME,
        SUPERCELL_NAME,
        write_displaced_cells,
    )
    from stores.exporters.files import write_text

    write_displaced_cells(folder, plan.cells, with_forces=False)
    names = [_POSCAR.format(number + 1) for number in range(plan.cells.n_cells)]
    for name, moves in zip(names, plan.cells.displacements_angstrom, strict=True):
        write_text(folder / name, _poscar(plan, name, moves))
    return [folder / name for name in (FRAMES_NAME, SUPERCELL_NAME, *names)]


def _poscar(plan: CellPlan, name: str, moves: NDArray[np.float64]) -> str:
    """Write a cell with the order of atoms kept, elements repeated where they alternate."""
    from pymatgen.core import Lattice, Structure
    from pymatgen.io.vasp import Poscar

    cells = plan.cells
    lattice = Lattice(cells.supercell_lattice)
    positions = cells.supercell_scaled_positions @ cells.supercell_lattice + moves
    structure = Structure(
        lattice, cells.supercell_numbers.tolist(), positions, coords_are_cartesian=True
    )
    poscar = Poscar(structure, comment=f"{plan.formula} {name}", sort_structure=False)
    return poscar.get_str(significant_figures=16)
