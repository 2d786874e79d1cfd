"""Sets of one and two displaced atoms: finite differences beside a fit of the same cells."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from gaussian_process_cases import Case, IntArray, divide, some_cells
from gaussian_process_learning import OURS
from gaussian_process_measures import (
    HeldOut,
    Measures,
    add_conductivity,
    add_frequencies,
    add_uncertainty,
    compare,
    held_out_of,
    rms,
)
from gaussian_process_reference import (
    LeastSquares,
    Reference,
    conductivity_of,
    conductivity_settings,
    frequencies_of,
    largest_that_fits,
    reference_of,
    with_properties,
)
from report import Figure

from screening.anharmonic import DisplacedCells, ForceConstants
from screening.errors import InconsistentDataError, ScreeningError
from screening.gaussian_process.fit import GaussianProcessFit, fit_force_constants
from screening.systematic_third_order import systematic_force_constants

__all__ = ["DOCUMENTED", "Systematic", "measure_systematic", "systematic_figures"]

FINE_MESH = (11, 11, 11)
FRACTIONS = (0.1, 0.25, 0.5)
PARTS_SECONDS = 200.0
PAIR = 2
DOCUMENTED = {("Si", 64, 111): 109.1}
"""Conductivity in W/m/K at 300 K on an 11x11x11 mesh that comes with the forces."""


@dataclass(frozen=True, eq=False)
class Systematic:
    """What was measured of one set.

    Attributes
    ----------
    case, reference
        The set, and finite differences of all its cells, or what its source says.
    kappa_differences, kappa_fit
        Largest diagonal element of the conductivity in W/m/K on the finer mesh, or None.
    whole
        Measures of the fit of all cells.
    n_fitted
        Cells of that fit.
    measures
        Fits of some of the cells.
    n_held_out
        Cells that none of these contains.
    trivial_mev_per_angstrom, harmonic_mev_per_angstrom
        Errors on the held-out cells of no force, and of the best harmonic force constants.
    seconds
        Time of the reference without conductivity.
    """

    case: Case
    reference: Reference
    kappa_differences: float | None
    kappa_fit: float | None
    whole: Measures
    n_fitted: int
    measures: tuple[Measures, ...]
    n_held_out: int
    trivial_mev_per_angstrom: float
    harmonic_mev_per_angstrom: float | None
    seconds: float


def measure_systematic(
    case: Case, n_draws: int, seed: int, progress: Callable[[str], None]
) -> Systematic:
    """Solve by finite differences, fit all cells, and fit random parts of them.

    Raises
    ------
    ScreeningError
        If no cell displaces two atoms, or nothing can be solved.
    """
    cells = largest_that_fits(case)
    reference, seconds = _reference(case, cells)
    progress(f"{reference.source}: {seconds:.1f} s")
    n_cells = case.cells.n_cells
    counts = sorted({min(cells.n_cells, max(1, round(part * n_cells))) for part in FRACTIONS})
    split = divide(n_cells, n_draws, counts[-1], seed)
    held_out = held_out_of(case, split.held_out)
    fit, whole = _fitted(case, cells, Measures(OURS, cells.n_cells, 0), reference, held_out)
    exact = _fine_kappa(case, reference.force_constants)
    fitted = _fine_kappa(case, fit.force_constants)
    progress(f"fit of {cells.n_cells} cells: {whole.seconds or 0.0:.1f} s")
    end = time.perf_counter() + PARTS_SECONDS
    measures = [
        _part(case, draw[:count], number, reference, held_out)
        for number, draw in enumerate(split.draws)
        for count in counts
        if count <= len(draw) and time.perf_counter() < end
    ]
    progress("fits of some of the cells")
    harmonic = reference.harmonic_amplitudes
    return Systematic(
        case, reference, exact, fitted, whole, cells.n_cells, tuple(measures), len(split.held_out),
        1e3 * rms(held_out.forces_ev_per_angstrom),
        None if harmonic is None else held_out.rmse(held_out.predicted(harmonic)), seconds,
    )  # fmt: skip


def _reference(case: Case, cells: DisplacedCells) -> tuple[Reference, float]:
    """Finite differences, or a fit where pairs were left out, and the time they take in s."""
    start = time.perf_counter()
    try:
        constants = systematic_force_constants(case.cells)
    except InconsistentDataError:
        moved = np.any(case.cells.displacements_angstrom, axis=2).sum(axis=1)
        if moved.max() < PAIR:
            raise
        return reference_of(case), time.perf_counter() - start
    seconds = time.perf_counter() - start
    forces = cells.forces_ev_per_angstrom - cells.residual_forces_ev_per_angstrom
    solved = LeastSquares(case.basis, cells.displacements_angstrom, forces)
    harmonic = solved.amplitudes(2) if solved.determined(2) else None
    noise = solved.noise(solved.amplitudes()) if solved.determined() else float("nan")
    source = "finite differences"
    return with_properties(case, source, constants, noise, harmonic, kappa=True), seconds


def _part(
    case: Case, chosen: IntArray, draw: int, reference: Reference, held_out: HeldOut
) -> Measures:
    name = Measures(OURS, len(chosen), draw)
    try:
        _, found = _fitted(case, some_cells(case.cells, chosen), name, reference, held_out)
    except ScreeningError as error:
        return replace(name, note=f"{error.code}: {error}")
    return found


def _fitted(
    case: Case, cells: DisplacedCells, name: Measures, reference: Reference, held_out: HeldOut
) -> tuple[GaussianProcessFit, Measures]:
    start = time.perf_counter()
    fit = fit_force_constants(cells, case.settings, basis=case.basis)
    found = replace(name, seconds=time.perf_counter() - start)
    constants = fit.force_constants
    predicted = held_out.predicted(fit.posterior.amplitudes())
    found = compare(found, constants, predicted, held_out, reference)
    found = add_frequencies(found, frequencies_of(constants), case, reference)
    found = add_uncertainty(found, fit, held_out, reference)
    return fit, add_conductivity(found, constants, case, reference)


def _fine_kappa(case: Case, constants: ForceConstants) -> float | None:
    try:
        found = conductivity_of(constants, conductivity_settings(case.cells, FINE_MESH))
    except ScreeningError:
        return None
    return float(found.max())


def systematic_figures(found: Systematic) -> list[Figure]:
    """Conductivities beside the documented one, and how much fewer cells give."""
    name, whole = found.case.name, found.whole
    return [
        Figure(f"{name}: systematic cells", found.case.cells.n_cells, ""),
        Figure(f"{name}: kappa, {found.reference.source}", found.kappa_differences, "W/m/K"),
        Figure(f"{name}: kappa, fit of {found.n_fitted} cells", found.kappa_fit, "W/m/K"),
        *_documented_figures(found),
        Figure(f"{name}: FC2, fit - {found.reference.source}", whole.fc2_percent, "%"),
        Figure(f"{name}: FC3, fit - {found.reference.source}", whole.fc3_percent, "%"),
        Figure(f"{name}: {found.reference.source}", found.seconds, "s"),
        Figure(f"{name}: fit of {found.n_fitted} cells", whole.seconds, "s"),
    ]


def _documented_figures(found: Systematic) -> list[Figure]:
    documented = DOCUMENTED.get(found.case.key)
    if documented is None:
        return []
    figures = []
    for label, value in (("differences", found.kappa_differences), ("fit", found.kappa_fit)):
        wrong = None if value is None else 100.0 * abs(value / documented - 1.0)
        text = f"{found.case.name}: kappa, {label} - {documented} W/m/K"
        figures.append(Figure(text, wrong, "%", "<= 3"))
    return figures
