"""Which displaced cell to compute next: the one that says most about what is asked.

Forces have normal errors and are linear in the amplitudes a of the force constants, with
posterior covariance S. A property with the gradient g then loses the variance

    g^T S X^T (X S X^T + noise² 1)^-1 X S g

when the forces X a of a candidate are computed: whatever they turn out to be. Of several
properties the sum of variances counts (A-optimal design).

References
----------
K. Chaloner and I. Verdinelli, Statist. Sci. 10, 273 (1995), section 2.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from screening.errors import InconsistentDataError, WrongShapeError
from screening.gaussian_process.fit import GaussianProcessFit
from screening.gaussian_process.posterior import Amplitudes
from screening.prediction import FloatArray, frozen_array

__all__ = ["Choice", "next_displacements", "order_functionals"]

_CANDIDATE_DIMENSION = 3


@dataclass(frozen=True, eq=False)
class Choice:
    """The candidate to compute next.

    Attributes
    ----------
    index
        Its place among the candidates.
    std_now
        Standard deviation of the property before, in its unit; of several properties the root
        of their summed variances.
    expected_std_after
        The same after, expected.
    candidate_std_after
        The same after each of the candidates, shape (candidate,).
    """

    index: int
    std_now: float
    expected_std_after: float
    candidate_std_after: FloatArray


def next_displacements(
    fit: GaussianProcessFit, candidates: FloatArray, gradients: Amplitudes
) -> Choice:
    """Choose by the gradients of one or more properties.

    Parameters
    ----------
    fit
        What is known so far.
    candidates
        Displacements in Å, shape (candidate, atom, 3).
    gradients
        Derivatives of the properties by the amplitudes of every order, shapes (property,
        column), such as `second_order_functional` makes of `property_gradient`; or
        `order_functionals`.

    Raises
    ------
    WrongShapeError
        If candidates or gradient belong to another supercell.
    InconsistentDataError
        If there is no candidate.
    """
    _check(fit, candidates)
    shapes = [(len(gradients[0]), one.n_columns) for one in fit.basis.orders]
    if [one.shape for one in gradients] != shapes:
        raise WrongShapeError(
            f"shapes {[one.shape for one in gradients]} where {shapes} are needed",
            subject="gradients",
            hint="Take the functionals of the same fit",
        )
    posterior = fit.posterior
    variance = float(np.trace(posterior.force_covariance(gradients, gradients)))
    drops = []
    for moves in candidates:
        designs = fit.designs(moves[None])
        shared = posterior.force_covariance(designs, gradients)
        drops.append(_drop(posterior.force_covariance(designs, designs), shared, fit))
    return _choice(variance, np.array(drops))


def order_functionals(fit: GaussianProcessFit, order: int) -> Amplitudes:
    """All amplitudes of one order as functionals, shapes (row, column).

    Their summed variance is the mean squared error of the force constants of that order: what
    to lower where the property asked for, such as a conductivity, has no gradient at hand.
    """
    count = fit.basis.order(order).n_columns
    return tuple(
        np.eye(count) if one.order == order else np.zeros((count, one.n_columns))
        for one in fit.basis.orders
    )


def _check(fit: GaussianProcessFit, candidates: FloatArray) -> None:
    shape = np.shape(candidates)
    if len(shape) != _CANDIDATE_DIMENSION or shape[1:] != (fit.basis.n_atoms, 3):
        raise WrongShapeError(
            f"shape {shape} where (candidate, {fit.basis.n_atoms}, 3) is needed",
            subject="candidates",
            hint="Give displacements of all atoms of the fitted supercell",
        )
    if shape[0] == 0:
        raise InconsistentDataError(
            "there is no candidate", subject="candidates", hint="Give one or more displaced cells"
        )


def _drop(own: FloatArray, shared: FloatArray, fit: GaussianProcessFit) -> float:
    """Sum the variance of the properties that forces take away."""
    noise = fit.hyperparameters.noise_variance
    observed = cho_factor(0.5 * (own + own.T) + noise * np.eye(len(own)), lower=True)
    return float(np.sum(shared * cho_solve(observed, shared)))


def _choice(variance: float, drops: FloatArray) -> Choice:
    after = np.sqrt(np.clip(variance - drops, 0.0, variance))
    index = int(np.argmax(drops))
    return Choice(index, float(np.sqrt(variance)), float(after[index]), frozen_array(after))
