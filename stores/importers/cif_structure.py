"""The crystal that the tags of a CIF block describe."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from pymatgen.core import Element

from screening.errors import (
    DisorderedError,
    InconsistentDataError,
    NonFiniteInputError,
    ParseError,
    SuspiciousSpeciesError,
    TooLargeError,
)
from screening.prediction import FloatArray
from stores.importers.cif_symmetry import operations_of
from stores.importers.records import Parsed, ReadLimits

__all__ = ["structure_from_tags"]

Tags = Mapping[str, list[str]]

_CELL = (
    "_cell_length_a", "_cell_length_b", "_cell_length_c",
    "_cell_angle_alpha", "_cell_angle_beta", "_cell_angle_gamma",
)  # fmt: skip
_POSITION = ("_atom_site_fract_x", "_atom_site_fract_y", "_atom_site_fract_z")
_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?:\(\d+\)?)?")
_ELEMENT = re.compile(r"([A-Za-z]+)")
_UNKNOWN = {"?", "."}
_MAX_IMAGES = 20_000
_SAME_SITE = 2e-3  # fractions with three decimals miss a special position by up to 1e-3
_IDEAL = 5e-4  # 0.333 is a third
_FORMULA_TOLERANCE = 0.02


def structure_from_tags(tags: Tags, name: str, limits: ReadLimits) -> Parsed:
    """Build the crystal of one block.

    Raises
    ------
    InputError
        `ParseError` where something is missing or no number; disorder, misread labels, too many
        atoms, operations that form no group, or another composition than the formula's.
    """
    from pymatgen.core import Lattice, Structure

    lattice = Lattice.from_parameters(*(_number(_single(tags, tag), tag) for tag in _CELL))
    if not np.isfinite(lattice.matrix).all():
        raise NonFiniteInputError("the cell is not finite")
    symbols, positions = _sites(tags)
    operations, notes = operations_of(tags, lattice)
    if len(symbols) * len(operations) > _MAX_IMAGES:
        raise TooLargeError(
            f"{len(symbols)} sites with {len(operations)} operations",
            hint=f"Up to {_MAX_IMAGES} images are generated",
        )
    all_symbols, all_positions = _expand(symbols, positions, operations)
    if len(all_symbols) > limits.structure.max_atoms:
        raise TooLargeError(f"{len(all_symbols)} atoms, more than {limits.structure.max_atoms}")
    _check_formula(tags, all_symbols)
    label = next((_text(tags, t) for t in ("_chemical_name_common", "_chemical_name_mineral")), "")
    structure = Structure(lattice, all_symbols, all_positions)
    return Parsed(structure, label=label or name or None, notes=notes)


def _text(tags: Tags, tag: str) -> str:
    """Return a known single value, or nothing."""
    values = tags.get(tag, [])
    return "" if len(values) != 1 or values[0] in _UNKNOWN else " ".join(values[0].split())


def _single(tags: Tags, tag: str) -> str:
    values = tags.get(tag)
    if values is None or len(values) != 1:
        raise ParseError(f"{tag} is missing" if values is None else f"{tag} has several values")
    return values[0]


def _number(text: str, tag: str) -> float:
    """Return a number, without its standard uncertainty."""
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        if text.strip().lower() in {"nan", "inf", "-inf", "infinity"}:
            raise NonFiniteInputError(f"{tag} is {text.strip()}")
        raise ParseError(f"{tag} is {text[:40]!r}, no number")
    value = float(match[1])
    if not np.isfinite(value):
        raise NonFiniteInputError(f"{tag} is {text[:40]!r}")
    return value


def _sites(tags: Tags) -> tuple[list[str], FloatArray]:
    """Elements and positions of the sites listed."""
    columns = [tags.get(tag) for tag in _POSITION]
    if any(column is None for column in columns):
        raise ParseError(
            "no atoms with fractional coordinates",
            hint="Cartesian sites (_atom_site_Cartn_x) are not read",
        )
    rows = zip(*(column or [] for column in columns), strict=False)
    positions = np.array(
        [[_number(v, tag) for v, tag in zip(row, _POSITION, strict=True)] for row in rows]
    ).reshape(-1, 3)
    labels = tags.get("_atom_site_label", [])
    types = tags.get("_atom_site_type_symbol")
    names = labels if types is None else types
    if len(names) != len(positions) or not len(positions):
        raise ParseError(f"{len(positions)} positions, {len(names)} labels")
    symbols = [_element(name) for name in names]
    _check_whole(tags, names)
    return symbols, _idealised(positions)


def _element(name: str) -> str:
    """Return the element of a type symbol (``Ti4+``) or label (``O1a``).

    The letters before the first digit or sign must be an element as it is written: ``NH3``,
    ``OW`` and ``CA1`` are no elements, and guessing would invent a crystal.
    """
    match = _ELEMENT.match(name)
    letters = match[1] if match else ""
    if not Element.is_valid_symbol(letters):
        raise SuspiciousSpeciesError(
            f"the site {name[:20]!r} names no element",
            hint="Write element symbols (Ca, not CA) into _atom_site_type_symbol",
        )
    return letters


def _check_whole(tags: Tags, names: list[str]) -> None:
    """Refuse partial occupation and hydrogen that is not listed."""
    for tag, expected in (("_atom_site_occupancy", 1.0), ("_atom_site_attached_hydrogens", 0.0)):
        for name, value in zip(names, tags.get(tag, []), strict=False):
            if value not in _UNKNOWN and abs(_number(value, tag) - expected) > 1e-3:  # noqa: PLR2004 - rounding
                raise DisorderedError(
                    f"site {name[:20]!r}: {tag} is {value[:20]}",
                    hint="Give an ordered structure with all atoms",
                )
    groups = tags.get("_atom_site_disorder_group", [])
    if any(group not in _UNKNOWN and group != "0" for group in groups):
        raise DisorderedError("sites belong to disorder groups", hint="Give an ordered structure")


def _idealised(positions: FloatArray) -> FloatArray:
    """Replace 0.333 and 0.6667 by thirds: rounded, they leave their special position."""
    ideal = np.round(positions * 6.0) / 6.0
    return np.where(np.abs(positions - ideal) < _IDEAL, ideal, positions)


def _expand(
    symbols: list[str], positions: FloatArray, operations: FloatArray
) -> tuple[list[str], FloatArray]:
    """All images of all sites, those that coincide merged."""
    all_symbols: list[str] = []
    kept = np.empty((0, 3))
    for symbol, position in zip(symbols, positions, strict=True):
        images = (operations[:, :3, :3] @ position + operations[:, :3, 3]) % 1.0
        images = _merged(images)
        clash = _distances(images, kept) < _SAME_SITE
        if clash.any():
            other = all_symbols[int(np.argmax(clash.any(axis=0)))]
            raise DisorderedError(
                f"{symbol} and {other} share the site {np.round(position, 4).tolist()}",
                hint="Give an ordered structure, every site once",
            )
        all_symbols += [symbol] * len(images)
        kept = np.concatenate([kept, images])
    return all_symbols, kept


def _distances(first: FloatArray, second: FloatArray) -> FloatArray:
    """Largest difference of fractions between every two positions."""
    difference = first[:, None, :] - second[None, :, :]
    result: FloatArray = np.abs(difference - np.rint(difference)).max(axis=2, initial=0.0)
    return result


def _merged(images: FloatArray) -> FloatArray:
    """Average images that coincide: onto the special position that rounded digits missed."""
    same = _distances(images, images) < _SAME_SITE
    first = [i for i in range(len(images)) if not same[i, :i].any()]
    offsets = images[None, :, :] - images[first][:, None, :]
    offsets -= np.rint(offsets)
    weights = same[first][:, :, None]
    means: FloatArray = images[first] + (offsets * weights).sum(axis=1) / weights.sum(axis=1)
    return means % 1.0


def _check_formula(tags: Tags, symbols: list[str]) -> None:
    """Compare the composition with the formula the file gives: missing atoms show here."""
    formula = _text(tags, "_chemical_formula_sum")
    parts = [re.fullmatch(r"([A-Z][a-z]?)(\d+(?:\.\d+)?)?", word) for word in formula.split()]
    if not parts or any(part is None for part in parts):
        return
    announced = {part[1]: float(part[2] or 1) for part in parts if part is not None}
    found = {symbol: symbols.count(symbol) for symbol in set(symbols)}
    if set(announced) == set(found):
        ratios = [found[symbol] / announced[symbol] for symbol in found if announced[symbol] > 0]
        if len(ratios) == len(found) and max(ratios) / min(ratios) - 1.0 <= _FORMULA_TOLERANCE:
            return
    counted = " ".join(f"{symbol}{count}" for symbol, count in sorted(found.items()))
    raise InconsistentDataError(
        f"the atoms are {counted}, the formula says {formula[:100]}",
        hint="Atoms are missing (often hydrogen) or the symmetry is incomplete",
    )
