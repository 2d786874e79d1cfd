"""Thermodynamics of crystals by a linear model of the entropy: milliseconds, and no forces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from screening.descriptors.interface import AtomicSystem
from screening.digest import digest_of
from screening.errors import ModelRefusedError, OutOfDomainError, ScreeningError
from screening.linear_entropy.labels import SpectrumKind
from screening.linear_entropy.model import LINEAR_ENTROPY, LinearEntropyModel
from screening.linear_entropy.moments import FrequencyMoments, frequency_moments
from screening.linear_entropy.thermal import CURVES, ThermalPrediction, thermal_prediction
from screening.novelty_limits import said_times
from screening.prediction import (
    FloatArray,
    Prediction,
    Stability,
    Verdict,
    frozen_array,
)
from screening.predictors.interface import Tier, identity_of, predict_each
from screening.predictors.learned_cell import REPEATED, learned_cell
from screening.predictors.metering import Meter
from screening.quantities import Property, Quantity
from screening.random_forest.calibration import INTERVALS_HOLD
from screening.settings import ScreeningSettings
from screening.stability import CRITERIA
from screening.trained_model import model_name
from screening.trained_refusals import check_learned_elements, check_vibrates, size_refusal
from screening.uncertainty.interval import Interval
from screening.uncertainty.own_intervals import spread_of_half_widths

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from screening.prediction import ThermodynamicsSpread
    from screening.structure import Crystal
    from screening.trained_model import TrainedModel
    from screening.uncertainty.own_intervals import OwnCalibration

__all__ = ["LinearDescriptorEntropy"]

_INTERVAL_TEMPERATURES_K = (300.0, 1000.0)
_AS_GIVEN = (
    "the structure is taken as given: the model holds where it is relaxed with the potential or "
    "functional of the training set"
)
_NO_STABILITY = (
    "a model spectrum from two moments says nothing of dynamical stability: the lowest frequency "
    "is not known, and zero stands in its place"
)
_ZONE_CENTRE = (
    "the model was trained on modes of the zone centre alone; translations count half of their mean"
)
_LIMITED = (
    "no spectrum has both moments: the nearest that has the mean logarithm is taken, right at "
    "high temperatures only"
)
_PROPERTIES = (Property.FREE_ENERGY, Property.ENTROPY, Property.HEAT_CAPACITY)  # as CURVES


class LinearDescriptorEntropy:
    """Predict the vibrational free energy, entropy and heat capacity of crystals.

    The model knows the mean logarithm and the mean square of the frequencies; a spectrum with
    these two moments and the shape of the training set gives the curves. It cannot vouch for
    dynamical stability. Of a model of zone centres the modes are those of the primitive cell,
    repeated where larger cells were learned (`screening.predictors.learned_cell`).

    Parameters
    ----------
    trained
        Model of the method ``linear-descriptor-entropy``, trained on crystals.
    settings
        Temperatures and the criterion of stability; other settings have no meaning here.

    Attributes
    ----------
    method, method_version, tier, model, model_digest, settings, settings_digest
        As `screening.predictors.interface.Predictor` says.
    training_source
        What computed the phonons that it learned from; empty where that is not known.
    own_calibration
        What its intervals are worth at other risks and temperatures than those it states;
        nothing where zone centres were learned.

    Raises
    ------
    ModelCorruptError
        If the model cannot be read.
    ModelRefusedError
        If it was trained on clusters or defects, or without traces: such a model has no
        quantum statistics.
    """

    method = LINEAR_ENTROPY
    method_version = 3  # zone centres of cells of a learned size, and of no other
    tier = Tier.FAST_MODEL

    def __init__(self, trained: TrainedModel, settings: ScreeningSettings | None = None) -> None:
        self._settings = settings or ScreeningSettings()
        self._model = LinearEntropyModel.from_trained(trained)
        _check_model(self._model, trained.name)
        self.model = model_name(self.method, trained.name)
        self.model_digest = trained.digest
        self.own_calibration: OwnCalibration = self._model.calibration.own_calibration()
        self.training_source = ", ".join(map(str, trained.card.get("sources", ())))
        everything = self._settings.as_dict()
        self.settings: Mapping[str, object] = {
            "relaxation": None,
            "temperatures_k": everything["thermodynamics"]["temperatures_k"],
            "stability_criterion": everything["stability_criterion"],
        }
        self.settings_digest = digest_of(dict(self.settings))

    def predict(self, crystal: Crystal) -> Prediction:
        """Predict one crystal.

        Raises
        ------
        ElementNotInModelError
            If it holds an element that the model was not trained on.
        OutOfDomainError
            If it is newer than all that the model was calibrated on, or seems not to be at rest.
            Where zone centres were learned, also if it has one atom, or a cell no multiple of
            which is of a size that was learned.
        """
        meter = Meter()
        cell = self._checked_cell(crystal)
        system = AtomicSystem.from_structure(cell)
        moments = self._model.moments(system)
        frequencies = frequency_moments(moments, system, self._model.kind)
        _check_domain(crystal, self._model.calibration.novelty(moments), frequencies)
        found = thermal_prediction(frequencies, self._settings.thermodynamics, self._model.shape)
        return Prediction(
            **identity_of(self, crystal),
            structure=crystal.structure.copy(),
            thermodynamics=found.thermodynamics,
            stability=self._stability(),
            cost=meter.cost(),
            spread=self._spread(found),
            warnings=self._warnings(found, len(cell), len(crystal.structure)),
            intervals=self._intervals(frequencies),
        )

    def predict_many(self, crystals: Sequence[Crystal]) -> list[Prediction | ScreeningError]:
        """Predict many crystals; one that cannot be predicted gives the error that says why."""
        return predict_each(self, crystals)

    def _checked_cell(self, crystal: Crystal) -> Structure:
        """Return the cell whose modes are summed, or refuse the crystal."""
        system = AtomicSystem.from_structure(crystal.structure)
        check_learned_elements(system.numbers.tolist(), self._model.maker.elements)
        sizes = self._model.calibration.sites_per_cell
        if sizes is not None:
            check_vibrates(len(system), crystal.material_id)
        _, refusal = self._model.unrest(system, crystal.material_id)
        cell = crystal.structure if sizes is None else learned_cell(crystal.structure, sizes)
        refusal = refusal or size_refusal(
            len(cell), sizes, crystal.material_id, instead="of sums over a mesh"
        )
        if refusal is not None:
            raise refusal
        return cell

    def _spread(self, found: ThermalPrediction) -> ThermodynamicsSpread | None:
        """Deviations as calibrated; none of a zone centre, whose intervals settle nothing."""
        calibration = self._model.calibration
        if calibration.sites_per_cell is not None:
            return None
        return spread_of_half_widths(
            self._half_widths(found), calibration.alpha, calibration.n_groups
        )

    def _half_widths(self, found: ThermalPrediction) -> FloatArray:
        """Calibrated half widths of the curves, shape (curve, temperature)."""
        kelvin, calibration = found.thermodynamics.temperatures_k, self._model.calibration
        factors = [calibration.thermal_quantile(curve, kelvin) for curve in CURVES]
        return np.asarray(np.array(factors) * found.scales)

    def _intervals(self, frequencies: FrequencyMoments) -> tuple[Interval, ...]:
        asked = self._settings.thermodynamics.temperatures_k
        known = self._model.calibration.temperatures_k
        temperatures = tuple(
            one for one in _INTERVAL_TEMPERATURES_K if one in asked and known[0] <= one <= known[-1]
        )
        if not temperatures:
            return ()
        settings = replace(self._settings.thermodynamics, temperatures_k=temperatures)
        found = thermal_prediction(frequencies, settings, self._model.shape)
        half_widths = self._half_widths(found)
        intervals = []
        for number, (curve, kind) in enumerate(zip(CURVES, _PROPERTIES, strict=True)):
            for index, kelvin in enumerate(temperatures):
                value = float(getattr(found.thermodynamics, curve)[index])
                half = float(half_widths[number, index])
                coverage = 1.0 - self._model.calibration.alpha
                ends = value - half, value + half
                quantity = Quantity(kind, kelvin)
                intervals.append(Interval(quantity, value, *ends, coverage, self.model_digest))
        return tuple(intervals)

    def _stability(self) -> Stability:
        return Stability(
            verdict=Verdict.UNDETERMINED,
            criterion=self._settings.stability_criterion,
            lowest_frequency_thz=0.0,
            lowest_frequency_q_point=frozen_array(np.zeros(3)),
            lowest_frequency_region="spectrum",
            verdicts=dict.fromkeys(CRITERIA, Verdict.UNDETERMINED),
        )

    def _warnings(self, found: ThermalPrediction, n_summed: int, n_given: int) -> tuple[str, ...]:
        warnings = [_AS_GIVEN, _NO_STABILITY]
        if self._model.kind is SpectrumKind.ZONE_CENTRE:
            warnings += [_ZONE_CENTRE, INTERVALS_HOLD["zone_centre"]]
        if n_summed != n_given:
            warnings.append(REPEATED.format(n_summed, n_given))
        if found.spectrum.is_limited:
            warnings.append(_LIMITED)
        return tuple(warnings)


def _check_model(model: LinearEntropyModel, name: str) -> None:
    if model.fits.traces and model.calibration.thermal_quantiles:
        return
    raise ModelRefusedError(
        f"a model of {model.settings.target} from labels of the kind {model.kind.value} without "
        "traces or thermodynamics has no quantum statistics",
        subject=name,
        hint="Train on crystals (label_of) with the target entropy, or use predict_entropy",
    )


def _check_domain(crystal: Crystal, novelty: float, frequencies: FrequencyMoments) -> None:
    if not novelty <= 1.0:  # one that is not a number is no reason to go on
        raise OutOfDomainError(
            f"{said_times(novelty)} newer than the newest crystal of the calibration",
            subject=crystal.material_id,
            hint="Use a potential, or add crystals like it to the training set",
        )
    if not frequencies.has_spectrum:
        raise OutOfDomainError(
            "the model gives a negative mean square of the frequencies, or frequencies that cannot"
            " be",
            subject=crystal.material_id,
            hint="Use a potential, or add crystals like it to the training set",
        )
