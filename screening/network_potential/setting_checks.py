"""What settings of a training may be: each check names the setting, its value and what to give."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np

from screening.errors import SettingError

__all__ = [
    "check_choice",
    "check_count",
    "check_kind",
    "check_not_negative",
    "check_positive",
    "check_share",
    "known_settings",
    "sequence_of",
    "whole_numbers",
]

_T = TypeVar("_T")


def check_count(name: str, value: Any, least: int, most: int | None = None) -> None:
    """Refuse what is no whole number within bounds.

    Raises
    ------
    SettingError
        As said.
    """
    is_count = isinstance(value, int) and not isinstance(value, bool)
    if not is_count or value < least or (most is not None and value > most):
        upper = "" if most is None else f" to {most}"
        raise _refused(name, value, f"Give a whole number from {least}{upper}")


def check_positive(name: str, value: Any) -> None:
    """Refuse what is no finite number above zero.

    Raises
    ------
    SettingError
        As said.
    """
    if not _is_number(value) or value <= 0.0:
        raise _refused(name, value, "Give a number above zero")


def check_not_negative(name: str, value: Any, what: str) -> None:
    """Refuse what is no finite number of zero or more, such as a ``weight``.

    Raises
    ------
    SettingError
        As said.
    """
    if not _is_number(value) or value < 0.0:
        raise _refused(name, value, f"Give a {what} of 0 or more")


def check_share(name: str, value: Any) -> None:
    """Refuse what is no number from zero to less than one.

    Raises
    ------
    SettingError
        As said.
    """
    if not _is_number(value) or not 0.0 <= value < 1.0:
        raise _refused(name, value, "Give 0 or more, less than 1")


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Refuse what is none of some words.

    Raises
    ------
    SettingError
        As said.
    """
    if value not in choices:
        raise _refused(name, value, f"Choose one of {', '.join(choices)}")


def check_kind(name: str, value: Any, kind: type[Any]) -> None:
    """Refuse what is no group of settings: no dataclass of this kind.

    Raises
    ------
    SettingError
        As said.
    """
    if not isinstance(value, kind):
        raise _refused(name, value, f"Give an object with any of {', '.join(_names_of(kind))}")


def whole_numbers(name: str, values: Any, most: int | None = None) -> tuple[int, ...]:
    """Return a list of whole numbers above zero, in its order.

    Raises
    ------
    SettingError
        If it is no list, or one of them is no such number.
    """
    found = sequence_of(name, values, "whole numbers")
    plain = tuple(int(one) if isinstance(one, np.integer) else one for one in found)
    for one in plain:
        check_count(name, one, 1, most)
    return plain


def sequence_of(name: str, values: Any, what: str) -> tuple[Any, ...]:
    """Return the items of a list; a text is none.

    Raises
    ------
    SettingError
        If it is no list.
    """
    if not isinstance(values, list | tuple):
        raise _refused(name, values, f"Give a list of {what}")
    return tuple(values)


def known_settings(kind: type[_T], values: Mapping[str, Any]) -> _T:
    """Build a dataclass from settings, all of which must be fields of it.

    Raises
    ------
    SettingError
        If one is unknown, or is refused by the dataclass.
    """
    known = _names_of(kind)
    if unknown := sorted(map(str, set(values).difference(known))):
        raise SettingError(
            "unknown setting", subject=unknown[0], hint=f"Choose among {', '.join(known)}"
        )
    return kind(**values)


def _names_of(kind: type[Any]) -> list[str]:
    return sorted(one.name for one in fields(kind))


def _is_number(value: Any) -> bool:
    """Say whether it is a finite number; truth values are none, nor is what no float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _refused(name: str, value: Any, hint: str) -> SettingError:
    return SettingError(f"{value!r}", subject=name, hint=hint)
