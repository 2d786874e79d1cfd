r"""Force constants by a derivative Gaussian process that knows the crystal's symmetry.

The squared exponential is averaged over all operations g of the supercell, space group and
lattice translations, and rigid translations are projected out:
:math:`k(x, x') = |G|^{-1} \sum_g \exp(-|P x - g P x'|^2 / 2 l^2)`. Every function of the process
is then invariant, so that few cells suffice, and force constants obey the space group and the
acoustic sum rule to rounding error. A point of this process acts as all its images at once,
with one weight: the derivatives are those of the plain kernel.

References
----------
S. Keeratikarn and J. M. Frost, "Anharmonic phonons with Gaussian processes" (2024): the
process without symmetry.
B. Haasdonk and H. Burkhardt, Mach. Learn. 68, 35 (2007): kernels averaged over a group.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve

from screening.anharmonic import DisplacedCells, ForceConstants
from screening.errors import InconsistentDataError, SettingError, TooLargeError
from screening.gaussian_process.derivative_covariance import RadialKernel
from screening.gaussian_process.derivative_fit import (
    best_length_scale,
    check_observations,
    typical_displacement,
)
from screening.gaussian_process.derivative_kernel import (
    assemble_force_constants,
    cell_gradients,
    check_third_order_size,
    compact_rows,
    coordinates_of,
)
from screening.gaussian_process.derivative_solver import factorise, log_evidence
from screening.prediction import FloatArray
from screening.supercell_symmetry import SupercellSymmetry, locate_atoms

__all__ = [
    "SupercellOperations",
    "SymmetrisedFit",
    "SymmetrisedKernelSettings",
    "fit_symmetrised",
    "symmetrised_force_constants",
]

IntArray = NDArray[np.int64]

_SCALED_LENGTH, _RIGID = 10.0, 1e-6


@dataclass(frozen=True)
class SymmetrisedKernelSettings:
    """How force constants are inferred with the symmetry of the crystal.

    Attributes
    ----------
    length_scale
        "scaled" is ten times the typical length of a displacement vector of all coordinates;
        "evidence" maximises the marginal likelihood between 1 and 100 times that length;
        "fixed" takes the next setting. The evidence of few cells prefers a shorter length than
        serves the second order best: all points lie about as far from the origin.
    length_scale_angstrom
        Length scale in Å if it is fixed.
    variance_ev2, profile_variance, noise_force_ev_per_angstrom, third_order
        As in `screening.gaussian_process.derivative_fit.DerivativeKernelSettings`.
    max_dense_rows
        Largest number of force components that is accepted.
    """

    length_scale: Literal["scaled", "evidence", "fixed"] = "scaled"
    length_scale_angstrom: float = 3.0
    variance_ev2: float = 1.0
    profile_variance: bool = True
    noise_force_ev_per_angstrom: float = 1e-7
    third_order: bool = True
    max_dense_rows: int = 8000

    def __post_init__(self) -> None:
        for name in ("length_scale_angstrom", "variance_ev2", "noise_force_ev_per_angstrom"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0.0):
                raise SettingError(
                    f"is {value}, must be above 0",
                    subject=name,
                    hint="Give a positive number",
                )
        if self.length_scale not in {"scaled", "evidence", "fixed"}:
            raise SettingError(
                f"unknown choice {self.length_scale!r}",
                subject="length_scale",
                hint="Choose one of scaled, evidence, fixed",
            )


@dataclass(frozen=True, eq=False)
class SupercellOperations:
    """All operations of a supercell as they act on displacement vectors.

    Attributes
    ----------
    permutations
        Where every atom goes, shape (operation, atom).
    rotations
        Cartesian rotations, shape (operation, 3, 3).
    """

    permutations: IntArray
    rotations: FloatArray

    @classmethod
    def of_cells(cls, cells: DisplacedCells) -> SupercellOperations:
        """Find the operations of the undisplaced supercell."""
        matrix = cells.supercell_matrix
        where = locate_atoms(
            cells.primitive, matrix, cells.supercell_scaled_positions, cells.supercell_numbers
        )
        symmetry = SupercellSymmetry(cells.primitive, matrix, *where)
        permutations = symmetry.atomic_permutations
        turns = symmetry.rotations_cartesian
        return cls(permutations, np.tile(turns, (len(permutations) // len(turns), 1, 1)))

    def images(self, vector: FloatArray) -> FloatArray:
        """Apply every operation to a vector (coordinate,); shape (operation, coordinate)."""
        turned = np.einsum("gab,nb->gna", self.rotations, vector.reshape(-1, 3))
        result = np.empty_like(turned)
        np.put_along_axis(result, self.permutations[:, :, None], turned, axis=1)
        return np.asarray(result).reshape(len(result), -1)

    def inverse_images(self, vector: FloatArray) -> FloatArray:
        """Apply the inverse of every operation to a vector (coordinate,)."""
        moved = vector.reshape(-1, 3)[self.permutations]
        turned = np.einsum("gba,gnb->gna", self.rotations, moved)
        return np.asarray(turned).reshape(len(moved), -1)

    def weighted_sum(self, weights: FloatArray) -> FloatArray:
        """Sum the operations' matrices with weights (operation,); (coordinate, coordinate)."""
        n_atoms = self.permutations.shape[1]
        values = (weights[:, None, None] * self.rotations)[:, None]
        flat = np.bincount(
            self._places,
            np.broadcast_to(values, (len(weights), n_atoms, 3, 3)).ravel(),
            minlength=(3 * n_atoms) ** 2,
        )
        return np.asarray(flat, dtype=np.float64).reshape(3 * n_atoms, 3 * n_atoms)

    @cached_property
    def _places(self) -> IntArray:
        """Flat index of each element (operation, atom, 3, 3) in a matrix of all coordinates."""
        n_atoms = self.permutations.shape[1]
        axes = np.arange(3)
        to = (3 * self.permutations)[:, :, None, None] + axes[:, None]
        start = (3 * np.arange(n_atoms))[None, :, None, None] + axes
        return np.asarray(to * (3 * n_atoms) + start).ravel()


@dataclass(frozen=True, eq=False)
class SymmetrisedFit:
    """A symmetrised derivative Gaussian process after it has seen its data.

    Attributes
    ----------
    kernel
        Kernel before it is averaged.
    images, image_weights
        All images of the displacements in Å, and of their weights, shape (image, coordinate).
    variance_ev2
        Variance of the energy in eV².
    log_evidence
        Logarithm of the marginal likelihood of the forces that translations leave.
    """

    kernel: RadialKernel
    images: FloatArray
    image_weights: FloatArray
    variance_ev2: float
    log_evidence: float

    def gradients(self, points: FloatArray) -> FloatArray:
        """Return gradients in eV/Å at displacements in Å, shape (point, coordinate)."""
        nothing = np.zeros(len(self.images))
        moved = _without_translation(points)
        return self.kernel.predict(moved, self.images, nothing, self.image_weights)[1]

    def second_derivatives(self, rows: IntArray) -> FloatArray:
        """Return second derivatives at the origin in eV/Å², shape (row, coordinate)."""
        return self.kernel.second_derivatives(*self._at_origin(rows))

    def third_derivatives(self, rows: IntArray) -> FloatArray:
        """Return third derivatives at the origin in eV/Å³, shape (row, coordinate, coordinate)."""
        return self.kernel.third_derivatives(*self._at_origin(rows))

    def _at_origin(
        self, rows: IntArray
    ) -> tuple[FloatArray, FloatArray, FloatArray, IntArray, FloatArray]:
        projector = _without_translation(np.eye(self.images.shape[1]))
        return self.images, np.zeros(len(self.images)), self.image_weights, rows, projector


def symmetrised_force_constants(
    cells: DisplacedCells, settings: SymmetrisedKernelSettings | None = None
) -> ForceConstants:
    """Infer force constants of a crystal from forces, with its full symmetry.

    Parameters
    ----------
    cells
        Displaced supercells; forces on the undisplaced supercell are subtracted.
    settings
        Length scale and noise.

    Returns
    -------
    ForceConstants
        Second order, and third unless it is not wanted; both invariant under the space group,
        and zero for rigid translations.

    Raises
    ------
    WrongShapeError, NonFiniteInputError, InconsistentDataError, SettingError, TooLargeError
        As `fit_symmetrised`.
    """
    settings = settings or SymmetrisedKernelSettings()
    if settings.third_order:
        check_third_order_size(cells)
    points, gradients, _ = cell_gradients(cells)
    fit = fit_symmetrised(points, gradients, SupercellOperations.of_cells(cells), settings)
    rows = coordinates_of(compact_rows(cells))
    third = fit.third_derivatives(rows) if settings.third_order else None
    return assemble_force_constants(cells, fit.second_derivatives(rows), third)


def fit_symmetrised(
    points: FloatArray,
    gradients: FloatArray,
    operations: SupercellOperations,
    settings: SymmetrisedKernelSettings,
) -> SymmetrisedFit:
    """Condition the symmetrised process on gradients.

    Parameters
    ----------
    points, gradients
        Displacements in Å and gradients in eV/Å, shape (cell, coordinate).
    operations
        A complete group.
    settings
        Length scale and noise.

    Raises
    ------
    WrongShapeError, NonFiniteInputError, InconsistentDataError
        If arrays do not fit each other, hold NaN or infinity, or nothing is displaced.
    SettingError
        If the covariance is not positive definite.
    TooLargeError
        If there are more force components than the settings accept.
    """
    check_observations(points, gradients, None)
    if points.size > settings.max_dense_rows:
        raise TooLargeError(
            f"{len(points)} cells have {points.size} force components, above"
            f" {settings.max_dense_rows}",
            subject="max_dense_rows",
            hint=f"Give at most {settings.max_dense_rows // points.shape[1]} cells",
        )
    size = typical_displacement(points)
    points, gradients = _without_translation(points), _without_translation(gradients)
    typical = typical_displacement(points)
    if typical < _RIGID * size:
        raise InconsistentDataError(
            "all cells are only translated", hint="Give supercells with displaced atoms"
        )

    def fit(length_scale: float) -> SymmetrisedFit:
        return _fit_at(RadialKernel(length_scale), points, gradients, operations, settings)

    if settings.length_scale == "fixed":
        return fit(settings.length_scale_angstrom)
    if settings.length_scale == "scaled":
        return fit(_SCALED_LENGTH * typical)
    return fit(best_length_scale(lambda length: fit(length).log_evidence, typical))


def _without_translation(vectors: FloatArray) -> FloatArray:
    """Project rigid translations out of vectors (vector, coordinate)."""
    atoms = vectors.reshape(len(vectors), -1, 3)
    return np.asarray(atoms - atoms.mean(axis=1, keepdims=True)).reshape(vectors.shape)


def _fit_at(
    kernel: RadialKernel,
    points: FloatArray,
    gradients: FloatArray,
    operations: SupercellOperations,
    settings: SymmetrisedKernelSettings,
) -> SymmetrisedFit:
    """Solve with one length scale."""
    covariance = _covariance(kernel, points, operations)
    noise = settings.noise_force_ev_per_angstrom**2 / settings.variance_ev2
    rounding = np.finfo(float).eps * len(covariance) * float(np.diag(covariance).max())
    noise = max(noise, rounding)
    covariance[np.diag_indices_from(covariance)] += noise
    rigid = _hold_translations(covariance, len(points)) + noise
    factor, log_determinant = factorise(covariance)
    weights = _without_translation(cho_solve(factor, gradients.ravel()).reshape(points.shape))
    # forces of a rigid translation were never observed, so that they do not count
    absent = 3 * len(points)
    n_rows = points.size - absent
    quadratic = float(np.sum(weights * gradients))
    variance = quadratic / n_rows if settings.profile_variance else settings.variance_ev2
    determinant = log_determinant - absent * float(np.log(rigid))
    n_operations = len(operations.rotations)
    return SymmetrisedFit(
        kernel=kernel,
        images=np.concatenate([operations.images(one) for one in points]),
        image_weights=np.concatenate([operations.images(one) for one in weights]) / n_operations,
        variance_ev2=variance,
        log_evidence=log_evidence(n_rows, quadratic, determinant, variance),
    )


def _hold_translations(covariance: FloatArray, n_points: int) -> float:
    """Give rigid translations, which have no covariance, a variance that rounding cannot reach.

    Returns
    -------
    float
        The variance.
    """
    dimension = len(covariance) // n_points
    variance = float(np.diag(covariance).max())
    rigid = variance * (np.eye(dimension) - _without_translation(np.eye(dimension)))
    for start in range(0, len(covariance), dimension):
        covariance[start : start + dimension, start : start + dimension] += rigid
    return variance


def _covariance(
    kernel: RadialKernel, points: FloatArray, operations: SupercellOperations
) -> FloatArray:
    """Covariance of the gradients of all points, shape (row, row)."""
    n_points, dimension = points.shape
    result = np.empty((n_points, dimension, n_points, dimension))
    for second in range(n_points):
        images = operations.images(points[second])
        for first in range(second, n_points):
            block = _block(kernel, points[first], points[second], images, operations)
            result[first, :, second] = block
            result[second, :, first] = block.T
    return result.reshape(n_points * dimension, n_points * dimension)


def _block(
    kernel: RadialKernel,
    first: FloatArray,
    second: FloatArray,
    images: FloatArray,
    operations: SupercellOperations,
) -> FloatArray:
    """Covariance of two gradients: the plain one, averaged over the images of the second."""
    square = kernel.length_scale_angstrom**2
    apart = first - images
    values = np.exp(-0.5 * np.sum(apart**2, axis=1) / square) / len(images)
    turned_back = operations.inverse_images(first) - second
    isotropic = _without_translation(operations.weighted_sum(values / square))
    return np.asarray(isotropic - (apart * (values / square**2)[:, None]).T @ turned_back)
