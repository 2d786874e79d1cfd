"""A crystal and its supercell as phonopy and phono3py build them, and arrays in their order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from screening.anharmonic import DisplacedCells, ForceConstants
from screening.errors import InconsistentDataError
from screening.prediction import FloatArray

if TYPE_CHECKING:
    from phonopy.harmonic.dynamical_matrix import NacParams

    from screening.repeated_cell import PolarCell, RepeatedCell

__all__ = [
    "ConstructorArguments",
    "constructor_arguments",
    "dataset_of_cells",
    "header",
    "nac_parameters",
    "order_in",
    "phonopy_object",
    "reordered_constants",
]

SAME_SITE_TOLERANCE_ANGSTROM = 1e-3

IntArray = NDArray[np.int64]


class ConstructorArguments(TypedDict):
    """What phonopy and phono3py take to build a supercell of a primitive cell."""

    unitcell: Any
    supercell_matrix: IntArray
    primitive_matrix: Literal["P"]
    is_symmetry: bool


def constructor_arguments(cell: RepeatedCell) -> ConstructorArguments:
    """Give what builds the same crystal there.

    Notes
    -----
    Our supercell matrix has supercell vectors as rows, phonopy's as columns.
    """
    from screening.supercell_symmetry import phonopy_cell

    return {
        "unitcell": phonopy_cell(cell.primitive),
        "supercell_matrix": np.array(cell.supercell_matrix).T,
        "primitive_matrix": "P",
        "is_symmetry": False,  # the reader searches it; a search here would only cost and warn
    }


def phonopy_object(cell: PolarCell) -> Any:
    """Make phonopy's calculation object on the primitive cell, with Born charges where known."""
    from phonopy import Phonopy

    phonon = Phonopy(**constructor_arguments(cell))
    parameters = nac_parameters(cell)
    if parameters is not None:
        phonon.nac_params = parameters
    return phonon


def order_in(supercell: Any, cell: RepeatedCell, translation: FloatArray | float = 0.0) -> IntArray:
    """Index in our own supercell of every atom of phonopy's supercell, shape (atom,).

    Parameters
    ----------
    supercell
        phonopy's supercell.
    cell
        Whose atoms are looked for.
    translation
        Added to the positions of our supercell, in its fractions.

    Raises
    ------
    InconsistentDataError
        If the supercell is not a repetition of the primitive cell.
    """
    ours = np.asarray(cell.supercell_scaled_positions) + translation
    difference = np.asarray(supercell.scaled_positions)[:, None, :] - ours[None, :, :]
    difference -= np.rint(difference)
    distances = np.linalg.norm(difference @ np.asarray(supercell.cell), axis=-1)
    order: IntArray = np.argmin(distances, axis=1).astype(np.int64)
    same = (
        np.all(distances[np.arange(len(order)), order] < SAME_SITE_TOLERANCE_ANGSTROM)
        and len(set(order.tolist())) == len(order)
        and np.array_equal(supercell.numbers, np.asarray(cell.supercell_numbers)[order])
    )
    if not same:
        raise InconsistentDataError(
            "the supercell is not a repetition of the primitive cell",
            subject=cell.primitive.composition.reduced_formula,
            hint="Forces and cells come from different calculations; compute the forces again",
        )
    return order


def nac_parameters(cell: PolarCell) -> NacParams | None:
    """Give Born charges, dielectric tensor and their unit, None where they are not known."""
    from phonopy.physical_units import get_calculator_physical_units

    if cell.born_charges_e is None or cell.dielectric_constant is None:
        return None
    return {
        "born": np.array(cell.born_charges_e),
        "dielectric": np.array(cell.dielectric_constant),
        "factor": float(get_calculator_physical_units("vasp").nac_factor),
    }


def dataset_of_cells(supercell: Any, cells: DisplacedCells) -> dict[str, FloatArray]:
    """Give displacements and forces of all atoms in phonopy's order, residual forces subtracted.

    Raises
    ------
    InconsistentDataError
        If the supercell is not a repetition of the primitive cell, or array lengths differ.
    """
    shape = (cells.n_cells, len(supercell), 3)
    found = (cells.displacements_angstrom.shape, cells.forces_ev_per_angstrom.shape)
    if found != (shape, shape):
        raise InconsistentDataError(
            f"displacements and forces have shapes {found}, expected {shape}",
            subject=cells.primitive.composition.reduced_formula,
        )
    order = order_in(supercell, cells)
    forces = cells.forces_ev_per_angstrom - cells.residual_forces_ev_per_angstrom
    dataset = {
        "displacements": np.array(cells.displacements_angstrom[:, order]),
        "forces": np.array(forces[:, order]),
    }
    if cells.energies_ev is not None:
        dataset["supercell_energies"] = np.array(cells.energies_ev)
    return dataset


def reordered_constants(
    supercell: Any, rows: IntArray, constants: ForceConstants
) -> tuple[FloatArray, FloatArray | None]:
    """Put compact force constants in the order of phonopy's supercell.

    Parameters
    ----------
    supercell
        phonopy's supercell.
    rows
        Its atoms that the rows stand for, phonopy's ``p2s_map``, shape (site,).
    constants
        Force constants in our order.

    Returns
    -------
    second_order, third_order
        In eV/Å² and eV/Å³, third order None where there is none.

    Raises
    ------
    InconsistentDataError
        If the supercell is not a repetition of the primitive cell.
    """
    from screening.supercell_symmetry import locate_atoms

    second, third = (
        constants.second_order_ev_per_angstrom2,
        constants.third_order_ev_per_angstrom3,
    )
    positions = np.asarray(constants.supercell_scaled_positions)
    sites, _ = locate_atoms(
        constants.primitive, constants.supercell_matrix, positions, constants.supercell_numbers
    )
    order = order_in(supercell, constants)
    moved_second = np.empty((len(rows), *second.shape[1:]))
    moved_third = None if third is None else np.empty((len(rows), *third.shape[1:]))
    for row, atom in enumerate(rows):
        site = sites[order[atom]]
        start = int(np.flatnonzero(sites == site)[0])
        shift = np.asarray(supercell.scaled_positions)[atom] - positions[start]
        seen = order_in(supercell, constants, shift)
        moved_second[row] = second[site][seen]
        if third is not None and moved_third is not None:
            moved_third[row] = third[site][np.ix_(seen, seen)]
    return moved_second, moved_third


def header(provenance: Mapping[str, str]) -> dict[str, str]:
    """Make names and values that cannot break out of the quotes of a file's header."""
    return {str(key): _one_line(value) for key, value in provenance.items()}


def _one_line(value: str) -> str:
    return " ".join(str(value).replace('"', "'").replace("\\", "/").split())
