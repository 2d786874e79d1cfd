"""pymatgen's JSON: structures, entries with energies, lists and dictionaries of them.

Read as plain data and built from checked numbers. pymatgen's own decoder imports what a file
names; it never sees outside data.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from pymatgen.core import Lattice, Structure

from screening.errors import (
    DisorderedError,
    NonFiniteInputError,
    NotPeriodicError,
    ParseError,
    ScreeningError,
    TooLargeError,
)
from stores.importers.records import Block, Parsed, ReadLimits, checked_element, finite_array
from stores.importers.text import check_nesting

__all__ = ["load_json", "read_structure_json", "structure_of"]

_MAX_ABSENT_OCCUPANCY = 1e-6
_MAX_DEPTH = 100
_STRING = re.compile(r'"[^"]*(?:"|\Z)')
_SOURCE_KEYS = ("run_type", "functional")
_NAME_KEYS = ("entry_id", "material_id", "mp_id", "label", "name")


def load_json(text: str) -> Any:
    """Load plain JSON; NaN and infinity are refused.

    Raises
    ------
    ParseError
        If the text is no JSON, or nested deeper than any structure.
    NonFiniteInputError
        If it writes a number that is not finite.
    """
    # Escapes go first: a pattern that knows them takes memory for each one, or quadratic time.
    plain = text.replace("\\\\", "").replace('\\"', "")
    check_nesting(_STRING.sub("", plain), _MAX_DEPTH)
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ParseError(f"no JSON: {error}") from error


def _refuse_constant(name: str) -> None:
    raise NonFiniteInputError(f"the file holds {name}")


def read_structure_json(text: str, limits: ReadLimits) -> Iterator[Block]:
    """Read every structure; a broken one does not stop those after it.

    Yields
    ------
    Block
        Named by its position, key or id.

    Raises
    ------
    ParseError
        If nothing in the file is a structure.
    """
    from stores.importers.optimade import is_optimade, structures_of_response

    data = load_json(text)
    if is_optimade(data):
        yield from structures_of_response(data, limits)
        return
    for name, item in _items(data):
        try:
            yield name, _parsed(item, limits)
        except ScreeningError as error:
            yield name, error
        except Exception as error:  # noqa: BLE001 - numpy's or pymatgen's, about this item only
            yield name, ParseError(f"{type(error).__name__}: {error}")


def _items(data: Any) -> Iterator[tuple[str, Any]]:
    """Structures or entries within the file, with their names."""
    if isinstance(data, Mapping) and ("lattice" in data or "structure" in data):
        yield "", data
    elif isinstance(data, list) and data:
        for index, item in enumerate(data, start=1):
            yield _name(item) or f"item {index}", item
    elif isinstance(data, Mapping) and data and all(_is_item(v) for v in data.values()):
        for key, item in data.items():
            yield str(key), item
    else:
        raise ParseError("no structure, list of structures, or dictionary of structures")


def _is_item(value: Any) -> bool:
    return isinstance(value, Mapping) and ("lattice" in value or "structure" in value)


def _name(item: Any) -> str:
    if not isinstance(item, Mapping):
        return ""
    return next((str(item[k]) for k in _NAME_KEYS if isinstance(item.get(k), str)), "")


def _parsed(item: Any, limits: ReadLimits) -> Parsed:
    """One structure, or an entry around it."""
    if not isinstance(item, Mapping):
        raise ParseError(f"{type(item).__name__} is no structure")
    entry = item if isinstance(item.get("structure"), Mapping) else {}
    structure, notes = structure_of(entry.get("structure", item), limits)
    energy, source = _energy(entry, len(structure))
    return Parsed(
        structure,
        label=_name(item) or None,
        static_energy_ev_per_atom=energy,
        static_energy_source=source,
        notes=notes,
    )


def _energy(entry: Mapping[str, Any], n_atoms: int) -> tuple[float | None, str | None]:
    """Energy of an entry per atom, without corrections, and what computed it, where it says."""
    energy = entry.get("energy")
    if energy is None:
        return None, None
    if isinstance(energy, bool) or not isinstance(energy, int | float):
        raise ParseError(f"energy is {energy!r}")
    if not math.isfinite(energy):
        raise NonFiniteInputError(f"energy is {energy}")
    parameters = entry.get("parameters")
    found = parameters if isinstance(parameters, Mapping) else {}
    words = (found.get(key) for key in _SOURCE_KEYS)
    names = dict.fromkeys(word.strip() for word in words if isinstance(word, str) and word.strip())
    return energy / n_atoms, f"uncorrected {', '.join(names)}" if names else None


def structure_of(data: Any, limits: ReadLimits) -> tuple[Structure, tuple[str, ...]]:
    """Build a structure from numbers and symbols only; properties stay behind."""
    if not isinstance(data, Mapping):
        raise ParseError("structure is no dictionary")
    sites = data.get("sites")
    lattice = data.get("lattice")
    if not isinstance(sites, list):
        raise ParseError("the structure has no sites")
    if not isinstance(lattice, Mapping):
        raise NotPeriodicError("the structure has no lattice: a molecule?")
    if len(sites) > limits.structure.max_atoms:
        raise TooLargeError(f"{len(sites)} atoms, more than {limits.structure.max_atoms}")
    if not all(lattice.get("pbc", [True])):
        raise NotPeriodicError("not periodic in three directions")
    matrix = finite_array(lattice.get("matrix"), (3, 3), "lattice.matrix")
    symbols = [_symbol(site, index) for index, site in enumerate(sites, start=1)]
    positions = [
        finite_array(site.get("abc"), (3,), f"sites.{index}.abc")
        for index, site in enumerate(sites, start=1)
    ]
    structure = Structure(Lattice(matrix), symbols, np.reshape(positions, (-1, 3)))
    return structure, _moment_note(sites)


def _symbol(site: Any, index: int) -> str:
    """Element of a fully occupied site."""
    species = site.get("species") if isinstance(site, Mapping) else None
    if not isinstance(species, list) or not species:
        raise ParseError(f"sites.{index} has no species")
    first = species[0]
    if not isinstance(first, Mapping) or not isinstance(first.get("element"), str):
        raise ParseError(f"sites.{index}.species names no element")
    occupancy = first.get("occu", 1)
    if isinstance(occupancy, bool) or not isinstance(occupancy, int | float):
        raise ParseError(f"sites.{index}: occu is {occupancy!r}")
    if len(species) > 1 or abs(occupancy - 1.0) > _MAX_ABSENT_OCCUPANCY:
        raise DisorderedError(f"sites.{index} is partially occupied", hint="Order the structure")
    return checked_element(first["element"], f"sites.{index}")


def _moment_note(sites: list[Any]) -> tuple[str, ...]:
    """Note magnetic moments, which are not kept."""
    properties = [site.get("properties") for site in sites if isinstance(site, Mapping)]
    moments = [p.get("magmom") for p in properties if isinstance(p, Mapping)]
    return ("magnetic moments were dropped",) if any(moments) else ()
