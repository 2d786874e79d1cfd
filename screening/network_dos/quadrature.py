r"""Where in its bin the weight of a histogram lies, and sums of functions of frequency over it.

The bin around zero has no thermodynamics at its centre, and the next one rises through its
width: a crystal's density of states begins as the square of the frequency. So the weight of the
first bins, the one around zero included, is spread as :math:`\nu^2` over their positive part;
that of every other bin sits at its centre. Bins below zero take no part. On real crystals this
halves the error of the entropy that centres alone make; without it, weight around zero would have
to be left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from screening.errors import SettingError
from screening.network_dos.grid import FrequencyGrid
from screening.prediction import FloatArray, frozen_array
from screening.units import BOLTZMANN_MEV_PER_K, KELVIN_PER_THZ, PLANCK_MEV_PER_THZ

__all__ = ["BinRule", "ThermalKernels", "bin_rule", "thermal_kernels"]

_N_NODES = 24  # the logarithm of the entropy converges to 1e-6 even in the bin at zero
_LARGEST_X = 700.0


@dataclass(frozen=True, eq=False)
class BinRule:
    """Frequencies that stand for the bins of a grid.

    Attributes
    ----------
    n_bins
        Number of bins.
    bins
        Bin of each frequency, shape (node,).
    frequencies_thz
        In THz, positive, shape (node,).
    weights
        Their shares in the weight of the bin, shape (node,).
    used
        Which bins take part, shape (bin,).
    squared_overlaps_thz
        Integral of the squared frequency times the squared density of each bin of weight one,
        in THz; the weight of bins at their centre is even over the bin here. Shape (bin,).
    """

    n_bins: int
    bins: NDArray[np.int64]
    frequencies_thz: FloatArray
    weights: FloatArray
    used: NDArray[np.bool_]
    squared_overlaps_thz: FloatArray

    def mean(self, values: FloatArray) -> FloatArray:
        """Average a function over each bin.

        Parameters
        ----------
        values
            At the frequencies of the rule, shape (node, ...).

        Returns
        -------
        ndarray
            Shape (bin, ...), zero in bins that take no part.
        """
        found = np.zeros((self.n_bins, *values.shape[1:]))
        shares = self.weights.reshape(-1, *(1,) * (values.ndim - 1))
        np.add.at(found, self.bins, shares * values)
        return found

    def moment(self, power: int) -> FloatArray:
        """Mean of a power of the frequency in each bin, in THz to that power, shape (bin,)."""
        return self.mean(self.frequencies_thz**power)


@lru_cache(maxsize=32)
def bin_rule(grid: FrequencyGrid, rising_bins: int) -> BinRule:
    """Place the weight of the bins.

    Parameters
    ----------
    grid
        The bins.
    rising_bins
        How many bins from zero on are filled as the squared frequency; with none, the bin around
        zero takes no part.

    Raises
    ------
    SettingError
        If there are not that many bins.
    """
    if not 0 <= rising_bins <= len(grid) - grid.zero:
        raise SettingError(
            f"{rising_bins} bins that rise",
            subject="rising_bins",
            hint="Give a number from zero to that of the bins from zero on",
        )
    edges = np.asarray(grid.edges_thz)
    rising = range(grid.zero, grid.zero + rising_bins)
    flat = np.arange(grid.zero + max(rising_bins, 1), len(grid))
    curves = [_rising_nodes(max(edges[one], 0.0), edges[one + 1]) for one in rising]
    used = np.zeros(len(grid), dtype=np.bool_)
    bins = np.concatenate([np.repeat(rising, _N_NODES), flat]).astype(np.int64)
    used[bins] = True
    overlaps = np.where(used, (edges[1:] ** 3 - edges[:-1] ** 3) / (3.0 * grid.width_thz**2), 0.0)
    for one in rising:
        overlaps[one] = _rising_overlap(max(edges[one], 0.0), edges[one + 1])
    bins.flags.writeable = used.flags.writeable = False
    return BinRule(
        n_bins=len(grid),
        bins=bins,
        frequencies_thz=frozen_array(
            np.concatenate([*(nodes for nodes, _ in curves), grid.centres_thz[flat]])
        ),
        weights=frozen_array(np.concatenate([*(own for _, own in curves), np.ones(len(flat))])),
        used=used,
        squared_overlaps_thz=frozen_array(overlaps),
    )


def _rising_nodes(low: float, high: float) -> tuple[FloatArray, FloatArray]:
    """Gauss-Legendre nodes of a bin and their shares where the density is a square."""
    nodes, weights = np.polynomial.legendre.leggauss(_N_NODES)
    values = low + 0.5 * (high - low) * (nodes + 1.0)
    shares = weights * values**2
    return values, shares / shares.sum()


def _rising_overlap(low: float, high: float) -> float:
    """Integrate x^2 (3 x^2 / (high^3 - low^3))^2 over the bin."""
    return float(9.0 * (high**7 - low**7) / (7.0 * (high**3 - low**3) ** 2))


@dataclass(frozen=True, eq=False)
class ThermalKernels:
    """What one mode in each bin adds to the thermodynamic functions.

    Attributes
    ----------
    temperatures_k
        In K, shape (temperature,).
    free_energy_mev, entropy_mev_per_k, heat_capacity_mev_per_k
        With the zero-point energy, shape (bin, temperature); zero in bins that take no part.
    zero_point_energy_mev
        Shape (bin,).
    """

    temperatures_k: FloatArray
    free_energy_mev: FloatArray
    entropy_mev_per_k: FloatArray
    heat_capacity_mev_per_k: FloatArray
    zero_point_energy_mev: FloatArray


@lru_cache(maxsize=32)
def thermal_kernels(
    grid: FrequencyGrid, rising_bins: int, temperatures_k: tuple[float, ...]
) -> ThermalKernels:
    r"""Average the functions of a mode over each bin.

    Parameters
    ----------
    grid, rising_bins
        As in `bin_rule`.
    temperatures_k
        In K; zero is the exact limit.

    References
    ----------
    A. Togo and I. Tanaka, Scripta Materialia 108, 1 (2015), equations 10 to 13. The published
    description of the network prints the Bose factor without its -1; here it is there.
    """
    rule = bin_rule(grid, rising_bins)
    kelvin = np.array(temperatures_k, dtype=np.float64)
    warm = np.where(kelvin > 0.0, kelvin, 1.0)
    x = rule.frequencies_thz[:, None] * (KELVIN_PER_THZ / warm)
    x = np.where(kelvin > 0.0, np.minimum(x, _LARGEST_X), _LARGEST_X)
    # the first form of ln(1 - exp(-x)) loses digits where x is large, the other where it is small
    logarithm = np.where(x < math.log(2.0), np.log(-np.expm1(-x)), np.log1p(-np.exp(-x)))
    energy, half = x / np.expm1(x), 0.5 * x
    zero_point = 0.5 * PLANCK_MEV_PER_THZ * rule.moment(1)
    thermal = BOLTZMANN_MEV_PER_K * kelvin * rule.mean(logarithm)
    boltzmann = np.where(kelvin > 0.0, BOLTZMANN_MEV_PER_K, 0.0)
    return ThermalKernels(
        temperatures_k=frozen_array(kelvin),
        free_energy_mev=frozen_array(zero_point[:, None] + thermal),
        entropy_mev_per_k=frozen_array(boltzmann * rule.mean(energy - logarithm)),
        heat_capacity_mev_per_k=frozen_array(boltzmann * rule.mean((half / np.sinh(half)) ** 2)),
        zero_point_energy_mev=frozen_array(zero_point),
    )
