"""Learning curves of displaced cells: how each method improves with their number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from flows.kernels import checked_cells
from screening.anharmonic import DisplacedCells
from screening.errors import InconsistentDataError, SettingError, TooLargeError
from screening.gaussian_process.derivative_fit import DerivativeKernelSettings
from screening.gaussian_process.learning import (
    LearningCurve,
    LearningMethod,
    LearningSettings,
    learning_curve,
)
from screening.gaussian_process.settings import GaussianProcessSettings
from screening.gaussian_process.symmetrised_kernel import SymmetrisedKernelSettings

__all__ = ["LearningPlan", "learn", "learning_settings", "parse_counts"]

Progress = Callable[[int, int], None]

_CUBIC = 3
_FEW = 2  # cells of the reference over those of the largest fit
_LEARNERS = {
    "adapted": LearningMethod.SYMMETRY_ADAPTED,
    "symmetrised": LearningMethod.SYMMETRISED_KERNEL,
    "paper": LearningMethod.DERIVATIVE_KERNEL,
}


@dataclass(frozen=True)
class LearningPlan:
    """Which fits a learning curve has.

    Attributes
    ----------
    counts
        Numbers of cells.
    n_draws, seed
        Random choices of cells, and what they follow from.
    n_held_out
        Cells whose forces are only predicted, the last ones.
    settings
        Methods, and how they fit.
    """

    counts: tuple[int, ...]
    n_draws: int = 3
    seed: int = 0
    n_held_out: int = 10
    settings: LearningSettings = field(default_factory=LearningSettings)


def parse_counts(text: str) -> tuple[int, ...]:
    """Read numbers of cells such as ``1,2,5,10``, sorted and each once.

    Raises
    ------
    SettingError
        If one is no positive integer.

    Examples
    --------
    >>> parse_counts("5,1,2")
    (1, 2, 5)
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise SettingError(
            f"{text!r} are no numbers of cells", subject="--counts", hint="Write 1,2,5,10"
        )
    return tuple(sorted({int(part) for part in parts}))


def learning_settings(
    methods: str, max_order: int = _CUBIC, cutoff_angstrom: float | None = None
) -> LearningSettings:
    """Return the settings of methods such as ``adapted,paper``.

    Parameters
    ----------
    methods
        Of adapted, symmetrised and paper.
    max_order
        2 for harmonic force constants alone, 3 for those of third order too.
    cutoff_angstrom
        Largest distance of atoms in third-order force constants of the adapted method in Å.

    Raises
    ------
    SettingError
        If there is no such method or order.
    """
    names = list(dict.fromkeys(part.strip() for part in methods.split(",")))
    unknown = [name for name in names if name not in _LEARNERS]
    if unknown:
        raise SettingError(
            f"{unknown[0]!r} is no method that learns",
            subject="--methods",
            hint=f"Choose of {','.join(_LEARNERS)}",
        )
    third = max_order == _CUBIC
    return LearningSettings(
        methods=tuple(_LEARNERS[name] for name in names),
        symmetry_adapted=GaussianProcessSettings(
            max_order=max_order, third_order_cutoff_angstrom=cutoff_angstrom
        ),
        symmetrised_kernel=SymmetrisedKernelSettings(third_order=third),
        derivative_kernel=DerivativeKernelSettings(third_order=third),
    )


def learn(
    cells: DisplacedCells, plan: LearningPlan, progress: Progress | None = None
) -> tuple[LearningCurve, tuple[str, ...]]:
    """Compute learning curves.

    Parameters
    ----------
    cells
        All of them.
    plan
        Which fits.
    progress
        Called with the numbers of fits done and of all.

    Returns
    -------
    LearningCurve
        Errors against the symmetry-adapted fit to all cells that are not held out.
    tuple of str
        What the user should know.

    Raises
    ------
    InconsistentDataError
        If there are too few cells, or their forces are inconsistent.
    TooLargeError
        If a fit would have too many force components.
    SettingError
        If a number is below one.
    """
    _check_plan(cells, plan)
    report = checked_cells(cells)
    curve = learning_curve(
        cells,
        plan.counts,
        plan.n_draws,
        plan.seed,
        n_held_out=plan.n_held_out,
        settings=plan.settings,
        progress=progress,
    )
    return curve, (*report.notes, *_reference_notes(plan, cells.n_cells - plan.n_held_out))


def _check_plan(cells: DisplacedCells, plan: LearningPlan) -> None:
    """Refuse before anything is fitted."""
    most, held_out = max(plan.counts), plan.n_held_out
    if most + held_out > cells.n_cells:
        spare = cells.n_cells - held_out
        hint = f"Give --counts up to {spare}" if spare > 0 else "Give --counts 1"
        raise InconsistentDataError(
            f"{cells.n_cells} cells where {most} are to be fitted and {held_out} others held out",
            subject="--counts",
            hint=f"{hint}, a smaller --held-out, or more cells",
        )
    limit = plan.settings.symmetrised_kernel.max_dense_rows // (3 * cells.n_atoms)
    if LearningMethod.SYMMETRISED_KERNEL in plan.settings.methods and most > limit:
        raise TooLargeError(
            f"{most} cells of {cells.n_atoms} atoms are too many for the symmetrised kernel",
            subject="--counts",
            hint=f"Give --counts up to {limit}, or --methods adapted,paper",
        )


def _reference_notes(plan: LearningPlan, pool: int) -> list[str]:
    most = max(plan.counts)
    if pool >= _FEW * most:
        return []
    said = f"the reference of the force constants is a fit to {pool} cells"
    return [f"{said}: errors of fits to {most} of them are too small"]
