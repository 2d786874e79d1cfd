"""Trained models as files: there and back, and nothing else is taken for one."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from screening import model_files
from screening.errors import (
    ModelCorruptError,
    ModelRefusedError,
    ModelUnavailableError,
    SerializationError,
    SettingError,
    TooLargeError,
)
from screening.packed_arrays import canonical, pack, unpack
from screening.trained_model import TrainedModel
from stores.model_files import read_model, write_model

MODEL = TrainedModel(
    method="linear-descriptor-entropy",
    name="clusters",
    elements=(18,),
    arrays={"header": np.arange(4), "weights": np.random.default_rng(3).normal(size=(7, 7))},
    state={"alpha": 1e-3, "species": [18], "nested": {"deep": [None, True, "x"]}},
    card={"rmse_k_b": 0.4, "text": "Å"},
    training_set_digest="d" * 64,
    n_training_samples=630,
)


@pytest.fixture
def file(tmp_path):
    return write_model(tmp_path / "new" / "clusters.psm", MODEL)


def changed(file, **changes):
    """Write a file whose header says something else, or nothing."""
    arrays = unpack(file.read_bytes(), "test")
    header = json.loads(arrays["header"].tobytes()) | changes
    text = json.dumps(header).encode()
    file.write_bytes(pack(canonical({**arrays, "header": np.frombuffer(text, np.uint8)})))
    return file


def test_a_model_comes_back_bit_for_bit(file):
    found = read_model(file)
    assert found.digest == MODEL.digest
    for field in ("method", "name", "elements", "state", "card", "training_set_digest"):
        assert getattr(found, field) == getattr(MODEL, field), field
    assert found.n_training_samples == 630
    assert {x: found.arrays[x].tobytes() for x in found.arrays} == {
        x: MODEL.arrays[x].tobytes() for x in MODEL.arrays
    }
    assert [one.name for one in file.parent.iterdir()] == ["clusters.psm"]


def test_the_same_model_gives_the_same_bytes(file, tmp_path):
    again = write_model(tmp_path / "again.psm", read_model(file))
    assert again.read_bytes() == file.read_bytes()


def test_a_digest_can_be_asked_for(file):
    of_file = hashlib.sha256(file.read_bytes()).hexdigest()
    for wanted in (of_file, of_file[:8].upper(), MODEL.digest, MODEL.digest[:12]):
        assert read_model(file, wanted).digest == MODEL.digest
    with pytest.raises(ModelRefusedError, match=MODEL.digest):
        read_model(file, "0" * 64)
    for nonsense in ("abc", "x" * 64, "0" * 65):
        with pytest.raises(SettingError, match="no SHA-256"):
            read_model(file, nonsense)


def test_every_flipped_byte_is_noticed(file):
    whole = file.read_bytes()
    for place in range(0, len(whole), 7):
        broken = bytearray(whole)
        broken[place] ^= 1
        file.write_bytes(bytes(broken))
        with pytest.raises(ModelCorruptError):
            read_model(file)
    for length in (0, 3, 40, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(ModelCorruptError):
            read_model(file)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"state": {"alpha": 2e-3}}, "digest"),
        ({"elements": [18, 36]}, "digest"),
        ({"method": "random-forest-force-constants"}, "digest"),
        ({"method": "potential-phonons"}, "no such method"),
        ({"name": "../../etc/passwd"}, "cannot name"),
        ({"format": "something else"}, "field format"),
        ({"version": 2}, "field version"),
        ({"extra": 1}, "field extra"),
        ({"state": {"alpha": float("nan")}}, "the header is no JSON"),
        ({"n_training_samples": -1}, "field n_training_samples"),
    ],
)
def test_a_well_packed_lie_is_noticed(file, changes, message):
    with pytest.raises(ModelCorruptError, match=message):
        read_model(changed(file, **changes))


@pytest.mark.parametrize(
    "arrays",
    [
        {"arrays/weights": np.ones(3)},
        {"header": np.ones(3)},
        {"header": np.frombuffer(b"[]", np.uint8)},
        {"header": np.frombuffer(b"[" * 100_000, np.uint8)},
    ],
)
def test_other_packed_arrays_are_no_model(tmp_path, arrays):
    path = tmp_path / "x.psm"
    path.write_bytes(pack(canonical(arrays)))
    with pytest.raises(ModelCorruptError):
        read_model(path)


def test_an_impossible_size_is_refused_before_it_is_made(tmp_path):
    for sizes in ("[1e999]", "[9000000000000000]", "[-1]"):
        header = f'[["header", "|u1", {sizes}, "|u1", 3]]'.encode()
        body = len(header).to_bytes(4, "big") + header + b"abc"
        path = tmp_path / "x.psm"
        path.write_bytes(b"PSB1" + hashlib.sha256(body).digest() + body)
        with pytest.raises(ModelCorruptError):
            read_model(path)


def test_files_that_cannot_be_read_say_so(tmp_path, file, monkeypatch):
    with pytest.raises(ModelUnavailableError, match="No such file"):
        read_model(tmp_path / "nothing.psm")
    with pytest.raises(ModelUnavailableError):
        read_model(tmp_path)
    monkeypatch.setattr(model_files, "MAX_BYTES", 10)
    with pytest.raises(TooLargeError):
        read_model(file)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"name": "a/b"}, SettingError),
        ({"state": {"a.b": 1}}, SerializationError),
        ({"state": {"a": float("inf")}}, SerializationError),
        ({"arrays": {"x": np.array([np.inf])}}, SerializationError),
        ({"training_set_digest": ""}, SerializationError),
    ],
)
def test_what_cannot_be_written_leaves_the_old_file(file, change, error):
    before = file.read_bytes()
    with pytest.raises(error):
        write_model(file, replace(MODEL, **change))
    assert file.read_bytes() == before
