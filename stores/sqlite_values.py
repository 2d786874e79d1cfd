"""Values of declared fields as their columns hold them.

They are written so that SQLite's native order is MongoDB's: nothing and null as NULL, numbers and
text as themselves, and the other types as bytes that begin with the rank of their type. A list of
text is written so that SQL can tell whether it contains a text.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId

__all__ = [
    "LIST_RANK",
    "NOT_SCALAR",
    "SQLValue",
    "column_value",
    "is_list_value",
    "list_item",
    "stored_value",
    "value_at",
]

SQLValue = None | int | float | str | bytes
NOT_SCALAR = object()
"""Stands for an array or a sub-document, or a value inside an array."""

INT64_LIMIT = 2**63
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LIST_RANK, BINARY_RANK, OBJECT_ID_RANK, BOOLEAN_RANK, DATE_RANK = 0x19, 0x30, 0x35, 0x40, 0x45


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


def stored_value(value: Any) -> Any:
    """Return a scalar or a list of text as its column holds it, otherwise `NOT_SCALAR`.

    A list is a mark and its items, each between null characters.
    """
    if type(value) is not list:
        return column_value(value)
    if not all(type(item) is str and "\0" not in item for item in value):
        return NOT_SCALAR
    return b"".join(
        [bytes((LIST_RANK,)), *(list_item(text) for text in value), b"\0" * bool(value)]
    )


def list_item(text: str) -> bytes:
    """Return an item of a list of text, without the null character behind it."""
    return b"\0" + text.encode()


def is_list_value(value: Any) -> bool:
    """Whether a column's value stands for a list."""
    return type(value) is bytes and value[0] == LIST_RANK


def value_at(document: Any, path: Iterable[str]) -> Any:
    """Return the value at a path, None where there is none, `NOT_SCALAR` behind an array."""
    for name in path:
        if isinstance(document, dict):
            document = document.get(name)
        else:
            return NOT_SCALAR if isinstance(document, list) else None
    return document
