"""Phonon densities of states by an ensemble of graph networks: no forces, milliseconds a crystal.

The crystal is taken as given: the networks know no forces, and hold where it is relaxed with what
computed the labels. All thermodynamics follows from the mean density of states of the members, the
modes at or above zero scaled to 3N. A network that corrects the density of states of a potential
asks that potential for the phonons of the same cell first, and is of its tier.

A crystal with more than a tenth of its modes below zero is called unstable, as published, also by
the criteria that ask for less; one whose calibrated interval of this share ends below a tenth is
stable by that criterion alone. Single imaginary modes, and so all other verdicts, are beyond a
histogram.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from screening.digest import digest_of
from screening.errors import ModelRefusedError, OutOfDomainError, ScreeningError
from screening.network_dos.estimates import CURVES, Estimates, estimates_of
from screening.network_dos.graphs import check_bonds, check_elements
from screening.network_dos.model import DOS_NETWORK, DensityOfStatesModel, PredictedDos
from screening.network_dos.numbers import spectral_properties
from screening.prediction import (
    Cost,
    DensityOfStates,
    FloatArray,
    Prediction,
    Stability,
    frozen_array,
)
from screening.predictors.dos_prior import check_prior
from screening.predictors.interface import Tier, identity_of
from screening.predictors.metering import Meter
from screening.quantities import Property, Quantity
from screening.settings import ScreeningSettings
from screening.stability import assess_share
from screening.trained_model import model_name
from screening.uncertainty.interval import Interval
from screening.uncertainty.own_intervals import spread_of_half_widths

if TYPE_CHECKING:
    from screening.network_dos.settings import Device
    from screening.predictors.dos_prior import PotentialPrior
    from screening.structure import Crystal
    from screening.trained_model import TrainedModel
    from screening.uncertainty.own_intervals import OwnCalibration

__all__ = ["DensityOfStatesNetwork"]

_INTERVAL_TEMPERATURES_K = (300.0, 1000.0)
_CHUNK = 256  # crystals whose graphs are in memory together
_AS_GIVEN = (
    "the structure is taken as given: the network knows no forces, and holds where it is relaxed "
    "with what computed its labels ({})"
)
_LABELS = (
    "intervals say how far results of {} may be; the errors which those have themselves come on top"
)
_LOWEST = (
    "the lowest frequency is where a thousandth of the predicted modes lie below, known to half a "
    "bin; single imaginary modes are not seen"
)
_UNSTABLE = (
    "{:.0f} % of the modes are predicted below zero: the thermodynamics is that of the others, "
    "without intervals"
)
_PRIOR = "the density of states by {} for the same cell is what the network corrects"


class DensityOfStatesNetwork:
    """Predict densities of states, and what follows from them.

    Parameters
    ----------
    trained
        Model of the method ``alignn-density-of-states``.
    settings
        Temperatures and the criterion of stability. Low modes are always renormalised, and phonons
        of a potential are computed as those that the networks learned with, whatever they say.
    prior
        The potential whose densities of states the networks correct, as
        `screening.predictors.dos_prior.prior_of` returns it; None for networks that were trained
        without one.
    device
        ``auto`` takes a graphics processor where there is one.

    Attributes
    ----------
    method, method_version, tier, model, model_digest, settings, settings_digest
        As `screening.predictors.interface.Predictor` says; tier 0, with a potential 1.
    training_source
        What computed the labels that it learned from; empty where that is not known.
    own_calibration
        What its intervals are worth at other risks and temperatures than those it states.

    Raises
    ------
    ModelCorruptError
        If the model cannot be read.
    ModelRefusedError
        If it is of another method, or needs a potential and has none, or the other way round; if
        the potential, or how its phonons are computed, is not what the model was trained with.
    ModelUnavailableError
        If a graphics processor is asked for and there is none.
    """

    method = DOS_NETWORK
    method_version = 1

    def __init__(
        self,
        trained: TrainedModel,
        settings: ScreeningSettings | None = None,
        prior: PotentialPrior | None = None,
        device: Device = "auto",
    ) -> None:
        self._settings, self._prior = settings or ScreeningSettings(), prior
        self._model = DensityOfStatesModel.from_trained(trained, device)
        _check_prior(self._model, prior, trained)
        self.tier = Tier.FAST_MODEL if prior is None else Tier.POTENTIAL
        self.model = model_name(self.method, trained.name)
        self.model_digest = trained.digest
        self.own_calibration: OwnCalibration = self._model.calibration.own
        self.training_source = ", ".join(map(str, trained.card.get("sources", ())))
        self.settings: Mapping[str, object] = self._relevant()
        self.settings_digest = digest_of(dict(self.settings))

    def _relevant(self) -> dict[str, object]:
        """Return the settings that can change the numbers."""
        everything = self._settings.as_dict()
        found: dict[str, object] = {
            "relaxation": None,
            "temperatures_k": everything["thermodynamics"]["temperatures_k"],
            "low_mode_policy": "renormalise",
            "stability_criterion": everything["stability_criterion"],
        }
        if self._prior is not None:
            found |= {
                "prior": {"model": self._prior.model, "digest": self._prior.model_digest},
                "phonons": dict(self._prior.phonons),
            }
        return found

    def predict(self, crystal: Crystal) -> Prediction:
        """Predict one crystal.

        Raises
        ------
        ElementNotInModelError
            If it holds an element that the model does not know, before anything is computed.
        OutOfDomainError
            If modes lie outside the window of frequencies, or it is newer than all that the model
            was calibrated on.
        TooLargeError
            If it does not fit into the memory.
        ScreeningError
            As the potential says, for a network that corrects one.
        """
        [found] = self.predict_many([crystal])
        if isinstance(found, ScreeningError):
            raise found
        return found

    def predict_many(self, crystals: Sequence[Crystal]) -> list[Prediction | ScreeningError]:
        """Predict crystals in batches; of each the prediction, or why there is none."""
        found: list[Prediction | ScreeningError] = []
        for start in range(0, len(crystals), _CHUNK):
            found += self._chunk(crystals[start : start + _CHUNK])
        return found

    def _chunk(self, crystals: Sequence[Crystal]) -> list[Prediction | ScreeningError]:
        found: dict[int, Prediction | ScreeningError] = {}
        usable: dict[int, tuple[FloatArray | None, Cost]] = {}
        for place, crystal in enumerate(crystals):
            meter = Meter()
            try:
                usable[place] = self._checked(crystal, meter), meter.cost()
            except ScreeningError as error:
                found[place] = error
        places = list(usable)
        given = [usable[place] for place in places]
        answers = self._answers([crystals[place] for place in places], given)
        found |= dict(zip(places, answers, strict=True))
        return [found[place] for place in range(len(crystals))]

    def _checked(self, crystal: Crystal, meter: Meter) -> FloatArray | None:
        """Refuse what the network cannot see, then ask the potential where there is one."""
        check_elements([crystal.structure], self._model.elements)
        architecture = self._model.settings.architecture
        check_bonds(crystal.structure, architecture.bond_cutoff_angstrom)
        if self._prior is None:
            return None
        return self._prior.histogram(crystal.structure, meter, crystal.material_id)

    def _answers(
        self, crystals: Sequence[Crystal], given: Sequence[tuple[FloatArray | None, Cost]]
    ) -> list[Prediction | ScreeningError]:
        """Predict what may be predicted, one by one where together is too much."""
        if not crystals:
            return []
        meter = Meter()
        priors = [one for one, _ in given if one is not None]
        structures = [one.structure for one in crystals]
        try:
            predicted = self._model.predict(structures, np.array(priors) if priors else None)
        except ScreeningError as error:
            if len(crystals) == 1:
                return [error]
            pairs = zip(crystals, given, strict=True)
            return [answer for one, its in pairs for answer in self._answers([one], [its])]
        batch = _Batch(self._model, crystals, predicted, self._settings)
        shared = meter.cost()
        return [
            self._answer(batch, place, _sum_of(cost, shared, len(crystals)))
            for place, (_, cost) in enumerate(given)
        ]

    def _answer(self, batch: _Batch, place: int, cost: Cost) -> Prediction | ScreeningError:
        crystal = batch.crystals[place]
        try:
            batch.check(place)
        except OutOfDomainError as error:
            return error
        return Prediction(
            **identity_of(self, crystal),
            structure=crystal.structure.copy(),
            thermodynamics=batch.estimates.properties.thermodynamics(place),
            stability=batch.stability(place),
            cost=cost,
            spread=spread_of_half_widths(
                np.array([batch.half_widths[name][place] for name in CURVES]),
                self._model.calibration.alpha,
                self._model.calibration.n_groups,
            ),
            density_of_states=batch.density(place),
            warnings=self._warnings(batch.estimates, place),
            intervals=tuple(batch.intervals(place, self.model_digest)),
            spectral_properties=batch.numbers[place],
        )

    def _warnings(self, estimates: Estimates, place: int) -> tuple[str, ...]:
        source = self.training_source or "what it learned"
        found = [_AS_GIVEN.format(source), _LABELS.format(source), _LOWEST]
        if self._prior is not None:
            found.append(_PRIOR.format(self._prior.model))
        if not estimates.properties.stable[place]:
            share = 100.0 * float(estimates.properties.negative_fraction[place])
            found.append(_UNSTABLE.format(share))
        return tuple(found)


class _Batch:
    """What the networks say of some crystals."""

    def __init__(
        self,
        model: DensityOfStatesModel,
        crystals: Sequence[Crystal],
        predicted: PredictedDos,
        settings: ScreeningSettings,
    ) -> None:
        self.crystals, self._model, self._settings = crystals, model, settings
        self._histograms, self._novelty = predicted.histograms, model.novelty(predicted)
        self.estimates = estimates_of(
            predicted.histograms,
            [one.structure for one in crystals],
            model.settings.grid,
            settings.thermodynamics.temperatures_k,
            predicted.edge_fraction,
        )
        self.half_widths = model.calibration.half_widths(self.estimates)
        scalars = model.calibration.scalar_half_widths(self.estimates)
        self._share_half_widths = scalars["negative_fraction"]
        coverage = 1.0 - model.calibration.alpha
        self.numbers = spectral_properties(self.estimates, scalars, coverage)

    def check(self, place: int) -> None:
        """Refuse what the networks cannot vouch for.

        Raises
        ------
        OutOfDomainError
            If modes lie outside the window, or the crystal is new.
        """
        subject, novelty = self.crystals[place].material_id, float(self._novelty[place])
        self.estimates.properties.check_suitable(place, subject)
        if not novelty <= 1.0:  # one that is not a number is no reason to go on
            raise OutOfDomainError(
                f"{novelty:.3g} times as unlike what was learned as the networks were tested for",
                subject=subject,
                hint="Use a potential, or add crystals like it to the training set",
            )

    def stability(self, place: int) -> Stability:
        """Judge by the share of the modes below zero."""
        found = self.numbers[place]
        return assess_share(
            found.negative_fraction,
            float(self._share_half_widths[place]),
            found.lowest_frequency_thz,
            self._settings.stability_criterion,
        )

    def density(self, place: int) -> DensityOfStates:
        """Density of states of the cell at the centres of the bins."""
        grid, members = self._model.settings.grid, self._histograms[place]
        return DensityOfStates(
            frequencies_thz=grid.centres_thz,
            total_per_thz=frozen_array(
                self.estimates.properties.histograms[place] / grid.width_thz
            ),
            projected_per_thz=None,
            total_std_per_thz=frozen_array(members.std(axis=0, ddof=1) / grid.width_thz),
        )

    def intervals(self, place: int, calibration: str) -> Iterator[Interval]:
        """Intervals of the curves of a stable crystal, where they are calibrated."""
        known, asked = self._model.calibration.temperatures_k, self.estimates.temperatures_k
        if not self.estimates.properties.stable[place]:
            return
        for kelvin in _INTERVAL_TEMPERATURES_K:
            here = np.flatnonzero(np.asarray(asked) == kelvin)
            if not (here.size and known[0] <= kelvin <= known[-1]):
                continue
            for name in CURVES:
                value = float(self.estimates.values[name][place, here[0]])
                half = float(self.half_widths[name][place, here[0]])
                quantity = Quantity(Property(name), kelvin)
                coverage = 1.0 - self._model.calibration.alpha
                yield Interval(quantity, value, value - half, value + half, coverage, calibration)


def _sum_of(own: Cost, shared: Cost, n_crystals: int) -> Cost:
    """Cost of one crystal: its own, and its part of what was done for all."""
    return replace(
        own,
        wall_seconds=own.wall_seconds + shared.wall_seconds / n_crystals,
        cpu_seconds=own.cpu_seconds + shared.cpu_seconds / n_crystals,
    )


def _check_prior(
    model: DensityOfStatesModel, prior: PotentialPrior | None, trained: TrainedModel
) -> None:
    wanted = model.settings.architecture.with_prior
    if wanted and prior is not None:
        check_prior(trained, prior)
    if wanted == (prior is not None):
        return
    raise ModelRefusedError(
        "corrects the densities of states of a potential, and none is given"
        if wanted
        else "was trained without a potential, and one is given",
        subject=trained.name,
        hint="Name the potential that it was trained with" if wanted else "Leave the potential out",
    )
