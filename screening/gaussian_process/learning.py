"""Learning curves: how force constants improve with the number of displaced cells.

Data alone: which cells were drawn, how far force constants are from a reference, how far they
miss the acoustic sum rule, and how well forces of cells that nobody fitted are predicted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import count

import numpy as np
from numpy.typing import NDArray

from screening.anharmonic import DisplacedCells, ForceConstants
from screening.errors import InconsistentDataError, SettingError
from screening.force_constants import acoustic_sum_error, third_order_acoustic_sum_error
from screening.gaussian_process.derivative_fit import DerivativeKernelSettings, fit_derivatives
from screening.gaussian_process.derivative_kernel import (
    assemble_force_constants,
    cell_gradients,
    check_third_order_size,
    compact_rows,
    coordinates_of,
)
from screening.gaussian_process.fit import basis_for, fit_force_constants
from screening.gaussian_process.settings import GaussianProcessSettings
from screening.gaussian_process.symmetrised_kernel import (
    SupercellOperations,
    SymmetrisedKernelSettings,
    fit_symmetrised,
)
from screening.prediction import FloatArray

__all__ = ["LearningCurve", "LearningMethod", "LearningPoint", "LearningSettings", "learning_curve"]

IntArray = NDArray[np.int64]

_Fit = Callable[[DisplacedCells, FloatArray], tuple[ForceConstants, FloatArray]]


class LearningMethod(StrEnum):
    """Who learns: force constants with symmetry, or the published kernel with it and without."""

    SYMMETRY_ADAPTED = "symmetry_adapted"
    SYMMETRISED_KERNEL = "symmetrised_kernel"
    DERIVATIVE_KERNEL = "derivative_kernel"


@dataclass(frozen=True)
class LearningSettings:
    """Which methods learn, and how.

    Attributes
    ----------
    methods
        The methods to run.
    symmetry_adapted, symmetrised_kernel, derivative_kernel
        Settings of each.
    """

    methods: tuple[LearningMethod, ...] = tuple(LearningMethod)
    symmetry_adapted: GaussianProcessSettings = field(default_factory=GaussianProcessSettings)
    symmetrised_kernel: SymmetrisedKernelSettings = field(default_factory=SymmetrisedKernelSettings)
    derivative_kernel: DerivativeKernelSettings = field(default_factory=DerivativeKernelSettings)


@dataclass(frozen=True)
class LearningPoint:
    """One fit.

    Attributes
    ----------
    method
        How it was fitted.
    n_cells
        Number of displaced cells.
    cells
        Which ones.
    second_order_change, third_order_change
        Norm of the difference from the reference over the norm of the reference; None where
        there is no third order.
    second_order_sum_rule_ev_per_angstrom2, third_order_sum_rule_ev_per_angstrom3
        Largest force constant of a rigid translation.
    force_error_ev_per_angstrom
        Root mean squared error of the forces of cells that were held out, in eV/Å.
    """

    method: LearningMethod
    n_cells: int
    cells: tuple[int, ...]
    second_order_change: float
    third_order_change: float | None
    second_order_sum_rule_ev_per_angstrom2: float
    third_order_sum_rule_ev_per_angstrom3: float | None
    force_error_ev_per_angstrom: float


@dataclass(frozen=True)
class LearningCurve:
    """Fits with different numbers of cells.

    Attributes
    ----------
    points
        One for every method, number of cells and draw.
    held_out
        Cells whose forces were predicted; no fit has seen them, nor the default reference.
    force_ev_per_angstrom
        Root mean square of their forces in eV/Å: the error of predicting nothing.
    """

    points: tuple[LearningPoint, ...]
    held_out: tuple[int, ...]
    force_ev_per_angstrom: float

    def of(self, method: LearningMethod, n_cells: int) -> tuple[LearningPoint, ...]:
        """Return the draws of one method and number of cells."""
        return tuple(one for one in self.points if one.method is method and one.n_cells == n_cells)


@dataclass(frozen=True, eq=False)
class _Truth:
    """What fits are compared with."""

    reference: ForceConstants
    held_out: DisplacedCells


def learning_curve(  # noqa: PLR0913 - options by keyword
    cells: DisplacedCells,
    counts: Sequence[int],
    n_draws: int = 1,
    seed: int = 0,
    *,
    n_held_out: int = 10,
    settings: LearningSettings | None = None,
    reference: ForceConstants | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> LearningCurve:
    """Fit force constants to more and more displaced cells.

    The cells of a draw are nested: more of them hold those of the smaller fits.

    Parameters
    ----------
    cells
        All displaced cells; the last ones are held out.
    counts
        Numbers of cells to fit.
    n_draws
        Random choices of cells.
    seed
        Seed of the choices.
    n_held_out
        Cells that are only predicted.
    settings
        Which methods, and how; None takes the defaults of all.
    reference
        Force constants to compare with; None fits all cells that are not held out.
    progress
        Called before the first fit and after each with the numbers of fits done and of all,
        that of the reference among them.

    Raises
    ------
    SettingError
        If a number is not positive.
    InconsistentDataError
        If there are too few cells.
    """
    _check(cells.n_cells, counts, n_draws, n_held_out)
    pool = cells.n_cells - n_held_out
    settings = settings or LearningSettings()
    generator = np.random.default_rng(seed)
    orders = [generator.permutation(pool) for _ in range(n_draws)]
    # the cheapest first, for those who watch
    chosen = [(one[:n], method) for n in counts for one in orders for method in settings.methods]
    done = _counter(len(chosen) + (reference is None), progress)
    fits = _fits(cells, settings)
    held_out = _taken(cells, np.arange(pool, cells.n_cells))
    if reference is None:
        every = _taken(cells, np.arange(pool))
        reference, _ = fits[LearningMethod.SYMMETRY_ADAPTED](every, np.zeros((0, cells.n_atoms, 3)))
        done()
    truth = _Truth(reference, held_out)
    points = []
    for index, method in chosen:
        points.append(_point(method, fits[method], _taken(cells, index), index, truth))
        done()
    points.sort(key=lambda one: settings.methods.index(one.method))
    forces = held_out.forces_ev_per_angstrom - held_out.residual_forces_ev_per_angstrom
    names = tuple(range(pool, cells.n_cells))
    return LearningCurve(tuple(points), names, float(np.sqrt(np.mean(forces**2))))


def _counter(n_fits: int, progress: Callable[[int, int], None] | None) -> Callable[[], None]:
    """Say that nothing is done; return what to call after each fit."""
    say = progress or (lambda _done, _all: None)
    numbers = count(1)
    say(0, n_fits)
    return lambda: say(next(numbers), n_fits)


def _check(n_cells: int, counts: Sequence[int], n_draws: int, n_held_out: int) -> None:
    numbers = {"counts": min(counts, default=0), "n_draws": n_draws, "n_held_out": n_held_out}
    for name, value in numbers.items():
        if value < 1:
            raise SettingError(f"{value} is below 1", subject=name, hint="Give positive numbers")
    if max(counts) + n_held_out > n_cells:
        raise InconsistentDataError(
            f"{n_cells} cells where {max(counts)} are to be fitted and {n_held_out} held out",
            subject="counts",
            hint="Give smaller counts, or hold out fewer cells",
        )


def _taken(cells: DisplacedCells, index: IntArray) -> DisplacedCells:
    return replace(
        cells,
        displacements_angstrom=cells.displacements_angstrom[index],
        forces_ev_per_angstrom=cells.forces_ev_per_angstrom[index],
        energies_ev=None if cells.energies_ev is None else cells.energies_ev[index],
    )


def _fits(cells: DisplacedCells, settings: LearningSettings) -> dict[LearningMethod, _Fit]:
    """Return functions from cells to force constants and forces of other displacements."""
    return {
        LearningMethod.SYMMETRY_ADAPTED: _adapted(cells, settings.symmetry_adapted),
        LearningMethod.SYMMETRISED_KERNEL: _symmetrised(cells, settings.symmetrised_kernel),
        LearningMethod.DERIVATIVE_KERNEL: _plain(settings.derivative_kernel),
    }


def _adapted(cells: DisplacedCells, settings: GaussianProcessSettings) -> _Fit:
    basis = basis_for(cells, settings)

    def fit(some: DisplacedCells, moves: FloatArray) -> tuple[ForceConstants, FloatArray]:
        found = fit_force_constants(some, settings, basis=basis)
        pairs = zip(found.designs(moves), found.posterior.amplitudes(), strict=True)
        forces = sum((design @ one for design, one in pairs), start=np.zeros(moves.size))
        return found.force_constants, forces.reshape(moves.shape)

    return fit


def _symmetrised(cells: DisplacedCells, settings: SymmetrisedKernelSettings) -> _Fit:
    operations = SupercellOperations.of_cells(cells)

    def fit(some: DisplacedCells, moves: FloatArray) -> tuple[ForceConstants, FloatArray]:
        if settings.third_order:
            check_third_order_size(some)
        points, gradients, _ = cell_gradients(some)
        found = fit_symmetrised(points, gradients, operations, settings)
        rows = coordinates_of(compact_rows(some))
        third = found.third_derivatives(rows) if settings.third_order else None
        constants = assemble_force_constants(some, found.second_derivatives(rows), third)
        slopes = found.gradients(moves.reshape(len(moves), -1))
        return constants, -slopes.reshape(moves.shape)

    return fit


def _plain(settings: DerivativeKernelSettings) -> _Fit:
    def fit(some: DisplacedCells, moves: FloatArray) -> tuple[ForceConstants, FloatArray]:
        if settings.third_order:
            check_third_order_size(some)
        points, gradients, energies = cell_gradients(some)
        found = fit_derivatives(points, gradients, settings, energies)
        rows = coordinates_of(compact_rows(some))
        third = found.third_derivatives(rows) if settings.third_order else None
        constants = assemble_force_constants(some, found.second_derivatives(rows), third)
        _, slopes = found.predict(moves.reshape(len(moves), -1))
        return constants, -slopes.reshape(moves.shape)

    return fit


def _point(
    method: LearningMethod, fit: _Fit, cells: DisplacedCells, index: IntArray, truth: _Truth
) -> LearningPoint:
    """Fit some cells and compare."""
    held_out = truth.held_out
    found, forces = fit(cells, held_out.displacements_angstrom)
    true = held_out.forces_ev_per_angstrom - held_out.residual_forces_ev_per_angstrom
    second, third = found.second_order_ev_per_angstrom2, found.third_order_ev_per_angstrom3
    reference = truth.reference
    third_reference = reference.third_order_ev_per_angstrom3
    return LearningPoint(
        method=method,
        n_cells=len(index),
        cells=tuple(int(one) for one in index),
        second_order_change=_change(second, reference.second_order_ev_per_angstrom2),
        third_order_change=(
            None if third is None or third_reference is None else _change(third, third_reference)
        ),
        second_order_sum_rule_ev_per_angstrom2=acoustic_sum_error(second),
        third_order_sum_rule_ev_per_angstrom3=(
            None if third is None else third_order_acoustic_sum_error(third)
        ),
        force_error_ev_per_angstrom=float(np.sqrt(np.mean((forces - true) ** 2))),
    )


def _change(found: FloatArray, reference: FloatArray) -> float:
    return float(np.linalg.norm(found - reference) / np.linalg.norm(reference))
