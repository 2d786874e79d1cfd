"""The border at which pymongo's errors become the platform's, without passwords."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from bson.errors import BSONError
from pymongo import errors

from screening.errors import (
    DatabaseError,
    DatabaseUnavailableError,
    DatabaseUriError,
    DiskFullError,
    DuplicateKeyError,
    QueryError,
    SerializationError,
)
from stores.passwords import mask_passwords

__all__ = ["mongo_border", "translated_mongo_error"]

DUPLICATE_KEY_CODE = 11000
NOT_ALLOWED_CODES = frozenset({13, 18, 8000})
DISK_FULL_CODES = frozenset({14031})
KINDS: tuple[tuple[tuple[type[Exception], ...], type[DatabaseError], str], ...] = (
    ((errors.ConfigurationError, errors.InvalidURI), DatabaseUriError, ""),
    (
        (errors.ConnectionFailure,),
        DatabaseUnavailableError,
        "Check that the server runs and can be reached",
    ),
    (
        (errors.DocumentTooLarge, BSONError, OverflowError),
        SerializationError,
        "Put large arrays into blobs",
    ),
    ((errors.OperationFailure, NotImplementedError), QueryError, ""),
)
"""Classes of pymongo and what they become, most telling first."""


@contextmanager
def mongo_border(subject: str) -> Iterator[None]:
    """Translate every error of pymongo inside the block."""
    try:
        yield
    except (errors.PyMongoError, BSONError, OverflowError, NotImplementedError) as error:
        raise translated_mongo_error(error, subject) from error


def translated_mongo_error(error: Exception, subject: str) -> DatabaseError:
    """Return the platform's error for one of pymongo's or mongomock's, without passwords."""
    message = mask_passwords(f"{error} ({type(error).__name__})")
    codes = _codes(error)
    if DUPLICATE_KEY_CODE in codes:
        return DuplicateKeyError(message, subject=subject, hint="Each key stands for one document")
    if codes & DISK_FULL_CODES:
        return DiskFullError(message, subject=subject, hint="Free space on the server")
    if codes & NOT_ALLOWED_CODES:
        return DatabaseUnavailableError(message, subject=subject, hint="Check user and password")
    for kinds, target, hint in KINDS:
        if isinstance(error, kinds):
            return target(message, subject=subject, hint=hint)
    return DatabaseUnavailableError(message, subject=subject)


def _codes(error: Exception) -> set[int]:
    found = {getattr(error, "code", None)}
    details = getattr(error, "details", None)
    if isinstance(details, Mapping):
        found |= {item.get("code") for item in details.get("writeErrors", [])}
    return {code for code in found if isinstance(code, int)}
