"""Phonons from forces of displaced cells that someone else computed, usually by DFT."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from screening.anharmonic import DisplacedCells
from screening.calculators import ForceCalculator
from screening.conductivity import check_settings
from screening.digest import digest_of
from screening.errors import InconsistentDataError, SettingError
from screening.few_cells import FewCellSettings
from screening.gaussian_process.basis import ForceConstantBasis
from screening.gaussian_process.checks import CellsReport, check_cells
from screening.gaussian_process.conductivity_samples import (
    ConductivitySamples,
    conductivity_samples,
)
from screening.gaussian_process.fit import GaussianProcessFit, basis_for, fit_force_constants
from screening.gaussian_process.prior_mean import prior_force_constants
from screening.prediction import Cost, Prediction
from screening.predictors.assembly import cells_warnings, physics_warnings
from screening.predictors.cell_by_cell import harmonic_design
from screening.predictors.given_forces import array_digest
from screening.predictors.interface import GIVEN_CELLS, Tier, identity_of
from screening.predictors.learned_physics import learned_physics
from screening.predictors.metering import Meter, Metered
from screening.settings import ScreeningSettings

if TYPE_CHECKING:
    from screening.structure import Crystal

__all__ = ["GivenCells", "displaced_cells_digest"]

Progress = Callable[[int, int], None]

_HARMONIC, _CUBIC = 2, 3


@dataclass(frozen=True, eq=False)
class _Checked:
    """Fitted cells, what was found in their forces, and what the fit cost."""

    report: CellsReport
    fit: GaussianProcessFit
    cost: Cost

    @property
    def notes(self) -> tuple[str, ...]:
        """What was found before the fit; the notes of the fit itself are its own."""
        return (
            *cells_warnings(self.fit.cells, self.report.net_force),
            *self.report.notes,
            *_single_notes(self.fit),
        )


class GivenCells:
    """A prediction for the one crystal whose displaced cells are given.

    Parameters
    ----------
    cells
        Forces of displaced supercells, with Born charges where known.
    settings
        With ``few_cells``, of which only the fit, the draws, the prior and the conductivity
        have a meaning here; also mesh, thermodynamics and stability. None takes the defaults.
    source
        Where the forces come from, for example ``PBE``.
    prior
        Calculator whose force constants are expected beforehand: the one that
        ``few_cells.prior`` names.
    static_energy_ev_per_atom
        Energy without vibrations by the same source in eV/atom, None where unknown.
    harmonic_cells
        Displaced cells of a larger supercell of the same crystal; its second-order force
        constants replace those of ``cells`` in the conductivity.
    tier
        Cost and trust of the forces: that of a potential where one gave them.

    Attributes
    ----------
    drawn
        Conductivity of mean and draws of the last prediction, None where it was not asked for.

    Raises
    ------
    NonFiniteInputError
        If the energy is not finite.
    ScreeningError
        As `screening.gaussian_process.checks.check_cells` says; `SettingError` if the settings
        name a prior and none is given, or the other way round, or as
        `screening.conductivity.check_settings` says.
    """

    method = GIVEN_CELLS
    method_version = 1

    def __init__(
        self,
        cells: DisplacedCells,
        settings: ScreeningSettings | None = None,
        *,
        source: str = "given",
        prior: ForceCalculator | None = None,
        static_energy_ev_per_atom: float | None = None,
        harmonic_cells: DisplacedCells | None = None,
        tier: Tier = Tier.FEW_DFT_CELLS,
    ) -> None:
        settings = settings or ScreeningSettings()
        self.few_cells = settings.few_cells or FewCellSettings()
        if bool(self.few_cells.prior) != (prior is not None):
            raise SettingError(
                "the settings name a prior and none is given, or the other way round",
                subject="few_cells.prior",
            )
        self._cells, self._harmonic_cells = cells, harmonic_cells
        self._settings = replace(settings, few_cells=self.few_cells)
        self._prior, self._energy = prior, static_energy_ev_per_atom
        self.drawn: ConductivitySamples | None = None
        for one in (cells, harmonic_cells):
            if one is not None:
                check_cells(one)
        if self.few_cells.conductivity is not None:
            check_settings(cells.primitive, self.few_cells.conductivity)
        self.tier, self.model = tier, source
        self.model_digest = self._digest()
        self.settings: Mapping[str, object] = _relevant(self._settings, prior)
        self.settings_digest = digest_of(dict(self.settings))

    def _digest(self) -> str:
        """SHA-256 of all that is given."""
        sets = (self._cells, self._harmonic_cells)
        given = [None if one is None else displaced_cells_digest(one) for one in sets]
        given.append(array_digest("static_energy", self._energy))
        # forces of a potential are another model than the same numbers from first principles
        return digest_of(given if self.tier == Tier.FEW_DFT_CELLS else [*given, int(self.tier)])

    @cached_property
    def basis(self) -> ForceConstantBasis:
        """Independent force constants of the supercell."""
        return basis_for(self._cells, self.few_cells.fit)

    @cached_property
    def report(self) -> CellsReport:
        """What was found in the forces.

        Raises
        ------
        InconsistentDataError
            If the displacements do not explain the forces.
        """
        return check_cells(self._cells, harmonic_design(self.basis, self._cells))

    @cached_property
    def _checked(self) -> _Checked:
        meter = Meter()
        report = self.report  # what is wrong with the forces is said first
        expected = None
        if self._prior is not None:
            expected = prior_force_constants(
                self._cells,
                Metered(self._prior, meter),
                self.few_cells.fit,
                n_cells=self.few_cells.prior_cells,
                length_angstrom=self.few_cells.displacement_angstrom,
                seed=self.few_cells.seed,
                basis=self.basis,
            )
        fit = fit_force_constants(self._cells, self.few_cells.fit, expected, self.basis)
        return _Checked(report, fit, meter.cost())

    @property
    def fit(self) -> GaussianProcessFit:
        """Force constants with their distribution.

        Raises
        ------
        ScreeningError
            As `report`, and as the prior says.
        """
        return self._checked.fit

    def _conductivity(self, progress: Progress | None) -> ConductivitySamples | None:
        if self.few_cells.conductivity is None:
            return None
        return conductivity_samples(
            self.fit,
            self.few_cells.conductivity,
            self.few_cells.n_conductivity_samples,
            self.few_cells.seed,
            second_order=self._larger.fit.force_constants if self._larger else None,
            progress=progress,
        )

    @cached_property
    def _larger(self) -> _Checked | None:
        """Second order from the larger supercell, checked as the cells themselves are."""
        cells = self._harmonic_cells
        if cells is None:
            return None
        meter = Meter()
        settings = replace(self.few_cells.fit, max_order=_HARMONIC)
        basis = basis_for(cells, settings)
        report = check_cells(cells, harmonic_design(basis, cells))
        fit = fit_force_constants(cells, settings, basis=basis)
        return _Checked(report, fit, meter.cost())

    def _larger_notes(self) -> tuple[str, ...]:
        if self.drawn is None or self._larger is None:
            return ()
        larger = self._larger.fit.cells
        said = f"{larger.n_cells} cells of a supercell of {larger.n_atoms} atoms, taken as exact"
        found = (*self._larger.notes, *self._larger.fit.notes)
        return (
            f"second-order force constants of the conductivity are those of {said}",
            *(f"larger supercell: {note}" for note in found),
        )

    def predict(self, crystal: Crystal, progress: Progress | None = None) -> Prediction:
        """Predict the crystal that the cells belong to.

        Parameters
        ----------
        crystal
            What the cells are of.
        progress
            Called with the number of conductivities done and that of all.

        Raises
        ------
        InconsistentDataError
            If this is another crystal, or a conductivity is asked for and has no value.
        ScreeningError
            As `report` and `fit`, and as
            `screening.gaussian_process.conductivity_samples.conductivity_samples` says.
        """
        from screening.structure import canonical_crystal

        own = canonical_crystal(self._cells.primitive, subject=crystal.formula)
        if own.digest != crystal.digest:
            raise InconsistentDataError(
                f"the cells belong to {own.formula} ({own.space_group_symbol}), another crystal",
                subject=crystal.material_id,
            )
        fitted, meter = self._checked, Meter()  # the fit has a meter of its own
        without = replace(self.few_cells, conductivity=None, target=FewCellSettings.target)
        learned = learned_physics(fitted.fit, self._settings, without)
        self.drawn = drawn = self._conductivity(progress)
        physics = learned.physics
        return Prediction(
            **identity_of(self, crystal),
            structure=self._cells.primitive.copy(),
            thermodynamics=physics.thermodynamics,
            stability=physics.stability,
            cost=_added(fitted.cost, meter.cost()),
            static_energy_ev_per_atom=self._energy,
            static_energy_source=None if self._energy is None else self.model,
            spread=learned.spread,
            force_constants=fitted.fit.force_constants,
            displaced_cells=self._cells,
            conductivity=drawn.mean if drawn else None,
            conductivity_std_w_per_m_k=drawn.std_w_per_m_k if drawn else None,
            density_of_states=physics.density_of_states,
            band_structure=physics.bands,
            warnings=(
                *fitted.notes,
                *learned.notes,
                *self._larger_notes(),
                *physics_warnings(physics),
            ),
        )


def displaced_cells_digest(cells: DisplacedCells) -> str:
    """SHA-256 over all numbers of a set of displaced cells, rounded to ten decimals.

    Raises
    ------
    NonFiniteInputError
        If a number is not finite.
    """
    arrays = {
        "lattice": cells.primitive.lattice.matrix,
        "positions": cells.primitive.frac_coords,
        "numbers": [site.specie.Z for site in cells.primitive],
        "supercell_matrix": cells.supercell_matrix,
        "supercell_positions": cells.supercell_scaled_positions,
        "supercell_numbers": cells.supercell_numbers,
        "displacements": cells.displacements_angstrom,
        "forces": cells.forces_ev_per_angstrom,
        "residual_forces": cells.residual_forces_ev_per_angstrom,
        "born_charges": cells.born_charges_e,
        "dielectric_constant": cells.dielectric_constant,
    }
    return digest_of({name: array_digest(name, values) for name, values in arrays.items()})


def _single_notes(fit: GaussianProcessFit) -> tuple[str, ...]:
    """Say what no set with one displaced atom in every cell can determine."""
    moved = np.any(fit.cells.displacements_angstrom, axis=2).sum(axis=1)
    if fit.settings.max_order < _CUBIC or fit.cells.n_atoms == 1 or moved.max() > 1:
        return ()
    text = (
        "one atom is displaced in every cell: third-order force constants of three different "
        f"atoms are not in the forces ({fit.unknowns_per_equation:.1f} unknowns per equation) and "
        "follow from the prior"
    )
    return (text,)


def _added(first: Cost, second: Cost) -> Cost:
    return Cost(
        wall_seconds=first.wall_seconds + second.wall_seconds,
        cpu_seconds=first.cpu_seconds + second.cpu_seconds,
        force_seconds=first.force_seconds + second.force_seconds,
        force_calls=first.force_calls + second.force_calls,
    )


def _relevant(settings: ScreeningSettings, prior: ForceCalculator | None) -> dict[str, object]:
    """Return the settings that change numbers once displaced cells are given."""
    everything = settings.as_dict()
    phonons, few_cells = everything["phonons"], everything["few_cells"]
    names = ["fit", "n_samples", "seed"]
    names += ["prior", "prior_cells", "displacement_angstrom"] if prior is not None else []
    names += ["conductivity", "n_conductivity_samples"] if few_cells["conductivity"] else []
    found: dict[str, Any] = {
        "mesh_length_angstrom": phonons["mesh_length_angstrom"],
        "thermodynamics": everything["thermodynamics"],
        "stability_criterion": everything["stability_criterion"],
        "few_cells": {name: few_cells[name] for name in names},
    }
    return found if prior is None else found | {"prior_digest": prior.digest}
