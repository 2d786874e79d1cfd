"""Typed filters to MongoDB criteria: the only place that writes an operator.

Code builds criteria with the small functions below. What a user types goes through
`parse_filter`, which knows two forms:

    free_energy_300k_mev_per_atom < -50 and verdict = stable and formula in TiO2,SiO2
    {"verdict": "stable", "n_atoms": {"$lte": 8}}

Both only reach the fields that the caller allows and the operators listed here; values are
scalars, so that no code and no regular expression can be smuggled in.

As in MongoDB, a comparison only meets values of its own kind (numbers, text, ...), and ``!=`` and
``not in`` also meet documents without the field.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from screening.errors import QueryError

__all__ = [
    "Criteria",
    "FieldTypes",
    "Fields",
    "JsonFilter",
    "Operator",
    "Scalar",
    "all_of",
    "and_",
    "between",
    "by_field",
    "compare",
    "exists",
    "in_values",
    "missing",
    "newer_than",
    "not_",
    "not_in",
    "or_",
    "parse_filter",
    "parse_sort",
]

Criteria = dict[str, Any]
Scalar = str | int | float | bool | datetime | None
Fields = Mapping[str, type] | Iterable[str]
"""Allowed fields, with the type of their values where it is known."""

MAX_LENGTH = 20_000
MAX_DEPTH = 10
MAX_CONDITIONS = 200
MAX_VALUES = 10_000
MAX_BRACKETS = 2000
MAX_LISTED = 20  # fields in a message
MAX_INTEGER = 2**63


class Operator(StrEnum):
    """Operators that criteria may hold."""

    EQ = "$eq"
    NE = "$ne"
    LT = "$lt"
    LTE = "$lte"
    GT = "$gt"
    GTE = "$gte"
    IN = "$in"
    NIN = "$nin"
    EXISTS = "$exists"
    NOT = "$not"
    ALL = "$all"
    ELEM_MATCH = "$elemMatch"
    SIZE = "$size"
    TYPE = "$type"
    REGEX = "$regex"
    OPTIONS = "$options"
    AND = "$and"
    OR = "$or"
    NOR = "$nor"
    MATCH = "$match"


COMPARISONS = frozenset(
    {Operator.EQ, Operator.NE, Operator.LT, Operator.LTE, Operator.GT, Operator.GTE}
)
LISTS = frozenset({Operator.IN, Operator.NIN, Operator.ALL})
LOGICAL = frozenset({Operator.AND, Operator.OR, Operator.NOR})
SYMBOLS = {
    "=": Operator.EQ,
    "==": Operator.EQ,
    "!=": Operator.NE,
    "<": Operator.LT,
    "<=": Operator.LTE,
    ">": Operator.GT,
    ">=": Operator.GTE,
}


def by_field(field: str, value: Scalar) -> Criteria:
    """Documents whose field has the value (or, for an array, contains it)."""
    return {field: {Operator.EQ.value: value}}


def compare(field: str, symbol: str, value: Scalar) -> Criteria:
    """Documents whose field compares with the value as ``=``, ``!=``, ``<``, ``<=``, ``>``, ``>=``.

    Examples
    --------
    >>> compare("n_atoms", "<=", 8)
    {'n_atoms': {'$lte': 8}}
    """
    if symbol not in SYMBOLS:
        raise QueryError(f"unknown comparison {symbol!r}", hint=f"Known: {' '.join(SYMBOLS)}")
    return {field: {SYMBOLS[symbol].value: value}}


def in_values(field: str, values: Iterable[Scalar]) -> Criteria:
    """Documents whose field has one of the values."""
    return {field: {Operator.IN.value: list(values)}}


def not_in(field: str, values: Iterable[Scalar]) -> Criteria:
    """Documents whose field has none of the values, or that lack it."""
    return {field: {Operator.NIN.value: list(values)}}


def all_of(field: str, values: Iterable[Scalar]) -> Criteria:
    """Documents whose array contains every one of the values."""
    return {field: {Operator.ALL.value: list(values)}}


def between(field: str, low: Scalar, high: Scalar) -> Criteria:
    """Documents with low <= field <= high."""
    return {field: {Operator.GTE.value: low, Operator.LTE.value: high}}


def newer_than(field: str, time: datetime) -> Criteria:
    """Documents whose time is later."""
    return {field: {Operator.GT.value: time}}


def exists(field: str) -> Criteria:
    """Documents that have the field, null included."""
    return {field: {Operator.EXISTS.value: True}}


def missing(field: str) -> Criteria:
    """Documents that lack the field."""
    return {field: {Operator.EXISTS.value: False}}


def and_(*criteria: Criteria) -> Criteria:
    """Documents that meet all criteria; empty ones do not count.

    Examples
    --------
    >>> and_({}, by_field("verdict", "stable"))
    {'verdict': {'$eq': 'stable'}}
    """
    parts = [part for part in criteria if part]
    if len(parts) > 1:
        return {Operator.AND.value: parts}
    return parts[0] if parts else {}


def or_(*criteria: Criteria) -> Criteria:
    """Documents that meet at least one of the criteria."""
    if not all(criteria):
        return {}
    return criteria[0] if len(criteria) == 1 else {Operator.OR.value: list(criteria)}


def not_(criteria: Criteria) -> Criteria:
    """Documents that do not meet the criteria."""
    return {Operator.NOR.value: [criteria]}


def parse_filter(text: str | Mapping[str, Any], fields: Fields) -> Criteria:
    """Return the criteria of a filter that a user typed.

    Parameters
    ----------
    text
        Comparisons joined by ``and``, ``or``, ``not`` and parentheses, or JSON in the form of
        MongoDB restricted to comparisons, ``$in``, ``$nin``, ``$all``, ``$exists``, ``$not``,
        ``$and``, ``$or`` and ``$nor``. Empty text selects everything.
    fields
        Names of the fields that may be asked for. Given with a type (float, int, str, bool,
        datetime), values of another type are refused.

    Raises
    ------
    QueryError
        For an unknown field (with the closest known names), an unknown operator, a value of the
        wrong type, or a filter beyond the limits of length, depth or number.

    Examples
    --------
    >>> parse_filter("n_atoms <= 8 and formula in TiO2,SiO2", ["n_atoms", "formula"])
    {'$and': [{'n_atoms': {'$lte': 8}}, {'formula': {'$in': ['TiO2', 'SiO2']}}]}
    >>> parse_filter('{"n_atoms": 2}', ["n_atoms"])
    {'n_atoms': {'$eq': 2}}
    """
    from stores.query_text import parse_text

    allowed = FieldTypes(fields)
    if not isinstance(text, str):
        return JsonFilter(allowed).parse(text)
    if len(text) > MAX_LENGTH:
        raise QueryError(f"the filter has {len(text)} characters, at most {MAX_LENGTH} are read")
    if text.lstrip().startswith("{"):
        return JsonFilter(allowed).parse(_json(text))
    return parse_text(text, allowed)


def parse_sort(text: str, fields: Fields) -> dict[str, int]:
    """Return the sort order of text such as ``-free_energy_300k_mev_per_atom,formula``.

    Examples
    --------
    >>> parse_sort("-n_atoms, formula", ["n_atoms", "formula"])
    {'n_atoms': -1, 'formula': 1}
    """
    allowed = FieldTypes(fields)
    order: dict[str, int] = {}
    for name in filter(None, (part.strip() for part in text.split(","))):
        field = name.lstrip("+-")
        allowed.check(field)
        order[field] = -1 if name.startswith("-") else 1
    return order


def _json(text: str) -> Any:
    # not left to the recursion limit, which libraries raise beyond what the stack can bear
    if text.count("[") + text.count("{") > MAX_BRACKETS:
        raise QueryError(f"the filter has more than {MAX_BRACKETS} brackets")
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise QueryError(f"the filter is not valid JSON: {error}") from None


def _refuse_constant(name: str) -> None:
    raise QueryError(f"{name} is not a number to compare with")


class FieldTypes:
    """The fields a filter may name, and the types of their values."""

    def __init__(self, fields: Fields) -> None:
        typed = fields if isinstance(fields, Mapping) else dict.fromkeys(fields, object)
        self._types: dict[str, type] = dict(typed)

    def check(self, field: str) -> None:
        """Raise `QueryError` for an unknown field."""
        if field in self._types:
            return
        close = difflib.get_close_matches(field, self._types, n=5, cutoff=0.5)
        known = close or sorted(self._types)[:MAX_LISTED]
        word = "Did you mean" if close else "Known fields:"
        n_more = 0 if close else len(self._types) - len(known)
        more = f" and {n_more} more" if n_more else ""
        raise QueryError(
            f"unknown field {field!r}", subject="filter", hint=f"{word} {', '.join(known)}{more}"
        )

    def value(self, field: str, value: Any) -> Scalar:
        """Return the value in the field's type.

        Raises
        ------
        QueryError
            If it is no scalar, not finite, or of another type than the field.
        """
        kind = self._types.get(field, object)
        if value is None or (isinstance(value, datetime) and kind in {object, datetime}):
            return value
        if isinstance(value, float) and not math.isfinite(value):
            raise QueryError(f"{value} is not a number to compare with", subject=field)
        if isinstance(value, int) and abs(value) >= MAX_INTEGER:
            raise QueryError("an integer beyond 64 bits", subject=field)
        if kind is datetime and isinstance(value, str):
            return _time(field, value)
        if not isinstance(value, (str, int, float)):
            raise QueryError(f"a value of type {type(value).__name__}", subject=field)
        is_number = not isinstance(value, (str, bool))
        fits = {str: isinstance(value, str), bool: isinstance(value, bool)}
        if kind is not object and not fits.get(kind, is_number):
            raise QueryError(f"{value!r} is no value of type {kind.__name__}", subject=field)
        return value

    def is_text(self, field: str) -> bool:
        """Whether the field is known to hold text."""
        return self._types.get(field) is str


def _time(field: str, text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise QueryError(f"{text!r} is no time such as 2026-01-31T12:00", subject=field) from None


class JsonFilter:
    """Copies allowed JSON criteria, piece by piece; nothing passes that is not listed."""

    def __init__(self, fields: FieldTypes) -> None:
        self._fields = fields
        self._conditions = 0

    def parse(self, criteria: Any, depth: int = 0) -> Criteria:
        """Return checked criteria."""
        if not isinstance(criteria, Mapping):
            raise QueryError("a filter is a JSON object", hint='Like {"verdict": "stable"}')
        if depth > MAX_DEPTH:
            raise QueryError(f"the filter is nested deeper than {MAX_DEPTH} levels")
        return and_(*(self._entry(key, value, depth) for key, value in criteria.items()))

    def _entry(self, key: Any, value: Any, depth: int) -> Criteria:
        if key in LOGICAL:
            if not isinstance(value, Sequence) or isinstance(value, str) or not value:
                raise QueryError(f"{key} takes a list of filters")
            parts = [self.parse(part, depth + 1) for part in value]
            if not all(parts):
                raise QueryError(f"{key} holds an empty filter")
            return {str(key): parts}
        if not isinstance(key, str) or key.startswith("$"):
            raise QueryError(f"the operator {key!r} is not allowed here", hint=_allowed())
        self._fields.check(key)
        if isinstance(value, Mapping):
            return {key: self._operators(key, value, depth + 1)}
        return {key: {Operator.EQ.value: self._value(key, value)}}

    def _operators(self, field: str, operators: Mapping[str, Any], depth: int) -> Criteria:
        if not operators or depth > MAX_DEPTH:
            raise QueryError("an empty or too deeply nested condition", subject=field)
        return {name: self._operand(field, name, x, depth) for name, x in operators.items()}

    def _operand(self, field: str, name: str, value: Any, depth: int) -> Any:
        if name in COMPARISONS:
            return self._value(field, value)
        if name in LISTS:
            return self._values(field, name, value)
        if name == Operator.EXISTS and isinstance(value, bool):
            self._count(1)
            return value
        if name == Operator.NOT and isinstance(value, Mapping):
            return self._operators(field, value, depth + 1)
        raise QueryError(f"{name!r}: {value!r} is not allowed", subject=field, hint=_allowed())

    def _value(self, field: str, value: Any) -> Scalar:
        self._count(1)
        return self._fields.value(field, value)

    def _values(self, field: str, name: str, values: Any) -> list[Scalar]:
        if not isinstance(values, Sequence) or isinstance(values, str):
            raise QueryError(f"{name} takes a list of values", subject=field)
        if len(values) > MAX_VALUES:
            raise QueryError(f"{len(values)} values, at most {MAX_VALUES} allowed", subject=field)
        self._count(1)
        return [self._fields.value(field, value) for value in values]

    def _count(self, number: int) -> None:
        self._conditions += number
        if self._conditions > MAX_CONDITIONS:
            raise QueryError(f"the filter has more than {MAX_CONDITIONS} conditions")


def _allowed() -> str:
    names = [*COMPARISONS, *LISTS, Operator.EXISTS, Operator.NOT, *LOGICAL]
    return f"Allowed: {' '.join(sorted(names))}"
