"""Displaced cells, one after the other, until what is asked for is sure enough."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from screening.anharmonic import DisplacedCells, ForceConstants
from screening.calculators import ForceCalculator
from screening.conductivity import check_settings
from screening.displacements import DisplacementPlan
from screening.few_cells import FewCellSettings
from screening.gaussian_process.basis import ForceConstantBasis
from screening.gaussian_process.checks import check_cells
from screening.gaussian_process.displacements import random_displacements
from screening.gaussian_process.fit import GaussianProcessFit, basis_for, fit_force_constants
from screening.gaussian_process.prior_mean import prior_force_constants
from screening.phonons import check_forces, displacement_plan
from screening.prediction import FloatArray, frozen_array
from screening.predictors.assembly import cells_warnings
from screening.predictors.electrons import electrons_of
from screening.predictors.geometry import Geometry, atomic_numbers
from screening.predictors.learned_physics import Assessment, is_enough
from screening.predictors.metering import Metered
from screening.settings import ScreeningSettings
from screening.supercell import supercell_warnings

__all__ = ["Assess", "Bench", "bench_for", "harmonic_design", "learn", "with_cells"]

_HARMONIC = 2

Assess = Callable[[GaussianProcessFit], Assessment]
"""Tells how sure the target is."""


@dataclass(frozen=True, eq=False)
class Bench:
    """Everything that stays the same from one displaced cell to the next.

    Attributes
    ----------
    geometry
        The crystal that is displaced.
    plan
        Its supercell.
    undisplaced
        The set of displaced cells before the first one.
    basis
        Independent force constants.
    prior
        Force constants that are expected beforehand, or None.
    notes
        What the user should know.
    """

    geometry: Geometry
    plan: DisplacementPlan
    undisplaced: DisplacedCells
    basis: ForceConstantBasis
    prior: ForceConstants | None
    notes: tuple[str, ...]


def bench_for(
    geometry: Geometry,
    calculator: Metered,
    settings: ScreeningSettings,
    few_cells: FewCellSettings,
    prior: ForceCalculator | None,
) -> Bench:
    """Choose the supercell, and compute what is known before any cell is displaced.

    Raises
    ------
    ScreeningError
        If the calculator fails or the crystal is too large.
    """
    structure, phonons = geometry.structure, settings.phonons
    if few_cells.conductivity is not None:
        check_settings(structure, few_cells.conductivity)
    plan = displacement_plan(structure, calculator, phonons)
    lattice = np.array(structure.lattice.matrix)
    centred = np.array(structure.cart_coords)[None]
    still = calculator.forces(lattice, centred, atomic_numbers(structure))
    check_forces(still, centred.shape)
    electrons = electrons_of(calculator, structure)
    nothing = frozen_array(np.zeros((0, len(plan.numbers), 3)))
    undisplaced = DisplacedCells(
        primitive=structure,
        supercell_matrix=plan.supercell_matrix,
        supercell_scaled_positions=frozen_array(plan.scaled_positions),
        supercell_numbers=plan.numbers,
        displacements_angstrom=nothing,
        forces_ev_per_angstrom=nothing,
        residual_forces_ev_per_angstrom=frozen_array(still[0][plan.sites]),
        born_charges_e=electrons.born_charges_e,
        dielectric_constant=electrons.dielectric_constant,
    )
    basis = basis_for(undisplaced, few_cells.fit)
    expected = None
    if prior is not None:
        expected = prior_force_constants(
            undisplaced,
            prior,
            few_cells.fit,
            n_cells=few_cells.prior_cells,
            length_angstrom=few_cells.displacement_angstrom,
            seed=few_cells.seed,
            basis=basis,
        )
    notes = supercell_warnings(structure, plan.supercell_matrix, phonons.supercell)
    return Bench(geometry, plan, undisplaced, basis, expected, (*notes, *electrons.notes))


def learn(
    bench: Bench,
    calculator: Metered,
    few_cells: FewCellSettings,
    n_cells: int,
    assess: Assess,
) -> tuple[GaussianProcessFit, Assessment]:
    """Compute cell after cell and fit, until it is enough or the number is reached.

    Parameters
    ----------
    bench, few_cells
        What is displaced and how.
    calculator
        Gives the forces.
    n_cells
        Number of cells to stop at.
    assess
        Tells how sure the target is.

    Returns
    -------
    fit, assessment
        The last fit, whose notes tell what was found in the forces, and how sure its target is.

    Raises
    ------
    ScreeningError
        If the calculator fails, or as `screening.gaussian_process.checks.check_cells` says.
    """
    n_atoms, length = len(bench.plan.numbers), few_cells.displacement_angstrom
    first = random_displacements(n_atoms, few_cells.initial_cells, length, few_cells.seed)
    cells = with_cells(bench, calculator, bench.undisplaced, first)
    fit = _fit(bench, few_cells, cells)
    assessment = assess(fit)
    while cells.n_cells < n_cells and not is_enough(assessment, few_cells, cells.n_cells):
        seed = few_cells.seed + cells.n_cells  # of each cell's candidates its own
        candidates = random_displacements(n_atoms, few_cells.n_candidates, length, seed)
        telling = assessment.choose if few_cells.choose_next else None
        place = telling(candidates).index if telling else 0
        cells = with_cells(bench, calculator, cells, candidates[place][None])
        fit = _fit(bench, few_cells, cells)
        assessment = assess(fit)
    return fit, assessment


def _fit(bench: Bench, few_cells: FewCellSettings, cells: DisplacedCells) -> GaussianProcessFit:
    report = check_cells(cells, harmonic_design(bench.basis, cells))
    fit = fit_force_constants(cells, few_cells.fit, bench.prior, bench.basis)
    warnings = cells_warnings(cells, report.net_force)
    return replace(fit, notes=(*warnings, *report.notes, *fit.notes))


def harmonic_design(basis: ForceConstantBasis, cells: DisplacedCells) -> FloatArray:
    """Return forces in eV/Å of unit harmonic amplitudes that obey the sum rules, for checks.

    Parameters
    ----------
    basis, cells
        Of one supercell.

    Returns
    -------
    ndarray
        Shape (cell x atom x 3, column).
    """
    design = basis.design(_HARMONIC, cells.displacements_angstrom)
    return basis.order(_HARMONIC).allowed(design.T).T


def with_cells(
    bench: Bench, calculator: ForceCalculator, cells: DisplacedCells, displacements: FloatArray
) -> DisplacedCells:
    """Compute the forces of more displacements, shape (cell, atom, 3) in Å, and add them.

    Raises
    ------
    NonFiniteForcesError, WrongShapeError
        If the forces cannot be used.
    """
    still = bench.plan.scaled_positions @ bench.plan.lattice
    positions = still[None] + displacements
    forces = calculator.forces(bench.plan.lattice, positions, bench.plan.numbers)
    check_forces(forces, positions.shape)
    both = (cells.displacements_angstrom, displacements), (cells.forces_ev_per_angstrom, forces)
    return replace(
        cells,
        displacements_angstrom=frozen_array(np.concatenate(both[0])),
        forces_ev_per_angstrom=frozen_array(np.concatenate(both[1])),
    )
