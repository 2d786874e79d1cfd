"""The Hessian of a supercell, written out from the force constants of its primitive cell."""

from __future__ import annotations

import numpy as np
from pymatgen.core import Structure

from screening.harmonic import Harmonic
from screening.prediction import FloatArray
from screening.supercell_symmetry import LatticeIndex, locate_atoms

__all__ = ["supercell_hessian"]


def supercell_hessian(harmonic: Harmonic, supercell: Structure) -> FloatArray:
    """Write out the force constants between all atoms of the supercell that they belong to.

    Parameters
    ----------
    harmonic
        Force constants of the crystal.
    supercell
        The supercell at rest, with its atoms in the order of the result.

    Returns
    -------
    ndarray
        In eV/Å², shape (3 atom + axis, 3 atom + axis).

    Raises
    ------
    InconsistentDataError
        If it is another supercell.
    """
    crystal, matrix = harmonic.primitive, harmonic.supercell_matrix
    parts = harmonic.dynamical_matrix
    own = parts.supercell
    known = locate_atoms(crystal, matrix, own.scaled_positions, own.numbers)
    numbers = np.array(supercell.atomic_numbers, dtype=np.int64)
    sites, places = locate_atoms(crystal, matrix, supercell.frac_coords, numbers)
    starts = known[1][parts.primitive.p2s_map][sites]
    # an atom sees another one as the atom whose row is known sees its partner
    seen = places - places[:, None] + starts[:, None]
    partners = LatticeIndex(matrix, *known).find(np.broadcast_to(sites, seen.shape[:2]), seen)
    blocks = harmonic.force_constants_ev_per_angstrom2[sites[:, None], partners]
    return np.asarray(blocks.swapaxes(1, 2).reshape(3 * len(sites), -1))
