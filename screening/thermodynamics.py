r"""Harmonic thermodynamics as sums over modes or over a density of states, per atom.

With :math:`x = h\nu / k_B T` and :math:`n = 1/(e^x - 1)` a mode contributes

.. math::
    F = h\nu/2 + k_B T \ln(1 - e^{-x}), \quad U = h\nu (n + 1/2), \quad
    S = k_B [x n - \ln(1 - e^{-x})], \quad C_V = k_B x^2 n (n + 1).

Low modes (at or below a cutoff, imaginary ones included) have no harmonic free energy;
a stated policy treats them and their weight is always reported.

References
----------
A. Togo and I. Tanaka, Scripta Materialia 108, 1 (2015), equations 10 to 13, for the sums.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from screening.acoustic import acoustic_mask
from screening.errors import InconsistentDataError, NonFiniteInputError, SettingError
from screening.prediction import DensityOfStates, FloatArray, Thermodynamics, frozen_array
from screening.units import BOLTZMANN_MEV_PER_K, KELVIN_PER_THZ, PLANCK_MEV_PER_THZ

__all__ = [
    "DEFAULT_TEMPERATURES_K",
    "LowModePolicy",
    "ThermodynamicsSettings",
    "dos_thermodynamics",
    "thermodynamics",
]

LowModePolicy = Literal["drop", "half_mean_optical", "renormalise"]

DEFAULT_TEMPERATURES_K = tuple(float(t) for t in range(0, 1501, 10))

_LOWEST_TEMPERATURE_K = 1e-3
_BLOCK_SIZE = 65_536  # numbers that stay in a core's cache
_LARGEST_X = 745.0  # exp(-x) is zero beyond
_LOG_OF_TWO = math.log(2.0)
_ZERO_MODE_FRACTION = 1e-2  # of the highest frequency, for half_mean_optical
_DOS_NORM_TOLERANCE = 0.02
_NEGATIVE_DOS_FRACTION = 1e-6


@dataclass(frozen=True)
class ThermodynamicsSettings:
    """What the thermodynamic functions depend on besides the frequencies.

    Attributes
    ----------
    temperatures_k
        Grid in K, ascending; zero is treated as the exact limit.
    low_mode_policy
        ``drop``: leave low modes out. ``half_mean_optical``: give them, and the acoustic
        modes at the zone centre, half of the mean frequency of the others; a mode is then
        also low below one hundredth of the highest frequency. ``renormalise``: scale the
        kept modes up to all 3N.
    cutoff_thz
        Modes at or below this frequency in THz are low.
    max_dropped_weight
        Results whose low modes are a larger fraction of all modes are not valid.
    """

    temperatures_k: tuple[float, ...] = DEFAULT_TEMPERATURES_K
    low_mode_policy: LowModePolicy = "drop"
    cutoff_thz: float = 0.1
    max_dropped_weight: float = 1e-3

    def __post_init__(self) -> None:
        _check_temperatures(self.temperatures_k)
        if self.low_mode_policy not in get_args(LowModePolicy):
            raise SettingError(
                f"unknown policy {self.low_mode_policy!r}",
                subject="low_mode_policy",
                hint=f"Choose one of {', '.join(get_args(LowModePolicy))}",
            )
        if not (math.isfinite(self.cutoff_thz) and self.cutoff_thz > 0.0):
            raise SettingError(
                f"{self.cutoff_thz} is not a positive frequency in THz", subject="cutoff_thz"
            )
        if not 0.0 <= self.max_dropped_weight <= 1.0:
            raise SettingError(
                f"{self.max_dropped_weight} is not a fraction", subject="max_dropped_weight"
            )


def _check_temperatures(temperatures_k: tuple[float, ...]) -> None:
    values = np.array(temperatures_k, dtype=np.float64)
    usable = values.ndim == 1 and values.size > 0 and bool(np.all(np.isfinite(values)))
    if not usable or np.any((values < _LOWEST_TEMPERATURE_K) & (values != 0.0)):
        raise SettingError(
            f"temperatures must be 0 K or at least {_LOWEST_TEMPERATURE_K} K, and finite",
            subject="temperatures_k",
        )
    if np.any(np.diff(values) <= 0.0):
        raise SettingError("temperatures must ascend", subject="temperatures_k")


@dataclass(frozen=True)
class _Modes:
    """Positive frequencies and the number of modes per atom that each stands for."""

    frequencies_thz: FloatArray
    counts: FloatArray
    cutoff_thz: float
    dropped_weight: float
    imaginary_weight: float


def thermodynamics(
    frequencies_thz: FloatArray,
    weights: NDArray[np.float64] | NDArray[np.int64],
    n_atoms: int,
    settings: ThermodynamicsSettings | None = None,
    *,
    is_gamma: NDArray[np.bool_],
) -> Thermodynamics:
    """Sum the modes of a mesh.

    Parameters
    ----------
    frequencies_thz
        Shape (q, branch) in THz, imaginary ones negative.
    weights
        Multiplicity of every q point, shape (q,); any normalisation.
    n_atoms
        Atoms in the primitive cell, a third of the number of branches.
    settings
        Temperatures and the policy for low modes.
    is_gamma
        Which q points are the zone centre, shape (q,): their three acoustic modes take no
        part in the sums and do not count as dropped.

    Returns
    -------
    Thermodynamics
        Per atom.

    Raises
    ------
    NonFiniteInputError
        If a frequency or weight is not finite.
    InconsistentDataError
        If shapes contradict each other or a weight is negative.

    Examples
    --------
    >>> einstein = np.full((1, 3), 5.0)
    >>> result = thermodynamics(einstein, np.ones(1), 1, is_gamma=np.array([False]))
    >>> round(result.zero_point_energy_mev_per_atom, 3)
    31.018
    """
    settings = settings or ThermodynamicsSettings()
    fractions = _checked_fractions(frequencies_thz, weights, n_atoms, is_gamma)
    counts = np.broadcast_to(fractions[:, None] / n_atoms, frequencies_thz.shape)
    acoustic = acoustic_mask(frequencies_thz, is_gamma)
    modes = _apply_policy(frequencies_thz.ravel(), counts.ravel(), acoustic.ravel(), settings)
    return _sum_modes(modes, settings)


def dos_thermodynamics(
    dos: DensityOfStates, n_atoms: int, settings: ThermodynamicsSettings | None = None
) -> Thermodynamics:
    """Integrate a density of states, for predictors that know no single modes.

    The trapezoidal rule makes every grid point a mode of its own weight; the weights are
    scaled to exactly 3N. What a mode sum gives is more accurate wherever modes are known.

    Raises
    ------
    NonFiniteInputError
        If a value is not finite.
    InconsistentDataError
        If the grid does not ascend, the density is negative or its integral is more than
        2 % off 3N.
    """
    settings = settings or ThermodynamicsSettings()
    grid, density = dos.frequencies_thz, dos.total_per_thz
    _check_dos(grid, density)
    steps = np.diff(grid)
    widths = np.concatenate([steps[:1], steps[:-1] + steps[1:], steps[-1:]]) / 2.0
    counts = np.maximum(density, 0.0) * widths
    integral = float(counts.sum())
    if abs(integral / (3.0 * n_atoms) - 1.0) > _DOS_NORM_TOLERANCE:
        raise InconsistentDataError(
            f"the density of states integrates to {integral:.4f} modes, not {3 * n_atoms}",
            hint="Widen the frequency window or refine the grid",
        )
    modes = _apply_policy(grid, counts * (3.0 / integral), np.zeros(grid.shape, bool), settings)
    return _sum_modes(modes, settings)


def _checked_fractions(
    frequencies_thz: FloatArray,
    weights: NDArray[np.float64] | NDArray[np.int64],
    n_atoms: int,
    is_gamma: NDArray[np.bool_],
) -> FloatArray:
    """Weights normalised to one."""
    shape = frequencies_thz.shape
    n_q = len(weights)
    if n_q == 0 or n_atoms < 1 or shape != (n_q, 3 * n_atoms) or is_gamma.shape != (n_q,):
        raise InconsistentDataError(
            f"frequencies of shape {shape}, {n_q} weights and {is_gamma.size} zone-centre flags "
            f"do not belong to {n_atoms} atoms"
        )
    values = np.asarray(weights, dtype=np.float64)
    if not (np.all(np.isfinite(frequencies_thz)) and np.all(np.isfinite(values))):
        raise NonFiniteInputError("a frequency or weight is not finite")
    if np.any(values < 0.0) or values.sum() <= 0.0:
        raise InconsistentDataError("weights must not be negative, and not all zero")
    return np.asarray(values / values.sum())


def _check_dos(grid: FloatArray, density: FloatArray) -> None:
    if grid.ndim != 1 or grid.size < 2 or density.shape != grid.shape:  # noqa: PLR2004 - an interval
        raise InconsistentDataError(f"grid {grid.shape} and density {density.shape} do not match")
    if not (np.all(np.isfinite(grid)) and np.all(np.isfinite(density))):
        raise NonFiniteInputError("a frequency or density of states is not finite")
    if np.any(np.diff(grid) <= 0.0):
        raise InconsistentDataError("the frequencies of a density of states must ascend")
    if density.min() < -_NEGATIVE_DOS_FRACTION * abs(density.max()):
        raise InconsistentDataError("the density of states is negative")


def _apply_policy(
    frequencies_thz: FloatArray,
    counts: FloatArray,
    acoustic: NDArray[np.bool_],
    settings: ThermodynamicsSettings,
) -> _Modes:
    """Choose the modes to sum; ``counts`` are modes per atom and sum to 3."""
    policy = settings.low_mode_policy
    cutoff_thz = settings.cutoff_thz
    if policy == "half_mean_optical":
        cutoff_thz = max(cutoff_thz, _ZERO_MODE_FRACTION * float(frequencies_thz.max()))
    low = (frequencies_thz <= cutoff_thz) & ~acoustic
    imaginary = (frequencies_thz < 0.0) & ~acoustic
    keep = ~(low | acoustic)
    total = float(counts.sum())
    kept_frequencies, kept_counts = frequencies_thz[keep], counts[keep]
    kept = float(kept_counts.sum())
    if policy == "renormalise" and kept > 0.0:
        kept_counts = kept_counts * (total / kept)
    if policy == "half_mean_optical" and kept > 0.0:
        substitute = 0.5 * float(kept_frequencies @ kept_counts) / kept
        kept_frequencies = np.append(kept_frequencies, substitute)
        kept_counts = np.append(kept_counts, max(total - kept, 0.0))
    return _Modes(
        frequencies_thz=kept_frequencies,
        counts=kept_counts,
        cutoff_thz=cutoff_thz,
        dropped_weight=float(counts[low].sum()) / total,
        imaginary_weight=float(counts[imaginary].sum()) / total,
    )


def _sum_modes(modes: _Modes, settings: ThermodynamicsSettings) -> Thermodynamics:
    """Sum over the modes, as many temperatures at a time as keep arrays small."""
    order = np.argsort(modes.frequencies_thz, kind="stable")
    frequencies, counts = modes.frequencies_thz[order], modes.counts[order]
    zero_point = 0.5 * PLANCK_MEV_PER_THZ * float(frequencies @ counts)
    temperatures = np.array(settings.temperatures_k, dtype=np.float64)
    step = max(1, _BLOCK_SIZE // max(len(frequencies), 1))
    starts = range(0, len(temperatures), step)
    blocks = [_reduced_sums(frequencies, counts, temperatures[k : k + step]) for k in starts]
    sums = np.concatenate(blocks)
    log_sum, energy_sum, capacity_sum = sums.T
    thermal = BOLTZMANN_MEV_PER_K * temperatures
    return Thermodynamics(
        temperatures_k=frozen_array(temperatures),
        free_energy_mev_per_atom=frozen_array(zero_point + thermal * log_sum),
        entropy_mev_per_k_per_atom=frozen_array(BOLTZMANN_MEV_PER_K * (energy_sum - log_sum)),
        heat_capacity_mev_per_k_per_atom=frozen_array(BOLTZMANN_MEV_PER_K * capacity_sum),
        internal_energy_mev_per_atom=frozen_array(zero_point + thermal * energy_sum),
        zero_point_energy_mev_per_atom=zero_point,
        low_mode_policy=settings.low_mode_policy,
        cutoff_thz=modes.cutoff_thz,
        dropped_weight=modes.dropped_weight,
        imaginary_weight=modes.imaginary_weight,
        valid=modes.dropped_weight <= settings.max_dropped_weight,
    )


def _reduced_sums(
    frequencies_thz: FloatArray, counts: FloatArray, temperatures_k: FloatArray
) -> FloatArray:
    """Sum ln(1 - exp(-x)), x n and x^2 n (n + 1) over modes, shape (temperature, 3)."""
    found = np.zeros((len(temperatures_k), 3))
    warm = temperatures_k > 0.0
    scales = KELVIN_PER_THZ / temperatures_k[warm]
    x = np.minimum(frequencies_thz * scales[:, None], _LARGEST_X)
    boltzmann = np.exp(-x)
    # 1 - exp(-x) loses digits below ln 2, ln(1 - exp(-x)) loses them above
    low = x < _LOG_OF_TWO
    complement, logarithm = 1.0 - boltzmann, np.empty_like(x)
    complement[low] = -np.expm1(-x[low])
    logarithm[low] = np.log(complement[low])
    logarithm[~low] = np.log1p(-boltzmann[~low])
    energy = x * boltzmann / complement
    terms = (logarithm, energy, energy * x / complement)
    found[warm] = np.stack([one @ counts for one in terms], axis=1)
    return found
