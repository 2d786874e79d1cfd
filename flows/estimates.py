"""What a prediction by a method of the ladder will take: force calls and core-hours.

The number of displaced supercells is exact for the crystal as it is stored, but where a few are
displaced until they are enough; that number, the steps of a relaxation and the core time of a
call are learned from what the database holds of the same calculator, and are a default, of cells
the largest number allowed, where it holds nothing. That of calculators from first principles
is scaled to their cutoffs and wave vectors; measured calls already contain them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition, Structure

from flows.ladder import Step
from screening.calculators.first_principles import kpoint_count, kpoint_grid
from screening.cost import (
    FIRST_PRINCIPLES,
    POTENTIAL,
    CallTimes,
    DefaultTimes,
    MeasuredCall,
    fit_call_times,
    valence_electrons,
)
from screening.displacements import plan_displacements
from screening.predictors.interface import Tier
from screening.settings import ScreeningSettings
from screening.supercell import choose_supercell
from screening.units import SECONDS_PER_HOUR
from stores.connect import Database
from stores.documents.forces import ForceKind
from stores.query import and_, by_field, in_values

__all__ = ["Estimate", "Estimator"]

DEFAULT_RELAXATION_CALLS = 12
"""Calls on the primitive cell until it is relaxed, where nothing is known of the calculator."""

_NEWEST = 1000
_OWN_SECONDS, _OWN_FACTOR = 0.01, 3.0  # of a trained model
_COST = ["prediction_id", "cost", "structure.species", "provenance.model_digest"]
_SUPERCELL = ["prediction_id", "n_supercell_atoms", "n_displacements"]


@dataclass(frozen=True)
class Estimate:
    """What one prediction will take.

    Attributes
    ----------
    n_force_calls
        Displaced supercells, and calls on the primitive cell.
    n_displacements, n_supercell_atoms
        Displaced supercells, and atoms in each.
    core_hours
        On the machine that the times were measured on; all cores of a call count.
    factor
        Nine of ten are within this factor of the estimate.
    """

    n_force_calls: int
    n_displacements: int
    n_supercell_atoms: int
    core_hours: float
    factor: float


class Estimator:
    """Estimates predictions by one method, from what a database holds of its calculator.

    Parameters
    ----------
    database
        Asked once, when the first estimate is made.
    step
        The method.
    """

    def __init__(self, database: Database, step: Step) -> None:
        self._database = database
        self._step = step
        self._settings = ScreeningSettings.from_dict(step.settings)
        self._is_dft = step.tier > Tier.POTENTIAL

    @cached_property
    def times(self) -> CallTimes:
        """Expected core time of a call by the size of its cell."""
        calls = self._remembered_calls() if self._is_dft else []
        found = fit_call_times(calls or self._mean_calls(), self._default)
        if found.n_measured or not self._is_dft:
            return found
        scaled = self._electrons.text if self._electrons else "cutoff and k points are not known"
        return replace(found, basis=f"{found.basis}; {scaled}")

    @cached_property
    def relaxation_calls(self) -> float:
        """Calls on the primitive cell until it is relaxed: the median, or a default."""
        if self._settings.relaxation is None:
            return 1.0  # the energy
        steps = [
            row["cost"]["relaxation_steps"] + 1
            for row in self._costs
            if row["cost"]["relaxation_steps"]
        ]
        return float(median(steps)) if steps else float(DEFAULT_RELAXATION_CALLS)

    @cached_property
    def n_cells(self) -> int:
        """Displaced cells where a few are enough: the median, or the largest number allowed.

        Zero where one atom is displaced after the other.
        """
        few_cells = self._settings.few_cells
        if few_cells is None:
            return 0
        keys = [row["prediction_id"] for row in self._costs]
        rows = self._database.phonons.query(in_values("prediction_id", keys), ["n_displaced_cells"])
        counts = [row["n_displaced_cells"] for row in rows if row.get("n_displaced_cells")]
        return (
            min(math.ceil(median(counts)), few_cells.max_cells) if counts else few_cells.max_cells
        )

    def of(self, structure: Structure) -> Estimate:
        """Estimate the prediction of one crystal, given its primitive cell.

        Raises
        ------
        TooLargeError
            If the cell has more atoms than a supercell may have.
        """
        if self._step.tier == Tier.FAST_MODEL:
            return Estimate(0, 0, len(structure), self._own_seconds / SECONDS_PER_HOUR, _OWN_FACTOR)
        phonons = self._settings.phonons
        matrix = choose_supercell(structure, phonons.supercell, phonons.symprec_angstrom)
        length = phonons.displacement_angstrom or 0.01  # which does not change their number
        plan = plan_displacements(structure, matrix, length, phonons.symprec_angstrom)
        n_displacements, n_atoms = self.n_cells or len(plan.displaced_atoms), len(plan.numbers)
        numbers = Counter(int(site.specie.Z) for site in structure)
        own = self._size(numbers)
        large = own * n_atoms / len(structure)
        members = self._n_members
        small_calls = members * (self.relaxation_calls + 1.0)  # and the undisplaced crystal
        large_calls = members * n_displacements
        seconds = large_calls * self._displaced_seconds(large, structure, matrix)
        seconds += small_calls * self._primitive_seconds(own, structure)
        return Estimate(
            n_force_calls=large_calls + round(small_calls),
            n_displacements=n_displacements,
            n_supercell_atoms=n_atoms,
            core_hours=seconds / SECONDS_PER_HOUR,
            factor=self.times.factor(large),
        )

    @property
    def basis(self) -> str:
        """Where the times come from."""
        if self._step.tier == Tier.FAST_MODEL:
            return "a trained model asks for no forces"
        return self.times.basis

    @cached_property
    def _own_seconds(self) -> float:
        """Core time of a prediction that asks for no forces: the median, or a default."""
        seconds = [row["cost"]["cpu_seconds"] for row in self._costs]
        known = [one for one in seconds if one > 0.0]
        return float(median(known)) if known else _OWN_SECONDS

    @property
    def _default(self) -> DefaultTimes:
        return FIRST_PRINCIPLES if self._is_dft else POTENTIAL

    @cached_property
    def _electrons(self) -> _Electrons | None:
        """Cutoffs and wave vectors, None where the settings do not say them."""
        return _Electrons.of(self._step.predictor) if self._is_dft else None

    def _displaced_seconds(
        self, size: float, structure: Structure, matrix: NDArray[np.int64]
    ) -> float:
        """Core time of a call on a displaced supercell, which has little symmetry."""
        seconds, electrons = self.times.seconds(size), self._electrons
        if electrons is None or self.times.n_measured:
            return seconds
        cell = np.asarray(matrix, dtype=np.float64) @ np.array(structure.lattice.matrix)
        count = kpoint_count(cell, electrons.spacing_per_angstrom)
        factor = self._default.kpoint_factor(count)
        return seconds * factor * self._default.cutoff_factor(electrons.ecut_ev)

    def _primitive_seconds(self, size: float, structure: Structure) -> float:
        """Core time of a call on the primitive cell, by its symmetry and the higher cutoff."""
        seconds, electrons = self.times.seconds(size), self._electrons
        if electrons is None or self.times.n_measured:
            return seconds
        grid = kpoint_grid(np.array(structure.lattice.matrix), electrons.spacing_per_angstrom)
        count = _irreducible(structure, grid, self._settings.phonons.symprec_angstrom)
        factor = self._default.kpoint_factor(count)
        return seconds * factor * self._default.cutoff_factor(electrons.relaxation_ecut_ev)

    @property
    def _n_members(self) -> int:
        calculator = getattr(self._step.predictor, "calculator", None)
        return max(1, len(calculator.members)) if calculator is not None else 1

    def _size(self, numbers: Mapping[int, int]) -> float:
        return valence_electrons(numbers) if self._is_dft else float(sum(numbers.values()))

    def _remembered_calls(self) -> list[MeasuredCall]:
        # calls with stresses are made with other cutoffs, on cells that cost little
        same = and_(
            by_field("calculator_digest", self._step.predictor.model_digest),
            by_field("kind", ForceKind.FORCES.value),
        )
        rows = self._database.forces.query(
            same, ["formula", "cpu_seconds"], sort={"last_updated": -1}, limit=_NEWEST
        )
        return [
            MeasuredCall(self._size(_numbers(Composition(row["formula"]))), row["cpu_seconds"])
            for row in rows
            if row.get("cpu_seconds", 0.0) > 0.0  # zero is unknown
        ]

    @cached_property
    def _costs(self) -> list[dict[str, Any]]:
        """Costs of the newest predictions with the same model."""
        same = and_(
            by_field("tier", self._step.tier),
            by_field("provenance.model_digest", self._step.predictor.model_digest),
        )
        rows = self._database.predictions.query(
            same, _COST, sort={"last_updated": -1}, limit=_NEWEST
        )
        return list(rows)

    def _mean_calls(self) -> list[MeasuredCall]:
        """Mean core time of a call on the supercell, of every prediction with the same model."""
        keys = [row["prediction_id"] for row in self._costs]
        cells = {
            row["prediction_id"]: row
            for row in self._database.phonons.query(in_values("prediction_id", keys), _SUPERCELL)
            if row.get("n_displacements")
        }
        found = (
            self._mean_call(row, cells[row["prediction_id"]])
            for row in self._costs
            if row["prediction_id"] in cells
        )
        return [one for one in found if one is not None]

    def _mean_call(self, row: Mapping[str, Any], cell: Mapping[str, Any]) -> MeasuredCall | None:
        """Share the core time of a prediction among its calls, by the default law of their sizes.

        Zero is a time that is not known.
        """
        species, cost = row["structure"]["species"], row["cost"]
        ratio = cell["n_supercell_atoms"] / len(species)
        large = self._n_members * cell["n_displacements"]
        small = max(0, cost["force_calls"] - large)
        worth = large + small * ratio**-self._default.exponent
        if not (worth and cost["cpu_seconds"] > 0.0):
            return None
        own = self._size(_numbers(Composition(Counter(species))))
        return MeasuredCall(own * ratio, cost["cpu_seconds"] / worth)


@dataclass(frozen=True)
class _Electrons:
    """Plane-wave cutoffs in eV, for forces and for energies and stresses, and k-point spacing."""

    ecut_ev: float
    relaxation_ecut_ev: float
    spacing_per_angstrom: float

    @classmethod
    def of(cls, predictor: object) -> _Electrons | None:
        """Read them from the settings of the model, None where those do not say them."""
        settings: Any = getattr(predictor, "model_settings", {})
        if not settings:  # VASP, known by name alone
            settings = getattr(predictor, "settings", {}).get("vasp") or {}
        settings = (settings.get("members") or [settings])[0]
        ecut_ev = settings.get("ecut_ev") or settings.get("energy_cutoff_ev")
        spacing = settings.get("kpoint_spacing_per_angstrom")
        if not (ecut_ev and spacing):
            return None
        return cls(ecut_ev, settings.get("relaxation_ecut_ev") or ecut_ev, spacing)

    @property
    def text(self) -> str:
        """Say what the default was scaled to."""
        higher = ""
        if self.relaxation_ecut_ev != self.ecut_ev:
            higher = f" ({self.relaxation_ecut_ev:g} eV for energies and stresses)"
        spacing = f"{self.spacing_per_angstrom:g} per ångström"
        return f"scaled to {self.ecut_ev:g} eV{higher} and k points every {spacing}"


def _irreducible(structure: Structure, grid: tuple[int, int, int], symprec: float) -> int:
    """Count the points of a Gamma-centred grid that symmetry leaves different."""
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    return len(SpacegroupAnalyzer(structure, symprec).get_ir_reciprocal_mesh(grid))


def _numbers(composition: Composition) -> dict[int, int]:
    return {int(element.Z): round(count) for element, count in composition.items()}
