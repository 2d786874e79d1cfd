"""Cells with forces to train on: those that a filter selects, and those of files.

Energies of different methods have different zeros: all cells that are learned together are of
one source. A frame that does not name its source has the name of its file as source.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.catalogue import materials_where
from flows.labelled_files import read_cell_files
from screening.errors import NotFoundError, QueryError, TrainingSetError
from screening.network_potential.labelled_cells import LabelledCell
from stores.connect import Database
from stores.query import parse_filter
from stores.training_cells import StoredCells, stored_cells
from stores.training_sources import listed_counts

__all__ = ["GatheredCells", "gathered_cells"]

_OF_ANY_CELL = ("formula_reduced", "chemsys", "elements", "n_elements", "calculator")
_TO_NAME = "'phonoscreen cells import FILE --source NAME' says it of frames that do not"


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
        Number of documents, and of cells of files, that cannot be used, by reason.
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
        What labelled the cells, of files also; empty where there is only one.
    files
        Extended xyz files with further cells. With files and neither query nor source, nothing
        else is taken.

    Raises
    ------
    QueryError
        If the filter cannot be read.
    TrainingSetError
        If the cells were labelled by several and none is named, or no stored cell, or none of
        the files, by the one named.
    NotFoundError
        If there are no cells.
    ScreeningError
        If a file, or a frame of it, cannot be used; names both.
    """
    found, left_out = _of_files(database, files, source)
    n_from_files, n_from_phonons = len(found), 0
    if query or source or not files:
        stored = _of_database(database, query, source, is_optional=bool(found) and not query)
        found += stored.cells
        n_from_phonons, left_out = stored.n_from_phonons, left_out | dict(stored.left_out)
    if not found:
        raise NotFoundError(
            "no cell with forces matches",
            subject=query or "training set",
            hint="Make some with 'phonoscreen cells label'",
        )
    gathered = GatheredCells(tuple(found), n_from_phonons, n_from_files, left_out)
    if not source and len(gathered.sources) > 1:
        listed = listed_counts(gathered.sources)
        raise TrainingSetError(
            f"the cells were labelled by several, which do not mix: {listed}",
            subject="--source",
            hint=f"Name the one to learn from with --source; {_TO_NAME}",
        )
    return gathered


def _of_files(
    database: Database, files: Sequence[Path], source: str
) -> tuple[list[LabelledCell], dict[str, int]]:
    """Read the cells of files, those by one source where it is named, and count the others."""
    found: list[LabelledCell] = []
    for one in files:
        read = read_cell_files(database, [one])
        for refused in read.rejections:
            raise refused
        found += [cell for cells in read.sets for cell in cells.labelled()]
    # a file does not know the digest that may stand behind the name of a stored source
    names = {source, source.rpartition("@")[0] or source}
    others = Counter(cell.source for cell in found if source and cell.source not in names)
    kept = [cell for cell in found if cell.source not in others]
    if found and not kept:
        raise TrainingSetError(
            f"no cell of the files was labelled by {source}",
            subject="--source",
            hint=f"There are labels by {listed_counts(others)}; {_TO_NAME}",
        )
    return kept, {f"cell of a file, by {name}": count for name, count in sorted(others.items())}


def _of_database(database: Database, query: str, source: str, *, is_optional: bool) -> StoredCells:
    """Read stored cells; where they are optional, those by other sources need not be in the way."""
    names = materials_where(database, query)
    try:
        return stored_cells(database, names, source, others=_others(query))
    except TrainingSetError as error:
        if not is_optional:
            raise
        return StoredCells((), source, 0, {f"stored cells: {error.message}. {error.hint}": 1})


def _others(query: str) -> dict[str, Any] | None:
    """Apply a filter to cells of crystals that are not stored, where it asks what they know."""
    try:
        return parse_filter(query, _OF_ANY_CELL)
    except QueryError:
        return None
