"""Harmonic phonons from learned force constants: no forces, milliseconds a crystal.

The crystal is taken as given: it must be relaxed with what computed the training set. A model of
force constants knows no forces; it refuses what is unlike the relaxed crystals that it learned
(`screening.novelty`), which most but not all crystals with forces are. By default
the modes are those of the zone centre of the primitive cell, repeated where larger cells were
learned (`screening.predictors.learned_cell`); a model of tensors alone can also be asked for a
mesh and a band structure. These have no intervals: what was learned, and predicted of structures
that were held out, are Hessians at the zone centre. Where the training set knows the sums over
all wave vectors, the intervals of the zone centre hold these; else there is no truth on a mesh to
calibrate on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from screening.digest import digest_of
from screening.errors import ScreeningError, SettingError
from screening.harmonic import harmonic_from_force_constants
from screening.prediction import (
    FloatArray,
    Prediction,
    Stability,
    ThermodynamicsSpread,
    Verdict,
    frozen_array,
)
from screening.predictors.assembly import Physics, physics_from_harmonic
from screening.predictors.interface import Tier, identity_of, predict_each
from screening.predictors.learned_cell import REPEATED, learned_cell
from screening.predictors.metering import Meter
from screening.quantities import Property, Quantity
from screening.random_forest.calibration import INTERVALS_HOLD, Truth
from screening.random_forest.curves import PROPERTIES, Curves, curves_of
from screening.random_forest.model import METHOD, RandomForestForceConstants
from screening.random_forest.settings import INTERVAL_TEMPERATURES_K
from screening.settings import ScreeningSettings
from screening.stability import CRITERIA, ZONE_CENTRE
from screening.supercell import choose_supercell
from screening.trained_model import model_name
from screening.uncertainty.interval import Interval
from screening.uncertainty.own_intervals import spread_of_half_widths
from screening.zone_centre_modes import zone_centre_thermodynamics

if TYPE_CHECKING:
    from screening.descriptors.image_bonds import BondedCrystal
    from screening.random_forest.spectrum import Spectrum
    from screening.structure import Crystal
    from screening.trained_model import TrainedModel

__all__ = ["Modes", "RandomForestPhonons"]

Modes = Literal["zone_centre", "mesh"]

_AS_GIVEN = (
    "the structure is taken as given: it must be relaxed with what computed the training set ({})"
)
_NO_VERDICT = "dynamical stability undetermined: a learned model of relaxed crystals cannot tell"
_ZONE_CENTRE_ONLY = "modes of the zone centre of this cell alone, no dispersion"
_MESH = "modes on a mesh are an extrapolation from the zone centre, which alone was learned"
_NO_INTERVALS: Mapping[Truth, str] = MappingProxyType(
    {
        "mesh": "no intervals: modes on a mesh were not predicted of held-out structures; those of "
        "the modes zone_centre hold the sum over all wave vectors",
        "zone_centre": "no intervals: the training set knows the zone centre alone, and no truth "
        "on a mesh to calibrate on",
    }
)


class RandomForestPhonons:
    """Predict crystals with a trained model of force constants.

    Parameters
    ----------
    model
        What `screening.random_forest.train_force_constants` returned.
    settings
        Thermodynamics, mesh, supercell and criterion; a relaxation has no meaning here. The
        policy for low modes of the zone centre is ``half_mean_optical`` whatever they say.
    modes
        ``zone_centre``, or ``mesh`` where all pairs of elements are by the ridge.

    Attributes
    ----------
    method, method_version, tier, model, model_digest, settings, settings_digest
        As `screening.predictors.interface.Predictor` says.
    training_source
        What computed the training set.
    model_settings
        Settings of the training, for people.
    own_calibration
        What intervals are worth at other risks; nothing on a mesh, nor where no sum over all wave
        vectors was learned from.

    Raises
    ------
    ModelRefusedError, ModelCorruptError
        If the model is of another method or not whole.
    SettingError
        If a mesh is asked of a model without dispersion.
    """

    method = METHOD
    method_version = 2  # refuses by how far atoms and lattice seem to be from rest
    tier = Tier.FAST_MODEL

    def __init__(
        self,
        model: TrainedModel,
        settings: ScreeningSettings | None = None,
        *,
        modes: Modes = "zone_centre",
    ) -> None:
        if modes not in get_args(Modes):
            raise SettingError(
                f"unknown modes {modes!r}",
                subject="modes",
                hint=f"Choose one of {', '.join(get_args(Modes))}",
            )
        self._model = RandomForestForceConstants.from_trained(model)
        if modes == "mesh" and not self._model.has_dispersion:
            raise SettingError(
                "a forest knows sums over images only, no dispersion",
                subject="modes",
                hint="Train the variant tensor_ridge, or take the zone centre",
            )
        self._settings = replace(settings or ScreeningSettings(), relaxation=None, few_cells=None)
        self._modes = modes
        self.model = model_name(model.method, model.name)
        self.model_digest = model.digest
        self.training_source = self._model.source
        self.model_settings: Mapping[str, object] = self._model.settings.as_dict()
        own = self._model.calibration.own
        self.own_calibration = own if modes == "zone_centre" else replace(own, quantiles={})
        self.settings: Mapping[str, object] = self._relevant()
        self.settings_digest = digest_of(dict(self.settings))

    def _relevant(self) -> dict[str, object]:
        """Return the settings that can change the numbers."""
        every = self._settings.as_dict()
        names = ["thermodynamics", "stability_criterion"]
        names += ["phonons"] if self._modes == "mesh" else []
        found: dict[str, object] = {name: every[name] for name in names}
        if self._modes == "zone_centre":
            found["thermodynamics"] = every["thermodynamics"] | {
                "low_mode_policy": "half_mean_optical"
            }
        return found | {"modes": self._modes}

    def predict(self, crystal: Crystal) -> Prediction:
        """Predict one crystal.

        Raises
        ------
        ElementNotInModelError
            Naming elements that were never seen.
        OutOfDomainError
            If the crystal is stranger than the calibration allows, has one atom or, at the
            zone centre, a cell no multiple of which is of a size that was learned.
        """
        meter = Meter()
        bonded = self._model.bonded(crystal.structure)
        self._model.check(bonded, crystal.material_id)
        if self._modes == "mesh":
            return self._on_mesh(crystal, meter)
        return self._at_centre(crystal, bonded, meter)

    def predict_many(self, crystals: Sequence[Crystal]) -> list[Prediction | ScreeningError]:
        """Predict crystals; of each the prediction, or why there is none."""
        return predict_each(self, crystals)

    def _at_centre(self, crystal: Crystal, bonded: BondedCrystal, meter: Meter) -> Prediction:
        cell = learned_cell(crystal.structure, self._model.calibration.domain.sites_per_cell)
        self._model.check_size(cell, crystal.material_id)
        spectrum = self._model.spectrum(bonded if cell is bonded.structure else cell)
        calibration = self._model.calibration
        curves = curves_of(spectrum, calibration.temperatures_k)
        self._model.check_agreement(curves, crystal.structure, crystal.material_id)
        thermo = zone_centre_thermodynamics(
            spectrum.frequencies_thz, len(cell), self._settings.thermodynamics
        )
        stability = self._stability(spectrum.lowest_thz, np.zeros(3), ZONE_CENTRE)
        warnings = [_AS_GIVEN.format(self._model.source), _ZONE_CENTRE_ONLY, _NO_VERDICT]
        warnings += [INTERVALS_HOLD[calibration.truth], *_repair_warnings(spectrum)]
        if len(cell) != crystal.n_atoms:
            warnings.append(REPEATED.format(len(cell), crystal.n_atoms))
        return Prediction(
            **identity_of(self, crystal),
            structure=crystal.structure,
            thermodynamics=thermo,
            stability=stability,
            cost=meter.cost(),
            spread=self._spread(curves, thermo.temperatures_k)
            if calibration.truth == "mesh"
            else None,
            intervals=self._intervals(curves),
            warnings=tuple(warnings),
            model_settings=self.model_settings,
        )

    def _on_mesh(self, crystal: Crystal, meter: Meter) -> Prediction:
        physics = self._physics(crystal)
        found = physics.stability
        stability = self._stability(
            found.lowest_frequency_thz,
            found.lowest_frequency_q_point,
            found.lowest_frequency_region,
        )
        return Prediction(
            **identity_of(self, crystal),
            structure=crystal.structure,
            thermodynamics=physics.thermodynamics,
            stability=stability,
            cost=meter.cost(),
            density_of_states=physics.density_of_states,
            band_structure=physics.bands,
            warnings=(
                _AS_GIVEN.format(self._model.source),
                _MESH,
                _NO_INTERVALS[self._model.calibration.truth],
                _NO_VERDICT,
            ),
            model_settings=self.model_settings,
        )

    def _physics(self, crystal: Crystal) -> Physics:
        phonons = self._settings.phonons
        matrix = choose_supercell(crystal.structure, phonons.supercell, phonons.symprec_angstrom)
        constants = self._model.force_constants(crystal.structure, matrix)
        harmonic = harmonic_from_force_constants(constants, phonons.symprec_angstrom)
        return physics_from_harmonic(harmonic, self._settings)

    def _stability(self, lowest_thz: float, q_point: FloatArray, region: str) -> Stability:
        """Report the lowest frequency, and no verdict by any criterion."""
        return Stability(
            verdict=Verdict.UNDETERMINED,
            criterion=self._settings.stability_criterion,
            lowest_frequency_thz=lowest_thz,
            lowest_frequency_q_point=frozen_array(q_point),
            lowest_frequency_region=region,
            verdicts=dict.fromkeys(CRITERIA, Verdict.UNDETERMINED),
        )

    def _spread(self, curves: Curves, temperatures_k: FloatArray) -> ThermodynamicsSpread:
        """Deviations whose Student interval has the calibrated half width.

        Between calibrated temperatures the half width is interpolated. Beyond them it stays, and
        `own_calibration` claims nothing.
        """
        calibration = self._model.calibration
        widths, grid = calibration.half_widths(curves), calibration.temperatures_k
        half_widths = np.array([np.interp(temperatures_k, grid, widths[x]) for x in PROPERTIES])
        alpha = 1.0 - calibration.coverage
        return spread_of_half_widths(half_widths, alpha, calibration.n_groups)

    def _intervals(self, curves: Curves) -> tuple[Interval, ...]:
        calibration = self._model.calibration
        widths = calibration.half_widths(curves)
        grid = list(calibration.temperatures_k)
        return tuple(
            self._interval(Quantity(Property(name), kelvin), curves, widths, grid.index(kelvin))
            for kelvin in INTERVAL_TEMPERATURES_K
            for name in PROPERTIES
        )

    def _interval(
        self, quantity: Quantity, curves: Curves, widths: Mapping[str, FloatArray], at: int
    ) -> Interval:
        name = quantity.kind.value
        value, width = float(curves.values[name][at]), float(widths[name][at])
        return Interval(
            quantity=quantity,
            value=value,
            lower=value - width,
            upper=value + width,
            coverage=self._model.calibration.coverage,
            calibration=self.model_digest,
        )


def _repair_warnings(spectrum: Spectrum) -> list[str]:
    if not spectrum.n_clipped:
        return []
    text = (
        f"{spectrum.n_clipped} negative modes of the predicted Hessian were removed and count half "
        "of the mean frequency: the thermodynamics are uncertain"
    )
    return [text]
