"""The displacements that symmetry leaves to compute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray
from phonopy.harmonic.displacement import get_least_displacements
from phonopy.structure.cells import Supercell
from pymatgen.core import Structure

from screening.prediction import FloatArray
from screening.supercell_symmetry import (
    DEFAULT_SYMPREC_ANGSTROM,
    SupercellSymmetry,
    locate_atoms,
    phonopy_cell,
)

__all__ = ["DisplacementPlan", "plan_displacements"]

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class DisplacementPlan:
    """The undisplaced supercell and the displacements to compute in it.

    Attributes
    ----------
    supercell_matrix
        Integers, rows are supercell vectors in primitive vectors, shape (3, 3).
    lattice
        Rows are the supercell vectors in Å, shape (3, 3).
    scaled_positions, numbers
        Atoms of the supercell, shapes (atom, 3) and (atom,).
    sites
        Site of the primitive cell that each atom repeats, shape (atom,).
    displaced_atoms
        Index of the displaced atom, shape (displacement,).
    displacements_angstrom
        Cartesian displacement of it in Å, shape (displacement, 3).
    """

    supercell_matrix: IntArray
    lattice: FloatArray
    scaled_positions: FloatArray
    numbers: IntArray
    sites: IntArray
    displaced_atoms: IntArray
    displacements_angstrom: FloatArray

    @property
    def positions_angstrom(self) -> FloatArray:
        """Cartesian positions of all displaced copies in Å, shape (displacement, atom, 3)."""
        still = self.scaled_positions @ self.lattice
        copies = np.repeat(still[None], len(self.displaced_atoms), axis=0)
        copies[np.arange(len(copies)), self.displaced_atoms] += self.displacements_angstrom
        return copies

    def subset(self, indices: IntArray) -> DisplacementPlan:
        """Return the plan with only these displacements, in this order."""
        return replace(
            self,
            displaced_atoms=self.displaced_atoms[indices],
            displacements_angstrom=self.displacements_angstrom[indices],
        )


def plan_displacements(
    primitive: Structure,
    supercell_matrix: IntArray,
    displacement_angstrom: float,
    symprec_angstrom: float = DEFAULT_SYMPREC_ANGSTROM,
    axes_matrix: IntArray | None = None,
) -> DisplacementPlan:
    """Choose the fewest displacements from which all force constants follow.

    One displacement per direction that the site symmetry does not give, and its negative
    where the site symmetry does not turn one into the other.

    Parameters
    ----------
    primitive
        Primitive cell.
    supercell_matrix
        Integers, rows are supercell vectors in primitive vectors, shape (3, 3).
    displacement_angstrom
        Length of the displacements in Å.
    symprec_angstrom
        Tolerance of the symmetry search in Å.
    axes_matrix
        Supercell along whose vectors the directions are chosen; None takes the supercell
        itself. Results of two supercells are only comparable for the same directions, since
        a potential is not harmonic at a finite displacement.

    References
    ----------
    K. Parlinski, Z. Q. Li and Y. Kawazoe, Phys. Rev. Lett. 78, 4063 (1997).
    """
    # phonopy writes supercell vectors as columns
    supercell = Supercell(phonopy_cell(primitive), supercell_matrix.T, symprec=symprec_angstrom)
    numbers = np.asarray(supercell.numbers, dtype=np.int64)
    scaled = np.asarray(supercell.scaled_positions, dtype=np.float64)
    sites, _ = locate_atoms(primitive, supercell_matrix, scaled, numbers)
    axes = supercell_matrix if axes_matrix is None else axes_matrix
    displaced_sites, directions = _least_directions(primitive, axes, symprec_angstrom)
    first_of_site = np.array([np.flatnonzero(sites == site)[0] for site in range(len(primitive))])
    return DisplacementPlan(
        supercell_matrix=supercell_matrix,
        lattice=np.asarray(supercell.cell, dtype=np.float64),
        scaled_positions=scaled,
        numbers=numbers,
        sites=sites,
        displaced_atoms=first_of_site[displaced_sites],
        displacements_angstrom=displacement_angstrom * directions,
    )


def _least_directions(
    primitive: Structure, axes_matrix: IntArray, symprec_angstrom: float
) -> tuple[IntArray, FloatArray]:
    """Sites to displace and Cartesian unit vectors, shapes (direction,) and (direction, 3)."""
    sites = np.arange(len(primitive))
    symmetry = SupercellSymmetry(
        primitive, axes_matrix, sites, np.zeros((len(sites), 3), dtype=np.int64), symprec_angstrom
    )
    chosen = cast("Sequence[Sequence[int]]", get_least_displacements(symmetry))
    table = np.array(chosen, dtype=np.int64)
    cartesian = table[:, 1:] @ axes_matrix @ np.asarray(primitive.lattice.matrix)
    return table[:, 0], cartesian / np.linalg.norm(cartesian, axis=1, keepdims=True)
