"""Where packed arrays are kept: in a table of the SQLite file, or in a collection."""
# ruff: noqa: S608 - the table's name is a constant, values are always bound

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from stores.query import and_, by_field, compare, in_values, not_in
from stores.sqlite_connection import SQLiteConnection

if TYPE_CHECKING:
    import sqlite3

    from stores.memory import MemoryDocumentStore
    from stores.mongo import MongoDocumentStore
    from stores.sqlite import SQLiteStore

__all__ = ["BlobBackend", "MongoBlobs", "SQLiteBlobs", "blob_backend"]

MONGO_CHUNK_BYTES = 15 * 1024 * 1024
"""Below the 16 MiB that MongoDB takes for a document."""

SQLITE_CHUNK_BYTES = 64 * 1024 * 1024
"""Below the 1 GB that SQLite takes for a value, and small enough for the memory."""


class BlobBackend(Protocol):
    """Keeps bytes in pieces under a digest."""

    chunk_bytes: int

    def put(self, sha256: str, chunks: list[bytes], time_s: float) -> None:
        """Keep the pieces, replacing what was there, and note the time."""

    def touch(self, sha256: str, time_s: float) -> int | None:
        """Note the time of a complete blob and return its size; None where there is none."""

    def get(self, sha256: str) -> list[bytes] | None:
        """Return the pieces in order; None where there are none."""

    def times(self, digests: Sequence[str] | None = None) -> dict[str, float]:
        """Return the time of every blob, or of those asked for, by digest."""

    def delete(self, digests: Iterable[str], older_than_s: float) -> int:
        """Remove blobs whose time is not later, and return their number."""

    def sweep(self, older_than_s: float) -> None:
        """Remove what a process left when it died while it put a blob."""

    def close(self) -> None:
        """Close what was opened."""


def blob_backend(store: SQLiteStore | MongoDocumentStore | MemoryDocumentStore) -> BlobBackend:
    """Return where the blobs of a database are kept.

    Parameters
    ----------
    store
        A store of that database, not connected, named like the blobs' collection.
    """
    from stores.sqlite import SQLiteStore

    if isinstance(store, SQLiteStore):
        return SQLiteBlobs(store.path, read_only=store.read_only)
    return MongoBlobs(store)


class SQLiteBlobs:
    """Blobs in a table of their own: a row for every piece."""

    TABLE = '"_phonoscreen_blobs"'

    def __init__(
        self, path: str, *, read_only: bool = False, chunk_bytes: int = SQLITE_CHUNK_BYTES
    ) -> None:
        self.chunk_bytes = chunk_bytes
        self._connection = SQLiteConnection(path, read_only=read_only)
        if not read_only:
            self._create()

    def _create(self) -> None:
        with self._connection.reading() as connection:
            if self._exists(connection):
                return
        with self._connection.writing() as connection:
            connection.execute(
                f"CREATE TABLE IF NOT EXISTS {self.TABLE} (sha256 TEXT, chunk INTEGER,"
                " n_chunks INTEGER, put_time_s REAL, n_bytes INTEGER, data BLOB,"
                " PRIMARY KEY (sha256, chunk))"
            )

    def _exists(self, connection: sqlite3.Connection) -> bool:
        """Whether the table is there; who may only read may come before it."""
        sql = "SELECT 1 FROM sqlite_master WHERE name = ?"
        return connection.execute(sql, (self.TABLE.strip('"'),)).fetchone() is not None

    def put(self, sha256: str, chunks: list[bytes], time_s: float) -> None:
        """Keep the pieces in one transaction."""
        rows = [
            (sha256, number, len(chunks), time_s, len(data), data)
            for number, data in enumerate(chunks)
        ]
        with self._connection.writing() as connection:
            connection.execute(f"DELETE FROM {self.TABLE} WHERE sha256 = ?", (sha256,))
            sql = f"INSERT INTO {self.TABLE} VALUES (?, ?, ?, ?, ?, ?)"
            connection.executemany(sql, rows)

    def touch(self, sha256: str, time_s: float) -> int | None:
        """Note the time of a blob and return its size."""
        size: int | None
        with self._connection.writing() as connection:
            sql = f"UPDATE {self.TABLE} SET put_time_s = ? WHERE sha256 = ?"
            connection.execute(sql, (time_s, sha256))
            sql = f"SELECT sum(n_bytes) FROM {self.TABLE} WHERE sha256 = ?"
            size = connection.execute(sql, (sha256,)).fetchone()[0]
        return size

    def get(self, sha256: str) -> list[bytes] | None:
        """Return the pieces in order."""
        sql = f"SELECT data FROM {self.TABLE} WHERE sha256 = ? ORDER BY chunk"
        with self._connection.reading() as connection:
            if not self._exists(connection):
                return None
            return [row[0] for row in connection.execute(sql, (sha256,))] or None

    def times(self, digests: Sequence[str] | None = None) -> dict[str, float]:
        """Return the time of every blob, or of those asked for."""
        columns = f"SELECT sha256, put_time_s FROM {self.TABLE} WHERE chunk = 0"
        with self._connection.reading() as connection:
            if not self._exists(connection):
                return {}
            if digests is None:
                return dict(connection.execute(columns).fetchall())
            sql = f"{columns} AND sha256 = ?"
            rows = (connection.execute(sql, (digest,)).fetchone() for digest in digests)
            return dict(row for row in rows if row is not None)

    def delete(self, digests: Iterable[str], older_than_s: float) -> int:
        """Remove blobs whose time is not later."""
        sql = f"DELETE FROM {self.TABLE} WHERE sha256 = ? AND put_time_s <= ?"
        with self._connection.writing() as connection:
            done = [connection.execute(sql, (x, older_than_s)).rowcount for x in digests]
        return sum(1 for n_rows in done if n_rows)

    def sweep(self, older_than_s: float) -> None:
        """Do nothing: a transaction leaves nothing behind."""

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


class MongoBlobs:
    """Blobs on a MongoDB server or in memory: a document for each piece and one for the whole.

    The latter is written last and removed first, and names its pieces: nobody ever sees half a
    blob, and who removes one cannot meet the pieces of who puts it again.
    """

    def __init__(
        self,
        store: MongoDocumentStore | MemoryDocumentStore,
        *,
        chunk_bytes: int = MONGO_CHUNK_BYTES,
    ) -> None:
        self.chunk_bytes = chunk_bytes
        self._store = store
        try:
            self._store.connect()
            for field in ("batch", "put_time_s"):
                self._store.ensure_index(field)
        except BaseException:
            self._store.close()
            raise

    def put(self, sha256: str, chunks: list[bytes], time_s: float) -> None:
        """Keep the pieces, then the document of the whole."""
        batch = uuid4().hex
        for number, data in enumerate(chunks):
            self._store.update(
                {"_id": f"{batch}:{number}", "batch": batch, "put_time_s": time_s, "data": data}
            )
        whole = {
            "_id": sha256,
            "sha256": sha256,
            "pieces": batch,
            "n_chunks": len(chunks),
            "n_bytes": sum(map(len, chunks)),
            "put_time_s": time_s,
        }
        if not self._store.insert_new(whole):
            self._store.remove_docs(by_field("batch", batch))

    def touch(self, sha256: str, time_s: float) -> int | None:
        """Note the time of a blob and return its size."""
        whole = self._store.query_one(by_field("_id", sha256))
        if whole is None:
            return None
        later = {**whole, "put_time_s": time_s}
        if not self._store.replace_if(sha256, {"pieces": whole["pieces"]}, later):
            return None
        return int(whole["n_bytes"])

    def get(self, sha256: str) -> list[bytes] | None:
        """Return the pieces in order."""
        whole = self._store.query_one(by_field("_id", sha256))
        if whole is None:
            return None
        names = [f"{whole['pieces']}:{number}" for number in range(whole["n_chunks"])]
        found: dict[str, Any] = {
            piece["_id"]: piece.get("data") for piece in self._store.query(in_values("_id", names))
        }
        return [found.get(name) or b"" for name in names]

    def times(self, digests: Sequence[str] | None = None) -> dict[str, float]:
        """Return the time of every blob, or of those asked for."""
        wanted = compare("n_chunks", ">", 0)
        if digests is not None:
            wanted = and_(wanted, in_values("_id", digests))
        found = self._store.query(wanted, ["put_time_s"])
        return {whole["_id"]: whole["put_time_s"] for whole in found}

    def delete(self, digests: Iterable[str], older_than_s: float) -> int:
        """Remove blobs whose time is not later."""
        is_old = compare("put_time_s", "<=", older_than_s)
        n_removed = 0
        for whole in list(self._store.query(and_(in_values("_id", digests), is_old))):
            same = and_(by_field("_id", whole["_id"]), by_field("pieces", whole["pieces"]), is_old)
            if self._store.remove_docs(same):
                self._store.remove_docs(by_field("batch", whole["pieces"]))
                n_removed += 1
        return n_removed

    def sweep(self, older_than_s: float) -> None:
        """Remove pieces that a process left when it died before the whole was written."""
        kept = [x["pieces"] for x in self._store.query(compare("n_chunks", ">", 0), ["pieces"])]
        is_old = compare("put_time_s", "<=", older_than_s)
        self._store.remove_docs(and_(compare("batch", ">", ""), is_old, not_in("batch", kept)))

    def close(self) -> None:
        """Let go of the collection."""
        self._store.close()
