"""Collections in the memory of one process, for tests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any

import mongomock_ng
from maggma.stores import MemoryStore

from screening.errors import DatabaseUnavailableError, QueryError
from stores.matching import checked_criteria, matches
from stores.mongo import (
    DEFAULT_DATABASE,
    CheckedStore,
    ClientHold,
    Directions,
    Document,
    close_client,
    shared_client,
)
from stores.query import Criteria
from stores.shape import Projection, distinct_values, projected, sort_directions, sort_key

__all__ = ["MemoryDocumentStore", "forget_space", "hold_space"]


def hold_space(space: str) -> Callable[[], None]:
    """Become a user of a space; what is returned ends that, the last time with the documents."""
    return ClientHold(f"memory://{space}").release


def forget_space(space: str) -> None:
    """Drop the documents of a space."""
    close_client(f"memory://{space}")


class MemoryDocumentStore(CheckedStore, MemoryStore):  # type: ignore[misc]  # narrower on purpose
    """A collection in the memory of this process, for tests: small, and gone with the process.

    Parameters
    ----------
    collection_name
        Name of the collection.
    space
        Name of what plays the server: stores with the same space share their documents, also
        after pickling, and keep them when they are closed.
    key
        Field that identifies a document.
    **kwargs
        As for maggma's Store.
    """

    _write_lock = threading.RLock()

    def __init__(
        self, collection_name: str, space: str = "", key: str = "material_id", **kwargs: Any
    ) -> None:
        super().__init__(collection_name, key=key, **kwargs)
        self.kwargs = kwargs
        self.space = space

    @property
    def name(self) -> str:
        """Where the documents are."""
        return f"memory://{self.space}#{self.collection_name}"

    def connect(self, force_reset: bool = False) -> None:
        """Choose the collection."""
        if self._coll is None or force_reset:
            client = shared_client(f"memory://{self.space}", mongomock_ng.MongoClient)
            self._coll = client[DEFAULT_DATABASE][self.collection_name]

    @property
    def _collection(self) -> Any:
        if self._coll is None:
            raise DatabaseUnavailableError("connect the store before using it", subject=self.name)
        return self._coll

    def query(  # type: ignore[override]  # the order of maggma's Store, not of its MongoStore
        self,
        criteria: Criteria | None = None,
        properties: Projection = None,
        sort: Directions = None,
        skip: int = 0,
        limit: int = 0,
        hint: Any = None,  # noqa: ARG002 - there is nothing to plan
    ) -> Iterator[Document]:
        """Yield the documents that meet the criteria; see `SQLiteStore.query`."""
        wanted, order = checked_criteria(criteria), sort_directions(sort)
        if skip < 0 or limit < 0:
            raise QueryError("skip and limit are not negative")
        with self._border():
            found = [x for x in self._collection.find() if matches(wanted, x)]
        for field, direction in reversed(order):
            key = partial(sort_key, field=field, direction=direction)
            found.sort(key=key, reverse=direction < 0)
        for document in islice(found, skip, skip + limit if limit else None):
            yield projected(document, properties)

    def count(self, criteria: Criteria | None = None, hint: Any = None) -> int:  # noqa: ARG002
        """Count the documents that meet the criteria."""
        return sum(1 for _ in self.query(criteria))

    def distinct(
        self,
        field: str,
        criteria: Criteria | None = None,
        all_exist: bool = False,  # noqa: ARG002 - maggma's signature
    ) -> list[Any]:
        """Return the distinct values of a field in MongoDB's order, arrays unwound."""
        return distinct_values(self.query(criteria), field)

    def remove_docs(self, criteria: Criteria) -> int:
        """Remove the documents that meet the criteria and return their number."""
        with self._writing() as collection:
            found = [document["_id"] for document in self.query(criteria)]
            for identity in found:
                collection.delete_one({"_id": identity})
            return len(found)

    def close(self) -> None:
        """Let go of the collection; the documents stay."""
        self._coll = None

    def __hash__(self) -> int:
        return hash(self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MemoryDocumentStore) and other.name == self.name
