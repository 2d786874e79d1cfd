"""From paths to structures: lazily, one bad file never stopping the others."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from screening.errors import ParseError, ScreeningError, TooLargeError
from screening.structure import canonical_crystal
from stores.importers.archives import archive_members, is_archive
from stores.importers.cif import read_cif
from stores.importers.extxyz import read_extxyz
from stores.importers.labels import meaningful_label
from stores.importers.metadata import METADATA_NAME, FileMetadata, FolderMetadata, read_metadata
from stores.importers.phonopy_yaml import read_phonopy_yaml
from stores.importers.poscar import read_poscar
from stores.importers.records import (
    DEFAULT_READ_LIMITS,
    Block,
    Parsed,
    ReadLimits,
    ReadStructure,
    Rejection,
    display_name,
)
from stores.importers.structure_json import read_structure_json
from stores.importers.text import decode_text, decompressed, read_bytes, split_compression

__all__ = ["iter_blocks", "iter_structures", "reader_of"]

Reader = Callable[[str, ReadLimits], Iterator[Block]]
Skipped = Callable[[str], None]

_READERS: dict[str, Reader] = {
    ".cif": read_cif,
    ".mcif": read_cif,
    ".vasp": read_poscar,
    ".poscar": read_poscar,
    ".contcar": read_poscar,
    ".extxyz": read_extxyz,
    ".xyz": read_extxyz,
    ".json": read_structure_json,
    ".yaml": read_phonopy_yaml,
    ".yml": read_phonopy_yaml,
}
_VASP_NAMES = ("POSCAR", "CONTCAR")
_MAX_NOTES = 10
_NOTE_LENGTH = 300
_KNOWN = "cif, POSCAR, CONTCAR, vasp, extxyz, json, yaml, zip, tar"


def reader_of(name: str) -> Reader | None:
    """Reader for a file's name, None where the name says nothing; contents are not guessed."""
    base = PurePosixPath(split_compression(name)[0])
    reader = _READERS.get(base.suffix.lower())
    if reader is None and base.name.upper().startswith(_VASP_NAMES):
        return read_poscar
    return reader


def iter_structures(
    paths: Iterable[str | os.PathLike[str]],
    limits: ReadLimits = DEFAULT_READ_LIMITS,
    *,
    skipped: Skipped | None = None,
) -> Iterator[ReadStructure | Rejection]:
    """Read structures from files, folders (with their subfolders) and archives.

    Parameters
    ----------
    paths
        Files and folders. The format follows from the name: ``.cif``, ``POSCAR*``,
        ``CONTCAR*``, ``.vasp``, ``.poscar``, ``.extxyz``, ``.xyz``, ``.json`` (pymatgen or an
        OPTIMADE response), ``.yaml`` (phonopy), each also with ``.gz``, ``.bz2`` or ``.xz``;
        ``.zip`` and ``.tar`` with any of these.
    limits
        What may be read.
    skipped
        Called with the names in folders that are of no known format.

    Yields
    ------
    ReadStructure or Rejection
        In the order of the paths, folders sorted by name.
    """
    tables: dict[Path, FolderMetadata] = {}  # a shell names every file of a folder
    for path in paths:
        yield from _path(Path(path), tables, limits, skipped or (lambda _: None))


def _path(
    path: Path, tables: dict[Path, FolderMetadata], limits: ReadLimits, skipped: Skipped
) -> Iterator[ReadStructure | Rejection]:
    try:
        is_folder, is_there = path.is_dir(), os.path.lexists(path)
    except (OSError, ValueError) as error:
        yield Rejection.of(ParseError(f"no usable name: {error}"), display_name(path))
        return
    if is_folder:
        yield from _folder(path, limits, skipped)
        return
    problem = None
    if not is_there:
        problem = ParseError("no such file or folder")
    elif not is_archive(path.name) and reader_of(path.name) is None:
        problem = ParseError("the name tells no format", hint=f"Known: {_KNOWN}")
    if problem is not None:
        yield Rejection.of(problem, display_name(path))
        return
    if path.parent not in tables:
        # What is wrong with its other rows concerns the folder, which was not asked for.
        tables[path.parent], _ = read_metadata(path.parent, limits)
    yield from _file(path, tables[path.parent].get(path.name, {}), limits, skipped)


def _folder(
    folder: Path, limits: ReadLimits, skipped: Skipped
) -> Iterator[ReadStructure | Rejection]:
    unreadable: list[OSError] = []
    for root, folders, names in os.walk(folder, onerror=unreadable.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here = Path(root)
        metadata, rejections = read_metadata(here, limits)
        yield from rejections
        for name in sorted(names):
            if name.startswith(".") or name == METADATA_NAME:
                continue
            if is_archive(name) or reader_of(name) is not None:
                yield from _file(here / name, metadata.get(name, {}), limits, skipped)
            else:
                skipped(display_name(here / name))
    for error in unreadable:
        name = display_name(str(error.filename))
        yield Rejection.of(ParseError(f"cannot be opened: {error.strerror}"), name)


def _file(
    path: Path, metadata: dict[str, FileMetadata], limits: ReadLimits, skipped: Skipped
) -> Iterator[ReadStructure | Rejection]:
    """Read one file or archive; every failure becomes a rejection."""
    file = display_name(path)
    try:
        if is_archive(path.name):
            yield from _archive(path, limits, skipped)
        else:
            yield from _content(path.name, file, read_bytes(path, limits), metadata, limits)
    except ScreeningError as error:
        yield Rejection.of(error, file)


def _archive(
    path: Path, limits: ReadLimits, skipped: Skipped
) -> Iterator[ReadStructure | Rejection]:
    for name, data in archive_members(path, limits):
        member = display_name(f"{path}/{name}")
        if reader_of(name) is None or PurePosixPath(name).name.startswith("."):
            skipped(member)
            continue
        yield from _content(name, member, data, {}, limits)


def _content(
    name: str, file: str, data: bytes, metadata: dict[str, FileMetadata], limits: ReadLimits
) -> Iterator[ReadStructure | Rejection]:
    """Read one file's content."""
    base = PurePosixPath(name).name
    reader = reader_of(base)
    assert reader is not None
    try:
        text, notes = decode_text(decompressed(data, split_compression(base)[1], limits))
        blocks = reader(text, limits)
        yield from iter_blocks(file, blocks, limits, metadata=metadata, notes=notes)
    except ScreeningError as error:
        yield Rejection.of(error, file)


def iter_blocks(
    file: str,
    blocks: Iterator[Block],
    limits: ReadLimits = DEFAULT_READ_LIMITS,
    *,
    metadata: dict[str, FileMetadata] | None = None,
    notes: tuple[str, ...] = (),
) -> Iterator[ReadStructure | Rejection]:
    """Validate the blocks of one source and make them canonical.

    Parameters
    ----------
    file
        Printable name of the source.
    blocks
        What a reader or a remote database yields.
    limits
        What may be read.
    metadata
        Rows by block; that of the empty name is about all blocks.
    notes
        Of the whole file.
    """
    rows = metadata or {}
    for count in range(limits.max_structures_per_file + 1):
        if count == limits.max_structures_per_file:
            error = TooLargeError(f"more than {count} structures", hint="Split the file")
            yield Rejection.of(error, file)
            return
        item = _next(file, blocks)
        if item is None:
            return
        if isinstance(item, Rejection):
            yield item
            return
        name, found, caught = item
        block = display_name(name)
        if isinstance(found, ScreeningError):
            yield Rejection.of(found, file, block)
            continue
        row = rows.get(name) or rows.get("") or FileMetadata()
        yield _validated(file, block, found, row, limits, (*notes, *caught))


def _next(
    file: str, blocks: Iterator[Block]
) -> tuple[str, Parsed | ScreeningError, tuple[str, ...]] | Rejection | None:
    """Ask the reader for the next block; foreign warnings become notes."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            name, found = next(blocks)
        except StopIteration:
            return None
        except ScreeningError as error:
            return Rejection.of(error, file)
        except Exception as error:  # noqa: BLE001 - a parser's own failure is a rejected file
            return Rejection.of(ParseError(f"{type(error).__name__}: {error}"), file)
    return name, found, _texts(caught)


def _validated(
    file: str,
    block: str,
    parsed: Parsed,
    row: FileMetadata,
    limits: ReadLimits,
    notes: tuple[str, ...],
) -> ReadStructure | Rejection:
    """Make one structure canonical and join what is known about it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            crystal = canonical_crystal(parsed.structure, limits=limits.structure)
        except ScreeningError as error:
            return Rejection.of(error, file, block)
        except Exception as error:  # noqa: BLE001 - foreign code failing on odd input
            return Rejection.of(ParseError(f"{type(error).__name__}: {error}"), file, block)
    energy, source = row.static_energy_ev_per_atom, row.static_energy_source
    if energy is None:
        energy = parsed.static_energy_ev_per_atom
        source = None if energy is None else parsed.static_energy_source or _file_source(file)
    del caught  # the symmetry finder's own; what matters is in crystal.notes
    label = row.label or meaningful_label(parsed.label, crystal.formula)
    all_notes = dict.fromkeys((*notes, *parsed.notes, *crystal.notes, *row.notes))
    return ReadStructure(
        crystal=replace(crystal, notes=()),
        parsed=parsed,
        file=file,
        block=block,
        label=display_name(label) if label else None,
        citation=display_name(row.citation) if row.citation else None,
        static_energy_ev_per_atom=energy,
        static_energy_source=display_name(source) if source else None,
        notes=tuple(display_name(note, _NOTE_LENGTH) for note in all_notes),
    )


def _file_source(file: str) -> str:
    """Source of energies that only their file tells apart from those of other programs."""
    is_extxyz = reader_of(PurePosixPath(file).name) is read_extxyz
    return f"extxyz {file}" if is_extxyz else file


def _texts(caught: list[warnings.WarningMessage]) -> tuple[str, ...]:
    """Distinct texts of warnings, the first few; what concerns programmers is left out."""
    texts = dict.fromkeys(
        " ".join(str(item.message).split())
        for item in caught
        if not issubclass(item.category, DeprecationWarning | FutureWarning)
    )
    return tuple(list(texts)[:_MAX_NOTES])
