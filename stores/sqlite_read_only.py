"""Collections of an SQLite file for who may only read: one that is not there yet is empty."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stores.matching import checked_criteria
from stores.query import Criteria
from stores.sqlite import SQLiteStore
from stores.sqlite_reading import Document

__all__ = ["ReadOnlySQLiteStore"]


class ReadOnlySQLiteStore(SQLiteStore):
    """A collection that is only read, and seen as soon as another process makes it.

    Parameters are those of `SQLiteStore`, with ``read_only=True``.
    """

    def _is_there(self) -> bool:
        with self._connection.reading() as connection:
            return self._table.exists(connection)

    def count(self, criteria: Criteria | None = None, hint: Any = None) -> int:
        """Count the documents that meet the criteria; ``hint`` is ignored."""
        checked_criteria(criteria)
        return super().count(criteria, hint) if self._is_there() else 0

    def distinct(
        self, field: str, criteria: Criteria | None = None, all_exist: bool = False
    ) -> list[Any]:
        """Return the distinct values of a field in MongoDB's order, arrays unwound."""
        checked_criteria(criteria)
        return super().distinct(field, criteria, all_exist) if self._is_there() else []

    def _sorted(
        self, criteria: Criteria, order: list[tuple[str, int]], skip: int, limit: int | None
    ) -> Iterator[Document]:
        if self._is_there():
            yield from super()._sorted(criteria, order, skip, limit)
