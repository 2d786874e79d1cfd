r"""Kernels on energies and their gradients, with the force constants that they predict.

A weight :math:`a_n` belongs to the energy of point n and a vector :math:`b_n` to its gradient;
the predicted energy is :math:`E(x) = \sum_n [a_n + b_n \cdot \partial_{x_n}] k(x, x_n)`. All
derivatives are written out, so that no tensor of the third or fourth power of the dimension is
ever held. Kernels have unit variance; coordinates are called Å, and can be any others.

References
----------
S. Keeratikarn and J. M. Frost, "Anharmonic phonons with Gaussian processes" (2024).
F. de Roos, A. Gessner and P. Hennig, arXiv:2102.07542 (2021): structure of the covariance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from screening.prediction import FloatArray

__all__ = ["DerivativeKernel", "PolynomialKernel", "RadialKernel"]

IntArray = NDArray[np.int64]

_CUBIC = 3


class DerivativeKernel(Protocol):
    """What a fit needs of a kernel; points have shape (point, coordinate)."""

    @property
    def length_scale_angstrom(self) -> float:
        """Length in Å over which the energy varies."""

    def energy_variance(self, points: FloatArray) -> float:
        """Largest variance of an energy."""

    def gradient_coupling(self, points: FloatArray) -> FloatArray:
        """Covariance of gradients across the points' span, shape (point, point)."""

    def covariance(self, points: FloatArray, *, with_energies: bool) -> FloatArray:
        """All covariances, energies first, shape (row, row)."""

    def predict(
        self,
        targets: FloatArray,
        points: FloatArray,
        energy_weights: FloatArray,
        gradient_weights: FloatArray,
    ) -> tuple[FloatArray, FloatArray]:
        """Energies (target,) and gradients (target, coordinate)."""

    def second_derivatives(
        self,
        points: FloatArray,
        energy_weights: FloatArray,
        gradient_weights: FloatArray,
        rows: IntArray,
        identity: FloatArray,
    ) -> FloatArray:
        """Second derivatives at the origin, shape (row, coordinate)."""

    def third_derivatives(
        self,
        points: FloatArray,
        energy_weights: FloatArray,
        gradient_weights: FloatArray,
        rows: IntArray,
        identity: FloatArray,
    ) -> FloatArray:
        """Third derivatives at the origin, shape (row, coordinate, coordinate)."""


@dataclass(frozen=True)
class RadialKernel:
    r"""The squared exponential :math:`\exp(-|x - x'|^2 / 2 l^2)`.

    Attributes
    ----------
    length_scale_angstrom
        Length scale l in Å.
    """

    length_scale_angstrom: float

    def energy_variance(self, points: FloatArray) -> float:
        """Largest variance of an energy: one everywhere."""
        del points
        return 1.0

    def gradient_coupling(self, points: FloatArray) -> FloatArray:
        """Covariance of gradients across the points' span, in 1/Å², shape (point, point)."""
        return self._values(points, points) / self.length_scale_angstrom**2

    def covariance(self, points: FloatArray, *, with_energies: bool) -> FloatArray:
        """All covariances of energies and gradients.

        Returns
        -------
        ndarray
            Energies first, then gradients with the coordinate fastest, shape (row, row).
        """
        n_points, dimension = points.shape
        square = self.length_scale_angstrom**2
        values = self._values(points, points)
        apart = points[:, None] - points[None]
        blocks = -(values / square**2)[:, :, None, None] * (
            apart[..., :, None] * apart[..., None, :]
        )
        diagonal = np.arange(dimension)
        blocks[:, :, diagonal, diagonal] += (values / square)[:, :, None]
        gradients = blocks.swapaxes(1, 2).reshape(n_points * dimension, n_points * dimension)
        if not with_energies:
            return gradients
        mixed = (values[:, :, None] * apart / square).reshape(n_points, n_points * dimension)
        return np.block([[values, mixed], [mixed.T, gradients]])

    def predict(
        self,
        targets: FloatArray,
        points: FloatArray,
        energy_weights: FloatArray,
        gradient_weights: FloatArray,
    ) -> tuple[FloatArray, FloatArray]:
        """Predict without ever holding the covariance, in time (target x point x coordinate).

        Returns
        -------
        energies, gradients
            Shapes (target,) and (target, coordinate).
        """
        square = self.length_scale_angstrom**2
        values = self._values(targets, points)
        slopes = targets @ gradient_weights.T - np.sum(points * gradient_weights, axis=1)
        energies = values @ energy_weights + np.sum(values * slopes, axis=1) / square
        pulls = values * (energy_weights / square + slopes / square**2)
        gradients = values @ gradient_weights / square
        gradients += pulls @ points - pulls.sum(axis=1)[:, None] * targets
        return energies, gradients

    def second_derivatives(
        self,
        points: FloatArray,
        energy_weights: FloatArray,
        gradient_weights: FloatArray,
        rows: IntArray,
        identity: FloatArray,
    ) -> FloatArray:
        """Second derivatives at the origin.

        Parameters
        ----------
        points, energy_weights, gradient_weights
            Shapes (point, coordinate), (point,) and (point, coordinate).
        rows
            Coordinates of the first derivative, shape (row,).
        identity
            The identity, or the projector on the space of points and weights where the energy
            depends on nothing else, shape (coordinate, coordinate).

        Returns
        -------
        ndarray
            Shape (row, coordinate).
        """
        square, values, slopes = self._at_origin(points, gradient_weights)
        steep = values * (energy_weights / square**2 + slopes / square**3)
        level = float(np.sum(values * (energy_weights / square + slopes / square**2)))
        scaled = (values / square**2)[:, None] * gradient_weights
        result = (steep[:, None] * points[:, rows] + scaled[:, rows]).T @ points
        return np.asarray(result + points[:, rows].T @ scaled - level * identity[rows])

    def third_derivatives(
        self,
        points: FloatArray,
        energy_weights: FloatArray,
        gradient_weights: FloatArray,
        rows: IntArray,
        identity: FloatArray,
    ) -> FloatArray:
        """Third derivatives at the origin; parameters as in `second_derivatives`.

        Returns
        -------
        ndarray
            Shape (row, coordinate, coordinate).
        """
        square, values, slopes = self._at_origin(points, gradient_weights)
        cubic = values * (energy_weights / square**3 + slopes / square**4)
        result = _cubic_rows(points, gradient_weights, cubic, values / square**3, rows)
        steep = values * (energy_weights / square**2 + slopes / square**3)
        vector = -steep @ points - (values / square**2) @ gradient_weights
        mixed = identity[rows][:, :, None] * vector
        result += mixed + mixed.swapaxes(1, 2)
        result += vector[rows][:, None, None] * identity
        return result

    def _at_origin(
        self, points: FloatArray, gradient_weights: FloatArray
    ) -> tuple[float, FloatArray, FloatArray]:
        """Square of the length scale, values of the kernel, and weights along each point."""
        values = self._values(np.zeros((1, points.shape[1])), points)[0]
        return self.length_scale_angstrom**2, values, -np.sum(points * gradient_weights, axis=1)

    def _values(self, targets: FloatArray, points: FloatArray) -> FloatArray:
        """Return the kernel itself, shape (target, point)."""
        squares = np.sum(targets**2, axis=1)[:, None] + np.sum(points**2, axis=1)
        squares = np.maximum(squares - 2.0 * targets @ points.T, 0.0)
        return np.asarray(np.exp(-0.5 * squares / self.length_scale_angstrom**2))


@dataclass(frozen=True)
class PolynomialKernel:
    r"""The dot-product kernel :math:`t^2/2! + t^3/3!` with :math:`t = x \cdot x' / l^2`.

    Its energies are all polynomials of second and third order, without any symmetry.

    Attributes
    ----------
    length_scale_angstrom
        Displacement l in Å where both orders are of one size.
    degree
        Highest order: 3, or 2 for a harmonic energy.
    """

    length_scale_angstrom: float
    degree: int = 3

    def energy_variance(self, points: FloatArray) -> float:
        """Largest variance of an energy."""
        return float(self._values(np.sum(points**2, axis=1)).max())

    def gradient_coupling(self, points: FloatArray) -> FloatArray:
        """Covariance of gradients across the points' span, in 1/Å², shape (point, point)."""
        return self._slopes(points @ points.T)

    def covariance(self, points: FloatArray, *, with_energies: bool) -> FloatArray:
        """All covariances of energies and gradients, as of `RadialKernel`."""
        n_points, dimension = points.shape
        products = points @ points.T
        blocks = self._bends(products)[:, :, None, None] * (
            points[None, :, :, None] * points[:, None, None, :]
        )
        diagonal = np.arange(dimension)
        blocks[:, :, diagonal, diagonal] += self._slopes(products)[:, :, None]
        gradients = blocks.swapaxes(1, 2).reshape(n_points * dimension, n_points * dimension)
        if not with_energies:
            return gradients
        mixed = self._slopes(products)[:, :, None] * points[:, None]
        mixed = mixed.reshape(n_points, n_points * dimension)
        return np.block([[self._values(products), mixed], [mixed.T, gradients]])

    def predict(
        self,
        targets: FloatArray,
        points: FloatArray,
        energy_weights: FloatArray,
        gradient_weights: FloatArray,
    ) -> tuple[FloatArray, FloatArray]:
        """Predict energies (target,) and gradients (target, coordinate)."""
        products, along = targets @ points.T, targets @ gradient_weights.T
        slopes = self._slopes(products)
        energies = self._values(products) @ energy_weights + np.sum(slopes * along, axis=1)
        pulls = slopes * energy_weights + self._bends(products) * along
        return energies, pulls @ points + slopes @ gradient_weights

    def second_derivatives(
        self,
        points: FloatArray,
        energy_weights: FloatArray,
        gradient_weights: FloatArray,
        rows: IntArray,
        identity: FloatArray,
    ) -> FloatArray:
        """Second derivatives at the origin, as of `RadialKernel`; ``identity`` plays no part."""
        del identity
        factor = self.length_scale_angstrom**-4
        both = energy_weights[:, None] * points[:, rows] + gradient_weights[:, rows]
        return np.asarray(factor * (both.T @ points + points[:, rows].T @ gradient_weights))

    def third_derivatives(
        self,
        points: FloatArray,
        energy_weights: FloatArray,
        gradient_weights: FloatArray,
        rows: IntArray,
        identity: FloatArray,
    ) -> FloatArray:
        """Third derivatives at the origin, as of `RadialKernel`; ``identity`` plays no part."""
        del identity
        factor = self._third * self.length_scale_angstrom**-6
        even = np.full(len(points), factor)
        return _cubic_rows(points, gradient_weights, factor * energy_weights, even, rows)

    @property
    def _third(self) -> float:
        """Third derivative by the scaled dot product."""
        return float(self.degree == _CUBIC)

    def _values(self, products: FloatArray) -> FloatArray:
        scaled = products / self.length_scale_angstrom**2
        return np.asarray(scaled**2 / 2.0 + self._third * scaled**3 / 6.0)

    def _slopes(self, products: FloatArray) -> FloatArray:
        """First derivative by the dot product."""
        square = self.length_scale_angstrom**2
        scaled = products / square
        return np.asarray((scaled + self._third * scaled**2 / 2.0) / square)

    def _bends(self, products: FloatArray) -> FloatArray:
        """Second derivative by the dot product."""
        square = self.length_scale_angstrom**2
        return np.asarray((1.0 + self._third * products / square) / square**2)


def _cubic_rows(
    points: FloatArray,
    vectors: FloatArray,
    cubic: FloatArray,
    mixed: FloatArray,
    rows: IntArray,
) -> FloatArray:
    """Sum ``cubic`` x x x and ``mixed`` (v x x + x v x + x x v) over the points, in each row."""
    result = np.empty((len(rows), points.shape[1], points.shape[1]))
    for index, row in enumerate(rows):
        both = cubic * points[:, row] + mixed * vectors[:, row]
        cross = points.T @ ((mixed * points[:, row])[:, None] * vectors)
        result[index] = points.T @ (both[:, None] * points) + cross + cross.T
    return result
