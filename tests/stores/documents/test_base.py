"""The rules of all documents: digests, versions, migrations, finite numbers, storable keys."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from screening.errors import CorruptDataError, SchemaTooNewError, SerializationError
from stores.documents.base import Document, PlainJson, Provenance, content_digest_of


class Reading(Document):
    """A document of three schema versions."""

    KEY: ClassVar[str] = "reading_id"
    SCHEMA_VERSION: ClassVar[int] = 3
    MIGRATIONS: ClassVar = {
        1: lambda old: {k: v for k, v in old.items() if k != "name"} | {"reading_id": old["name"]},
        2: lambda old: old | {"value_k": old["value_k"] + 273.15},
    }

    reading_id: str = Field(description="Key.")
    value_k: float = Field(description="Temperature in K.")
    settings: PlainJson = Field(description="Settings.")


def reading(**changes):
    fields = {"reading_id": "r1", "value_k": 300.0, "settings": {}, "provenance": Provenance.now()}
    return Reading.build(**fields | changes)


def stored_as(version, **fields):
    plain = {
        "schema_version": version,
        "provenance": Provenance.now().model_dump(mode="json"),
        "settings": {},
        "value_k": 26.85,
    } | fields
    return plain | {"content_digest": content_digest_of(plain), "last_updated": None}


def test_round_trip_is_exact():
    document = reading(value_k=0.1 + 0.2, settings={"a": [1, 2.5, None, {"b": "ü"}]})
    stored = document.to_store()
    assert stored["_id"] == "r1"
    assert Reading.load(stored) == document
    assert Reading.load(json.loads(json.dumps(stored, default=str))) == document


def test_document_is_json_but_for_its_time():
    stored = reading().to_store()
    assert isinstance(stored.pop("last_updated"), datetime)
    assert json.loads(json.dumps(stored, allow_nan=False)) == stored


def test_time_is_utc_with_milliseconds_wherever_it_comes_from():
    moment = datetime(2026, 1, 1, 13, 0, 0, 123456, tzinfo=timezone(timedelta(hours=1)))
    expected = datetime(2026, 1, 1, 12, 0, 0, 123000, tzinfo=UTC)
    assert reading(last_updated=moment).last_updated == expected
    naive = expected.replace(tzinfo=None)
    assert Reading.load(reading().to_store() | {"last_updated": naive}).last_updated == expected
    assert Reading.load(reading().to_store() | {"last_updated": None}).last_updated is None


def test_digest_ignores_the_time_and_nothing_else():
    one = reading()
    assert one.replaced(last_updated=datetime(2020, 1, 1, tzinfo=UTC)).content_digest == (
        one.content_digest
    )
    assert one.replaced(value_k=300.0000001).content_digest != one.content_digest
    assert one.to_store()["content_digest"] == one.content_digest


@pytest.mark.parametrize(
    "damage",
    [
        {"value_k": 300.5},
        {"reading_id": "r2"},
        {"settings": {"x": 1}},
        {"foreign": 1},
        {"content_digest": "0" * 64},
        {"content_digest": None},
        {"value_k": math.nan},
    ],
)
def test_a_changed_document_is_corrupt(damage):
    with pytest.raises(CorruptDataError):
        Reading.load(reading().to_store() | damage)


def test_every_single_missing_field_is_corrupt():
    stored = reading().to_store()
    for name in set(stored) - {"_id", "last_updated"}:
        with pytest.raises(CorruptDataError):
            Reading.load({key: value for key, value in stored.items() if key != name})


def test_corrupt_names_the_field():
    stored = stored_as(3, reading_id="r1", value_k="warm")
    with pytest.raises(CorruptDataError, match="field value_k"):
        Reading.load(stored)


def test_a_foreign_id_is_corrupt():
    with pytest.raises(CorruptDataError, match="_id"):
        Reading.load(reading().to_store() | {"_id": "other"})


@pytest.mark.parametrize("version", [None, "1", 0, -1, True, 1.0])
def test_a_senseless_version_is_corrupt(version):
    with pytest.raises(CorruptDataError, match="schema_version"):
        Reading.load(stored_as(version, reading_id="r1"))


def test_older_versions_are_lifted_step_by_step():
    first = Reading.load(stored_as(1, name="r1"))
    second = Reading.load(stored_as(2, reading_id="r1"))
    assert first.value_k == second.value_k == 300.0
    assert first.schema_version == 3
    assert Reading.load(first.to_store()) == first


def test_newer_versions_are_refused():
    with pytest.raises(SchemaTooNewError, match="Update"):
        Reading.load(stored_as(4, reading_id="r1", news=1))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_number_that_is_not_finite_is_built(value):
    with pytest.raises(SerializationError, match="value_k"):
        reading(value_k=value)
    with pytest.raises(SerializationError, match="settings"):
        reading(settings={"a": [{"b": value}]})


@pytest.mark.parametrize("key", ["300", "a.b", "$set", "a$", "a\0", "", 300])
def test_no_key_is_built_that_a_database_cannot_hold(key):
    with pytest.raises(SerializationError, match="settings"):
        reading(settings={"a": {key: 1}})


@pytest.mark.parametrize("value", [object(), 1j, {1, 2}, b"x", datetime.now(UTC)])
def test_no_value_is_built_that_is_not_plain(value):
    with pytest.raises(SerializationError):
        reading(settings={"a": value})


def test_unknown_fields_are_refused():
    with pytest.raises(SerializationError, match="extra"):
        reading(extra=1)


def test_documents_are_frozen():
    with pytest.raises(Exception, match="frozen"):
        reading().value_k = 1.0


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values, max_size=3))
def test_anything_is_stored_exactly_or_refused_by_code(settings):
    try:
        document = reading(settings=settings)
        stored = document.to_store()
    except SerializationError:
        return
    again = Reading.load(json.loads(json.dumps(stored, default=str)))
    assert again.content_digest == stored["content_digest"]
