"""What training has reached, as one file of plain arrays: read without running any code.

The file is replaced as a whole, so that one that cannot be written leaves the last one.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from screening.errors import ModelCorruptError, SettingError

__all__ = ["Checkpoint", "CheckpointFile"]

_FORMAT = "phonoscreen training checkpoint 1"
_HEADER = "header"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Arrays by name, and everything else as plain JSON."""

    header: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class CheckpointFile:
    """A place to keep the last checkpoint.

    Attributes
    ----------
    path
        The file; its folder is made where it is missing.
    """

    path: Path

    def write(self, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint.

        Raises
        ------
        SettingError
            If the file cannot be written.
        """
        header = {**checkpoint.header, "format": _FORMAT, "content": _content(checkpoint.arrays)}
        text = json.dumps(header, sort_keys=True, allow_nan=False).encode()
        packed = io.BytesIO()
        arrays = {f"arrays/{name}": array for name, array in checkpoint.arrays.items()}
        np.savez(packed, allow_pickle=False, **{_HEADER: _sealed(text)}, **arrays)
        temporary = self.path.with_name(self.path.name + ".part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as stream:
                stream.write(packed.getbuffer())
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(self.path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise SettingError(
                f"the checkpoint cannot be written: {error.strerror or error}",
                subject=str(self.path),
                hint="Give a file on a disk with room",
            ) from error

    def read(self) -> Checkpoint | None:
        """Return the last checkpoint; None where there is no file.

        Raises
        ------
        ModelCorruptError
            If the file is no checkpoint, or damaged.
        """
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._corrupt(str(error.strerror or error)) from error
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as stored:
                found = {name: stored[name] for name in stored.files}
            header = orjson.loads(_unsealed(found.pop(_HEADER)))
            arrays = {name.removeprefix("arrays/"): array for name, array in found.items()}
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise self._corrupt(str(error)) from error
        if header.get("format") != _FORMAT or header.get("content") != _content(arrays):
            raise self._corrupt("the content does not match its digest")
        return Checkpoint(header, arrays)

    def _corrupt(self, message: str) -> ModelCorruptError:
        return ModelCorruptError(
            f"cannot be read as a checkpoint: {message}",
            subject=str(self.path),
            hint="Remove the file to train from the start",
        )


def _sealed(text: bytes) -> NDArray[np.uint8]:
    """Put the digest of a text before it."""
    return np.frombuffer(hashlib.sha256(text).digest() + text, np.uint8)


def _unsealed(array: NDArray[Any]) -> bytes:
    data = array.tobytes()
    size = hashlib.sha256().digest_size
    if hashlib.sha256(data[size:]).digest() != data[:size]:
        raise ValueError("the header does not match its digest")
    return data[size:]


def _content(arrays: Mapping[str, NDArray[Any]]) -> str:
    found = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        found.update(f"{name}{array.dtype.str}{array.shape}".encode())
        found.update(array.tobytes())
    return found.hexdigest()
