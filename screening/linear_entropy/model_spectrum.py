r"""A spectrum with the right mean logarithm and the right mean square, for quantum statistics.

The classical limit of an entropy needs :math:`\langle\ln\omega\rangle` and nothing else, the first
quantum correction :math:`\langle\omega^2\rangle`. The spectrum with these two moments that is taken
here has a density proportional to :math:`\omega^{s-1}` up to a highest frequency
:math:`\omega_c`: Debye's is s = 3, Einstein's the limit of large s. Of it

.. math::
    \langle\ln\omega\rangle = \ln\omega_c - 1/s, \quad
    \langle\omega^2\rangle = \omega_c^2\, s/(s+2),

so that the width :math:`\tfrac12\ln\langle\omega^2\rangle - \langle\ln\omega\rangle =
\tfrac12\ln\frac{s}{s+2} + \frac1s` falls with s and gives it. The spectrum is made of a few modes
whose weighted sums have both moments exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from screening.prediction import FloatArray, Thermodynamics, frozen_array
from screening.thermodynamics import ThermodynamicsSettings
from screening.units import BOLTZMANN_MEV_PER_K, KELVIN_PER_THZ, PLANCK_MEV_PER_THZ

__all__ = ["LEAST_WIDTH", "ModelSpectrum", "model_spectrum", "spectrum_thermodynamics"]

_N_NODES = 32
_EXPONENTS = (0.25, 60.0)
_LARGEST_X = 745.0  # exp(-x) is zero beyond
_LOG_OF_TWO = float(np.log(2.0))  # below, ln(1 - exp(-x)) loses digits one way, above the other


@dataclass(frozen=True, eq=False)
class ModelSpectrum:
    """Modes of the model spectrum of one atom.

    Attributes
    ----------
    frequencies_thz, weights
        Frequencies in THz and the fraction of all modes at each, shape (mode,).
    exponent
        s of a density of states proportional to the power s - 1 of the frequency.
    is_limited
        Whether the two moments asked for a narrower or wider spectrum than there is. Then the
        mean logarithm is kept and the mean square is not.
    """

    frequencies_thz: FloatArray
    weights: FloatArray
    exponent: float
    is_limited: bool


@cache
def _quadrature() -> tuple[FloatArray, FloatArray]:
    """Nodes and weights on (0, 1), denser towards zero, where logarithms are steep."""
    nodes, weights = np.polynomial.legendre.leggauss(_N_NODES)
    half = 0.5 * (nodes + 1.0)
    scaled = 0.5 * weights * 3.0 * half**2
    return half**3, scaled / scaled.sum()


def _width(exponent: float) -> float:
    """Half the logarithm of the mean square less the mean logarithm, of the discrete modes."""
    nodes, weights = _quadrature()
    square = float(weights @ nodes ** (2.0 / exponent))
    return 0.5 * float(np.log(square)) - float(weights @ np.log(nodes)) / exponent


LEAST_WIDTH = 0.5 * float(np.log(_EXPONENTS[1] / (_EXPONENTS[1] + 2.0))) + 1.0 / _EXPONENTS[1]
"""Width of the narrowest spectrum, which is nearly that of one frequency."""


def model_spectrum(mean_log_thz: float, root_mean_square_thz: float) -> ModelSpectrum:
    """Find the spectrum that has two moments.

    Parameters
    ----------
    mean_log_thz
        Mean of the logarithm of the frequency in THz over all modes.
    root_mean_square_thz
        Root of the mean square of the frequency in THz.

    Examples
    --------
    >>> debye = model_spectrum(np.log(10.0) - 1.0 / 3.0, 10.0 * 0.6**0.5)
    >>> round(debye.exponent, 2), round(float(debye.frequencies_thz.max()), 1)
    (3.0, 10.0)
    """
    from scipy.optimize import brentq

    width = float(np.log(root_mean_square_thz)) - mean_log_thz
    low, high = _EXPONENTS
    limited = not _width(high) <= width <= _width(low)
    if limited:
        exponent = high if width < _width(high) else low
    else:
        exponent = float(
            np.exp(brentq(lambda x: _width(float(np.exp(x))) - width, np.log(low), np.log(high)))
        )
    nodes, weights = _quadrature()
    logs = np.log(nodes) / exponent
    frequencies = np.exp(logs - float(weights @ logs) + mean_log_thz)
    return ModelSpectrum(frequencies, weights, exponent, limited)


def spectrum_thermodynamics(
    spectrum: ModelSpectrum, settings: ThermodynamicsSettings
) -> Thermodynamics:
    """Sum the modes of a model spectrum; none is low, whatever the settings say of low modes.

    The sums are those of `screening.thermodynamics.thermodynamics`, at all temperatures at once.
    """
    kelvin = np.array(settings.temperatures_k, dtype=np.float64)
    logarithm, energy, capacity = 3.0 * _reduced_sums(spectrum, kelvin)
    zero_point = 1.5 * PLANCK_MEV_PER_THZ * float(spectrum.weights @ spectrum.frequencies_thz)
    thermal = BOLTZMANN_MEV_PER_K * kelvin
    return Thermodynamics(
        temperatures_k=frozen_array(kelvin),
        free_energy_mev_per_atom=frozen_array(zero_point + thermal * logarithm),
        entropy_mev_per_k_per_atom=frozen_array(BOLTZMANN_MEV_PER_K * (energy - logarithm)),
        heat_capacity_mev_per_k_per_atom=frozen_array(BOLTZMANN_MEV_PER_K * capacity),
        internal_energy_mev_per_atom=frozen_array(zero_point + thermal * energy),
        zero_point_energy_mev_per_atom=zero_point,
        low_mode_policy=settings.low_mode_policy,
        cutoff_thz=settings.cutoff_thz,
        dropped_weight=0.0,
        imaginary_weight=0.0,
        valid=True,
    )


def _reduced_sums(spectrum: ModelSpectrum, temperatures_k: FloatArray) -> FloatArray:
    """Means of ln(1 - exp(-x)), x n and x^2 n (n + 1), shape (3, temperature)."""
    positive = temperatures_k > 0.0
    ratios = KELVIN_PER_THZ / temperatures_k[positive]
    x = np.minimum(ratios[:, None] * spectrum.frequencies_thz, _LARGEST_X)
    boltzmann, complement = np.exp(-x), -np.expm1(-x)
    logarithm = np.where(x < _LOG_OF_TWO, np.log(complement), np.log1p(-boltzmann))
    energy = x * boltzmann / complement
    sums = np.zeros((3, len(temperatures_k)))
    sums[:, positive] = np.array([logarithm, energy, energy * x / complement]) @ spectrum.weights
    return sums
