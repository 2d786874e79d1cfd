"""Digests of settings, structures and results: what identifies a computation."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from screening.errors import SerializationError

__all__ = ["digest_of", "digest_of_bytes", "digest_of_file"]


def digest_of(value: Any) -> str:
    """SHA-256 of a JSON-able value, independent of the order of its keys.

    Parameters
    ----------
    value
        Nested dictionaries, lists, strings, finite numbers, booleans and None.

    Raises
    ------
    SerializationError
        If a value is not JSON or not finite.

    Examples
    --------
    >>> digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    True
    """
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise SerializationError(
            f"cannot make a digest: {error}", hint="Use plain JSON values"
        ) from error
    return digest_of_bytes(text.encode())


def digest_of_bytes(data: bytes) -> str:
    """SHA-256 of bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def digest_of_file(path: Path) -> str:
    """SHA-256 of a file's content, as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
