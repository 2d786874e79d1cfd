"""The symmetry operations that a CIF block lists, or that its space group's symbol stands for.

pymatgen's table of settings is used, not its choice among them: where the symbol leaves the
origin open it takes one, which gives another crystal in half of the cases.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from pymatgen.core import Lattice
from pymatgen.core.operations import SymmOp

from screening.errors import InconsistentDataError, ParseError
from screening.prediction import FloatArray

__all__ = ["operations_of"]

_OPERATIONS = ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz")
_HALL = ("_space_group_name_hall", "_symmetry_space_group_name_hall")
_NAMES = ("_space_group_name_h-m_alt", "_symmetry_space_group_name_h-m")
_NUMBERS = ("_space_group_it_number", "_symmetry_int_tables_number")
_UNKNOWN = {"?", ".", ""}
_OPERATION = re.compile(r"([xyzXYZ0-9+\-*/. ]{1,40},){2}[xyzXYZ0-9+\-*/. ]{1,40}")
_MAX_OPERATIONS = 192
_METRIC_TOLERANCE = 1e-2
_HINT = "List the symmetry operations"


def operations_of(
    tags: Mapping[str, Any], lattice: Lattice
) -> tuple[list[str], FloatArray, tuple[str, ...]]:
    """Operations of a block as text and as affine matrices, and what was assumed.

    Returns
    -------
    tuple of list of str, array and tuple of str
        The matrices have the shape (operation, 4, 4).

    Raises
    ------
    ParseError
        If an operation or the space group cannot be read, or the origin is open.
    InconsistentDataError
        If the operations form no group, or do not fit the cell.
    """
    listed = next((tags[tag] for tag in _OPERATIONS if tags.get(tag)), None)
    if listed is not None:
        texts = [listed] if isinstance(listed, str) else list(listed)
        matrices = _matrices(texts)
        if not _fits(matrices, lattice):
            raise _misfit("the symmetry operations do")
        return texts, matrices, ()
    hall, name, number = (_first(tags, names) for names in (_HALL, _NAMES, _NUMBERS))
    if hall or name or number:
        texts, matrices = _of_group(hall, name, number, lattice)
        note = f"operations of {name or hall or number}: the file lists none"
        return texts, matrices, (note,) if len(texts) > 1 else ()
    if any(tag.startswith(("_space_group_symop_magn", "_space_group_magn")) for tag in tags):
        raise ParseError("only magnetic symmetry is given", hint=_HINT)
    return ["x,y,z"], np.eye(4)[None], ("no symmetry is given: read as P1",)


def _first(tags: Mapping[str, Any], names: Sequence[str]) -> str:
    """Return the first known single value of some tags, or nothing."""
    values = (tags.get(name) for name in names)
    plain = (value.strip() for value in values if isinstance(value, str))
    return next((value for value in plain if value not in _UNKNOWN), "")


def _matrices(texts: Sequence[str]) -> FloatArray:
    """Parse ``x,-y,z+1/2`` and check that the operations form a group."""
    if len(texts) > _MAX_OPERATIONS:
        raise ParseError(f"{len(texts)} symmetry operations")
    for text in texts:
        if not _OPERATION.fullmatch(text):
            raise ParseError(f"{text[:60]!r} is no symmetry operation")
    try:
        operations = np.array([SymmOp.from_xyz_str(text).affine_matrix for text in texts])
    except (ValueError, ZeroDivisionError) as error:
        raise ParseError(f"the symmetry operations: {error}") from error
    products = (operations[:, None] @ operations).reshape(-1, 4, 4)
    if _count(operations) != _count(np.concatenate([operations, products])):
        raise InconsistentDataError(
            "the symmetry operations form no group", hint="One is misprinted or missing"
        )
    return operations


def _count(operations: FloatArray) -> int:
    """Count different operations, translations in 24ths modulo those of the lattice."""
    rows = np.rint(operations[:, :3] * 24).astype(np.int64)
    rows[:, :, 3] %= 24
    return len(np.unique(rows.reshape(-1, 12), axis=0))


def _of_group(hall: str, name: str, number: str, lattice: Lattice) -> tuple[list[str], FloatArray]:
    """Operations of a space group, in the setting that fits the cell.

    A Hall symbol says all; a Hermann-Mauguin symbol may leave axes and origin open; a number
    stands for the usual symbol.
    """
    settings = _settings_of_hall(hall) or _settings_named(name or _usual_symbol(number))
    shown = repr((name or hall or number)[:40])
    if not settings:
        raise ParseError(f"the space group {shown} is unknown", hint=_HINT)
    if number not in {"", str(settings[0]["number"])}:
        raise InconsistentDataError(f"{shown} is not the space group {number[:10]}")
    fitting = ((s["symops"], _matrices(s["symops"])) for s in settings)
    found = next(((texts, m) for texts, m in fitting if _fits(m, lattice)), None)
    if found is None:
        raise _misfit(f"the space group {shown} does")
    return found


def _usual_symbol(number: str) -> str:
    """Symbol of the standard setting of a number, or nothing."""
    found = (s for s in _table()[1] if str(s["number"]) == number)
    return next((str(s["hermann_mauguin"]) for s in found), "")


def _settings_of_hall(symbol: str) -> list[dict[str, Any]]:
    """List the one setting of a Hall symbol, in which blanks matter."""
    return [s for s in _table()[1] if s["hall"].split() == symbol.split()]


def _settings_named(name: str) -> list[dict[str, Any]]:
    """List the settings that a Hermann-Mauguin symbol may mean, the usual one first.

    Raises
    ------
    ParseError
        If these are two origins.
    """
    full, table = _table()
    key = _squeezed(name)
    key = re.sub(r"(?<=[^:])([HR])$", r":\1", full.get(key, key))
    stated = [s for s in table if key == _squeezed(s["universal_h_m"])]
    if stated:
        return stated
    short = ("hermann_mauguin", "hermann_mauguin_u", "short_h_m")
    settings = [s for s in table if key in {_squeezed(s[kind]) for kind in short}]
    if any(s["universal_h_m"].endswith((":1", ":2")) for s in settings):
        raise ParseError(
            f"the origin of {name[:40]!r} is not given",
            hint=f"{_HINT}, or add :1 or :2 to the symbol",
        )
    return settings or _settings_of_hall(name)


@cache
def _table() -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Short symbols by full ones, and all settings but those shifted or turned at will."""
    from pymatgen.symmetry.groups import SpaceGroup

    full = {_squeezed(long): _squeezed(s) for long, s in SpaceGroup.full_sg_mapping.items()}
    full["Cmme"] = "Cmma"  # the one standard symbol that the table lacks
    return full, [s for s in SpaceGroup.SYMM_OPS if "(" not in s["universal_h_m"]]


def _squeezed(name: str) -> str:
    return re.sub(r"[\s_]", "", name)


def _fits(operations: FloatArray, lattice: Lattice) -> bool:
    """Whether the operations leave all lengths and angles as they are."""
    metric = lattice.matrix @ lattice.matrix.T
    rotations = operations[:, :3, :3]
    images = np.swapaxes(rotations, 1, 2) @ metric @ rotations
    scale = np.sqrt(np.outer(np.diag(metric), np.diag(metric)))
    return bool((np.abs(images - metric) <= _METRIC_TOLERANCE * scale).all())


def _misfit(what: str) -> InconsistentDataError:
    return InconsistentDataError(
        f"{what} not fit the cell", hint="Check lengths and angles, and the setting"
    )
