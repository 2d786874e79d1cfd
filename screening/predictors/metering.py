"""Counting and timing what a force calculator is asked to do."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from screening.calculators.delegation import Delegating
from screening.prediction import Cost, FloatArray

if TYPE_CHECKING:
    from screening.calculators import DielectricResponse, ForceCalculator

__all__ = ["Meter", "Metered", "core_seconds"]

_T = TypeVar("_T")


class Meter:
    """Time and force calls since it was made."""

    def __init__(self) -> None:
        self.force_seconds = 0.0
        self.force_calls = 0
        self._wall_start = time.perf_counter()
        self._cpu_start = core_seconds()

    def measure(self, call: Callable[[], _T], n_calls: int) -> _T:
        """Run a call to the calculator that evaluates ``n_calls`` structures."""
        start = time.perf_counter()
        try:
            return call()
        finally:
            self.force_seconds += time.perf_counter() - start
            self.force_calls += n_calls

    def cost(self, relaxation_steps: int = 0) -> Cost:
        """Return what was spent so far."""
        return Cost(
            wall_seconds=time.perf_counter() - self._wall_start,
            cpu_seconds=core_seconds() - self._cpu_start,
            force_seconds=self.force_seconds,
            force_calls=self.force_calls,
            relaxation_steps=relaxation_steps,
        )


def core_seconds() -> float:
    """Return the time that cores worked for this process so far, in s.

    All its threads count, and the children that have ended with theirs.
    """
    return sum(os.times()[:4])


@dataclass(frozen=True)
class Metered(Delegating):
    """A force calculator whose calls are counted and timed; otherwise the same."""

    meter: Meter

    @property
    def members(self) -> tuple[ForceCalculator, ...]:
        """Members of a committee, counted by the same meter."""
        return tuple(Metered(member, self.meter) for member in self.inner.members)

    def forces(
        self, cell: FloatArray, positions: FloatArray, numbers: NDArray[np.int64]
    ) -> FloatArray:
        """Return forces of a stack of positions as a `ForceCalculator` does."""
        count = len(positions) * max(1, len(self.inner.members))
        return self.meter.measure(lambda: self.inner.forces(cell, positions, numbers), count)

    def energy(self, cell: FloatArray, positions: FloatArray, numbers: NDArray[np.int64]) -> float:
        """Return the energy as a `ForceCalculator` does."""
        count = max(1, len(self.inner.members))
        return self.meter.measure(lambda: self.inner.energy(cell, positions, numbers), count)

    def energy_forces_stress(
        self, cell: FloatArray, positions: FloatArray, numbers: NDArray[np.int64]
    ) -> tuple[float, FloatArray, FloatArray]:
        """Return energy, forces and stress as a `ForceCalculator` does."""
        count = max(1, len(self.inner.members))
        return self.meter.measure(
            lambda: self.inner.energy_forces_stress(cell, positions, numbers), count
        )

    def dielectric_response(
        self, cell: FloatArray, positions: FloatArray, numbers: NDArray[np.int64]
    ) -> DielectricResponse | None:
        """Return what the inner calculator offers, None where it offers nothing."""
        compute = getattr(self.inner, "dielectric_response", None)
        if compute is None:
            return None
        found: DielectricResponse | None = self.meter.measure(
            lambda: compute(cell, positions, numbers), 0
        )
        return found
