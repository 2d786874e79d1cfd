"""Orthonormal radial functions that vanish at a cutoff.

They are combinations of powers of the distance to the cutoff. The matrix that orthogonalises
20 of those powers has a condition number of 1e32: it is made with 80 digits once, and kept as
coefficients of Chebyshev polynomials, which can be summed without loss.

References
----------
A. P. Bartók, R. Kondor and G. Csányi, Phys. Rev. B 87, 184115 (2013), section II.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from screening.prediction import FloatArray, frozen_array

__all__ = ["MOST_RADIAL", "cutoff_function", "radial_coefficients", "radial_functions"]

MOST_RADIAL = 30
"""Largest number of radial functions that 80 digits are known to make orthonormal."""

_DIGITS = 80


@lru_cache(maxsize=8)
def radial_coefficients(n_radial: int) -> FloatArray:
    """Coefficients of the radial functions for a cutoff of 1.

    Parameters
    ----------
    n_radial
        Number of functions.

    Returns
    -------
    FloatArray
        Coefficients of the Chebyshev polynomials of ``1 - 2 r``, shape
        (function, n_radial + 3).
    """
    import mpmath

    with mpmath.workdps(_DIGITS):
        orders = range(1, n_radial + 1)
        norms = [mpmath.sqrt(2 * order + 5) for order in orders]
        overlap = mpmath.matrix(n_radial)
        powers = mpmath.matrix(n_radial, n_radial + 3)
        for row, a in enumerate(orders):
            for column, b in enumerate(orders):
                overlap[row, column] = norms[row] * norms[column] / (5 + a + b)
            for degree, weight in enumerate(_power_in_chebyshev(a + 2)):
                powers[row, degree] = norms[row] * weight
        values, vectors = mpmath.eigsy(overlap)
        roots = mpmath.diag([1 / mpmath.sqrt(value) for value in values])
        found = vectors * roots * vectors.T * powers
        return frozen_array(np.array(found.tolist(), dtype=np.float64))


def _power_in_chebyshev(power: int) -> list[object]:
    """Coefficients of s^power in the Chebyshev polynomials of 2 s - 1: s is cos^2 of a half."""
    import mpmath

    scale = mpmath.mpf(4) ** power
    weights = [2 * mpmath.binomial(2 * power, power + k) / scale for k in range(power + 1)]
    return [weights[0] / 2, *weights[1:]]


def radial_functions(
    distances_angstrom: FloatArray, n_radial: int, cutoff_angstrom: float
) -> FloatArray:
    """Evaluate the radial functions.

    Parameters
    ----------
    distances_angstrom
        Distances in Å, none beyond the cutoff, shape (pair,).
    n_radial
        Number of functions.
    cutoff_angstrom
        Where they vanish, Å.

    Returns
    -------
    FloatArray
        In Å^(-1/2), shape (function, pair): the integral over r of the product of two of them
        is 1 for one and the same function, else 0.
    """
    coefficients = radial_coefficients(n_radial)
    argument = 1.0 - (2.0 / cutoff_angstrom) * distances_angstrom
    chebyshev = np.empty((coefficients.shape[1], len(argument)))
    chebyshev[0] = 1.0
    chebyshev[1] = argument
    double = 2.0 * argument
    for order in range(2, len(chebyshev)):
        np.multiply(double, chebyshev[order - 1], out=chebyshev[order])
        chebyshev[order] -= chebyshev[order - 2]
    return np.asarray((coefficients / np.sqrt(cutoff_angstrom)) @ chebyshev)


def cutoff_function(distances_angstrom: FloatArray, cutoff_angstrom: float) -> FloatArray:
    """Evaluate half of 1 + cos(pi r / cutoff), which ends flat at the cutoff."""
    return np.asarray(0.5 + 0.5 * np.cos(distances_angstrom * (np.pi / cutoff_angstrom)))
