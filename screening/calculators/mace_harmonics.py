"""Spherical harmonics as polynomials of the components of a unit vector."""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np
from scipy.linalg import block_diag

from screening.prediction import FloatArray

__all__ = ["harmonic_matrix", "monomial_slopes", "monomials"]

_SAMPLES = 200


def monomials(units: FloatArray, max_ell: int) -> FloatArray:
    """Products of up to `max_ell` components of vectors, shape (vector, monomial)."""
    powers = [one for degree in range(max_ell + 1) for one in _factors(degree)]
    found = np.ones((len(powers), len(units)))  # rows, so that each product is contiguous
    columns = np.ascontiguousarray(units.T)
    for row, power in enumerate(powers):
        if power:
            np.multiply(found[powers.index(power[:-1])], columns[power[-1]], out=found[row])
    return found.T


def monomial_slopes(max_ell: int) -> FloatArray:
    """Matrices that turn monomials into their derivatives by a component.

    Shape (axis, monomial, monomial); the derivatives are the monomials times a matrix.
    """
    powers = [one for degree in range(max_ell + 1) for one in _factors(degree)]
    slopes = np.zeros((3, len(powers), len(powers)))
    for column, power in enumerate(powers):
        for axis in set(power):
            rest = list(power)
            rest.remove(axis)
            slopes[axis, powers.index(tuple(rest)), column] = power.count(axis)
    return slopes


def _factors(degree: int) -> list[tuple[int, ...]]:
    return list(combinations_with_replacement(range(3), degree))


def harmonic_matrix(max_ell: int) -> FloatArray:
    """Spherical harmonics as sums of monomials of the same degree, shape (monomial, harmonic)."""
    import torch
    from e3nn import o3

    unit = np.random.default_rng(0).normal(size=(_SAMPLES, 3))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    blocks = []
    for degree in range(max_ell + 1):
        wanted = o3.spherical_harmonics(degree, torch.tensor(unit), True, "component").numpy()
        columns = monomials(unit, degree)[:, -len(_factors(degree)) :]
        blocks.append(np.linalg.lstsq(columns, wanted, rcond=None)[0])
    found: FloatArray = block_diag(*blocks)
    return found
