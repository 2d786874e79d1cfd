"""Filters become criteria without a database, or errors that help."""

# ruff: noqa: DTZ001 - databases keep times in UTC without zone

from __future__ import annotations

import contextlib
import sys
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from screening.errors import QueryError
from stores import query
from stores.query import parse_filter, parse_sort

FIELDS = {
    "formula": str,
    "verdict": str,
    "n_atoms": int,
    "lowest_frequency_thz": float,
    "thermodynamics_valid": bool,
    "elements": str,
    "last_updated": datetime,
    "settings.mesh": float,
}


@pytest.mark.parametrize(
    ("text", "criteria"),
    [
        ("", {}),
        ("  ", {}),
        ("{}", {}),
        ("n_atoms = 2", {"n_atoms": {"$eq": 2}}),
        ("n_atoms==2", {"n_atoms": {"$eq": 2}}),
        ("lowest_frequency_thz>-0.1", {"lowest_frequency_thz": {"$gt": -0.1}}),
        ("lowest_frequency_thz <= 1e-3", {"lowest_frequency_thz": {"$lte": 0.001}}),
        ("verdict != stable", {"verdict": {"$ne": "stable"}}),
        ("formula in TiO2,SiO2", {"formula": {"$in": ["TiO2", "SiO2"]}}),
        ("formula in (TiO2, 'Si O2')", {"formula": {"$in": ["TiO2", "Si O2"]}}),
        ("formula not in TiO2", {"formula": {"$nin": ["TiO2"]}}),
        ("formula = Ca3(PO4)2", {"formula": {"$eq": "Ca3(PO4)2"}}),
        ('formula = "and"', {"formula": {"$eq": "and"}}),
        ("formula = 2", {"formula": {"$eq": "2"}}),
        ("formula = null", {"formula": {"$eq": None}}),
        ("elements has O,Ti", {"elements": {"$all": ["O", "Ti"]}}),
        ("verdict exists", {"verdict": {"$exists": True}}),
        ("verdict missing", {"verdict": {"$exists": False}}),
        ("thermodynamics_valid = TRUE", {"thermodynamics_valid": {"$eq": True}}),
        ("settings.mesh = 2", {"settings.mesh": {"$eq": 2}}),
        ("last_updated > 2026-01-02", {"last_updated": {"$gt": datetime(2026, 1, 2)}}),
        (
            "n_atoms = 1 and n_atoms = 2 or n_atoms = 3",
            {
                "$or": [
                    {"$and": [{"n_atoms": {"$eq": 1}}, {"n_atoms": {"$eq": 2}}]},
                    {"n_atoms": {"$eq": 3}},
                ]
            },
        ),
        (
            "n_atoms = 1 AND (n_atoms = 2 OR n_atoms = 3)",
            {
                "$and": [
                    {"n_atoms": {"$eq": 1}},
                    {"$or": [{"n_atoms": {"$eq": 2}}, {"n_atoms": {"$eq": 3}}]},
                ]
            },
        ),
        ("not (n_atoms > 8)", {"$nor": [{"n_atoms": {"$gt": 8}}]}),
        ('{"n_atoms": 2}', {"n_atoms": {"$eq": 2}}),
        (
            '{"n_atoms": {"$gt": 2, "$lte": 8}, "verdict": null}',
            {"$and": [{"n_atoms": {"$gt": 2, "$lte": 8}}, {"verdict": {"$eq": None}}]},
        ),
        ('{"$or": [{"n_atoms": 2}]}', {"$or": [{"n_atoms": {"$eq": 2}}]}),
        ('{"n_atoms": {"$not": {"$in": [1]}}}', {"n_atoms": {"$not": {"$in": [1]}}}),
        ({"elements": {"$all": ["O"]}}, {"elements": {"$all": ["O"]}}),
    ],
)
def test_filters(text, criteria):
    assert parse_filter(text, FIELDS) == criteria


@pytest.mark.parametrize(
    "text",
    [
        "n_atoms",
        "n_atoms <",
        "n_atoms = ",
        "= 2",
        "n_atoms = 2 and",
        "n_atoms = 2 n_atoms = 3",
        "(n_atoms = 2",
        "n_atoms = 2)",
        "n_atoms in",
        "n_atoms not 2",
        "n_atoms ! 2",
        "n_atoms = 'open",
        "n_atoms = text",
        "n_atoms < 1e999",
        "n_atoms = 99999999999999999999",
        "verdict = a = b",
        "last_updated > yesterday",
        "thermodynamics_valid = 1",
        "{",
        "[1]",
        '{"n_atoms": NaN}',
        '{"n_atoms": {"$regex": "a"}}',
        '{"n_atoms": {"$where": "1"}}',
        '{"$where": "1"}',
        '{"$expr": {}}',
        '{"n_atoms": [1, 2]}',
        '{"n_atoms": {"a": 1}}',
        '{"n_atoms": {}}',
        '{"n_atoms": {"$in": "text"}}',
        '{"n_atoms": {"$in": [[1]]}}',
        '{"n_atoms": {"$exists": 1}}',
        '{"$or": []}',
        '{"$or": [{}]}',
        '{"$and": {"n_atoms": 1}}',
        "(" * 200 + "n_atoms = 1",
        '{"$and": [' * 50 + '{"n_atoms": 1}' + "]}" * 50,
        "[" * 100_000,
        '{"a":' * 10_000,
        '{"a":' * 3_000,
        '{"$and":[' * 1_500,
        " or ".join(["n_atoms = 1"] * 500),
        "not " * 5000 + "n_atoms = 1",
        "n_atoms in " + ",".join(["1"] * 20_000),
    ],
)
def test_bad_filters(text):
    with pytest.raises(QueryError):
        parse_filter(text, FIELDS)


def test_deep_json_is_refused_whatever_the_recursion_limit():
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    try:
        for text in ('{"a":' * 3_900, '{"a":' + "[" * 19_000):
            with pytest.raises(QueryError, match="brackets"):
                parse_filter(text, FIELDS)
    finally:
        sys.setrecursionlimit(before)


def test_a_list_of_fields_that_is_cut_off_says_so():
    names = [f"field_{number:02d}" for number in range(25)]
    with pytest.raises(QueryError, match="field_19 and 5 more"):
        parse_filter("zzz = 1", names)
    with pytest.raises(QueryError) as caught:
        parse_filter("zzz = 1", names[:20])
    assert "more" not in str(caught.value)


def test_an_unknown_field_lists_close_ones():
    with pytest.raises(QueryError, match="unknown field 'lowest_frequency'") as caught:
        parse_filter("lowest_frequency > 1", FIELDS)
    assert "lowest_frequency_thz" in caught.value.hint
    with pytest.raises(QueryError) as caught:
        parse_filter({"zzz": 1}, FIELDS)
    assert "formula" in caught.value.hint


def test_the_message_has_the_position():
    with pytest.raises(QueryError, match="at character 13"):
        parse_filter("n_atoms = 2 xor n_atoms = 3", FIELDS)


def test_untyped_fields_take_any_scalar():
    assert parse_filter("a = x and b = 1", ["a", "b"]) == {
        "$and": [{"a": {"$eq": "x"}}, {"b": {"$eq": 1}}]
    }


@given(st.text(max_size=60))
def test_any_text_is_a_filter_or_a_query_error(text):
    with contextlib.suppress(QueryError):
        assert isinstance(parse_filter(text, FIELDS), dict)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["n_atoms", "formula", "$and", "$or", "$in", "$gt", "$where", "x"]),
                inner,
                max_size=3,
            )
        ),
    )
)
def test_only_listed_operators_pass(value):
    try:
        criteria = parse_filter(value, FIELDS) if isinstance(value, dict) else {}
    except QueryError:
        return
    assert _operators(criteria) <= set(query.Operator)


def _operators(value):
    if isinstance(value, dict):
        own = {key for key in value if key.startswith("$")}
        return own.union(*map(_operators, value.values()))
    return set().union(*map(_operators, value)) if isinstance(value, list) else set()


def test_sort():
    assert parse_sort("-n_atoms,+formula", FIELDS) == {"n_atoms": -1, "formula": 1}
    assert parse_sort("", FIELDS) == {}
    with pytest.raises(QueryError, match="natoms"):
        parse_sort("natoms", FIELDS)


def test_helpers():
    assert query.and_() == {}
    assert query.or_({"a": 1}, {}) == {}
    assert query.between("a", 1, 2) == {"a": {"$gte": 1, "$lte": 2}}
    assert query.newer_than("t", datetime(2026, 1, 1)) == {"t": {"$gt": datetime(2026, 1, 1)}}
    assert query.not_in("a", {1}) == {"a": {"$nin": [1]}}
    with pytest.raises(QueryError):
        query.compare("a", "~", 1)
