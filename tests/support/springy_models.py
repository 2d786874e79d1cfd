"""A trained method in miniature: every crystal vibrates like the mean of those it learned from.

It refuses what is larger or smaller than it was trained on, and elements that it never saw.
"""

import math

import numpy as np

from flows.trained import METHODS, TrainedMethod
from screening.errors import ElementNotInModelError, OutOfDomainError, TrainingSetError
from screening.harmonic import harmonic_from_forces
from screening.prediction import (
    Cost,
    Prediction,
    Stability,
    Thermodynamics,
    ThermodynamicsSpread,
    Verdict,
    frozen_array,
)
from screening.predictors.interface import Tier
from screening.quantities import Property, Quantity
from screening.settings import ScreeningSettings
from screening.stability import CRITERIA
from screening.trained_model import TrainedModel
from screening.uncertainty.interval import Interval
from screening.uncertainty.own_intervals import OwnCalibration
from screening.units import BOLTZMANN_MEV_PER_K

METHOD = METHODS["rf-ifc"].method
N_GROUPS = 20
HALF_WIDTH_MEV = 2.0
LEAST_SAMPLES = 4
T_QUANTILE = 1.7291  # of 0.95 with 19 degrees of freedom
CALIBRATED_K = (0.0, 2000.0)
WIDER = 2.5
"""Half width at a risk of 0.02 over that at 0.1."""


def label(phonons):
    """Volume per atom, numbers and the mean spring constant of a stored crystal."""
    harmonic = harmonic_from_forces(phonons.force_data)
    structure = harmonic.primitive
    on_site = [harmonic.force_constants_ev_per_angstrom2[i, i] for i in range(len(structure))]
    if structure.composition.reduced_formula == "Ag":
        raise TrainingSetError("has a negative mode", subject=phonons.material_id)
    numbers = sorted({site.specie.Z for site in structure})
    return {
        "material_id": phonons.material_id,
        "numbers": numbers,
        "stiffness": float(np.trace(np.mean(on_site, axis=0)) / 3),
        "volume": structure.volume / len(structure),
    }


def train(labels, settings, name, progress):
    """Take the mean."""
    if len(labels) < LEAST_SAMPLES:
        raise TrainingSetError(f"{len(labels)} structures are too few", subject=name)
    for fold in range(3):
        if progress is not None:
            progress("folds", fold + 1, 3)
    stiffness = [one["stiffness"] for one in labels]
    mean = float(np.mean(stiffness))
    error = float(np.mean(np.abs(np.array(stiffness) - mean)))
    values = {"reference": stiffness, "predicted": [mean] * len(labels), "unit": "eV/Å²"}
    row = {"quantity": "stiffness_ev_per_angstrom2", "unit": "eV/Å²", "pearson": None,
           "spearman": None, "mae": error, "rmse": error, "mad": error, "skill": 0.0,
           "baseline_mae": error, "paper": {"mae": 0.17}}  # fmt: skip
    return TrainedModel(
        method=METHOD,
        name=name,
        elements=tuple(sorted({z for one in labels for z in one["numbers"]})),
        arrays={"stiffness": np.array([mean])},
        state={
            "volumes": [min(x["volume"] for x in labels) - 1, max(x["volume"] for x in labels) + 1],
            "settings": dict(settings),
        },
        card={
            "summary": "springs",
            "scores": [row],
            "parity": {"stiffness_ev_per_angstrom2": values},
            "variants": {
                "mean": {"stiffness_ev_per_angstrom2": error},
                "median": {"stiffness_ev_per_angstrom2": 2 * error},
            },
            "notes": ["of no use"],
        },
        training_set_digest="a" * 64,
        n_training_samples=len(labels),
    )


class Springs:
    """Einstein crystals, classical."""

    method, method_version, tier = METHOD, 1, Tier.FAST_MODEL

    def __init__(self, model, settings=None):
        chosen = settings or ScreeningSettings()
        self.model, self.model_digest = f"rf-ifc:{model.name}", model.digest
        self.settings, self.settings_digest = chosen.as_dict(), chosen.digest
        self.trained, self._grid = model, chosen.thermodynamics.temperatures_k
        kinds = (Property.FREE_ENERGY, Property.ENTROPY, Property.HEAT_CAPACITY)
        self.own_calibration = OwnCalibration(
            0.1, CALIBRATED_K, {
                0.1: dict.fromkeys(kinds, (1.0, 1.0)), 0.02: dict.fromkeys(kinds, (WIDER, WIDER))
            }
        )  # fmt: skip

    def predict(self, crystal):
        structure = crystal.structure
        if not {site.specie.Z for site in structure} <= set(self.trained.elements):
            raise ElementNotInModelError("was not trained on it", subject=crystal.material_id)
        low, high = self.trained.state["volumes"]
        if not low < structure.volume / len(structure) < high:
            raise OutOfDomainError(
                "is larger than any it learned from", subject=crystal.material_id
            )
        mass = np.mean([site.specie.atomic_mass for site in structure])
        frequency = 15.633 * math.sqrt(self.trained.arrays["stiffness"][0] / mass)
        t = np.array(self._grid)
        kt = BOLTZMANN_MEV_PER_K * np.maximum(t, 1.0)
        free = 3 * kt * np.log(4.1357 * frequency / kt)
        free[t == 0.0] = 0.0
        entropy = np.where(
            t > 0, 3 * BOLTZMANN_MEV_PER_K * (1 - np.log(4.1357 * frequency / kt)), 0
        )
        capacity = np.where(t > 0, 3 * BOLTZMANN_MEV_PER_K, 0.0)
        curves = Thermodynamics(
            *(frozen_array(x) for x in (t, free, entropy, capacity, 3 * kt * (t > 0))),
            zero_point_energy_mev_per_atom=0.0, low_mode_policy="drop", cutoff_thz=0.1,
            dropped_weight=0.0, imaginary_weight=0.0, valid=True,
        )  # fmt: skip
        std = HALF_WIDTH_MEV / T_QUANTILE
        flat = frozen_array(np.full(len(t), std))
        spread = ThermodynamicsSpread(flat, flat * 0.001, flat * 0.001, 0.5, N_GROUPS)
        quantity = Quantity(Property.FREE_ENERGY, 300.0)
        value = float(np.interp(300.0, t, free))
        interval = Interval(quantity, value, value - HALF_WIDTH_MEV, value + HALF_WIDTH_MEV, 0.9)
        unknown = Verdict.UNDETERMINED
        return Prediction(
            method=self.method, method_version=1, tier=0, model=self.model,
            model_digest=self.model_digest, structure_digest=crystal.digest,
            settings=self.settings, settings_digest=self.settings_digest, structure=structure,
            thermodynamics=curves, spread=spread,
            stability=Stability(unknown, "phonoscreen", frequency, frozen_array(np.zeros(3)),
                                "mesh", dict.fromkeys(CRITERIA, unknown)),
            cost=Cost(0.001, 0.001, 0.0, 0), warnings=("taken as given",), intervals=(interval,),
        )  # fmt: skip

    def predict_many(self, crystals):
        found = []
        for one in crystals:
            try:
                found.append(self.predict(one))
            except (ElementNotInModelError, OutOfDomainError) as error:
                found.append(error)
        return found


SPRINGS = TrainedMethod("rf-ifc", METHOD, ("variant",), label, train, Springs)
