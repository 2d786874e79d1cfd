"""Densities of states by a potential, which a trained network then corrects.

A correction holds for what was corrected: a model names the weights of its potential, and how the
phonons were computed, and predicts with nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from screening.errors import ModelCorruptError, ModelRefusedError, OutOfDomainError, SettingError
from screening.harmonic import harmonic_from_forces
from screening.network_dos.labels import MOST_OUTSIDE, label_of_mesh
from screening.phonons import (
    PhononSettings,
    compute_forces,
    compute_member_forces,
    mean_force_data,
    mesh_frequencies,
)
from screening.prediction import FloatArray, frozen_array
from screening.predictors.metering import Meter, Metered
from screening.settings import ScreeningSettings

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from screening.calculators import ForceCalculator
    from screening.network_dos.grid import FrequencyGrid
    from screening.trained_model import TrainedModel

__all__ = ["PRIOR", "PotentialPrior", "check_prior", "prior_of"]

PRIOR = "prior"
"""Field of the state and the card of a model that says what it corrects."""

_TO_TRAIN = "Train it anew"


class PotentialPrior:
    """Modes in each bin by a potential, of crystals as they are given.

    Parameters
    ----------
    calculator
        The potential; of a committee the mean forces are taken.
    grid
        The bins.
    settings
        Supercell, displacement and mesh; never adaptive.

    Attributes
    ----------
    model, model_digest
        Name of the potential and SHA-256 of its weights.
    phonons
        The settings as plain JSON, with the displacement that is used, also where it is the one
        that the potential recommends.
    """

    def __init__(
        self,
        calculator: ForceCalculator,
        grid: FrequencyGrid,
        settings: PhononSettings | None = None,
    ) -> None:
        self._calculator, self._grid = calculator, grid
        settings = replace(settings or PhononSettings(), adaptive=False)
        if settings.displacement_angstrom is None:
            length = float(calculator.displacement_angstrom)
            settings = replace(settings, displacement_angstrom=length)
        self._settings = settings
        self.model, self.model_digest = calculator.name, calculator.digest
        self.phonons: Mapping[str, object] = ScreeningSettings(phonons=settings).as_dict()[
            "phonons"
        ]

    @property
    def record(self) -> dict[str, object]:
        """What makes the numbers, as plain JSON: what a model keeps of it."""
        return {
            "model": self.model,
            "digest": self.model_digest,
            "phonons": dict(self.phonons),
        }

    def histogram(
        self, structure: Structure, meter: Meter | None = None, subject: str = ""
    ) -> FloatArray:
        """Compute the phonons of a primitive cell and count its modes.

        Parameters
        ----------
        structure
            The cell; it is not relaxed.
        meter
            Counts what is asked of the potential.
        subject
            Name of the crystal for messages.

        Returns
        -------
        ndarray
            Modes of the cell in each bin, 3N over all, shape (bin,).

        Raises
        ------
        OutOfDomainError
            If modes lie outside the grid.
        ScreeningError
            As the potential and `screening.phonons.compute_forces` say.
        """
        calculator = Metered(self._calculator, meter or Meter())
        if calculator.members:
            forces = mean_force_data(compute_member_forces(structure, calculator, self._settings))
        else:
            forces = compute_forces(structure, calculator, self._settings)
        harmonic = harmonic_from_forces(forces, self._settings.symprec_angstrom)
        mesh = mesh_frequencies(harmonic, self._settings.mesh_length_angstrom)
        label = label_of_mesh(harmonic.primitive, mesh, subject, self._grid, self.model)
        if label.weight_outside > MOST_OUTSIDE:
            raise OutOfDomainError(
                f"{100.0 * label.weight_outside:.2g} % of the modes by {self.model} lie outside "
                "the grid of the network",
                subject=subject,
                hint="Take the potential alone, or a network of a wider grid",
            )
        share = len(structure) / len(harmonic.primitive)
        return frozen_array(np.asarray(label.histogram) * share)


def prior_of(
    trained: TrainedModel, calculator: ForceCalculator, grid: FrequencyGrid
) -> PotentialPrior:
    """Return a potential as the one that a model was trained to correct, with the same settings.

    Raises
    ------
    ModelRefusedError
        If the weights of the potential are others, or the model does not say how the phonons were
        computed.
    ModelCorruptError
        If what it says of them cannot be read.
    """
    stored = _record_of(trained)
    try:
        settings = ScreeningSettings.from_dict({"phonons": stored["phonons"]}).phonons
    except SettingError as error:
        raise ModelCorruptError(
            f"the settings of its potential cannot be read: {error.message}",
            subject=trained.name,
            hint="Get the model again",
        ) from error
    prior = PotentialPrior(calculator, grid, settings)
    check_prior(trained, prior)
    return prior


def check_prior(trained: TrainedModel, prior: PotentialPrior) -> None:
    """Refuse another potential than the one that a model corrects, or other phonons by it.

    Raises
    ------
    ModelRefusedError
        As said, also where the model does not say what it corrects.
    """
    stored = _record_of(trained)
    if stored["digest"] != prior.model_digest:
        raise ModelRefusedError(
            f"corrects {stored['model']} of the weights {str(stored['digest'])[:12]}, and "
            f"{prior.model} has other weights: {prior.model_digest[:12]}",
            subject=trained.name,
            hint=f"Use the same weights, or train with these: --prior {prior.model}",
        )
    if stored["phonons"] != prior.phonons:
        raise ModelRefusedError(
            f"corrects phonons by {prior.model} that were computed with other settings",
            subject=trained.name,
            hint=f"Take the settings that the model names. {_TO_TRAIN} for others",
        )


def _record_of(trained: TrainedModel) -> Mapping[str, object]:
    stored = trained.state.get(PRIOR) or {}
    if missing := {"model", "digest", "phonons"}.difference(stored):
        raise ModelRefusedError(
            f"does not say of the potential that it corrects: {', '.join(sorted(missing))}",
            subject=trained.name,
            hint=_TO_TRAIN,
        )
    found: Mapping[str, object] = stored
    return found
