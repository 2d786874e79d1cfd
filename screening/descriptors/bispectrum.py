"""Bispectrum of the density of neighbours on the sphere in four dimensions.

A neighbour at distance r becomes a rotation: by an angle that grows with r, about its direction.
The density of those rotations is expanded in the matrices of the rotation group; products of
three expansion coefficients, coupled by Clebsch-Gordan coefficients on both sides, do not change
when the surroundings are turned or mirrored. The central atom is the rotation by nothing; it is
part of the density of every channel.

References
----------
A. P. Bartók, R. Kondor and G. Csányi, Phys. Rev. B 87, 184115 (2013), section II.
A. P. Thompson et al., J. Comput. Phys. 285, 316 (2015), section 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import factorial, sqrt
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from screening.descriptors.densities import NeighbourDensity, check_range
from screening.descriptors.radial import cutoff_function
from screening.errors import SettingError
from screening.prediction import FloatArray, frozen_array

__all__ = ["Bispectrum", "bispectrum_components", "clebsch_gordan"]

_MOST_J = 8.0
_ComplexArray = NDArray[np.complex128]


@dataclass(frozen=True, kw_only=True)
class Bispectrum(NeighbourDensity):
    """Components of the bispectrum whose first two indices are equal.

    Attributes
    ----------
    j_max
        Largest index, an integer or half of one.
    pole_fraction
        Part of the way to the opposite pole, where directions mean nothing, that a neighbour
        at the cutoff has gone.

    Raises
    ------
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> Bispectrum().n_per_atom([26])
    26
    """

    name: ClassVar[str] = "bso4"
    _rows_at_once: ClassVar[int] = 128

    j_max: float = 3.5
    pole_fraction: float = 0.99363

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("j_max", self.j_max, 0.0, _MOST_J)
        check_range("pole_fraction", self.pole_fraction, 0.01, 1.0)
        if 2.0 * self.j_max != round(2.0 * self.j_max):
            raise SettingError(
                f"{self.j_max}", subject="j_max", hint="Give an integer or half of an odd one"
            )

    @property
    def n_per_channel(self) -> int:
        """Number of features of one density."""
        return len(bispectrum_components(round(2 * self.j_max)))

    def _invariants(
        self, vectors: FloatArray, distances: FloatArray, counts: NDArray[np.int64]
    ) -> FloatArray:
        """Expand each density, then couple its coefficients."""
        angles = distances * (self.pole_fraction * np.pi / self.cutoff_angstrom)
        x, y, z = vectors * (np.sin(angles) / distances)
        weights = cutoff_function(distances, self.cutoff_angstrom)
        twice = round(2 * self.j_max)
        expansion = _expansion(np.cos(angles) - 1j * z, y - 1j * x, weights, counts, twice)
        return np.stack(
            [_component(expansion, *which) for which in bispectrum_components(twice)], axis=1
        )


@lru_cache(maxsize=8)
def bispectrum_components(twice_j_max: int) -> tuple[tuple[int, int], ...]:
    """Twice the indices (j1 = j2, j) of each component: j is an integer up to 2 j1.

    Examples
    --------
    >>> bispectrum_components(2)
    ((0, 0), (1, 0), (1, 2), (2, 0), (2, 2))
    """
    return tuple(
        (first, last)
        for first in range(twice_j_max + 1)
        for last in range(0, min(2 * first, twice_j_max) + 1, 2)
    )


def _expansion(
    a: _ComplexArray,
    b: _ComplexArray,
    weights: FloatArray,
    counts: NDArray[np.int64],
    twice_j_max: int,
) -> list[_ComplexArray]:
    """Sum the matrices of the rotations ((a, b), (-b*, a*)) of each density.

    The matrices act on the products of powers of two variables, so that each follows from
    that of the next smaller index by one multiplication; norms are applied to the sums.

    Returns
    -------
    list
        For each index j, twice of it from 0 on, shape (density, m', m).
    """
    found = []
    powers: _ComplexArray = weights.astype(np.complex128)[None, None]
    for n in range(twice_j_max + 1):
        if n:
            powers = _next_powers(powers, a, b)
        sums = np.zeros((n + 1, n + 1, len(counts)), dtype=np.complex128)
        filled = counts > 0
        starts = (np.cumsum(counts) - counts)[filled]
        if starts.size:
            sums[:, :, filled] = np.add.reduceat(powers, starts, axis=2)
        sums += np.eye(n + 1)[:, :, None]  # the central atom
        found.append(np.ascontiguousarray((sums * _norms(n)[:, :, None]).transpose(2, 0, 1)))
    return found


def _next_powers(powers: _ComplexArray, a: _ComplexArray, b: _ComplexArray) -> _ComplexArray:
    """Multiply by one more variable: the first for all rows but the lowest."""
    n = len(powers)
    found = np.empty((n + 1, n + 1, powers.shape[2]), dtype=np.complex128)
    np.multiply(powers, a, out=found[1:, 1:])
    found[1:, 0] = 0.0
    found[1:, :-1] += powers * b
    found[0, 1:] = -np.conj(b) * powers[0]
    found[0, 0] = 0.0
    found[0, :-1] += np.conj(a) * powers[0]
    return found


@lru_cache(maxsize=32)
def _norms(n: int) -> FloatArray:
    """Make the matrices unitary: norms of the products of powers, shape (m', m)."""
    norms = np.array([sqrt(factorial(k) * factorial(n - k)) for k in range(n + 1)])
    return frozen_array(norms[None, :] / norms[:, None])


def _component(expansion: list[_ComplexArray], first: int, last: int) -> FloatArray:
    """Couple coefficients of twice the indices (first, first) to last, shape (density,)."""
    one, other = expansion[first], expansion[last]
    coupling = clebsch_gordan(first, last)
    half = np.tensordot(one, coupling, axes=(2, 2))  # (density, m2', m, m1)
    inner = np.matmul(half.reshape(len(one), -1, first + 1), one.transpose(0, 2, 1))
    outer = np.tensordot(np.conj(other), coupling, axes=(1, 0))  # (density, m, m1', m2')
    inner = inner.reshape(len(one), first + 1, last + 1, first + 1).transpose(0, 2, 3, 1)
    return np.asarray((inner * outer).sum(axis=(1, 2, 3)).real)


@lru_cache(maxsize=256)
def clebsch_gordan(first: int, last: int) -> FloatArray:
    """Clebsch-Gordan coefficients of two equal angular momenta, by the formula of Racah.

    Parameters
    ----------
    first
        Twice each of the two.
    last
        Twice the resulting one, even.

    Returns
    -------
    FloatArray
        ``<j1 m1 j1 m2 | j m>``, shape (m, m1, m2), each from its least value on.
    """
    found = np.zeros((last + 1, first + 1, first + 1))
    for k1 in range(first + 1):
        for k2 in range(first + 1):
            k = k1 + k2 - first + last // 2
            if 0 <= k <= last:
                found[k, k1, k2] = _racah(first, last, k1, k2, k)
    return frozen_array(found)


def _racah(first: int, last: int, k1: int, k2: int, k: int) -> float:
    """One coefficient; k1, k2 and k count the projections from the least."""
    j = last // 2
    triangle = (last + 1) * factorial(first - j) * factorial(j) ** 2 / factorial(first + j + 1)
    states = (
        factorial(k)
        * factorial(last - k)
        * factorial(k1)
        * factorial(first - k1)
        * factorial(k2)
        * factorial(first - k2)
    )
    total = 0.0
    for s in range(first - j + 1):
        parts = (s, first - j - s, first - k1 - s, k2 - s, j - first + k1 + s, j - k2 + s)
        if min(parts) >= 0:
            total += (-1) ** s / np.prod([float(factorial(one)) for one in parts])
    return sqrt(triangle * states) * total
