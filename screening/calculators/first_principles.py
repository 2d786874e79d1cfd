"""What calculators that solve for the electrons share: wave vectors, settings, refusals."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np

from screening.calculators.interface import IndexArray
from screening.errors import ScfNotConvergedError, SettingError, TimeLimitError
from screening.prediction import FloatArray

__all__ = [
    "DFT_DISPLACEMENT_ANGSTROM",
    "check_choice",
    "check_positive",
    "kpoint_count",
    "kpoint_grid",
    "magnetic_elements",
    "not_converged",
    "settings_from_options",
    "time_limit",
]

DFT_DISPLACEMENT_ANGSTROM = 0.02
"""Finite displacement for self-consistent forces in Å.

Their noise, about 1e-4 eV/Å, is then 0.05 % of the force on the displaced atom (some 0.2 eV/Å),
and the cubic anharmonicity that plus and minus displacements do not cancel is still below it.
"""

_MAGNETIC = frozenset((24, 25, 26, 27, 28, *range(58, 71), *range(91, 97)))
_ASK_AGAIN_SECONDS = 5.0
_EQUAL_COUNTS = 1e-4  # symmetric vectors that differ by rounding get as many points

_Settings = TypeVar("_Settings")


def kpoint_grid(cell: FloatArray, spacing_per_angstrom: float) -> tuple[int, int, int]:
    """Return the Gamma-centred grid of a cell: the norm of b over the spacing, rounded up.

    It is the rule of VASP's KSPACING, and the same for every code. The reciprocal vectors b
    include 2 pi. A supercell has shorter ones and gets as dense a grid, or a slightly denser one
    where the primitive cell's is not divisible.

    Parameters
    ----------
    cell
        Lattice vectors as rows in Å, shape (3, 3).
    spacing_per_angstrom
        Largest distance of neighbouring points along a reciprocal vector in 1/Å.

    Examples
    --------
    >>> import numpy as np
    >>> kpoint_grid(4.0 * np.eye(3), 0.4), kpoint_grid(8.0 * np.eye(3), 0.4)
    ((4, 4, 4), (2, 2, 2))
    """
    reciprocal = 2.0 * np.pi * np.linalg.inv(np.asarray(cell, dtype=np.float64)).T
    wanted = np.linalg.norm(reciprocal, axis=1) / spacing_per_angstrom
    first, second, third = (max(1, int(np.ceil(count - _EQUAL_COUNTS))) for count in wanted)
    return first, second, third


def kpoint_count(cell: FloatArray, spacing_per_angstrom: float) -> int:
    """Count the points of `kpoint_grid` that time reversal leaves different.

    Examples
    --------
    >>> import numpy as np
    >>> kpoint_count(4.0 * np.eye(3), 0.4), kpoint_count(4.0 * np.eye(3), 0.6)
    (36, 14)
    """
    grid = np.array(kpoint_grid(cell, spacing_per_angstrom))
    own_partners = np.prod(2 - grid % 2)  # k and -k differ by a reciprocal vector
    return int(np.prod(grid) + own_partners) // 2


def settings_from_options(
    kind: type[_Settings], options: Mapping[str, Any], subject: str
) -> _Settings:
    """Make settings from the keywords of a specification.

    Raises
    ------
    SettingError
        If a name is unknown, with the choices, or a value is refused.
    """
    known = [entry.name for entry in fields(kind)]  # type: ignore[arg-type] # a dataclass
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise SettingError(
            f"{subject} has no setting {', '.join(unknown)}",
            subject="calculator",
            hint=f"Choose among {', '.join(known)}",
        )
    try:
        return kind(**options)
    except TypeError as error:
        raise SettingError(f"{subject}: {error}", subject="calculator") from error


def check_positive(settings: object, *names: str) -> None:
    """Refuse settings that are no positive, finite number.

    Raises
    ------
    SettingError
        Naming the setting and its value.
    """
    for name in names:
        value = getattr(settings, name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not 0.0 < value < np.inf:
            raise SettingError(f"is {value!r}, must be a positive number", subject=name)


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Refuse a value that is none of the choices.

    Raises
    ------
    SettingError
        Naming them.
    """
    if value not in choices:
        raise SettingError(
            f"is {value!r}", subject=name, hint=f"Choose one of {', '.join(choices)}"
        )


def not_converged(subject: str, n_attempts: int, detail: str) -> ScfNotConvergedError:
    """Make the error of a density that no attempt converged."""
    return ScfNotConvergedError(
        f"the electron density did not converge in {n_attempts} attempts with ever more"
        f" cautious mixing: {detail}",
        subject=subject,
        hint="Raise smearing_ev or max_scf_iterations, or check that the structure is sound",
    )


def magnetic_elements(numbers: IndexArray) -> tuple[int, ...]:
    """Return the atomic numbers whose crystals are often magnetic, in ascending order.

    Examples
    --------
    >>> import numpy as np
    >>> magnetic_elements(np.array([26, 8, 26]))
    (26,)
    """
    return tuple(sorted({int(number) for number in numbers} & _MAGNETIC))


@contextmanager
def time_limit(limit_s: float, subject: str) -> Iterator[None]:
    """Stop a calculation in this process when its time is over.

    An alarm of the operating system does it, which only the main thread gets, between two steps
    of Python code; in another thread, or where the system has no alarms, there is no limit. An
    alarm that was set before goes off late, after the calculation.

    Parameters
    ----------
    limit_s
        Wall time in s.
    subject
        What is computed.

    Raises
    ------
    TimeLimitError
        In the calculation, when the time is over.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(*_: object) -> None:
        raise TimeLimitError(
            f"stopped after {limit_s:g} s",
            subject=subject,
            hint="Raise time_limit_s, or choose a smaller supercell or cutoff",
        )

    started = time.monotonic()
    handler = signal.signal(signal.SIGALRM, stop)
    # again and again: Python drops what is raised while it frees an object
    before, interval = signal.setitimer(signal.ITIMER_REAL, limit_s, _ASK_AGAIN_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, handler)
        if before:
            left = before - (time.monotonic() - started)
            signal.setitimer(signal.ITIMER_REAL, max(left, 1e-3), interval)
