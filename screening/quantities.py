"""Names of the numbers that questions, intervals and decisions are about.

A quantity is a property at a temperature. Its name is the field of the vibrational summary
that holds it, unit included, so that a question reads like a database query.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum

from screening.errors import SettingError

__all__ = ["Property", "Quantity"]

_DECIMALS = 6  # of a temperature in K
_PATTERN = re.compile(r"(?P<property>[a-z_]+?)_(?P<kelvin>\d+(?:p\d+)?)k_(?P<unit>[a-z_]+)")


class Property(StrEnum):
    """What can be asked for.

    ``FREE_ENERGY_DIFFERENCE`` is the difference of the vibrational free energies of two
    polymorphs (their static energies are given and taken as exact); ``RELATIVE_FREE_ENERGY``
    the difference of static energy plus vibrational free energy, both from one method.
    """

    FREE_ENERGY = "free_energy"
    ENTROPY = "entropy"
    HEAT_CAPACITY = "heat_capacity"
    LOWEST_FREQUENCY = "lowest_frequency"
    FREE_ENERGY_DIFFERENCE = "free_energy_difference"
    RELATIVE_FREE_ENERGY = "relative_free_energy"

    @property
    def unit(self) -> str:
        """Unit of the property, for people."""
        return _UNITS[self][0]

    @property
    def is_difference(self) -> bool:
        """Whether it belongs to a pair of polymorphs."""
        return self in {Property.FREE_ENERGY_DIFFERENCE, Property.RELATIVE_FREE_ENERGY}


_UNITS = {
    Property.FREE_ENERGY: ("meV/atom", "mev_per_atom"),
    Property.ENTROPY: ("meV/K/atom", "mev_per_k_per_atom"),
    Property.HEAT_CAPACITY: ("meV/K/atom", "mev_per_k_per_atom"),
    Property.LOWEST_FREQUENCY: ("THz", "thz"),
    Property.FREE_ENERGY_DIFFERENCE: ("meV/atom", "mev_per_atom"),
    Property.RELATIVE_FREE_ENERGY: ("meV/atom", "mev_per_atom"),
}


@dataclass(frozen=True, order=True)
class Quantity:
    """A property, at a temperature where it depends on one.

    Attributes
    ----------
    kind
        What.
    temperature_k
        Where, in K; None for the lowest frequency.

    Raises
    ------
    SettingError
        If the temperature is missing, superfluous, negative or not finite.

    Examples
    --------
    >>> Quantity(Property.FREE_ENERGY, 300.0).name
    'free_energy_300k_mev_per_atom'
    >>> Quantity.parse("lowest_frequency_thz").unit
    'THz'
    """

    kind: Property
    temperature_k: float | None = None

    def __post_init__(self) -> None:
        needed = self.kind is not Property.LOWEST_FREQUENCY
        given = self.temperature_k
        if needed != (given is not None):
            problem = "needs a temperature in K" if needed else "has no temperature"
            raise SettingError(problem, subject=self.kind.value)
        if given is not None and not (math.isfinite(given) and given >= 0.0):
            raise SettingError(f"{given} is no temperature in K", subject=self.kind.value)
        if given is not None:  # one temperature has one name
            object.__setattr__(self, "temperature_k", round(float(given), _DECIMALS) + 0.0)

    @property
    def unit(self) -> str:
        """Unit of the values, for people."""
        return self.kind.unit

    @property
    def name(self) -> str:
        """Field name with temperature and unit; a decimal point is written ``p``."""
        suffix = _UNITS[self.kind][1]
        if self.temperature_k is None:
            return f"{self.kind.value}_{suffix}"
        digits = f"{self.temperature_k:.{_DECIMALS}f}".rstrip("0").rstrip(".")
        kelvin = digits.replace(".", "p")
        return f"{self.kind.value}_{kelvin}k_{suffix}"

    @classmethod
    def parse(cls, name: str) -> Quantity:
        """Read what `name` writes.

        Raises
        ------
        SettingError
            If it names no quantity.
        """
        lowest = cls(Property.LOWEST_FREQUENCY)
        if name == lowest.name:
            return lowest
        match = _PATTERN.fullmatch(name)
        known = {one.value: one for one in Property if one is not Property.LOWEST_FREQUENCY}
        if match and match["property"] in known:
            kelvin = float(match["kelvin"].replace("p", "."))
            found = cls(known[match["property"]], kelvin)
            if found.name == name:
                return found
        raise SettingError(
            f"{name!r} names no quantity",
            subject="quantity",
            hint="Write for instance free_energy_300k_mev_per_atom or lowest_frequency_thz",
        )
