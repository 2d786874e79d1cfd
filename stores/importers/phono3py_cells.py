"""The crystal in a yaml file of phono3py or phonopy, of every version: cells and Born charges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element, Structure

from screening.errors import InconsistentDataError, ParseError
from screening.prediction import FloatArray, frozen_array
from stores.importers.phonopy_yaml import check_units, yaml_cell
from stores.importers.records import ReadLimits, finite_array

__all__ = ["Undisplaced", "crystal_of_yaml", "old_crystal_of_yaml", "whole_matrix"]

IntArray = NDArray[np.int64]

_INTEGER_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Undisplaced:
    """The crystal whose supercell is displaced; names as in `DisplacedCells`."""

    primitive: Structure
    supercell_matrix: IntArray
    supercell_scaled_positions: FloatArray
    supercell_numbers: IntArray
    born_charges_e: FloatArray | None = None
    dielectric_constant: FloatArray | None = None


def crystal_of_yaml(data: Mapping[str, Any], limits: ReadLimits, prefix: str = "") -> Undisplaced:
    """Read the primitive cell, the supercell and the Born charges of a file.

    Parameters
    ----------
    data
        Content of ``phono3py*.yaml`` or ``phonopy*.yaml``.
    limits
        What may be read.
    prefix
        ``phonon_`` for the larger supercell that second-order force constants come from.

    Raises
    ------
    InputError
        If a cell is missing and cannot be built from the others, or the two contradict.
    """
    check_units(data)
    primitive, supercell = _cells(data, limits, prefix)
    born, dielectric = _nac(data, len(primitive))
    return Undisplaced(
        primitive,
        whole_matrix(supercell.lattice.matrix @ primitive.lattice.inv_matrix),
        frozen_array(supercell.frac_coords),
        np.array(supercell.atomic_numbers, dtype=np.int64),
        born,
        dielectric,
    )


def old_crystal_of_yaml(data: Mapping[str, Any]) -> Structure:
    """Read the supercell of ``disp_fc3.yaml`` or ``disp_fc2.yaml``, which hold no other cell."""
    try:
        symbols = [str(atom["symbol"]) for atom in data["atoms"]]
        positions = [atom["position"] for atom in data["atoms"]]
    except (KeyError, TypeError) as error:
        raise ParseError(
            f"no supercell: {type(error).__name__}: {error}",
            hint="Give the file as phono3py or phonopy wrote it",
        ) from error
    cell = {
        "lattice": data.get("lattice"),
        "points": [
            {"symbol": symbol, "coordinates": position}
            for symbol, position in zip(symbols, positions, strict=True)
        ],
    }
    return yaml_cell(cell, "supercell", ReadLimits())


def _cells(data: Mapping[str, Any], limits: ReadLimits, prefix: str) -> tuple[Structure, Structure]:
    """Primitive cell and supercell, built from the unit cell where a file leaves them out."""
    given = {
        key: _checked_cell(data[key], key, limits)
        for key in ("primitive_cell", "unit_cell", f"{prefix}supercell")
        if data.get(key) is not None
    }
    unit = given.get("unit_cell")
    primitive, supercell = given.get("primitive_cell"), given.get(f"{prefix}supercell")
    if primitive is None or supercell is None:
        matrix = data.get(f"{prefix}supercell_matrix")
        if unit is None or matrix is None:
            raise ParseError(
                "no primitive_cell and supercell, nor a unit_cell with a supercell_matrix",
                hint="Give a yaml file that phono3py or phonopy wrote",
            )
        built = _built_cells(unit, matrix, data.get("primitive_matrix"))
        primitive, supercell = primitive or built[0], supercell or built[1]
    return primitive, supercell


def _checked_cell(cell: Any, key: str, limits: ReadLimits) -> Structure:
    from screening.phonons import check_mass

    structure = yaml_cell(cell, key, limits)
    for site, point in zip(structure, cell["points"], strict=True):
        check_mass(Element(site.specie.symbol), point.get("mass"))
    return structure


def _built_cells(unit: Structure, matrix: Any, axes: Any) -> tuple[Structure, Structure]:
    """Cells as phonopy makes them of a unit cell, in its order of atoms."""
    from phonopy import Phonopy

    from screening.supercell_symmetry import phonopy_cell

    try:
        phonon = Phonopy(
            phonopy_cell(unit),
            supercell_matrix=np.array(matrix, dtype=np.int64),
            primitive_matrix="P" if axes is None else np.array(axes, dtype=np.float64),
            is_symmetry=False,
        )
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        raise InconsistentDataError(
            f"no supercell can be built: {' '.join(str(error).split())}",
            subject="supercell_matrix",
            hint="Check unit_cell, supercell_matrix and primitive_matrix in the file",
        ) from error
    cells = (phonon.primitive, phonon.supercell)
    primitive, supercell = (Structure(c.cell, c.symbols, c.scaled_positions) for c in cells)
    return primitive, supercell


def whole_matrix(matrix: FloatArray) -> IntArray:
    """Round a supercell matrix to integers.

    Raises
    ------
    InconsistentDataError
        If it is none: the supercell is no multiple of the primitive cell.
    """
    rounded = np.rint(matrix).astype(np.int64)
    if np.abs(matrix - rounded).max() > _INTEGER_TOLERANCE:
        raise InconsistentDataError(
            "the supercell is no multiple of the primitive cell: it is"
            f" {np.round(matrix, 4).tolist()} times it",
            subject="supercell",
            hint="Give a supercell whose vectors are whole multiples of the primitive ones",
        )
    return rounded


def _nac(data: Mapping[str, Any], n_sites: int) -> tuple[FloatArray | None, FloatArray | None]:
    """Born charges and dielectric tensor; older files hold them at their top level."""
    block = data.get("nac")
    block = block if isinstance(block, Mapping) else data
    born, dielectric = block.get("born_effective_charge"), block.get("dielectric_constant")
    if born is None or dielectric is None:
        return None, None
    return (
        frozen_array(finite_array(born, (n_sites, 3, 3), "born_effective_charge")),
        frozen_array(finite_array(dielectric, (3, 3), "dielectric_constant")),
    )
