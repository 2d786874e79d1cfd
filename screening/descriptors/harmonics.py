"""Real spherical harmonics of unit vectors, without angles, up to constant factors.

The factors are left out of the recurrences, where they would cost time for each vector, and
given once as squared norms.
"""

from __future__ import annotations

from functools import lru_cache
from math import factorial

import numpy as np
from numpy.typing import NDArray

from screening.prediction import FloatArray, frozen_array

__all__ = ["degrees", "squared_norms", "unnormalised_harmonics"]


def degrees(l_max: int) -> NDArray[np.int64]:
    """Degree l of each harmonic, shape (harmonic,)."""
    return np.repeat(np.arange(l_max + 1), 2 * np.arange(l_max + 1) + 1)


@lru_cache(maxsize=16)
def squared_norms(l_max: int) -> FloatArray:
    """Squares of the factors that are left out.

    With them, the sum over the harmonics of one degree l of
    ``squared_norm * harmonic(u) * harmonic(v)`` is the Legendre polynomial P_l(u v).

    Parameters
    ----------
    l_max
        Largest degree.

    Returns
    -------
    FloatArray
        Shape (harmonic,).
    """
    norms: list[float] = []
    for degree in range(l_max + 1):
        leading = factorial(2 * degree) ** 2  # of the Legendre polynomial, over 2^l l!
        below = (2**degree * factorial(degree)) ** 2
        of_order = [
            (2 if order else 1)
            * leading
            / (below * factorial(degree + order) * factorial(degree - order))
            for order in range(degree + 1)
        ]
        norms += of_order + of_order[1:]
    return frozen_array(norms)


@lru_cache(maxsize=16)
def _second_factors(l_max: int) -> FloatArray:
    """Factors of the second term of the recurrence in the degree, shape (l, m, 1)."""
    degree = np.arange(l_max + 1)[:, None, None]
    order = np.arange(l_max + 1)[None, :, None]
    below = np.maximum((2 * degree - 1) * (2 * degree - 3), 1)
    return frozen_array(((degree - 1) ** 2 - order**2) / below)


def unnormalised_harmonics(unit_vectors: FloatArray, l_max: int) -> FloatArray:
    """Evaluate the harmonics by their recurrences in degree and order.

    Parameters
    ----------
    unit_vectors
        Shape (axis, vector).
    l_max
        Largest degree.

    Returns
    -------
    FloatArray
        Shape (harmonic, vector): for each degree l the l + 1 cosines, then the l sines.
    """
    x, y, z = unit_vectors
    cosines = np.empty((l_max + 1, len(z)))
    sines = np.empty((l_max + 1, len(z)))
    cosines[0], sines[0] = 1.0, 0.0
    for order in range(1, l_max + 1):
        cosines[order] = x * cosines[order - 1] - y * sines[order - 1]
        sines[order] = x * sines[order - 1] + y * cosines[order - 1]
    factors = _second_factors(l_max)
    polar = np.ones((l_max + 1, l_max + 1, len(z)))  # monic in z, by degree and order
    found = np.empty(((l_max + 1) ** 2, len(z)))
    for degree in range(l_max + 1):
        one = polar[degree]
        if degree:
            np.multiply(polar[degree - 1, :degree], z, out=one[:degree])
        if degree > 1:
            orders = slice(0, degree - 1)
            one[orders] -= factors[degree, orders] * polar[degree - 2, orders]
        start = degree**2
        middle, end = start + degree + 1, (degree + 1) ** 2
        np.multiply(one[: degree + 1], cosines[: degree + 1], out=found[start:middle])
        np.multiply(one[1 : degree + 1], sines[1 : degree + 1], out=found[middle:end])
    return found
