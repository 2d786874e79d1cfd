"""Collections on a MongoDB server, with the manners of the SQLite store.

Added to maggma's store are the serialiser all databases share, atomic steps, and order in what
MongoDB leaves open.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import bson
from maggma.core import Sort
from maggma.stores import MongoStore
from pymongo import MongoClient, ReplaceOne, errors

from screening.errors import DatabaseUriError, QueryError, SerializationError
from stores.codec import clean_document
from stores.matching import checked_criteria
from stores.mongo_errors import DUPLICATE_KEY_CODE, mongo_border
from stores.passwords import mask_passwords
from stores.pipeline import run_pipeline, split_pipeline
from stores.query import Criteria
from stores.shape import Projection, grouped, order_key, sort_directions
from stores.sqlite_values import value_at

__all__ = ["CheckedStore", "ClientHold", "MongoDocumentStore", "close_client", "shared_client"]

Document = dict[str, Any]
Directions = Mapping[str, Sort | int] | None

LARGEST_DOCUMENT_BYTES = 16 * 1024 * 1024
"""Size above which MongoDB refuses a document."""

DEFAULT_DATABASE = "phonoscreen"
WAIT_MILLISECONDS = 10_000


class CheckedStore:
    """What is added to maggma's stores, on a server and in memory; comes before their class."""

    key: str
    validator: Any
    logger: Any
    _collection: Any
    _write_lock: threading.RLock | None = None

    if TYPE_CHECKING:

        @property
        def name(self) -> str: ...  # noqa: D102 - maggma's

    @contextmanager
    def _border(self) -> Iterator[None]:
        with mongo_border(self.name):
            yield

    @contextmanager
    def _writing(self) -> Iterator[Any]:
        with self._border():
            if self._write_lock is None:
                yield self._collection
            else:
                with self._write_lock:
                    yield self._collection

    def query(
        self,
        criteria: Criteria | None = None,
        properties: Projection = None,
        sort: Directions = None,
        skip: int = 0,
        limit: int = 0,
        hint: Any = None,
    ) -> Iterator[Document]:
        """Yield the documents that meet the criteria; see `SQLiteStore.query`."""
        wanted, order = checked_criteria(criteria), sort_directions(sort)
        if skip < 0 or limit < 0:
            raise QueryError("skip and limit are not negative")
        projection = _projection(properties)
        with self._border():
            yield from self._collection.find(
                wanted, projection, skip=skip, limit=limit, sort=order or None, hint=hint
            )

    def query_one(
        self,
        criteria: Criteria | None = None,
        properties: Projection = None,
        sort: Directions = None,
    ) -> Document | None:
        """Return the first document that meets the criteria, or None."""
        return next(self.query(criteria, properties, sort, limit=1), None)

    def count(self, criteria: Criteria | None = None, hint: Any = None) -> int:  # noqa: ARG002
        """Count the documents that meet the criteria."""
        with self._border():
            number: int = self._collection.count_documents(checked_criteria(criteria))
            return number

    def distinct(
        self,
        field: str,
        criteria: Criteria | None = None,
        all_exist: bool = False,  # noqa: ARG002 - maggma's signature
    ) -> list[Any]:
        """Return the distinct values of a field in MongoDB's order, arrays unwound."""
        with self._border():
            found = self._collection.distinct(field, checked_criteria(criteria))
        return sorted(found, key=order_key)

    def groupby(
        self,
        keys: list[str] | str,
        criteria: Criteria | None = None,
        properties: Projection = None,
        sort: Directions = None,
        skip: int = 0,
        limit: int = 0,
    ) -> Iterator[tuple[Document, list[Document]]]:
        """Yield the values of the keys and the documents that share them."""
        fields = [keys] if isinstance(keys, str) else list(keys)
        wanted = [*properties, *fields] if properties else None
        return grouped(self.query(criteria, wanted, sort, skip=skip, limit=limit), fields)

    def aggregate(self, pipeline: Sequence[Mapping[str, Any]]) -> list[Document]:
        """Run an aggregation pipeline; see `SQLiteStore.aggregate`."""
        criteria, stages = split_pipeline(pipeline)
        return run_pipeline(list(self.query(criteria)), stages)

    def has_index(self, key: str | Sequence[str], *, unique: bool = False) -> bool:
        """Whether a field, or several together, have an index."""
        fields = [key] if isinstance(key, str) else list(key)
        if fields == ["_id"]:
            return True
        with self._border():
            present = self._collection.index_information().values()
        wanted = [(field, 1) for field in fields]
        return any(
            list(index["key"]) == wanted and (index.get("unique", False) or not unique)
            for index in present
        )

    def ensure_index(self, key: str | Sequence[str], unique: bool = False) -> bool:
        """Index a field, or several together, where that is not done yet.

        Raises
        ------
        DuplicateKeyError
            If a unique index is asked for and two documents agree.
        """
        if self.has_index(key, unique=unique):
            return True
        fields = [(key, 1)] if isinstance(key, str) else [(field, 1) for field in key]
        with self._writing() as collection:
            collection.create_index(fields, unique=unique)
        return True

    def update(
        self, docs: Sequence[Document] | Document, key: Sequence[str] | str | None = None
    ) -> None:
        """Insert documents or replace those with the same key; see `SQLiteStore.update`.

        Each document is stored entirely or not at all; several are not one transaction here.
        """
        keys = [key] if isinstance(key, str) else list(key or [self.key])
        documents = [docs] if isinstance(docs, Mapping) else docs
        cleaned = [x for x in map(self._cleaned, documents) if self._is_valid(x)]
        requests = [ReplaceOne(self._identity(x, keys), x, upsert=True) for x in cleaned]
        if requests:
            with self._writing() as collection:
                _bulk_write(collection, requests)

    def _cleaned(self, document: Mapping[str, Any]) -> Document:
        cleaned = clean_document(document)
        try:
            size = len(bson.encode(cleaned))
        except (UnicodeError, bson.errors.BSONError) as error:
            raise SerializationError(f"cannot write the document: {error}") from None
        if size > LARGEST_DOCUMENT_BYTES:
            raise SerializationError(
                f"the document has {size} bytes, MongoDB takes {LARGEST_DOCUMENT_BYTES}",
                subject=self.name,
                hint="Put large arrays into blobs",
            )
        return cleaned

    def _identity(self, document: Document, keys: Sequence[str]) -> Criteria:
        values = {field: value_at(document, field.split(".")) for field in keys}
        missing = [field for field, value in values.items() if value is None]
        if missing:
            raise SerializationError(
                "the document has no value for its key", subject=f"{self.name}: {missing[0]}"
            )
        return values

    def _is_valid(self, document: Document) -> bool:
        """Ask maggma's validator, where there is one."""
        if self.validator is None or self.validator.is_valid(document):
            return True
        errors_found = self.validator.validation_errors(document)
        if getattr(self.validator, "strict", True):
            raise SerializationError(f"the document is not valid: {errors_found}")
        self.logger.error(errors_found)
        return False

    def insert_new(self, document: Document) -> bool:
        """Insert a document unless one with its key is there; see `SQLiteStore.insert_new`."""
        cleaned = self._cleaned(document)
        identity = self._identity(cleaned, [self.key])[self.key]
        if isinstance(identity, str):
            cleaned = {"_id": identity, **cleaned}
        with self._writing() as collection:
            if collection.find_one({self.key: identity}, ["_id"]) is not None:
                return False
            try:
                collection.insert_one(cleaned)
            except errors.DuplicateKeyError:
                return False
            return True

    def replace_if(self, key: Any, expected: Mapping[str, Any], document: Document) -> bool:
        """Replace the document if it holds the expected values; see `SQLiteStore.replace_if`."""
        cleaned = self._cleaned(document)
        cleaned.pop("_id", None)
        criteria = checked_criteria({self.key: key, **expected})
        with self._writing() as collection:
            return bool(collection.replace_one(criteria, cleaned).matched_count)

    def remove_docs(self, criteria: Criteria) -> int:
        """Remove the documents that meet the criteria and return their number."""
        with self._writing() as collection:
            return int(collection.delete_many(checked_criteria(criteria)).deleted_count)


def _bulk_write(collection: Any, requests: Sequence[ReplaceOne[Document]]) -> None:
    """Write, and repeat once what met a duplicate key.

    With two unique indexes (``_id`` and the key) the server does not repeat an upsert by itself:
    of two processes that bring the same new document, one is told of a duplicate. By then the
    other's document is there, and the repetition replaces it. A true conflict is raised again.
    """
    try:
        collection.bulk_write(requests, ordered=False)
    except errors.BulkWriteError as error:
        failed = error.details.get("writeErrors", [])
        if {item.get("code") for item in failed} != {DUPLICATE_KEY_CODE}:
            raise
        repeated = [requests[item["index"]] for item in failed]
        collection.bulk_write(repeated, ordered=False)


def _projection(properties: Projection) -> dict[str, Any] | None:
    if not properties:
        return None
    if not isinstance(properties, Mapping):
        return dict.fromkeys(properties, 1)
    kinds = {bool(wanted) for field, wanted in properties.items() if field != "_id"}
    if any(x not in (0, 1) for x in properties.values()) or len(kinds) > 1:
        raise QueryError("a projection either includes or excludes, only _id may differ")
    return dict(properties)


_clients: dict[tuple[int, str], Any] = {}
_users: Counter[tuple[int, str]] = Counter()
_clients_lock = threading.Lock()


def shared_client(uri: str, make: Callable[[], Any]) -> Any:
    """Return this process's client of a URI; all stores of a process share one."""
    with _clients_lock:
        found = _clients.get((os.getpid(), uri))
        if found is None:
            found = _clients[os.getpid(), uri] = make()
        return found


class ClientHold:
    """One user of this process's client of a URI: the client closes with its last user.

    Parameters
    ----------
    uri
        As given to `shared_client`, which is called after this.
    """

    def __init__(self, uri: str) -> None:
        self._key = os.getpid(), uri
        self._is_held = True
        with _clients_lock:
            _users[self._key] += 1

    def release(self) -> None:
        """Stop using the client; a second time, or in a forked child, this does nothing."""
        client = None
        with _clients_lock:
            # a child has copies of its parent's connections, which it must not end
            if not self._is_held or self._key[0] != os.getpid():
                return
            self._is_held = False
            _users[self._key] -= 1
            if not _users[self._key]:
                del _users[self._key]
                client = _clients.pop(self._key, None)
        if client is not None:
            client.close()


def close_client(uri: str) -> None:
    """Close this process's client of a URI, whoever uses it."""
    with _clients_lock:
        client = _clients.pop((os.getpid(), uri), None)
    if client is not None:
        client.close()


class MongoDocumentStore(CheckedStore, MongoStore):  # type: ignore[misc]  # narrower on purpose
    """A collection on a MongoDB server.

    Parameters
    ----------
    uri
        ``mongodb://`` or ``mongodb+srv://`` with user and password where needed.
    collection_name
        Name of the collection.
    database
        Name of the database.
    key
        Field that identifies a document.
    **kwargs
        As for maggma's Store.
    """

    def __init__(
        self,
        uri: str,
        collection_name: str,
        database: str = DEFAULT_DATABASE,
        key: str = "material_id",
        **kwargs: Any,
    ) -> None:
        super().__init__(database, collection_name, uri=uri, key=key, **kwargs)
        self.kwargs = kwargs  # without the key, which a job store may change
        self._hold: ClientHold | None = None

    @property
    def name(self) -> str:
        """Where the documents are, without the password."""
        return f"{mask_passwords(self.uri or '')}#{self.database}.{self.collection_name}"

    def connect(self, force_reset: bool = False) -> None:
        """Choose the collection; a server that cannot be reached shows at the first use."""
        if self._coll is None or force_reset:
            self.close()
            self._hold = ClientHold(self.uri or "")
            try:
                with self._border():
                    client = shared_client(self.uri or "", self._client)
                    self._coll = client[self.database][self.collection_name]
            except BaseException:
                self.close()
                raise

    def _client(self) -> Any:
        options = dict(self.mongoclient_kwargs)
        if "serverselectiontimeoutms" not in (self.uri or "").lower():
            options.setdefault("serverSelectionTimeoutMS", WAIT_MILLISECONDS)
        try:
            return MongoClient(self.uri, **options)
        except (ValueError, OSError) as error:
            raise DatabaseUriError(mask_passwords(str(error)), subject=self.name) from None

    def close(self) -> None:
        """Let go of the collection; the last store of a server closes the connections to it."""
        self._coll = None
        if self._hold is not None:
            self._hold.release()
            self._hold = None

    def __hash__(self) -> int:
        return hash(self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MongoDocumentStore) and other.name == self.name
