"""The posterior of the amplitudes of force constants: linear algebra, in closed form.

References
----------
C. E. Rasmussen and C. K. I. Williams, Gaussian Processes for Machine Learning (MIT Press, 2006),
equations 2.25 and 2.26.
J. T. Wilson et al., J. Mach. Learn. Res. 22, 1 (2021), equation 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from screening.errors import InconsistentDataError
from screening.gaussian_process.evidence import covariance
from screening.gaussian_process.observations import Hyperparameters, Observations
from screening.gaussian_process.prior import Locality, OrderPrior
from screening.prediction import FloatArray

__all__ = ["Amplitudes", "Posterior", "PriorMean", "posterior_of"]

Amplitudes = tuple[FloatArray, ...]
"""One array for each order: amplitudes of its columns, or a design with a column for each."""


@dataclass(frozen=True, eq=False)
class PriorMean:
    """What is expected of the force constants beforehand.

    Attributes
    ----------
    fixed
        Amplitudes that are known, one array of shape (column,) for each order.
    scaled
        Pairs of an order's place and amplitudes, shape (column,), that are multiplied by a
        factor about one.
    """

    fixed: Amplitudes
    scaled: tuple[tuple[int, FloatArray], ...] = ()

    def rows(self, designs: Amplitudes) -> FloatArray:
        """Return the forces of every scaled part in eV/Å, shape (part, row)."""
        found = [designs[place] @ amplitudes for place, amplitudes in self.scaled]
        return np.array(found).reshape(len(found), designs[0].shape[0])


@dataclass(frozen=True, eq=False)
class Posterior:
    """Distribution of the amplitudes, given forces.

    Attributes
    ----------
    observations
        Forces and designs.
    priors
        Prior of every order.
    hyperparameters
        Variances and noise.
    mean
        The prior's mean.
    factor
        Cholesky factor of the covariance of the forces, as scipy gives it.
    """

    observations: Observations
    priors: tuple[OrderPrior, ...]
    hyperparameters: Hyperparameters
    mean: PriorMean
    factor: tuple[FloatArray, bool]

    def amplitudes(self) -> Amplitudes:
        """Return the mean amplitudes, shapes (column,)."""
        seen = self.observations
        nothing = tuple(np.zeros((prior.basis.n_columns, 1)) for prior in self.priors)
        weights = cho_solve(self.factor, seen.forces_ev_per_angstrom[:, None])
        found = self._updated(nothing, np.zeros((len(seen.means), 1)), weights)
        return tuple(one[:, 0] for one in found)

    def mean_factors(self) -> FloatArray:
        """Factors that multiply the parts of the prior mean, shape (part,)."""
        seen = self.observations
        weights = cho_solve(self.factor, seen.forces_ev_per_angstrom)
        return np.asarray(1.0 + seen.mean_scale_std**2 * (seen.means @ weights))

    def sample(self, n_samples: int, seed: int) -> Amplitudes:
        """Draw amplitudes, shapes (column, sample).

        A draw from the prior, corrected by what it gets wrong about the forces, is a draw from
        the posterior.
        """
        generator = np.random.default_rng(seed)
        seen = self.observations
        drawn = tuple(
            np.sqrt(scale.variance) * prior.sample(generator, n_samples)
            for prior, scale in zip(self.priors, self.hyperparameters.scales, strict=True)
        )
        factors = seen.mean_scale_std * generator.standard_normal((len(seen.means), n_samples))
        noise = self.hyperparameters.noise_ev_per_angstrom
        forces = noise * generator.standard_normal((seen.n_rows, n_samples))
        forces += seen.means.T @ factors
        for design, amplitudes in zip(seen.designs, drawn, strict=True):
            forces += design @ amplitudes
        weights = cho_solve(self.factor, seen.forces_ev_per_angstrom[:, None] - forces)
        return self._updated(drawn, factors, weights)

    def force_covariance(self, first: Amplitudes, second: Amplitudes) -> FloatArray:
        """Covariance in (eV/Å)² of the noiseless forces of two designs, shape (row, row)."""
        seen = self.observations
        left = self._prior_covariance(first, seen.designs, seen.means)
        right = self._prior_covariance(second, seen.designs, seen.means)
        before = self._prior_covariance(first, second, self.mean.rows(second))
        return np.asarray(before - left @ cho_solve(self.factor, right.T))

    def _prior_covariance(
        self, first: Amplitudes, second: Amplitudes, second_means: FloatArray
    ) -> FloatArray:
        total = self.observations.mean_scale_std**2 * (self.mean.rows(first).T @ second_means)
        scales = self.hyperparameters.scales
        for one, other, prior, scale in zip(first, second, self.priors, scales, strict=True):
            total = total + scale.variance * (one @ prior.covariance(other.T))
        return np.asarray(total)

    def _updated(
        self, amplitudes: Amplitudes, factors: FloatArray, weights: FloatArray
    ) -> Amplitudes:
        """Add what weights of the rows, shape (row, sample), say, and the prior's mean."""
        seen, scales = self.observations, self.hyperparameters.scales
        found = [
            before + scale.variance * prior.covariance(design.T @ weights) + fixed[:, None]
            for before, scale, prior, design, fixed in zip(
                amplitudes, scales, self.priors, seen.designs, self.mean.fixed, strict=True
            )
        ]
        known = 1.0 + factors + seen.mean_scale_std**2 * (seen.means @ weights)
        for (place, column), factor in zip(self.mean.scaled, known, strict=True):
            found[place] = found[place] + column[:, None] * factor[None]
        return tuple(found)


def posterior_of(
    observations: Observations,
    locality: Locality,
    hyperparameters: Hyperparameters,
    mean: PriorMean,
) -> Posterior:
    """Condition the prior on forces.

    Raises
    ------
    InconsistentDataError
        If the covariance of the forces is not positive definite.
    """
    reduced = observations.reduced()
    priors: Sequence[OrderPrior] = [
        OrderPrior.at(basis, locality, scale.exponent)
        for basis, scale in zip(reduced.bases, hyperparameters.scales, strict=True)
    ]
    try:
        factor = cho_factor(covariance(reduced, locality, hyperparameters), lower=True)
    except np.linalg.LinAlgError as error:
        raise InconsistentDataError(
            "the covariance of the forces is not positive definite",
            subject="forces",
            hint="Raise noise_floor_ev_per_angstrom",
        ) from error
    return Posterior(reduced, tuple(priors), hyperparameters, mean, factor)
