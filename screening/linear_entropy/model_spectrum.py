r"""A spectrum with the right mean logarithm and the right mean square, for quantum statistics.

The classical limit of an entropy needs :math:`\langle\ln\omega\rangle` and nothing else, the first
quantum correction :math:`\langle\omega^2\rangle`. What is below, zero point energies above all,
needs a shape. A spectrum is taken to be that of a typical crystal with another mean and another
width: at every fraction k of its modes

.. math::
    \ln\omega_k = \langle\ln\omega\rangle + \sigma z_k, \quad
    \langle z\rangle = 0, \quad \langle z^2\rangle = 1,

where the z are means over the crystals of a training set, and :math:`\sigma` is what gives the mean
square. Free energy, entropy and heat capacity then follow from one spectrum, and are
derivatives of each other. Without a training set the density is proportional to
:math:`\omega^{1/\sigma-1}` up to a highest frequency: Debye's is :math:`\sigma=1/3`, Einstein's the
limit of small :math:`\sigma`. The spectrum is made of a few modes whose weighted sums have both
moments exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.errors import ModelCorruptError
from screening.prediction import FloatArray, Thermodynamics, frozen_array
from screening.thermodynamics import ThermodynamicsSettings
from screening.units import BOLTZMANN_MEV_PER_K, KELVIN_PER_THZ, PLANCK_MEV_PER_THZ

__all__ = [
    "SHAPE",
    "ModelSpectrum",
    "log_quantiles",
    "model_spectrum",
    "power_law",
    "shape_from",
    "shape_of",
    "spectrum_thermodynamics",
    "with_translations",
]

SHAPE = "spectrum_shape"
"""Name of the array of a model that holds the shape of spectra."""

_N_NODES = 32
_WIDTHS = (1.0 / 60.0, 4.0)
_ROUNDING = 1e-6
_LEAST_SPREAD = 1e-6  # of one frequency alone, which has no shape
_LARGEST_X = 745.0  # exp(-x) is zero beyond
_LOG_OF_TWO = float(np.log(2.0))  # below, ln(1 - exp(-x)) loses digits one way, above the other


@dataclass(frozen=True, eq=False)
class ModelSpectrum:
    """Modes of the model spectrum of one atom.

    Attributes
    ----------
    frequencies_thz, weights
        Frequencies in THz and the fraction of all modes at each, shape (mode,).
    width
        Standard deviation of the logarithm of the frequency.
    is_limited
        Whether the two moments asked for a narrower or wider spectrum than there is. Then the
        mean logarithm is kept and the mean square is not.
    """

    frequencies_thz: FloatArray
    weights: FloatArray
    width: float
    is_limited: bool


@cache
def _quadrature() -> tuple[FloatArray, FloatArray]:
    """Nodes and weights on (0, 1), denser towards zero, where logarithms are steep."""
    nodes, weights = np.polynomial.legendre.leggauss(_N_NODES)
    half = 0.5 * (nodes + 1.0)
    scaled = 0.5 * weights * 3.0 * half**2
    return half**3, scaled / scaled.sum()


@cache
def power_law() -> FloatArray:
    """Shape of a density proportional to a power of the frequency, (node,)."""
    return _standard(np.log(_quadrature()[0]))


def _standard(logarithms: FloatArray) -> FloatArray:
    """Make the mean zero and the mean square one."""
    weights = _quadrature()[1]
    centred = logarithms - float(weights @ logarithms)
    return frozen_array(centred / np.sqrt(float(weights @ centred**2)))


def _is_standard(logarithms: FloatArray) -> bool:
    weights = _quadrature()[1]
    mean, square = float(weights @ logarithms), float(weights @ logarithms**2)
    return abs(mean) < _ROUNDING and abs(square - 1.0) < _ROUNDING


def log_quantiles(frequencies_thz: FloatArray, weights: FloatArray) -> FloatArray:
    """Mean logarithms of a spectrum between the fractions that the modes of a model stand for.

    Parameters
    ----------
    frequencies_thz, weights
        Positive frequencies in THz and how much each counts, shape (mode,).

    Returns
    -------
    ndarray
        Ascending, shape (node,).

    Examples
    --------
    >>> found = log_quantiles(np.array([2.0, 2.0]), np.ones(2))
    >>> bool(np.allclose(found, np.log(2.0)))
    True
    """
    order = np.argsort(frequencies_thz)
    counts = weights[order] / weights.sum()
    sums = np.cumsum(counts * np.log(frequencies_thz[order]))
    edges = np.append(0.0, np.cumsum(_quadrature()[1]))
    places = np.append(0.0, np.cumsum(counts))
    integral = np.interp(edges / edges[-1], places / places[-1], np.append(0.0, sums))
    return frozen_array(np.diff(integral) / np.diff(edges))


def shape_of(quantiles: Sequence[FloatArray]) -> FloatArray:
    """Mean shape of spectra, each with its mean and its width taken out, shape (node,).

    Parameters
    ----------
    quantiles
        Of each spectrum, as `log_quantiles` gives them. Those of one frequency have no shape;
        if there is no other, that of a power law is taken.
    """
    weights = _quadrature()[1]
    spread = [
        one for one in quantiles if np.sqrt(weights @ (one - weights @ one) ** 2) > _LEAST_SPREAD
    ]
    return _standard(np.mean([_standard(one) for one in spread], axis=0)) if spread else power_law()


def shape_from(arrays: Mapping[str, NDArray[Any]]) -> FloatArray:
    """Take a shape back from the arrays of a model.

    Raises
    ------
    ModelCorruptError
        If there is none, or it is none.
    """
    found = np.asarray(arrays.get(SHAPE, ()))
    usable = found.shape == power_law().shape and found.dtype.kind == "f"
    if not (usable and np.isfinite(found).all() and _is_standard(found)):
        raise ModelCorruptError(
            "the shape of spectra is missing or none",
            subject=SHAPE,
            hint="Export or train the model again",
        )
    return found


def model_spectrum(
    mean_log_thz: float, root_mean_square_thz: float, shape: FloatArray | None = None
) -> ModelSpectrum:
    """Find the spectrum that has two moments.

    Parameters
    ----------
    mean_log_thz
        Mean of the logarithm of the frequency in THz over all modes.
    root_mean_square_thz
        Root of the mean square of the frequency in THz.
    shape
        Logarithms of mean zero and mean square one, shape (node,); None for a power law.

    Examples
    --------
    >>> debye = model_spectrum(np.log(10.0) - 1.0 / 3.0, 10.0 * 0.6**0.5)
    >>> round(1.0 / debye.width, 2), round(float(debye.frequencies_thz.max()), 1)
    (3.0, 10.0)
    """
    from scipy.optimize import brentq

    weights = _quadrature()[1]
    logs = power_law() if shape is None else shape

    def asymmetry(width: float) -> float:
        """Half the logarithm of the mean square less the mean logarithm."""
        return 0.5 * float(np.log(weights @ np.exp(2.0 * width * logs)))

    wanted = float(np.log(root_mean_square_thz)) - mean_log_thz
    low, high = _WIDTHS
    limited = not asymmetry(low) <= wanted <= asymmetry(high)
    if limited:
        width = low if wanted < asymmetry(low) else high
    else:
        width = float(brentq(lambda x: asymmetry(x) - wanted, low, high))
    return ModelSpectrum(np.exp(mean_log_thz + width * logs), weights, width, limited)


def with_translations(spectrum: ModelSpectrum, share: float) -> ModelSpectrum:
    """Let translations count as modes at half of the mean frequency of the others.

    Parameters
    ----------
    spectrum
        Of all other modes.
    share
        Of translations among all modes.
    """
    if share <= 0.0:
        return spectrum
    substitute = 0.5 * float(spectrum.weights @ spectrum.frequencies_thz)
    return replace(
        spectrum,
        frequencies_thz=np.append(spectrum.frequencies_thz, substitute),
        weights=np.append((1.0 - share) * spectrum.weights, share),
    )


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
