"""The same stores and databases for every test: SQLite, memory, and MongoDB where there is one."""

from __future__ import annotations

import os
from uuid import uuid4

import pytest

from stores.connect import open_database
from stores.memory import MemoryDocumentStore, forget_space
from stores.mongo import MongoDocumentStore
from stores.sqlite import SQLiteStore

MONGODB_URI = os.environ.get("PHONOSCREEN_TEST_MONGODB_URI", "")
NEEDS_MONGODB = pytest.mark.skipif(
    not MONGODB_URI, reason="PHONOSCREEN_TEST_MONGODB_URI names no MongoDB server"
)
BACKENDS = ["sqlite", "memory", pytest.param("mongodb", marks=NEEDS_MONGODB)]


@pytest.fixture(params=BACKENDS)
def database_uri(request, tmp_path):
    """A fresh, empty database of every kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'test.db'}"
    elif request.param == "memory":
        space = uuid4().hex
        yield f"memory://{space}"
        forget_space(space)
    else:
        name = f"phonoscreen_test_{uuid4().hex}"
        head, _, options = MONGODB_URI.partition("?")
        server = "/".join(head.split("/")[:3])
        uri = f"{server}/{name}?{options}"
        yield uri
        import pymongo

        with pymongo.MongoClient(uri) as client:
            client.drop_database(name)


@pytest.fixture
def database(database_uri):
    """An open database of every kind."""
    with open_database(database_uri) as opened:
        yield opened


@pytest.fixture(params=BACKENDS)
def store(request, tmp_path):
    """A connected, empty store of every kind with the key ``material_id``."""
    indexes = ["x", "name", "deep.value"]
    if request.param == "sqlite":
        made = SQLiteStore(tmp_path / "test.db", "things", indexes=indexes)
    elif request.param == "memory":
        made = MemoryDocumentStore("things", uuid4().hex)
    else:
        made = MongoDocumentStore(MONGODB_URI, f"things_{uuid4().hex}")
    made.connect()
    yield made
    if request.param == "mongodb":
        made._collection.drop()
    if request.param == "memory":
        forget_space(made.space)
    made.close()
