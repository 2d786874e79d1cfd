"""Angular Fourier series of the surroundings of atoms.

``A[n, l] = sum_kk' g_n(r_k) g_n(r_k') cos(l theta_kk') f(r_k) f(r_k')`` over all pairs of
neighbours, k = k' included. The pairs are never formed: cos(l theta) is a sum of Legendre
polynomials of cos(theta), and each of those is a sum of products of spherical harmonics of the
two directions. What remains is one small matrix product for each atom, linear in its neighbours.

References
----------
A. P. Bartók, R. Kondor and G. Csányi, Phys. Rev. B 87, 184115 (2013), section II.
C. Lapointe et al., Phys. Rev. Materials 4, 063802 (2020).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.polynomial import chebyshev, legendre
from numpy.typing import NDArray

from screening.descriptors.densities import NeighbourDensity, check_range
from screening.descriptors.harmonics import degrees, squared_norms, unnormalised_harmonics
from screening.descriptors.radial import MOST_RADIAL, cutoff_function, radial_functions
from screening.prediction import FloatArray, frozen_array

__all__ = ["AngularFourierSeries"]

_MOST_ANGULAR = 20


@dataclass(frozen=True, kw_only=True)
class AngularFourierSeries(NeighbourDensity):
    """Angular Fourier series with orthonormal radial functions, in 1/Å, n slowest.

    Attributes
    ----------
    n_radial
        Number of radial functions.
    l_max
        Largest multiple of the angle; the smallest is 0.

    Raises
    ------
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> AngularFourierSeries().n_per_atom([26])
    220
    """

    name: ClassVar[str] = "afs"
    _rows_at_once: ClassVar[int] = 64

    n_radial: int = 20
    l_max: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("n_radial", self.n_radial, 1, MOST_RADIAL, whole=True)
        check_range("l_max", self.l_max, 0, _MOST_ANGULAR, whole=True)

    @property
    def n_per_channel(self) -> int:
        """Number of features of one density."""
        return self.n_radial * (self.l_max + 1)

    def _invariants(
        self, vectors: FloatArray, distances: FloatArray, counts: NDArray[np.int64]
    ) -> FloatArray:
        """Sum over pairs of neighbours; densities are padded to the length of the longest."""
        real = np.arange(max(int(counts[-1]), 1)) < counts[:, None]
        directions = np.zeros((3, *real.shape))
        directions[:, real] = vectors / distances
        harmonics = unnormalised_harmonics(directions.reshape(3, -1), self.l_max)
        radial = radial_functions(distances, self.n_radial, self.cutoff_angstrom)
        radial *= cutoff_function(distances, self.cutoff_angstrom)
        weights = np.zeros((self.n_radial, *real.shape))
        weights[:, real] = radial
        moments = np.matmul(
            weights.transpose(1, 0, 2),
            harmonics.reshape(-1, *real.shape).transpose(1, 2, 0),
        )
        np.square(moments, out=moments)
        found = moments.reshape(-1, moments.shape[2]) @ _multiple_angles(self.l_max)
        return np.asarray(found.reshape(len(counts), -1))


@lru_cache(maxsize=16)
def _multiple_angles(l_max: int) -> FloatArray:
    """Weight of each squared moment in cos(l theta), shape (harmonic, l)."""
    angles, weights = legendre.leggauss(l_max + 1)  # exact for products of two polynomials
    of_angle = chebyshev.chebvander(angles, l_max)
    polynomials = legendre.legvander(angles, l_max)
    norms = np.arange(l_max + 1)[:, None] + 0.5
    expansion = norms * (polynomials.T @ (weights[:, None] * of_angle))
    return frozen_array(squared_norms(l_max)[:, None] * expansion[degrees(l_max)])
