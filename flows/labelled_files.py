"""Cells in files: handed out for any program to label, taken back, and handed on.

A frame that says of which crystal it is, which of its cells, and how they were displaced is
compared with the cell that was handed out. What says only its crystal is taken as cells of it,
and everything else as cells of its formula.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flows.catalogue import crystal_of
from flows.labelling_settings import QUANTITIES, rattling_from, rattling_to
from screening.digest import digest_of, digest_of_bytes
from screening.errors import InconsistentDataError, NotFoundError, ScreeningError, SettingError
from screening.network_potential.rattling import rattled_cells
from stores.connect import Database
from stores.exporters.extxyz import extxyz_text
from stores.exporters.files import write_text
from stores.exporters.labelled_cells import labelled_images, rattled_images
from stores.importers.labelled_frames import LabelledFrame, read_labelled_frames
from stores.importers.records import display_name
from stores.labelled_cells import CellSet, add_cell_set

if TYPE_CHECKING:
    from screening.network_potential.labelled_cells import LabelledCell
    from screening.network_potential.rattling import RattledCell, RattlingSettings
    from screening.structure import Crystal

__all__ = [
    "ImportedCells",
    "ReadCells",
    "import_cells",
    "read_cell_files",
    "write_labelled_cells",
    "write_unlabelled_cells",
]

_SAME_ANGSTROM = 1e-4


@dataclass(frozen=True, eq=False)
class ReadCells:
    """What files of labelled cells hold.

    Attributes
    ----------
    sets
        Cells, those of one crystal by one source together.
    n_frames
        Number of frames.
    rejections
        Why frames were refused, naming file and frame.
    """

    sets: tuple[CellSet, ...]
    n_frames: int
    rejections: tuple[ScreeningError, ...]


@dataclass(frozen=True)
class ImportedCells:
    """What came of an import.

    Attributes
    ----------
    n_frames, n_new
        Number of frames read, and of cells that were not there before.
    n_matched
        Number of cells of crystals that are stored here.
    sources
        Number of cells by what labelled them.
    rejections
        Why frames were refused, naming file and frame.
    """

    n_frames: int
    n_new: int
    n_matched: int
    sources: Mapping[str, int]
    rejections: tuple[ScreeningError, ...]


def write_unlabelled_cells(
    database: Database, material_ids: Sequence[str], settings: RattlingSettings, file: Path
) -> tuple[int, list[tuple[str, ScreeningError]]]:
    """Write rattled cells for any program to label.

    Parameters
    ----------
    database, material_ids
        Crystals, as they are stored.
    settings
        How they are displaced.
    file
        Extended xyz; replaced as a whole.

    Returns
    -------
    int, list
        Number of cells, and the crystals whose cells cannot be made, with the reason.

    Raises
    ------
    NotFoundError
        If there is no such crystal.
    SettingError, DiskFullError
        If the file cannot be written.
    """
    images: list[Any] = []
    refused: list[tuple[str, ScreeningError]] = []
    rattling = rattling_to(settings)
    for name in material_ids:
        crystal = crystal_of(database, name)
        try:
            cells = rattled_cells(crystal.structure, settings, name)
        except ScreeningError as error:
            refused.append((name, error))
            continue
        images += rattled_images(cells, rattling)
    write_text(file, extxyz_text(images))
    return len(images), refused


def write_labelled_cells(cells: Sequence[LabelledCell], file: Path) -> Path:
    """Write labelled cells as other programs train on them.

    Raises
    ------
    SettingError, DiskFullError
        If the file cannot be written.
    """
    return write_text(file, extxyz_text(labelled_images(cells)))


def import_cells(database: Database, paths: Sequence[Path], source: str = "") -> ImportedCells:
    """Read labelled cells into the database; the same ones again change nothing.

    Parameters
    ----------
    database, paths, source
        As `read_cell_files` takes them.

    Raises
    ------
    ScreeningError
        If a file cannot be read at all.
    """
    found = read_cell_files(database, paths, source)
    n_new = sum(add_cell_set(database, one)[1] for one in found.sets)
    sources: dict[str, int] = {}
    for one in found.sets:
        n_cells = len(one.positions_angstrom)
        sources[one.calculator] = sources.get(one.calculator, 0) + n_cells
    return ImportedCells(
        n_frames=found.n_frames,
        n_new=n_new,
        n_matched=sum(len(one.positions_angstrom) for one in found.sets if one.material_id),
        sources=sources,
        rejections=found.rejections,
    )


def read_cell_files(database: Database, paths: Sequence[Path], source: str = "") -> ReadCells:
    """Read labelled cells.

    Parameters
    ----------
    database
        Where crystals are looked up that frames name.
    paths
        Files of extended xyz.
    source
        What labelled them, where a frame does not say; empty for the name of its file.

    Raises
    ------
    ScreeningError
        If a file cannot be read at all.
    """
    groups: dict[tuple[Any, ...], list[tuple[LabelledFrame, RattledCell | None]]] = {}
    rejections: list[ScreeningError] = []
    handed_out = _HandedOut(database)
    n_frames = 0
    for path in paths:
        named = source or display_name(path.name)
        for frame in read_labelled_frames(path):
            n_frames += 1
            try:
                if isinstance(frame, ScreeningError):
                    raise frame
                cell = handed_out.cell_of(frame)
            except ScreeningError as error:
                rejections.append(error)
                continue
            groups.setdefault(_group_of(frame, named), []).append((frame, cell))
    sets = [_cell_set(database, key, frames) for key, frames in groups.items()]
    return ReadCells(tuple(sets), n_frames, tuple(rejections))


def _group_of(frame: LabelledFrame, source: str) -> tuple[Any, ...]:
    """Tell what frames can share a document."""
    known = (True, frame.energy_ev is not None, frame.stress_ev_per_angstrom3 is not None)
    quantities = tuple(name for name, is_known in zip(QUANTITIES, known, strict=True) if is_known)
    rattling = None
    if frame.rattling is not None:
        rattling = json.dumps(rattling_to(rattling_from(frame.rattling)), sort_keys=True)
    crystal = frame.material_id or frame.formula
    return crystal, frame.numbers.tobytes(), frame.source or source, quantities, rattling


def _cell_set(
    database: Database,
    key: tuple[Any, ...],
    frames: Sequence[tuple[LabelledFrame, RattledCell | None]],
) -> CellSet:
    _, elements, source, quantities, rattling = key
    first = frames[0][0]
    crystal = None if first.material_id is None else crystal_of(database, first.material_id)
    how = {"given": digest_of_bytes(elements)} if rattling is None else json.loads(rattling)
    name = "cells" if rattling is None else "rattling"
    places = [frame if cell is None else cell for frame, cell in frames]
    known: dict[str, tuple[str, list[Any]]] = {
        "energies_ev": ("energy", [frame.energy_ev for frame, _ in frames]),
        "stresses_ev_per_angstrom3": (
            "stress",
            [frame.stress_ev_per_angstrom3 for frame, _ in frames],
        ),
    }
    labels: dict[str, Any] = {
        field: np.array(values)
        for field, (quantity, values) in known.items()
        if quantity in quantities
    }
    return CellSet(
        material_id=first.material_id,
        structure_digest=None if crystal is None else crystal.digest,
        numbers=first.numbers,
        cells_angstrom=np.array([one.cell_angstrom for one in places]),
        positions_angstrom=np.array([one.positions_angstrom for one in places]),
        forces_ev_per_angstrom=np.array([one.forces_ev_per_angstrom for one, _ in frames]),
        calculator=source,
        calculator_digest=digest_of({"given": source}),
        settings={name: how, "quantities": list(quantities)},
        pairs=tuple(one.pair for one in places),
        **labels,
    )


class _HandedOut:
    """Cells that were handed out, made again."""

    def __init__(self, database: Database) -> None:
        self._crystal = lru_cache(maxsize=8)(lambda name: crystal_of(database, name))
        self._cells = lru_cache(maxsize=4)(self._made)

    def cell_of(self, frame: LabelledFrame) -> RattledCell | None:
        """Return the cell that a frame is to be; None where it was not handed out here.

        Raises
        ------
        NotFoundError
            If its crystal is not stored here.
        SettingError, InconsistentDataError
            If the frame is not the cell that it says it is.
        """
        if frame.material_id is None:
            return None
        try:
            crystal: Crystal = self._crystal(frame.material_id)
        except NotFoundError as error:
            raise NotFoundError(
                f"the crystal {frame.material_id} is not stored here",
                subject=frame.name,
                hint="Import it first, or remove material_id from the frame",
            ) from error
        if frame.rattling is None:
            _check_formula(frame, crystal)
            return None
        text = json.dumps(dict(frame.rattling), sort_keys=True)
        try:
            cells: list[RattledCell] = self._cells(frame.material_id, text)
        except SettingError as error:
            raise SettingError(
                f"rattling: {error.message}", subject=frame.name, hint=error.hint
            ) from error
        if frame.cell is None or not 1 <= frame.cell <= len(cells):
            raise InconsistentDataError(
                f"cell {frame.cell} of {len(cells)}",
                subject=frame.name,
                hint="Keep the number of the cell as it was handed out",
            )
        cell = cells[frame.cell - 1]
        _check_same(frame, cell)
        return cell

    def _made(self, material_id: str, text: str) -> list[RattledCell]:
        settings = rattling_from(json.loads(text))
        return rattled_cells(self._crystal(material_id).structure, settings, material_id)


def _check_formula(frame: LabelledFrame, crystal: Crystal) -> None:
    if frame.formula != crystal.formula:
        raise InconsistentDataError(
            f"atoms of {frame.formula}, and {crystal.material_id} is {crystal.formula}",
            subject=frame.name,
            hint="Name the crystal that the cell was made of",
        )


def _check_same(frame: LabelledFrame, cell: RattledCell) -> None:
    """Compare elements, their order, lattice and positions."""
    for problem in _differences(frame, cell):
        raise InconsistentDataError(
            f"cell {frame.cell} of {cell.material_id} was handed out otherwise: {problem}",
            subject=frame.name,
            hint="Write the atoms in the order and at the positions of the file that was handed"
            " out, without relaxing them",
        )


def _differences(frame: LabelledFrame, cell: RattledCell) -> Iterator[str]:
    from pymatgen.core import Element

    if len(frame.numbers) != len(cell.numbers):
        yield f"{len(frame.numbers)} atoms instead of {len(cell.numbers)}"
        return
    other = np.flatnonzero(frame.numbers != cell.numbers)
    if len(other):
        symbols = [
            Element.from_Z(int(one[other[0]])).symbol for one in (frame.numbers, cell.numbers)
        ]
        yield f"atom {other[0] + 1} is {symbols[0]} instead of {symbols[1]}"
    strain = float(np.abs(frame.cell_angstrom - cell.cell_angstrom).max())
    if strain > _SAME_ANGSTROM:
        yield f"a component of the lattice vectors is off by {strain:.4f} Å"
    away = np.array(frame.positions_angstrom - cell.positions_angstrom)
    scaled = away @ np.linalg.inv(np.array(cell.cell_angstrom))
    distances = np.linalg.norm((scaled - np.rint(scaled)) @ np.array(cell.cell_angstrom), axis=1)
    if distances.max() > _SAME_ANGSTROM:
        worst = int(distances.argmax())
        yield f"atom {worst + 1} is {distances[worst]:.4f} Å away from its place"
