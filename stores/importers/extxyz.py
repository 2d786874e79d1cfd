"""Extended XYZ files: many frames, with energies and forces.

The number of atoms in a frame is compared with the limit and with the lines that are there
before anything is allocated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
from pymatgen.core import Element

from screening.errors import (
    NonFiniteInputError,
    NotPeriodicError,
    ParseError,
    ScreeningError,
    SuspiciousSpeciesError,
    TooLargeError,
)
from screening.prediction import FloatArray, frozen_array
from stores.importers.records import Block, Parsed, ReadLimits, cartesian_structure

__all__ = ["read_extxyz"]

_PAIR = re.compile(r"""([A-Za-z_][\w.:-]*)\s*=\s*("[^"]*"|'[^']*'|\{[^}]*\}|\[[^\]]*\]|\S+)""")
_DEFAULT_PROPERTIES = "species:S:1:pos:R:3"
_ENERGY_KEYS = ("energy", "Energy", "free_energy")
_FORCE_KEYS = ("forces", "force")
_MAX_COMMENT = 100_000
_MAX_COLUMNS = 1000


def read_extxyz(text: str, limits: ReadLimits) -> Iterator[Block]:
    """Read every frame; a broken one does not stop those after it.

    Yields
    ------
    Block
        ``frame 1`` and so on, with its structure or error.

    Raises
    ------
    InputError
        Where the number of atoms of a frame cannot be trusted: nothing after it can be found.
    """
    lines = text.splitlines()
    row = frame = 0
    while row < len(lines):
        if not lines[row].strip():
            row += 1
            continue
        frame += 1
        n_atoms = _count(lines, row, limits)
        try:
            yield f"frame {frame}", _frame(lines, row, n_atoms)
        except ScreeningError as error:
            yield f"frame {frame}", error
        row += 2 + n_atoms


def _count(lines: list[str], row: int, limits: ReadLimits) -> int:
    """Announced number of atoms, which must fit the file and the limit."""
    word = lines[row].strip()
    if not re.fullmatch(r"\d{1,20}", word):
        raise ParseError(f"line {row + 1}: {word[:40]!r} is no number of atoms")
    n_atoms = int(word)
    if n_atoms == 0:
        raise ParseError(f"line {row + 1}: a frame without atoms")
    if n_atoms > limits.structure.max_atoms:
        raise TooLargeError(
            f"line {row + 1}: {n_atoms} atoms, more than {limits.structure.max_atoms}"
        )
    if row + 2 + n_atoms > len(lines):
        raise ParseError(
            f"line {row + 1}: {n_atoms} atoms announced, "
            f"{max(0, len(lines) - row - 2)} lines follow"
        )
    return n_atoms


def _frame(lines: list[str], row: int, n_atoms: int) -> Parsed:
    """One frame, whose lines are all there."""
    fields = _comment(lines[row + 1], row + 1)
    lattice = _lattice(fields, row + 1)
    columns = _columns(fields.get("Properties", _DEFAULT_PROPERTIES), row + 1)
    n_columns = max(stop for _, stop in columns.values())
    words = [line.split() for line in lines[row + 2 : row + 2 + n_atoms]]
    for index, line in enumerate(words):
        if len(line) != n_columns:
            raise ParseError(
                f"line {row + 3 + index}: {len(line)} columns, Properties announces {n_columns}"
            )
    if "pos" not in columns:
        raise ParseError(f"line {row + 2}: Properties has no pos")
    positions = _numbers(words, columns["pos"], row)
    structure = cartesian_structure(lattice, _symbols(words, columns, row), positions)
    forces = next((_numbers(words, columns[k], row) for k in _FORCE_KEYS if k in columns), None)
    energy, source = _energy(fields, n_atoms)
    return Parsed(
        structure,
        label=fields.get("label") or fields.get("name"),
        static_energy_ev_per_atom=energy,
        static_energy_source=source,
        forces_ev_per_angstrom=None if forces is None else frozen_array(forces),
    )


def _comment(line: str, row: int) -> dict[str, str]:
    """Pairs of key and value without quotes."""
    if len(line) > _MAX_COMMENT:
        raise TooLargeError(f"line {row + 1}: a comment of {len(line)} characters")
    return {key: value.strip("\"'{}[]") for key, value in _PAIR.findall(line)}


def _lattice(fields: dict[str, str], row: int) -> FloatArray:
    """Cell of a frame that is periodic in three directions."""
    if "Lattice" not in fields:
        raise NotPeriodicError(f"line {row + 1}: no Lattice", hint="Only crystals are screened")
    periodic = fields.get("pbc", "T T T").replace(",", " ").split()
    if len(periodic) != 3 or any(word.lower() not in {"t", "true", "1"} for word in periodic):  # noqa: PLR2004 - directions
        raise NotPeriodicError(f"line {row + 1}: pbc is {fields['pbc'][:40]!r}")
    try:
        values = [float(word) for word in fields["Lattice"].replace(",", " ").split()]
        matrix = np.array(values).reshape(3, 3)
    except ValueError as error:
        raise ParseError(f"line {row + 1}: Lattice: {error}") from error
    if not np.isfinite(matrix).all():
        raise NonFiniteInputError(f"line {row + 1}: a lattice vector is not finite")
    return matrix


def _columns(properties: str, row: int) -> dict[str, tuple[int, int]]:
    """First and last column of each property."""
    words = properties.split(":")
    if len(words) % 3 or len(words) > _MAX_COLUMNS:
        raise ParseError(f"line {row + 1}: Properties is {properties[:60]!r}")
    columns: dict[str, tuple[int, int]] = {}
    start = 0
    for name, count in zip(words[::3], words[2::3], strict=True):
        if not re.fullmatch(r"[1-9]\d{0,2}", count):
            raise ParseError(f"line {row + 1}: {name[:40]} has {count[:20]!r} columns")
        columns[name] = (start, start + int(count))
        start += int(count)
    return columns


def _symbols(words: list[list[str]], columns: dict[str, tuple[int, int]], row: int) -> list[str]:
    """Element of every atom, by symbol or by atomic number."""
    if "species" in columns:
        symbols = [line[columns["species"][0]] for line in words]
    elif "Z" in columns:
        numbers = [line[columns["Z"][0]] for line in words]
        known = {str(z): Element.from_Z(z).symbol for z in range(1, 119)}
        symbols = [known.get(number, number) for number in numbers]
    else:
        raise ParseError(f"line {row + 2}: Properties has neither species nor Z")
    for index, symbol in enumerate(symbols):
        if not Element.is_valid_symbol(symbol):
            raise SuspiciousSpeciesError(f"line {row + 3 + index}: {symbol[:20]!r} is no element")
    return symbols


def _numbers(words: list[list[str]], columns: tuple[int, int], row: int) -> FloatArray:
    """Three columns of numbers."""
    start, stop = columns
    if stop - start != 3:  # noqa: PLR2004 - dimensions
        raise ParseError(f"line {row + 2}: positions and forces have three columns")
    rows = []
    for index, line in enumerate(words):
        try:
            rows.append([float(word) for word in line[start:stop]])
        except ValueError as error:
            raise ParseError(f"line {row + 3 + index}: {error}") from error
    values = np.array(rows, dtype=np.float64)
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        line_number = row + 3 + int(np.argmin(finite))
        raise NonFiniteInputError(f"line {line_number}: a number is not finite")
    return values


def _energy(fields: dict[str, str], n_atoms: int) -> tuple[float | None, str | None]:
    """Energy per atom and the key it stood under."""
    key = next((key for key in _ENERGY_KEYS if key in fields), None)
    if key is None:
        return None, None
    try:
        energy = float(fields[key])
    except ValueError as error:
        raise ParseError(f"{key} is {fields[key][:40]!r}") from error
    if not np.isfinite(energy):
        raise NonFiniteInputError(f"{key} is {energy}")
    return energy / n_atoms, f"given ({key} of an extxyz file)"
