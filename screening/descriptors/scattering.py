"""Solid harmonic wavelet scattering: one transform of all atoms at once.

Each atom is a Gaussian. The density is convolved with Gaussians times solid harmonics, of
several widths; the length of the result over the orders m is integrated over space. As a
Gaussian times a solid harmonic is one in Fourier space too, the convolution is a product there,
for crystals (over one cell) and for clusters (in a box that is large beside the widths) alike.

What comes out describes the whole. It is extensive for a crystal, cell by cell, but for several
clusters only where they are farther apart than the widest wavelet reaches.

References
----------
M. Eickenberg et al., Adv. Neural Inf. Process. Syst. 30 (2017); J. Chem. Phys. 148, 241732
(2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from screening.descriptors.densities import (
    MOST_WORKERS,
    check_channels,
    check_range,
)
from screening.descriptors.harmonics import squared_norms, unnormalised_harmonics
from screening.descriptors.interface import AtomicSystem, atom_counts, sorted_elements
from screening.errors import SettingError, TooLargeError
from screening.prediction import FloatArray

__all__ = ["SolidHarmonicScattering"]

_MOST_POINTS = 4_000_000
_LEAST_POINTS = 12  # along a lattice vector
_MARGIN_WIDTHS = 14.0  # between images of a cluster: a wavelet of degree 9 has decayed to 1e-5
_MOST_ANGULAR = 12


@dataclass(frozen=True, kw_only=True)
class SolidHarmonicScattering:
    """Integrals of the first order over all space, scale slowest.

    Attributes
    ----------
    scales
        Binary logarithms of the widths of the wavelets in Å.
    l_max
        Largest degree of the solid harmonics; the smallest is 0.
    width_angstrom
        Standard deviation of the Gaussian of an atom in Å.
    points_per_width
        Points of the grid along the width of a wavelet. Results turn with the system to about
        1e-3 at 2 and better with more.
    neighbour_channels
        ``species`` transforms the density of each element by itself, ``all`` that of all atoms.
    workers
        Threads of the Fourier transforms.

    Raises
    ------
    SettingError
        If a setting is out of range.

    Examples
    --------
    >>> SolidHarmonicScattering().n_features([26])
    91
    """

    name: ClassVar[str] = "scattering"
    describes_atoms: ClassVar[bool] = False

    scales: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0, 2.0, 3.0, 4.0, 5.0)
    l_max: int = 9
    width_angstrom: float = 0.5
    points_per_width: float = 2.5
    neighbour_channels: str = "species"
    workers: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "scales", tuple(float(one) for one in self.scales))
        check_range("l_max", self.l_max, 0, _MOST_ANGULAR, whole=True)
        check_range("workers", self.workers, 1, MOST_WORKERS, whole=True)
        check_range("width_angstrom", self.width_angstrom, 0.05, 10.0)
        check_range("points_per_width", self.points_per_width, 1.0, 20.0)
        check_range("scales", len(self.scales), 1, 100)
        for one in self.scales:
            check_range("scales", one, -5.0, 10.0)
        check_channels(self.neighbour_channels)

    @property
    def settings(self) -> dict[str, Any]:
        """Settings as plain JSON."""
        return {
            "scales": list(self.scales),
            "l_max": self.l_max,
            "width_angstrom": self.width_angstrom,
            "points_per_width": self.points_per_width,
            "neighbour_channels": self.neighbour_channels,
        }

    def n_features(self, elements: Sequence[int]) -> int:
        """Length of what `summed` returns for these elements."""
        n_elements = len(sorted_elements(elements))
        channels = 1 if self.neighbour_channels == "all" else n_elements
        return channels * len(self.scales) * (self.l_max + 1) + n_elements

    def per_atom(self, system: AtomicSystem, elements: Sequence[int] | None = None) -> FloatArray:
        """Refuse: the transform is one of the whole.

        Raises
        ------
        SettingError
            Always.
        """
        del elements
        raise SettingError(
            f"describes a system of {len(system)} atoms as a whole, not each of them",
            subject=self.name,
            hint="Take the summed descriptor, or afs or bso4 for atoms",
        )

    def summed(self, system: AtomicSystem, elements: Sequence[int]) -> FloatArray:
        """Transform the density.

        Returns
        -------
        FloatArray
            One block of features for each channel, then the number of atoms of each element.

        Raises
        ------
        ElementNotInModelError
            If the system holds another element.
        TooLargeError
            If the grid would not fit in memory.
        """
        known = sorted_elements(elements)
        counts = atom_counts(system.numbers, known)
        channels = [np.isin(system.numbers, known)]
        if self.neighbour_channels == "species":
            channels = [system.numbers == one for one in known]
        found = np.zeros((len(channels), len(self.scales), self.l_max + 1))
        for index, scale in enumerate(self.scales):
            found[:, index] = self._scale(system, channels, 2.0**scale)
        return np.concatenate([found.ravel(), counts])

    def _scale(
        self, system: AtomicSystem, channels: list[NDArray[np.bool_]], width: float
    ) -> FloatArray:
        """Integrals of one width in Å, shape (channel, l)."""
        spread = float(np.hypot(width, self.width_angstrom))
        cell = _box(system, spread * _MARGIN_WIDTHS)
        spacing = spread / self.points_per_width
        shape = _grid_shape(cell, spacing)
        waves = _wave_vectors(cell, shape)
        lengths = np.linalg.norm(waves, axis=0)
        units = np.where(lengths > 0.0, waves / np.where(lengths > 0.0, lengths, 1.0), 1.0)
        harmonics = unnormalised_harmonics(units, self.l_max)
        found = np.zeros((len(channels), self.l_max + 1))
        for index, chosen in enumerate(channels):
            density = _structure_factor(system.positions_angstrom[chosen], cell, shape)
            density *= np.exp(-0.5 * (lengths * spread) ** 2)
            for degree in range(self.l_max + 1):
                part = density * (-1j * width * lengths) ** degree
                found[index, degree] = self._length(part, harmonics, degree, shape)
        return found

    def _length(
        self,
        density: NDArray[np.complex128],
        harmonics: FloatArray,
        degree: int,
        shape: tuple[int, int, int],
    ) -> float:
        """Integrate the root of the sum over the orders of the squares."""
        from scipy.fft import irfftn

        half = (*shape[:2], shape[2] // 2 + 1)
        norms = squared_norms(self.l_max) * (2 * degree + 1) / (4.0 * np.pi)
        total = np.zeros(shape)
        for order in range(degree**2, (degree + 1) ** 2):
            field = irfftn((density * harmonics[order]).reshape(half), shape, workers=self.workers)
            total += norms[order] * field**2
        return float(np.sqrt(total).sum())


def _box(system: AtomicSystem, margin: float) -> FloatArray:
    """Cell of a crystal, or a box around a cluster."""
    if system.cell_angstrom is not None:
        return system.cell_angstrom
    return np.diag(np.ptp(system.positions_angstrom, axis=0) + margin)


def _grid_shape(cell: FloatArray, spacing: float) -> tuple[int, int, int]:
    from scipy.fft import next_fast_len

    lengths = np.linalg.norm(cell, axis=1)
    asked = np.maximum(np.ceil(lengths / spacing), _LEAST_POINTS)
    if asked.prod() > _MOST_POINTS:
        raise TooLargeError(
            f"a grid of {asked.prod():.3g} points",
            subject="scattering",
            hint="Take afs or bso4 for large systems, wider atoms or fewer points_per_width",
        )
    a, b, c = (int(next_fast_len(int(one), real=True)) for one in asked)
    return a, b, c


def _wave_vectors(cell: FloatArray, shape: tuple[int, int, int]) -> FloatArray:
    """Wave vectors in 1/Å of the half grid of a real function, shape (axis, point)."""
    indices = np.meshgrid(*_indices(shape), indexing="ij")
    reciprocal = 2.0 * np.pi * np.linalg.inv(cell)
    return np.asarray(reciprocal @ np.stack([one.ravel() for one in indices]))


def _indices(shape: tuple[int, int, int]) -> tuple[FloatArray, FloatArray, FloatArray]:
    first, second = (np.asarray(np.fft.fftfreq(one, 1.0 / one), float) for one in shape[:2])
    return first, second, np.asarray(np.fft.rfftfreq(shape[2], 1.0 / shape[2]), float)


def _structure_factor(
    positions: FloatArray, cell: FloatArray, shape: tuple[int, int, int]
) -> NDArray[np.complex128]:
    """Sum of exp(-i G r) over the atoms, shape (point,)."""
    scaled = positions @ np.linalg.inv(cell)
    along = [
        np.exp(-2j * np.pi * scaled[:, axis, None] * index)
        for axis, index in enumerate(_indices(shape))
    ]
    plane = along[0][:, :, None] * along[1][:, None, :]
    return np.asarray(plane.reshape(len(scaled), shape[0] * shape[1]).T @ along[2]).ravel()
