"""The grammar of filters as people type them.

    filter      = part { "or" part }
    part        = condition { "and" condition }
    condition   = "not" condition | "(" filter ")" | comparison
    comparison  = field ("=" | "!=" | "<" | "<=" | ">" | ">=") value
                | field ["not"] "in" values | field "has" values
                | field "exists" | field "missing"
    values      = value { "," value }, with or without parentheses around them
    value       = number | true | false | null | word | "quoted text"

A word may hold a chemical formula with parentheses, such as Ca3(PO4)2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from screening.errors import QueryError
from stores.query import (
    MAX_CONDITIONS,
    MAX_DEPTH,
    MAX_VALUES,
    SYMBOLS,
    Criteria,
    Scalar,
    all_of,
    and_,
    compare,
    exists,
    in_values,
    missing,
    not_,
    not_in,
    or_,
)

if TYPE_CHECKING:
    from stores.query import FieldTypes

__all__ = ["parse_text"]

TOKEN = re.compile(
    r"""\s*(?:
        (?P<symbol><=|>=|!=|==|=|<|>)
      | (?P<mark>[(),])
      | "(?P<double>[^"]*)"
      | '(?P<single>[^']*)'
      | (?P<word>[^\s,()=<>!"']+(?:\([A-Za-z0-9.]*\)[^\s,()=<>!"']*)*)
    )""",
    re.VERBOSE,
)
NUMBER = re.compile(r"[+-]?([0-9]{1,300}\.?[0-9]{0,300}|\.[0-9]{1,300})([eE][+-]?[0-9]{1,4})?")
CONSTANTS: dict[str, Scalar] = {"true": True, "false": False, "null": None}
EXAMPLE = "Like: lowest_frequency_thz > -0.1 and formula in TiO2,SiO2"


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    position: int


def parse_text(text: str, fields: FieldTypes) -> Criteria:
    """Return the criteria of a typed filter; see the grammar above.

    Raises
    ------
    QueryError
        With the position of what cannot be read.
    """
    return _Parser(_tokens(text), fields).parse()


def _tokens(text: str) -> list[_Token]:
    tokens = []
    position, end = 0, len(text.rstrip())
    while position < end:
        found = TOKEN.match(text, position)
        if found is None or found.lastgroup is None:
            raise QueryError(
                f"cannot read {text[position : position + 20]!r} at character {position + 1}",
                subject="filter",
                hint=EXAMPLE,
            )
        kind = "quoted" if found.lastgroup in {"double", "single"} else found.lastgroup
        tokens.append(_Token(kind, found[found.lastgroup], found.start(found.lastgroup) + 1))
        position = found.end()
    return [*tokens, _Token("end", "the end", end + 1)]


class _Parser:
    """Reads tokens from the left to the right, one method for each rule of the grammar."""

    def __init__(self, tokens: list[_Token], fields: FieldTypes) -> None:
        self._tokens = tokens
        self._fields = fields
        self._place = 0
        self._conditions = 0

    def parse(self) -> Criteria:
        if self._next.kind == "end":
            return {}
        criteria = self._filter(0)
        if self._next.kind != "end":
            raise self._wrong("'and', 'or' or the end")
        return criteria

    @property
    def _next(self) -> _Token:
        return self._tokens[self._place]

    def _is_word(self, *words: str) -> bool:
        return self._next.kind == "word" and self._next.text.lower() in words

    def _is_mark(self, mark: str) -> bool:
        return self._next.kind == "mark" and self._next.text == mark

    def _take(self) -> _Token:
        token = self._next
        self._place += 1
        return token

    def _took_word(self, word: str) -> bool:
        if not self._is_word(word):
            return False
        self._take()
        return True

    def _took_mark(self, mark: str) -> bool:
        if not self._is_mark(mark):
            return False
        self._take()
        return True

    def _wrong(self, expected: str) -> QueryError:
        found = self._next
        return QueryError(
            f"found {found.text!r} at character {found.position} where {expected} should be",
            subject="filter",
            hint=EXAMPLE,
        )

    def _filter(self, depth: int) -> Criteria:
        if depth > MAX_DEPTH:
            raise QueryError(f"the filter is nested deeper than {MAX_DEPTH} levels")
        parts = [self._part(depth)]
        while self._took_word("or"):
            parts.append(self._part(depth))
        return or_(*parts)

    def _part(self, depth: int) -> Criteria:
        parts = [self._condition(depth)]
        while self._took_word("and"):
            parts.append(self._condition(depth))
        return and_(*parts)

    def _condition(self, depth: int) -> Criteria:
        if depth > MAX_DEPTH:
            raise QueryError(f"the filter is nested deeper than {MAX_DEPTH} levels")
        if self._took_word("not"):
            return not_(self._condition(depth + 1))
        if self._took_mark("("):
            inner = self._filter(depth + 1)
            if not self._took_mark(")"):
                raise self._wrong("')'")
            return inner
        return self._comparison()

    def _comparison(self) -> Criteria:
        self._conditions += 1
        if self._conditions > MAX_CONDITIONS:
            raise QueryError(f"the filter has more than {MAX_CONDITIONS} conditions")
        if self._next.kind != "word":
            raise self._wrong("a field")
        field = self._take().text
        self._fields.check(field)
        if self._next.kind == "symbol" and self._next.text in SYMBOLS:
            return compare(field, self._take().text, self._value(field))
        return self._worded(field)

    def _worded(self, field: str) -> Criteria:
        """Read a comparison that is written with a word."""
        if self._took_word("exists"):
            return exists(field)
        if self._took_word("missing"):
            return missing(field)
        if self._took_word("has"):
            return all_of(field, self._values(field))
        negated = self._took_word("not")
        if self._took_word("in"):
            return (not_in if negated else in_values)(field, self._values(field))
        raise self._wrong("a comparison (= != < <= > >= in, not in, has, exists, missing)")

    def _values(self, field: str) -> list[Scalar]:
        enclosed = self._took_mark("(")
        values = [self._value(field)]
        while self._took_mark(","):
            values.append(self._value(field))
        if len(values) > MAX_VALUES:
            raise QueryError(f"{len(values)} values, at most {MAX_VALUES} allowed", subject=field)
        if enclosed and not self._took_mark(")"):
            raise self._wrong("')'")
        return values

    def _value(self, field: str) -> Scalar:
        if self._next.kind not in {"word", "quoted"}:
            raise self._wrong("a value")
        token = self._take()
        if token.kind == "quoted":
            return self._fields.value(field, token.text)
        return self._fields.value(
            field, _plain_value(token.text, is_text=self._fields.is_text(field))
        )


def _plain_value(word: str, *, is_text: bool) -> Scalar:
    """Value of an unquoted word."""
    if is_text:
        return None if word == "null" else word
    if word.lower() in CONSTANTS:
        return CONSTANTS[word.lower()]
    if NUMBER.fullmatch(word):
        return int(word) if word.lstrip("+-").isdigit() else float(word)
    return word
