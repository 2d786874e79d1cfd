"""phonopy yaml files, with forces (``phonopy_params.yaml``) or without.

The file is never handed to phonopy, whose loader can run code. Depth, aliases and tags are
checked on the stream of events before anything is built: nested brackets overflow the stack of
the C loader, and aliases can stand for more than any memory holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import yaml
from pymatgen.core import Lattice, Structure

from screening.errors import (
    InconsistentDataError,
    NonFiniteInputError,
    ParseError,
    ScreeningError,
    TooLargeError,
)
from screening.prediction import ForceData
from stores.importers.records import (
    Block,
    Parsed,
    ReadLimits,
    checked_element,
    display_name,
)

__all__ = ["check_units", "load_yaml", "read_phonopy_yaml", "yaml_cell"]

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MAX_DEPTH = 20
_MAX_LINE = 100_000
_CELL_KEYS = ("primitive_cell", "unit_cell", "supercell")
_UNITS = {"length": "angstrom", "force": "eV/angstrom"}


def load_yaml(text: str) -> Any:
    """Load plain data; no tags, no anchors, no deep nesting.

    Raises
    ------
    ParseError
        If the text is no YAML, or more than plain data.
    """
    depth = 0
    try:
        _check_nesting(text)
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise ParseError("anchors and aliases are not accepted")
            tag = getattr(event, "tag", None)
            if tag is not None and not tag.startswith("tag:yaml.org,2002:str"):
                raise ParseError(f"the tag {tag[:60]!r} is not accepted")
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > _MAX_DEPTH:
                raise ParseError(f"nested more than {_MAX_DEPTH} deep")
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - CSafeLoader or SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ParseError(f"no YAML: {' '.join(str(error).split())[:300]}") from error


def _check_nesting(text: str) -> None:
    """Refuse what makes the parser itself slow: its time grows with the square of the depth."""
    for number, line in enumerate(text.splitlines(), start=1):
        if len(line) > _MAX_LINE:
            raise TooLargeError(f"line {number} has {len(line)} characters")
        opening = line.count("[") + line.count("{") - line.count("]") - line.count("}")
        if opening > _MAX_DEPTH or line.count("- -") > _MAX_DEPTH or line.count("? ") > _MAX_DEPTH:
            raise ParseError(f"line {number}: nested more than {_MAX_DEPTH} deep")


def read_phonopy_yaml(text: str, limits: ReadLimits) -> Iterator[Block]:
    """Read the crystal of a phonopy yaml file, and its forces where it has them.

    Yields
    ------
    Block
        The structure with force data, or without.

    Raises
    ------
    InputError
        If there is no cell, another unit, or forces that contradict the cells.
    """
    data = load_yaml(text)
    if not isinstance(data, Mapping):
        raise ParseError("no phonopy file: not a mapping")
    check_units(data)
    cells = {
        key: yaml_cell(data[key], key, limits) for key in _CELL_KEYS if data.get(key) is not None
    }
    if not cells:
        raise ParseError("no phonopy file: no primitive_cell, unit_cell or supercell")
    if not _has_forces(data):
        yield "", Parsed(next(iter(cells.values())))
        return
    force_data = _force_data(data)
    yield (
        "",
        Parsed(
            force_data.primitive,
            force_data=force_data,
            forces_source=_source(data),
            notes=("forces were given and kept",),
        ),
    )


def _source(data: Mapping[str, Any]) -> str | None:
    """Name of the model in the header, which our own exports write there."""
    head = data.get("phonopy")
    written = head.get("configuration") if isinstance(head, Mapping) else None
    model = written.get("model") if isinstance(written, Mapping) else None
    return display_name(model) if isinstance(model, str) and model.strip() else None


def check_units(data: Mapping[str, Any]) -> None:
    """Refuse a file in other units than eV and Å.

    Raises
    ------
    InconsistentDataError
        If it names one.
    """
    units = data.get("physical_unit")
    if not isinstance(units, Mapping):
        return
    for name, expected in _UNITS.items():
        found = str(units.get(name, expected)).replace("Angstrom", "angstrom")
        if found != expected:
            raise InconsistentDataError(
                f"the unit of {name} is {found[:40]!r}", hint="Convert the file to eV and Å"
            )


def yaml_cell(cell: Any, key: str, limits: ReadLimits) -> Structure:
    """Check and build one cell.

    Raises
    ------
    InputError
        If it is no cell, too large, or not finite.
    """
    points = cell.get("points") if isinstance(cell, Mapping) else None
    if not isinstance(points, list) or not points:
        raise ParseError(f"{key} has no points")
    bound = (
        limits.structure.max_atoms
        if not key.endswith("supercell")
        else 10 * limits.structure.max_atoms
    )
    if len(points) > bound:
        raise TooLargeError(f"{key}: {len(points)} atoms, more than {bound}")
    try:
        lattice = np.array(cell["lattice"], dtype=np.float64).reshape(3, 3)
        positions = np.array([point["coordinates"] for point in points], dtype=np.float64)
        symbols = [str(point["symbol"]) for point in points]
        positions = positions.reshape(len(points), 3)
    except (KeyError, TypeError, ValueError) as error:
        raise ParseError(f"{key}: {type(error).__name__}: {error}") from error
    for symbol in symbols:
        checked_element(symbol, key)
    if not (np.isfinite(lattice).all() and np.isfinite(positions).all()):
        raise NonFiniteInputError(f"{key}: a number is not finite")
    return Structure(Lattice(lattice), symbols, positions)


def _has_forces(data: Mapping[str, Any]) -> bool:
    entries = data.get("displacements")
    if not isinstance(entries, list) or not entries:
        return False
    first = entries[0][0] if isinstance(entries[0], list) and entries[0] else entries[0]
    return isinstance(first, Mapping) and ("forces" in first or "force" in first)


def _force_data(data: Mapping[str, Any]) -> ForceData:
    from screening.phonons import force_data_from_phonopy_yaml

    try:
        return force_data_from_phonopy_yaml(data)
    except ScreeningError:
        raise
    except Exception as error:
        raise InconsistentDataError(f"forces: {type(error).__name__}: {error}") from error
