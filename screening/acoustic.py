"""Finding the three acoustic modes at the zone centre, which no sum and no verdict may use."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from screening.prediction import FloatArray

__all__ = ["acoustic_mask", "gamma_mask"]

N_ACOUSTIC = 3
_SAME_Q_POINT = 1e-6


def gamma_mask(q_points: FloatArray) -> NDArray[np.bool_]:
    """Tell which q points are the zone centre or one of its periodic images.

    Parameters
    ----------
    q_points
        Fractions of the primitive reciprocal lattice, shape (q, 3).

    Examples
    --------
    >>> gamma_mask(np.array([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [1.0, 0.0, -1.0]])).tolist()
    [True, False, True]
    """
    distance = np.abs(q_points - np.rint(q_points))
    return np.asarray(np.all(distance < _SAME_Q_POINT, axis=1))


def acoustic_mask(frequencies_thz: FloatArray, is_gamma: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark the three modes nearest to zero at every zone centre.

    Nearest to zero and not lowest: an imaginary optical mode at the zone centre is an
    instability, while rigid translations are zero up to noise.

    Parameters
    ----------
    frequencies_thz
        Shape (q, branch), imaginary ones negative.
    is_gamma
        Which q points are the zone centre, shape (q,).

    Examples
    --------
    >>> frequencies = np.array([[-2.0, -0.01, 0.0, 0.02, 5.0]])
    >>> acoustic_mask(frequencies, np.array([True])).tolist()
    [[False, True, True, True, False]]
    """
    mask = np.zeros(frequencies_thz.shape, dtype=bool)
    at_gamma = np.flatnonzero(is_gamma)
    nearest = np.argsort(np.abs(frequencies_thz[at_gamma]), axis=1, kind="stable")[:, :N_ACOUSTIC]
    mask[at_gamma[:, None], nearest] = True
    return mask
