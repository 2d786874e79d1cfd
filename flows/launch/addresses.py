"""Databases that a worker elsewhere can open, and the store of the jobs' own outputs."""

from __future__ import annotations

from pathlib import Path

from jobflow import JobStore

from screening.errors import DatabaseUriError
from stores.connect import Database

__all__ = ["is_file", "job_store", "refuse_file", "usable_uri"]

OUTPUTS, LARGE_OUTPUTS = "job_outputs", "job_data"


def is_file(database_uri: str) -> bool:
    """Whether a database is a file of one host."""
    return database_uri.lower().startswith("sqlite:")


def usable_uri(database_uri: str) -> str:
    """Return a URI that means the same database in every process of this host.

    Raises
    ------
    DatabaseUriError
        If the database lives in the memory of this process.
    """
    scheme, _, rest = database_uri.partition("://")
    if scheme.lower() == "memory":
        raise DatabaseUriError(
            "a database in memory belongs to one process, and workers are others",
            subject=database_uri,
            hint="Use mongodb://host/name, or sqlite:///file.db for workers on this host",
        )
    if not is_file(database_uri) or not rest.startswith("/"):
        return database_uri  # one that names no file is refused where it is opened
    return f"sqlite:///{Path(rest[1:]).expanduser().absolute()}"


def refuse_file(database_uri: str, worker: str) -> None:
    """Refuse a database file for a worker on another host.

    Raises
    ------
    DatabaseUriError
        If the database is a file.
    """
    if is_file(database_uri):
        raise DatabaseUriError(
            f"worker {worker!r} is on another host, which cannot open a file of this one",
            subject=database_uri,
            hint="Use a MongoDB server (--db mongodb://host/name), or a worker of type local",
        )


def job_store(database: Database) -> JobStore:
    """Return the store of the jobs' outputs: two collections beside the results."""
    outputs = database.store(OUTPUTS, key="uuid", unique=False)  # a replaced job has several
    return JobStore(outputs, {"data": database.store(LARGE_OUTPUTS, key="blob_uuid")})
