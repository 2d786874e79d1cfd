"""What reading files gives: structures, rejections, and the limits of both."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from pymatgen.core import Element, Lattice, Structure

from screening.errors import (
    CellError,
    NonFiniteInputError,
    ParseError,
    ScreeningError,
    SuspiciousSpeciesError,
)
from screening.prediction import FloatArray, ForceData
from screening.structure import Crystal, StructureLimits

__all__ = [
    "DEFAULT_READ_LIMITS",
    "Block",
    "Parsed",
    "ReadLimits",
    "ReadStructure",
    "Rejection",
    "cartesian_structure",
    "checked_element",
    "display_name",
    "finite_array",
]

_MAX_NAME = 300


@dataclass(frozen=True)
class ReadLimits:
    """How much may be read.

    Attributes
    ----------
    structure
        What a structure may look like.
    max_file_bytes
        Size of one file after decompression.
    max_structures_per_file
        Blocks, frames or list entries of one file.
    max_archive_bytes, max_archive_members
        Size of all members of an archive together, and their number.
    max_ratio
        Decompressed over compressed size of a file or archive.
    """

    structure: StructureLimits = field(default_factory=StructureLimits)
    max_file_bytes: int = 64_000_000
    max_structures_per_file: int = 10_000
    max_archive_bytes: int = 256_000_000
    max_archive_members: int = 10_000
    max_ratio: float = 100.0


DEFAULT_READ_LIMITS = ReadLimits()


@dataclass(frozen=True)
class Parsed:
    """What a format's reader found in one block, not validated yet.

    Attributes
    ----------
    structure
        The structure as given.
    label
        A name that the file gives it.
    static_energy_ev_per_atom, static_energy_source
        A given energy in eV/atom and what computed it, or None. An energy without a source
        is that of its file.
    forces_ev_per_angstrom
        Forces on the atoms of `structure` in eV/Å, shape (atom, 3), or None.
    force_data
        Forces of displaced supercells, or None.
    forces_source
        What computed these forces, where the file says so.
    stress_ev_per_angstrom3
        Derivative of the energy by strain over the volume, shape (3, 3), or None.
    information
        What else the block says of itself, by name.
    notes
        What the reader had to assume.
    """

    structure: Structure
    label: str | None = None
    static_energy_ev_per_atom: float | None = None
    static_energy_source: str | None = None
    forces_ev_per_angstrom: FloatArray | None = None
    force_data: ForceData | None = None
    forces_source: str | None = None
    stress_ev_per_angstrom3: FloatArray | None = None
    information: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


Block = tuple[str, Parsed | ScreeningError]
"""Name of a block within its file, and what it holds or why it cannot be read."""


@dataclass(frozen=True)
class ReadStructure:
    """A structure that may be computed, and what its file says about it.

    Attributes
    ----------
    crystal
        The canonical crystal.
    parsed
        What the file says, in the file's own cell.
    file, block
        Where it was read: printable names, never to be used as a path.
    label, citation
        Name and citation given in the file or in ``metadata.csv``.
    static_energy_ev_per_atom, static_energy_source
        A given energy and where it comes from, or None.
    notes
        What was changed, assumed or looked odd.
    """

    crystal: Crystal
    parsed: Parsed
    file: str
    block: str = ""
    label: str | None = None
    citation: str | None = None
    static_energy_ev_per_atom: float | None = None
    static_energy_source: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """File and block in one printable name."""
        return f"{self.file}#{self.block}" if self.block else self.file

    @property
    def force_data(self) -> ForceData | None:
        """Forces of displaced supercells, where the file has them."""
        return self.parsed.force_data


@dataclass(frozen=True)
class Rejection:
    """Why a file or a part of it was not read.

    Attributes
    ----------
    code
        One of the published error codes.
    file, block
        What was rejected: printable names, never to be used as a path.
    message, hint
        What is wrong and what to do.
    """

    code: str
    file: str
    block: str
    message: str
    hint: str = ""

    @classmethod
    def of(cls, error: ScreeningError, file: str, block: str = "") -> Self:
        """Rejection for an error."""
        code = error.code or ParseError.code
        return cls(code, file, block, display_name(error.message, limit=1000), error.hint)

    def __str__(self) -> str:
        place = f"{self.file}#{self.block}" if self.block else self.file
        hint = f". {self.hint}" if self.hint else ""
        return f"{self.code} {place}: {self.message}{hint}"


def finite_array(values: Any, shape: tuple[int, ...], name: str) -> FloatArray:
    """Finite numbers of a shape.

    Raises
    ------
    ParseError
        If they are no numbers, or of another shape.
    NonFiniteInputError
        If one is NaN or infinite.
    """
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ParseError(f"{name}: {error}") from error
    if array.shape != shape:
        raise ParseError(f"{name} has shape {array.shape}, not {shape}")
    if not np.isfinite(array).all():
        place = tuple(int(index) + 1 for index in np.argwhere(~np.isfinite(array))[0])
        raise NonFiniteInputError(
            f"{name} is not finite: {array[~np.isfinite(array)][0]} at {place}"
        )
    return array


def checked_element(symbol: str, place: str, hint: str = "") -> str:
    """Return the symbol of an element as it is written; nothing is guessed.

    Raises
    ------
    SuspiciousSpeciesError
        If it is none.
    """
    if not Element.is_valid_symbol(symbol):
        raise SuspiciousSpeciesError(f"{place}: {symbol[:20]!r} is no element", hint=hint)
    return symbol


def cartesian_structure(
    matrix: FloatArray, symbols: Sequence[str], positions_angstrom: FloatArray
) -> Structure:
    """Structure from Cartesian positions.

    Raises
    ------
    CellError
        If the cell has no volume, in which positions have no fractions.
    """
    with np.errstate(all="ignore"):
        volume = abs(float(np.linalg.det(matrix)))
    if not (np.isfinite(volume) and volume > 0):
        raise CellError(f"the volume of the cell is {volume:g} Å³")
    return Structure(Lattice(matrix), list(symbols), positions_angstrom, coords_are_cartesian=True)


def display_name(name: str | os.PathLike[str], limit: int = _MAX_NAME) -> str:
    r"""Printable form of any name: for messages and documents, never a path again.

    Control characters, undecodable bytes and characters that reorder text are escaped, long
    names are cut in the middle.

    Examples
    --------
    >>> display_name("a\nb\x1b[31m.cif")
    'a\\nb\\x1b[31m.cif'
    """
    text = "".join(
        char
        if char == " " or unicodedata.category(char)[0] not in "CZ"
        else char.encode("unicode_escape").decode("ascii")
        for char in os.fspath(name)[: 10 * limit]
    )
    return text if len(text) <= limit else f"{text[: limit // 2]}...{text[-limit // 2 :]}"
