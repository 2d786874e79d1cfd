"""The symmetry operations that a CIF block lists, or that its space group's symbol stands for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from screening.errors import InconsistentDataError, ParseError
from screening.prediction import FloatArray
from screening.space_groups import setting_operations, settings_named

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
_METRIC_TOLERANCE = 1e-2


def operations_of(
    tags: Mapping[str, list[str]], lattice: Lattice
) -> tuple[FloatArray, tuple[str, ...]]:
    """Affine matrices (operation, 4, 4) of a block, and what was assumed.

    Raises
    ------
    ParseError
        If an operation or the space group cannot be read, or its setting is ambiguous.
    InconsistentDataError
        If the operations listed form no group, or do not fit the cell.
    """
    for tag in _OPERATIONS:
        if tag in tags:
            operations = _parse_operations(tags[tag])
            if not _fits(operations, lattice):
                raise _misfit("the symmetry operations do")
            return operations, ()
    names = [_plain(tags, tag) for tag in _NAMES]
    numbers = [_plain(tags, tag) for tag in _NUMBERS]
    name, number = next(filter(None, names), ""), next(filter(None, numbers), "")
    if not (name or number):
        return np.eye(4)[None], ("no symmetry is given: read as P1",)
    operations = _group_operations(name, number, lattice)
    note = f"operations of {name or number}: the file lists none"
    return operations, (note,) if len(operations) > 1 else ()


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


def _group_operations(name: str, number: str, lattice: Lattice) -> FloatArray:
    """Operations of a space group given by name or number, in the setting that fits the cell.

    Raises
    ------
    ParseError
        If it is unknown, or the symbol leaves the origin open: guessing gives another crystal.
    InconsistentDataError
        If no setting of it fits the cell.
    """
    symbol, _, choice = (name or number).replace(" ", "").partition(":")
    if not settings_named(symbol) and symbol[-1:] in {"H", "R"}:
        symbol, choice = symbol[:-1], symbol[-1]
    settings = settings_named(symbol)
    if choice:
        settings = tuple(s for s in settings if s.choice.upper() == choice.upper())
    if not settings:
        raise ParseError(
            f"the space group {(name or number)[:40]!r} is unknown",
            hint="List the symmetry operations",
        )
    if {setting.choice for setting in settings} >= {"1", "2"}:
        raise ParseError(
            f"the origin of {(name or number)[:40]!r} is not given",
            hint="List the symmetry operations, or add :1 or :2 to the symbol",
        )
    candidates = map(setting_operations, settings)
    fitting = next((found for found in candidates if _fits(found, lattice)), None)
    if fitting is None:
        raise _misfit(f"the space group {(name or number)[:40]!r} does")
    return fitting


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
