import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from screening.digest import digest_of, digest_of_bytes, digest_of_file
from screening.errors import SerializationError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip


@settings(deadline=None)
@given(st.dictionaries(st.text(), JSON, min_size=2, max_size=6))
def test_order_of_keys_does_not_matter(value: dict[str, object]) -> None:
    assert digest_of(value) == digest_of(dict(reversed(value.items())))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"a": 2}),
        ([1, 2], [2, 1]),
        ({"a": 1}, {"a": "1"}),
        ({"a": None}, {}),
        (1.0, 1.0 + 2e-16),
        ("a", ["a"]),
    ],
)
def test_different_values_have_different_digests(one: object, other: object) -> None:
    assert digest_of(one) != digest_of(other)


def test_digest_is_pinned_across_releases() -> None:
    assert digest_of({"b": [1, 2.5, None], "a": "é"}) == (
        "84afbf1d4853005f9dd0c81cb1819b53ce86978340764c062160f6e8356665de"
    )


@pytest.mark.parametrize(
    "value", [float("nan"), {"a": float("inf")}, np.float64("nan"), {1, 2}, b"x", np.ones(2)]
)
def test_what_is_no_json_is_refused(value: object) -> None:
    with pytest.raises(SerializationError):
        digest_of(value)


def test_bytes_and_files_agree_with_the_standard(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    file = tmp_path / "data"
    file.write_bytes(data)
    expected = hashlib.sha256(data).hexdigest()
    assert digest_of_bytes(data) == digest_of_file(file) == expected
