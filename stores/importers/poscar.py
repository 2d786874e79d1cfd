"""POSCAR and CONTCAR files (VASP 5 and later, with element symbols), read by pymatgen.

pymatgen invents elements where a file has none, ignores symbols without a number and positions
beyond the announced ones, and takes any line for ``Direct``. All this is refused beforehand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from screening.errors import (
    CellError,
    NonFiniteInputError,
    ParseError,
    TooLargeError,
)
from stores.importers.records import Block, Parsed, ReadLimits, checked_element
from stores.importers.text import bounded_lines

__all__ = ["read_poscar"]

_MAX_LINE = 10_000
_SPECIES_ROW = 5
_MAX_SPECIES_ROWS = 10  # VASP starts a new line after 20 species
_COUNTS = re.compile(r"\s*\d+(?:\s+\d+)*\s*")
_POSITION = re.compile(r"\s*(?:[+-]?[\d.][\d.eE+-]*\s+){2}[+-]?[\d.][\d.eE+-]*(?:\s.*)?")


def read_poscar(text: str, limits: ReadLimits) -> Iterator[Block]:
    """Read the one structure of a POSCAR.

    Yields
    ------
    Block
        The structure.

    Raises
    ------
    InputError
        `ParseError` with the number of the line, and as the species and limits ask for.
    """
    from pymatgen.io.vasp import Poscar

    lines = bounded_lines(text, _MAX_LINE)
    row, n_atoms = _announced(lines, limits)
    vectors = map(_first_three, lines[2:_SPECIES_ROW])
    checked = [*lines[:2], *vectors, *lines[_SPECIES_ROW:row], *_positions(lines, row, n_atoms)]
    try:
        poscar = Poscar.from_str("\n".join(checked), read_velocities=False)
    except np.linalg.LinAlgError as error:
        raise CellError(f"the cell has no volume: {error}") from error
    except (ValueError, IndexError, ZeroDivisionError, UserWarning) as error:
        raise ParseError(" ".join(str(error).split())) from error
    structure = poscar.structure
    if not all(np.isfinite(x).all() for x in (structure.lattice.matrix, structure.frac_coords)):
        raise NonFiniteInputError("a number is not finite")
    yield "", Parsed(structure, label=poscar.comment.strip() or None)


def _announced(lines: Sequence[str], limits: ReadLimits) -> tuple[int, int]:
    """Row after the numbers of atoms, and their sum; every number has its element."""
    rows = range(_SPECIES_ROW, min(len(lines), _SPECIES_ROW + _MAX_SPECIES_ROWS))
    first = next((row for row in rows if _COUNTS.fullmatch(lines[row])), None)
    if first is None:
        raise ParseError("no numbers of atoms after the elements")
    end = 2 * first - _SPECIES_ROW  # as many lines of numbers as of elements
    symbols = " ".join(lines[_SPECIES_ROW:first]).split()
    words = " ".join(lines[first:end]).split()
    if not symbols:
        raise ParseError(
            "line 6: no element symbols", hint="Add a line with the elements above the numbers"
        )
    for symbol in symbols:
        checked_element(re.split("[_/]", symbol)[0], "line 6")
    if len(symbols) != len(words) or not _COUNTS.fullmatch(" ".join(words)):
        raise ParseError(f"line {first + 1}: {len(symbols)} elements, {len(words)} numbers")
    n_atoms = sum(int(word[:20]) for word in words)
    if n_atoms > limits.structure.max_atoms:
        raise TooLargeError(f"{n_atoms} atoms, more than {limits.structure.max_atoms}")
    return end, n_atoms


def _positions(lines: Sequence[str], row: int, n_atoms: int) -> list[str]:
    """``Direct`` or ``Cartesian`` and as many positions as announced, without flags."""
    if row < len(lines) and lines[row].strip()[:1] in {"s", "S"}:
        row += 1
    if row >= len(lines) or lines[row].strip()[:1] not in set("dDcCkK"):
        raise ParseError(f"line {row + 1}: neither Direct nor Cartesian")
    end = row + 1 + n_atoms
    if n_atoms < 1 or end > len(lines):
        raise ParseError(f"{n_atoms} atoms announced, {len(lines) - row - 1} lines follow")
    if end < len(lines) and _POSITION.fullmatch(lines[end]):
        raise ParseError(f"line {end + 1}: more positions than the {n_atoms} announced")
    return [lines[row], *map(_first_three, lines[row + 1 : end])]


def _first_three(line: str) -> str:
    return " ".join(line.split()[:3])
