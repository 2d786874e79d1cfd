"""A maggma Store in one SQLite file: no server, many threads and processes.

A query means the same here as on MongoDB: mongomock-ng's filter decides, SQL only finds the
candidates through the columns of declared fields (`stores.sqlite_query`). Where SQL can decide
alone it also sorts, skips, limits and counts.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from screening.errors import DuplicateKeyError, SerializationError
from stores.codec import clean_document
from stores.matching import checked_criteria
from stores.query import Criteria, by_field
from stores.sqlite_connection import SQLiteConnection
from stores.sqlite_reading import Document, ReadingStore
from stores.sqlite_table import Table, new_id
from stores.sqlite_values import value_at

__all__ = ["SQLiteStore"]


class SQLiteStore(ReadingStore):
    """A collection of JSON documents in an SQLite file.

    Parameters
    ----------
    path
        File of the database, created where it is missing; stored as an absolute path because
        workflow managers change the folder.
    collection_name
        Name of the collection; several share one file.
    key
        Field that identifies a document. Always indexed.
    indexes
        Further fields with an index. A field with dots is a path into sub-documents.
    unique
        Fields whose values must differ between documents (those without the field may repeat).
    read_only
        Refuse to write.
    **kwargs
        ``last_updated_field``, ``last_updated_type`` and ``validator`` of maggma's Store.

    Notes
    -----
    ``_id`` is the document's own; where it brings none, the text in the key it is updated by;
    else a new object id. An index also serves a field of lists of text (does it contain ...?); on a
    field that turns out to hold other arrays or sub-documents it is kept but no longer used, so
    that results stay complete.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> folder = TemporaryDirectory()
    >>> store = SQLiteStore(f"{folder.name}/a.db", "crystals", indexes=["n_atoms"])
    >>> store.connect()
    >>> store.update([{"material_id": "a", "n_atoms": 2}, {"material_id": "b", "n_atoms": 8}])
    >>> store.query_one({"n_atoms": {"$lt": 5}}, ["n_atoms"])
    {'_id': 'a', 'n_atoms': 2}
    >>> store.close()
    >>> folder.cleanup()
    """

    def __init__(
        self,
        path: str | Path,
        collection_name: str = "documents",
        key: str = "material_id",
        indexes: Sequence[str] = (),
        unique: Sequence[str] = (),
        read_only: bool = False,
        **kwargs: Any,
    ) -> None:
        self.path = str(Path(path).expanduser().absolute())
        self.collection_name = collection_name
        self.indexes = list(indexes)
        self.unique = list(unique)
        self.read_only = read_only
        self.kwargs = kwargs
        self._table = Table(collection_name)
        self._connection = SQLiteConnection(self.path, read_only=read_only)
        self._is_connected = False
        super().__init__(key=key, **kwargs)

    # -------------------------------------------------------------- connection

    @property
    def name(self) -> str:
        """Where the documents are."""
        return f"sqlite:///{self.path}#{self.collection_name}"

    @property
    def _collection(self) -> SQLiteStore:
        """Maggma's handle of what holds the documents."""
        return self

    def connect(self, force_reset: bool = False) -> None:
        """Open the file and create table and indexes where they are missing.

        Raises
        ------
        DatabaseUnavailableError, CorruptDataError, DuplicateKeyError
            If the file cannot be used, or two documents share a unique value.
        """
        if force_reset:
            self.close()
        if self._is_connected and self._connection.is_open:
            return
        self._connection.open()
        self._create()
        self._is_connected = True

    def _create(self) -> None:
        wanted = {field: field in self.unique for field in [self.key, *self.indexes, *self.unique]}
        with self._connection.reading() as connection:
            exists = self._table.exists(connection)
        if not exists and not self.read_only:
            with self._connection.writing() as connection:
                self._table.create(connection, [field for field in wanted if field != "_id"])
        if exists or not self.read_only:
            for field, unique in wanted.items():
                self.ensure_index(field, unique=unique)

    def close(self) -> None:
        """Close the file; the store can be connected again."""
        self._connection.close()
        self._table.forget()
        self._is_connected = False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SQLiteStore) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    # -------------------------------------------------------------- indexes

    def ensure_index(self, key: str | Sequence[str], unique: bool = False) -> bool:
        """Index a field, or several together, where that is not done yet.

        Returns
        -------
        bool
            Whether the index is there; False only for a store that may not write.

        Raises
        ------
        DuplicateKeyError
            If a unique index is asked for and two documents agree.
        """
        fields = [key] if isinstance(key, str) else list(key)
        with self._connection.reading() as connection:
            if self._table.has_index(connection, fields, unique=unique):
                return True
        if self.read_only:
            return False
        with self._writing() as connection:
            self._table.create_index(connection, fields, unique=unique)
        return True

    def has_index(self, key: str | Sequence[str], *, unique: bool = False) -> bool:
        """Whether a field, or several together, have an index."""
        fields = [key] if isinstance(key, str) else list(key)
        with self._connection.reading() as connection:
            return self._table.has_index(connection, fields, unique=unique)

    # -------------------------------------------------------------- writing

    def update(
        self, docs: Sequence[Document] | Document, key: Sequence[str] | str | None = None
    ) -> None:
        """Insert documents or replace those with the same key, all of them or none.

        Parameters
        ----------
        docs
            One document or several.
        key
            Field, or fields together, that identify a document; the store's key by default.

        Raises
        ------
        SerializationError
            If a value cannot be stored (see `stores.codec.clean_document`) or a key is missing.
        DuplicateKeyError
            If a unique index would be broken, or the ``_id`` of a document would change.
        DiskFullError, DatabaseUnavailableError
            If the file cannot be written.
        """
        keys = [key] if isinstance(key, str) else list(key or [self.key])
        documents = [docs] if isinstance(docs, Mapping) else docs
        cleaned = [x for x in map(clean_document, documents) if self._is_valid(x)]
        with self._writing() as connection:
            for document in cleaned:
                self._upsert(connection, document, keys)

    def _is_valid(self, document: Document) -> bool:
        """Ask maggma's validator, where there is one."""
        if self.validator is None or self.validator.is_valid(document):
            return True
        errors = self.validator.validation_errors(document)
        if getattr(self.validator, "strict", True):
            raise SerializationError(f"the document is not valid: {errors}", subject=self.name)
        self.logger.error(errors)
        return False

    def _upsert(
        self, connection: sqlite3.Connection, document: Document, keys: Sequence[str]
    ) -> None:
        criteria = {}
        for field in keys:
            criteria[field] = value_at(document, field.split("."))
            if criteria[field] is None:
                raise SerializationError(
                    "the document has no value for its key", subject=f"{self.name}: {field}"
                )
        found = self._first(connection, criteria)
        if found is None:
            text = criteria[keys[0]]
            identity = text if len(keys) == 1 and isinstance(text, str) else new_id()
            self._table.insert(connection, {"_id": identity, **document})
            return
        n, old = found
        if document.get("_id", old) != old:
            raise DuplicateKeyError(
                f"the document with {criteria} has the _id {old!r}", subject=self.name
            )
        self._table.replace(connection, n, {"_id": old, **document})

    def _first(self, connection: sqlite3.Connection, criteria: Criteria) -> tuple[int, Any] | None:
        """Return number and ``_id`` of the first match."""
        condition = self._table.columns(connection).narrow(criteria)
        if condition.exact:
            return self._table.first(connection, condition)
        wanted = checked_criteria(criteria)
        found = next(self._table.find(connection, wanted, condition), None)
        return found and (found[0], found[1]["_id"])

    def insert_new(self, document: Document) -> bool:
        """Insert a document unless one with its key is there, as one atomic step.

        Returns
        -------
        bool
            Whether this call inserted it.
        """
        cleaned = clean_document(document)
        if cleaned.get(self.key) is None:
            raise SerializationError("the document has no value for its key", subject=self.key)
        with self._writing() as connection:
            if self._first(connection, by_field(self.key, cleaned[self.key])) is not None:
                return False
            identity = cleaned[self.key] if isinstance(cleaned[self.key], str) else new_id()
            return self._table.insert(connection, {"_id": identity, **cleaned}, or_ignore=True)

    def replace_if(self, key: Any, expected: Mapping[str, Any], document: Document) -> bool:
        """Replace the document with a key if it holds the expected values, as one atomic step.

        Parameters
        ----------
        key
            Value of the store's key.
        expected
            Fields and the values they must have; None also means that the field is missing.
        document
            The whole new document; its ``_id`` is that of the old one.

        Returns
        -------
        bool
            Whether this call replaced it.
        """
        cleaned = clean_document(document)
        criteria = checked_criteria({self.key: key, **expected})
        with self._writing() as connection:
            found = self._first(connection, criteria)
            if found is None:
                return False
            self._table.replace(connection, found[0], {**cleaned, "_id": found[1]})
            return True

    def remove_docs(self, criteria: Criteria) -> int:
        """Remove the documents that meet the criteria; empty criteria remove all.

        Returns
        -------
        int
            How many were removed.
        """
        wanted = checked_criteria(criteria)
        with self._writing() as connection:
            condition = self._table.columns(connection).narrow(wanted)
            if condition.exact:
                return self._table.remove_where(connection, condition)
            numbers = [n for n, _ in self._table.find(connection, wanted, condition)]
            self._table.remove(connection, numbers)
            return len(numbers)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._connection.writing() as connection:
                yield connection
        except BaseException:
            self._table.forget()
            raise
