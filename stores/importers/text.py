"""Bytes from regular files, decompressed within limits, and as text."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from screening.errors import ParseError, TooLargeError
from stores.importers.records import ReadLimits

__all__ = [
    "COMPRESSIONS",
    "BoundedStream",
    "bounded_lines",
    "check_nesting",
    "decode_text",
    "decompressed",
    "open_regular",
    "read_bytes",
    "split_compression",
]

COMPRESSIONS: dict[str, Callable[[IO[bytes]], Any]] = {
    ".gz": lambda stream: gzip.GzipFile(fileobj=stream),
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
}
"""Suffixes of compressed files, and what reads them."""

DECOMPRESSION_ERRORS = (OSError, EOFError, lzma.LZMAError, zlib.error, ValueError)
_BRACKETS = np.zeros(256, dtype=np.int8)
_BRACKETS[[ord(char) for char in "[{"]] = 1
_BRACKETS[[ord(char) for char in "]}"]] = -1
_SMALL = 1_000_000  # below, a large ratio does no harm
_BYTE_ORDER_MARKS = {
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}


def open_regular(path: Path) -> IO[bytes]:
    """Open a regular file; anything that could block or never end is refused unopened.

    Raises
    ------
    ParseError
        For a FIFO, socket or device, and for what cannot be opened.
    """
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise ParseError("not a regular file", hint="Pipes, sockets and devices are not read")
        # A pipe that took the file's place since then does not block either.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        return os.fdopen(descriptor, "rb")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ParseError(f"cannot be opened: {reason}") from error


def read_bytes(path: Path, limits: ReadLimits) -> bytes:
    """Content of a regular file as it lies on the disk.

    Raises
    ------
    ParseError
        If it cannot be read.
    TooLargeError
        If it is larger than a file may be.
    """
    with open_regular(path) as stream:
        try:
            data = stream.read(limits.max_file_bytes + 1)
        except OSError as error:
            raise ParseError(f"cannot be read: {error.strerror}") from error
    _check_size(len(data), limits)
    return data


def _check_size(size: int, limits: ReadLimits) -> None:
    if size > limits.max_file_bytes:
        raise TooLargeError(
            f"more than {limits.max_file_bytes / 1e6:g} MB",
            hint="Split the file, or raise max_file_bytes",
        )


def split_compression(name: str) -> tuple[str, str]:
    """Name without its compression's suffix, and that suffix or nothing.

    Examples
    --------
    >>> split_compression("phonopy.yaml.XZ")
    ('phonopy.yaml', '.xz')
    """
    for suffix in COMPRESSIONS:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)], suffix
    return name, ""


def decompressed(data: bytes, suffix: str, limits: ReadLimits) -> bytes:
    """Decompress within the limits of size and ratio.

    Raises
    ------
    TooLargeError
        If the content is larger than allowed, or expands like a bomb.
    ParseError
        If the data is damaged.
    """
    if not suffix:
        return data
    allowed = max(_SMALL, int(limits.max_ratio * len(data)))
    try:
        with COMPRESSIONS[suffix](io.BytesIO(data)) as stream:
            content: bytes = stream.read(min(allowed, limits.max_file_bytes) + 1)
    except DECOMPRESSION_ERRORS as error:
        raise ParseError(f"damaged {suffix} data: {error}") from error
    _check_size(len(content), limits)
    if len(content) > allowed:
        raise TooLargeError(f"expands more than {limits.max_ratio:g} times")
    return content


class BoundedStream(io.RawIOBase):
    """A stream that refuses to give more than a number of bytes.

    Parameters
    ----------
    stream
        What is read.
    limit
        Largest number of bytes.
    error
        Raised beyond.
    """

    def __init__(self, stream: IO[bytes], limit: int, error: Exception) -> None:
        super().__init__()
        self._stream = stream
        self._left = limit
        self._error = error

    def readable(self) -> bool:
        """Return True: this is for reading."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read up to `size` bytes, all that may be read without it."""
        wanted = self._left + 1 if size < 0 else min(size, self._left + 1)
        data = self._stream.read(wanted)
        self._left -= len(data)
        if self._left < 0:
            raise self._error
        return data


def bounded_lines(text: str, limit: int) -> list[str]:
    """Lines of a text.

    Raises
    ------
    TooLargeError
        If one has more characters than allowed.
    """
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        if len(line) > limit:
            raise TooLargeError(f"line {number} has {len(line)} characters")
    return lines


def check_nesting(text: str, limit: int) -> None:
    """Refuse brackets nested too deep for a recursive parser, whatever Python's own limit is.

    Other packages raise the recursion limit, and then deep nesting overflows the stack.

    Raises
    ------
    ParseError
        If more brackets are open at once than allowed; those in the text count too.

    Examples
    --------
    >>> check_nesting("[[1, 2], [3, 4]]", 2)
    """
    if text.count("[") + text.count("{") <= limit:
        return
    steps = _BRACKETS[np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8)]
    if np.cumsum(steps[steps != 0], dtype=np.int64).max(initial=0) > limit:
        raise ParseError(f"nested more than {limit} deep")


def decode_text(data: bytes) -> tuple[str, tuple[str, ...]]:
    """Text of a file, and a note where its encoding had to be guessed.

    Raises
    ------
    ParseError
        For an empty or binary file.
    """
    if not data.strip():
        raise ParseError("the file is empty")
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            try:
                return data.decode(encoding), ()
            except UnicodeDecodeError as error:
                raise ParseError(f"not {encoding} text: {error}") from error
    if b"\0" in data:
        raise ParseError("a binary file")
    try:
        return data.decode("utf-8"), ()
    except UnicodeDecodeError:
        return data.decode("latin-1"), ("read as Latin-1: not UTF-8",)
