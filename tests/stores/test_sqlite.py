"""One contract for SQLite, memory and MongoDB, and what only SQLite promises."""
# ruff: noqa: DTZ001 - databases keep times in UTC without zone

from __future__ import annotations

import json
import logging
import math
import os
import pickle
import signal
import sqlite3
import threading
import time
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum

import mongomock_ng
import numpy as np
import pytest
from bson import ObjectId
from hypothesis import given, settings
from hypothesis import strategies as st
from maggma.builders import MapBuilder

from screening.errors import (
    CorruptDataError,
    DatabaseUnavailableError,
    DiskFullError,
    DuplicateKeyError,
    QueryError,
    SchemaTooNewError,
    SerializationError,
)
from stores.query import Operator
from stores.sqlite import SQLiteStore

DOCUMENTS = [
    {"material_id": "a", "x": 1, "name": "TiO2", "tags": ["o", "ti"], "deep": {"value": 1.5}},
    {"material_id": "b", "x": 2.5, "name": "SiO2", "tags": ["o", "si"], "deep": {"value": 0.5}},
    {"material_id": "c", "x": -3, "name": "ZnS", "tags": [], "deep": {"value": None}},
    {"material_id": "d", "x": "text", "name": None, "deep": 7},
    {"material_id": "e", "name": "TiO2", "list": [{"v": 1}, {"v": 9}]},
    {"material_id": "f", "x": None, "name": True, "list": [{"v": 4}]},
]


def keys(documents):
    return [document["material_id"] for document in documents]


@pytest.fixture
def filled(store):
    store.update(DOCUMENTS)
    return store


# ---------------------------------------------------------------- contract of all stores


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ({}, "abcdef"),
        ({"x": 1}, "a"),
        ({"x": {"$gt": 0}}, "ab"),
        ({"x": {"$gte": -3, "$lt": 2.5}}, "ac"),
        ({"x": {"$gt": "s"}}, "d"),
        ({"x": {"$ne": 1}}, "bcdef"),
        ({"x": None}, "ef"),
        ({"x": {"$exists": False}}, "e"),
        ({"x": {"$exists": True}}, "abcdf"),
        ({"x": {"$in": [1, "text"]}}, "ad"),
        ({"x": {"$in": []}}, ""),
        ({"x": {"$nin": [1, "text"]}}, "bcef"),
        ({"x": {"$in": [None, 1]}}, "aef"),
        ({"x": {"$not": {"$gt": 0}}}, "cdef"),
        ({"name": True}, "f"),
        ({"name": 1}, ""),
        ({"deep.value": {"$gt": 1}}, "a"),
        ({"deep.value": {"$lt": 1}}, "b"),
        ({"tags": "o"}, "ab"),
        ({"tags": {"$all": ["o", "ti"]}}, "a"),
        ({"tags": {"$size": 0}}, "c"),
        ({"list.v": {"$gt": 5}}, "e"),
        ({"list": {"$elemMatch": {"v": {"$gt": 2, "$lt": 5}}}}, "f"),
        ({"$or": [{"x": 1}, {"name": "ZnS"}]}, "ac"),
        ({"$and": [{"name": "TiO2"}, {"x": {"$exists": True}}]}, "a"),
        ({"$nor": [{"x": {"$gt": 0}}, {"name": "TiO2"}]}, "cdf"),
        ({"name": {"$regex": "O2$"}}, "abe"),
    ],
)
def test_query_and_count_agree_with_mongodb(filled, criteria, expected):
    assert sorted(keys(filled.query(criteria))) == list(expected)
    assert filled.count(criteria) == len(expected)


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ({"x": 1, "material_id": 1}, "efcabd"),
        ({"x": -1, "material_id": 1}, "dbacef"),
        ({"name": 1, "material_id": -1}, "dbeacf"),
        ({"deep.value": -1, "material_id": 1}, "abcdef"),
    ],
)
def test_sort_follows_the_order_of_types(filled, sort, expected):
    assert "".join(keys(filled.query({}, sort=sort))) == expected
    assert "".join(keys(filled.query({}, sort=sort, skip=2, limit=3))) == expected[2:5]


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        (["x"], {"_id": "a", "x": 1}),
        ({"x": 1, "_id": 0}, {"x": 1}),
        ({"deep.value": 1, "_id": 0}, {"deep": {"value": 1.5}}),
        (
            {"tags": 0, "deep": 0, "name": 0},
            {"_id": "a", "material_id": "a", "x": 1},
        ),
        (["nothing"], {"_id": "a"}),
    ],
)
def test_projection(store, properties, expected):
    store.update({"_id": "a", **DOCUMENTS[0]})
    assert store.query_one({"material_id": "a"}, properties) == expected


def test_projection_inside_an_array(filled):
    found = filled.query_one({"material_id": "e"}, {"list.v": 1, "_id": 0})
    assert found == {"list": [{"v": 1}, {"v": 9}]}


def test_a_mixed_projection_is_refused(filled):
    with pytest.raises(QueryError):
        filled.query_one({}, {"x": 1, "name": 0})


def test_distinct_unwinds_arrays(filled):
    assert filled.distinct("tags") == ["o", "si", "ti"]
    assert filled.distinct("name") == [None, "SiO2", "TiO2", "ZnS", True]
    assert filled.distinct("list.v", {"material_id": "e"}) == [1, 9]
    assert filled.distinct("name", {"x": {"$gt": 0}}) == ["SiO2", "TiO2"]


def test_groupby(filled):
    groups = {head.get("name"): keys(group) for head, group in filled.groupby("name")}
    assert groups == {"TiO2": ["a", "e"], "SiO2": ["b"], "ZnS": ["c"], None: ["d"], True: ["f"]}


def test_aggregate(filled):
    pipeline = [
        {"$match": {"x": {"$gt": -10}}},
        {"$group": {"_id": None, "sum": {"$sum": "$x"}}},
    ]
    assert filled.aggregate(pipeline) == [{"_id": None, "sum": 0.5}]


@pytest.mark.parametrize(
    "pipeline", [[{"$out": "other"}], [{"$lookup": {}}], [{"$match": {"$where": "1"}}]]
)
def test_aggregate_refuses_to_reach_out(filled, pipeline):
    with pytest.raises(QueryError):
        filled.aggregate(pipeline)


@pytest.mark.parametrize(
    "criteria",
    [{"$where": "true"}, {"x": {"$near": 1}}, {"$expr": {"$gt": ["$x", 1]}}, {"x": {"$in": 3}}],
)
def test_operators_that_are_not_allowed(filled, criteria):
    with pytest.raises(QueryError):
        list(filled.query(criteria))


def test_update_replaces_and_keeps_the_id(filled):
    before = filled.query_one({"material_id": "a"})
    filled.update({"material_id": "a", "x": 99})
    after = filled.query_one({"material_id": "a"})
    assert after == {"_id": before["_id"], "material_id": "a", "x": 99}
    assert filled.count() == len(DOCUMENTS)


def test_update_by_two_keys(store):
    store.update([{"uuid": "u", "index": i, "v": i} for i in (1, 2)], key=["uuid", "index"])
    store.update([{"uuid": "u", "index": 2, "v": 20}], key=["uuid", "index"])
    assert [d["v"] for d in store.query({"uuid": "u"}, sort={"index": 1})] == [1, 20]
    assert len({str(d["_id"]) for d in store.query()}) == 2


def test_update_without_the_key(store):
    with pytest.raises(SerializationError, match="key"):
        store.update({"x": 1})


def test_remove_docs(filled):
    filled.remove_docs({"x": {"$gt": 0}})
    filled.remove_docs({"tags": {"$size": 0}})
    assert sorted(keys(filled.query())) == ["d", "e", "f"]
    filled.remove_docs({})
    assert filled.count() == 0


class Colour(Enum):
    RED = "red"


def test_round_trip_of_types(store):
    moment = datetime(2026, 3, 1, 12, 0, 0, 123456)
    store.update(
        {
            "material_id": "a",
            "time": moment.replace(tzinfo=timezone(timedelta(hours=2))),
            "bytes": bytes(range(256)),
            "oid": ObjectId("0123456789abcdef01234567"),
            "int": 2**62,
            "float": 0.1 + 0.2,
            "negative_zero": -0.0,
            "numpy": np.arange(3, dtype=np.int32),
            "numpy_float": np.float32(0.5),
            "tuple": (1, (2, None)),
            "text": "\u00e4\u0000\U0001f600$oid",
            "empty": {},
            "whole": 3.0,
        }
    )
    found = store.query_one({"material_id": "a"})
    assert found["time"] == datetime(2026, 3, 1, 10, 0, 0, 123000)
    assert found["bytes"] == bytes(range(256))
    assert found["oid"] == ObjectId("0123456789abcdef01234567")
    assert found["int"] == 2**62
    assert found["float"] == 0.1 + 0.2
    assert math.copysign(1, found["negative_zero"]) == -1
    assert found["numpy"] == [0, 1, 2]
    assert found["numpy_float"] == 0.5
    assert found["tuple"] == [1, [2, None]]
    assert found["text"] == "\u00e4\u0000\U0001f600$oid"
    assert found["empty"] == {}
    assert type(found["whole"]) is float
    assert store.count({"time": {"$gt": datetime(2026, 3, 1, 9, tzinfo=UTC)}}) == 1


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        [1.0, {"a": -math.inf}],
        np.array([1.0, np.nan]),
        2**63,
        1j,
        {1, 2},
        object(),
        {"a.b": 1},
        {"$set": 1},
        {"nul\0": 1},
        {1: "a", "1": "b"},
        {None: 1},
        "\ud800",
    ],
    ids=lambda value: repr(value).split(" at ")[0],
)
def test_what_cannot_be_stored_is_refused_and_nothing_is_written(store, value):
    with pytest.raises(SerializationError):
        store.update([{"material_id": "good"}, {"material_id": "bad", "value": value}])
    assert store.count() == 0


def test_refusal_names_the_path(store):
    with pytest.raises(SerializationError) as caught:
        store.update({"material_id": "a", "curve": {"values": [0.0, math.nan]}})
    assert caught.value.subject == "curve.values.1"


def test_nesting_has_a_limit(store):
    nested = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(SerializationError, match="nested"):
        store.update({"material_id": "a", "value": nested})


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
    | st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)).map(
        lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000, fold=0)
    ),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(
                st.characters(exclude_characters=".$\0", exclude_categories=["Cs"]), max_size=8
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(value=JSON_VALUES)
def test_every_plain_value_comes_back(shared_store, value):
    shared_store.update({"material_id": "a", "value": value})
    found = shared_store.query_one({"material_id": "a"})["value"]
    assert repr(found) == repr(value)


@settings(max_examples=100, deadline=None)
@given(
    value=st.recursive(
        st.floats() | st.complex_numbers() | st.sets(st.integers(), max_size=2),
        lambda inner: st.lists(inner, max_size=3),
        max_leaves=4,
    )
)
def test_any_value_is_stored_or_refused_with_a_code(shared_store, value):
    try:
        shared_store.update({"material_id": "a", "value": value})
    except SerializationError:
        return
    assert repr(shared_store.query_one({"material_id": "a"})["value"]) == repr(value)


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory):
    store = SQLiteStore(tmp_path_factory.mktemp("shared") / "a.db", "values", indexes=["value"])
    store.connect()
    yield store
    store.close()


# ---------------------------------------------------------------- atomic steps


def test_insert_new_inserts_once(store):
    assert store.insert_new({"material_id": "a", "x": 1})
    assert not store.insert_new({"material_id": "a", "x": 2})
    assert store.query_one({"material_id": "a"})["x"] == 1


def test_replace_if_compares_first(store):
    store.update({"material_id": "a", "x": 1, "deep": {"value": 2}})
    assert not store.replace_if("a", {"x": 2}, {"material_id": "a", "x": 3})
    assert store.replace_if("a", {"x": 1, "deep.value": 2}, {"material_id": "a", "x": 3})
    assert store.replace_if("a", {"deep": None}, {"material_id": "a", "x": 4})
    assert not store.replace_if("b", {}, {"material_id": "b"})
    assert store.query_one({}, {"_id": 0}) == {"material_id": "a", "x": 4}


def test_threads_count_without_loss(store):
    store.update({"material_id": "a", "x": 0})

    def add():
        for _ in range(20):
            while True:
                x = store.query_one({"material_id": "a"})["x"]
                if store.replace_if("a", {"x": x}, {"material_id": "a", "x": x + 1}):
                    break

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.query_one({"material_id": "a"})["x"] == 80


def test_a_unique_index_refuses_a_second_document(store):
    store.ensure_index("name", unique=True)
    store.update({"material_id": "a", "name": "n"})
    with pytest.raises(DuplicateKeyError):
        store.update([{"material_id": "b", "name": "n"}])
    assert store.count() == 1


def test_a_unique_index_over_duplicates_cannot_be_made(store):
    store.update([{"material_id": "a", "name": "n"}, {"material_id": "b", "name": "n"}])
    with pytest.raises(DuplicateKeyError):
        store.ensure_index("name", unique=True)


def test_a_compound_unique_index(store):
    assert store.ensure_index(["uuid", "index"], unique=True)
    assert store.has_index(["uuid", "index"], unique=True)
    store.update([{"material_id": "a", "uuid": "u", "index": 1}])
    with pytest.raises(DuplicateKeyError):
        store.update([{"material_id": "b", "uuid": "u", "index": 1}])


# ---------------------------------------------------------------- the same as mongomock-ng

FIELDS = ["a", "b", "c.d", "e"]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([-1.5, 0.0, 0.5, 2.0]),
    st.sampled_from(["", "a", "ab", "b", "é", "\U0001f600"]),
    st.sampled_from([datetime(2026, 1, 1), datetime(2026, 1, 2), datetime(1960, 1, 1)]),
    st.sampled_from([b"", b"a", b"bb"]),
)
NUMBERED = st.one_of(SCALARS.filter(lambda x: not isinstance(x, bool)))


@st.composite
def document(draw):
    made = {}
    for field in ("a", "b"):
        if draw(st.booleans()):
            made[field] = draw(NUMBERED)
    if draw(st.booleans()):
        made["c"] = draw(
            st.one_of(
                NUMBERED, st.fixed_dictionaries({"d": NUMBERED}), st.just({}), st.just([{"d": 1}])
            )
        )
    if draw(st.booleans()):
        texts = st.sampled_from(["", "a", "ab", "é", "\0", "a\0b"])
        made["e"] = draw(
            st.one_of(
                NUMBERED,
                st.lists(NUMBERED, min_size=1, max_size=3),
                st.lists(texts, min_size=1, max_size=3),
            )
        )
    return made


@st.composite
def condition(draw):
    operator = draw(
        st.sampled_from(
            ["$eq", "$ne", "$lt", "$lte", "$gt", "$gte", "$in", "$nin", "$exists", "$all"]
        )
    )
    if operator == "$exists":
        return {operator: draw(st.booleans())}
    if operator == "$all":
        return {operator: draw(st.lists(st.sampled_from(["", "a", "é"]), min_size=1, max_size=2))}
    if operator in {"$in", "$nin"}:
        return {operator: draw(st.lists(NUMBERED, max_size=3))}
    return {operator: draw(NUMBERED)}


CONDITIONS = st.one_of(
    NUMBERED, condition(), condition().map(lambda inner: {"$not": inner}), st.just({"$size": 2})
)
CRITERIA = st.recursive(
    st.dictionaries(st.sampled_from(FIELDS), CONDITIONS, max_size=2),
    lambda inner: st.builds(
        lambda name, parts: {name: parts},
        st.sampled_from(["$and", "$or", "$nor"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def stores_by_index(tmp_path_factory):
    """Two stores, with and without indexes on the fields that queries name."""
    made = {}
    for indexed in (True, False):
        path = tmp_path_factory.mktemp("examples") / "a.db"
        made[indexed] = SQLiteStore(path, "q", "k", indexes=FIELDS if indexed else [])
        made[indexed].connect()
    yield made
    for store in made.values():
        store.close()


def emptied(store):
    """A store without documents that has forgotten which fields held arrays."""
    store.remove_docs({})
    with store._connection.writing() as connection:
        connection.execute('UPDATE "_phonoscreen_fields" SET state = 1')
    store._table.forget()
    return store


@settings(max_examples=300, deadline=None)
@given(
    documents=st.lists(document(), max_size=8),
    criteria=CRITERIA,
    sort=st.sampled_from([None, ("a", 1), ("b", -1)]),
    indexed=st.booleans(),
)
def test_any_query_gives_what_mongomock_gives(stores_by_index, documents, criteria, sort, indexed):
    rows = [{"_id": str(i), "k": str(i), **made} for i, made in enumerate(documents)]
    collection = mongomock_ng.MongoClient().db.things
    if rows:
        collection.insert_many([dict(row) for row in rows])
    store = emptied(stores_by_index[indexed])
    store.update(rows)
    order = [sort, ("_id", 1)] if sort else [("_id", 1)]
    expected = list(collection.find(criteria, sort=order))
    assert list(store.query(criteria, sort=dict(order))) == expected
    assert list(store.query(criteria, sort=dict(order), skip=1, limit=2)) == expected[1:3]
    assert sorted(d["_id"] for d in store.query(criteria)) == sorted(d["_id"] for d in expected)
    assert store.count(criteria) == len(expected)
    store.remove_docs(criteria)
    assert store.count() == len(rows) - len(expected)


@settings(max_examples=100, deadline=None)
@given(values=st.lists(SCALARS, max_size=12))
def test_an_index_sorts_as_memory_does(stores_by_index, values):
    rows = [{"k": str(i), "a": value} for i, value in enumerate(values)]
    store, plain = emptied(stores_by_index[True]), emptied(stores_by_index[False])
    for each in (store, plain):
        each.update(rows)
    for direction in (1, -1):
        by_index = [d["k"] for d in store.query({}, sort={"a": direction})]
        assert by_index == [d["k"] for d in plain.query({}, sort={"a": direction})]
    for value in values:
        for name in ("$eq", "$lt", "$gte", "$ne"):
            criteria = {"a": {name: value}}
            assert store.count(criteria) == plain.count(criteria), criteria


# ---------------------------------------------------------------- indexes of SQLite


def test_an_indexed_field_may_hold_arrays(sqlite):
    sqlite.update([{"material_id": "a", "x": 1}])
    assert keys(sqlite.query({"x": 1})) == ["a"]
    sqlite.update([{"material_id": "b", "x": [1, 5]}, {"material_id": "c", "x": {"y": 1}}])
    assert keys(sqlite.query({"x": 1})) == ["a", "b"]
    assert keys(sqlite.query({"x": {"$gt": 4}})) == ["b"]
    assert keys(sqlite.query({}, sort={"x": -1})) == ["c", "b", "a"]
    assert sqlite.distinct("x") == [1, 5, {"y": 1}]


def test_an_index_finds_text_in_lists(sqlite):
    sqlite.ensure_index("elements")
    rows = {"a": ["O", "Ti"], "b": ["O"], "c": [], "d": "O", "e": ["Os", 'x"O'], "f": [","]}
    sqlite.update([{"material_id": key, "elements": value} for key, value in rows.items()])
    with sqlite._connection.reading() as connection:
        columns = sqlite._table.columns(connection)
    asked = {
        "abd": "O",
        "a": {"$all": ["O", "Ti"]},
        "aef": {"$in": ["Ti", "Os", ","]},
        "cef": {"$ne": "O"},
        "bcdef": {"$nin": ["Ti"]},
        "": {"$in": []},
    }
    for expected, condition in asked.items():
        criteria = {"elements": condition}
        assert columns.narrow(criteria).exact
        assert "".join(keys(sqlite.query(criteria))) == expected
        assert sqlite.count(criteria) == len(expected)
    assert sqlite.distinct("elements") == sorted({"O", "Ti", "Os", 'x"O', ","})


def test_another_connection_learns_of_arrays_at_once(sqlite):
    other = SQLiteStore(sqlite.path, "things", indexes=["x"])
    other.connect()
    assert sqlite.count({"x": 7}) == 0
    other.update({"material_id": "b", "x": [7]})
    assert sqlite.count({"x": 7}) == 1
    other.close()


def test_a_later_index_covers_older_documents_and_other_writers(sqlite):
    other = SQLiteStore(sqlite.path, "things")
    other.connect()
    sqlite.update([{"material_id": f"m{i}", "late": i % 7} for i in range(600)])
    assert other.ensure_index("late")
    sqlite.update([{"material_id": "new", "late": 3}])
    assert sqlite.count({"late": 3}) == sum(i % 7 == 3 for i in range(600)) + 1
    sqlite.update([{"material_id": "odd", "late": [3]}])
    assert other.count({"late": 3}) == sqlite.count({"late": 3})
    assert sum(1 for _ in other.query({"late": 3})) == other.count({"late": 3})
    other.close()


def test_field_names_that_sql_would_confuse(sqlite):
    names = ["doc", "id", "n", "X", "x", "select", 'quo"te', "a b", "ä", "rowid"]
    for name in names:
        assert sqlite.ensure_index(name)
    sqlite.update({"material_id": "a", **{name: i for i, name in enumerate(names)}})
    for i, name in enumerate(names):
        assert sqlite.count({name: i}) == 1
        assert sqlite.count({name: i + 1}) == 0


def test_the_plan_uses_the_index(sqlite):
    with sqlite._connection.reading() as connection:
        plan = connection.execute(
            "EXPLAIN QUERY PLAN SELECT n FROM things WHERE x > 1 AND x < '' ORDER BY x, n LIMIT 5"
        ).fetchall()
    assert "USING COVERING INDEX" in plan[0][3]
    assert len(plan) == 1


def test_operators_cover_what_the_filter_offers():
    assert {"$where", "$expr", "$function"}.isdisjoint(set(Operator))


# ---------------------------------------------------------------- the file


@pytest.fixture
def sqlite(tmp_path):
    store = SQLiteStore(tmp_path / "one.db", "things", indexes=["x"])
    store.connect()
    yield store
    store.close()


def test_a_bulk_update_is_one_transaction(sqlite):
    sqlite.ensure_index("name", unique=True)
    batch = [{"material_id": str(i), "name": str(i % 50)} for i in range(60)]
    with pytest.raises(DuplicateKeyError):
        sqlite.update(batch)
    assert sqlite.count() == 0


def test_pickle_and_dictionary(sqlite):
    sqlite.update({"material_id": "a"})
    for copy in (
        pickle.loads(pickle.dumps(sqlite)),
        SQLiteStore.from_dict(json.loads(json.dumps(sqlite.as_dict()))),
    ):
        assert copy == sqlite
        copy.connect()
        assert keys(copy.query()) == ["a"]
        assert copy.indexes == ["x"]
        copy.close()


def test_read_only(sqlite):
    sqlite.update({"material_id": "a"})
    reader = SQLiteStore(sqlite.path, "things", read_only=True)
    reader.connect()
    assert keys(reader.query()) == ["a"]
    with pytest.raises(DatabaseUnavailableError):
        reader.update({"material_id": "b"})
    assert not reader.ensure_index("unknown")
    reader.close()


def test_not_a_database(tmp_path):
    path = tmp_path / "text.db"
    path.write_text("this is no database, it is text that goes on for a while" * 20)
    with pytest.raises(DatabaseUnavailableError, match="not an SQLite database"):
        SQLiteStore(path, "things").connect()


def test_no_folder(tmp_path):
    with pytest.raises(DatabaseUnavailableError, match=r"none/a\.db"):
        SQLiteStore(tmp_path / "none" / "a.db", "things").connect()


def test_a_newer_layout_is_refused(tmp_path):
    path = tmp_path / "new.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(SchemaTooNewError):
        SQLiteStore(path, "things").connect()


def test_a_full_disk(sqlite):
    sqlite.update({"material_id": "a"})
    connection = sqlite._connection._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count={pages + 2}")
    with pytest.raises(DiskFullError):
        sqlite.update([{"material_id": f"m{i}", "text": "x" * 1000} for i in range(100)])
    assert keys(sqlite.query()) == ["a"]
    connection.execute("PRAGMA max_page_count=1000000")
    sqlite.update({"material_id": "b"})
    assert sqlite.count() == 2


def test_a_damaged_file(tmp_path):
    path = tmp_path / "bad.db"
    store = SQLiteStore(path, "things")
    store.connect()
    store.update([{"material_id": f"m{i}", "text": "x" * 500} for i in range(200)])
    store.close()
    content = bytearray(path.read_bytes())
    for start in range(4096, len(content), 4096):
        content[start : start + 64] = b"\xff" * 64
    path.write_bytes(content)
    with pytest.raises(CorruptDataError), store:
        list(store.query())


def test_a_damaged_document(sqlite):
    sqlite.update({"material_id": "a"})
    with sqlite._connection.writing() as connection:
        connection.execute("UPDATE things SET doc = '{\"material_id\": '")
    with pytest.raises(CorruptDataError):
        list(sqlite.query())


def test_a_locked_file(sqlite, monkeypatch):
    monkeypatch.setattr("stores.sqlite_connection.BUSY_SECONDS", 0.05)
    second = SQLiteStore(sqlite.path, "things")
    second.connect()
    with sqlite._connection.writing() as connection:
        connection.execute("DELETE FROM things")
        with pytest.raises(DatabaseUnavailableError, match="Another process"):
            second.update({"material_id": "a"})
    second.close()


def test_using_a_forked_child_leaves_the_parent_intact(sqlite):
    sqlite.update({"material_id": "parent"})
    with sqlite._connection._lock:  # a lock held by another thread at the fork must not matter
        child = os.fork()
        if child == 0:
            code = 1
            try:
                sqlite.update({"material_id": "child"})
                sqlite.close()
                code = 0
            finally:
                os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    sqlite.update({"material_id": "after"})
    assert sorted(keys(sqlite.query())) == ["after", "child", "parent"]


def fork(work):
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


def test_four_processes_write_without_loss(tmp_path):
    path = tmp_path / "many.db"

    def write(name):
        store = SQLiteStore(path, "things")
        store.connect()
        for i in range(100):
            store.update({"material_id": f"{name}-{i}"})
            store.insert_new({"material_id": f"shared-{i}", "by": name})
        store.close()

    children = [fork(lambda name=name: write(name)) for name in range(4)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    store = SQLiteStore(path, "things")
    store.connect()
    assert store.count() == 500
    assert len(store.distinct("material_id")) == 500
    store.close()


def test_killed_writers_leave_whole_batches(tmp_path):
    path = tmp_path / "killed.db"
    store = SQLiteStore(path, "things", indexes=["batch"])
    store.connect()
    store.close()

    def write():
        writer = SQLiteStore(path, "things")
        writer.connect()
        batch = 0
        while True:
            name = f"{os.getpid()}-{batch}"
            writer.update([{"material_id": f"{name}-{i}", "batch": name} for i in range(10)])
            batch += 1

    for delay in (0.03, 0.05, 0.08, 0.1, 0.15):
        child = fork(write)
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    store.connect()
    sizes = {len(group) for _, group in store.groupby("batch")}
    assert sizes == {10}
    with store._connection.reading() as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    store.close()


# ---------------------------------------------------------------- in the company of others


class Doubled(MapBuilder):
    def unary_function(self, item):
        return {"twice": 2 * item["x"]}


@pytest.fixture
def quiet_root(monkeypatch):
    """Take back what a builder's run does to the root logger, for the tests that come after."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", list(root.handlers))
    level = root.level
    yield
    root.setLevel(level)


@pytest.mark.usefixtures("quiet_root")
def test_map_builder_is_incremental(tmp_path):
    source = SQLiteStore(tmp_path / "a.db", "source")
    target = SQLiteStore(tmp_path / "a.db", "target")
    source.connect()
    early = datetime(2026, 1, 1)
    source.update([{"material_id": str(i), "x": i, "last_updated": early} for i in range(5)])
    Doubled(source=source, target=target).run()
    source.connect()
    target.connect()
    assert target.distinct("twice") == [0, 2, 4, 6, 8]
    assert target.newer_in(source, exhaustive=True) == []
    source.update({"material_id": "3", "x": 30, "last_updated": datetime(2026, 2, 1)})
    assert target.newer_in(source, exhaustive=True) == ["3"]
    assert target.newer_in(source) == ["3"]
    assert source.last_updated == datetime(2026, 2, 1)
    source.close()
    target.close()


@pytest.mark.filterwarnings("ignore:cd is deprecated:FutureWarning")  # jobflow calls monty's
def test_jobflow_keeps_outputs_and_blobs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    from jobflow import Flow, JobStore, job, run_locally

    path = tmp_path / "jobs.db"
    job_store = JobStore(
        SQLiteStore(path, "outputs"), additional_stores={"data": SQLiteStore(path, "blobs")}
    )

    first = job(_produce, data="big")(3)
    second = job(_consume)(first.output)
    run_locally(Flow([first, second]), store=job_store, ensure_success=True)
    copy = pickle.loads(pickle.dumps(job_store))
    copy.connect()
    assert copy.get_output(second.uuid) == 6
    assert copy.get_output(first.uuid, load=True)["big"] == [0, 1, 2]
    assert copy.count() == 2
    raw = copy.docs_store.query_one({"uuid": first.uuid})
    assert "blob_uuid" in raw["output"]["big"]
    copy.close()
    job_store.close()


def test_jobflow_reads_the_store_from_a_file(tmp_path):
    from jobflow import JobStore

    file = tmp_path / "store.yaml"
    file.write_text(
        f"docs_store:\n  type: SQLiteStore\n  path: {tmp_path}/a.db\n  collection_name: outputs\n"
    )
    job_store = JobStore.from_file(file)
    job_store.connect()
    job_store.update({"uuid": "u", "index": 1, "output": 5})
    assert job_store.get_output("u") == 5
    job_store.close()


def _produce(n):
    return {"big": list(range(n)), "n": n}


def _consume(value):
    return 2 * value["n"]
