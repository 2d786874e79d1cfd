"""One connection to an SQLite file: locks, transactions, forks, and the border for its errors."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from screening.errors import (
    CorruptDataError,
    DatabaseError,
    DatabaseUnavailableError,
    DiskFullError,
    DuplicateKeyError,
    SchemaTooNewError,
    SerializationError,
)

__all__ = ["SQLiteConnection", "translated_error"]

BUSY_SECONDS = 60.0
"""How long a writer waits for another one before it gives up."""

LAYOUT_VERSION = 1
"""Version of the tables; a file with a greater one was written by a newer release."""

SMALLEST_FREE_BYTES = 1 << 20

_abandoned: list[sqlite3.Connection] = []
"""Connections of a parent process: SQLite forbids to use or to close them in its child."""


def translated_error(error: sqlite3.Error, path: str) -> DatabaseError:
    """Return the platform's error for one of sqlite3's.

    Parameters
    ----------
    error
        What sqlite3 raised.
    path
        File of the database, for the message.
    """
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    message = f"{error} ({name})"
    if name == "SQLITE_FULL" or (name.startswith("SQLITE_IOERR") and _disk_is_full(path)):
        return DiskFullError(
            message, subject=path, hint="Free some space; nothing of this write was stored"
        )
    if name.startswith("SQLITE_CORRUPT"):
        return CorruptDataError(
            message, subject=path, hint="Restore a backup or salvage it with the sqlite3 shell"
        )
    if name in {"SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"}:
        return DuplicateKeyError(message, subject=path, hint="Each key stands for one document")
    if name == "SQLITE_TOOBIG" or isinstance(error, sqlite3.DataError):
        return SerializationError(message, subject=path, hint="Put large arrays into blobs")
    return DatabaseUnavailableError(message, subject=path, hint=_hint(name))


def _hint(name: str) -> str:
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return "Another process holds the database; try again"
    if name.startswith("SQLITE_NOTADB"):
        return "The file is not an SQLite database"
    return "Check the path, its folder and the permissions"


def _disk_is_full(path: str) -> bool:
    try:
        return shutil.disk_usage(Path(path).parent).free < SMALLEST_FREE_BYTES
    except OSError:
        return False


class SQLiteConnection:
    """A lazily opened, fork-safe connection in write-ahead mode, shared by threads.

    Parameters
    ----------
    path
        File of the database; created where it is missing, its folder is not.
    read_only
        Refuse to write and to create.

    Notes
    -----
    A committed transaction survives the death of the process at any moment. It survives a power
    failure except for the last moments (``synchronous=NORMAL``); the file stays consistent.
    """

    def __init__(self, path: str, *, read_only: bool = False) -> None:
        self.path = path
        self.read_only = read_only
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.RLock()
        self._pid = os.getpid()

    @property
    def is_open(self) -> bool:
        """Whether this process has the file open."""
        return self._connection is not None and self._pid == os.getpid()

    def open(self) -> None:
        """Open the file where it is not open yet.

        Raises
        ------
        DatabaseUnavailableError, CorruptDataError, SchemaTooNewError
            If it cannot be used.
        """
        self._leave_parent()
        with self._lock:
            if self._connection is None:
                try:
                    self._connection = self._opened()
                except sqlite3.Error as error:
                    raise translated_error(error, self.path) from error

    def close(self) -> None:
        """Close the file; closing twice does nothing."""
        self._leave_parent()
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def _leave_parent(self) -> None:
        """In a forked child, forget the parent's connection and its lock."""
        if self._pid != os.getpid():
            if self._connection is not None:
                _abandoned.append(self._connection)
            self._connection, self._lock, self._pid = None, threading.RLock(), os.getpid()

    def _opened(self) -> sqlite3.Connection:
        mode = "ro" if self.read_only else "rwc"
        connection = sqlite3.connect(
            f"file:{quote(self.path)}?mode={mode}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=512,
        )
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > LAYOUT_VERSION:
            raise SchemaTooNewError(
                f"the tables have version {version}, this release knows {LAYOUT_VERSION}",
                subject=self.path,
                hint="Install a newer release of phonoscreen",
            )
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA cache_size=-32768")
        if self.read_only:
            connection.execute("PRAGMA query_only=1")
        elif connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            _switch_to_write_ahead(connection)
        if not self.read_only and version < LAYOUT_VERSION:
            connection.execute(f"PRAGMA user_version={LAYOUT_VERSION}")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Hold one snapshot of the database for the statements of the block."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Hold the write lock of the database; the block is stored entirely or not at all."""
        if self.read_only:
            raise DatabaseUnavailableError(
                "the database was opened for reading only", subject=self.path
            )
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        self.open()
        with self._lock:
            connection = self._connection
            if connection is None:
                raise DatabaseUnavailableError("the database was closed", subject=self.path)
            try:
                connection.execute(begin)
                yield connection
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                raise translated_error(error, self.path) from error
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")


def _switch_to_write_ahead(connection: sqlite3.Connection) -> None:
    """Switch the journal; the switch itself does not wait for others, hence the loop."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
