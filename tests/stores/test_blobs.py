"""Arrays come back bit for bit, or not at all."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from screening.errors import CorruptDataError, NotFoundError, SerializationError
from screening.packed_arrays import canonical, content_digest, pack, unpack
from stores.blob_backends import MongoBlobs, SQLiteBlobs
from stores.blobs import BlobStore
from stores.memory import MemoryDocumentStore, forget_space

MEGABYTE = 1_000_000


@pytest.fixture
def blobs(database):
    return database.blobs


def same(left, right):
    return (
        left.keys() == right.keys()
        and all(left[n].dtype == right[n].dtype for n in left)
        and all(left[n].shape == right[n].shape for n in left)
        and all(left[n].tobytes() == right[n].tobytes() for n in left)
    )


def test_round_trip(blobs):
    arrays = {
        "forces": np.random.default_rng(1).normal(size=(4, 192, 3)),
        "float32": np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32),
        "integers": np.arange(10),
        "flags": np.array([True, False]),
        "complex": np.array([1 + 2j]),
        "scalar": np.array(2.5),
        "nothing": np.zeros((0, 3)),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "negative_zero": np.array([-0.0, 0.0]),
    }
    reference = blobs.put(arrays)
    found = blobs.get(reference.sha256)
    assert same(found, {name: np.array(x, order="C") for name, x in sorted(arrays.items())})
    assert reference.n_raw_bytes == sum(x.nbytes for x in arrays.values())
    assert reference.sha256 in blobs
    assert "0" * 64 not in blobs
    with pytest.raises(ValueError, match="read-only"):
        found["forces"][0] = 1


def test_single_precision_is_stored_as_such_and_comes_back_double():
    rough = np.random.default_rng(2).normal(size=3000)
    smooth = rough.astype(np.float32).astype(np.float64)
    assert len(pack({"a": smooth})) < 0.62 * len(pack({"a": rough}))
    assert same(unpack(pack({"a": smooth}), ""), {"a": smooth})


@pytest.mark.parametrize("size", [15.9, 16.1, 40.0])
def test_large_blobs(blobs, size):
    count = int(size * MEGABYTE / 8)
    array = np.random.default_rng(3).normal(size=count)
    reference = blobs.put({"a": array})
    assert reference.n_raw_bytes == count * 8
    assert np.array_equal(blobs.get(reference.sha256)["a"], array)


def test_put_is_idempotent(blobs):
    first = blobs.put({"a": np.arange(3.0), "b": np.arange(2)})
    second = blobs.put({"b": np.arange(2), "a": np.arange(3.0)})
    assert first == second
    assert blobs.digests() == {first.sha256}


def test_the_digest_knows_names_types_and_shapes():
    a = np.arange(4.0)
    digests = {
        content_digest(canonical(arrays))
        for arrays in (
            {"a": a},
            {"b": a},
            {"a": a.reshape(2, 2)},
            {"a": a.astype(np.float32)},
            {"a": a.astype(np.int64)},
            {"a": a, "b": a},
            {"a": -a},
        )
    }
    assert len(digests) == 7
    assert content_digest(canonical({"a": a.astype(">f8")})) == content_digest(canonical({"a": a}))


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"a": np.array([np.nan])},
        {"a": np.array([np.inf])},
        {"a": np.array(["text"])},
        {"a": np.array([object()])},
        {"": np.array([1])},
        {1: np.array([1])},
        {"a": np.array(["2026-01-01"], dtype="datetime64[s]")},
    ],
)
def test_what_is_no_finite_number_is_refused(blobs, arrays):
    with pytest.raises(SerializationError):
        blobs.put(arrays)
    assert blobs.digests() == set()


def test_unknown_digest(blobs):
    with pytest.raises(NotFoundError):
        blobs.get("0" * 64)


def test_every_flipped_bit_is_noticed():
    packed = pack(canonical({"a": np.random.default_rng(4).normal(size=8), "b": np.arange(3)}))
    for position in range(len(packed)):
        for bit in range(8):
            damaged = bytearray(packed)
            damaged[position] ^= 1 << bit
            with pytest.raises(CorruptDataError):
                unpack(bytes(damaged), "blob")


def test_every_shortened_blob_is_noticed():
    packed = pack(canonical({"a": np.arange(3.0)}))
    for length in range(len(packed)):
        with pytest.raises(CorruptDataError):
            unpack(packed[:length], "blob")
    with pytest.raises(CorruptDataError):
        unpack(packed + b"\0", "blob")


def damage(blobs, digest):
    backend = blobs._backend
    if isinstance(backend, SQLiteBlobs):
        with backend._connection.writing() as connection:
            connection.execute(f"UPDATE {backend.TABLE} SET data = substr(data, 1, 50)")
        return
    whole = backend._store.query_one({"_id": digest})
    piece = backend._store.query_one({"_id": f"{whole['pieces']}:0"})
    backend._store.update({**piece, "data": piece["data"][:50]})


def test_a_damaged_blob_is_not_served_and_is_repaired_by_putting_it_again(blobs):
    arrays = {"a": np.arange(100.0)}
    digest = blobs.put(arrays).sha256
    damage(blobs, digest)
    with pytest.raises(CorruptDataError):
        blobs.get(digest)
    blobs.put(arrays)
    assert same(blobs.get(digest), arrays)


def test_a_blob_under_a_foreign_digest_is_not_served(tmp_path):
    backend = SQLiteBlobs(str(tmp_path / "a.db"))
    backend.put("0" * 64, [pack(canonical({"a": np.arange(3)}))], 0.0)
    with pytest.raises(CorruptDataError, match="digest"):
        BlobStore(backend).get("0" * 64)
    backend.close()


def test_pieces(tmp_path):
    arrays = {"a": np.random.default_rng(5).normal(size=1000)}
    memory = MemoryDocumentStore("blobs", "pieces", "_id")
    for backend in (
        SQLiteBlobs(str(tmp_path / "a.db"), chunk_bytes=1000),
        MongoBlobs(memory, chunk_bytes=1000),
    ):
        store = BlobStore(backend)
        reference = store.put(arrays)
        assert len(backend.get(reference.sha256)) == -(-reference.n_bytes // 1000) > 5
        assert same(store.get(reference.sha256), arrays)
        store.close()
    forget_space("pieces")


def test_orphans(blobs):
    used, unused = (blobs.put({"a": np.arange(n)}).sha256 for n in (3, 4))
    assert blobs.orphans([used]) == set()
    assert blobs.delete_orphans([used]) == 0
    assert blobs.orphans([used], min_age_s=0) == {unused}
    assert blobs.missing([used, "0" * 64]) == {"0" * 64}
    assert blobs.delete_orphans([used], min_age_s=0) == 1
    assert blobs.digests() == {used}
    with pytest.raises(NotFoundError):
        blobs.get(unused)


def test_pieces_of_a_process_that_died_are_swept():
    memory = MemoryDocumentStore("blobs", "swept", "_id")
    store = BlobStore(MongoBlobs(memory))
    memory.update({"_id": "x:0", "batch": "x", "put_time_s": 0.0, "data": b"1"})
    digest = store.put({"a": np.arange(3)}).sha256
    store.delete_orphans([digest])
    assert memory.count({"batch": "x"}) == 0
    assert store.get(digest)["a"].tolist() == [0, 1, 2]
    forget_space("swept")


def test_threads_put_the_same(blobs):
    arrays = {"a": np.arange(1000.0)}
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(blobs.put(arrays).sha256)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert same(blobs.get(found[0]), arrays)


NUMBERS = st.one_of(
    st_numpy.floating_dtypes(sizes=(32, 64)), st_numpy.integer_dtypes(), st_numpy.boolean_dtypes()
)


@given(
    st_numpy.arrays(
        NUMBERS,
        st_numpy.array_shapes(min_dims=0, max_dims=3, min_side=0),
        elements={"allow_nan": False, "allow_infinity": False},
    )
)
def test_any_array_comes_back(array):
    plain = canonical({"a": array})
    assert same(unpack(pack(plain), ""), plain)
    assert np.array_equal(plain["a"], array)
