"""A file that is one JSON list of records, compressed or in an archive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from screening.errors import ParseError, ScreeningError
from stores.importers.archives import archive_members, is_archive
from stores.importers.records import ReadLimits, display_name
from stores.importers.text import decompressed, read_bytes, split_compression

__all__ = ["json_records"]


def json_records(path: Path, limits: ReadLimits, hint: str) -> list[Any]:
    """Read the records of a file; whatever is wrong with it is said with its name.

    Parameters
    ----------
    path
        ``.json``, compressed or not, or an archive with one such file.
    limits
        What may be read.
    hint
        What to give instead of a file that is something else.

    Raises
    ------
    ParseError
        If it cannot be read, or is no JSON list of as many records as may be read.
    TooLargeError, ArchiveRefusedError
        If it is larger than it may be.
    """
    try:
        values = orjson.loads(_content(path, limits))
    except orjson.JSONDecodeError as error:
        raise ParseError(f"no JSON: {error}", subject=display_name(path), hint=hint) from error
    except ScreeningError as error:
        advice = error.hint or hint
        raise type(error)(error.message, subject=display_name(path), hint=advice) from error
    if not isinstance(values, list) or len(values) > limits.max_structures_per_file:
        message = f"no list of at most {limits.max_structures_per_file} records"
        raise ParseError(message, subject=display_name(path), hint=hint)
    return values


def _content(path: Path, limits: ReadLimits) -> bytes:
    if not is_archive(path.name):
        return decompressed(read_bytes(path, limits), split_compression(path.name)[1], limits)
    members = [data for name, data in archive_members(path, limits) if name.endswith(".json")]
    if len(members) != 1:
        raise ParseError(f"holds {len(members)} JSON files, not one")
    return members[0]
