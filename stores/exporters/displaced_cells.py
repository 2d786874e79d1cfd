"""Displaced supercells as a folder that any program can compute from, and that reads back.

``cells.extxyz`` holds the frames, ``supercell.yaml`` the undisplaced crystal in the layout of
phonopy, with the order of atoms of the frames.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Element

from screening.anharmonic import DisplacedCells
from screening.errors import InconsistentDataError
from screening.prediction import FloatArray
from stores.exporters.extxyz import extxyz_text
from stores.exporters.files import write_text

__all__ = [
    "FRAMES_NAME",
    "SUPERCELL_NAME",
    "displaced_images",
    "supercell_yaml",
    "write_displaced_cells",
]

FRAMES_NAME = "cells.extxyz"
SUPERCELL_NAME = "supercell.yaml"


def displaced_images(cells: DisplacedCells, *, with_forces: bool = True) -> list[Any]:
    """Make one ASE ``Atoms`` for every displaced supercell.

    Parameters
    ----------
    cells
        The set. Residual forces that are known become a first frame without displacements.
    with_forces
        Whether forces and energies are written; without them the frames are what is to be
        computed.

    Raises
    ------
    InconsistentDataError
        If the arrays have other shapes than the supercell.
    """
    shape = (cells.n_cells, cells.n_atoms, 3)
    if cells.displacements_angstrom.shape != shape or (
        with_forces and cells.forces_ev_per_angstrom.shape != shape
    ):
        raise InconsistentDataError(
            f"displacements and forces have shapes {cells.displacements_angstrom.shape} and"
            f" {cells.forces_ev_per_angstrom.shape}, not {shape}",
            subject=cells.primitive.composition.reduced_formula,
        )
    energies = cells.energies_ev
    images = []
    residual = cells.residual_forces_ev_per_angstrom
    if with_forces and np.any(residual):
        images.append(_image(cells, np.zeros(shape[1:]), residual, None))
    for index, moves in enumerate(cells.displacements_angstrom):
        forces = cells.forces_ev_per_angstrom[index] if with_forces else None
        energy = None if energies is None or not with_forces else float(energies[index])
        images.append(_image(cells, moves, forces, energy))
    return images


def supercell_yaml(cells: DisplacedCells) -> str:
    """Write the undisplaced crystal as phonopy does, with Born charges where they are known."""
    identity = np.eye(3, dtype=np.int64)
    primitive = cells.primitive
    symbols = [Element.from_Z(int(number)).symbol for number in cells.supercell_numbers]
    names = [site.specie.symbol for site in primitive]
    unit = _cell_lines(primitive.lattice.matrix, names, primitive.frac_coords)
    lines = [
        "phonopy:",
        '  frequency_unit: "THz"',
        "physical_unit:",
        '  length: "angstrom"',
        '  force: "eV/angstrom"',
        "primitive_matrix:",
        *_rows(identity),
        "supercell_matrix:",  # phonopy's vectors are columns
        *_rows(np.asarray(cells.supercell_matrix).T),
        "primitive_cell:",
        *unit,
        "unit_cell:",
        *unit,
        "supercell:",
        *_cell_lines(cells.supercell_lattice, symbols, cells.supercell_scaled_positions),
        *_nac_lines(cells),
    ]
    return "\n".join(lines) + "\n"


def write_displaced_cells(
    folder: str | os.PathLike[str], cells: DisplacedCells, *, with_forces: bool = True
) -> Path:
    """Write ``cells.extxyz`` and ``supercell.yaml`` and return the folder.

    Parameters
    ----------
    folder
        Made where it is missing; the two files are replaced atomically.
    cells
        The set.
    with_forces
        False writes a plan: frames whose forces are to be computed.

    Raises
    ------
    SettingError, DiskFullError
        If the folder cannot be written.
    """
    place = Path(folder)
    write_text(place / SUPERCELL_NAME, supercell_yaml(cells))
    write_text(place / FRAMES_NAME, extxyz_text(displaced_images(cells, with_forces=with_forces)))
    return place


def _image(
    cells: DisplacedCells, moves: FloatArray, forces: FloatArray | None, energy: float | None
) -> Any:
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator

    lattice = cells.supercell_lattice
    atoms = Atoms(
        numbers=np.asarray(cells.supercell_numbers),
        cell=lattice,
        positions=cells.supercell_scaled_positions @ lattice + moves,
        pbc=True,
    )
    results = {"forces": forces, "energy": energy}
    known = {name: value for name, value in results.items() if value is not None}
    if known:
        single_point: Any = SinglePointCalculator
        atoms.calc = single_point(atoms, **known)
    return atoms


def _rows(matrix: Iterable[Iterable[Any]], indent: str = "") -> list[str]:
    return [f"{indent}- {_list(row)}" for row in matrix]


def _list(row: Iterable[Any]) -> str:
    # 17 digits are exact, and YAML takes an exponent without a point for text
    numbers = np.asarray(row).tolist()
    words = [str(x) if isinstance(x, int) else f"{x:.16e}" for x in numbers]
    return f"[ {', '.join(words)} ]"


def _cell_lines(lattice: FloatArray, symbols: Iterable[str], scaled: FloatArray) -> list[str]:
    lines = ["  lattice:", *_rows(lattice, "  "), "  points:"]
    for symbol, position in zip(symbols, np.asarray(scaled), strict=True):
        lines.append(f"  - symbol: {symbol}")
        lines.append(f"    coordinates: {_list(position)}")
    return lines


def _nac_lines(cells: DisplacedCells) -> list[str]:
    if cells.born_charges_e is None or cells.dielectric_constant is None:
        return []
    lines = ["nac:", "  born_effective_charge:"]
    for charge in cells.born_charges_e:
        lines += ["  -", *_rows(charge, "    ")]
    return [*lines, "  dielectric_constant:", *_rows(cells.dielectric_constant, "  ")]
