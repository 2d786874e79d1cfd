"""Documents as flat tables: CSV for spreadsheets, Parquet for data frames."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from screening.errors import SettingError
from stores.exporters.files import atomic_path, write_text

__all__ = ["csv_text", "flat_rows", "write_table"]

SEPARATOR = "."


def flat_rows(
    documents: Iterable[Mapping[str, Any]], columns: Iterable[str] | None = None
) -> tuple[list[str], list[dict[str, Any]]]:
    """Turn documents into rows of one table.

    Nested mappings become columns with dotted names; lists stay lists. A missing value is
    None. Columns stand in the order they are first met, so the first document decides.

    Parameters
    ----------
    documents
        Plain documents. ``_id`` repeats the key and is left out.
    columns
        Names to keep, in this order; all where None.

    Returns
    -------
    tuple
        Names of the columns, and one dictionary with exactly these names per document.

    Raises
    ------
    SettingError
        If a wanted column is in no document.

    Examples
    --------
    >>> flat_rows([{"_id": 1, "a": 1, "b": {"c": 2}}, {"a": 3}])
    (['a', 'b.c'], [{'a': 1, 'b.c': 2}, {'a': 3, 'b.c': None}])
    """
    flat = [_flat(document) for document in documents]
    known = list(dict.fromkeys(name for row in flat for name in row))
    names = known if columns is None else list(columns)
    unknown = [name for name in names if flat and name not in known]
    if unknown:
        raise SettingError(
            f"no document has the column {unknown[0]!r}",
            subject="columns",
            hint=f"Known columns: {', '.join(known)}",
        )
    return names, [{name: row.get(name) for name in names} for row in flat]


def csv_text(documents: Iterable[Mapping[str, Any]], columns: Iterable[str] | None = None) -> str:
    r"""Make comma-separated text with a header line.

    Numbers keep all digits. Lists and booleans are JSON, missing values are empty. Text
    that a spreadsheet would run as a formula gets a leading apostrophe.

    Examples
    --------
    >>> csv_text([{"a": 0.1, "b": [1, 2], "c": None, "d": "=1+1"}])
    'a,b,c,d\n0.1,"[1, 2]",,\'=1+1\n'
    """
    names, rows = flat_rows(documents, columns)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(row[name]) for name in names] for row in rows)
    return stream.getvalue()


def write_table(
    path: str | os.PathLike[str],
    documents: Iterable[Mapping[str, Any]],
    columns: Iterable[str] | None = None,
) -> Path:
    """Write a table in the format of the path's suffix, ``.csv`` or ``.parquet``, atomically.

    Raises
    ------
    SettingError
        If the suffix is another one, a column is unknown, or pandas and pyarrow are missing
        for Parquet.
    """
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix == ".csv":
        return write_text(target, csv_text(documents, columns))
    if suffix == ".parquet":
        return _write_parquet(target, *flat_rows(documents, columns))
    raise SettingError(
        f"no table format has the suffix {target.suffix!r}",
        subject=str(path),
        hint="Use .csv or .parquet",
    )


def _flat(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, value in document.items():
        if not prefix and name == "_id":
            continue
        if isinstance(value, Mapping):
            row |= _flat(value, f"{prefix}{name}{SEPARATOR}")
        else:
            row[f"{prefix}{name}"] = value
    return row


def _cell(value: object) -> object:
    """One CSV cell."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, (bool, list, tuple)):
        return json.dumps(value, default=str)
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value


def _write_parquet(path: Path, names: list[str], rows: list[dict[str, Any]]) -> Path:
    try:
        import pandas as pd
        import pyarrow as pa  # noqa: F401  # pandas needs it and says so only when writing
    except ImportError as error:
        raise SettingError(
            "Parquet needs pandas and pyarrow",
            subject=str(path),
            hint="Install phonoscreen with its extra 'tables', or write .csv",
        ) from error
    frame = pd.DataFrame(rows, columns=names)
    with atomic_path(path) as temporary:
        frame.to_parquet(temporary, index=False)
    return path
