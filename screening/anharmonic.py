"""Records of anharmonic lattice dynamics: cells with all atoms displaced, and force constants.

Atoms of a supercell are in one order throughout: that of ``supercell_scaled_positions``. Force
constants are compact: their first atom is one of the primitive cell's sites.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from screening.prediction import FloatArray, ForceData, frozen_array

__all__ = ["DisplacedCells", "ForceConstants", "displaced_cells_of"]


@dataclass(frozen=True, eq=False)
class DisplacedCells:
    """Supercells with any number of atoms displaced at once, and the forces on them.

    Attributes
    ----------
    primitive
        Primitive cell that the supercell repeats.
    supercell_matrix
        Integers, rows are supercell vectors in primitive vectors, shape (3, 3).
    supercell_scaled_positions, supercell_numbers
        Undisplaced atoms of the supercell, shapes (atom, 3) and (atom,).
    displacements_angstrom
        Cartesian displacements in Å, shape (cell, atom, 3).
    forces_ev_per_angstrom
        Raw forces in eV/Å, shape (cell, atom, 3).
    residual_forces_ev_per_angstrom
        Forces on the undisplaced supercell in eV/Å, shape (atom, 3); zeros where unknown.
    energies_ev
        Total energies of the displaced supercells in eV, shape (cell,), or None.
    born_charges_e, dielectric_constant
        Born effective charges (site, 3, 3) of the primitive cell and the high-frequency
        dielectric tensor (3, 3), or None.
    """

    primitive: Structure
    supercell_matrix: NDArray[np.int64]
    supercell_scaled_positions: FloatArray
    supercell_numbers: NDArray[np.int64]
    displacements_angstrom: FloatArray
    forces_ev_per_angstrom: FloatArray
    residual_forces_ev_per_angstrom: FloatArray
    energies_ev: FloatArray | None = None
    born_charges_e: FloatArray | None = None
    dielectric_constant: FloatArray | None = None

    @property
    def n_cells(self) -> int:
        """Number of displaced supercells."""
        return len(self.displacements_angstrom)

    @property
    def n_atoms(self) -> int:
        """Number of atoms of the supercell."""
        return len(self.supercell_numbers)

    @property
    def supercell_lattice(self) -> FloatArray:
        """Rows are the supercell vectors in Å, shape (3, 3)."""
        return np.asarray(self.supercell_matrix @ self.primitive.lattice.matrix)


@dataclass(frozen=True, eq=False)
class ForceConstants:
    """Derivatives of the energy of a supercell at its undisplaced positions.

    Attributes
    ----------
    primitive, supercell_matrix, supercell_scaled_positions, supercell_numbers
        As in `DisplacedCells`.
    second_order_ev_per_angstrom2
        Second derivatives in eV/Å², shape (site, atom, 3, 3). A site stands for the atom of the
        supercell that repeats it with the smallest index.
    third_order_ev_per_angstrom3
        Third derivatives in eV/Å³, shape (site, atom, atom, 3, 3, 3), or None.
    born_charges_e, dielectric_constant
        As in `DisplacedCells`. The second derivatives hold the dipole-dipole part.
    """

    primitive: Structure
    supercell_matrix: NDArray[np.int64]
    supercell_scaled_positions: FloatArray
    supercell_numbers: NDArray[np.int64]
    second_order_ev_per_angstrom2: FloatArray
    third_order_ev_per_angstrom3: FloatArray | None = None
    born_charges_e: FloatArray | None = None
    dielectric_constant: FloatArray | None = None


def displaced_cells_of(data: ForceData) -> DisplacedCells:
    """Take the forces of single displacements as those of cells with one atom moved.

    Parameters
    ----------
    data
        Forces of a platform's own calculation of phonons, or of any other.
    """
    n_cells, n_atoms = len(data.displaced_atoms), len(data.supercell_numbers)
    moves = np.zeros((n_cells, n_atoms, 3))
    moves[np.arange(n_cells), data.displaced_atoms] = data.displacements_angstrom
    return DisplacedCells(
        primitive=data.primitive,
        supercell_matrix=data.supercell_matrix,
        supercell_scaled_positions=data.supercell_scaled_positions,
        supercell_numbers=data.supercell_numbers,
        displacements_angstrom=frozen_array(moves),
        forces_ev_per_angstrom=data.forces_ev_per_angstrom,
        residual_forces_ev_per_angstrom=data.residual_forces_ev_per_angstrom,
        born_charges_e=data.born_charges_e,
        dielectric_constant=data.dielectric_constant,
    )
