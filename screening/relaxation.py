"""Relaxation of cell and ions at fixed symmetry.

The unknowns are the strains and displacements that the space group leaves invariant: one for
a rock-salt crystal, three for wurtzite. In that small space a quasi-Newton method (BFGS with
a trust radius) converges in a handful of force calls, and the symmetry cannot drift.

References
----------
J. Nocedal and S. J. Wright, Numerical Optimization (2006), chapter 6 (BFGS).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure

from screening.calculators.checks import check_elements
from screening.calculators.interface import ForceCalculator
from screening.errors import (
    CellExplodedError,
    RelaxationError,
    SettingError,
    SymmetryLostError,
)
from screening.invariants import invariant_space
from screening.prediction import FloatArray, Relaxation
from screening.units import EV_PER_ANGSTROM3_TO_GPA

__all__ = ["RelaxationSettings", "relax"]

# First guess of the curvature: a bulk modulus of about 80 GPa, bonds of 8 eV/Å^2.
_STIFFNESS_EV_PER_ANGSTROM3 = 1.5
_BOND_EV_PER_ANGSTROM2 = 8.0
_MAX_STRAIN_STEP = 0.04
_MAX_ION_STEP_ANGSTROM = 0.15
_SOFTEST = 0.02  # of the first guess; flatter or negative curvature is replaced by this


@dataclass(frozen=True)
class RelaxationSettings:
    """When a relaxation is done, and when it is given up.

    Attributes
    ----------
    force_tolerance_ev_per_angstrom
        Largest force left on any atom, in eV/Å: less than a hundredth of the force that a
        displacement of 0.01 Å makes in a typical crystal.
    stress_tolerance_gpa
        Largest component of the stress left, in GPa. With both defaults two descriptions of
        one crystal end within 0.01 meV/atom of the free energy at 300 K.
    max_steps
        Largest number of steps.
    max_volume_ratio
        Largest change of the volume in either direction, as a ratio.
    symprec_angstrom
        Tolerance of the symmetry search in Å.
    max_asymmetry_ev_per_angstrom
        Largest part of a force that may break the symmetry, in eV/Å.

    Raises
    ------
    SettingError
        If a tolerance is not positive or the ratio not above one.
    """

    force_tolerance_ev_per_angstrom: float = 1e-4
    stress_tolerance_gpa: float = 3e-4
    max_steps: int = 200
    max_volume_ratio: float = 1.2
    symprec_angstrom: float = 1e-3
    max_asymmetry_ev_per_angstrom: float = 5e-3

    def __post_init__(self) -> None:
        for name, least in (
            ("force_tolerance_ev_per_angstrom", 0.0),
            ("stress_tolerance_gpa", 0.0),
            ("max_steps", 0),
            ("max_volume_ratio", 1.0),
            ("symprec_angstrom", 0.0),
            ("max_asymmetry_ev_per_angstrom", 0.0),
        ):
            value = getattr(self, name)
            if not np.isfinite(value) or value <= least:
                raise SettingError(f"is {value}, must be above {least:g}", subject=name)


@dataclass(frozen=True)
class _Point:
    """The crystal at one set of unknowns."""

    cell: FloatArray
    positions: FloatArray
    energy_ev: float
    slope: FloatArray
    max_force: float
    max_stress_gpa: float


def relax(
    structure: Structure,
    calculator: ForceCalculator,
    settings: RelaxationSettings | None = None,
) -> tuple[Structure, Relaxation, float, int]:
    """Relax cell and ions within the space group that the structure has.

    Parameters
    ----------
    structure
        An ordered crystal, preferably its primitive cell.
    calculator
        Where energies, forces and stresses come from.
    settings
        Tolerances and limits.

    Returns
    -------
    tuple
        The relaxed structure (same order of atoms), how it was relaxed, its energy in
        eV/atom, and the number of force calls.

    Raises
    ------
    ElementNotInModelError
        Before any computation.
    RelaxationError
        If the tolerances are not reached; the message has the force and stress reached.
    CellExplodedError
        If the volume leaves the allowed range.
    SymmetryLostError
        If forces or stress break the symmetry, or the relaxed structure has less of it.
    NonFiniteForcesError
        At the first step that gives a number that is not finite.
    """
    settings = settings or RelaxationSettings()
    numbers = np.array([site.specie.Z for site in structure], dtype=np.int64)
    check_elements(calculator, numbers, subject=structure.composition.reduced_formula)
    run = _Run(structure, numbers, calculator, settings)
    point, n_steps = run.minimise()
    relaxed = Structure(
        Lattice(point.cell), structure.species, point.positions, coords_are_cartesian=True
    )
    after = invariant_space(relaxed, settings.symprec_angstrom)
    if after.n_operations < run.symmetry.n_operations:
        raise SymmetryLostError(
            f"space group {run.symmetry.number} became {after.number}",
            subject=structure.composition.reduced_formula,
        )
    record = Relaxation(
        converged=True,
        n_steps=n_steps,
        max_force_ev_per_angstrom=point.max_force,
        max_stress_gpa=point.max_stress_gpa,
        volume_ratio=relaxed.volume / structure.volume,
        space_group_number_before=run.symmetry.number,
        space_group_number_after=after.number,
    )
    return relaxed, record, point.energy_ev / len(structure), run.n_calls


class _Run:
    """One relaxation; unknowns are invariant strains (times a length) and shifts, in Å."""

    def __init__(
        self,
        structure: Structure,
        numbers: NDArray[np.int64],
        calculator: ForceCalculator,
        settings: RelaxationSettings,
    ) -> None:
        self.symmetry = invariant_space(structure, settings.symprec_angstrom)
        self.n_calls = 0
        self._subject = structure.composition.reduced_formula
        self._numbers = numbers
        self._calculator = calculator
        self._settings = settings
        self._cell = self.symmetry.cell
        self._positions = self.symmetry.fractions @ self._cell
        self._volume = float(structure.volume)
        # Strains are measured by a length that makes their curvature that of a bond.
        self._length = np.sqrt(_STIFFNESS_EV_PER_ANGSTROM3 * self._volume / _BOND_EV_PER_ANGSTROM2)
        n_strains = len(self.symmetry.strains)
        self._n_strains = n_strains
        self._limits = np.full(n_strains + len(self.symmetry.shifts), _MAX_ION_STEP_ANGSTROM)
        self._limits[:n_strains] = _MAX_STRAIN_STEP * self._length

    def minimise(self) -> tuple[_Point, int]:
        """Quasi-Newton steps until the tolerances are met."""
        unknowns = np.zeros(len(self._limits))
        hessian = np.eye(len(unknowns)) * _BOND_EV_PER_ANGSTROM2
        point = self._evaluate(unknowns)
        for n_steps in range(self._settings.max_steps + 1):
            if self._converged(point):
                return point, n_steps
            if n_steps == self._settings.max_steps:
                break
            step = self._bounded(_newton_step(hessian, point.slope))
            following = self._evaluate(unknowns + step)
            hessian = _updated(hessian, step, following.slope - point.slope)
            unknowns, point = unknowns + step, following
        raise RelaxationError(
            f"after {self._settings.max_steps} steps the largest force is"
            f" {point.max_force:.2g} eV/Å and the largest stress {point.max_stress_gpa:.2g} GPa",
            subject=self._subject,
            hint="Start from a better structure, or allow more steps",
        )

    def _converged(self, point: _Point) -> bool:
        return (
            point.max_force <= self._settings.force_tolerance_ev_per_angstrom
            and point.max_stress_gpa <= self._settings.stress_tolerance_gpa
        )

    def _bounded(self, step: FloatArray) -> FloatArray:
        """Shorten a step that leaves the region where a quadratic can be trusted."""
        excess = float(np.max(np.abs(step) / self._limits))
        return step / excess if excess > 1 else step

    def _evaluate(self, unknowns: FloatArray) -> _Point:
        """Energy and its derivative by the unknowns."""
        strain, shift = unknowns[: self._n_strains], unknowns[self._n_strains :]
        stretch = np.eye(3) + np.tensordot(strain / self._length, self.symmetry.strains, 1)
        cell = self._cell @ stretch
        self._check_volume(stretch)
        moved = self._positions + np.tensordot(shift, self.symmetry.shifts, 1)
        positions = moved @ stretch
        self.n_calls += 1
        energy, forces, stress = self._calculator.energy_forces_stress(
            cell, positions, self._numbers
        )
        virial = stress * abs(float(np.linalg.det(cell)))
        by_strain: FloatArray = np.asarray(np.linalg.solve(stretch.T, virial), dtype=np.float64)
        by_shift: FloatArray = -forces @ stretch.T
        slopes = np.asarray(
            np.tensordot(self.symmetry.strains, by_strain, 2) / self._length, dtype=np.float64
        )
        pulls = np.asarray(np.tensordot(self.symmetry.shifts, by_shift, 2), dtype=np.float64)
        self._check_asymmetry(by_strain, by_shift, np.asarray(slopes * self._length), pulls)
        return _Point(
            cell=cell,
            positions=positions,
            energy_ev=energy,
            slope=np.concatenate([slopes, pulls]),
            max_force=float(np.sqrt((forces**2).sum(axis=1)).max(initial=0.0)),
            max_stress_gpa=float(np.abs(stress).max()) * EV_PER_ANGSTROM3_TO_GPA,
        )

    def _check_volume(self, stretch: FloatArray) -> None:
        ratio = float(np.linalg.det(stretch))
        limit = self._settings.max_volume_ratio
        if not 1 / limit <= ratio <= limit:
            raise CellExplodedError(
                f"the volume changed by a factor of {ratio:.3f}, the limit is {limit:g}",
                subject=self._subject,
                hint="The structure is probably outside the potential's domain",
            )

    def _check_asymmetry(
        self, by_strain: FloatArray, by_shift: FloatArray, slopes: FloatArray, pulls: FloatArray
    ) -> None:
        """Refuse a potential whose forces on a symmetric crystal are not symmetric."""
        odd = by_shift - np.tensordot(pulls, self.symmetry.shifts, 1)
        odd -= odd.mean(axis=0)  # a common force moves nothing
        odd_strain = (by_strain + by_strain.T) / 2
        odd_strain -= np.tensordot(slopes, self.symmetry.strains, 1)
        spacing = np.cbrt(self._volume / len(self._numbers))
        worst = max(
            float(np.abs(odd).max()),
            float(np.abs(odd_strain).max()) / (spacing * len(self._numbers)),
        )
        if worst > self._settings.max_asymmetry_ev_per_angstrom:
            raise SymmetryLostError(
                f"the calculator's forces break the symmetry by {worst:.2g} eV/Å",
                subject=self._subject,
                hint="The potential is not invariant, or the cell is less symmetric than it looks",
            )


def _newton_step(hessian: FloatArray, slope: FloatArray) -> FloatArray:
    """Newton step with the curvature made positive."""
    values, vectors = np.linalg.eigh(hessian)
    values = np.maximum(np.abs(values), _SOFTEST * _BOND_EV_PER_ANGSTROM2)
    return np.asarray(-vectors @ (vectors.T @ slope / values))


def _updated(hessian: FloatArray, step: FloatArray, change: FloatArray) -> FloatArray:
    """BFGS update; the symmetric rank-one update where the curvature is not positive."""
    pushed = hessian @ step
    along = float(step @ pushed)
    curvature = float(step @ change)
    if curvature > 0 and along > 0:
        return np.asarray(
            hessian + np.outer(change, change) / curvature - np.outer(pushed, pushed) / along
        )
    rest = change - pushed
    size = float(step @ rest)
    if abs(size) < 1e-8 * float(np.linalg.norm(step) * np.linalg.norm(rest)):
        return hessian
    return np.asarray(hessian + np.outer(rest, rest) / size)
