"""From measures of crystals that were held out to which others are refused, and why."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from screening.errors import ModelCorruptError, OutOfDomainError
from screening.novelty import MEASURES
from screening.prediction import FloatArray
from screening.uncertainty.conformal import conformal_quantile

__all__ = ["NOVELTY_RISK", "NoveltyLimits", "said_times"]

NOVELTY_RISK = 0.05
"""Share of crystals like those of the training set that may be refused as novel."""

_LEAST_SCALES = (0.005, 0.002, 0.005, 1.0, 1.0)  # as MEASURES: what is nothing to speak of
_LARGE = 1000.0
_AT_REST = "it seems not to be at rest: "
_SAID = (
    _AT_REST + "an atom seems {found} Å from its place, and crystals at rest reach {limit}",
    _AT_REST + "its lattice seems strained by {found} %, and crystals at rest reach {limit} %",
    _AT_REST + "its volume seems {found} % off, and crystals at rest reach {limit} %",
    "the surroundings of an atom are {times} as unusual as the limit",
    "the bonds of the cell are {times} as unusual as the limit",
)
_DIGITS = (3, 2, 2, 3, 3)  # as MEASURES: what is said of each, more where two would look equal
_UNITS = (1.0, 100.0, 100.0, 1.0, 1.0)  # as MEASURES: Å, %, %
_EXACT_DIGITS = 17  # of a double
_HINT = (
    "Relax it with what computed the training set; if it is relaxed, train on crystals like it or"
    " use a potential"
)


def said_times(ratio: float) -> str:
    """Say a ratio, whose digits mean nothing where it is large; one that is not 1 does not look so.

    Examples
    --------
    >>> said_times(1.2345), said_times(1.0004), said_times(6e8)
    ('1.23 times', '1.0004 times', 'more than 1000 times')
    """
    if not ratio <= _LARGE:
        return f"more than {_LARGE:g} times"
    return f"{_told_apart(ratio, 1.0, 3)[0]} times"


def _told_apart(found: float, limit: float, digits: int) -> tuple[str, str]:
    """Write two numbers with as many digits as it takes to see which is larger.

    Examples
    --------
    >>> _told_apart(2.21, 2.19, 2), _told_apart(3.0, 1.5, 2)
    (('2.21', '2.19'), ('3', '1.5'))
    """
    said = f"{found:.{digits}g}", f"{limit:.{digits}g}"
    if said[0] != said[1] or digits >= _EXACT_DIGITS:
        return said
    return _told_apart(found, limit, digits + 1)


@dataclass(frozen=True)
class NoveltyLimits:
    """How large measures may be.

    Attributes
    ----------
    scales
        What each of `screening.novelty.MEASURES` is divided by: its 95 % quantile over crystals
        that were held out, or what is nothing to speak of.
    limit
        Quantile of the largest of these ratios, which one in twenty exceeds; the largest found
        where there are too few crystals.

    Raises
    ------
    ModelCorruptError
        If a number cannot be.
    """

    scales: tuple[float, ...]
    limit: float

    def __post_init__(self) -> None:
        numbers = (*self.scales, self.limit)
        sound = all(type(one) is float and math.isfinite(one) for one in numbers)
        if not sound or len(self.scales) != len(MEASURES) or min(numbers) <= 0.0:
            raise ModelCorruptError(
                "the scales of the novelty are not positive numbers",
                subject="novelty",
                hint="Export or train the model again",
            )

    def novelty(self, measures: FloatArray) -> float:
        """How new a crystal is: above 1, beyond the limit."""
        return float((measures / np.array(self.scales)).max()) / self.limit

    def refusal(self, measures: FloatArray, subject: str) -> OutOfDomainError | None:
        """Say why a crystal is refused; None where it is not."""
        times = self.novelty(measures)
        if times <= 1.0:  # one that is not a number is no reason to go on
            return None
        worst = int(np.argmax(measures / np.array(self.scales)))
        unit, largest = _UNITS[worst], self.limit * self.scales[worst]
        found, limit = _told_apart(unit * float(measures[worst]), unit * largest, _DIGITS[worst])
        message = _SAID[worst].format(found=found, limit=limit, times=said_times(times))
        return OutOfDomainError(message, subject=subject, hint=_HINT)

    @classmethod
    def of(cls, measures: FloatArray) -> NoveltyLimits:
        """Find the limits that one in twenty exceeds.

        Parameters
        ----------
        measures
            Of crystals that were held out, shape (crystal, measure).
        """
        scales = np.maximum(np.quantile(measures, 1.0 - NOVELTY_RISK, axis=0), _LEAST_SCALES)
        largest = [max(float(x), 1.0) for x in (measures / scales).max(axis=1)]
        names = [str(index) for index in range(len(largest))]
        found = conformal_quantile(largest, names, NOVELTY_RISK)
        return cls(tuple(map(float, scales)), min(found, max(largest)))

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {"scales": list(self.scales), "limit": self.limit}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> NoveltyLimits:
        """Rebuild them.

        Raises
        ------
        ModelCorruptError
            If a number is missing or cannot be.
        """
        try:
            scales: Sequence[Any] = stored["scales"]
            return cls(tuple(map(float, scales)), float(stored["limit"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ModelCorruptError(
                f"limits of the novelty cannot be read: {error!r}",
                subject="novelty",
                hint="Export or train the model again",
            ) from error
