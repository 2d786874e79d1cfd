"""What is MongoDB's own, on clients that need no server."""

from __future__ import annotations

import os
import pickle
import threading

import mongomock_ng
import pytest
from mongomock_ng.store import ServerStore
from pymongo import errors

import stores.mongo
from screening.errors import DatabaseUnavailableError, DuplicateKeyError, QueryError
from stores.connect import declarations, open_database
from stores.mongo import ClientHold, shared_client

URI = "mongodb://fake.invalid/db"
DUPLICATE = {"index": 0, "code": 11000, "errmsg": "E11000 duplicate key"}


@pytest.fixture
def clients(monkeypatch):
    """The clients that were made, all of one server, each knowing whether it was closed."""
    made = []
    server = ServerStore()

    class Client(mongomock_ng.MongoClient):
        def __init__(self, *_, **__):
            super().__init__(_store=server)
            self.is_closed = False
            made.append(self)

        def close(self):
            self.is_closed = self._closed = True  # keeps the documents, refuses to work

    monkeypatch.setattr("stores.mongo.MongoClient", Client)
    return made


def test_nested_databases_share_a_client_that_closes_with_the_last(clients):
    with open_database(URI) as outer:
        for number in range(3):
            with open_database(URI) as inner:
                inner.models.update({"model_id": str(number)})
            inner.close()
            assert [x.is_closed for x in clients] == [False]
            assert outer.models.count() == number + 1
    assert [x.is_closed for x in clients] == [True]
    with open_database(URI) as later:
        assert later.models.count() == 3
    assert [x.is_closed for x in clients] == [True, True]


def test_other_uris_have_clients_of_their_own(clients):
    with open_database(URI):
        open_database("mongodb://other.invalid/db").close()
        assert [x.is_closed for x in clients] == [False, True]


def test_a_store_alone_keeps_the_client(clients):
    with open_database(URI) as database:
        copy = pickle.loads(pickle.dumps(database.models))
        copy.connect()
        copy.connect(force_reset=True)
    assert not clients[0].is_closed
    assert copy.count() == 0
    copy.close()
    copy.close()
    assert [x.is_closed for x in clients] == [True]


def test_a_database_that_fails_to_open_lets_go_of_the_client(clients, monkeypatch):
    def fail(*_, **__):
        raise errors.ServerSelectionTimeoutError("no server")

    monkeypatch.setattr("mongomock_ng.collection.Collection.create_index", fail)
    with pytest.raises(DatabaseUnavailableError):
        open_database(URI)
    assert [x.is_closed for x in clients] == [True]


def test_threads_that_open_and_close_never_meet_a_closed_client(clients):
    problems = []

    def work():
        for _ in range(200):
            hold = ClientHold("mongodb://threads")
            if shared_client("mongodb://threads", stores.mongo.MongoClient).is_closed:
                problems.append("closed")
            hold.release()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert all(x.is_closed for x in clients)


def test_a_child_process_leaves_its_parents_client_open(clients, monkeypatch):
    pid = os.getpid()
    with open_database(URI) as database:
        with monkeypatch.context() as child:
            child.setattr("os.getpid", lambda: pid + 1)
            database.structures._hold.release()
            hold = ClientHold(URI)
            assert shared_client(URI, lambda: None) is not clients[0]
            hold.release()
        assert not clients[0].is_closed
        assert database.models.count() == 0


def racing(monkeypatch, n_failures, code=11000):
    """Let a collection refuse the first writes, as when another process was a moment earlier."""
    calls = []
    plain = mongomock_ng.collection.Collection.bulk_write

    def bulk_write(self, requests, **options):
        calls.append(len(requests))
        if len(calls) > n_failures:
            return plain(self, requests, **options)
        if requests[1:]:
            plain(self, requests[1:], **options)
        raise errors.BulkWriteError({"writeErrors": [{**DUPLICATE, "code": code}]})

    monkeypatch.setattr("mongomock_ng.collection.Collection.bulk_write", bulk_write)
    return calls


DOCUMENTS = [{"_id": x, "model_id": x} for x in ("a", "b", "c")]


def test_an_upsert_that_another_process_won_is_repeated_once(clients, monkeypatch):
    with open_database(URI) as database:
        calls = racing(monkeypatch, 1)
        database.models.update(DOCUMENTS)
        assert sorted(database.models.distinct("model_id")) == ["a", "b", "c"]
    assert calls == [3, 1]
    assert len(clients) == 1


@pytest.mark.parametrize(
    ("code", "error", "n_calls"), [(11000, DuplicateKeyError, 2), (2, QueryError, 1)]
)
@pytest.mark.usefixtures("clients")
def test_other_refusals_are_raised(monkeypatch, code, error, n_calls):
    with open_database(URI) as database:
        calls = racing(monkeypatch, 9, code)
        with pytest.raises(error):
            database.models.update([*DOCUMENTS])
    assert len(calls) == n_calls


@pytest.mark.usefixtures("clients")
def test_a_true_conflict_stays_a_duplicate_key():
    with open_database(URI) as database:
        database.models.update({"_id": "1", "model_id": "m"})
        with pytest.raises(DuplicateKeyError):
            database.models.update({"_id": "1", "model_id": "n"})
        assert database.models.distinct("model_id") == ["m"]


@pytest.mark.usefixtures("clients")
def test_reading_only_is_accepted():
    with open_database(URI, read_only=True) as database:
        assert [database.collection(x).count() for x in declarations()] == [0] * len(declarations())
