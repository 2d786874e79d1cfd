from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest

from screening.errors import ModelCorruptError, SettingError
from screening.network_potential.checkpoint import Checkpoint, CheckpointFile


@pytest.fixture
def file(tmp_path):
    return CheckpointFile(tmp_path / "new folder" / "last.npz")


CHECKPOINT = Checkpoint(
    {"epoch": 3, "history": [{"loss": 0.1}]},
    {"weight/a": np.arange(6.0, dtype=np.float32).reshape(2, 3), "step/a": np.array(7.0)},
)


def test_what_is_written_is_read(file):
    assert file.read() is None
    file.write(CHECKPOINT)
    found = file.read()
    assert found.header["epoch"] == 3
    assert found.header["history"] == [{"loss": 0.1}]
    assert set(found.arrays) == set(CHECKPOINT.arrays)
    for name, array in CHECKPOINT.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array, strict=True)
    assert [one.name for one in file.path.parent.iterdir()] == ["last.npz"]


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(file, monkeypatch):
    file.write(CHECKPOINT)
    before = file.path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(SettingError, match="No space left"):
        file.write(Checkpoint({"epoch": 4}, {}))
    assert file.path.read_bytes() == before
    assert [one.name for one in file.path.parent.iterdir()] == ["last.npz"]


@pytest.mark.parametrize("share", np.linspace(0.0, 0.999, 25))
def test_one_flipped_bit_is_found(file, share):
    file.write(CHECKPOINT)
    data = bytearray(file.path.read_bytes())
    place = int(share * len(data))
    data[place] ^= 4
    file.path.write_bytes(data)
    with suppress(ModelCorruptError):
        found = file.read()
        # a bit that the archive does not mean anything by
        assert found.header["epoch"] == 3
        np.testing.assert_array_equal(found.arrays["weight/a"], CHECKPOINT.arrays["weight/a"])


@pytest.mark.parametrize("data", [b"", b"PK", b"\x80\x04K\x01.", b"x" * 100])
def test_other_files_are_refused(file, data):
    file.path.parent.mkdir()
    file.path.write_bytes(data)
    with pytest.raises(ModelCorruptError):
        file.read()


def test_an_archive_of_objects_is_not_loaded(file):
    file.path.parent.mkdir()
    with file.path.open("wb") as stream:
        np.savez(stream, header=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ModelCorruptError):
        file.read()


def test_headers_and_arrays_cannot_be_swapped(file, tmp_path):
    file.write(CHECKPOINT)
    other = CheckpointFile(tmp_path / "other.npz")
    other.write(Checkpoint({"epoch": 9}, {"weight/a": np.zeros(3), "step/a": np.array(1.0)}))
    with np.load(file.path) as first, np.load(other.path) as second:
        mixed = {**{name: second[name] for name in second.files}, "header": first["header"]}
    np.savez(file.path, **mixed)
    with pytest.raises(ModelCorruptError, match="digest"):
        file.read()
