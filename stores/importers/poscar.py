"""POSCAR and CONTCAR files (VASP 5 and later, with element symbols)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat

import numpy as np
from pymatgen.core import Element, Lattice, Structure

from screening.errors import NonFiniteInputError, ParseError, SuspiciousSpeciesError, TooLargeError
from screening.prediction import FloatArray
from stores.importers.records import Block, Parsed, ReadLimits, cartesian_structure

__all__ = ["read_poscar"]

_HEADER_LINES = 7
_VECTOR = 3


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
    lines = text.splitlines()
    if len(lines) <= _HEADER_LINES:
        raise ParseError(f"{len(lines)} lines are no POSCAR")
    vectors = np.array([_floats(lines, index, _VECTOR) for index in (2, 3, 4)])
    scale = _scale(lines, vectors)
    vectors = vectors * scale
    symbols = _symbols(lines[5], lines[6], limits)
    row = _HEADER_LINES
    if lines[row].strip()[:1].lower() == "s":
        row += 1
    if row >= len(lines):
        raise ParseError(f"line {row + 1} is missing: Direct or Cartesian")
    cartesian = _is_cartesian(lines[row], row)
    if len(lines) < row + 1 + len(symbols):
        raise ParseError(f"{len(symbols)} atoms announced, {len(lines) - row - 1} lines follow")
    positions = np.array([_floats(lines, row + 1 + i, _VECTOR) for i in range(len(symbols))])
    _refuse_more(lines, row + 1 + len(symbols), len(symbols))
    if cartesian:
        structure = cartesian_structure(vectors, symbols, positions * scale)
    else:
        structure = Structure(Lattice(vectors), symbols, positions)
    label = lines[0].strip()
    yield "", Parsed(structure, label=label or None)


def _floats(lines: list[str], index: int, count: int) -> FloatArray:
    """First numbers of a line."""
    try:
        values = np.array([float(word) for word in lines[index].split()[:count]])
    except ValueError as error:
        raise ParseError(f"line {index + 1}: {error}") from error
    if len(values) < count:
        raise ParseError(f"line {index + 1}: {count} numbers are needed")
    if not np.isfinite(values).all():
        raise NonFiniteInputError(f"line {index + 1}: a number is not finite")
    return values


def _scale(lines: list[str], vectors: FloatArray) -> FloatArray:
    """Factors of the three Cartesian directions; one negative number is a volume in Å³."""
    words = lines[1].split()
    if len(words) >= _VECTOR and all(_is_number(word) for word in words[:3]):
        return _floats(lines, 1, _VECTOR)
    factor = float(_floats(lines, 1, 1)[0])
    if factor < 0:
        with np.errstate(all="ignore"):
            volume = abs(float(np.linalg.det(vectors)))
            factor = float(np.cbrt(-factor / volume)) if volume > 0 else 0.0
    return np.full(3, factor)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _symbols(species_line: str, counts_line: str, limits: ReadLimits) -> list[str]:
    """Element of every atom. ``Si_pv`` and ``Si/0a1b2c`` are Si."""
    words = species_line.split()
    if words and all(_is_number(word) for word in words):
        raise ParseError(
            "line 6: no element symbols", hint="Add a line with the elements above the numbers"
        )
    elements = [word.split("/")[0].split("_")[0] for word in words]
    for symbol in elements:
        if not Element.is_valid_symbol(symbol):
            raise SuspiciousSpeciesError(f"line 6: {symbol!r} is no element")
    try:
        counts = [int(word) for word in counts_line.split()]
    except ValueError as error:
        raise ParseError(f"line 7: {error}") from error
    if len(counts) != len(elements) or not counts or min(counts) < 0 or sum(counts) < 1:
        raise ParseError(f"lines 6 and 7: {len(elements)} elements, {len(counts)} numbers")
    if sum(counts) > limits.structure.max_atoms:
        raise TooLargeError(f"{sum(counts)} atoms, more than {limits.structure.max_atoms}")
    return [name for symbol, n in zip(elements, counts, strict=True) for name in repeat(symbol, n)]


def _is_cartesian(line: str, row: int) -> bool:
    first = line.strip()[:1].lower()
    if first in {"c", "k"}:
        return True
    if first == "d":
        return False
    raise ParseError(f"line {row + 1}: neither Direct nor Cartesian")


def _refuse_more(lines: list[str], row: int, n_atoms: int) -> None:
    """Refuse positions beyond the announced number: one of the two is wrong."""
    if row < len(lines):
        words = lines[row].split()[:_VECTOR]
        if len(words) == _VECTOR and all(_is_number(word) for word in words):
            raise ParseError(f"line {row + 1}: more positions than the {n_atoms} announced")
