"""The cutoff that keeps the third-order force constants of a supercell few."""

from __future__ import annotations

import numpy as np

from screening.errors import TooLargeError
from screening.prediction import FloatArray
from screening.repeated_cell import RepeatedCell, phonopy_cells
from screening.supercell_symmetry import DEFAULT_SYMPREC_ANGSTROM

__all__ = ["automatic_cutoff", "check_symmetry"]

_COMPONENTS, _ORDERINGS = 27, 6
_PAIR_COMPONENTS, _PAIR_ORDERINGS = 9, 2
_MAX_PAIR_UNKNOWNS = 8000  # symfc's dense basis of them takes half a GiB
_SHELL_ANGSTROM = 0.01


def automatic_cutoff(
    cell: RepeatedCell,
    max_unknowns: int,
    symprec_angstrom: float = DEFAULT_SYMPREC_ANGSTROM,
) -> float | None:
    """Find the largest cutoff in Å that keeps the third order within a number of unknowns.

    Parameters
    ----------
    cell
        Primitive cell and supercell.
    max_unknowns
        Largest number of independent force constants.
    symprec_angstrom
        Tolerance of the symmetry search in Å.

    Returns
    -------
    float or None
        None where all triplets of the supercell are few enough. Pairs of nearest neighbours are
        always within.
    """
    distances, rows, n_rotations = _geometry(cell, symprec_angstrom)
    shells = _shells(distances[rows])
    counts = [_count(distances, rows, shell, n_rotations) for shell in shells]
    fitting = [shell for shell, count in zip(shells, counts, strict=True) if count <= max_unknowns]
    if len(fitting) == len(shells):
        return None
    return fitting[-1] if fitting else shells[0]


def check_symmetry(cell: RepeatedCell, symprec_angstrom: float = DEFAULT_SYMPREC_ANGSTROM) -> None:
    """Refuse a crystal with more second-order force constants than a fit can hold.

    Raises
    ------
    TooLargeError
        If there are too many: mostly because a displaced cell stands for the crystal.
    """
    _, _, symmetry = phonopy_cells(cell, symprec_angstrom)
    n_sites, n_atoms = len(cell.primitive), len(cell.supercell_numbers)
    n_rotations = len(symmetry.rotations_cartesian)
    count = round(n_sites * n_atoms * _PAIR_COMPONENTS / (_PAIR_ORDERINGS * n_rotations))
    if count > _MAX_PAIR_UNKNOWNS:
        raise TooLargeError(
            f"about {count} second-order force constants: {n_sites} different atoms, "
            f"{n_atoms} in the supercell, {n_rotations} rotations",
            subject=cell.primitive.composition.reduced_formula,
            hint="Check that the undisplaced supercell is not a displaced one; else take a smaller"
            " one",
        )


def _geometry(
    cell: RepeatedCell, symprec_angstrom: float
) -> tuple[FloatArray, np.ndarray[tuple[int], np.dtype[np.int64]], int]:
    """Distances of all atoms, one atom for each site, and the number of rotations."""
    from pymatgen.core import Lattice

    supercell, _, symmetry = phonopy_cells(cell, symprec_angstrom)
    scaled = np.asarray(supercell.scaled_positions)
    distances = np.asarray(Lattice(supercell.cell).get_all_distances(scaled, scaled))
    rows = np.unique(symmetry.sites, return_index=True)[1].astype(np.int64)
    return distances, rows, len(symmetry.rotations_cartesian)


def _shells(distances: FloatArray) -> list[float]:
    """Cutoffs just beyond each shell of neighbours in Å, ascending."""
    lengths = np.unique(np.ceil(distances[distances > _SHELL_ANGSTROM] / _SHELL_ANGSTROM))
    return [float(_SHELL_ANGSTROM * (one + 1)) for one in lengths]


def _count(
    distances: FloatArray,
    rows: np.ndarray[tuple[int], np.dtype[np.int64]],
    cutoff: float,
    n_rotations: int,
) -> float:
    """Estimate the number of independent force constants within a cutoff.

    Triplets, divided by the orders in which one can name their atoms and by the rotations.
    """
    near = distances < cutoff
    of_rows = near[rows].astype(np.float64)
    triplets = np.einsum("sj,jk,sk->", of_rows, near.astype(np.float64), of_rows, optimize=True)
    return float(triplets) * _COMPONENTS / (_ORDERINGS * n_rotations)
