"""A stored interval: part of a decision, or of a prediction whose method calibrates itself."""

from __future__ import annotations

import math
from typing import Self

from pydantic import Field, model_validator

from screening.errors import InconsistentDataError
from screening.quantities import Quantity
from screening.uncertainty.interval import Interval
from stores.documents.base import Record

__all__ = ["IntervalRecord"]


class IntervalRecord(Record):
    """A calibrated interval of one quantity."""

    quantity: str = Field(
        min_length=1,
        description="Name of the quantity, temperature and unit included; a field of the "
        "vibrational summary where it belongs to one crystal.",
    )
    rival_id: str | None = Field(
        description="Material that a difference is taken from; none for a crystal's own quantity."
    )
    value: float | None = Field(
        description="Corrected value, in the unit of the quantity; none where it was not kept."
    )
    lower: float | None = Field(
        description="Lower end, in the unit of the quantity; none where it is open."
    )
    upper: float | None = Field(
        description="Upper end, in the unit of the quantity; none where it is open."
    )
    coverage: float = Field(gt=0, lt=1, description="Intended coverage.")
    calibration: str | None = Field(
        description="Key of the calibration; none where there is none, as for a reference method."
    )

    @model_validator(mode="after")
    def _order(self) -> Self:
        known = [one for one in (self.lower, self.value, self.upper) if one is not None]
        if known != sorted(known):
            raise ValueError("lower, value and upper are not in this order")
        return self

    @classmethod
    def from_interval(cls, interval: Interval, rival_id: str | None = None) -> Self:
        """Record of an interval; an infinite end is open."""
        return cls(
            quantity=interval.quantity.name,
            rival_id=rival_id,
            value=interval.value,
            lower=interval.lower if math.isfinite(interval.lower) else None,
            upper=interval.upper if math.isfinite(interval.upper) else None,
            coverage=interval.coverage,
            calibration=interval.calibration or None,
        )

    def to_interval(self) -> Interval:
        """Return the interval; an open end is infinite.

        Raises
        ------
        InconsistentDataError
            If the value was not kept.
        SettingError
            If the name is that of no quantity.
        """
        if self.value is None:
            raise InconsistentDataError("an interval without its value", subject=self.quantity)
        return Interval(
            quantity=Quantity.parse(self.quantity),
            value=self.value,
            lower=-math.inf if self.lower is None else self.lower,
            upper=math.inf if self.upper is None else self.upper,
            coverage=self.coverage,
            calibration=self.calibration or "",
        )
