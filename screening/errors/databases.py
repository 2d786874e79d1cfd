"""What a database cannot do."""

from __future__ import annotations

from screening.errors.base import ScreeningError

__all__ = [
    "CorruptDataError",
    "DatabaseError",
    "DatabaseUnavailableError",
    "DatabaseUriError",
    "DiskFullError",
    "DuplicateKeyError",
    "IndexMissingError",
    "NotFoundError",
    "QueryError",
    "SchemaTooNewError",
    "SerializationError",
]


class DatabaseError(ScreeningError):
    """The database cannot do what was asked."""


class DatabaseUnavailableError(DatabaseError):
    """The database cannot be reached or opened."""

    code = "DB_UNAVAILABLE"


class DatabaseUriError(DatabaseError):
    """The database URI names no known kind of database."""

    code = "DB_URI"


class DuplicateKeyError(DatabaseError):
    """A document with this unique key exists."""

    code = "DUPLICATE_KEY"


class IndexMissingError(DatabaseError):
    """A unique index that guards against duplicates is missing."""

    code = "INDEX_MISSING"


class SerializationError(DatabaseError):
    """A value cannot be stored: non-finite, of an unknown type, or under a forbidden key."""

    code = "SERIALIZATION"


class SchemaTooNewError(DatabaseError):
    """A document was written by a newer release than this one."""

    code = "SCHEMA_TOO_NEW"


class CorruptDataError(DatabaseError):
    """Stored bytes do not match their digest, or a document breaks its schema."""

    code = "CORRUPT_DATA"


class DiskFullError(DatabaseError):
    """The disk that holds the database is full."""

    code = "DISK_FULL"


class QueryError(DatabaseError):
    """A filter names an unknown field or operator, or is not valid JSON."""

    code = "QUERY"


class NotFoundError(DatabaseError):
    """No document has this key."""

    code = "NOT_FOUND"
