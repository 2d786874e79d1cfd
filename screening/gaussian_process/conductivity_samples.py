"""The distribution of the thermal conductivity that the distribution of force constants gives.

References
----------
A. Togo, L. Chaput, T. Tadano and I. Tanaka, J. Phys.: Condens. Matter 35, 353001 (2023).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from screening.anharmonic import ForceConstants
from screening.conductivity import thermal_conductivity
from screening.conductivity_records import ConductivitySettings, ThermalConductivity
from screening.errors import InconsistentDataError, SettingError
from screening.gaussian_process.fit import GaussianProcessFit
from screening.gaussian_process.propagation import left_out_ratio, sample_interval
from screening.prediction import FloatArray, frozen_array

__all__ = ["ConductivitySamples", "conductivity_samples"]

_FEWEST_SAMPLES = 2


@dataclass(frozen=True, eq=False)
class ConductivitySamples:
    """Conductivity of the posterior mean and of draws from the posterior.

    Attributes
    ----------
    mean
        Of the posterior mean.
    conductivity_w_per_m_k
        Of every draw in W/m/K, shape (sample, temperature, 3, 3).

    Raises
    ------
    InconsistentDataError
        If the mean over directions of one is not positive: it has no logarithm.
    """

    mean: ThermalConductivity
    conductivity_w_per_m_k: FloatArray

    def __post_init__(self) -> None:
        every = np.concatenate(
            [self.mean.conductivity_w_per_m_k[None], self.conductivity_w_per_m_k]
        )
        means = _isotropic(every)
        bad = np.argwhere(~((means > 0.0) & np.isfinite(means)))
        if len(bad):
            which, place = (int(index) for index in bad[0])
            whose = f"draw {which - 1}" if which else "the mean"
            raise InconsistentDataError(
                f"{whose} of the distribution of force constants has a conductivity of"
                f" {means[which, place]:.3g} W/m/K at {self.mean.temperatures_k[place]:g} K",
                subject="conductivity_w_per_m_k",
                hint="Take a denser mesh, or the method 'rta'",
            )

    @property
    def n_samples(self) -> int:
        """Number of draws."""
        return len(self.conductivity_w_per_m_k)

    @cached_property
    def std_w_per_m_k(self) -> FloatArray:
        """Standard deviation of every component in W/m/K, shape (temperature, 3, 3)."""
        return frozen_array(np.std(self.conductivity_w_per_m_k, axis=0, ddof=1))

    @cached_property
    def logarithms(self) -> FloatArray:
        """Logarithm of the mean over directions of every draw, shape (sample, temperature)."""
        return frozen_array(np.log(_isotropic(self.conductivity_w_per_m_k)))

    @cached_property
    def std_of_logarithm(self) -> FloatArray:
        """Standard deviation of those logarithms, shape (temperature,): a relative error."""
        return frozen_array(np.std(self.logarithms, axis=0, ddof=1))

    def interval_w_per_m_k(self, coverage: float = 0.9) -> tuple[FloatArray, FloatArray]:
        """Interval of the mean over directions in W/m/K, two of shape (temperature,).

        It is symmetric in the logarithm, for a conductivity has relative errors.

        Raises
        ------
        SettingError
            If the coverage is no probability.
        """
        centre = np.log(_isotropic(self.mean.conductivity_w_per_m_k))
        lower, upper = sample_interval(centre, self.logarithms, coverage)
        return np.exp(lower), np.exp(upper)


def _isotropic(tensors: FloatArray) -> FloatArray:
    return np.asarray(np.trace(tensors, axis1=-2, axis2=-1) / 3.0)


def conductivity_samples(
    fit: GaussianProcessFit,
    settings: ConductivitySettings | None = None,
    n_samples: int = 8,
    seed: int = 0,
    *,
    second_order: ForceConstants | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ConductivitySamples:
    """Compute the conductivity of the posterior mean and of draws from the posterior.

    Parameters
    ----------
    fit
        Force constants to third order with their distribution.
    settings
        Mesh, temperatures and method; None takes the defaults.
    n_samples
        Number of draws, at least 2; each takes as long as one conductivity.
    seed
        Seed of the draws.
    second_order
        Harmonic force constants of a larger supercell, taken as exact.
    progress
        Called with the number of conductivities done and that of all.

    Raises
    ------
    SettingError
        If there are fewer than two draws.
    InconsistentDataError
        If the fit has no third order, a draw has no conductivity because a mode is
        imaginary, or one is not positive.
    TooLargeError, CalculatorFailedError
        As `thermal_conductivity`.
    """
    if n_samples < _FEWEST_SAMPLES:
        raise SettingError(
            f"{n_samples} draws have no spread", subject="n_samples", hint="Give 2 or more"
        )
    mean = thermal_conductivity(fit.force_constants, settings, second_order=second_order)
    _tell(progress, 1, n_samples + 1)
    centre = fit.posterior.amplitudes()
    factor = max(1.0, left_out_ratio(fit))
    changes = tuple(
        factor * (drawn - known[:, None])
        for drawn, known in zip(fit.posterior.sample(n_samples, seed), centre, strict=True)
    )
    found = []
    for sample in range(n_samples):
        drawn = tuple(
            known + change[:, sample] for known, change in zip(centre, changes, strict=True)
        )
        found.append(_of_draw(fit.expanded(drawn), settings, second_order, sample))
        _tell(progress, sample + 2, n_samples + 1)
    return ConductivitySamples(mean, frozen_array(found))


def _of_draw(
    drawn: ForceConstants,
    settings: ConductivitySettings | None,
    second_order: ForceConstants | None,
    sample: int,
) -> FloatArray:
    try:
        result = thermal_conductivity(drawn, settings, second_order=second_order)
    except InconsistentDataError as error:
        raise InconsistentDataError(
            f"{error.message} in draw {sample} from the distribution of force constants",
            subject=error.subject,
            hint="Compute another displaced cell: these leave the force constants too uncertain",
        ) from error
    return result.conductivity_w_per_m_k


def _tell(progress: Callable[[int, int], None] | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)
