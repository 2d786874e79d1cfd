"""Space groups by their many names, and the operations of each setting."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from screening.prediction import FloatArray

__all__ = ["Setting", "setting_operations", "settings_named"]

_LAST_HALL_NUMBER = 530


@dataclass(frozen=True)
class Setting:
    """One of the 530 settings of the space groups.

    Attributes
    ----------
    hall_number
        Its place in Hall's list, 1 to 530.
    choice
        Origin (``1``, ``2``), axes (``H``, ``R``) or cell choice (``b1``), or nothing.
    """

    hall_number: int
    choice: str


def settings_named(name: str) -> tuple[Setting, ...]:
    """List the settings that a symbol or number names, the standard one first.

    Parameters
    ----------
    name
        International number, short or full Hermann-Mauguin symbol, or Hall symbol. Spaces and
        underscores do not matter.

    Examples
    --------
    >>> [setting.choice for setting in settings_named("F d -3 m")]
    ['1', '2']
    >>> settings_named("P 99/x")
    ()
    """
    return _table().get(_key(name), ())


@cache
def _table() -> dict[str, tuple[Setting, ...]]:
    import spglib

    found: dict[str, list[Setting]] = {}
    for hall_number in range(1, _LAST_HALL_NUMBER + 1):
        kind: Any = spglib.get_spacegroup_type(hall_number)
        names = {kind.international_short, kind.international_full, kind.hall_symbol}
        alternatives = kind.international.split("=")
        names |= {*alternatives, str(kind.number), *map(_without_ones, alternatives)}
        for name in {_key(name) for name in names}:
            found.setdefault(name, []).append(Setting(hall_number, str(kind.choice)))
    return {name: tuple(settings) for name, settings in found.items()}


def _without_ones(symbol: str) -> str:
    """Shorten ``P 1 2_1/n 1`` to ``P 2_1/n``."""
    parts = symbol.split()
    shortened = [part for part in parts if part != "1"]
    return " ".join(shortened if len(shortened) > 1 else parts)


def _key(name: str) -> str:
    return name.replace(" ", "").replace("_", "").replace("'", "")


def setting_operations(setting: Setting) -> FloatArray:
    """Operations of a setting on fractions, as affine matrices of shape (operation, 4, 4).

    Examples
    --------
    >>> setting_operations(settings_named("P m -3 m")[0]).shape
    (48, 4, 4)
    """
    import spglib

    database: Any = spglib.get_symmetry_from_database(setting.hall_number)
    operations = np.tile(np.eye(4), (len(database["rotations"]), 1, 1))
    operations[:, :3, :3] = database["rotations"]
    operations[:, :3, 3] = database["translations"]
    return operations
