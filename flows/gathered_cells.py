"""Cells with forces to train on: those that a filter selects, and those of files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.catalogue import materials_where
from flows.labelled_files import read_cell_files
from screening.errors import NotFoundError, QueryError
from screening.network_potential.labelled_cells import LabelledCell
from stores.connect import Database
from stores.query import parse_filter
from stores.training_cells import stored_cells

__all__ = ["GatheredCells", "gathered_cells"]

_OF_ANY_CELL = ("formula_reduced", "chemsys", "elements", "n_elements", "calculator")


@dataclass(frozen=True, eq=False)
class GatheredCells:
    """What there is to train on.

    Attributes
    ----------
    cells
        Cells with forces.
    n_from_phonons, n_from_files
        How many are displaced cells of stored phonons, and how many come from files.
    left_out
        Number of documents that cannot be used, by reason.
    """

    cells: tuple[LabelledCell, ...]
    n_from_phonons: int
    n_from_files: int
    left_out: Mapping[str, int]

    @property
    def sources(self) -> dict[str, int]:
        """Number of cells by what labelled them."""
        return dict(sorted(Counter(cell.source for cell in self.cells).items()))

    def lines(self) -> list[str]:
        """Say it in words."""
        groups = {cell.group for cell in self.cells}
        crystals = {cell.material_id for cell in self.cells}
        by = ", ".join(f"{count} by {name}" for name, count in self.sources.items())
        said = f"{len(self.cells)} cells of {len(crystals)} crystals, {len(groups)} compositions"
        parts = [f"{said}: {by}"]
        if self.n_from_phonons:
            parts.append(f"{self.n_from_phonons} are displaced cells of stored phonons")
        return [*parts, *(f"{count} left out: {why}" for why, count in self.left_out.items())]


def gathered_cells(
    database: Database, query: str = "", source: str = "", files: Sequence[Path] = ()
) -> GatheredCells:
    """Read the cells with forces that a filter and files select.

    Parameters
    ----------
    database
        Where cells are stored, and crystals that files name.
    query
        Filter on structures or summaries; empty for all.
    source
        What labelled the stored cells; empty where there is only one.
    files
        Extended xyz files with further cells. With files and neither query nor source, nothing
        else is taken.

    Raises
    ------
    QueryError
        If the filter cannot be read.
    TrainingSetError
        If stored cells were labelled by several and none is named, or none by the one named.
    NotFoundError
        If there are no cells.
    ScreeningError
        If a file, or a frame of it, cannot be used; names both.
    """
    found: list[LabelledCell] = []
    for one in files:
        read = read_cell_files(database, [one])
        for refused in read.rejections:
            raise refused
        found += [cell for cells in read.sets for cell in cells.labelled()]
    n_from_files, n_from_phonons, left_out = len(found), 0, {}
    if query or source or not files:
        names = materials_where(database, query)
        stored = stored_cells(database, names, source, others=_others(query))
        found += stored.cells
        n_from_phonons, left_out = stored.n_from_phonons, dict(stored.left_out)
    if not found:
        raise NotFoundError(
            "no cell with forces matches",
            subject=query or "training set",
            hint="Make some with 'phonoscreen cells label'",
        )
    return GatheredCells(tuple(found), n_from_phonons, n_from_files, left_out)


def _others(query: str) -> dict[str, Any] | None:
    """Apply a filter to cells of crystals that are not stored, where it asks what they know."""
    try:
        return parse_filter(query, _OF_ANY_CELL)
    except QueryError:
        return None
