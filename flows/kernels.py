"""Displaced cells fitted with squared exponentials instead of force constants with symmetry.

The squared exponentials give force constants without their distribution. The published one knows
no symmetry: how far it misses the acoustic sum rule tells how many cells are lacking.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flows.cell_files import write_constants
from screening.anharmonic import DisplacedCells, ForceConstants
from screening.errors import SettingError
from screening.force_constants import acoustic_sum_error, third_order_acoustic_sum_error
from screening.gaussian_process.checks import CellsReport, check_cells
from screening.gaussian_process.derivative_fit import (
    DerivativeFit,
    DerivativeKernelSettings,
    fit_derivatives,
)
from screening.gaussian_process.derivative_kernel import (
    assemble_force_constants,
    cell_gradients,
    check_third_order_size,
    compact_rows,
    coordinates_of,
)
from screening.gaussian_process.fit import basis_for
from screening.gaussian_process.settings import GaussianProcessSettings
from screening.gaussian_process.symmetrised_kernel import (
    SupercellOperations,
    SymmetrisedFit,
    SymmetrisedKernelSettings,
    fit_symmetrised,
)
from screening.harmonic import harmonic_from_force_constants
from screening.prediction import Verdict
from screening.predictors.assembly import Physics, physics_from_harmonic, physics_warnings
from screening.quantities import Property, Quantity
from screening.settings import ScreeningSettings
from screening.structure import canonical_crystal

if TYPE_CHECKING:
    from screening.structure import Crystal

__all__ = [
    "Kernel",
    "KernelFit",
    "cells_needed",
    "checked_cells",
    "fit_kernel",
    "kernel_named",
    "write_kernel_fit",
]

_HARMONIC, _CUBIC = 2, 3
_LARGE_VIOLATION = 0.01  # of the largest force constant
_ROUNDING = 1e-6  # of the largest constant of second order
_SUPERSCRIPTS = {2: "²", 3: "³"}
_WORDS = ("scaled", "evidence")


class Kernel(StrEnum):
    """Covariance of the energy: of force constants with symmetry, or a squared exponential."""

    POLYNOMIAL = "polynomial"
    SYMMETRISED_RBF = "symmetrised-rbf"
    RBF = "rbf"


@dataclass(frozen=True, eq=False)
class KernelFit:
    """What a squared exponential tells of a crystal.

    Attributes
    ----------
    crystal
        Which one.
    cells, source
        What was fitted, and where its forces come from.
    report
        What was found in the forces.
    kernel
        With the space group or without.
    length_scale, length_scale_angstrom
        How the length scale was chosen (scaled, evidence, fixed), and its value in Å.
    log_evidence
        Logarithm of the marginal likelihood, or None where iteration solved the equations.
    force_constants
        Derivatives of the mean energy. Those of the plain kernel obey no symmetry.
    physics
        What follows from those of second order as they are, at irreducible wave vectors: where
        they break the symmetry of the crystal, equivalent ones would give other frequencies.
    values
        Lowest frequency and thermodynamic functions, each in the unit of its quantity.
    """

    crystal: Crystal
    cells: DisplacedCells
    source: str
    report: CellsReport
    kernel: Kernel
    length_scale: str
    length_scale_angstrom: float
    log_evidence: float | None
    force_constants: ForceConstants
    physics: Physics = field(repr=False)
    values: tuple[tuple[Quantity, float], ...] = ()

    @property
    def sum_rule_violations(self) -> dict[int, float]:
        """Largest force constant of a rigid translation in eV/Å^order, by order."""
        third = self.force_constants.third_order_ev_per_angstrom3
        second = self.force_constants.second_order_ev_per_angstrom2
        found = {_HARMONIC: acoustic_sum_error(second)}
        return found if third is None else found | {_CUBIC: third_order_acoustic_sum_error(third)}

    @property
    def relative_violations(self) -> dict[int, float]:
        """The same over the largest force constant of the order.

        Where symmetry forbids third-order constants, all of them are rounding errors.
        """
        constants = self.force_constants
        arrays = constants.second_order_ev_per_angstrom2, constants.third_order_ev_per_angstrom3
        largest = [0.0 if one is None else float(np.abs(one).max()) for one in arrays]
        found = self.sum_rule_violations
        return {n: one / max(largest[n - 2], _ROUNDING * largest[0]) for n, one in found.items()}

    @property
    def verdict(self) -> Verdict:
        """Dynamical stability, undetermined where the acoustic branches are not acoustic."""
        if self.relative_violations[_HARMONIC] > _LARGE_VIOLATION:
            return Verdict.UNDETERMINED
        return self.physics.stability.verdict

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to know before using the numbers."""
        return (
            *self.report.notes,
            *_sum_rule_warnings(self),
            *physics_warnings(self.physics),
        )


def kernel_named(name: str) -> Kernel:
    """Return the kernel of a name.

    Raises
    ------
    SettingError
        If there is none.

    Examples
    --------
    >>> kernel_named("rbf")
    <Kernel.RBF: 'rbf'>
    """
    if name not in set(Kernel):
        raise SettingError(
            f"{name!r} is no kernel", subject="--kernel", hint=f"Choose one of {', '.join(Kernel)}"
        )
    return Kernel(name)


def cells_needed(n_atoms: int, order: int = _HARMONIC) -> int:
    """Count the cells below which forces leave force constants without symmetry undetermined.

    m cells give m d numbers for d = 3 n_atoms coordinates. Symmetric matrices have d (d + 1) / 2
    entries; with symmetric tensors of third order there are d (d + 1) (d + 5) / 6 unknowns.

    Parameters
    ----------
    n_atoms
        Of the supercell.
    order
        2 for the second order alone, 3 for both.

    Examples
    --------
    >>> cells_needed(16), cells_needed(16, 3)
    (25, 433)
    """
    d = 3 * n_atoms
    return ceil((d + 1) / 2) if order == _HARMONIC else ceil((d + 1) * (d + 5) / 6)


def fit_kernel(
    cells: DisplacedCells,
    kernel: Kernel,
    temperatures_k: Sequence[float] = (300.0,),
    *,
    length_scale: str = "scaled",
    max_order: int = _CUBIC,
    source: str = "given",
) -> KernelFit:
    """Fit a squared exponential to displaced cells, and compute what follows.

    Parameters
    ----------
    cells
        With forces.
    kernel
        One of the two squared exponentials.
    temperatures_k
        Of the thermodynamic functions in K.
    length_scale
        "scaled" (ten times the typical displacement of all atoms together), "evidence", or a
        number in Å.
    max_order
        2 for harmonic force constants alone, 3 for those of third order too.
    source
        Where the forces come from.

    Raises
    ------
    SettingError
        If the length scale is none, or leaves no force constants.
    ScreeningError
        If the cells cannot be used, as `screening.gaussian_process.checks.check_cells` says, or
        are too many.
    """
    settings = _kernel_settings(length_scale, max_order)
    report = checked_cells(cells)
    fit, found = _fitted(cells, kernel, settings, third_order=max_order == _CUBIC)
    if not np.any(found.second_order_ev_per_angstrom2):
        raise SettingError(
            f"with a length scale of {fit.kernel.length_scale_angstrom:.3g} Å all force constants "
            "vanish",
            subject="--length-scale",
            hint="Give a longer one, or scaled",
        )
    screening = ScreeningSettings()
    thermal = replace(screening.thermodynamics, temperatures_k=tuple(temperatures_k))
    harmonic = harmonic_from_force_constants(found, screening.phonons.symprec_angstrom)
    physics = physics_from_harmonic(harmonic, replace(screening, thermodynamics=thermal))
    return KernelFit(
        crystal=canonical_crystal(cells.primitive),
        cells=cells,
        source=source,
        report=report,
        kernel=kernel,
        length_scale=settings["length_scale"],
        length_scale_angstrom=fit.kernel.length_scale_angstrom,
        log_evidence=fit.log_evidence,
        force_constants=found,
        physics=physics,
        values=tuple(_values(physics)),
    )


def _kernel_settings(length_scale: str, max_order: int) -> dict[str, Any]:
    """Read a length scale, a word or a number in Å."""
    order = GaussianProcessSettings(max_order=max_order).max_order  # says which there are
    shared = {"third_order": order == _CUBIC}
    if length_scale in _WORDS:
        return shared | {"length_scale": length_scale}
    try:
        value = float(length_scale)
    except ValueError:
        raise SettingError(
            f"{length_scale!r} is no length scale",
            subject="--length-scale",
            hint="Write scaled, evidence, or a number in Å",
        ) from None
    return shared | {"length_scale": "fixed", "length_scale_angstrom": value}


def checked_cells(cells: DisplacedCells) -> CellsReport:
    """Check displaced cells, with the fit of harmonic force constants to their forces.

    Raises
    ------
    ScreeningError
        If they cannot be used, as `screening.gaussian_process.checks.check_cells` says.
    """
    basis = basis_for(cells, GaussianProcessSettings(max_order=_HARMONIC))
    return check_cells(cells, basis.design(_HARMONIC, cells.displacements_angstrom))


def _fitted(
    cells: DisplacedCells, kernel: Kernel, settings: dict[str, Any], *, third_order: bool
) -> tuple[DerivativeFit | SymmetrisedFit, ForceConstants]:
    if third_order:
        check_third_order_size(cells)
    points, gradients, energies = cell_gradients(cells)
    fit: DerivativeFit | SymmetrisedFit
    if kernel is Kernel.RBF:
        fit = fit_derivatives(points, gradients, DerivativeKernelSettings(**settings), energies)
    else:
        operations = SupercellOperations.of_cells(cells)
        averaged = SymmetrisedKernelSettings(**settings)
        fit = fit_symmetrised(points, gradients, operations, averaged)
    rows = coordinates_of(compact_rows(cells))
    third = fit.third_derivatives(rows) if third_order else None
    return fit, assemble_force_constants(cells, fit.second_derivatives(rows), third)


def _values(physics: Physics) -> list[tuple[Quantity, float]]:
    curves = physics.thermodynamics
    found = [(Quantity(Property.LOWEST_FREQUENCY), physics.stability.lowest_frequency_thz)]
    for place, temperature in enumerate(curves.temperatures_k):
        at_one = {
            Property.FREE_ENERGY: curves.free_energy_mev_per_atom,
            Property.ENTROPY: curves.entropy_mev_per_k_per_atom,
            Property.HEAT_CAPACITY: curves.heat_capacity_mev_per_k_per_atom,
        }
        found += [
            (Quantity(kind, float(temperature)), float(curve[place]))
            for kind, curve in at_one.items()
        ]
    return found


def _sum_rule_warnings(fit: KernelFit) -> list[str]:
    """Say where the acoustic sum rule is broken, and what would mend it."""
    large = {n: one for n, one in fit.relative_violations.items() if one > _LARGE_VIOLATION}
    if not large:
        return []
    violations = fit.sum_rule_violations
    misses = " and ".join(
        f"{violations[order]:.2g} eV/Å{_SUPERSCRIPTS[order]} ({100 * one:.3g} % of the largest one)"
        for order, one in large.items()
    )
    said = [f"force constants miss the acoustic sum rule by {misses}"]
    return [*said, _lacking(fit)] if fit.kernel is Kernel.RBF else said


def _lacking(fit: KernelFit) -> str:
    """Say how many cells force constants without symmetry would need."""
    atoms = fit.cells.n_atoms
    third = _CUBIC in fit.sum_rule_violations
    more = f" and {cells_needed(atoms, _CUBIC)} with third" if third else ""
    return (
        f"without symmetry {3 * atoms} coordinates need at least {cells_needed(atoms)} cells, in "
        f"practice {3 * atoms}, for second order{more}; there are {fit.cells.n_cells}: take the "
        "symmetrised-rbf or polynomial kernel"
    )


def write_kernel_fit(fit: KernelFit, folder: Path) -> list[Path]:
    """Write the force constants for phonopy and phono3py; returns files and folders.

    Raises
    ------
    SettingError, DiskFullError
        If the folder cannot be written.
    """
    stem = f"{fit.crystal.formula}-{fit.kernel}"
    origin = {"method": f"derivative Gaussian process, {fit.kernel}", "model": fit.source}
    return write_constants(folder, stem, fit.force_constants, fit.cells, origin)
