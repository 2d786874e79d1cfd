"""Named arrays to bytes and back: canonical for the digest, packed for the disk.

Packed bytes are ``magic, SHA-256 of the rest, header length, header, data``. The header is JSON;
the data are the arrays one after the other, each losslessly narrowed where its values allow,
its bytes grouped by significance (all first bytes, all second bytes, ...), and compressed with
zstandard. No code is ever loaded.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import zstandard
from numpy.typing import NDArray

from screening.errors import CorruptDataError, SerializationError

__all__ = [
    "canonical",
    "content_digest",
    "pack",
    "raw_size",
    "unpack",
]

Arrays = Mapping[str, NDArray[Any]]

MAGIC = b"PSB1"
DIGEST_BYTES = 32
LENGTH_BYTES = 4
HEAD_BYTES = len(MAGIC) + DIGEST_BYTES + LENGTH_BYTES
LEVEL = 6
LARGEST_RAW_BYTES = 16 * 1024**3

NARROWER: dict[str, tuple[str, ...]] = {
    "<f8": ("<f4",),
    "<i8": ("|i1", "<i2", "<i4"),
    "<i4": ("|i1", "<i2"),
}
"""Narrower types to try, narrowest first; a type is taken where every value survives exactly."""

INTEGERS = ("|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8")
DTYPES = frozenset([*INTEGERS, "<f2", "<f4", "<f8", "<c8", "<c16"])


def canonical(arrays: Arrays) -> dict[str, NDArray[Any]]:
    """Return the arrays by name, contiguous and little-endian.

    Raises
    ------
    SerializationError
        For a name that is no text, a type that is no number, or a value that is not finite.
    """
    if not arrays:
        raise SerializationError("there are no arrays to store", subject="blob")
    return {name: _canonical(name, arrays[name]) for name in sorted(arrays, key=_text)}


def _text(name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise SerializationError(f"{name!r} cannot name an array", subject="blob")
    return name


def _canonical(name: str, values: Any) -> NDArray[Any]:
    array = np.asarray(values)
    dtype = array.dtype.newbyteorder("<")
    if dtype.str not in DTYPES:
        raise SerializationError(f"values of type {array.dtype}", subject=name)
    if dtype.kind in "fc" and not np.isfinite(array).all():
        raise SerializationError("a value is not a finite number", subject=name)
    return np.require(array.astype(dtype, copy=False), requirements="C").reshape(array.shape)


def raw_size(arrays: Arrays) -> int:
    """Return the bytes of the arrays in memory."""
    return sum(array.nbytes for array in arrays.values())


def content_digest(arrays: Arrays) -> str:
    """Return the SHA-256 of canonical arrays: names, types, shapes and every value.

    It does not depend on how they are packed, so that a newer compressor keeps it.
    """
    digest = hashlib.sha256()
    for name, array in arrays.items():
        head = json.dumps([name, array.dtype.str, array.shape], separators=(",", ":")).encode()
        digest.update(len(head).to_bytes(LENGTH_BYTES, "big") + head)
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def pack(arrays: Arrays) -> bytes:
    """Return the packed bytes of canonical arrays."""
    parts, entries = [], []
    for name, array in arrays.items():
        stored = _narrowed(array)
        data = zstandard.ZstdCompressor(level=LEVEL).compress(_shuffled(stored))
        entries.append([name, array.dtype.str, list(array.shape), stored.dtype.str, len(data)])
        parts.append(data)
    header = json.dumps(entries, separators=(",", ":")).encode()
    body = b"".join([len(header).to_bytes(LENGTH_BYTES, "big"), header, *parts])
    return MAGIC + hashlib.sha256(body).digest() + body


def _narrowed(array: NDArray[Any]) -> NDArray[Any]:
    for name in NARROWER.get(array.dtype.str, ()):
        with np.errstate(over="ignore"):
            narrow = array.astype(name)
        # bytes are compared, so that a negative zero stays one
        if narrow.astype(array.dtype).tobytes() == array.tobytes():
            return narrow
    return array


def _shuffled(array: NDArray[Any]) -> bytes:
    """Group bytes by significance, which compresses numbers of similar size."""
    return array.reshape(-1).view(np.uint8).reshape(-1, array.dtype.itemsize).T.tobytes()


@dataclass(frozen=True)
class _Entry:
    """One array of the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    stored_dtype: str
    n_bytes: int

    @property
    def n_raw_bytes(self) -> int:
        return math.prod(self.shape) * np.dtype(self.stored_dtype).itemsize


def unpack(packed: bytes, subject: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of packed bytes, in their original types, read-only.

    Parameters
    ----------
    packed
        Bytes from `pack`.
    subject
        What they are, for messages.

    Raises
    ------
    CorruptDataError
        If a single bit differs from what was packed.
    """
    body = packed[len(MAGIC) + DIGEST_BYTES :]
    stored = packed[len(MAGIC) : len(MAGIC) + DIGEST_BYTES]
    if packed[: len(MAGIC)] != MAGIC or hashlib.sha256(body).digest() != stored:
        raise _corrupt("the stored bytes do not match their digest", subject)
    length = int.from_bytes(body[:LENGTH_BYTES], "big")
    start = LENGTH_BYTES + length
    try:
        entries = _entries(body[LENGTH_BYTES:start])
        arrays = {}
        for entry in entries:
            arrays[entry.name] = _array(entry, body[start : start + entry.n_bytes])
            start += entry.n_bytes
    except (ValueError, TypeError, zstandard.ZstdError) as error:
        raise _corrupt(f"the stored bytes cannot be read: {error}", subject) from None
    if start != len(body):
        raise _corrupt("there are bytes beyond the last array", subject)
    return arrays


def _corrupt(message: str, subject: str) -> CorruptDataError:
    return CorruptDataError(message, subject=subject, hint="Compute it again")


def _entries(header: bytes) -> list[_Entry]:
    entries = []
    for name, dtype, shape, stored_dtype, n_bytes in orjson.loads(header):
        sizes = (*shape, n_bytes)
        if not DTYPES.issuperset((dtype, stored_dtype)) or any(int(x) != x or x < 0 for x in sizes):
            raise ValueError(f"a bad header for {name!r}")
        entries.append(_Entry(str(name), dtype, tuple(shape), stored_dtype, n_bytes))
    if sum(entry.n_raw_bytes for entry in entries) > LARGEST_RAW_BYTES:
        raise ValueError("an impossible size in the header")
    return entries


def _array(entry: _Entry, data: bytes) -> NDArray[Any]:
    size = entry.n_raw_bytes
    raw = zstandard.ZstdDecompressor().decompress(data, max_output_size=size) if size else b""
    if len(raw) != size:
        raise ValueError(f"{len(raw)} bytes for {entry.name!r} instead of {size}")
    stored = np.dtype(entry.stored_dtype)
    columns = np.frombuffer(raw, np.uint8).reshape(stored.itemsize, -1)
    plain = np.ascontiguousarray(columns.T).reshape(-1).view(stored)
    array = plain.astype(entry.dtype, copy=False).reshape(entry.shape)
    array.flags.writeable = False
    return array
