"""Phonons from a few displaced cells, more of them where the target is not sure enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Self

from screening.calculators import ForceCalculator
from screening.conductivity import check_settings
from screening.digest import digest_of
from screening.errors import SettingError
from screening.few_cells import CONDUCTIVITY_TARGET, FewCellSettings
from screening.gaussian_process.fit import GaussianProcessFit
from screening.prediction import Prediction
from screening.predictors.assembly import physics_warnings, relaxation_warnings, settings_for
from screening.predictors.cell_by_cell import Bench, bench_for, learn
from screening.predictors.geometry import prepare_geometry
from screening.predictors.interface import Tier, identity_of
from screening.predictors.learned_physics import LearnedPhysics, assess, is_enough, learned_physics
from screening.predictors.metering import Meter, Metered
from screening.quantities import Property, Quantity
from screening.settings import ScreeningSettings

if TYPE_CHECKING:
    from screening.structure import Crystal

__all__ = ["GAUSSIAN_PROCESS", "GaussianProcessPhonons"]

GAUSSIAN_PROCESS = "gaussian-process-phonons"
"""Method of predictions whose force constants were learned from displaced cells."""


class GaussianProcessPhonons:
    """Displace all atoms of a few supercells and learn the force constants.

    After each cell the posterior tells how sure the target of the settings is; the next cell is
    computed until its interval is narrow enough or the allowed number is reached. Displacements
    follow from settings and crystal alone, or are chosen by the posterior from the forces so
    far, so that a run that was stopped asks for the same cells again.

    Parameters
    ----------
    calculator
        Gives energies and forces, usually from first principles.
    settings
        With ``few_cells``; None takes the defaults.
    prior
        Cheaper calculator whose force constants are expected beforehand: the one that
        ``few_cells.prior`` names.

    Attributes
    ----------
    method, method_version, tier, model, model_digest, settings, settings_digest
        As `screening.predictors.interface.Predictor` says. The tier is that of few DFT cells
        where the calculator solves for the electrons, else that of a potential.

    Raises
    ------
    SettingError
        If the settings name a prior and none is given, or the other way round; or if the policy
        for low modes leaves the target without a gradient, so that nothing could decide.
    """

    method = GAUSSIAN_PROCESS
    method_version = 1

    def __init__(
        self,
        calculator: ForceCalculator,
        settings: ScreeningSettings | None = None,
        prior: ForceCalculator | None = None,
    ) -> None:
        settings = settings or ScreeningSettings()
        few_cells = settings.few_cells or FewCellSettings()
        if bool(few_cells.prior) != (prior is not None):
            given = "none is given" if prior is None else f"{prior.name} is given"
            raise SettingError(
                f"the settings name {few_cells.prior or 'no prior'!r}, and {given}",
                subject="few_cells.prior",
            )
        _check_target(settings, few_cells)
        self._calculator = calculator
        self._prior = prior
        self._settings = replace(settings, few_cells=few_cells)
        self.few_cells = few_cells
        self.model = calculator.name
        self.model_digest = calculator.digest
        expected = {} if prior is None else {"prior_digest": prior.digest}
        self.settings: Mapping[str, object] = self._settings.as_dict() | expected
        self.settings_digest = digest_of(dict(self.settings))

    @property
    def tier(self) -> Tier:
        """Tier of the results."""
        exact = self._calculator.is_first_principles
        return Tier.FEW_DFT_CELLS if exact else Tier.POTENTIAL

    @property
    def calculator(self) -> ForceCalculator:
        """The calculator that it asks for energies and forces."""
        return self._calculator

    @property
    def model_settings(self) -> Mapping[str, object]:
        """Settings of the calculator as plain JSON, empty for a potential."""
        return self._calculator.settings

    def with_calculator(self, calculator: ForceCalculator) -> Self:
        """Return the same predictor around another calculator, settings and all."""
        return type(self)(calculator, self._settings, self._prior)

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
        found = self.advance(crystal, self.few_cells.max_cells)
        assert found is not None  # the last cell ends it
        return found

    def advance(self, crystal: Crystal, n_cells: int) -> Prediction | None:
        """Predict one crystal if a number of cells is enough for it.

        Parameters
        ----------
        crystal
            What to predict.
        n_cells
            Displaced cells whose forces may be asked for.

        Returns
        -------
        Prediction or None
            None where the target is not sure enough yet and more cells are allowed; never where
            ``n_cells`` is the largest number that the settings allow.

        Raises
        ------
        ScreeningError
            As `predict` says.
        """
        if self.few_cells.conductivity is not None:
            check_settings(crystal.structure, self.few_cells.conductivity)
        meter = Meter()
        calculator = Metered(self._calculator, meter)
        prior = None if self._prior is None else Metered(self._prior, meter)
        geometry = prepare_geometry(crystal, calculator, self._settings)
        bench = bench_for(geometry, calculator, self._settings, self.few_cells, prior)
        limit = min(max(n_cells, self.few_cells.initial_cells), self.few_cells.max_cells)
        sure = partial(assess, settings=self._settings, few_cells=self.few_cells)
        fit, assessment = learn(bench, calculator, self.few_cells, limit, sure)
        if not is_enough(assessment, self.few_cells, fit.cells.n_cells):
            return None
        learned = learned_physics(fit, self._settings, self.few_cells, assessment)
        return self._prediction(crystal, bench, fit, learned, calculator)

    def _unused(self) -> list[str]:
        """Say what is there and has no part in the result."""
        found = []
        if self._settings.phonons.adaptive:
            found.append(
                "supercells are not adaptive where all atoms are displaced: one is chosen by its "
                "size alone"
            )
        if self._calculator.members:
            found.append(
                f"the forces of {len(self._calculator.members)} members of a committee are "
                "averaged: the spread is that of the force constants given the mean forces"
            )
        return found

    def _prediction(
        self,
        crystal: Crystal,
        bench: Bench,
        fit: GaussianProcessFit,
        learned: LearnedPhysics,
        calculator: Metered,
    ) -> Prediction:
        physics, relaxation = learned.physics, bench.geometry.relaxation
        structure, drawn = bench.geometry.structure, learned.conductivity
        return Prediction(
            **identity_of(self, crystal),
            structure=structure,
            thermodynamics=physics.thermodynamics,
            stability=physics.stability,
            cost=calculator.meter.cost(relaxation.n_steps if relaxation else 0),
            static_energy_ev_per_atom=bench.geometry.static_energy_ev_per_atom,
            static_energy_source=self.model,
            spread=learned.spread,
            force_constants=fit.force_constants,
            displaced_cells=fit.cells,
            conductivity=drawn.mean if drawn else None,
            conductivity_std_w_per_m_k=drawn.std_w_per_m_k if drawn else None,
            density_of_states=physics.density_of_states,
            band_structure=physics.bands,
            relaxation=relaxation,
            warnings=(
                *calculator.notes,
                *relaxation_warnings(relaxation),
                *self._unused(),
                *bench.notes,
                *learned.notes,
                *physics_warnings(physics),
            ),
            model_settings=settings_for(calculator.settings, structure),
        )


def _check_target(settings: ScreeningSettings, few_cells: FewCellSettings) -> None:
    """Refuse a target that `screening.gaussian_process.property_gradient` cannot differentiate."""
    policy = settings.thermodynamics.low_mode_policy
    if policy != "half_mean_optical" or few_cells.target == CONDUCTIVITY_TARGET:
        return
    if Quantity.parse(few_cells.target).kind is not Property.LOWEST_FREQUENCY:
        raise SettingError(
            f"low modes that take half the mean frequency leave {few_cells.target} without a "
            "derivative, so that nothing tells when the cells are enough",
            subject="low_mode_policy",
            hint="Use drop or renormalise, or the lowest frequency as target",
        )
