"""Pauling's electronegativity, also of the elements that have none."""

from __future__ import annotations

from functools import cache

__all__ = ["pauling_electronegativity"]

_NOBLE_GAS = 4.5  # Pauling gives none to He, Ne, Ar; above fluorine


@cache
def pauling_electronegativity(number: int) -> float:
    """Return the electronegativity of an element on the scale of Pauling.

    Elements without one, the light noble gases, have 4.5.

    Parameters
    ----------
    number
        Atomic number.

    Examples
    --------
    >>> pauling_electronegativity(9), pauling_electronegativity(10)
    (3.98, 4.5)
    """
    from pymatgen.core import Element

    value = Element.from_Z(number).data.get("X")
    return float(str(value)) if value else _NOBLE_GAS
