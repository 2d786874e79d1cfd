"""What a user wants to know: the questions that decisions are made about.

Every question has one canonical text, which stands in the database and which
:func:`screening.decisions.parsing.parse_question` reads back.
"""

from __future__ import annotations

import math
import operator as compare
from collections.abc import Callable
from dataclasses import dataclass

from screening.errors import SettingError
from screening.quantities import Property, Quantity

__all__ = [
    "DEFAULT_TEMPERATURE_K",
    "DEFAULT_WINDOW_K",
    "OPERATORS",
    "PROPERTIES",
    "FilterQuestion",
    "GroupQuestion",
    "MaterialQuestion",
    "OrderQuestion",
    "PropertyQuestion",
    "Question",
    "StabilityQuestion",
    "TransitionQuestion",
    "number_text",
]

DEFAULT_TEMPERATURE_K = 300.0
"""Where a property is asked for that was named without a temperature."""

DEFAULT_WINDOW_K = (0.0, 1000.0)
"""Where polymorphs are compared that were named without a window."""

PROPERTIES = (Property.FREE_ENERGY, Property.ENTROPY, Property.HEAT_CAPACITY)
"""What can be asked for within a tolerance."""

OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": compare.lt,
    "<=": compare.le,
    ">": compare.gt,
    ">=": compare.ge,
}
"""Comparisons of a filter."""


def number_text(value: float) -> str:
    """Shortest text that reads back as the same number, without a needless ``.0``."""
    text = repr(float(value))
    return text.removesuffix(".0")


def _check_temperature(value: float, subject: str) -> None:
    if not (math.isfinite(value) and value >= 0.0):
        raise SettingError(f"{value} is no temperature in K", subject=subject, hint="Give K from 0")


def _check_window(lowest_k: float, highest_k: float, subject: str) -> None:
    _check_temperature(lowest_k, subject)
    _check_temperature(highest_k, subject)
    if lowest_k > highest_k:
        raise SettingError(
            f"the window from {number_text(lowest_k)} to {number_text(highest_k)} K is empty",
            subject=subject,
            hint="Give the lower temperature first",
        )


@dataclass(frozen=True)
class PropertyQuestion:
    """The value of a property within a tolerance, at every temperature named.

    Attributes
    ----------
    kind
        Free energy, entropy or heat capacity.
    tolerance
        Largest half width of the interval, in the unit of the property (meV/atom or
        meV/K/atom).
    temperatures_k
        In K; kept sorted and without repeats.

    Raises
    ------
    SettingError
        If the property has no tolerance, the tolerance is not finite and above 0, or a
        temperature is missing or wrong.

    Examples
    --------
    >>> PropertyQuestion(Property.FREE_ENERGY, 10.0).text
    'free_energy at 300 K within 10 meV/atom'
    """

    kind: Property
    tolerance: float
    temperatures_k: tuple[float, ...] = (DEFAULT_TEMPERATURE_K,)

    def __post_init__(self) -> None:
        if self.kind not in PROPERTIES:
            raise SettingError(
                f"{self.kind.value} is not asked for within a tolerance",
                subject="question",
                hint=f"Ask for {', '.join(PROPERTIES)}, or write a comparison",
            )
        self._check_tolerance()
        if not self.temperatures_k:
            raise SettingError("no temperature is named", subject=self.kind.value)
        for value in self.temperatures_k:
            _check_temperature(value, self.kind.value)
        grid = tuple(sorted({float(value) for value in self.temperatures_k}))
        object.__setattr__(self, "temperatures_k", grid)

    def _check_tolerance(self) -> None:
        if math.isfinite(self.tolerance) and self.tolerance > 0.0:
            return
        unit = self.kind.unit
        why = f"{number_text(self.tolerance)} {unit} cannot be reached"
        if self.tolerance == 0.0:
            why = f"a tolerance of 0 {unit} asks for an exact value, which no method gives"
        elif math.isnan(self.tolerance):
            why = "not a number"
        raise SettingError(
            why, subject="tolerance", hint=f"Give a finite number of {unit} above 0, such as 10"
        )

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """What must be known, by temperature."""
        return tuple(Quantity(self.kind, value) for value in self.temperatures_k)

    @property
    def text(self) -> str:
        """Canonical text."""
        grid = ", ".join(map(number_text, self.temperatures_k))
        return (
            f"{self.kind.value} at {grid} K within {number_text(self.tolerance)} {self.kind.unit}"
        )

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class StabilityQuestion:
    """Whether the crystal is dynamically stable."""

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """None: the judgement has thresholds in place of an interval."""
        return ()

    @property
    def text(self) -> str:
        """Canonical text."""
        return "stability"

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class FilterQuestion:
    """Whether a quantity is below or above a bound.

    Attributes
    ----------
    quantity
        A property of one crystal.
    operator
        One of ``<``, ``<=``, ``>``, ``>=``.
    bound
        In the unit of the quantity.

    Raises
    ------
    SettingError
        If the quantity belongs to a pair, the operator is unknown, or the bound not finite.

    Examples
    --------
    >>> FilterQuestion(Quantity.parse("lowest_frequency_thz"), ">", 0.5).text
    'lowest_frequency_thz > 0.5'
    """

    quantity: Quantity
    operator: str
    bound: float

    def __post_init__(self) -> None:
        if self.quantity.kind.is_difference:
            raise SettingError(
                f"{self.quantity.name} belongs to a pair of polymorphs",
                subject="question",
                hint="Ask for the order or the transitions",
            )
        if self.operator not in OPERATORS:
            raise SettingError(
                f"{self.operator!r} does not compare",
                subject="question",
                hint=f"Write one of {' '.join(OPERATORS)}",
            )
        if not math.isfinite(self.bound):
            raise SettingError(f"{self.bound} is no bound", subject=self.quantity.name)

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """What must be known."""
        return (self.quantity,)

    def holds(self, value: float) -> bool:
        """Whether a value, which may be infinite, passes."""
        return OPERATORS[self.operator](value, self.bound)

    @property
    def text(self) -> str:
        """Canonical text."""
        return f"{self.quantity.name} {self.operator} {number_text(self.bound)}"

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class OrderQuestion:
    """The order of the polymorphs of a composition by free energy.

    Attributes
    ----------
    lowest_temperature_k, highest_temperature_k
        Window in K, both ends included.
    resolution_mev_per_atom
        Two polymorphs that are surely closer than this are tied, which is an answer too; 0
        for no ties.

    Raises
    ------
    SettingError
        If the window is empty or the resolution negative or not finite.

    Examples
    --------
    >>> OrderQuestion(300.0, 600.0, 1.0).text
    'order from 300 to 600 K within 1 meV/atom'
    """

    lowest_temperature_k: float = DEFAULT_WINDOW_K[0]
    highest_temperature_k: float = DEFAULT_WINDOW_K[1]
    resolution_mev_per_atom: float = 0.0

    def __post_init__(self) -> None:
        _check_window(self.lowest_temperature_k, self.highest_temperature_k, "order")
        if not (math.isfinite(self.resolution_mev_per_atom) and self.resolution_mev_per_atom >= 0):
            raise SettingError(
                f"{self.resolution_mev_per_atom} meV/atom is no resolution",
                subject="order",
                hint="Give meV/atom from 0",
            )

    def covers(self, temperature_k: float) -> bool:
        """Whether a temperature lies in the window."""
        return self.lowest_temperature_k <= temperature_k <= self.highest_temperature_k

    @property
    def text(self) -> str:
        """Canonical text."""
        lowest, highest = map(number_text, (self.lowest_temperature_k, self.highest_temperature_k))
        window = f"order from {lowest} to {highest} K"
        if self.resolution_mev_per_atom == 0.0:
            return window
        return f"{window} within {number_text(self.resolution_mev_per_atom)} meV/atom"

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class TransitionQuestion:
    """Which polymorphs come so near the one of lowest static energy that it may transform.

    Attributes
    ----------
    lowest_temperature_k, highest_temperature_k
        Window in K, both ends included.
    candidate_mev_per_atom
        A polymorph is a candidate where its free energy is less than this above the
        reference's, in meV/atom: the error of relative static energies.

    Raises
    ------
    SettingError
        If the window is empty or the distance not finite and above 0.

    References
    ----------
    Lee, Hegde, Wolverton, Xia (2024), arXiv:2407.09674, section on polymorphs.

    Examples
    --------
    >>> TransitionQuestion(300.0, 600.0).text
    'transitions from 300 to 600 K below 10 meV/atom'
    """

    lowest_temperature_k: float = DEFAULT_WINDOW_K[0]
    highest_temperature_k: float = DEFAULT_WINDOW_K[1]
    candidate_mev_per_atom: float = 10.0

    def __post_init__(self) -> None:
        _check_window(self.lowest_temperature_k, self.highest_temperature_k, "transitions")
        if not (math.isfinite(self.candidate_mev_per_atom) and self.candidate_mev_per_atom > 0.0):
            raise SettingError(
                f"{self.candidate_mev_per_atom} meV/atom is no distance of candidates",
                subject="transitions",
                hint="Give meV/atom above 0, such as 10",
            )

    def covers(self, temperature_k: float) -> bool:
        """Whether a temperature lies in the window."""
        return self.lowest_temperature_k <= temperature_k <= self.highest_temperature_k

    @property
    def text(self) -> str:
        """Canonical text."""
        lowest, highest = map(number_text, (self.lowest_temperature_k, self.highest_temperature_k))
        near = number_text(self.candidate_mev_per_atom)
        return f"transitions from {lowest} to {highest} K below {near} meV/atom"

    def __str__(self) -> str:
        return self.text


MaterialQuestion = PropertyQuestion | StabilityQuestion | FilterQuestion
"""A question about one crystal."""

GroupQuestion = OrderQuestion | TransitionQuestion
"""A question about the polymorphs of one composition."""

Question = MaterialQuestion | GroupQuestion
"""Any question."""
