"""Bias-corrected values and the scale that their errors are measured in."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from screening.errors import InconsistentDataError
from screening.prediction import FloatArray, ThermodynamicsSpread
from screening.quantities import Property, Quantity
from screening.uncertainty.samples import Sample
from screening.uncertainty.scaling import scaled_point
from screening.units import BOLTZMANN_MEV_PER_K, EV_TO_MEV

__all__ = ["Estimate", "estimate", "estimate_difference", "raw_value"]

_FLOORS = {
    Property.FREE_ENERGY: 0.5,  # meV/atom: what supercells and displacements leave
    Property.ENTROPY: 0.003,  # meV/K/atom, 1 % of 3 k_B
    Property.HEAT_CAPACITY: 0.003,
    Property.LOWEST_FREQUENCY: 0.05,  # THz
}
_ZERO_POINT_TEMPERATURE_K = 150.0  # 9/8 k_B Theta of a Debye temperature of 400 K, over 3 k_B
_DIFFERENCE_FLOOR_MEV = 1.0
_DIFFERENCE_SHARE = 0.5  # of the predicted difference itself


@dataclass(frozen=True)
class Estimate:
    """A corrected value and the standard deviation that scores are normalised by.

    Both in the unit of the quantity. The deviation is a scale, not yet an uncertainty: only
    the conformal quantile of the scores makes it one.
    """

    value: float
    deviation: float


def raw_value(sample: Sample, quantity: Quantity) -> float:
    """Value of a quantity as it was predicted.

    Raises
    ------
    InconsistentDataError
        If the temperature lies below the sample's grid, or the quantity belongs to a pair.
    """
    return estimate(sample, quantity, 0.0, 0.0).value


def estimate(
    sample: Sample, quantity: Quantity, log_scale: float, log_scale_std: float
) -> Estimate:
    """Correct one quantity for the frequency scale.

    Parameters
    ----------
    sample, quantity
        Which number of which prediction.
    log_scale, log_scale_std
        Mean and standard deviation of ln s.

    Raises
    ------
    InconsistentDataError
        If the temperature lies below the sample's grid, or the quantity belongs to a pair.
    """
    kind, scale = quantity.kind, math.exp(log_scale)
    if kind.is_difference:
        raise InconsistentDataError("belongs to a pair of polymorphs", subject=quantity.name)
    if kind is Property.LOWEST_FREQUENCY:
        value = derivative = scale * sample.lowest_frequency_thz
        known = sample.spread.lowest_frequency_std_thz if sample.spread else None
        own = scale * known if known is not None else 0.0  # only a scale, as for any method
    else:
        temperature = quantity.temperature_k or 0.0
        point = scaled_point(sample.thermodynamics, scale, temperature)
        value, derivative = {
            Property.FREE_ENERGY: (point.free_energy_mev, _thermal_energy_mev(temperature)),
            Property.ENTROPY: (point.entropy_mev_per_k, point.heat_capacity_mev_per_k),
            Property.HEAT_CAPACITY: (
                point.heat_capacity_mev_per_k,
                point.heat_capacity_slope_mev_per_k,
            ),
        }[kind]
        own = _own_spread(sample, kind, temperature)
    deviation = math.hypot(derivative * log_scale_std, own, _FLOORS[kind])
    return Estimate(value, deviation)


def _thermal_energy_mev(temperature_k: float) -> float:
    """Energy of three oscillators at a temperature, per atom, with a typical zero-point part.

    The derivative of F with respect to ln s is U, which is larger for stiffer crystals. Their
    ln s is known better in about the same measure, so that errors of F hardly depend on
    stiffness; scaling by U would give the widest intervals to the best known crystals.
    """
    return 3.0 * BOLTZMANN_MEV_PER_K * math.hypot(temperature_k, _ZERO_POINT_TEMPERATURE_K)


def estimate_difference(
    first: Sample, second: Sample, quantity: Quantity, log_scale: float, share: float
) -> Estimate:
    """Correct the difference, first minus second, of two polymorphs.

    Both are scaled alike, so that the correction itself makes no difference, and the part of
    it that vibrates is multiplied by the share of such differences that the reference has
    been seen to confirm.

    Parameters
    ----------
    first, second
        Predictions of two crystals of one composition by one method.
    quantity
        A difference at a temperature.
    log_scale
        Mean of ln s for this composition.
    share
        Slope of the reference's differences over the predicted ones.

    Raises
    ------
    InconsistentDataError
        If the quantity is no difference, or needs static energies of one source that are not
        there.
    """
    scale, temperature = math.exp(log_scale), quantity.temperature_k or 0.0
    one, two = (scaled_point(x.thermodynamics, scale, temperature) for x in (first, second))
    vibration = share * (one.free_energy_mev - two.free_energy_mev)
    static = 0.0
    if quantity.kind is Property.RELATIVE_FREE_ENERGY:
        static = _static_difference_mev(first, second)
    elif quantity.kind is not Property.FREE_ENERGY_DIFFERENCE:
        raise InconsistentDataError("is no difference of polymorphs", subject=quantity.name)
    spreads = [_own_spread(x, Property.FREE_ENERGY, temperature) for x in (first, second)]
    deviation = math.hypot(
        _DIFFERENCE_FLOOR_MEV, _DIFFERENCE_SHARE * (static + vibration), *spreads
    )
    return Estimate(static + vibration, deviation)


def _static_difference_mev(first: Sample, second: Sample) -> float:
    one, two = first.static_energy_ev_per_atom, second.static_energy_ev_per_atom
    if one is None or two is None or first.static_energy_source != second.static_energy_source:
        raise InconsistentDataError(
            "the static energies are missing or of two sources",
            subject=f"{first.material_id}, {second.material_id}",
        )
    return (one - two) * EV_TO_MEV


def _own_spread(sample: Sample, kind: Property, temperature_k: float) -> float:
    """Spread over the members of a committee at a temperature, 0 without one."""
    if sample.spread is None:
        return 0.0
    curve = _spread_curve(sample.spread, kind)
    return float(np.interp(temperature_k, sample.thermodynamics.temperatures_k, curve))


def _spread_curve(spread: ThermodynamicsSpread, kind: Property) -> FloatArray:
    return {
        Property.FREE_ENERGY: spread.free_energy_std_mev_per_atom,
        Property.ENTROPY: spread.entropy_std_mev_per_k_per_atom,
        Property.HEAT_CAPACITY: spread.heat_capacity_std_mev_per_k_per_atom,
    }[kind]
