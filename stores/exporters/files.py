"""Write a file completely or not at all."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from screening.errors import DiskFullError, SerializationError, SettingError

__all__ = ["atomic_path", "write_json", "write_text"]


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that replaces it when the block succeeds.

    The temporary name keeps the suffix, for writers that choose a format by it. Missing
    folders are made. When the block raises, nothing is left behind and an older file stays.

    Raises
    ------
    SettingError
        If the place cannot be written.
    DiskFullError
        If the disk is full.

    Examples
    --------
    >>> folder = getfixture("tmp_path")
    >>> with atomic_path(folder / "a.txt") as temporary:
    ...     _ = temporary.write_text("whole")
    >>> [file.name for file in folder.iterdir()]
    ['a.txt']
    """
    target = Path(path)
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = _empty_neighbour(target)
        yield temporary
        _flush_to_disk(temporary)
        temporary.replace(target)
    except OSError as error:
        raise _translated(error, target) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write UTF-8 text atomically and return the path.

    Raises
    ------
    SettingError, DiskFullError
        See `atomic_path`.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")
    return Path(path)


def write_json(path: str | os.PathLike[str], value: object) -> Path:
    """Write plain JSON atomically; non-finite numbers are refused.

    Raises
    ------
    SerializationError
        If a value is not JSON or not finite.
    SettingError, DiskFullError
        See `atomic_path`.
    """
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise SerializationError(f"cannot write as JSON: {error}", subject=str(path)) from error
    return write_text(path, text + "\n")


def _empty_neighbour(target: Path) -> Path:
    """Make an empty file in the folder of the target, with the rights a new file gets."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".partial-", suffix=target.suffix)
    os.close(handle)
    umask = os.umask(0)
    os.umask(umask)
    os.chmod(name, 0o666 & ~umask)  # noqa: PTH101  # mkstemp makes files nobody else can read
    return Path(name)


def _flush_to_disk(path: Path) -> None:
    """Wait until the content is on disk, so that a rename never shows an empty file."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def _translated(error: OSError, target: Path) -> DiskFullError | SettingError:
    """Turn an operating-system error into ours."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFullError(
            "no space left for the export", subject=str(target), hint="Free some space"
        )
    return SettingError(
        f"cannot write here: {error.strerror or error}",
        subject=str(target),
        hint="Give a path in a folder you can write to",
    )
