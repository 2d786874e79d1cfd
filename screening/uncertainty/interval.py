"""The calibrated interval of one quantity: what a decision is made on."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from screening.errors import NonFiniteInputError
from screening.quantities import Quantity

__all__ = ["Interval", "opened"]


@dataclass(frozen=True)
class Interval:
    """A corrected value with the interval that holds the reference's value.

    Attributes
    ----------
    quantity
        What it is the interval of.
    value
        The prediction after bias correction, in the unit of the quantity.
    lower, upper
        Ends, in the same unit; infinite where nothing is calibrated for this crystal.
    coverage
        Intended probability that the reference lies inside, 1 - alpha.
    calibration
        Key of the calibration it rests on; empty where there is none.

    Raises
    ------
    NonFiniteInputError
        If the value is not finite or the ends are not in order around it.
    """

    quantity: Quantity
    value: float
    lower: float
    upper: float
    coverage: float
    calibration: str = ""

    def __post_init__(self) -> None:
        if not math.isfinite(self.value) or not self.lower <= self.value <= self.upper:
            raise NonFiniteInputError(
                f"[{self.lower}, {self.upper}] is no interval around {self.value}",
                subject=self.quantity.name,
            )

    @property
    def half_width(self) -> float:
        """Largest distance from the value to an end; infinite where nothing is calibrated."""
        return max(self.upper - self.value, self.value - self.lower)

    @property
    def is_finite(self) -> bool:
        """Whether both ends are known."""
        return math.isfinite(self.lower) and math.isfinite(self.upper)


def opened(interval: Interval) -> Interval:
    """Return the interval without ends: around the same value, and nothing is promised."""
    return replace(interval, lower=-math.inf, upper=math.inf)
