"""Documents to JSON text and back: one serialiser for every database.

A document holds null, booleans, 64-bit integers, finite floats, text, lists, dictionaries, and
three types that JSON lacks, written as MongoDB's extended JSON does: times, bytes and object ids.
Times are UTC, without time zone and in milliseconds, as pymongo returns them.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import orjson
from bson import ObjectId
from monty.json import jsanitize

from screening.errors import CorruptDataError, SerializationError

__all__ = ["clean_document", "clean_time", "decode_document", "encode_document"]

MAX_DEPTH = 100
"""Nesting that MongoDB accepts."""

INT64_LIMIT = 2**63
DATE, BINARY, OBJECT_ID = "$date", "$binary", "$oid"


class _RefusedError(Exception):
    """Why a value cannot be stored, and the path to it, innermost name first."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path: list[str] = []


def clean_time(value: datetime) -> datetime:
    """Return a time as databases keep it: UTC without time zone, whole milliseconds.

    Examples
    --------
    >>> from datetime import timedelta, timezone
    >>> clean_time(datetime(2026, 1, 1, 1, 0, 0, 1999, tzinfo=timezone(timedelta(hours=1))))
    datetime.datetime(2026, 1, 1, 0, 0, 0, 1000)
    """
    if value.tzinfo is not None:
        value = value.astimezone(UTC)
    return datetime(*value.timetuple()[:6], value.microsecond // 1000 * 1000)  # noqa: DTZ001 - without zone on purpose


def clean_document(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy that every database stores alike.

    Parameters
    ----------
    document
        Plain values, numpy arrays and scalars, enums, pydantic models, and whatever has an
        ``as_dict`` method.

    Raises
    ------
    SerializationError
        For a number that is not finite or beyond 64 bits, an unknown type, a key with a dot, a
        dollar or a null character, two keys that become one, or nesting beyond 100 levels. The
        message has the path to the value.

    Examples
    --------
    >>> clean_document({"a": {1: (2, 3)}})
    {'a': {'1': [2, 3]}}
    """
    try:
        cleaned = _clean(document, 0)
    except _RefusedError as refusal:
        path = ".".join(reversed(refusal.path))
        raise SerializationError(
            f"cannot store the value: {refusal.reason}",
            subject=path,
            hint="Store finite numbers, text and plain containers; large arrays belong into blobs",
        ) from None
    if not isinstance(cleaned, dict):
        raise SerializationError(f"a document is a dictionary, not {type(document).__name__}")
    return cleaned


def _clean(value: Any, depth: int) -> Any:
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is float:
        return _finite(value)
    if kind is int:
        return _integer(value)
    if kind is list or kind is tuple:
        return _clean_list(value, depth)
    if kind is dict:
        return _clean_dict(value, depth)
    return _clean_other(value, depth)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise _RefusedError(f"{value} is not a finite number")
    return value


def _integer(value: int) -> int:
    if not -INT64_LIMIT <= value < INT64_LIMIT:
        raise _RefusedError(f"the integer {value:.3e} does not fit into 64 bits")
    return value


def _check_depth(depth: int) -> None:
    if depth >= MAX_DEPTH:
        raise _RefusedError(f"nested deeper than {MAX_DEPTH} levels")


def _clean_list(values: list[Any] | tuple[Any, ...], depth: int) -> list[Any]:
    _check_depth(depth)
    cleaned = []
    for position, item in enumerate(values):
        try:
            cleaned.append(_clean(item, depth + 1))
        except _RefusedError as refusal:
            refusal.path.append(str(position))
            raise
    return cleaned


def _clean_dict(values: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    _check_depth(depth)
    cleaned: dict[str, Any] = {}
    for key, item in values.items():
        name = key if type(key) is str else _name(key)
        if "$" in name or "." in name or "\0" in name:
            raise _RefusedError(f"the key {name!r} has a dot, a dollar or a null character")
        if name in cleaned:
            raise _RefusedError(f"two keys are called {name!r}")
        try:
            cleaned[name] = _clean(item, depth + 1)
        except _RefusedError as refusal:
            refusal.path.append(name)
            raise
    return cleaned


def _name(key: Any) -> str:
    """Text of a key that is not a plain string."""
    if isinstance(key, Enum) and isinstance(key.value, str):
        return key.value
    if isinstance(key, (str, int)) and not isinstance(key, bool):
        return str(key)
    raise _RefusedError(f"a key of type {type(key).__name__}")


def _clean_other(value: Any, depth: int) -> Any:
    """Clean what is not a plain JSON type."""
    if isinstance(value, datetime):
        return clean_time(value)
    if type(value) is ObjectId or type(value) is bytes:
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, Mapping):
        return _clean_dict(value, depth)
    if isinstance(value, (list, tuple)):
        return _clean_list(value, depth)
    return _clean_subclass(value, depth)


def _clean_subclass(value: Any, depth: int) -> Any:
    """Clean a subclass of a plain type, which may be an enum, or anything else."""
    if not isinstance(value, Enum):
        for plain in (int, float, str):
            if isinstance(value, plain):
                return _clean(plain(value), depth)
    return _sanitized(value, depth)


def _sanitized(value: Any, depth: int) -> Any:
    """Clean what monty knows: numpy, enums, pydantic models, anything with ``as_dict``."""
    _check_depth(depth)
    try:
        plain = jsanitize(value, strict=True, allow_bson=True, recursive_msonable=True)
    except Exception as error:  # noqa: BLE001 - foreign as_dict methods may raise anything
        raise _RefusedError(f"of the unknown type {type(value).__name__} ({error})") from None
    if type(plain) is type(value):
        raise _RefusedError(f"of the unknown type {type(value).__name__}")
    return _clean(plain, depth + 1)


def _extended(value: Any) -> dict[str, Any]:
    """Write the three types that JSON lacks."""
    if isinstance(value, datetime):
        return {DATE: value.isoformat(timespec="milliseconds") + "Z"}
    if isinstance(value, bytes):
        return {BINARY: {"base64": base64.b64encode(value).decode(), "subType": "00"}}
    if isinstance(value, ObjectId):
        return {OBJECT_ID: str(value)}
    raise TypeError(type(value).__name__)


def encode_document(document: Mapping[str, Any]) -> str:
    """Return the JSON text of a clean document.

    Raises
    ------
    SerializationError
        For text that is not valid Unicode.
    """
    try:
        text = orjson.dumps(document, default=_extended, option=orjson.OPT_PASSTHROUGH_DATETIME)
    except (TypeError, ValueError) as error:
        raise SerializationError(f"cannot write the document as JSON: {error}") from None
    return text.decode()


def decode_document(text: str) -> dict[str, Any]:
    """Return the document of a JSON text.

    Raises
    ------
    CorruptDataError
        If the text is not a JSON document.
    """
    try:
        document: Any = orjson.loads(text)
        # keys never hold a dollar, so that only extended types can be meant
        if '{"$' in text:
            document = _revive(document)
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise CorruptDataError(f"a stored document cannot be read: {error}") from None
    if not isinstance(document, dict):
        raise CorruptDataError("a stored document is not a dictionary")
    return document


def _revive(value: Any) -> Any:
    """Turn extended JSON back into times, bytes and object ids, in place."""
    if type(value) is list:
        for position, item in enumerate(value):
            if type(item) is dict or type(item) is list:
                value[position] = _revive(item)
        return value
    if len(value) == 1:
        if DATE in value:
            return datetime.fromisoformat(value[DATE]).replace(tzinfo=None)
        if BINARY in value:
            return base64.b64decode(value[BINARY]["base64"], validate=True)
        if OBJECT_ID in value:
            return ObjectId(value[OBJECT_ID])
    for key, item in value.items():
        if type(item) is dict or type(item) is list:
            value[key] = _revive(item)
    return value
