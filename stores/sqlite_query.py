"""From MongoDB criteria to SQL that finds the candidates, and the order of mixed values.

A declared field has a column of its own. Its values are written so that SQLite's native order is
MongoDB's: nothing and null as NULL, numbers and text as themselves, and the other types as bytes
that begin with the rank of their type. SQL then narrows the documents to candidates, and where it
cannot decide alone, mongomock-ng's filter decides (`matches`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId
from bson.errors import BSONError
from mongomock_ng import OperationFailure
from mongomock_ng.filtering import filter_applies

from screening.errors import QueryError
from stores.codec import clean_time
from stores.query import LOGICAL, Operator

__all__ = [
    "NOT_SCALAR",
    "Narrowed",
    "SQLValue",
    "checked_criteria",
    "column_value",
    "matches",
    "narrow",
    "value_at",
]

SQLValue = None | int | float | str | bytes
NOT_SCALAR = object()
"""Stands for an array or a sub-document, or a value inside an array."""

INT64_LIMIT = 2**63
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BINARY_RANK, OBJECT_ID_RANK, BOOLEAN_RANK, DATE_RANK = 0x30, 0x35, 0x40, 0x45
RANGES = {Operator.LT: "<", Operator.LTE: "<=", Operator.GT: ">", Operator.GTE: ">="}
FIELD_OPERATORS = frozenset(Operator) - LOGICAL - {Operator.MATCH}
LARGEST_LIST = 10_000
"""Values of one list handed to SQL; its own limit is 32766 parameters."""


def column_value(value: Any) -> Any:
    """Return a scalar as its column holds it, `NOT_SCALAR` for an array or sub-document."""
    if value is None or isinstance(value, (str, int, float)):
        return bytes((BOOLEAN_RANK, value)) if isinstance(value, bool) else value
    if isinstance(value, datetime):
        elapsed = value.replace(tzinfo=UTC) - EPOCH
        milliseconds = elapsed.days * 86_400_000 + elapsed.seconds * 1000
        milliseconds += elapsed.microseconds // 1000
        return bytes((DATE_RANK,)) + (milliseconds + INT64_LIMIT).to_bytes(8, "big")
    if isinstance(value, ObjectId):
        return bytes((OBJECT_ID_RANK,)) + value.binary
    if isinstance(value, bytes):
        return bytes((BINARY_RANK,)) + len(value).to_bytes(4, "big") + value
    return NOT_SCALAR


def value_at(document: Any, path: Iterable[str]) -> Any:
    """Return the value at a path, None where there is none, `NOT_SCALAR` behind an array."""
    for name in path:
        if isinstance(document, dict):
            document = document.get(name)
        else:
            return NOT_SCALAR if isinstance(document, list) else None
    return document


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


# ------------------------------------------------------------------ deciding one document

_decides: Callable[[dict[str, Any], dict[str, Any]], bool] = filter_applies


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


# ------------------------------------------------------------------ narrowing in SQL


@dataclass(frozen=True)
class Narrowed:
    """An SQL condition that every match meets.

    Attributes
    ----------
    sql, parameters
        The condition.
    exact
        Whether every row that meets it is a match.
    """

    sql: str
    parameters: tuple[SQLValue, ...] = ()
    exact: bool = True

    @property
    def is_open(self) -> bool:
        """Whether it lets everything pass."""
        return self.sql == "1"


EVERYTHING = Narrowed("1")
NOTHING = Narrowed("0")
UNDECIDED = Narrowed("1", exact=False)


def narrow(criteria: Mapping[str, Any], columns: Mapping[str, str]) -> Narrowed:
    """Return the SQL condition for criteria.

    Parameters
    ----------
    criteria
        Checked criteria.
    columns
        Quoted column of every field whose values are all scalars.

    Examples
    --------
    >>> narrow({"n_atoms": {"$lt": 8}}, {"n_atoms": '"n_atoms"'})
    Narrowed(sql='"n_atoms" < ?', parameters=(8,), exact=True)
    """
    return _all(_entry(key, value, columns) for key, value in criteria.items())


def _all(parts: Iterable[Narrowed]) -> Narrowed:
    collected = list(parts)
    exact = all(part.exact for part in collected)
    closed = [part for part in collected if not part.is_open]
    if not closed:
        return Narrowed("1", exact=exact)
    sql = " AND ".join(part.sql for part in closed)
    return Narrowed(sql, _parameters(closed), exact)


def _any(parts: list[Narrowed]) -> Narrowed:
    exact = all(part.exact for part in parts)
    if any(part.is_open for part in parts):
        return Narrowed("1", exact=exact)
    return Narrowed(f"({' OR '.join(f'({x.sql})' for x in parts)})", _parameters(parts), exact)


def _negated(part: Narrowed) -> Narrowed:
    if not part.exact:
        return UNDECIDED
    return Narrowed(f"(({part.sql}) IS NOT TRUE)", part.parameters)


def _parameters(parts: Iterable[Narrowed]) -> tuple[SQLValue, ...]:
    return tuple(value for part in parts for value in part.parameters)


def _entry(key: str, value: Any, columns: Mapping[str, str]) -> Narrowed:
    if key in LOGICAL:
        if not isinstance(value, list) or not value or not all(isinstance(x, dict) for x in value):
            raise QueryError(f"{key} takes a list of criteria")
        parts = [narrow(part, columns) for part in value]
        if key == Operator.AND:
            return _all(parts)
        return _any(parts) if key == Operator.OR else _negated(_any(parts))
    if key not in columns:
        return UNDECIDED
    column, dotted = columns[key], "." in key
    if not isinstance(value, dict):
        return _condition(column, Operator.EQ, value, dotted=dotted)
    if not value or not all(name.startswith("$") for name in value):
        return UNDECIDED
    return _all(_condition(column, op, operand, dotted=dotted) for op, operand in value.items())


def _condition(column: str, name: str, operand: Any, *, dotted: bool) -> Narrowed:
    if name in RANGES:
        return _range(column, RANGES[Operator(name)], operand)
    if name in {Operator.EQ, Operator.NE}:
        decide = _equal if name == Operator.EQ else _different
        return decide(column, operand, dotted=dotted)
    if name in {Operator.IN, Operator.NIN}:
        return _in_list(column, operand, negated=name == Operator.NIN, dotted=dotted)
    if name == Operator.NOT and isinstance(operand, dict) and not dotted:
        inner = (_condition(column, op, value, dotted=False) for op, value in operand.items())
        return _negated(_all(inner))
    if name == Operator.EXISTS and not operand:
        return Narrowed(f"{column} IS NULL", exact=False)
    return UNDECIDED


def _operand(value: Any) -> Any:
    """Return what SQL may compare with, `NOT_SCALAR` where it cannot decide."""
    if isinstance(value, str):
        return value if value.isascii() or _is_unicode(value) else NOT_SCALAR
    if isinstance(value, int) and not -INT64_LIMIT <= value < INT64_LIMIT:
        return NOT_SCALAR
    if isinstance(value, float) and math.isnan(value):
        return NOT_SCALAR
    return column_value(value)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _equal(column: str, value: Any, *, dotted: bool) -> Narrowed:
    operand = _operand(value)
    if operand is NOT_SCALAR:
        return UNDECIDED
    if operand is None:
        return Narrowed(f"{column} IS NULL", exact=not dotted)
    return Narrowed(f"{column} = ?", (operand,))


def _different(column: str, value: Any, *, dotted: bool) -> Narrowed:
    operand = _operand(value)
    if operand is NOT_SCALAR or dotted:
        return UNDECIDED
    return Narrowed(f"{column} IS NOT ?", (operand,))


def _range(column: str, symbol: str, value: Any) -> Narrowed:
    operand = _operand(value)
    if operand is NOT_SCALAR:
        return UNDECIDED
    if operand is None:
        return Narrowed(f"{column} IS NULL", exact=False)
    low, high = _bracket(operand)
    if symbol.startswith("<"):
        if low is None:
            return Narrowed(f"{column} {symbol} ?", (operand,))
        return Narrowed(f"{column} {symbol} ? AND {column} >= ?", (operand, low))
    return Narrowed(f"{column} {symbol} ? AND {column} < ?", (operand, high))


def _bracket(operand: Any) -> tuple[SQLValue, SQLValue]:
    """Return the least value of an operand's type and the least one beyond it."""
    if isinstance(operand, str):
        return "", b""
    if isinstance(operand, bytes):
        return operand[:1], bytes((operand[0] + 1,))
    return None, ""


def _in_list(column: str, values: Any, *, negated: bool, dotted: bool) -> Narrowed:
    if not isinstance(values, list):
        raise QueryError("a list of values is needed", subject=column.strip('"'))
    operands = [_operand(value) for value in values]
    with_null = any(value is None for value in operands)
    if any(value is NOT_SCALAR for value in operands) or len(operands) > LARGEST_LIST:
        return UNDECIDED
    if dotted and (negated or with_null):
        return UNDECIDED
    plain = tuple(value for value in operands if value is not None)
    marks = ",".join("?" * len(plain))
    sql = f"{column} IN ({marks})"
    if with_null:
        sql = f"({sql} OR {column} IS NULL)"
    return _negated(Narrowed(sql, plain)) if negated else Narrowed(sql, plain)
