"""How far force constants are from those of all cells, and whether they know it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from gaussian_process_cases import Case, IntArray
from gaussian_process_reference import (
    TEMPERATURE_K,
    Reference,
    conductivity_of,
    conductivity_settings,
    free_energy_of,
)

from screening.anharmonic import ForceConstants
from screening.errors import ScreeningError
from screening.gaussian_process.basis import ForceConstantBasis
from screening.gaussian_process.fit import GaussianProcessFit
from screening.gaussian_process.posterior import Amplitudes
from screening.gaussian_process.propagation import propagate
from screening.harmonic import MeshFrequencies
from screening.prediction import FloatArray
from screening.quantities import Property, Quantity

__all__ = [
    "HeldOut",
    "Measures",
    "add_conductivity",
    "add_frequencies",
    "add_uncertainty",
    "compare",
    "forces_of",
    "held_out_of",
    "relative_percent",
    "rms",
]

COVERAGE = 0.9
N_SAMPLES = 32
CELLS_WITH_INTERVALS = 10
MOST_NUMBERS = 2**27
FREE_ENERGY = Quantity(Property.FREE_ENERGY, TEMPERATURE_K)


@dataclass(frozen=True)
class Measures:
    """What was measured of one fit; None where it was not.

    Attributes
    ----------
    method, n_cells, draw
        Which fit.
    seconds
        Time of the fit, basis not counted.
    fc2_percent, fc3_percent
        Norm of the difference from the reference over its norm, compact force constants.
    rmse_mev_per_angstrom
        Root mean square error of the forces of held-out cells.
    forces_within_2
        Fraction of the forces of held-out cells within two standard deviations, noise included.
    frequency_mean_thz, frequency_max_thz
        Deviation of the frequencies on the mesh.
    within_1, within_2
        Fraction of the frequencies within one and two standard deviations.
    free_energy_mev_per_atom, free_energy_covered
        Error at 300 K, and whether the nominal 90 % interval holds the reference.
    kappa_percent
        Error of the conductivity at 300 K, of the axis with the largest.
    note
        Why something is missing.
    """

    method: str
    n_cells: int
    draw: int
    seconds: float | None = None
    fc2_percent: float | None = None
    fc3_percent: float | None = None
    rmse_mev_per_angstrom: float | None = None
    forces_within_2: float | None = None
    frequency_mean_thz: float | None = None
    frequency_max_thz: float | None = None
    within_1: float | None = None
    within_2: float | None = None
    free_energy_mev_per_atom: float | None = None
    free_energy_covered: float | None = None
    kappa_percent: float | None = None
    note: str = ""

    def as_dict(self) -> dict[str, str | float | None]:
        """Plain JSON; numbers that are not finite become None."""
        found = {one.name: getattr(self, one.name) for one in fields(self)}
        return {
            name: None if isinstance(value, float) and not np.isfinite(value) else value
            for name, value in found.items()
        }


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Cells that are predicted.

    Attributes
    ----------
    displacements_angstrom, forces_ev_per_angstrom
        Shape (cell, atom, 3); forces without the residual ones.
    designs
        Forces of unit amplitudes, one array (row, column) for each order.
    """

    displacements_angstrom: FloatArray
    forces_ev_per_angstrom: FloatArray
    designs: Amplitudes

    def predicted(self, amplitudes: Amplitudes) -> FloatArray:
        """Return forces of amplitudes in eV/Å, shape (cell, atom, 3)."""
        parts = [one @ known for one, known in zip(self.designs, amplitudes, strict=True)]
        return np.asarray(sum(parts)).reshape(self.forces_ev_per_angstrom.shape)

    def rmse(self, predicted: FloatArray) -> float:
        """Root mean square error in meV/Å."""
        return 1e3 * rms(predicted - self.forces_ev_per_angstrom)


def held_out_of(case: Case, chosen: IntArray) -> HeldOut:
    """Prepare some cells of a set, not more than a dense design may have."""
    n_columns = sum(one.n_columns for one in case.basis.orders)
    most = max(1, MOST_NUMBERS // (n_columns * 3 * case.cells.n_atoms))
    chosen = chosen[:: -(-len(chosen) // most)]
    moves = case.cells.displacements_angstrom[chosen]
    designs = tuple(case.basis.design(one.order, moves) for one in case.basis.orders)
    return HeldOut(moves, case.forces[chosen], designs)


def rms(values: FloatArray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(values))))


def relative_percent(found: FloatArray, reference: FloatArray) -> float:
    """Norm of a difference over the norm of the reference in per cent."""
    return float(100.0 * np.linalg.norm(found - reference) / np.linalg.norm(reference))


def forces_of(
    constants: ForceConstants, basis: ForceConstantBasis, displacements: FloatArray
) -> FloatArray:
    """Return forces in eV/Å of force constants that need obey no symmetry but translations."""
    found = np.empty(displacements.shape)
    second, third = (
        constants.second_order_ev_per_angstrom2,
        constants.third_order_ev_per_angstrom3,
    )
    for cell, one in enumerate(displacements):
        moved = one[basis.translations]
        forces = -np.einsum("sjab,tjb->tsa", second, moved, optimize=True)
        if third is not None:
            half = np.einsum("sjkabc,tkc->tsjab", third, moved, optimize=True)
            forces -= 0.5 * np.einsum("tsjab,tjb->tsa", half, moved, optimize=True)
        found[cell, basis.translations[:, basis.rows]] = forces
    return found


def compare(
    measures: Measures, constants: ForceConstants, predicted: FloatArray, held_out: HeldOut,
    reference: Reference,
) -> Measures:  # fmt: skip
    """Add the errors of force constants, forces and frequencies."""
    theirs = reference.force_constants
    third = theirs.third_order_ev_per_angstrom3
    fc3 = None
    if third is not None and constants.third_order_ev_per_angstrom3 is not None:
        fc3 = relative_percent(constants.third_order_ev_per_angstrom3, third)
    return replace(
        measures,
        fc2_percent=relative_percent(
            constants.second_order_ev_per_angstrom2, theirs.second_order_ev_per_angstrom2
        ),
        fc3_percent=fc3,
        rmse_mev_per_angstrom=held_out.rmse(predicted),
    )


def add_frequencies(
    measures: Measures, mesh: MeshFrequencies, case: Case, reference: Reference
) -> Measures:
    """Add the errors of frequencies and free energy."""
    wrong = np.abs(mesh.frequencies_thz - reference.mesh.frequencies_thz)
    weights = np.broadcast_to(mesh.weights[:, None], wrong.shape)
    error = free_energy_of(case.cells, mesh) - reference.free_energy_mev_per_atom
    return replace(
        measures,
        frequency_mean_thz=float(np.average(wrong, weights=weights)),
        frequency_max_thz=float(wrong.max()),
        free_energy_mev_per_atom=error,
    )


def add_uncertainty(
    measures: Measures, fit: GaussianProcessFit, held_out: HeldOut, reference: Reference
) -> Measures:
    """Add how often what the fit predicts lies within its own uncertainty."""
    found = propagate(fit, n_samples=N_SAMPLES, seed=measures.draw)
    wrong = np.abs(found.mesh.frequencies_thz - reference.mesh.frequencies_thz)
    # acoustic modes at the zone centre are zero by the sum rule and say nothing
    known = np.ones(wrong.shape, dtype=bool)
    known[found.mesh.is_gamma, :3] = False
    weights = np.broadcast_to(found.mesh.weights[:, None], wrong.shape)[known]
    inside = [
        float(np.average((wrong <= k * found.frequency_std_thz)[known], weights=weights))
        for k in (1, 2)
    ]
    interval = found.interval(FREE_ENERGY, COVERAGE)
    holds = interval.lower <= reference.free_energy_mev_per_atom <= interval.upper
    return replace(
        measures,
        within_1=inside[0],
        within_2=inside[1],
        free_energy_covered=float(holds),
        forces_within_2=_forces_within(fit, held_out, found.inflation),
    )


def _forces_within(fit: GaussianProcessFit, held_out: HeldOut, inflation: float) -> float:
    """Fraction of forces within two standard deviations; the noise is part of them."""
    n_rows = fit.cells.n_atoms * 3
    n_cells = min(len(held_out.forces_ev_per_angstrom), CELLS_WITH_INTERVALS)
    predicted = held_out.predicted(fit.posterior.amplitudes())
    inside = []
    for cell in range(n_cells):
        rows = slice(cell * n_rows, (cell + 1) * n_rows)
        designs = tuple(one[rows] for one in held_out.designs)
        variance = np.diag(fit.posterior.force_covariance(designs, designs))
        spread = np.sqrt(np.maximum(variance, 0.0) + fit.hyperparameters.noise_variance)
        wrong = (predicted[cell] - held_out.forces_ev_per_angstrom[cell]).ravel()
        inside.append(np.mean(np.abs(wrong) <= 2.0 * inflation * spread))
    return float(np.mean(inside))


def add_conductivity(
    measures: Measures, constants: ForceConstants, case: Case, reference: Reference
) -> Measures:
    """Add the error of the conductivity, or why there is none."""
    if reference.conductivity is None:
        return replace(measures, note=f"no reference: {reference.refusal}")
    try:
        found = conductivity_of(constants, conductivity_settings(case.cells))
    except ScreeningError as error:
        return replace(measures, note=f"{error.code}: {error}")
    wrong = 100.0 * (found / reference.conductivity - 1.0)
    return replace(measures, kappa_percent=float(wrong[np.abs(wrong).argmax()]))
