"""Members of zip and tar archives, read in memory within limits.

Nothing is ever written to the disk. An archive is judged as a whole before anything of it is
used: names that leave the folder, links, devices, encryption, archives within archives, and
more bytes or members than allowed refuse all of it.
"""

from __future__ import annotations

import stat
import struct
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from screening.errors import ArchiveRefusedError
from stores.importers.records import ReadLimits, display_name
from stores.importers.text import COMPRESSIONS, DECOMPRESSION_ERRORS, BoundedStream, open_regular

__all__ = ["ARCHIVE_SUFFIXES", "archive_members", "is_archive"]

_ZIP_SUFFIX = ".zip"
_TAR_SUFFIXES = {
    ".tar": "",
    ".tar.gz": ".gz",
    ".tgz": ".gz",
    ".tar.bz2": ".bz2",
    ".tbz2": ".bz2",
    ".tar.xz": ".xz",
    ".txz": ".xz",
}
ARCHIVE_SUFFIXES = (_ZIP_SUFFIX, *_TAR_SUFFIXES)
_SMALL = 1_000_000  # below, a large ratio does no harm
_DIRECTORY_BYTES_PER_MEMBER = 1500
_ZIP_END = struct.Struct("<4s4H2LH")
_ZIP_ENCRYPTED = 0x1


def is_archive(name: str) -> bool:
    """Whether a name ends like that of an archive."""
    return name.lower().endswith(ARCHIVE_SUFFIXES)


def archive_members(path: Path, limits: ReadLimits) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of every file in an archive, in its order.

    Parameters
    ----------
    path
        A zip or tar file, by its name.
    limits
        Members, bytes and ratio allowed.

    Yields
    ------
    tuple of str and bytes
        Names are data: they are never used as paths.

    Raises
    ------
    ArchiveRefusedError
        Before the first member, if anything in the archive is not allowed or damaged.
    """
    try:
        if path.name.lower().endswith(_ZIP_SUFFIX):
            yield from _zip_members(path, limits)
        else:
            yield from _tar_members(path, limits)
    except (tarfile.TarError, zipfile.BadZipFile, *DECOMPRESSION_ERRORS) as error:
        raise _refused(f"damaged: {error}") from error
    except (NotImplementedError, RuntimeError, MemoryError, RecursionError, struct.error) as error:
        raise _refused(f"{type(error).__name__}: {error}") from error


def _refused(message: str) -> ArchiveRefusedError:
    return ArchiveRefusedError(message, hint="Nothing of the archive was read; unpack it yourself")


def _check_name(name: str) -> None:
    """Refuse names that lead out of the folder, and archives within the archive."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or name.startswith(("/", "\\")) or ".." in parts or name[1:2] == ":":
        raise _refused(f"the name {display_name(name, 100)!r} leads out of the archive")
    if "\0" in name:
        raise _refused("a name holds a null character")
    if is_archive(name):
        raise _refused(f"{display_name(name, 100)!r} is an archive within the archive")


def _check_total(n_bytes: int, n_members: int, size: int, limits: ReadLimits) -> None:
    """Refuse what is larger than allowed, or expands like a bomb."""
    if n_members > limits.max_archive_members:
        raise _refused(f"more than {limits.max_archive_members} members")
    if n_bytes > limits.max_archive_bytes:
        raise _refused(f"expands to more than {limits.max_archive_bytes / 1e6:g} MB")
    if n_bytes > max(_SMALL, limits.max_ratio * size):
        raise _refused(f"expands more than {limits.max_ratio:g} times")


def _zip_members(path: Path, limits: ReadLimits) -> Iterator[tuple[str, bytes]]:
    with open_regular(path) as stream:
        size = stream.seek(0, 2)
        _check_directory(stream, size, limits)
        with zipfile.ZipFile(stream) as archive:
            infos = archive.infolist()
            _check_total(sum(info.file_size for info in infos), len(infos), size, limits)
            for info in infos:
                _check_zip_member(info)
            contents = (item for item in infos if not item.is_dir())
            for info in contents:
                yield info.filename, _zip_content(archive, info)


def _check_directory(stream: IO[bytes], size: int, limits: ReadLimits) -> None:
    """Refuse a huge table of contents before the library builds it in memory."""
    tail_size = min(size, _ZIP_END.size + 65_536)
    stream.seek(size - tail_size)
    tail = stream.read(tail_size)
    start = tail.rfind(b"PK\x05\x06")
    if start < 0 or len(tail) - start < _ZIP_END.size:
        raise _refused("damaged: no end of the table of contents")
    n_bytes = _ZIP_END.unpack_from(tail, start)[5]
    if n_bytes > _DIRECTORY_BYTES_PER_MEMBER * limits.max_archive_members:
        raise _refused(f"more than {limits.max_archive_members} members")
    stream.seek(0)


def _check_zip_member(info: zipfile.ZipInfo) -> None:
    _check_name(info.filename)
    mode = info.external_attr >> 16
    if stat.S_IFMT(mode) not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise _refused(f"{display_name(info.filename, 100)!r} is a link or device")
    if info.flag_bits & _ZIP_ENCRYPTED:
        raise _refused("it is encrypted")


def _zip_content(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Content of a member, never more than its header announced."""
    with archive.open(info) as member:
        content = member.read(info.file_size + 1)
    if len(content) > info.file_size:
        raise _refused(f"{display_name(info.filename, 100)!r} is larger than announced")
    return content


def _tar_members(path: Path, limits: ReadLimits) -> Iterator[tuple[str, bytes]]:
    for member, _ in _tar_entries(path, limits):
        _check_tar_member(member)
    for member, archive in _tar_entries(path, limits):
        content = archive.extractfile(member) if member.isfile() else None
        if content is not None:
            yield member.name, content.read()


def _tar_entries(
    path: Path, limits: ReadLimits
) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
    """Read headers in one pass over a stream that ends at the limit."""
    suffix = next(s for s in sorted(_TAR_SUFFIXES, key=len, reverse=True) if _ends(path, s))
    with open_regular(path) as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        compression = _TAR_SUFFIXES[suffix]
        raw = COMPRESSIONS[compression](stream) if compression else stream
        allowed = int(min(limits.max_archive_bytes, max(_SMALL, limits.max_ratio * size)))
        error = _refused(f"expands to more than {allowed / 1e6:g} MB")
        bounded = BoundedStream(raw, allowed, error)
        n_bytes = n_members = 0
        with tarfile.open(fileobj=bounded, mode="r|") as archive:
            for member in archive:
                n_members += 1
                n_bytes += max(0, member.size)
                _check_total(n_bytes, n_members, size, limits)
                yield member, archive


def _ends(path: Path, suffix: str) -> bool:
    return path.name.lower().endswith(suffix)


def _check_tar_member(member: tarfile.TarInfo) -> None:
    _check_name(member.name)
    if not (member.isfile() or member.isdir()) or member.issparse():
        raise _refused(f"{display_name(member.name, 100)!r} is a link, device or sparse file")
