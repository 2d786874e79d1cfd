"""The frequency scale of a potential from heat capacities, where no frequencies are known.

A scaled spectrum has the heat capacity C(s nu, T) = C(nu, T/s), so one sum over the modes at a few
temperatures says it for all scales. Heat capacities come per cell, per formula unit and per
atom, in various units; only those per atom are taken, and nothing above 3 k_B.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.optimize import minimize_scalar

from screening.errors import (
    InconsistentDataError,
    NonFiniteInputError,
    SettingError,
    TrainingSetError,
)
from screening.harmonic import MeshFrequencies
from screening.network_potential.softening import (
    LARGEST_SCALE,
    SMALLEST_SCALE,
    CompositionWeights,
    FrequencyScale,
)
from screening.prediction import FloatArray
from screening.thermodynamics import ThermodynamicsSettings, thermodynamics
from screening.units import BOLTZMANN_MEV_PER_K

__all__ = ["HeatCapacityCrystal", "HeatCapacityFitSettings", "fit_scale_to_heat_capacities"]

_NODES = np.linspace(math.log(SMALLEST_SCALE), math.log(LARGEST_SCALE), 41)
_LOG_SCALES = np.linspace(_NODES[0], _NODES[-1], 3665)  # steps of 0.0005, for resampling


@dataclass(frozen=True, eq=False)
class HeatCapacityCrystal:
    """Frequencies of a potential and the heat capacity that the crystal should have.

    Attributes
    ----------
    material_id, group
        What it is, and its composition as reduced formula.
    predicted
        Frequencies of the potential on a mesh.
    heat_capacity_mev_per_k_per_atom
        Reference heat capacity at constant volume.

    Raises
    ------
    NonFiniteInputError
        If a number is not finite.
    InconsistentDataError
        If the heat capacity is not between zero and 3 k_B: it is then not one per atom.
    """

    material_id: str
    group: str
    predicted: MeshFrequencies
    heat_capacity_mev_per_k_per_atom: float

    def __post_init__(self) -> None:
        value = self.heat_capacity_mev_per_k_per_atom
        if not (math.isfinite(value) and np.all(np.isfinite(self.predicted.frequencies_thz))):
            raise NonFiniteInputError(
                "a frequency or the heat capacity is not finite",
                subject=self.material_id,
                hint="Leave the crystal out",
            )
        if not 0.0 < value < 3.0 * BOLTZMANN_MEV_PER_K:
            raise InconsistentDataError(
                f"{value:.4g} meV/K is no harmonic heat capacity of one atom",
                subject=self.material_id,
                hint="Divide the heat capacity of the cell by its atoms",
            )

    @property
    def n_atoms(self) -> int:
        """Number of atoms of the primitive cell."""
        return int(self.predicted.frequencies_thz.shape[1]) // 3


@dataclass(frozen=True)
class HeatCapacityFitSettings:
    """How a scale is fitted to heat capacities.

    Attributes
    ----------
    temperature_k
        Of the heat capacities, in K.
    huber_mev_per_k_per_atom
        Errors beyond this count linearly instead of by their square: references of crystals
        that are another phase, or that lack modes, do not decide.
    max_dropped_weight
        Crystals with a larger fraction of low or imaginary modes are left out. Below, these
        modes count as classical: a mode that is too soft by any factor has k_B at room
        temperature.
    n_resamples, seed
        Resampled sets of compositions for the standard deviation.

    Raises
    ------
    SettingError
        If a number is out of its range.
    """

    temperature_k: float = 300.0
    huber_mev_per_k_per_atom: float = 1e-3
    max_dropped_weight: float = 0.02
    n_resamples: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("temperature_k", "huber_mev_per_k_per_atom"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0.0):
                raise SettingError(
                    f"{value} is not positive", subject=name, hint="Leave out for the default"
                )
        if not 0.0 <= self.max_dropped_weight <= 1.0 or self.n_resamples < 0:
            raise SettingError(
                "a fraction is between 0 and 1, and a number of resamples not negative",
                subject="max_dropped_weight, n_resamples",
                hint="Leave out for the defaults",
            )


def fit_scale_to_heat_capacities(
    crystals: Sequence[HeatCapacityCrystal],
    source: str,
    settings: HeatCapacityFitSettings | None = None,
) -> FrequencyScale:
    """Fit a scale so that heat capacities per atom come out right.

    Minimises the Huber loss over the scale, every composition counting once. Light and stiff
    crystals decide: where all modes are classical at the temperature, no factor matters.

    Parameters
    ----------
    crystals
        Frequencies and reference heat capacities.
    source
        What data, in words.
    settings
        Temperature, loss and resampling.

    Raises
    ------
    TrainingSetError
        If no crystal is left, or no factor between 0.4 and 2.5 is better than its neighbours.
    """
    settings = settings or HeatCapacityFitSettings()
    curves = [_curve(one, settings.temperature_k) for one in crystals]
    kept = [x for x in curves if x.dropped_weight <= settings.max_dropped_weight]
    if not kept:
        raise TrainingSetError(
            f"none of {len(curves)} crystals has a spectrum without low or imaginary modes",
            hint="Give crystals that are stable with this potential",
        )
    rows = CompositionWeights.of([one.group for one in kept])
    table = _huber(np.array([one.errors(_LOG_SCALES) for one in kept]), settings)
    factor = _best_factor(kept, rows.weights, table, settings)
    resampled = [
        math.exp(_LOG_SCALES[int(np.argmin(weights @ table))])
        for weights in rows.resampled(settings.n_resamples, settings.seed)
    ]
    before, after = (_rms(kept, rows.weights, math.log(x)) for x in (1.0, factor))
    return FrequencyScale(
        factor=factor,
        kind="heat_capacity",
        source=source,
        n_crystals=len(kept),
        compositions=rows.groups,
        n_left_out=len(curves) - len(kept),
        left_out_weight=float(np.mean([one.dropped_weight for one in kept])),
        rms_before=before,
        rms_after=after,
        std=rows.std_of(resampled),
    )


@dataclass(frozen=True, eq=False)
class _Curve:
    """Heat capacity of a crystal over ln s, and what it should be."""

    group: str
    capacity: CubicSpline
    reference_mev_per_k_per_atom: float
    dropped_weight: float

    def errors(self, log_scales: FloatArray) -> FloatArray:
        found = self.capacity(log_scales) - self.reference_mev_per_k_per_atom
        return np.asarray(found, dtype=np.float64)


def _curve(crystal: HeatCapacityCrystal, temperature_k: float) -> _Curve:
    mesh = crystal.predicted
    temperatures = temperature_k * np.exp(-_NODES[::-1])
    result = thermodynamics(
        mesh.frequencies_thz,
        mesh.weights,
        crystal.n_atoms,
        ThermodynamicsSettings(temperatures_k=tuple(temperatures.tolist())),
        is_gamma=mesh.is_gamma,
    )
    classical = 3.0 * BOLTZMANN_MEV_PER_K * result.dropped_weight
    return _Curve(
        group=crystal.group,
        capacity=CubicSpline(_NODES, result.heat_capacity_mev_per_k_per_atom[::-1] + classical),
        reference_mev_per_k_per_atom=crystal.heat_capacity_mev_per_k_per_atom,
        dropped_weight=result.dropped_weight,
    )


def _huber(errors: FloatArray, settings: HeatCapacityFitSettings) -> FloatArray:
    """Huber loss in units of its width."""
    size = np.abs(errors) / settings.huber_mev_per_k_per_atom
    return np.where(size < 1.0, 0.5 * size**2, size - 0.5)


def _best_factor(
    curves: Sequence[_Curve],
    weights: FloatArray,
    table: FloatArray,
    settings: HeatCapacityFitSettings,
) -> float:
    """Lowest point of the grid, then the minimum beside it."""
    place = int(np.argmin(weights @ table))
    if place in (0, len(_LOG_SCALES) - 1):
        raise TrainingSetError(
            f"no factor between {SMALLEST_SCALE} and {LARGEST_SCALE} fits best",
            hint="Give heat capacities of stiffer crystals, or a potential that is less far off",
        )

    def loss(log_scale: float) -> float:
        errors = np.array([one.errors(np.array(log_scale)) for one in curves])
        return float(weights @ _huber(errors, settings))

    around = (float(_LOG_SCALES[place - 1]), float(_LOG_SCALES[place + 1]))
    found = minimize_scalar(loss, bounds=around, method="bounded", options={"xatol": 1e-9})
    return math.exp(float(found.x))


def _rms(curves: Sequence[_Curve], weights: FloatArray, log_scale: float) -> float:
    """Root mean square error, every composition counting once."""
    errors = np.array([float(one.errors(np.array(log_scale))) for one in curves])
    return float(np.sqrt(weights @ errors**2 / weights.sum()))
