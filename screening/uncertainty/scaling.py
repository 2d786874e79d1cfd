r"""Thermodynamics of a crystal whose frequencies are all multiplied by one number.

A soft potential gives frequencies that are too low by nearly one factor. Harmonic functions
know what that means at every temperature: with all frequencies scaled by s,

    F(T) -> s F(T/s),  S(T) -> S(T/s),  C_V(T) -> C_V(T/s),

exactly, because they depend on the frequencies through h nu / kT alone. So one learned scale
corrects every function at every temperature, and dF/d(ln s) = U, the internal energy, turns an
uncertainty of ln s into one of F.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from screening.errors import InconsistentDataError
from screening.prediction import FloatArray, Thermodynamics
from screening.units import BOLTZMANN_MEV_PER_K

__all__ = ["MAX_SCALE", "MIN_SCALE", "ScaledPoint", "frequency_scale", "scaled_point"]

MIN_SCALE, MAX_SCALE = 0.25, 4.0
"""Frequency scales outside are no bias of a potential."""

_SAME_TEMPERATURE_K = 1e-6


@dataclass(frozen=True)
class ScaledPoint:
    """Harmonic functions at one temperature, per atom, and how they follow ln s.

    Attributes
    ----------
    free_energy_mev, entropy_mev_per_k, heat_capacity_mev_per_k
        The functions.
    internal_energy_mev
        U = F + T S, the derivative of F with respect to ln s.
    heat_capacity_slope_mev_per_k
        -T dC_V/dT, the derivative of C_V with respect to ln s; that of S is -C_V.
    """

    free_energy_mev: float
    entropy_mev_per_k: float
    heat_capacity_mev_per_k: float
    internal_energy_mev: float
    heat_capacity_slope_mev_per_k: float


def scaled_point(curves: Thermodynamics, scale: float, temperature_k: float) -> ScaledPoint:
    """Evaluate the functions of the scaled crystal.

    Between grid points F is interpolated with its exact slope -S. Above the grid C_V is
    continued to its classical limit, from which it differs as 1/T^2 where modes are excited.

    Raises
    ------
    InconsistentDataError
        If the temperature over the scale lies below the grid, or above one of 0 K alone.
    """
    where = temperature_k / scale
    functions = _continued if where > curves.temperatures_k[-1] else _interpolated
    free, entropy, capacity, slope = functions(curves, where)
    return ScaledPoint(
        free_energy_mev=scale * free,
        entropy_mev_per_k=entropy,
        heat_capacity_mev_per_k=capacity,
        internal_energy_mev=scale * (free + where * entropy),
        heat_capacity_slope_mev_per_k=-where * slope,
    )


_Functions = tuple[float, float, float, float]


def _interpolated(curves: Thermodynamics, where: float) -> _Functions:
    """F, S, C_V and dC_V/dT inside the grid, the first three exact on it."""
    grid = curves.temperatures_k
    high = int(np.searchsorted(grid, where - _SAME_TEMPERATURE_K))
    free, entropy = curves.free_energy_mev_per_atom, curves.entropy_mev_per_k_per_atom
    capacity = curves.heat_capacity_mev_per_k_per_atom
    if abs(grid[high] - where) <= _SAME_TEMPERATURE_K:
        slope = _capacity_slope(curves, max(high, 1))
        return float(free[high]), float(entropy[high]), float(capacity[high]), slope
    if high == 0:
        raise InconsistentDataError(
            f"{where:g} K lies below the grid from {grid[0]:g} to {grid[-1]:g} K",
            hint="Predict on a temperature grid from 0 K",
        )
    ends = slice(high - 1, high + 1)
    step = float(grid[high] - grid[high - 1])
    x = (where - float(grid[high - 1])) / step
    by_temperature = np.divide(
        capacity[ends], grid[ends], out=np.zeros(2), where=grid[ends] > 0.0
    )  # dS/dT = C_V/T, zero at 0 K
    return (
        _hermite(x, step, free[ends], -entropy[ends]),
        _hermite(x, step, entropy[ends], by_temperature),
        float((1.0 - x) * capacity[high - 1] + x * capacity[high]),
        _capacity_slope(curves, high),
    )


def _capacity_slope(curves: Thermodynamics, high: int) -> float:
    if len(curves.temperatures_k) < 2:  # noqa: PLR2004 - an interval has two ends
        return 0.0
    capacity = curves.heat_capacity_mev_per_k_per_atom
    step = curves.temperatures_k[high] - curves.temperatures_k[high - 1]
    return float((capacity[high] - capacity[high - 1]) / step)


def _hermite(x: float, step: float, values: FloatArray, slopes: FloatArray) -> float:
    """Cubic through two values with two slopes, ``x`` in fractions of the step."""
    h00, h10 = (1 + 2 * x) * (1 - x) ** 2, x * (1 - x) ** 2
    h01, h11 = x * x * (3 - 2 * x), x * x * (x - 1)
    return float(
        h00 * values[0] + h10 * step * slopes[0] + h01 * values[1] + h11 * step * slopes[1]
    )


def _continued(curves: Thermodynamics, where: float) -> _Functions:
    """Above the grid: C_V = C - D (T0/T)^2, its classical series to the first order, integrated.

    C is the classical limit, 3 k_B per atom and mode kept, and D what it lacks at T0, the end
    of the grid.
    """
    last = float(curves.temperatures_k[-1])
    if last <= 0.0:
        raise InconsistentDataError("the temperature grid holds 0 K alone")
    free = float(curves.free_energy_mev_per_atom[-1])
    entropy = float(curves.entropy_mev_per_k_per_atom[-1])
    capacity = float(curves.heat_capacity_mev_per_k_per_atom[-1])
    kept = 1.0 - curves.dropped_weight if curves.low_mode_policy == "drop" else 1.0
    limit = max(3.0 * BOLTZMANN_MEV_PER_K * kept, capacity)
    lacking, ratio, rise = limit - capacity, last / where, where - last
    log = math.log(where / last)
    grown = entropy + limit * log - lacking / 2.0 * (1.0 - ratio**2)
    fallen = free - entropy * rise - limit * (where * log - rise)
    fallen += lacking / 2.0 * rise * (1.0 - ratio)
    return fallen, grown, limit - lacking * ratio**2, 2.0 * lacking * ratio**2 / where


def frequency_scale(curves: Thermodynamics, reference_mev: float, temperature_k: float) -> float:
    """Find the scale of all frequencies that brings F to the reference at one temperature.

    Returns
    -------
    float
        Between `MIN_SCALE` and `MAX_SCALE`; F grows with s, so there is one.

    Raises
    ------
    InconsistentDataError
        If no scale in this range does it: the two are not the same crystal.
    """
    from scipy.optimize import brentq

    def miss(log_scale: float) -> float:
        point = scaled_point(curves, math.exp(log_scale), temperature_k)
        return point.free_energy_mev - reference_mev

    ends = math.log(MIN_SCALE), math.log(MAX_SCALE)
    if miss(ends[0]) > 0.0 or miss(ends[1]) < 0.0:
        raise InconsistentDataError(
            f"no frequency scale from {MIN_SCALE} to {MAX_SCALE} gives F = {reference_mev:.1f} "
            f"meV/atom at {temperature_k:g} K",
            hint="Check that both predictions belong to the same crystal",
        )
    find: Callable[..., float] = brentq
    return math.exp(find(miss, *ends, xtol=1e-10))
