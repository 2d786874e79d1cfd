"""From MongoDB criteria to SQL that finds the candidates.

SQL narrows the documents by the columns of declared fields (`stores.sqlite_values`), and where it
cannot decide alone, `stores.matching` decides.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from screening.errors import QueryError
from stores.query import LOGICAL, Operator
from stores.sqlite_values import (
    INT64_LIMIT,
    LIST_RANK,
    NOT_SCALAR,
    SQLValue,
    column_value,
    list_item,
)

__all__ = ["Narrowed", "narrow"]

RANGES = {Operator.LT: "<", Operator.LTE: "<=", Operator.GT: ">", Operator.GTE: ">="}
LARGEST_LIST = 10_000
"""Values of one list handed to SQL; its own limit is 32766 parameters."""


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


NO_COLUMNS: Mapping[str, str] = {}


def narrow(
    criteria: Mapping[str, Any], columns: Mapping[str, str], lists: Mapping[str, str] = NO_COLUMNS
) -> Narrowed:
    """Return the SQL condition for criteria.

    Parameters
    ----------
    criteria
        Checked criteria.
    columns
        Quoted column of every field whose values are all scalars.
    lists
        Quoted column of every field whose values are scalars or lists of text.

    Examples
    --------
    >>> narrow({"n_atoms": {"$lt": 8}}, {"n_atoms": '"n_atoms"'})
    Narrowed(sql='"n_atoms" < ?', parameters=(8,), exact=True)
    """
    return _all(_entry(key, value, columns, lists) for key, value in criteria.items())


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


def _entry(key: str, value: Any, columns: Mapping[str, str], lists: Mapping[str, str]) -> Narrowed:
    if key in LOGICAL:
        if not isinstance(value, list) or not value or not all(isinstance(x, dict) for x in value):
            raise QueryError(f"{key} takes a list of criteria")
        parts = [narrow(part, columns, lists) for part in value]
        if key == Operator.AND:
            return _all(parts)
        return _any(parts) if key == Operator.OR else _negated(_any(parts))
    if key not in columns and key not in lists:
        return UNDECIDED
    decide = _condition if key in columns else _list_condition
    column, dotted = columns.get(key) or lists[key], "." in key
    if not isinstance(value, dict):
        return decide(column, Operator.EQ, value, dotted=dotted)
    if not value or not all(name.startswith("$") for name in value):
        return UNDECIDED
    return _all(decide(column, op, operand, dotted=dotted) for op, operand in value.items())


def _list_condition(column: str, name: str, operand: Any, *, dotted: bool) -> Narrowed:
    """Decide whether a list contains text, or the field is that text."""
    values = operand if name in {Operator.ALL, Operator.IN, Operator.NIN} else [operand]
    if not isinstance(values, list) or not all(_is_plain_text(value) for value in values):
        return UNDECIDED
    parts = [_contains(column, value) for value in values]
    if name == Operator.EQ or (name == Operator.ALL and parts):
        return _all(parts)
    if name == Operator.IN:
        return _any(parts) if parts else NOTHING
    if name in {Operator.NE, Operator.NIN} and not dotted:
        return _negated(_any(parts)) if parts else EVERYTHING
    return UNDECIDED


def _is_plain_text(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value and _is_unicode(value)


def _contains(column: str, text: str) -> Narrowed:
    low, high = bytes((LIST_RANK,)), bytes((LIST_RANK + 1,))
    sql = f"({column} = ? OR ({column} >= ? AND {column} < ? AND instr({column}, ?) > 0))"
    return Narrowed(sql, (text, low, high, list_item(text) + b"\0"))


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
