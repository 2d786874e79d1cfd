"""Open any database from one URI, with its collections and the indexes they need.

sqlite:///screening.db           a file in the current folder, no server needed
sqlite:////data/screening.db     a file by its absolute path
mongodb://user:password@host/db  a MongoDB server; the database is "phonoscreen" by default
mongodb+srv://...                the same, found through DNS
memory://name                    in this process only, for tests; kept until the process ends
memory://                        the same without a name, kept until its last user closes it
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from screening.errors import (
    DatabaseUnavailableError,
    DatabaseUriError,
    DuplicateKeyError,
    IndexMissingError,
)
from stores.passwords import mask_passwords

if TYPE_CHECKING:
    from stores.blobs import BlobStore
    from stores.claims import Claims
    from stores.memory import MemoryDocumentStore
    from stores.mongo import MongoDocumentStore
    from stores.sqlite import SQLiteStore

    DocumentStore = SQLiteStore | MongoDocumentStore | MemoryDocumentStore

__all__ = ["DEFAULT_URI", "Database", "Declaration", "declarations", "open_database"]

DEFAULT_URI = "sqlite:///phonoscreen.db"
SCHEMES = ("sqlite", "mongodb", "mongodb+srv", "memory")
FILE_ENDINGS = (".db", ".sqlite", ".sqlite3")
BLOB_COLLECTION = "blobs"


@dataclass(frozen=True)
class Declaration:
    """What a collection is identified and searched by.

    Attributes
    ----------
    key
        Field whose values are unique; ``_id`` equals it.
    indexes
        Further fields with an index.
    unique
        Whether the key alone is unique.
    """

    key: str
    indexes: tuple[str, ...] = ()
    unique: bool = True


def declarations() -> dict[str, Declaration]:
    """Return the declaration of every collection of the platform: the one table of indexes.

    Those of documents come from the documents themselves.
    """
    from stores import documents

    kinds: dict[str, type[documents.Document]] = {
        "structures": documents.StructureDocument,
        "predictions": documents.PredictionDocument,
        "phonons": documents.PhononDocument,
        "decisions": documents.DecisionDocument,
        "vibrational": documents.VibrationalDocument,
        "polymorphs": documents.PolymorphsDocument,
        "hulls": documents.HullDocument,
        "models": documents.ModelDocument,
        "failures": documents.FailureDocument,
        "launches": documents.LaunchDocument,
        "forces": documents.ForceDocument,
        "labelled_cells": documents.LabelledCellsDocument,
    }
    declared = {
        name: Declaration(kind.KEY, tuple(kind.INDEXED_FIELDS)) for name, kind in kinds.items()
    }
    return {**declared, "claims": Declaration("key")}


class Database:
    """The collections of one database, connected and with their indexes.

    Made by `open_database`; a context manager that closes what it opened.

    Attributes
    ----------
    uri
        Where the database is, without passwords.
    """

    def __init__(
        self,
        uri: str,
        make_store: Callable[[str, Declaration], DocumentStore],
        declared: Mapping[str, Declaration],
        release: Callable[[], None],
    ) -> None:
        self.uri = mask_passwords(uri)
        self._make_store = make_store
        self._declared = dict(declared)
        self._stores: dict[str, DocumentStore] = {}
        self._release = release

    @property
    def structures(self) -> DocumentStore:
        """Canonical structures by ``material_id``."""
        return self.collection("structures")

    @property
    def predictions(self) -> DocumentStore:
        """Predictions by ``prediction_id``, each by one method."""
        return self.collection("predictions")

    @property
    def phonons(self) -> DocumentStore:
        """What belongs to predictions that have arrays, by ``prediction_id``."""
        return self.collection("phonons")

    @property
    def decisions(self) -> DocumentStore:
        """Decisions to accept or to escalate, by ``decision_id``."""
        return self.collection("decisions")

    @property
    def vibrational(self) -> DocumentStore:
        """Best-available summaries by ``material_id``."""
        return self.collection("vibrational")

    @property
    def polymorphs(self) -> DocumentStore:
        """Rankings by ``composition_key``."""
        return self.collection("polymorphs")

    @property
    def hulls(self) -> DocumentStore:
        """Free-energy hulls by ``chemsys``."""
        return self.collection("hulls")

    @property
    def models(self) -> DocumentStore:
        """Models by ``model_id``."""
        return self.collection("models")

    @property
    def failures(self) -> DocumentStore:
        """Failures by ``failure_id``."""
        return self.collection("failures")

    @property
    def forces(self) -> DocumentStore:
        """Expensive force calls by ``force_id``."""
        return self.collection("forces")

    @property
    def labelled_cells(self) -> DocumentStore:
        """Cells with forces to train potentials on, by ``labelled_cells_id``."""
        return self.collection("labelled_cells")

    @property
    def launches(self) -> DocumentStore:
        """What was handed to workflow engines, by ``launch_id``."""
        return self.collection("launches")

    @cached_property
    def blobs(self) -> BlobStore:
        """Arrays by the SHA-256 of their content."""
        from stores.blob_backends import blob_backend
        from stores.blobs import BlobStore

        return BlobStore(blob_backend(self._make_store(BLOB_COLLECTION, Declaration("_id"))))

    @cached_property
    def claims(self) -> Claims:
        """Leases on materials that are being computed."""
        from stores.claims import Claims

        return Claims(self.collection("claims"))

    def collection(self, name: str) -> DocumentStore:
        """Return a declared collection, connected and with a unique index on its key.

        Raises
        ------
        NotFoundError
            If it is not declared; see `store` for collections of one's own.
        """
        if name not in self._declared:
            from screening.errors import NotFoundError

            raise NotFoundError(
                f"no collection is called {name!r}", hint=f"Known: {', '.join(self._declared)}"
            )
        return self.store(name, self._declared[name].key, self._declared[name].indexes)

    def store(
        self, name: str, key: str = "_id", indexes: Sequence[str] = (), *, unique: bool = True
    ) -> DocumentStore:
        """Return a collection of any name, connected.

        Parameters
        ----------
        name
            Name of the collection.
        key
            Field that identifies its documents.
        indexes
            Further fields with an index.
        unique
            Whether the key alone is unique; not so for job outputs, which are identified by
            ``uuid`` and ``index`` together.

        Raises
        ------
        IndexMissingError
            If the unique index on the key is not there and cannot be made.
        """
        if name not in self._stores:
            store = self._make_store(name, Declaration(key, tuple(indexes), unique))
            try:
                _connect(store, key, indexes, unique=unique)
            except BaseException:
                store.close()
                raise
            self._stores[name] = store
        return self._stores[name]

    def close(self) -> None:
        """Close all collections; closing twice does nothing."""
        for store in self._stores.values():
            store.close()
        self._stores.clear()
        if "blobs" in self.__dict__:
            self.blobs.close()
            del self.__dict__["blobs"]
        self.__dict__.pop("claims", None)
        self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _connect(store: DocumentStore, key: str, indexes: Sequence[str], *, unique: bool) -> None:
    """Connect a store and make sure of its indexes."""
    try:
        store.connect()
        present = store.ensure_index(key, unique=unique)
    except DuplicateKeyError as error:
        raise IndexMissingError(
            f"no unique index on {key}: {error.message}",
            subject=store.name,
            hint="Two documents share a key; remove one of them and open the database again",
        ) from error
    # while another process makes the database, a reader may find a collection before its index
    if not present and store.count():
        raise IndexMissingError(
            f"no unique index on {key}",
            subject=store.name,
            hint="Open the database once for writing, which makes the indexes",
        )
    for field in indexes:
        store.ensure_index(field)


def open_database(uri: str = DEFAULT_URI, *, read_only: bool = False) -> Database:
    """Open a database and make sure of its unique indexes.

    Parameters
    ----------
    uri
        See the top of this module.
    read_only
        Refuse to write and to create, for SQLite files; collections that are not there yet are
        empty. On a server the user's rights decide, and memory can always be written.

    Raises
    ------
    DatabaseUriError
        If the URI names no known kind of database.
    DatabaseUnavailableError, CorruptDataError, SchemaTooNewError
        If the database cannot be used.
    IndexMissingError
        If a unique index is missing and cannot be made.

    Examples
    --------
    >>> with open_database("memory://") as database:
    ...     database.models.update({"model_id": "chgnet@0.3.0"})
    ...     database.models.count()
    1
    """
    database = _unopened(uri, read_only=read_only)
    try:
        for name in declarations():
            database.collection(name)
        if not read_only:
            database.blobs  # noqa: B018 - makes its table
    except BaseException:
        database.close()
        raise
    return database


def _unopened(uri: str, *, read_only: bool) -> Database:
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme.lower() not in SCHEMES:
        raise DatabaseUriError(
            f"{mask_passwords(uri)!r} names no database", subject="uri", hint=_uri_hint(uri)
        )
    if scheme.lower() == "sqlite":
        return _sqlite_database(uri, rest, read_only=read_only)
    if scheme.lower() == "memory":
        return _memory_database(uri, rest.strip("/"))
    return _mongo_database(uri)


def _uri_hint(uri: str) -> str:
    if uri.endswith(FILE_ENDINGS) and "://" not in uri:
        return f"For a file write sqlite:///{uri}"
    return "Use sqlite:///file.db, mongodb://host/database or memory://"


def _sqlite_database(uri: str, rest: str, *, read_only: bool) -> Database:
    from stores.sqlite import SQLiteStore
    from stores.sqlite_read_only import ReadOnlySQLiteStore

    if not rest.startswith("/") or not rest.strip("/") or rest.endswith("/"):
        raise DatabaseUriError(
            f"{uri!r} names no file",
            subject="uri",
            hint="Write sqlite:///relative.db or sqlite:////absolute/path.db",
        )
    path = Path(rest[1:]).expanduser().absolute()
    if read_only and not path.exists():
        raise DatabaseUnavailableError(
            "there is no such database file",
            subject=str(path),
            hint="`phonoscreen screen` makes one; or check the URI: sqlite:///file.db is in the"
            " current folder, sqlite:////folder/file.db has an absolute path",
        )
    kind = ReadOnlySQLiteStore if read_only else SQLiteStore

    def make_store(name: str, declared: Declaration) -> SQLiteStore:
        unique = [declared.key] if declared.unique else []
        return kind(path, name, declared.key, declared.indexes, unique, read_only=read_only)

    return Database(uri, make_store, declarations(), lambda: None)


def _memory_database(uri: str, name: str) -> Database:
    from stores.memory import MemoryDocumentStore, hold_space

    def make_store(collection: str, declared: Declaration) -> MemoryDocumentStore:
        return MemoryDocumentStore(collection, name, declared.key)

    # who names a space opens it again later; without a name it goes with its last user
    release = (lambda: None) if name else hold_space(name)
    return Database(uri, make_store, declarations(), release)


def _mongo_database(uri: str) -> Database:
    from stores.mongo import DEFAULT_DATABASE, MongoDocumentStore

    try:
        name = urlsplit(uri).path.strip("/") or DEFAULT_DATABASE
    except ValueError as error:
        raise DatabaseUriError(f"{mask_passwords(uri)!r} is no URI", subject="uri") from error

    def make_store(collection: str, declared: Declaration) -> MongoDocumentStore:
        return MongoDocumentStore(uri, collection, name, declared.key)

    return Database(uri, make_store, declarations(), lambda: None)
