"""Frames of extended xyz with forces: cells that any program labelled."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from screening.calculators.checks import MAX_FORCE_EV_PER_ANGSTROM
from screening.errors import (
    ForcesExplodedError,
    InconsistentDataError,
    ParseError,
    ScreeningError,
)
from screening.prediction import FloatArray, frozen_array
from stores.importers.extxyz import read_extxyz
from stores.importers.records import DEFAULT_READ_LIMITS, Parsed, ReadLimits, display_name
from stores.importers.text import (
    check_nesting,
    decode_text,
    decompressed,
    read_bytes,
    split_compression,
)

__all__ = ["LabelledFrame", "read_labelled_frames"]

_OWN_ID = re.compile(r"ps-[0-9a-f]{8,64}")
_SOURCE_KEYS = ("source", "calculator", "functional")
_MAX_RATTLING = 2000
_MAX_DEPTH = 3
_ENDINGS = (".extxyz", ".xyz")


@dataclass(frozen=True, eq=False)
class LabelledFrame:
    """One frame, as it was written.

    Attributes
    ----------
    name
        File and frame, for messages.
    numbers
        Atomic numbers, shape (atom,).
    cell_angstrom, positions_angstrom, forces_ev_per_angstrom
        Shapes (3, 3), (atom, 3) and (atom, 3).
    energy_ev
        Of the cell; None where it is not given.
    stress_ev_per_angstrom3
        Shape (3, 3); None where it is not given.
    formula
        Reduced formula.
    material_id
        Crystal of a database here; None where the frame names none.
    cell
        Which of the cells that were handed out, from 1; None where it says nothing.
    pair
        Name of its antithetic pair; empty for a cell alone.
    rattling
        How the cell was displaced; None where it was not handed out here.
    source
        What labelled it; empty where the frame does not say.
    """

    name: str
    numbers: NDArray[np.int64]
    cell_angstrom: FloatArray
    positions_angstrom: FloatArray
    forces_ev_per_angstrom: FloatArray
    energy_ev: float | None
    stress_ev_per_angstrom3: FloatArray | None
    formula: str
    material_id: str | None
    cell: int | None
    pair: str
    rattling: Mapping[str, Any] | None
    source: str


def read_labelled_frames(
    path: str | os.PathLike[str], limits: ReadLimits = DEFAULT_READ_LIMITS
) -> Iterator[LabelledFrame | ScreeningError]:
    """Read the frames of a file; a bad one does not stop those after it.

    Parameters
    ----------
    path
        Extended xyz, perhaps compressed. Forces are required; energies and stresses are taken
        where they are, also under the names that potentials are trained on (``REF_forces``).
    limits
        What may be read.

    Yields
    ------
    LabelledFrame or ScreeningError
        Errors name the file and the frame.

    Raises
    ------
    ScreeningError
        If the file cannot be read at all.
    """
    place = Path(path)
    file = display_name(place.name)
    try:
        blocks = list(_blocks(place, limits))
    except ScreeningError as error:
        named = _about(file, error)
        raise named from error
    for name, block in blocks:
        try:
            if isinstance(block, ScreeningError):
                raise block
            yield _frame(f"{file}, {name}", block)
        except ScreeningError as error:
            yield _about(f"{file}, {name}", error)


def _blocks(place: Path, limits: ReadLimits) -> Iterator[tuple[str, Parsed | ScreeningError]]:
    base, compression = split_compression(place.name)
    if not base.lower().endswith(_ENDINGS):
        raise ParseError("the name tells no format", hint="Give a file FILE.extxyz")
    data = decompressed(read_bytes(place, limits), compression, limits)
    yield from read_extxyz(decode_text(data)[0], limits)


def _about(name: str, error: ScreeningError) -> ScreeningError:
    subject = ": ".join(filter(None, (name, error.subject)))
    return type(error)(error.message, subject=subject, hint=error.hint or "Mend or remove it")


def _frame(name: str, parsed: Parsed) -> LabelledFrame:
    if parsed.forces_ev_per_angstrom is None:
        raise InconsistentDataError("no forces", hint="Write forces:R:3 to the Properties, in eV/Å")
    largest = float(np.abs(parsed.forces_ev_per_angstrom).max())
    if largest > MAX_FORCE_EV_PER_ANGSTROM:
        raise ForcesExplodedError(
            f"a force of {largest:.4g}, beyond {MAX_FORCE_EV_PER_ANGSTROM:g} eV/Å",
            hint="Write forces in eV/Å",
        )
    structure, told = parsed.structure, parsed.information
    energy = parsed.static_energy_ev_per_atom
    material_id, cell = told.get("material_id"), told.get("cell")
    is_own = isinstance(material_id, str) and _OWN_ID.fullmatch(material_id) is not None
    words = (told.get(key) for key in _SOURCE_KEYS)
    named = dict.fromkeys(str(word).strip() for word in words if isinstance(word, str))
    return LabelledFrame(
        name=name,
        numbers=np.array(structure.atomic_numbers, dtype=np.int64),
        cell_angstrom=frozen_array(structure.lattice.matrix),
        positions_angstrom=frozen_array(structure.cart_coords),
        forces_ev_per_angstrom=parsed.forces_ev_per_angstrom,
        energy_ev=None if energy is None else energy * len(structure),
        stress_ev_per_angstrom3=parsed.stress_ev_per_angstrom3,
        formula=structure.composition.reduced_formula,
        material_id=str(material_id) if is_own else None,
        cell=int(cell) if isinstance(cell, int) and not isinstance(cell, bool) else None,
        pair=str(told.get("pair", "")),
        rattling=_rattling(told.get("rattling")) if is_own else None,
        source=", ".join(filter(None, named)),
    )


def _rattling(text: object) -> dict[str, Any] | None:
    if text is None:
        return None
    hint = "Keep it as it was handed out, or remove it"
    if not isinstance(text, str) or len(text) > _MAX_RATTLING:
        raise ParseError("rattling cannot be read: it is no short text", hint=hint)
    check_nesting(text, _MAX_DEPTH)
    try:
        values = orjson.loads(text)
    except ValueError as error:
        raise ParseError(f"rattling cannot be read: {error}", hint=hint) from error
    if not isinstance(values, dict):
        raise ParseError("rattling is no object", hint=hint)
    return values
