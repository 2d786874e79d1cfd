"""CIF files, block by block, with pymatgen's reader behind checks of our own.

pymatgen splits a block into values. Only the cell, the symmetry and the sites of it are checked
and written anew for pymatgen's parser: labels that it would guess an element from, occupancies,
and whatever else a file may hold (where CIF readers had their holes) never reach it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pymatgen.core import Composition, Lattice, Structure

from screening.errors import (
    CellError,
    DisorderedError,
    InconsistentDataError,
    NonFiniteInputError,
    ParseError,
    ScreeningError,
    TooLargeError,
)
from screening.prediction import FloatArray
from stores.importers.cif_symmetry import operations_of
from stores.importers.records import Block, Parsed, ReadLimits, checked_element
from stores.importers.text import bounded_lines

__all__ = ["read_cif"]

Tags = Mapping[str, Any]

_CELL = tuple(f"_cell_{kind}" for kind in (
    "length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma",
))  # fmt: skip
_POSITION = ("_atom_site_fract_x", "_atom_site_fract_y", "_atom_site_fract_z")
_LABELS = ("_atom_site_type_symbol", "_atom_site_label")
_CRYSTAL = ("_cell_length", "_atom_site_fract")
_ONCE = ("_cell_length", "_cell_angle", "_atom_site_", "_symmetry_", "_space_group_")
_WHOLE = (("_atom_site_occupancy", 1.0), ("_atom_site_attached_hydrogens", 0.0))
_OCCUPANCY_TOLERANCE = 1e-3
_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?:\(\d*\)?)?")
_FORMULA = re.compile(r"(?:[A-Z][a-z]?(?:\d+(?:\.\d+)?)?\s*){1,200}")
_UNKNOWN = {"?", ".", ""}
_MAX_LINE = 20_000
_MAX_LINES = 1_000_000
_MAX_SPLITTING = 10**8  # an open quote is looked for again at every other one of its line
_SAME_SITE = 2e-3  # fractions with three decimals miss a special position by up to 1e-3
_FORMULA_TOLERANCE = 0.02


@dataclass
class _Lines:
    """The lines of one block, or why it cannot be read."""

    name: str
    lines: list[str] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    error: ScreeningError | None = None


def read_cif(text: str, limits: ReadLimits) -> Iterator[Block]:
    """Read every block that has a cell or sites; a broken one does not stop those after it.

    Yields
    ------
    Block
        Named as in the file.

    Raises
    ------
    ParseError
        If no block describes a crystal.
    """
    blocks = _split(text)
    if not blocks:
        raise ParseError("no data block", hint="A CIF starts with data_ and a name")
    found = False
    for block in blocks:
        if block.error is None and not any(tag.startswith(_CRYSTAL) for tag in block.tags):
            continue
        found = True
        try:
            yield block.name, _parsed(block, limits)
        except ScreeningError as error:
            yield block.name, error
        except Exception as error:  # noqa: BLE001 - of pymatgen's, about this block only
            yield block.name, ParseError(f"{type(error).__name__}: {error}")
    if not found:
        raise ParseError("no block with a cell and atoms")


def _split(text: str) -> list[_Lines]:
    """Split a file into blocks; what looks like a block within a text field is text."""
    blocks: list[_Lines] = []
    in_text = False
    for number, line in enumerate(bounded_lines(text, _MAX_LINE), start=1):
        words = line.split(maxsplit=1)
        if line.startswith(";"):
            in_text = not in_text
        elif not in_text and words and words[0].lower().startswith("data_"):
            blocks.append(_Lines(words[0][5:]))
            line = f"data_block\n{words[1] if len(words) > 1 else ''}"  # noqa: PLW2901 - renamed
        elif blocks and not in_text and line.lstrip().startswith("_"):
            _add_tag(blocks[-1], words, number)
        if blocks and words:
            # pymatgen would drop what is not ASCII, also from within a number.
            blocks[-1].lines.append(line.encode("ascii", "backslashreplace").decode("ascii"))
    if in_text and blocks:
        blocks[-1].error = ParseError("a text is not closed by a semicolon")
    return blocks


def _add_tag(block: _Lines, words: Sequence[str], number: int) -> None:
    """Remember a tag; one of ours with two values or in two loops leaves open what is meant."""
    tag, value = _plain_tag(words[0]), words[1] if len(words) > 1 else ""
    known = block.tags.get(tag)
    if known is not None and (known != value or not value) and tag.startswith(_ONCE):
        block.error = block.error or ParseError(f"line {number}: {tag[:60]} is given twice")
    block.tags[tag] = value


def _plain_tag(word: str) -> str:
    """Tag of the core dictionary, whatever its case and dialect."""
    return word.lower().replace(".", "_").rstrip("_")


def _parsed(block: _Lines, limits: ReadLimits) -> Parsed:
    """Build the crystal of one block."""
    if block.error is not None:
        raise block.error
    tags = _tags(block.lines)
    cell = [_number(tags.get(tag), tag) for tag in _CELL]
    lattice = _lattice(cell)
    symbols, positions = _sites(tags)
    texts, operations, notes = operations_of(tags, lattice)
    places = [_special_position(position, operations) for position in positions]
    n_atoms = sum(multiplicity for _, multiplicity in places)
    if n_atoms > limits.structure.max_atoms:
        raise TooLargeError(f"{n_atoms} atoms, more than {limits.structure.max_atoms}")
    structure = _structure(_written(cell, texts, symbols, [place for place, _ in places]))
    _check_formula(_text(tags, "_chemical_formula_sum"), structure.composition)
    names = (_text(tags, f"_chemical_name_{kind}") for kind in ("common", "mineral"))
    label = next(filter(None, names), block.name)
    return Parsed(structure, label=label or None, notes=notes)


def _tags(lines: Sequence[str]) -> dict[str, Any]:
    """Split the lines of a block into tags with a value, or the column of a loop."""
    from pymatgen.io.cif import CifBlock

    if len(lines) > _MAX_LINES:
        raise TooLargeError(f"a block of {len(lines)} lines", hint="Remove the measured data")
    if sum(len(line) * (line.count("'") + line.count('"')) for line in lines) > _MAX_SPLITTING:
        raise TooLargeError("too many quotes in long lines")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            found = CifBlock.from_str("\n".join(lines)).data
    except UserWarning as stray:
        raise ParseError(
            f"{str(stray).rpartition(': ')[2][:60]!r} belongs to no tag",
            hint="Quote values with spaces, close every quote, begin loops with loop_",
        ) from stray
    except (ValueError, IndexError, KeyError, ZeroDivisionError) as error:
        raise ParseError(f"a loop has another number of values than columns: {error}") from error
    return {_plain_tag(tag): value for tag, value in found.items()}


def _text(tags: Tags, tag: str) -> str:
    """Return a known single value, or nothing."""
    value = tags.get(tag, "")
    return "" if not isinstance(value, str) or value in _UNKNOWN else " ".join(value.split())


def _number(text: Any, tag: str) -> float:
    """Return a number, without its standard uncertainty."""
    if not isinstance(text, str):
        raise ParseError(f"{tag} is missing" if text is None else f"{tag} has several values")
    match = _NUMBER.fullmatch(text.strip())
    if match is None and text.strip().lower().lstrip("+-") not in {"nan", "inf", "infinity"}:
        raise ParseError(f"{tag} is {text[:40]!r}, no number")
    value = float(match[1]) if match else np.nan
    if not np.isfinite(value):
        raise NonFiniteInputError(f"{tag} is {text[:40]!r}")
    return value


def _lattice(cell: Sequence[float]) -> Lattice:
    """Lattice of six parameters, which must span a volume."""
    with np.errstate(all="ignore"):
        lattice = Lattice.from_parameters(*cell)
        volume = float(lattice.volume)
    if not (np.isfinite(lattice.matrix).all() and np.isfinite(volume) and volume > 0):
        raise CellError(f"the volume of the cell is {volume:g} Å³")
    return lattice


def _sites(tags: Tags) -> tuple[list[str], FloatArray]:
    """Elements and positions of the sites listed."""
    columns = [_column(tags, tag) for tag in _POSITION]
    if any(column is None for column in columns):
        raise ParseError(
            "no atoms with fractional coordinates",
            hint="Cartesian sites (_atom_site_Cartn_x) are not read",
        )
    positions = np.array(
        [
            [_number(value, tag) for value in column or []]
            for column, tag in zip(columns, _POSITION, strict=True)
        ]
    ).T
    types, labels = (_column(tags, tag) for tag in _LABELS)
    names = [
        label if name in _UNKNOWN else name
        for name, label in zip(types or labels or [], labels or types or [], strict=True)
    ]
    if len(names) != len(positions) or not names:
        raise ParseError(f"{len(positions)} positions, {len(names)} labels")
    symbols = [_element(name) for name in names]
    _check_whole(tags, names)
    return symbols, positions


def _column(tags: Tags, tag: str) -> list[str] | None:
    """Column of a loop, also of a single site given without one."""
    value = tags.get(tag)
    return [value] if isinstance(value, str) else value


def _element(name: str) -> str:
    """Return the element of a type symbol (``Ti4+``) or label (``O1a``).

    The letters before the first digit or sign must be an element as it is written: ``NH3``,
    ``OW`` and ``CA1`` are no elements, and guessing would invent a crystal.
    """
    letters = re.match(r"[A-Za-z]*", name)
    hint = "Write element symbols (Ca, not CA) into _atom_site_type_symbol"
    return checked_element(letters[0] if letters else "", f"the site {name[:20]!r}", hint)


def _check_whole(tags: Tags, names: list[str]) -> None:
    """Refuse partial occupation and hydrogen that is not listed."""
    for tag, expected in _WHOLE:
        for name, value in zip(names, _column(tags, tag) or [], strict=False):
            if value in _UNKNOWN:
                continue
            if abs(_number(value, tag) - expected) > _OCCUPANCY_TOLERANCE:
                raise DisorderedError(
                    f"site {name[:20]!r}: {tag} is {value[:20]}",
                    hint="Give an ordered structure with all atoms",
                )
    groups = _column(tags, "_atom_site_disorder_group") or []
    if any(group not in {*_UNKNOWN, "0"} for group in groups):
        raise DisorderedError("sites belong to disorder groups", hint="Give an ordered structure")


def _special_position(position: FloatArray, operations: FloatArray) -> tuple[FloatArray, int]:
    """Average the images that coincide: rounded digits (0.333) miss the special position.

    Returns the position and the number of its images in the cell.
    """
    offsets = operations[:, :3, :3] @ position + operations[:, :3, 3] - position
    offsets -= np.rint(offsets)
    near = offsets[np.abs(offsets).max(axis=1) < _SAME_SITE]
    if not len(near):
        raise ParseError("the identity is not among the symmetry operations")
    return position + near.mean(axis=0), len(operations) // len(near)


def _written(
    cell: Sequence[float],
    operations: Sequence[str],
    symbols: Sequence[str],
    positions: Sequence[FloatArray],
) -> str:
    """CIF of checked values and nothing else."""
    from pymatgen.io.cif import CifBlock

    sites = ["_atom_site_label", "_atom_site_type_symbol", *_POSITION]
    columns = np.array([[f"{x:.15g}" for x in position] for position in positions]).T
    data = dict(zip(_CELL, map(repr, cell), strict=True))
    labels = [f"{symbol}{index}" for index, symbol in enumerate(symbols, start=1)]
    loops = [["_symmetry_equiv_pos_as_xyz"], sites]
    values = [list(operations), labels, list(symbols), *columns.tolist()]
    data |= dict(zip(loops[0] + sites, values, strict=True))
    return str(CifBlock(data, loops, "block"))


def _structure(text: str) -> Structure:
    """Let pymatgen generate all atoms."""
    from pymatgen.io.cif import CifParser

    parser = CifParser.from_str(text, check_cif=False)
    try:
        return parser.parse_structures(primitive=False, on_error="raise")[0]
    except ValueError as error:
        if "ccupanc" in str(error):
            raise DisorderedError(
                "two sites share a place", hint="Give an ordered structure, every site once"
            ) from error
        raise ParseError(" ".join(str(error).split())) from error


def _check_formula(formula: str, found: Composition) -> None:
    """Compare the composition with the formula the file gives: missing atoms show here."""
    if not _FORMULA.fullmatch(formula):
        return
    announced = Composition(formula).fractional_composition
    if announced.almost_equals(found.fractional_composition, _FORMULA_TOLERANCE, 0.0):
        return
    raise InconsistentDataError(
        f"the atoms are {found.formula}, the formula says {formula[:100]}",
        hint="Atoms are missing (often hydrogen) or the symmetry is incomplete",
    )
