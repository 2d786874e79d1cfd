"""The table of one collection: its columns for declared fields, its indexes, and its rows."""
# ruff: noqa: S608 - names of tables and columns are checked here, values are always bound

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

from bson import ObjectId

from screening.errors import DuplicateKeyError, QueryError, SerializationError
from stores.codec import decode_document, encode_document
from stores.matching import matches
from stores.sqlite_columns import LISTS, MIXED, SCALAR, Columns
from stores.sqlite_query import Narrowed
from stores.sqlite_values import NOT_SCALAR, SQLValue, column_value

__all__ = ["BATCH", "Table", "new_id"]

FIELDS_TABLE = '"_phonoscreen_fields"'
RESERVED = frozenset({"n", "id", "doc", "rowid", "oid", "_rowid_"})
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,99}")
BATCH = 256
FEW_ROWS = 500
"""Rows that are collected and sorted in less than a millisecond."""


class Table:
    """Rows ``(n, id, ..., doc)``: order of insertion, key, declared fields, and JSON text.

    All methods take the connection of a transaction that the caller holds.
    """

    def __init__(self, collection: str) -> None:
        if not NAME.fullmatch(collection) or collection.lower().startswith("sqlite_"):
            raise QueryError(
                f"{collection!r} cannot name a collection",
                hint="Use letters, digits, '_', '-' and '.', beginning with a letter",
            )
        self.collection = collection
        self.quoted = f'"{collection}"'
        self._seen: tuple[int, Columns] | None = None

    # -------------------------------------------------------------- declaration

    def exists(self, connection: sqlite3.Connection) -> bool:
        """Whether the table is there."""
        sql = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
        return connection.execute(sql, (self.collection,)).fetchone() is not None

    def create(self, connection: sqlite3.Connection, fields: Sequence[str]) -> None:
        """Create the table with a column for each field, before the text of the document."""
        if self.exists(connection):
            return
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {FIELDS_TABLE} (collection TEXT, field TEXT,"
            " name TEXT, state INTEGER, PRIMARY KEY (collection, field)) WITHOUT ROWID"
        )
        names = [_column_name(field) for field in fields]
        columns = "".join(f'"{name}", ' for name in names)
        connection.execute(
            f"CREATE TABLE {self.quoted}"
            f" (n INTEGER PRIMARY KEY, id NOT NULL UNIQUE, {columns}doc TEXT NOT NULL)"
        )
        self._register(connection, zip(fields, names, strict=True))

    def _register(
        self, connection: sqlite3.Connection, fields: Iterator[tuple[str, str]] | zip[Any]
    ) -> None:
        rows = [(self.collection, field, name) for field, name in fields]
        sql = f"INSERT INTO {FIELDS_TABLE} VALUES (?, ?, ?, {SCALAR})"
        connection.executemany(sql, rows)
        self._seen = None

    def columns(self, connection: sqlite3.Connection) -> Columns:
        """Return the declared fields, whichever process declared them."""
        version = connection.execute("PRAGMA data_version").fetchone()[0]
        if self._seen is None or self._seen[0] != version:
            sql = f"SELECT field, name, state FROM {FIELDS_TABLE} WHERE collection = ?"
            rows = connection.execute(sql, (self.collection,)).fetchall()
            quoted = {field: f'"{name}"' for field, name, _ in rows}
            scalar = {field: quoted[field] for field, _, state in rows if state == SCALAR}
            lists = {field: quoted[field] for field, _, state in rows if state == LISTS}
            self._seen = version, Columns(quoted, {**scalar, "_id": "id"}, lists)
        return self._seen[1]

    def forget(self) -> None:
        """Read the declared fields again, after a transaction that was rolled back."""
        self._seen = None

    def index_name(self, fields: Sequence[str], *, unique: bool) -> str:
        """Return the quoted name of an index."""
        kind = "unique" if unique else "index"
        return f'"{self.collection}|{"|".join(_column_name(x) for x in fields)}|{kind}"'

    def has_index(
        self, connection: sqlite3.Connection, fields: Sequence[str], *, unique: bool
    ) -> bool:
        """Whether the fields have an index that serves (a unique one always does)."""
        if list(fields) == ["_id"]:
            return True
        names = [self.index_name(fields, unique=True)]
        if not unique:
            names.append(self.index_name(fields, unique=False))
        sql = "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = ?"
        present = {row[0] for row in connection.execute(sql, (self.collection,))}
        return any(name.strip('"') in present for name in names)

    def create_index(
        self, connection: sqlite3.Connection, fields: Sequence[str], *, unique: bool
    ) -> None:
        """Declare the fields and index them.

        Raises
        ------
        DuplicateKeyError
            If a unique index is asked for and two documents agree.
        """
        for field in fields:
            self._declare(connection, field)
        columns = self.columns(connection).quoted
        names = ", ".join("id" if field == "_id" else columns[field] for field in fields)
        word = "UNIQUE INDEX" if unique else "INDEX"
        name = self.index_name(fields, unique=unique)
        try:
            connection.execute(f"CREATE {word} IF NOT EXISTS {name} ON {self.quoted} ({names})")
        except sqlite3.IntegrityError as error:
            raise DuplicateKeyError(
                f"two documents agree in {', '.join(fields)}",
                subject=self.collection,
                hint="Remove one of them, then open the database again",
            ) from error
        if unique:
            connection.execute(f"DROP INDEX IF EXISTS {self.index_name(fields, unique=False)}")

    def _declare(self, connection: sqlite3.Connection, field: str) -> None:
        """Add the column of a field and fill it."""
        if field == "_id" or field in self.columns(connection).quoted:
            return
        name = _column_name(field)
        connection.execute(f'ALTER TABLE {self.quoted} ADD COLUMN "{name}"')
        self._register(connection, zip([field], [name], strict=True))
        columns = Columns({field: f'"{name}"'}, {}, {})
        found: set[int] = set()
        last = 0
        while rows := connection.execute(
            f"SELECT n, doc FROM {self.quoted} WHERE n > ? ORDER BY n LIMIT {BATCH}", (last,)
        ).fetchall():
            filled = []
            for n, doc in rows:
                values, others = columns.values_of(decode_document(doc))
                filled.append((*values, n))
                found.update(others.values())
            connection.executemany(f'UPDATE {self.quoted} SET "{name}" = ? WHERE n = ?', filled)
            last = rows[-1][0]
        if found:
            self._set_states(connection, {field: min(found)})

    def _set_states(self, connection: sqlite3.Connection, states: Mapping[str, int]) -> None:
        sql = f"UPDATE {FIELDS_TABLE} SET state = ? WHERE collection = ? AND field = ?"
        rows = [(state, self.collection, field) for field, state in states.items()]
        connection.executemany(sql, rows)
        self._seen = None

    # -------------------------------------------------------------- reading

    def numbers(self, connection: sqlite3.Connection, condition: Narrowed) -> list[int]:
        """Return the numbers of the rows that meet a condition, in order of insertion."""
        return self.sorted_numbers(connection, condition, [], 0, None)

    def sorted_numbers(
        self,
        connection: sqlite3.Connection,
        condition: Narrowed,
        order: Sequence[tuple[str, int]],
        skip: int,
        limit: int | None,
    ) -> list[int]:
        """Return the numbers of the rows that meet a condition, sorted by columns."""
        if not order and limit is None:
            return sorted(self._unsorted_numbers(connection, condition))[skip:]
        terms = [f"{column} {_direction(direction)}" for column, direction in order]
        terms.append(f"n {_direction(order[0][1] if order else 1)}")
        sql = (
            f"SELECT n FROM {self.quoted} WHERE {condition.sql}"
            f" ORDER BY {', '.join(terms)} LIMIT ? OFFSET ?"
        )
        parameters = (*condition.parameters, -1 if limit is None else limit, skip)
        return [row[0] for row in connection.execute(sql, parameters)]

    def _unsorted_numbers(
        self, connection: sqlite3.Connection, condition: Narrowed
    ) -> Iterator[int]:
        # without an order SQLite may read an index instead of the whole table
        sql = f"SELECT n FROM {self.quoted} WHERE {condition.sql}"
        return (row[0] for row in connection.execute(sql, condition.parameters))

    def faster(
        self, connection: sqlite3.Connection, collecting: Narrowed, walking: Narrowed
    ) -> Narrowed:
        """Choose how to find the first rows in an order.

        Few matches are best collected and sorted (``collecting``); of many, the first come soon
        when the rows are walked in order (``walking``). SQLite cannot tell without counting.
        """
        sql = f"SELECT 1 FROM {self.quoted} WHERE {collecting.sql} LIMIT 1 OFFSET {FEW_ROWS}"
        is_many = connection.execute(sql, collecting.parameters).fetchone() is not None
        return walking if is_many else collecting

    def count(self, connection: sqlite3.Connection, condition: Narrowed) -> int:
        """Count the rows that meet a condition."""
        sql = f"SELECT count(*) FROM {self.quoted} WHERE {condition.sql}"
        number: int = connection.execute(sql, condition.parameters).fetchone()[0]
        return number

    def first(self, connection: sqlite3.Connection, condition: Narrowed) -> tuple[int, Any] | None:
        """Return number and ``_id`` of one row that meets an exact condition."""
        sql = f"SELECT n, id FROM {self.quoted} WHERE {condition.sql} LIMIT 1"
        row: tuple[int, Any] | None = connection.execute(sql, condition.parameters).fetchone()
        if row is None or not isinstance(row[1], bytes):
            return row
        return row[0], self.documents(connection, row[:1])[0][1]["_id"]

    def examples(
        self, connection: sqlite3.Connection, condition: Narrowed, column: str
    ) -> list[dict[str, Any]] | None:
        """Return one document for each value of a column; None where NULL may mean two things."""
        sql = (
            f"SELECT min(n), {column} IS NULL FROM {self.quoted}"
            f" WHERE {condition.sql} GROUP BY {column}"
        )
        rows = connection.execute(sql, condition.parameters).fetchall()
        if any(is_null for _, is_null in rows):
            return None
        numbers = [n for n, _ in rows]
        batches = (numbers[i : i + BATCH] for i in range(0, len(numbers), BATCH))
        return [doc for batch in batches for _, doc in self.documents(connection, batch)]

    def documents(
        self, connection: sqlite3.Connection, numbers: Sequence[int]
    ) -> list[tuple[int, dict[str, Any]]]:
        """Return the documents of rows, in their order; removed ones are left out."""
        marks = ",".join("?" * len(numbers))
        sql = f"SELECT n, doc FROM {self.quoted} WHERE n IN ({marks})"
        texts = dict(connection.execute(sql, tuple(numbers)).fetchall())
        return [(n, decode_document(texts[n])) for n in numbers if n in texts]

    def find(
        self, connection: sqlite3.Connection, criteria: dict[str, Any], condition: Narrowed
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield number and document of every match, in order of insertion."""
        numbers = self.numbers(connection, condition)
        for start in range(0, len(numbers), BATCH):
            for n, document in self.documents(connection, numbers[start : start + BATCH]):
                if condition.exact or matches(criteria, document):
                    yield n, document

    # -------------------------------------------------------------- writing

    def insert(
        self, connection: sqlite3.Connection, document: dict[str, Any], *, or_ignore: bool = False
    ) -> bool:
        """Insert a document with an ``_id``; False where one was there and is kept."""
        columns = self.columns(connection)
        values, others = columns.values_of(document)
        names = "".join(f"{name}, " for name in columns.quoted.values())
        marks = "?, " * len(values)
        conflict = " ON CONFLICT (id) DO NOTHING" if or_ignore else ""
        cursor = connection.execute(
            f"INSERT INTO {self.quoted} (id, {names}doc) VALUES (?, {marks}?){conflict}",
            (_id_value(document), *values, encode_document(document)),
        )
        self._check_states(connection, columns, others)
        return cursor.rowcount == 1

    def replace(self, connection: sqlite3.Connection, n: int, document: dict[str, Any]) -> None:
        """Replace the document of a row; its ``_id`` stays."""
        columns = self.columns(connection)
        values, others = columns.values_of(document)
        names = list(columns.quoted.values())
        sql = f"SELECT {', '.join(names) or 'n'} FROM {self.quoted} WHERE n = ?"
        old = connection.execute(sql, (n,)).fetchone()
        # SQLite rewrites the index of every column it is given, changed or not
        changed = [i for i in range(len(names)) if old[i] != values[i]]
        sets = "".join(f"{names[i]} = ?, " for i in changed)
        connection.execute(
            f"UPDATE {self.quoted} SET {sets}doc = ? WHERE n = ?",
            (*(values[i] for i in changed), encode_document(document), n),
        )
        self._check_states(connection, columns, others)

    def _check_states(
        self, connection: sqlite3.Connection, columns: Columns, others: Mapping[str, int]
    ) -> None:
        """Note the fields that hold something new."""
        fresh = {
            field: state
            for field, state in others.items()
            if field in columns.scalar or (field in columns.lists and state == MIXED)
        }
        if fresh:
            self._set_states(connection, fresh)

    def remove(self, connection: sqlite3.Connection, numbers: Sequence[int]) -> None:
        """Remove rows."""
        sql = f"DELETE FROM {self.quoted} WHERE n = ?"
        connection.executemany(sql, [(n,) for n in numbers])

    def remove_where(self, connection: sqlite3.Connection, condition: Narrowed) -> int:
        """Remove the rows that meet an exact condition and return their number."""
        sql = f"DELETE FROM {self.quoted} WHERE {condition.sql}"
        return connection.execute(sql, condition.parameters).rowcount


def _direction(direction: int) -> str:
    return "DESC" if direction < 0 else "ASC"


def _id_value(document: Mapping[str, Any]) -> SQLValue:
    value = column_value(document["_id"])
    if value is None or value is NOT_SCALAR:
        raise SerializationError(
            f"_id is {document['_id']!r}", hint="It must be text, a number, or an object id"
        )
    scalar: SQLValue = value
    return scalar


def new_id() -> ObjectId:
    """Return a new ``_id`` for a document that brings none."""
    return ObjectId()


def _column_name(field: str) -> str:
    """Return the column of a field: its own name, made distinct where SQL ignores the case."""
    plain = re.fullmatch(r"[a-z0-9_.]{1,60}", field) and field not in RESERVED
    if plain:
        return field
    readable = re.sub(r"[^a-z0-9_.]", "_", field.lower())[:40]
    return f"{readable}~{sha256(field.encode()).hexdigest()[:12]}"
