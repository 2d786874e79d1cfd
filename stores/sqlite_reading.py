"""Queries on the table of a collection: the reading half of the SQLite store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from maggma.core import Sort, Store

from screening.errors import QueryError
from stores.matching import checked_criteria, matches
from stores.pipeline import run_pipeline, split_pipeline
from stores.query import Criteria
from stores.shape import (
    Projection,
    distinct_values,
    grouped,
    projected,
    sort_directions,
    sort_key,
)
from stores.sqlite_connection import SQLiteConnection
from stores.sqlite_table import BATCH, Table

__all__ = ["ReadingStore"]

Document = dict[str, Any]
Directions = Mapping[str, Sort | int] | None


class ReadingStore(Store):
    """Answers queries from a table.

    No transaction is held while documents are handed out, so that the caller may write meanwhile;
    a long result is therefore read in pieces, each of them consistent.
    """

    _table: Table
    _connection: SQLiteConnection

    def count(self, criteria: Criteria | None = None, hint: Any = None) -> int:  # noqa: ARG002
        """Count the documents that meet the criteria; ``hint`` is ignored."""
        wanted = checked_criteria(criteria)
        with self._connection.reading() as connection:
            condition = self._table.columns(connection).narrow(wanted)
            if condition.exact:
                return self._table.count(connection, condition)
        return sum(1 for _ in self._scan(wanted))

    def query(
        self,
        criteria: Criteria | None = None,
        properties: Projection = None,
        sort: Directions = None,
        skip: int = 0,
        limit: int = 0,
        hint: Any = None,  # noqa: ARG002 - SQLite plans itself
    ) -> Iterator[Document]:
        """Yield the documents that meet the criteria.

        Parameters
        ----------
        criteria
            In MongoDB's form, with the operators of `stores.query.Operator`.
        properties
            Fields to include (a list), or fields with 1 to include or 0 to exclude.
        sort
            Fields with 1 or -1. Documents that tie come in order of insertion, reversed where
            the first direction is -1.
        skip, limit
            Documents to leave out first and to yield at most; no limit is 0.
        hint
            Ignored.

        Raises
        ------
        QueryError
            For an operator that is not allowed, or a mixed projection.
        """
        wanted, order = checked_criteria(criteria), sort_directions(sort)
        if skip < 0 or limit < 0:
            raise QueryError("skip and limit are not negative")
        for document in self._sorted(wanted, order, skip, limit or None):
            yield projected(document, properties)

    def query_one(
        self,
        criteria: Criteria | None = None,
        properties: Projection = None,
        sort: Directions = None,
    ) -> Document | None:
        """Return the first document that meets the criteria, or None."""
        return next(self.query(criteria, properties, sort, limit=1), None)

    def _sorted(
        self, criteria: Criteria, order: list[tuple[str, int]], skip: int, limit: int | None
    ) -> Iterator[Document]:
        with self._connection.reading() as connection:
            columns = self._table.columns(connection)
            condition = columns.narrow(criteria)
            if condition.exact and all(field in columns.scalar for field, _ in order):
                by_columns = [(columns.scalar[field], direction) for field, direction in order]
                if limit is not None and order:
                    walking = columns.narrow_for_walk(criteria, order[0][0])
                    condition = self._table.faster(connection, condition, walking)
                numbers = self._table.sorted_numbers(connection, condition, by_columns, skip, limit)
                first = self._table.documents(connection, numbers[:BATCH])
            else:
                numbers = None
        if numbers is not None:
            yield from (document for _, document in first)
            yield from self._fetch(numbers[BATCH:])
        elif order:
            keyed = self._in_order(criteria, order)
            yield from self._fetch(keyed[skip:] if limit is None else keyed[skip : skip + limit])
        else:
            found = (document for _, document in self._scan(criteria))
            yield from islice(found, skip, None if limit is None else skip + limit)

    def _in_order(self, criteria: Criteria, order: list[tuple[str, int]]) -> list[int]:
        """Sort the matches by keys taken from the documents, without keeping the documents."""
        rows = [
            ([sort_key(document, field, direction) for field, direction in order], n)
            for n, document in self._scan(criteria)
        ]
        rows.sort(key=lambda row: row[1], reverse=order[0][1] < 0)
        for place in reversed(range(len(order))):
            descending = order[place][1] < 0
            # sorting in reverse keeps ties as they are
            rows.sort(key=lambda row, place=place: row[0][place], reverse=descending)  # type: ignore[misc]
        return [n for _, n in rows]

    def _scan(self, criteria: Criteria) -> Iterator[tuple[int, Document]]:
        """Yield number and document of each match; holds no transaction while it yields."""
        with self._connection.reading() as connection:
            condition = self._table.columns(connection).narrow(criteria)
            numbers = self._table.numbers(connection, condition)
        for n, document in self._rows(numbers):
            if condition.exact or matches(criteria, document):
                yield n, document

    def _fetch(self, numbers: Sequence[int]) -> Iterator[Document]:
        return (document for _, document in self._rows(numbers))

    def _rows(self, numbers: Sequence[int]) -> Iterator[tuple[int, Document]]:
        for start in range(0, len(numbers), BATCH):
            with self._connection.reading() as connection:
                rows = self._table.documents(connection, numbers[start : start + BATCH])
            yield from rows

    def distinct(
        self,
        field: str,
        criteria: Criteria | None = None,
        all_exist: bool = False,  # noqa: ARG002 - maggma's signature
    ) -> list[Any]:
        """Return the distinct values of a field in MongoDB's order, arrays unwound."""
        wanted = checked_criteria(criteria)
        with self._connection.reading() as connection:
            columns = self._table.columns(connection)
            condition, known = columns.narrow(wanted), {**columns.scalar, **columns.lists}
            if condition.exact and field in known:
                documents = self._table.examples(connection, condition, known[field])
                if documents is not None:
                    return distinct_values(documents, field)
        return distinct_values((document for _, document in self._scan(wanted)), field)

    def groupby(
        self,
        keys: list[str] | str,
        criteria: Criteria | None = None,
        properties: Projection = None,
        sort: Directions = None,
        skip: int = 0,
        limit: int = 0,
    ) -> Iterator[tuple[Document, list[Document]]]:
        """Yield the values of the keys and the documents that share them.

        Parameters
        ----------
        keys
            Fields to group by; documents without a field form a group of their own.
        criteria, sort, skip, limit
            As for `query`, applied before grouping.
        properties
            Fields of the documents beside the keys; nothing gives whole documents.
        """
        fields = [keys] if isinstance(keys, str) else list(keys)
        wanted = [*properties, *fields] if properties else None
        return grouped(self.query(criteria, wanted, sort, skip=skip, limit=limit), fields)

    def aggregate(self, pipeline: Sequence[Mapping[str, Any]]) -> list[Document]:
        """Run an aggregation pipeline.

        A leading match uses the indexes; the other stages are mongomock-ng's, on the matches in
        memory. Stages that reach other collections are refused.

        Raises
        ------
        QueryError
            If a stage is unknown or refused.
        """
        criteria, stages = split_pipeline(pipeline)
        return run_pipeline(list(self.query(criteria)), stages)
