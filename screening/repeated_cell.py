"""A primitive cell, its supercell and its Born charges, as phonopy takes them."""

from __future__ import annotations

import warnings
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from phonopy.harmonic.dynamical_matrix import NacParams
from phonopy.structure.atoms import PhonopyAtoms
from phonopy.structure.cells import Primitive
from phonopy.structure.symmetry import symmetrize_borns_and_epsilon
from pymatgen.core import Structure

from screening.errors import InconsistentDataError
from screening.prediction import FloatArray
from screening.supercell_symmetry import SupercellSymmetry, locate_atoms, phonopy_cell
from screening.units import COULOMB_EV_ANGSTROM

__all__ = ["PolarCell", "RepeatedCell", "nac_parameters", "phonopy_cells"]


class RepeatedCell(Protocol):
    """A supercell that repeats a primitive cell, with its atoms in some order."""

    @property
    def primitive(self) -> Structure:
        """Primitive cell."""
        ...

    @property
    def supercell_matrix(self) -> NDArray[np.int64]:
        """Rows are supercell vectors in primitive vectors, shape (3, 3)."""
        ...

    @property
    def supercell_scaled_positions(self) -> FloatArray:
        """Undisplaced atoms, shape (atom, 3)."""
        ...

    @property
    def supercell_numbers(self) -> NDArray[np.int64]:
        """Atomic numbers, shape (atom,)."""
        ...


class PolarCell(RepeatedCell, Protocol):
    """A repeated cell whose response to an electric field is known or not."""

    @property
    def born_charges_e(self) -> FloatArray | None:
        """Born effective charges, shape (site, 3, 3), or None."""
        ...

    @property
    def dielectric_constant(self) -> FloatArray | None:
        """High-frequency dielectric tensor, shape (3, 3), or None."""
        ...


def phonopy_cells(
    cell: RepeatedCell, symprec_angstrom: float
) -> tuple[PhonopyAtoms, Primitive, SupercellSymmetry]:
    """Supercell in its own order, primitive cell in its own order, and their symmetry.

    The atoms of the supercell are put exactly where the primitive cell repeats.

    Raises
    ------
    InconsistentDataError
        If the supercell does not repeat the primitive cell.
    """
    matrix = np.asarray(cell.supercell_matrix, dtype=np.int64)
    numbers = np.asarray(cell.supercell_numbers, dtype=np.int64)
    lattice = np.asarray(cell.primitive.lattice.matrix, dtype=np.float64)
    sites, cells = locate_atoms(cell.primitive, matrix, cell.supercell_scaled_positions, numbers)
    scaled = (cell.primitive.frac_coords[sites] + cells) @ np.linalg.inv(matrix)
    supercell = PhonopyAtoms(numbers=numbers, cell=matrix @ lattice, scaled_positions=scaled)
    primitive = Primitive(
        supercell,
        np.linalg.inv(matrix.T),
        symprec=symprec_angstrom,
        positions_to_reorder=np.asarray(cell.primitive.frac_coords),
    )
    symmetry = SupercellSymmetry(cell.primitive, matrix, sites, cells, symprec_angstrom)
    return supercell, primitive, symmetry


def nac_parameters(data: PolarCell, symprec_angstrom: float) -> NacParams | None:
    """Parameters of the non-analytical term, None without Born charges.

    Raises
    ------
    InconsistentDataError
        If Born charges or dielectric tensor have a wrong shape, are not finite or break the
        symmetry of the crystal.
    """
    if data.born_charges_e is None or data.dielectric_constant is None:
        return None
    for name, values, shape in (
        ("born_charges_e", data.born_charges_e, (len(data.primitive), 3, 3)),
        ("dielectric_constant", data.dielectric_constant, (3, 3)),
    ):
        if np.shape(values) != shape or not np.all(np.isfinite(values)):
            raise InconsistentDataError(
                f"{np.shape(values)} where finite values of shape {shape} are needed", subject=name
            )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            born, dielectric = symmetrize_borns_and_epsilon(
                np.array(data.born_charges_e),
                np.array(data.dielectric_constant),
                phonopy_cell(data.primitive),
                symprec=symprec_angstrom,
            )
        except UserWarning as warning:
            raise InconsistentDataError(
                "the Born charges break the symmetry of the crystal by more than 0.1 e",
                subject="born_charges_e",
                hint="Check that they are in the order of the primitive cell's sites",
            ) from warning
    return {"born": born, "dielectric": dielectric, "factor": COULOMB_EV_ANGSTROM}
