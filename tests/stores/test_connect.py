"""Every kind of database from one URI."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from uuid import uuid4

import pytest

from screening.errors import (
    DatabaseUnavailableError,
    DatabaseUriError,
    IndexMissingError,
    NotFoundError,
    QueryError,
    ScreeningError,
)
from stores.connect import declarations, open_database
from stores.memory import forget_space
from stores.mongo_errors import translated_mongo_error
from stores.passwords import mask_passwords
from stores.sqlite import SQLiteStore

SECRET = "hunter2-Xyz"


def test_collections_are_there_with_unique_keys(database):
    for name, declared in declarations().items():
        store = database.collection(name)
        assert store.key == declared.key
        assert store.count() == 0
        assert store.has_index(declared.key, unique=True)
        store.update({"_id": "one", declared.key: "one"})
        store.update({"_id": "one", declared.key: "one"})
        assert store.query_one({})["_id"] == "one"
        assert store.count() == 1


def test_named_collections_are_the_attributes(database):
    for name in declarations():
        if name != "claims":
            assert getattr(database, name) is database.collection(name)
    with pytest.raises(NotFoundError, match="vibratonal"):
        database.collection("vibratonal")


def test_a_collection_of_ones_own(database):
    outputs = database.store("outputs", "uuid", ["index"], unique=False)
    outputs.update([{"uuid": "u", "index": i} for i in (1, 2)], key=["uuid", "index"])
    assert database.store("outputs").count() == 2


def test_documents_outlive_the_connection(database_uri):
    with open_database(database_uri) as database:
        database.models.update({"model_id": "m"})
    with open_database(database_uri) as database:
        assert database.models.count() == 1
        database.close()
        database.close()


def test_stores_travel_by_pickle(database):
    database.models.update({"model_id": "m"})
    copy = pickle.loads(pickle.dumps(database.models))
    copy.connect()
    assert copy.key == "model_id"
    assert copy.query_one({})["model_id"] == "m"
    copy.close()


def test_threads_open_at_once(database_uri):
    problems = []

    def work(number):
        try:
            with open_database(database_uri) as database:
                database.models.update({"model_id": str(number)})
        except ScreeningError as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    with open_database(database_uri) as database:
        assert database.models.count() == 4


def test_closing_one_leaves_others_of_the_same_uri_open(database_uri):
    with open_database(database_uri) as outer:
        for number in range(3):
            with open_database(database_uri) as inner:
                inner.models.update({"model_id": str(number)})
                assert inner.models.count() == number + 1
            inner.close()
            assert outer.models.count() == number + 1
        outer.failures.update({"failure_id": "f"})
        with outer.claims.acquire("x"):
            pass
    with open_database(database_uri) as later:
        assert later.failures.count() == 1


def test_the_first_to_open_may_close_first(database_uri):
    first = open_database(database_uri)
    with open_database(database_uri) as second:
        first.close()
        second.models.update({"model_id": "m"})
        assert second.models.count() == 1


def test_memory_without_a_name_lasts_until_its_last_user_closes_it():
    with open_database("memory://") as outer:
        with open_database("memory://") as inner:
            inner.models.update({"model_id": "m"})
        inner.close()
        assert outer.models.count() == 1
    with open_database("memory://") as later:
        assert later.models.count() == 0


def test_memory_with_a_name_is_shared():
    name = uuid4().hex
    with open_database(f"memory://{name}") as one, open_database(f"memory://{name}") as two:
        one.models.update({"model_id": "m"})
        assert two.models.count() == 1
    forget_space(name)


def test_relative_and_absolute_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    open_database("sqlite:///here.db").close()
    assert (tmp_path / "here.db").exists()
    open_database(f"sqlite:///{tmp_path}/there.db").close()
    assert (tmp_path / "there.db").exists()


def test_one_file_holds_everything(tmp_path):
    import numpy as np

    with open_database(f"sqlite:///{tmp_path}/a.db") as database:
        database.models.update({"model_id": "m"})
        database.blobs.put({"a": np.arange(3)})
        with database.claims.acquire("x"):
            pass
    assert [x.name for x in tmp_path.iterdir()] == ["a.db"]


@pytest.mark.parametrize(
    ("uri", "hint"),
    [
        ("results.db", "sqlite:///results.db"),
        ("/data/results.sqlite", "sqlite:////data/results.sqlite"),
        ("postgres://host/db", "mongodb://"),
        ("sqlite://results.db", "sqlite:///relative.db"),
        ("sqlite:///", "sqlite:///relative.db"),
        ("sqlite:///folder/", "sqlite:///relative.db"),
        ("", "sqlite:///file.db"),
    ],
)
def test_wrong_uris_get_a_hint(uri, hint):
    with pytest.raises(DatabaseUriError) as caught:
        open_database(uri)
    assert hint in caught.value.hint


def test_a_file_that_is_not_there_is_not_made_for_reading(tmp_path):
    path = tmp_path / "a.db"
    with pytest.raises(DatabaseUnavailableError) as caught:
        open_database(f"sqlite:///{path}", read_only=True)
    assert str(path) in str(caught.value)
    assert "phonoscreen screen" in caught.value.hint
    assert "sqlite:////folder/file.db" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_reading_only_is_accepted_everywhere(database_uri):
    with open_database(database_uri) as database:
        database.models.update({"model_id": "m"})
    with open_database(database_uri, read_only=True) as database:
        for name in declarations():
            assert database.collection(name).count() == (name == "models")
        assert database.blobs.digests() == set()


def test_collections_that_are_not_there_are_empty_for_reading(tmp_path):
    path, uri = tmp_path / "a.db", f"sqlite:///{tmp_path}/a.db"
    path.touch()
    with open_database(uri, read_only=True) as reader:
        for name in declarations():
            store = reader.collection(name)
            assert list(store.query({"x": 1}, sort={"x": 1})) == []
            assert list(store.groupby("x")) == store.distinct("x") == []
            assert store.count({"x": {"$gt": 1}}) == 0
            assert store.aggregate([{"$match": {"x": 1}}]) == []
        assert reader.blobs.digests() == set()
        with pytest.raises(NotFoundError):
            reader.blobs.get("0" * 64)
        with pytest.raises(QueryError):
            reader.models.count({"x": {"$where": "1"}})
        assert path.stat().st_size == 0
        with open_database(uri) as writer:
            writer.models.update({"model_id": "m"})
        assert [x["_id"] for x in reader.models.query()] == reader.models.distinct("_id") == ["m"]


def test_reading_while_another_process_writes(tmp_path):
    uri = f"sqlite:///{tmp_path}/a.db"
    code = (
        "import sys\n"
        "from stores.connect import open_database\n"
        "with open_database(sys.argv[1]) as database:\n"
        "    for i in range(150):\n"
        "        database.models.update({'model_id': str(i)})\n"
        "    print('written', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, uri]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as writer:
        while not (tmp_path / "a.db").exists():
            assert writer.poll() is None
        counts = [0]
        while counts[-1] < 150:
            with open_database(uri, read_only=True) as reader:
                counts.append(reader.models.count())
                assert len(list(reader.models.query())) >= counts[-1]
            assert writer.poll() is None
        assert writer.stdout.readline() == "written\n"
        writer.stdin.close()
        assert writer.wait() == 0
    assert counts == sorted(counts)


def test_read_only(tmp_path):
    uri = f"sqlite:///{tmp_path}/a.db"
    with open_database(uri) as database:
        database.models.update({"model_id": "m"})
    with open_database(uri, read_only=True) as database:
        assert database.models.count() == 1
        assert database.blobs.digests() == set()
        with pytest.raises(DatabaseUnavailableError, match="reading only"):
            database.models.update({"model_id": "n"})


def test_a_missing_unique_index_over_duplicates_is_refused(tmp_path):
    store = SQLiteStore(tmp_path / "a.db", "models", "model_id")
    store.connect()
    store.update([{"_id": "1", "model_id": "m"}])
    store.update([{"_id": "2", "model_id": "m", "v": 1}], key="_id")
    store.close()
    with pytest.raises(IndexMissingError, match="model_id"):
        open_database(f"sqlite:///{tmp_path}/a.db")


def test_a_missing_unique_index_is_refused_for_reading(tmp_path):
    SQLiteStore(tmp_path / "a.db", "structures").connect()
    store = SQLiteStore(tmp_path / "a.db", "structures")
    store.connect()
    store.update({"material_id": "m"})
    store.close()
    with pytest.raises(IndexMissingError, match="for writing"):
        open_database(f"sqlite:///{tmp_path}/a.db", read_only=True)


@pytest.mark.parametrize(
    "uri",
    [
        f"mongodb://me:{SECRET}@127.0.0.1:9/db?serverSelectionTimeoutMS=100",
        f"mongodb://me:{SECRET}@127.0.0.1:9:9/db",
        f"mongodb://me:{SECRET}@/db",
        f"mongodb://me:p@{SECRET}@127.0.0.1:9/db",
        f"mongodb://me:p%{SECRET}@127.0.0.1:9/db",
        f"postgres://me:{SECRET}@host/db",
        f"mongodb://[me:{SECRET}@host/db",
        f"mongodb://127.0.0.1:9/?tls=true&tlsCertificateKeyFilePassword={SECRET}&tlsCAFile=/no",
    ],
)
def test_no_error_shows_a_password(uri, monkeypatch):
    monkeypatch.setattr("stores.mongo.WAIT_MILLISECONDS", 100)
    with pytest.raises(ScreeningError) as caught:
        open_database(uri)
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value)


def test_an_unreachable_server_is_unavailable():
    with pytest.raises(DatabaseUnavailableError):
        open_database("mongodb://127.0.0.1:9/db?serverSelectionTimeoutMS=100")


def test_mask():
    assert mask_passwords("mongodb://a:b:c@d@h,i/db?x=1") == "mongodb://a:***@h,i/db?x=1"
    assert mask_passwords("sqlite:///a.db") == "sqlite:///a.db"


def test_errors_of_pymongo_become_ours():
    from pymongo import errors

    kinds = {
        errors.AutoReconnect("x"): "DB_UNAVAILABLE",
        errors.NetworkTimeout("x"): "DB_UNAVAILABLE",
        errors.ServerSelectionTimeoutError("x"): "DB_UNAVAILABLE",
        errors.OperationFailure("x", 18): "DB_UNAVAILABLE",
        errors.OperationFailure("x", 2): "QUERY",
        errors.DuplicateKeyError("x", 11000): "DUPLICATE_KEY",
        errors.BulkWriteError({"writeErrors": [{"code": 11000}]}): "DUPLICATE_KEY",
        errors.BulkWriteError({"writeErrors": [{"code": 14031}]}): "DISK_FULL",
        errors.DocumentTooLarge("x"): "SERIALIZATION",
        errors.InvalidURI("x"): "DB_URI",
        errors.ConfigurationError("x"): "DB_URI",
    }
    for error, code in kinds.items():
        assert translated_mongo_error(error, "s").code == code


def test_importing_loads_no_database_library():
    code = (
        "import sys, stores, stores.connect, stores.query\n"
        "print([m for m in ('pymongo', 'maggma', 'sqlite3', 'mongomock_ng') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
