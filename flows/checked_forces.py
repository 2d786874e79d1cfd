"""Trained models on crystals of which a potential says that they are at rest.

What learned from relaxed crystals knows no forces, and what it cannot tell from a relaxed crystal
it predicts. One call of the potential that relaxed the training set tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from flows.trained import training_source
from screening.digest import digest_of
from screening.errors import (
    DatabaseUnavailableError,
    OutOfDomainError,
    ScreeningError,
    SettingError,
)
from screening.hessians import TrainingTolerances
from screening.prediction import Prediction
from screening.units import EV_PER_ANGSTROM3_TO_GPA
from stores.training_sources import is_source

if TYPE_CHECKING:
    from flows.trained import TrainedPredictor
    from screening.calculators.interface import ForceCalculator
    from screening.structure import Crystal

__all__ = ["CHECKED_BY", "ForcesChecked", "with_forces_checked"]

CHECKED_BY = "at rest by {}: forces up to {:.2g} eV/Å, stress up to {:.2g} GPa"


class ForcesChecked:
    """A trained model that predicts what a potential finds at rest, and refuses all else.

    That it was checked, and by what, is one of the settings of its predictions, so that they have
    keys of their own.

    Parameters
    ----------
    predictor
        The model.
    calculator
        The potential that relaxed the crystals that it learned from.
    tolerances
        Largest force and stress of a crystal at rest; None for those of training sets.

    Attributes
    ----------
    method, method_version, tier, model, model_digest, settings, settings_digest
        As `screening.predictors.interface.Predictor` says.
    training_source
        What relaxed the crystals that it learned from; empty where that is not known.

    Raises
    ------
    SettingError
        If another potential is known to have relaxed them: its minima are elsewhere.
    """

    def __init__(
        self,
        predictor: TrainedPredictor,
        calculator: ForceCalculator,
        tolerances: TrainingTolerances | None = None,
    ) -> None:
        self.training_source = training_source(predictor)
        if self.training_source and not is_source(
            self.training_source, calculator.name, calculator.digest
        ):
            raise SettingError(
                f"{calculator.name} has other minima than {self.training_source}, which the model"
                " learned",
                subject="check_forces",
                hint=f"Give {self.training_source}",
            )
        self._predictor, self._calculator = predictor, calculator
        self._tolerances = tolerances or TrainingTolerances()
        self.method, self.method_version = predictor.method, predictor.method_version
        self.tier = predictor.tier
        self.model, self.model_digest = predictor.model, predictor.model_digest
        checked = {
            "calculator": calculator.name,
            "digest": calculator.digest,
            "force_ev_per_angstrom": self._tolerances.residual_force_ev_per_angstrom,
            "stress_gpa": self._tolerances.residual_stress_gpa,
        }
        self.settings: Mapping[str, object] = {**predictor.settings, "forces_checked": checked}
        self.settings_digest = digest_of(dict(self.settings))

    def predict(self, crystal: Crystal) -> Prediction:
        """Predict one crystal.

        Raises
        ------
        OutOfDomainError
            If it is not at rest.
        ScreeningError
            As the model and the potential say.
        """
        said = self._said_at_rest(crystal)
        return self._named(self._predictor.predict(crystal), said)

    def predict_many(self, crystals: Sequence[Crystal]) -> list[Prediction | Exception]:
        """Predict crystals; of each the prediction, or why there is none."""
        found: list[Prediction | Exception] = []
        for crystal in crystals:
            try:
                found.append(self.predict(crystal))
            except DatabaseUnavailableError:
                raise
            except ScreeningError as error:
                found.append(error)
        return found

    def _said_at_rest(self, crystal: Crystal) -> str:
        """Say how large forces and stress are, or refuse them."""
        structure = crystal.structure
        numbers = np.array([site.specie.Z for site in structure], dtype=np.int64)
        _, forces, stress = self._calculator.energy_forces_stress(
            np.array(structure.lattice.matrix), structure.cart_coords, numbers
        )
        force = float(np.linalg.norm(forces, axis=1).max())
        gpa = float(np.abs(stress).max()) * EV_PER_ANGSTROM3_TO_GPA
        largest = self._tolerances
        if force <= largest.residual_force_ev_per_angstrom and gpa <= largest.residual_stress_gpa:
            return CHECKED_BY.format(self._calculator.name, force, gpa)
        raise OutOfDomainError(
            f"not at rest: forces up to {force:.3g} eV/Å and stress up to {gpa:.3g} GPa by"
            f" {self._calculator.name}, above {largest.residual_force_ev_per_angstrom:g} eV/Å or"
            f" {largest.residual_stress_gpa:g} GPa",
            subject=crystal.material_id,
            hint="Relax it with this potential (phonoscreen screen), and predict it again",
        )

    def _named(self, found: Prediction, said: str) -> Prediction:
        return replace(
            found,
            settings=self.settings,
            settings_digest=self.settings_digest,
            warnings=(*found.warnings, said),
        )


def with_forces_checked(predictor: TrainedPredictor, spec: str) -> TrainedPredictor:
    """Let a trained model refuse what a potential does not find at rest, where one is named.

    Parameters
    ----------
    predictor
        The model.
    spec
        The potential, as `screening.calculators.load_calculator` reads it, or empty.

    Raises
    ------
    SettingError
        If it is none, or another than the model learned from.
    ModelError
        If it cannot be loaded.
    """
    from screening.calculators import load_calculator

    return ForcesChecked(predictor, load_calculator(spec)) if spec else predictor
