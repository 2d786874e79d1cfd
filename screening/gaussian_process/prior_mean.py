"""Force constants of a cheap method, which the fit of a costly one starts from.

A potential gives forces of as many displaced cells as are wanted; the same fit turns them into
force constants of the same supercell. What first principles then have to say is the difference.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from screening.anharmonic import DisplacedCells, ForceConstants
from screening.calculators import ForceCalculator
from screening.gaussian_process.basis import ForceConstantBasis
from screening.gaussian_process.displacements import DEFAULT_LENGTH_ANGSTROM, random_displacements
from screening.gaussian_process.fit import basis_for, fit_force_constants
from screening.gaussian_process.settings import GaussianProcessSettings
from screening.prediction import FloatArray
from screening.repeated_cell import PolarCell

__all__ = ["computed_cells", "prior_force_constants"]

_EQUATIONS_PER_UNKNOWN = 2.0
_FEWEST_CELLS = 2


def prior_force_constants(
    cell: PolarCell,
    calculator: ForceCalculator,
    settings: GaussianProcessSettings | None = None,
    n_cells: int | None = None,
    length_angstrom: float = DEFAULT_LENGTH_ANGSTROM,
    seed: int = 0,
    *,
    basis: ForceConstantBasis | None = None,
) -> ForceConstants:
    """Fit force constants to the forces of a calculator.

    Parameters
    ----------
    cell
        Supercell whose force constants are wanted; the result has its order of atoms.
    calculator
        Force calculator.
    settings
        Orders, cutoff and prior of the fit; None takes the defaults. Dipoles are not treated
        apart, for potentials know no long-range forces.
    n_cells
        Random displaced cells; None takes as many as give two equations for every unknown.
    length_angstrom
        Length of all displacements in Å.
    seed
        Seed of their directions.
    basis
        What `basis_for` returned for the same supercell and settings; None computes it.

    Returns
    -------
    ForceConstants
        Mean of the fit.

    Raises
    ------
    SettingError
        If a number is not positive or a cutoff leaves no triplet.
    ElementNotInModelError, CalculatorFailedError
        If the calculator does not know the elements or fails.
    """
    settings = replace(settings or GaussianProcessSettings(), subtract_dipoles=False)
    basis = basis or basis_for(cell, settings)
    n_forces = 3 * len(cell.supercell_numbers)
    if n_cells is None:
        wanted = math.ceil(_EQUATIONS_PER_UNKNOWN * basis.n_unknowns / n_forces)
        n_cells = max(_FEWEST_CELLS, wanted)
    moves = random_displacements(len(cell.supercell_numbers), n_cells, length_angstrom, seed)
    cells = computed_cells(cell, calculator, moves)
    return fit_force_constants(cells, settings, basis=basis).force_constants


def computed_cells(
    cell: PolarCell, calculator: ForceCalculator, displacements_angstrom: FloatArray
) -> DisplacedCells:
    """Compute the forces of displaced supercells, and of the undisplaced one.

    Parameters
    ----------
    cell
        The supercell.
    calculator
        Force calculator.
    displacements_angstrom
        Cartesian displacements in Å, shape (cell, atom, 3).

    Raises
    ------
    NonFiniteForcesError, CalculatorFailedError
        If the calculator fails.
    """
    lattice = np.asarray(cell.supercell_matrix @ cell.primitive.lattice.matrix)
    still = np.asarray(cell.supercell_scaled_positions) @ lattice
    moves = np.concatenate([np.zeros((1, *still.shape)), displacements_angstrom])
    numbers = np.asarray(cell.supercell_numbers, dtype=np.int64)
    forces = calculator.forces(lattice, still + moves, numbers)
    return DisplacedCells(
        primitive=cell.primitive,
        supercell_matrix=cell.supercell_matrix,
        supercell_scaled_positions=cell.supercell_scaled_positions,
        supercell_numbers=cell.supercell_numbers,
        displacements_angstrom=np.asarray(displacements_angstrom),
        forces_ev_per_angstrom=forces[1:],
        residual_forces_ev_per_angstrom=forces[0],
        born_charges_e=cell.born_charges_e,
        dielectric_constant=cell.dielectric_constant,
    )
