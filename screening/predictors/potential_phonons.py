"""Harmonic phonons from a machine-learned or other potential: the one-material driver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from pymatgen.core import Structure

from screening.adaptive import adaptive_forces
from screening.calculators import ForceCalculator
from screening.displacements import DisplacementPlan
from screening.phonons import (
    compute_forces,
    compute_member_forces,
    displacement_plan,
    mean_force_data,
)
from screening.prediction import ForceData, Prediction
from screening.predictors.assembly import (
    force_warnings,
    member_spread,
    physics_from_forces,
    physics_warnings,
    relaxation_warnings,
    settings_for,
    spread_warnings,
)
from screening.predictors.geometry import prepare_geometry
from screening.predictors.interface import Tier, identity_of
from screening.predictors.metering import Meter, Metered
from screening.settings import ScreeningSettings
from screening.supercell import supercell_warnings

if TYPE_CHECKING:
    from screening.structure import Crystal

__all__ = ["PotentialPhonons"]


class PotentialPhonons:
    """Relax, displace, and sum the modes of a crystal with one force calculator.

    Parameters
    ----------
    calculator
        Gives energies and forces; a committee also gives the spread of the results.
    settings
        Everything else.

    Attributes
    ----------
    method, method_version, tier, model, model_digest, settings, settings_digest
        As `screening.predictors.interface.Predictor` says. The settings hold the displacement
        that is used, also where it is the one the calculator recommends.
    """

    method = "potential-phonons"
    method_version = 1
    tier = Tier.POTENTIAL

    def __init__(
        self, calculator: ForceCalculator, settings: ScreeningSettings | None = None
    ) -> None:
        settings = settings or ScreeningSettings()
        if settings.phonons.displacement_angstrom is None:
            length = float(calculator.displacement_angstrom)
            settings = replace(
                settings, phonons=replace(settings.phonons, displacement_angstrom=length)
            )
        self._calculator = calculator
        self._settings = settings
        self.model = calculator.name
        self.model_digest = calculator.digest
        self.settings: Mapping[str, object] = settings.as_dict()
        self.settings_digest = settings.digest

    @property
    def calculator(self) -> ForceCalculator:
        """The calculator that it asks for energies and forces."""
        return self._calculator

    @property
    def model_settings(self) -> Mapping[str, object]:
        """Settings of the calculator as plain JSON, empty for a potential."""
        return self._calculator.settings

    @property
    def is_adaptive(self) -> bool:
        """Whether the supercell depends on forces in smaller ones."""
        return self._settings.phonons.adaptive

    def with_calculator(self, calculator: ForceCalculator) -> Self:
        """Return the same predictor around another calculator, settings and all."""
        return type(self)(calculator, self._settings)

    def plan(self, crystal: Crystal) -> DisplacementPlan:
        """Return the displaced supercells that `predict` asks forces of, where not adaptive.

        Raises
        ------
        ScreeningError
            As `predict`: the crystal is relaxed first where the settings say so.
        """
        calculator = Metered(self._calculator, Meter())
        geometry = prepare_geometry(crystal, calculator, self._settings)
        return displacement_plan(geometry.structure, calculator, self._settings.phonons)

    def predict(self, crystal: Crystal) -> Prediction:
        """Predict one crystal.

        Raises
        ------
        ElementNotInModelError
            Before anything is computed.
        ComputationError
            Where forces or the relaxation are of no use.
        InputError
            Where the crystal has more atoms than a supercell may have.
        """
        meter = Meter()
        calculator = Metered(self._calculator, meter)
        geometry = prepare_geometry(crystal, calculator, self._settings)
        structure, relaxation = geometry.structure, geometry.relaxation
        forces, members, notes = self._forces(structure, calculator)
        physics = physics_from_forces(forces, self._settings)
        spread = member_spread(members, self._settings)
        return Prediction(
            **identity_of(self, crystal),
            structure=structure,
            thermodynamics=physics.thermodynamics,
            stability=physics.stability,
            cost=meter.cost(relaxation.n_steps if relaxation else 0),
            static_energy_ev_per_atom=geometry.static_energy_ev_per_atom,
            static_energy_source=self.model,
            spread=spread,
            force_data=forces,
            density_of_states=physics.density_of_states,
            band_structure=physics.bands,
            relaxation=relaxation,
            warnings=(
                *calculator.notes,
                *relaxation_warnings(relaxation),
                *notes,
                *force_warnings(forces),
                *physics_warnings(physics),
                *spread_warnings(spread, physics.stability),
            ),
            model_settings=settings_for(calculator.settings, structure),
        )

    def _forces(
        self, structure: Structure, calculator: Metered
    ) -> tuple[ForceData, tuple[ForceData, ...], tuple[str, ...]]:
        """Return the forces to predict with, those of a committee's members, and notes."""
        settings = self._settings.phonons
        members: tuple[ForceData, ...] = ()
        notes: tuple[str, ...] = ()
        if settings.adaptive:
            adaptive = adaptive_forces(structure, calculator, settings)
            forces, members, notes = adaptive.force_data, adaptive.members, adaptive.notes
        elif calculator.members:
            members = compute_member_forces(structure, calculator, settings)
            forces = mean_force_data(members)
        else:
            forces = compute_forces(structure, calculator, settings)
        matrix = forces.supercell_matrix
        return forces, members, (*supercell_warnings(structure, matrix, settings.supercell), *notes)
