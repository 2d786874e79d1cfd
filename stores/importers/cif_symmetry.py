"""The symmetry operations that a CIF block lists, or that its space group's symbol stands for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from screening.errors import InconsistentDataError, ParseError
from screening.prediction import FloatArray

if TYPE_CHECKING:
    from pymatgen.core import Lattice

__all__ = ["operations_of"]

_OPERATIONS = ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz")
_NAMES = (
    "_space_group_name_h-m_alt",
    "_symmetry_space_group_name_h-m",
    "_space_group_name_hall",
    "_symmetry_space_group_name_hall",
)
_NUMBERS = ("_space_group_it_number", "_symmetry_int_tables_number")
_UNKNOWN = {"?", ".", ""}
_OPERATION = re.compile(r"[xyzXYZ0-9+\-*/. ]+")
_MAX_OPERATIONS = 192
_LAST_HALL_NUMBER = 530
_HEXAGONAL_TOLERANCE = 1e-2


def operations_of(
    tags: Mapping[str, list[str]], lattice: Lattice
) -> tuple[FloatArray, tuple[str, ...]]:
    """Affine matrices (operation, 4, 4) of a block, and what was assumed.

    Raises
    ------
    ParseError
        If an operation or the space group cannot be read, or its setting is ambiguous.
    InconsistentDataError
        If the operations listed form no group.
    """
    for tag in _OPERATIONS:
        if tag in tags:
            return _parse_operations(tags[tag]), ()
    names = [_plain(tags, tag) for tag in _NAMES]
    numbers = [_plain(tags, tag) for tag in _NUMBERS]
    name, number = next(filter(None, names), ""), next(filter(None, numbers), "")
    if not (name or number):
        return np.eye(4)[None], ("no symmetry is given: read as P1",)
    hall_number = _hall_number(name, number, lattice)
    note = f"operations of {name or number}: the file lists none"
    return _database_operations(hall_number), (note,) if hall_number > 1 else ()


def _plain(tags: Mapping[str, list[str]], tag: str) -> str:
    values = tags.get(tag, [])
    return values[0].strip() if len(values) == 1 and values[0].strip() not in _UNKNOWN else ""


def _parse_operations(texts: list[str]) -> FloatArray:
    """Parse ``x,-y,z+1/2`` and check that the operations form a group."""
    from pymatgen.core.operations import SymmOp

    if not 0 < len(texts) <= _MAX_OPERATIONS:
        raise ParseError(f"{len(texts)} symmetry operations")
    matrices = []
    for text in texts:
        parts = text.split(",")
        if len(parts) != 3 or not all(_OPERATION.fullmatch(part) for part in parts):  # noqa: PLR2004 - dimensions
            raise ParseError(f"the symmetry operation {text[:60]!r} cannot be read")
        try:
            matrices.append(SymmOp.from_xyz_str(text).affine_matrix)
        except (ValueError, ZeroDivisionError) as error:
            raise ParseError(f"the symmetry operation {text[:60]!r}: {error}") from error
    operations = np.array(matrices, dtype=np.float64)
    _check_group(operations)
    return operations


def _check_group(operations: FloatArray) -> None:
    """Refuse operations whose products are not among them: one is misprinted or missing."""
    known = {_operation_key(operation) for operation in operations}
    for left in operations:
        if any(_operation_key(product) not in known for product in left @ operations):
            raise InconsistentDataError(
                "the symmetry operations form no group", hint="One is misprinted or missing"
            )


def _operation_key(operation: FloatArray) -> tuple[int, ...]:
    """Rotation and translation in 24ths modulo lattice translations."""
    rotation = np.rint(operation[:3, :3] * 24).astype(int)
    translation = np.rint(operation[:3, 3] * 24).astype(int) % 24
    return (*rotation.ravel().tolist(), *translation.tolist())


@cache
def _settings() -> dict[str, tuple[tuple[int, str], ...]]:
    """List settings (Hall number, choice) by every symbol and number that names them."""
    import spglib

    found: dict[str, list[tuple[int, str]]] = {}
    for hall_number in range(1, _LAST_HALL_NUMBER + 1):
        kind: Any = spglib.get_spacegroup_type(hall_number)
        symbols = {kind.international_short, kind.international_full, kind.hall_symbol}
        symbols |= set(kind.international.split("="))
        for symbol in {_symbol_key(symbol) for symbol in symbols} | {str(kind.number)}:
            found.setdefault(symbol, []).append((hall_number, str(kind.choice)))
    return {symbol: tuple(settings) for symbol, settings in found.items()}


def _symbol_key(symbol: str) -> str:
    """Symbol without spaces and underscores."""
    return symbol.replace(" ", "").replace("_", "").replace("'", "")


def _hall_number(name: str, number: str, lattice: Lattice) -> int:
    """Find the setting of a space group given by name or number.

    Raises
    ------
    ParseError
        If it is unknown, or the symbol leaves the origin open: guessing gives another crystal.
    """
    symbol, _, choice = _symbol_key(name or number).partition(":")
    if symbol[-1:] in {"H", "R"} and symbol[:-1] in _settings():
        symbol, choice = symbol[:-1], symbol[-1]
    settings = _settings().get(symbol, ())
    if choice:
        settings = tuple(s for s in settings if s[1].upper() == choice.upper())
    choices = {setting[1] for setting in settings}
    if choices >= {"H", "R"}:
        wanted = "H" if _is_hexagonal(lattice) else "R"
        settings = tuple(s for s in settings if s[1] == wanted)
    elif choices >= {"1", "2"}:
        raise ParseError(
            f"the origin of {(name or number)[:40]!r} is not given",
            hint="List the symmetry operations, or add :1 or :2 to the symbol",
        )
    if not settings:
        raise ParseError(
            f"the space group {(name or number)[:40]!r} is unknown",
            hint="List the symmetry operations",
        )
    return settings[0][0]


def _is_hexagonal(lattice: Lattice) -> bool:
    return abs(lattice.gamma - 120.0) < 1.0 and abs(lattice.a / lattice.b - 1) < (
        _HEXAGONAL_TOLERANCE
    )


def _database_operations(hall_number: int) -> FloatArray:
    """Operations of a setting as affine matrices."""
    import spglib

    database: Any = spglib.get_symmetry_from_database(hall_number)
    operations = np.tile(np.eye(4), (len(database["rotations"]), 1, 1))
    operations[:, :3, :3] = database["rotations"]
    operations[:, :3, 3] = database["translations"]
    return operations
