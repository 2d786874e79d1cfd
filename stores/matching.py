"""Criteria on one document in memory: what is allowed, and whether it matches.

mongomock-ng's filter decides, except that booleans equal no numbers, as in MongoDB.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from bson.errors import BSONError
from mongomock_ng import OperationFailure
from mongomock_ng.filtering import filter_applies

from screening.errors import QueryError
from stores.codec import clean_time
from stores.query import LOGICAL, Operator

__all__ = ["checked_criteria", "matches"]

FIELD_OPERATORS = frozenset(Operator) - LOGICAL - {Operator.MATCH}

_decides: Callable[[dict[str, Any], dict[str, Any]], bool] = filter_applies


def checked_criteria(criteria: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return criteria with times as databases keep them.

    Raises
    ------
    QueryError
        For an operator that is not in `stores.query.Operator`.
    """
    if criteria is None:
        return {}
    if not isinstance(criteria, Mapping):
        raise QueryError(f"criteria are a dictionary, not {type(criteria).__name__}")
    return {key: _checked(key, value) for key, value in criteria.items()}


def _checked(key: Any, value: Any) -> Any:
    if not isinstance(key, str):
        raise QueryError(f"a field of type {type(key).__name__}")
    if key.startswith("$") and (key not in FIELD_OPERATORS and key not in LOGICAL):
        raise QueryError(f"the operator {key!r} is not allowed")
    return _checked_value(value)


def _checked_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _checked(key, item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_checked_value(item) for item in value]
    return clean_time(value) if isinstance(value, datetime) else value


class _Boolean:
    """A boolean that equals no number: Python says True == 1, MongoDB does not."""

    __slots__ = ("value",)

    def __init__(self, value: bool) -> None:
        self.value = value

    @property  # type: ignore[misc]  # isinstance() must take it for a boolean
    def __class__(self) -> type:
        return bool

    def __bool__(self) -> bool:
        return self.value

    def __hash__(self) -> int:
        return hash(self.value)

    def __eq__(self, other: object) -> bool:
        return type(other) is _Boolean and self.value == bool(other)

    def __lt__(self, other: object) -> bool:
        return self.value < bool(other)

    def __le__(self, other: object) -> bool:
        return self.value <= bool(other)

    def __gt__(self, other: object) -> bool:
        return self.value > bool(other)

    def __ge__(self, other: object) -> bool:
        return self.value >= bool(other)


def _with_booleans(value: Any) -> Any:
    if type(value) is bool:
        return _Boolean(value)
    if isinstance(value, dict):
        return {key: _with_booleans(item) for key, item in value.items()}
    return [_with_booleans(item) for item in value] if isinstance(value, list) else value


def _strict_criteria(value: Any) -> Any:
    """Mark the booleans to compare with, but not the switch of ``$exists``."""
    if isinstance(value, dict):
        return {
            key: item if key == Operator.EXISTS else _strict_criteria(item)
            for key, item in value.items()
        }
    return (
        [_strict_criteria(x) for x in value] if isinstance(value, list) else _with_booleans(value)
    )


def _tells_booleans(value: Any) -> bool:
    """Whether criteria compare with 0, 1, true or false."""
    if isinstance(value, dict):
        return any(_tells_booleans(item) for key, item in value.items() if key != Operator.EXISTS)
    if isinstance(value, list):
        return any(_tells_booleans(item) for item in value)
    return isinstance(value, (bool, int, float)) and value in {0, 1}


def matches(criteria: dict[str, Any], document: dict[str, Any]) -> bool:
    """Whether a document meets checked criteria, by mongomock-ng's filter.

    Raises
    ------
    QueryError
        If the criteria are malformed.
    """
    if not criteria:
        return True
    try:
        if _tells_booleans(criteria):
            return bool(_decides(_strict_criteria(criteria), _with_booleans(document)))
        return bool(_decides(criteria, document))
    except (OperationFailure, NotImplementedError, TypeError, AttributeError, BSONError) as error:
        raise QueryError(f"the criteria cannot be used: {error}") from error
