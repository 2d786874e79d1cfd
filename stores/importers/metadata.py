"""``metadata.csv``: what a folder's files do not say themselves.

A table beside the files, with a header and these columns, of which only ``file`` must be there:

``file``
    Name of a file in the same folder, or ``name#block`` for one block or frame of it.
``label``
    Name of the crystal, such as ``rutile``.
``static_energy_ev_per_atom``, ``energy_source``
    Energy without vibrations in eV/atom, and where it comes from; both or none.
``citation``, ``notes``
    Free text.
``experiment``
    What experiment says of this phase, shown beside the rankings.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from screening.errors import InconsistentDataError, NonFiniteInputError, ParseError, ScreeningError
from stores.importers.records import ReadLimits, Rejection, display_name
from stores.importers.text import decode_text, read_bytes

__all__ = ["METADATA_NAME", "FileMetadata", "FolderMetadata", "read_metadata"]

METADATA_NAME = "metadata.csv"
_COLUMNS = frozenset(
    {
        "file",
        "label",
        "static_energy_ev_per_atom",
        "energy_source",
        "citation",
        "experiment",
        "notes",
    }
)


@dataclass(frozen=True)
class FileMetadata:
    """One row."""

    label: str | None = None
    static_energy_ev_per_atom: float | None = None
    static_energy_source: str | None = None
    citation: str | None = None
    notes: tuple[str, ...] = ()


FolderMetadata = dict[str, dict[str, FileMetadata]]
"""Rows of one folder by name of the file, then by block; that of the empty name is about all."""


def read_metadata(folder: Path, limits: ReadLimits) -> tuple[FolderMetadata, list[Rejection]]:
    """Rows of a folder's table by file and block, and what is wrong with the others.

    Returns
    -------
    tuple of dict and list
        Empty where the folder has no table.
    """
    path = folder / METADATA_NAME
    file = display_name(path)
    if not path.exists():
        return {}, []
    try:
        text, _ = decode_text(read_bytes(path, limits))
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        _check_header(reader.fieldnames or [])
        rows = [(reader.line_num, row) for row in reader]
    except (ScreeningError, csv.Error) as error:
        known = error if isinstance(error, ScreeningError) else ParseError(str(error))
        return {}, [Rejection.of(known, file)]
    names = {entry.name for entry in folder.iterdir()}
    found: FolderMetadata = {}
    rejections = []
    for line, row in rows:
        try:
            name, metadata = _row(row, names)
            base, _, block = name.partition("#")
            if block in found.get(base, {}):
                raise ParseError(f"{display_name(name)} is given twice")
            found.setdefault(base, {})[block] = metadata
        except ScreeningError as error:
            rejections.append(Rejection.of(error, file, f"line {line}"))
    return found, rejections


def _check_header(names: object) -> None:
    columns = {str(name).strip() for name in names} if isinstance(names, list) else set()
    if "file" not in columns or columns - _COLUMNS:
        unknown = ", ".join(sorted(columns - _COLUMNS)) or "none"
        raise ParseError(
            f"the header must name file; unknown columns: {display_name(unknown, 200)}",
            hint=f"Columns: {', '.join(sorted(_COLUMNS))}",
        )


def _row(row: dict[str | None, str | None], names: AbstractSet[str]) -> tuple[str, FileMetadata]:
    """One row, checked."""
    if None in row:
        raise ParseError("more values than columns", hint="Quote text that holds commas")
    fields = {str(key).strip(): (value or "").strip() for key, value in row.items()}
    name = fields["file"]
    base = name.partition("#")[0]
    if not base or base not in names:
        raise ParseError(f"{display_name(name) or 'an empty name'} is not in this folder")
    energy, source = _energy(fields)
    experiment = (f"experiment: {fields['experiment']}",) if fields.get("experiment") else ()
    notes = experiment + ((fields["notes"],) if fields.get("notes") else ())
    label, citation = fields.get("label") or None, fields.get("citation") or None
    return name, FileMetadata(label, energy, source, citation, notes)


def _energy(fields: dict[str, str]) -> tuple[float | None, str | None]:
    text, source = fields.get("static_energy_ev_per_atom", ""), fields.get("energy_source", "")
    if bool(text) != bool(source):
        raise InconsistentDataError("static_energy_ev_per_atom and energy_source go together")
    if not text:
        return None, None
    try:
        energy = float(text)
    except ValueError as error:
        raise ParseError(f"static_energy_ev_per_atom is {text[:40]!r}") from error
    if not math.isfinite(energy):
        raise NonFiniteInputError(f"static_energy_ev_per_atom is {energy}")
    return energy, source
