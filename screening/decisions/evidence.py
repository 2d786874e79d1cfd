"""What is known about one crystal when a decision is made about it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from screening.errors import InconsistentDataError
from screening.quantities import Property, Quantity
from screening.uncertainty.interval import Interval
from screening.uncertainty.risk import StabilityJudgement

__all__ = ["Evidence", "exact_interval", "with_static_energy"]


@dataclass(frozen=True)
class Evidence:
    """What the method in use says about one crystal.

    Attributes
    ----------
    material_id
        Key of the material.
    intervals
        One for each quantity that is asked for; of zero width where the method is the
        reference (`exact_interval`).
    stability
        Judgement of the dynamical stability; None where it was not asked for.
    thermodynamics_valid
        False where too many modes are low for free energies to mean anything.
    novelty
        Above 1 the crystal is unlike those the calibration was made with.
    failures
        Error codes, the lowest tier's first, where the method gave no prediction.

    Raises
    ------
    InconsistentDataError
        If a quantity has two intervals.
    """

    material_id: str
    intervals: tuple[Interval, ...] = ()
    stability: StabilityJudgement | None = None
    thermodynamics_valid: bool = True
    novelty: float = 0.0
    failures: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [one.quantity.name for one in self.intervals]
        if len(set(names)) < len(names):
            raise InconsistentDataError("a quantity has two intervals", subject=self.material_id)

    @property
    def is_novel(self) -> bool:
        """Whether the calibration says nothing about this crystal."""
        return not self.novelty <= 1.0  # not a number is novel too

    @property
    def is_silent(self) -> bool:
        """Whether nothing follows from it: no prediction or calibration, no end of an interval."""
        if self.failures or self.is_novel:
            return True
        ends = [end for one in self.intervals for end in (one.lower, one.upper)]
        if self.stability is not None:
            ends += [self.stability.stable_above_thz, self.stability.unstable_below_thz]
        return self.thermodynamics_valid and not any(map(math.isfinite, ends))

    def interval(self, quantity: Quantity) -> Interval:
        """Return the interval of a quantity.

        Raises
        ------
        InconsistentDataError
            If it was not given.
        """
        for one in self.intervals:
            if one.quantity == quantity:
                return one
        raise InconsistentDataError(
            f"no interval of {quantity.name} was given",
            subject=self.material_id,
            hint="Ask for a temperature that the prediction's grid holds",
        )


def exact_interval(quantity: Quantity, value: float, alpha: float) -> Interval:
    """Return the interval of zero width of a reference method's value.

    Raises
    ------
    NonFiniteInputError
        If the value is not finite.
    """
    return Interval(quantity, value, lower=value, upper=value, coverage=1.0 - alpha)


def with_static_energy(interval: Interval, static_difference_mev_per_atom: float) -> Interval:
    """Add the difference of exactly known static energies to one of vibrational free energies.

    Raises
    ------
    InconsistentDataError
        If it is not an interval of the vibrational difference.
    NonFiniteInputError
        If the static difference is not finite.
    """
    if interval.quantity.kind is not Property.FREE_ENERGY_DIFFERENCE:
        raise InconsistentDataError(
            "static energies are added to differences of vibrational free energies only",
            subject=interval.quantity.name,
        )
    return Interval(
        Quantity(Property.RELATIVE_FREE_ENERGY, interval.quantity.temperature_k),
        interval.value + static_difference_mev_per_atom,
        lower=interval.lower + static_difference_mev_per_atom,
        upper=interval.upper + static_difference_mev_per_atom,
        coverage=interval.coverage,
        calibration=interval.calibration,
    )
