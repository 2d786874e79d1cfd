"""Leases, so that two processes never compute the same material at the same time.

A claim is one document, taken by an atomic insert or an atomic compare and swap. Its token grows
with every owner, so that a process that slept through its lease learns that it lost it. No host's
clock is trusted: on the owner's own host the monotonic clock of the boot decides, elsewhere a
lease has lapsed when it was *seen* unchanged for its whole length.

Beside claims, which live and die with a process, there are reservations for flows of jobs that
no process lives through. They do not lapse: who asks has to know whether the flow still goes on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from screening.errors import DatabaseError, SettingError
from stores.owner import Liveness, Owner
from stores.query import and_, by_field, in_values

__all__ = ["Claim", "ClaimStore", "Claims"]

DEFAULT_LEASE_SECONDS = 60.0
RENEWALS_PER_LEASE = 4
_KEYS_PER_QUERY = 500
_LOOK_SECONDS = 1.0
_RESERVED = "flow:"


class ClaimStore(Protocol):
    """What claims need of a collection whose key is ``key``."""

    def query_one(self, criteria: dict[str, Any]) -> dict[str, Any] | None:
        """Return the first document that meets the criteria."""

    def query(self, criteria: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Return the documents that meet the criteria."""

    def insert_new(self, document: dict[str, Any]) -> bool:
        """Insert a document unless its key is there, atomically."""

    def replace_if(self, key: Any, expected: Mapping[str, Any], document: dict[str, Any]) -> bool:
        """Replace a document that holds the expected values, atomically."""

    def remove_docs(self, criteria: dict[str, Any]) -> int:
        """Remove documents."""


@dataclass(frozen=True)
class _Lease:
    """A held claim as it is stored."""

    owner: Owner
    token: int
    beat: int
    lease_seconds: float
    expires_s: float

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self | None:
        """Return the lease of a stored claim, None where it was released."""
        if document.get("owner") is None:
            return None
        return cls(
            Owner.from_document(document["owner"]),
            document["attempts"],
            document["beat"],
            document["lease_seconds"],
            document["expires_s"],
        )

    def document(self, key: str) -> dict[str, Any]:
        """Return what is stored for a key."""
        return {
            "key": key,
            "attempts": self.token,
            "owner": self.owner.as_document(),
            "beat": self.beat,
            "lease_seconds": self.lease_seconds,
            "expires_s": self.expires_s,
        }


class Claim:
    """The right to compute one key, held by this process until it lapses or is released.

    Leaving it as a context manager releases it.

    Attributes
    ----------
    key
        What is claimed.
    token
        Number of this acquisition of the key; grows by one each time.
    attempts
        The same number, read as how often the key was tried.
    """

    def __init__(self, store: ClaimStore, key: str, lease: _Lease) -> None:
        self.key = key
        self.token = self.attempts = lease.token
        self._store = store
        self._lease = lease
        self._lock = threading.Lock()

    def _expected(self) -> dict[str, Any]:
        return {"attempts": self.token, "owner.start_time": self._lease.owner.start_time}

    def renew(self) -> bool:
        """Extend the lease by its full length from now.

        Returns
        -------
        bool
            False if somebody else took the claim; nothing is changed then.
        """
        with self._lock:
            lease = _Lease(
                self._lease.owner,
                self.token,
                self._lease.beat + 1,
                self._lease.lease_seconds,
                time.monotonic() + self._lease.lease_seconds,
            )
            renewed = self._store.replace_if(self.key, self._expected(), lease.document(self.key))
            if renewed:
                self._lease = lease
            return renewed

    def still_mine(self) -> bool:
        """Whether nobody took the claim meanwhile; ask before writing a result."""
        document = self._store.query_one(by_field("key", self.key))
        lease = None if document is None else _Lease.of(document)
        return lease is not None and (lease.token, lease.owner) == (self.token, self._lease.owner)

    def release(self) -> bool:
        """Give the claim back; only the number of attempts stays.

        Returns
        -------
        bool
            False if it was not held any more.
        """
        free = {"key": self.key, "attempts": self.token}
        with self._lock:
            return self._store.replace_if(self.key, self._expected(), free)

    @contextmanager
    def kept(self) -> Iterator[Self]:
        """Renew the lease in a thread of its own for as long as the block runs."""
        done = threading.Event()
        pause = self._lease.lease_seconds / RENEWALS_PER_LEASE

        def keep() -> None:
            while not done.wait(pause):
                # a database that is away may come back before the lease lapses
                with suppress(DatabaseError):
                    if not self.renew():
                        return

        thread = threading.Thread(target=keep, name=f"claim {self.key}", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            done.set()
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


class Claims:
    """Claims of a database.

    Parameters
    ----------
    store
        Collection with a unique index on ``key``.

    Examples
    --------
    >>> from stores.connect import open_database
    >>> with open_database("memory://") as database:
    ...     first = database.claims.acquire("ps-0123456789abcdef")
    ...     second = database.claims.acquire("ps-0123456789abcdef")
    >>> first.attempts, second
    (1, None)
    """

    def __init__(self, store: ClaimStore) -> None:
        self._store = store
        self._seen: dict[str, tuple[tuple[int, int], float]] = {}

    def acquire(self, key: str, *, lease_seconds: float = DEFAULT_LEASE_SECONDS) -> Claim | None:
        """Claim a key.

        Parameters
        ----------
        key
            What is to be computed.
        lease_seconds
            How long the claim holds without a renewal.

        Returns
        -------
        Claim or None
            None if somebody alive holds it. A dead process of this host loses it at once, a
            silent one when its lease lapses; the lease of another host has lapsed after this
            object has seen no renewal for its whole length.
        """
        if not lease_seconds > 0:
            raise SettingError(f"a lease of {lease_seconds} s", subject="lease_seconds")
        fresh = self._lease(1, lease_seconds)
        if self._store.insert_new(fresh.document(key)):
            return Claim(self._store, key, fresh)
        document = self._store.query_one(by_field("key", key))
        if document is None:
            return None
        held = _Lease.of(document)
        if held is not None and not self._has_lapsed(key, held):
            return None
        next_lease = self._lease(document["attempts"] + 1, lease_seconds)
        expected = {"attempts": document["attempts"], "beat": document.get("beat")}
        if not self._store.replace_if(key, expected, next_lease.document(key)):
            return None
        self._seen.pop(key, None)
        return Claim(self._store, key, next_lease)

    @staticmethod
    def _lease(token: int, lease_seconds: float) -> _Lease:
        expires = time.monotonic() + lease_seconds
        return _Lease(Owner.current(), token, 0, lease_seconds, expires)

    def _has_lapsed(self, key: str, held: _Lease) -> bool:
        if held.owner.liveness() is Liveness.DEAD:
            return True
        if held.owner.shares_clock():
            return time.monotonic() > held.expires_s
        mark = held.token, held.beat
        seen, since = self._seen.get(key, (None, 0.0))
        if seen != mark:
            self._seen[key] = mark, time.monotonic()
            return False
        return time.monotonic() - since > held.lease_seconds

    def held(self, keys: Iterable[str], *, patience_seconds: float = 0.0) -> set[str]:
        """Return the keys that somebody holds, without taking them.

        Parameters
        ----------
        keys
            What to look at.
        patience_seconds
            How long to watch leases of other hosts, of which one look cannot tell whether they
            are renewed; those that this time did not settle count as held.
        """
        wanted = list(keys)
        end = time.monotonic() + patience_seconds
        first: dict[str, int] = {}
        while True:
            leases = self._held_now(wanted)
            unsure = [
                key
                for key, lease in leases.items()
                if not lease.owner.shares_clock()
                and first.setdefault(key, lease.beat) == lease.beat
            ]
            if not unsure or time.monotonic() >= end:
                return set(leases)
            time.sleep(min(_LOOK_SECONDS, max(0.0, end - time.monotonic())))

    def _held_now(self, keys: Sequence[str]) -> dict[str, _Lease]:
        found = {}
        for start in range(0, len(keys), _KEYS_PER_QUERY):
            chunk = keys[start : start + _KEYS_PER_QUERY]
            for document in self._store.query(in_values("key", chunk)):
                lease = _Lease.of(document)
                if lease is not None and not self._has_lapsed(document["key"], lease):
                    found[document["key"]] = lease
        return found

    def attempts(self, key: str) -> int:
        """Return how often a key was acquired."""
        document = self._store.query_one(by_field("key", key))
        return 0 if document is None else int(document["attempts"])

    def forget(self, key: str) -> None:
        """Remove what is known of a key, its attempts included, unless somebody holds it."""
        self._store.remove_docs(and_(by_field("key", key), by_field("owner", None)))

    def reserve(self, key: str, holder: str) -> None:
        """Reserve a key for a flow, whoever had it; only for the holder of the claim of the key.

        Parameters
        ----------
        key
            What is to be computed.
        holder
            Identifier of the flow.
        """
        self._store.remove_docs(by_field("key", _RESERVED + key))
        self._store.insert_new({"key": _RESERVED + key, "attempts": 0, "holder": holder})

    def reservations(self, keys: Iterable[str]) -> dict[str, str]:
        """Return the flows that have reserved keys, by key; some may not go on any more."""
        names = [_RESERVED + key for key in keys]
        found = {}
        for start in range(0, len(names), _KEYS_PER_QUERY):
            chunk = in_values("key", names[start : start + _KEYS_PER_QUERY])
            for row in self._store.query(chunk):
                found[row["key"].removeprefix(_RESERVED)] = str(row["holder"])
        return found

    def withdraw(self, holder: str, key: str | None = None) -> None:
        """Remove a flow's reservation of a key, or all that it has."""
        criteria = by_field("holder", holder)
        if key is not None:
            criteria = and_(criteria, by_field("key", _RESERVED + key))
        self._store.remove_docs(criteria)
