"""Force constants from the forces of displaced supercells, made to obey their symmetries.

Only the rows of the primitive cell are kept (compact form). They follow from the displaced
atoms by the space group, and the two remaining symmetries are imposed by one exact
projection: order of differentiation, and vanishing force under a rigid translation.

References
----------
K. Parlinski, Z. Q. Li and Y. Kawazoe, Phys. Rev. Lett. 78, 4063 (1997), equations 3 to 6.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from screening.errors import InconsistentDataError
from screening.prediction import FloatArray
from screening.supercell_symmetry import SupercellSymmetry

__all__ = [
    "acoustic_sum_error",
    "solve_force_constants",
    "symmetrise_force_constants",
    "third_order_acoustic_sum_error",
]

IntArray = NDArray[np.int64]

_SPACE_DIMENSION = 3


def solve_force_constants(
    symmetry: SupercellSymmetry,
    rows: IntArray,
    displaced_atoms: IntArray,
    displacements_angstrom: FloatArray,
    forces_ev_per_angstrom: FloatArray,
) -> FloatArray:
    """Solve for the force constants of the primitive cell's atoms with all others.

    Parameters
    ----------
    symmetry
        Symmetry of the supercell.
    rows
        Supercell atom that stands for each site of the primitive cell, shape (site,).
    displaced_atoms, displacements_angstrom
        Which atom is displaced in each calculation and by how much in Å, shapes
        (displacement,) and (displacement, 3).
    forces_ev_per_angstrom
        Forces of the displacement alone in eV/Å, shape (displacement, atom, 3).

    Returns
    -------
    ndarray
        Force constants in eV/Å², shape (site, atom, 3, 3); not yet symmetrised.

    Raises
    ------
    InconsistentDataError
        If the displacements do not determine all force constants.
    """
    solved = {
        int(atom): _solve_row(
            symmetry,
            int(atom),
            displacements_angstrom[displaced_atoms == atom],
            forces_ev_per_angstrom[displaced_atoms == atom],
        )
        for atom in np.unique(displaced_atoms)
    }
    return np.array([_carry_row(symmetry, int(row), solved) for row in rows])


def _solve_row(
    symmetry: SupercellSymmetry, atom: int, displacements: FloatArray, forces: FloatArray
) -> FloatArray:
    """Force constants between a displaced atom and all others, shape (atom, 3, 3)."""
    site_group = symmetry.rotations_between(atom, atom)
    rotations = symmetry.rotations_cartesian[site_group]
    turned_displacements = np.einsum("rab,db->rda", rotations, displacements).reshape(-1, 3)
    if np.linalg.matrix_rank(turned_displacements, tol=1e-6) < _SPACE_DIMENSION:
        raise InconsistentDataError(
            f"the displacements of atom {atom} do not span three directions",
            hint="Give one displacement for every direction that symmetry does not supply",
        )
    turned_forces = np.empty((len(rotations), *forces.shape))
    for index, rotation in enumerate(site_group):
        turned = forces @ rotations[index].T
        turned_forces[index][:, symmetry.permutation(int(rotation), atom, atom)] = turned
    stacked = turned_forces.reshape(len(turned_displacements), -1)
    solution = -np.linalg.pinv(turned_displacements) @ stacked
    return np.ascontiguousarray(solution.reshape(3, -1, 3).swapaxes(0, 1))


def _carry_row(symmetry: SupercellSymmetry, row: int, solved: dict[int, FloatArray]) -> FloatArray:
    """Turn the force constants of an equivalent atom into those of this row."""
    if row in solved:
        return solved[row]
    for atom, constants in solved.items():
        rotations = symmetry.rotations_between(row, atom)
        if len(rotations):
            turn = symmetry.rotations_cartesian[rotations[0]]
            permutation = symmetry.permutation(int(rotations[0]), row, atom)
            return np.asarray(turn.T @ constants[permutation] @ turn)
    raise InconsistentDataError(
        f"no displacement determines the force constants of atom {row}",
        hint="Displace one atom of every symmetrically independent site",
    )


def symmetrise_force_constants(
    force_constants: FloatArray, symmetry: SupercellSymmetry, rows: IntArray
) -> FloatArray:
    r"""Impose the order of differentiation and the acoustic sum rule at once.

    With the projector :math:`P = 1 - Q` that removes rigid translations, the result is
    :math:`P (\Phi + \Phi^T) P / 2`, the nearest force constants that obey both; it keeps the
    space group, so nothing has to be iterated.

    Parameters
    ----------
    force_constants
        Shape (site, atom, 3, 3) in eV/Å².
    symmetry, rows
        As in `solve_force_constants`.
    """
    n_atoms = force_constants.shape[1]
    sites = symmetry.sites
    site_of_atom = np.broadcast_to(sites[None], force_constants.shape[:2])
    mirrored = force_constants[site_of_atom, symmetry.opposite(rows)].swapaxes(2, 3)
    symmetric = 0.5 * (force_constants + mirrored)
    drift = symmetric.sum(axis=1)
    by_column = drift.swapaxes(1, 2)[sites]
    total = drift.mean(axis=0)
    return np.asarray(symmetric - (drift[:, None] + by_column[None] - total) / n_atoms)


def acoustic_sum_error(force_constants: FloatArray) -> float:
    """Largest force constant of a rigid translation in eV/Å²: zero when the sum rule holds."""
    return float(np.abs(force_constants.sum(axis=1)).max())


def third_order_acoustic_sum_error(force_constants: FloatArray) -> float:
    """Largest change in eV/Å³ of second-order force constants when all atoms move as one.

    Parameters
    ----------
    force_constants
        Third-order force constants in eV/Å³, shape (site, atom, atom, 3, 3, 3).
    """
    return float(np.abs(force_constants.sum(axis=2)).max())
