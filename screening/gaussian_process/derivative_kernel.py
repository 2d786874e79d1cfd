"""Force constants of a crystal by a derivative Gaussian process without symmetry.

The published method: a squared exponential on energies and gradients, whose second and third
derivatives at the undisplaced positions are the force constants. It knows no symmetry and no
translation, so d coordinates need about d cells for the second order and d²/6 for the third.

References
----------
S. Keeratikarn and J. M. Frost, "Anharmonic phonons with Gaussian processes" (2024).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from screening.anharmonic import DisplacedCells, ForceConstants
from screening.errors import TooLargeError, WrongShapeError
from screening.gaussian_process.derivative_fit import DerivativeKernelSettings, fit_derivatives
from screening.prediction import FloatArray
from screening.supercell_symmetry import locate_atoms

__all__ = [
    "assemble_force_constants",
    "cell_gradients",
    "check_third_order_size",
    "compact_rows",
    "coordinates_of",
    "derivative_force_constants",
]

IntArray = NDArray[np.int64]

_MAX_THIRD_ORDER_BYTES = 2_000_000_000


def derivative_force_constants(
    cells: DisplacedCells, settings: DerivativeKernelSettings | None = None
) -> ForceConstants:
    """Infer force constants of a crystal without using its symmetry.

    Parameters
    ----------
    cells
        Displaced supercells; forces on the undisplaced supercell are subtracted.
    settings
        Kernel, length scale, noise and solver.

    Returns
    -------
    ForceConstants
        They obey neither the space group nor the acoustic sum rule: how far they miss it tells
        how many cells are lacking.

    Raises
    ------
    WrongShapeError, NonFiniteInputError, InconsistentDataError, SettingError, TooLargeError
        As `fit_derivatives`.
    """
    settings = settings or DerivativeKernelSettings()
    if settings.third_order:
        check_third_order_size(cells)
    points, gradients, energies = cell_gradients(cells)
    fit = fit_derivatives(points, gradients, settings, energies)
    rows = coordinates_of(compact_rows(cells))
    third = fit.third_derivatives(rows) if settings.third_order else None
    return assemble_force_constants(cells, fit.second_derivatives(rows), third)


def cell_gradients(cells: DisplacedCells) -> tuple[FloatArray, FloatArray, FloatArray | None]:
    """Return displacements, gradients and energies of the displacement alone.

    Returns
    -------
    points, gradients, energies
        In Å, eV/Å and eV, shapes (cell, coordinate) twice and (cell,); what the residual forces
        do is taken out. Energies are None where unknown.

    Raises
    ------
    WrongShapeError
        If there are not as many forces and energies as displacements.
    """
    residual, n_cells = cells.residual_forces_ev_per_angstrom, cells.n_cells
    shape = (n_cells, cells.n_atoms, 3)
    energies = (n_cells,) if cells.energies_ev is None else cells.energies_ev.shape
    found = (cells.displacements_angstrom.shape, cells.forces_ev_per_angstrom.shape)
    if found != (shape, shape) or residual.shape != shape[1:] or energies != shape[:1]:
        raise WrongShapeError(
            f"displacements {found[0]}, forces {found[1]}, residual forces {residual.shape} and"
            f" energies {energies} are not those of {n_cells} cells of {cells.n_atoms} atoms",
            hint="Give all atoms of the supercell in each cell, and energies of all or no cells",
        )
    points = cells.displacements_angstrom.reshape(n_cells, -1)
    gradients = (residual - cells.forces_ev_per_angstrom).reshape(n_cells, -1)
    if cells.energies_ev is None:
        return points, gradients, None
    return points, gradients, cells.energies_ev + points @ residual.ravel()


def check_third_order_size(cells: DisplacedCells) -> None:
    """Refuse third-order force constants that would not fit in memory.

    Raises
    ------
    TooLargeError
        If their compact form has more than 2 GB.
    """
    n_bytes = 8 * 27 * len(cells.primitive) * cells.n_atoms**2
    if n_bytes > _MAX_THIRD_ORDER_BYTES:
        raise TooLargeError(
            f"third-order force constants of {len(cells.primitive)} sites and {cells.n_atoms}"
            f" atoms take {n_bytes / 1e9:.1f} GB",
            subject="third_order",
            hint="Take a smaller supercell, or leave the third order out",
        )


def compact_rows(cells: DisplacedCells) -> IntArray:
    """Find the supercell atom with the smallest index on each site, shape (site,)."""
    sites, _ = locate_atoms(
        cells.primitive,
        cells.supercell_matrix,
        cells.supercell_scaled_positions,
        cells.supercell_numbers,
    )
    return np.unique(sites, return_index=True)[1]


def coordinates_of(atoms: IntArray) -> IntArray:
    """Return the indices of the atoms' coordinates, three each, shape (3 atom,)."""
    return (3 * atoms[:, None] + np.arange(3)).ravel()


def assemble_force_constants(
    cells: DisplacedCells, second: FloatArray, third: FloatArray | None
) -> ForceConstants:
    """Give rows of derivatives the form of compact force constants.

    Parameters
    ----------
    cells
        Crystal that they belong to.
    second, third
        Rows of all coordinates of the sites, shapes (3 site, 3 atom) in eV/Å² and
        (3 site, 3 atom, 3 atom) in eV/Å³.
    """
    atoms = cells.n_atoms
    if third is not None:
        third = third.reshape(-1, 3, atoms, 3, atoms, 3).transpose(0, 2, 4, 1, 3, 5)
    return ForceConstants(
        primitive=cells.primitive,
        supercell_matrix=cells.supercell_matrix,
        supercell_scaled_positions=cells.supercell_scaled_positions,
        supercell_numbers=cells.supercell_numbers,
        second_order_ev_per_angstrom2=np.ascontiguousarray(
            second.reshape(-1, 3, atoms, 3).swapaxes(1, 2)
        ),
        third_order_ev_per_angstrom3=None if third is None else np.ascontiguousarray(third),
        born_charges_e=cells.born_charges_e,
        dielectric_constant=cells.dielectric_constant,
    )
