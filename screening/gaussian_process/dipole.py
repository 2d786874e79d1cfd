"""The dipole-dipole part of the force constants of polar crystals.

It falls off with the third power of the distance, which no locality prior expects, and follows
from Born charges and the dielectric tensor alone. It is taken away before a fit and put back after.

References
----------
X. Gonze and C. Lee, Phys. Rev. B 55, 10355 (1997), equations 60 to 76.
"""

from __future__ import annotations

import numpy as np
from phonopy.harmonic.dynamical_matrix import DynamicalMatrixGL

from screening.gaussian_process.basis import ForceConstantBasis
from screening.prediction import FloatArray
from screening.repeated_cell import PolarCell, nac_parameters, phonopy_cells
from screening.supercell_symmetry import DEFAULT_SYMPREC_ANGSTROM

__all__ = ["dipole_amplitudes"]

_HARMONIC = 2


def dipole_amplitudes(
    cell: PolarCell,
    basis: ForceConstantBasis,
    symprec_angstrom: float = DEFAULT_SYMPREC_ANGSTROM,
) -> FloatArray | None:
    """Amplitudes of the second-order columns that dipoles alone give.

    Parameters
    ----------
    cell
        Cells with Born charges.
    basis
        Basis of the same supercell.
    symprec_angstrom
        Tolerance of the symmetry search in Å.

    Returns
    -------
    ndarray or None
        Shape (column,); None without Born charges.

    Raises
    ------
    InconsistentDataError
        If Born charges or dielectric tensor break the symmetry.
    """
    nac = nac_parameters(cell, symprec_angstrom)
    if nac is None:
        return None
    supercell, primitive, _ = phonopy_cells(cell, symprec_angstrom)
    nothing = np.zeros((basis.n_atoms, basis.n_atoms, 3, 3))
    matrix = DynamicalMatrixGL(supercell, primitive, nothing, nac_params=nac)
    matrix.make_Gonze_nac_dataset()
    # what is left of force constants zero is the dipole-dipole part with the other sign
    dipoles = -np.asarray(matrix.short_range_force_constants)[basis.rows]
    amplitudes = basis.project(_HARMONIC, np.ascontiguousarray(dipoles))
    return basis.order(_HARMONIC).allowed(amplitudes)
