"""Plain records: frozen, without unknown fields, of JSON values that any database can hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

__all__ = ["Digest", "PlainJson", "Record", "StorableKey", "first_problem"]


def _storable_key(key: str) -> str:
    """Refuse keys that a database cannot hold or would read as an operator or a list index."""
    if not key or key.isdigit() or re.search(r"[.$\0]", key):
        raise ValueError(f"{key!r} cannot be a key: empty, digits only, or with a dot, $ or NUL")
    return key


def _plain(value: Any) -> Any:
    """Return a copy made of JSON types only, refusing everything else."""
    if isinstance(value, Mapping):
        return {_storable_key(_text(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float) and abs(value) < float("inf"):
        return float(value)
    raise ValueError(f"{value!r} is not a plain finite JSON value")


def _text(key: object) -> str:
    if not isinstance(key, str):
        raise ValueError(f"{key!r} cannot be a key: not a string")  # noqa: TRY004 - pydantic's
    return key


StorableKey = Annotated[str, AfterValidator(_storable_key)]
"""A key that every database can hold."""

PlainJson = Annotated[dict[str, Any], AfterValidator(_plain)]
"""Nested plain values, finite, under storable keys."""

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 as 64 hexadecimal digits."""


class Record(BaseModel):
    """A frozen part of a document: no unknown field, no non-finite number."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=()
    )


def first_problem(error: ValidationError) -> str:
    """Name the field that breaks the schema and say how."""
    problem = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in problem["loc"]) or "document"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"field {place}: {problem['msg']}{more}"
