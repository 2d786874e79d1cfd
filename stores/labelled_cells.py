"""Labelled cells in the database: arrays in the blob store, everything else in ``labelled_cells``.

One document holds the cells of one crystal that one calculator labelled and that were displaced
in one way. Writing the same ones again changes nothing; cells that come later are added.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from screening.digest import digest_of, digest_of_bytes
from screening.errors import CorruptDataError, DatabaseUnavailableError
from screening.network_potential.labelled_cells import LabelledCell
from screening.prediction import FloatArray
from stores.builders.incremental import chunks
from stores.documents.labelled_cells import LabelledCellsDocument
from stores.documents.phonon_parts import Taker
from stores.query import Criteria, by_field, in_values

if TYPE_CHECKING:
    from stores.connect import Database  # brings the databases along

__all__ = [
    "CellSet",
    "add_cell_set",
    "cell_sets_of",
    "cell_sets_where",
    "labelled_cells_id",
    "store_cell_set",
]

PATIENCE_SECONDS = 60.0
"""How long a writer waits for another one of the same cells."""

_LOOK_SECONDS = 0.2
_CLAIM = "labelled-cells:"
_GRID_PER_ANGSTROM = 1e8
_DIGITS = 8  # of the key, in the name of a crystal that is not stored


def labelled_cells_id(crystal: str, calculator_digest: str, settings_digest: str) -> str:
    """Return the key of the cells of one crystal, labelled in one way.

    Parameters
    ----------
    crystal
        SHA-256 of the canonical structure; the formula of one that is not stored.
    calculator_digest, settings_digest
        SHA-256 of what makes the labels, and of how the cells are displaced.
    """
    parts = {"calculator": calculator_digest, "settings": settings_digest}
    return digest_of({"crystal": crystal} | parts)


@dataclass(frozen=True, eq=False)
class CellSet:
    """Cells of one crystal with their labels.

    Attributes
    ----------
    material_id, structure_digest
        The stored crystal that they were made of; None where it is not stored.
    numbers
        Atomic numbers, the same in all cells, shape (atom,).
    cells_angstrom, positions_angstrom
        Lattice vectors in rows, shape (cell, 3, 3), and positions, shape (cell, atom, 3).
    forces_ev_per_angstrom
        Shape (cell, atom, 3).
    calculator, calculator_digest
        What labelled them.
    settings
        How they were displaced and what was asked, as plain JSON.
    energies_ev, stresses_ev_per_angstrom3
        Shapes (cell,) and (cell, 3, 3); None where not known.
    pairs
        Of each cell the name of its antithetic pair, empty for a cell alone.
    wall_seconds
        What they took; None where they were given.
    """

    material_id: str | None
    structure_digest: str | None
    numbers: NDArray[np.int64]
    cells_angstrom: FloatArray
    positions_angstrom: FloatArray
    forces_ev_per_angstrom: FloatArray
    calculator: str
    calculator_digest: str
    settings: Mapping[str, Any]
    energies_ev: FloatArray | None = None
    stresses_ev_per_angstrom3: FloatArray | None = None
    pairs: tuple[str, ...] = ()
    wall_seconds: float | None = None

    @cached_property
    def formula(self) -> str:
        """Reduced formula."""
        return str(self._composition.reduced_formula)

    @cached_property
    def settings_digest(self) -> str:
        """SHA-256 of the settings."""
        return digest_of(dict(self.settings))

    @cached_property
    def key(self) -> str:
        """Key of the document."""
        crystal = self.structure_digest or self.formula
        return labelled_cells_id(crystal, self.calculator_digest, self.settings_digest)

    @cached_property
    def _composition(self) -> Any:
        from pymatgen.core import Composition, Element

        values, counts = np.unique(self.numbers, return_counts=True)
        return Composition(
            {Element.from_Z(int(z)): int(n) for z, n in zip(values, counts, strict=True)}
        )

    def labelled(self) -> list[LabelledCell]:
        """Return the cells one by one.

        Raises
        ------
        WrongShapeError, NonFiniteInputError, NonFiniteForcesError
            If a number is of no use.
        """
        energies, stresses = self.energies_ev, self.stresses_ev_per_angstrom3
        return [
            LabelledCell(
                material_id=self.material_id or f"{self.formula}-{self.key[:_DIGITS]}",
                group=self.formula,
                numbers=self.numbers,
                cell_angstrom=self.cells_angstrom[index],
                positions_angstrom=self.positions_angstrom[index],
                forces_ev_per_angstrom=self.forces_ev_per_angstrom[index],
                energy_ev=None if energies is None else float(energies[index]),
                stress_ev_per_angstrom3=None if stresses is None else stresses[index],
                pair=self._pair(index),
                source=self.calculator,
            )
            for index in range(len(self.positions_angstrom))
        ]

    def _pair(self, index: int) -> str:
        """Name a pair so that no pair of other cells of the crystal has the same name."""
        pair = self.pairs[index] if self.pairs else ""
        return f"{self.key[:_DIGITS]} {pair}" if pair else ""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what goes to the blob store, by name."""
        found: dict[str, NDArray[Any]] = {
            "atomic_numbers": np.asarray(self.numbers, dtype=np.int64),
            "cells_angstrom": self.cells_angstrom,
            "positions_angstrom": self.positions_angstrom,
            "forces_ev_per_angstrom": self.forces_ev_per_angstrom,
        }
        if self.energies_ev is not None:
            found["energies_ev"] = self.energies_ev
        if self.stresses_ev_per_angstrom3 is not None:
            found["stresses_ev_per_angstrom3"] = self.stresses_ev_per_angstrom3
        return found

    def fields(self) -> dict[str, Any]:
        """Return the fields of the document, without provenance and blob."""
        symbols = sorted(str(one) for one in self._composition)
        sizes = np.abs(self.forces_ev_per_angstrom)
        return {
            "labelled_cells_id": self.key,
            "material_id": self.material_id,
            "structure_digest": self.structure_digest,
            "formula_reduced": self.formula,
            "chemsys": "-".join(symbols),
            "elements": tuple(symbols),
            "n_elements": len(symbols),
            "n_cells": len(self.positions_angstrom),
            "n_cell_atoms": len(self.numbers),
            "calculator": self.calculator,
            "calculator_digest": self.calculator_digest,
            "settings": dict(self.settings),
            "settings_digest": self.settings_digest,
            "has_energies": self.energies_ev is not None,
            "has_stresses": self.stresses_ev_per_angstrom3 is not None,
            "mean_force_ev_per_angstrom": float(sizes.mean()),
            "largest_force_ev_per_angstrom": float(sizes.max()),
            "wall_seconds": self.wall_seconds,
            "pairs": self.pairs or ("",) * len(self.positions_angstrom),
        }

    def joined(self, later: CellSet) -> CellSet:
        """Return these cells with those of another set, whose labels count where both have one."""
        new = dict.fromkeys(_geometries(later))
        kept = [index for index, one in enumerate(_geometries(self)) if one not in new]
        if not kept:
            return later
        names = ("cells_angstrom", "positions_angstrom", "forces_ev_per_angstrom", "energies_ev")
        both: dict[str, Any] = {
            name: np.concatenate([getattr(self, name)[kept], getattr(later, name)])
            for name in (*names, "stresses_ev_per_angstrom3")
            if getattr(self, name) is not None
        }
        own = self.pairs or ("",) * len(self.positions_angstrom)
        others = later.pairs or ("",) * len(later.positions_angstrom)
        return replace(later, pairs=(*(own[index] for index in kept), *others), **both)


def _geometries(cells: CellSet) -> list[str]:
    """Digests of the geometry of each cell, rounded to 1e-8 Å."""
    found = []
    for cell, positions in zip(cells.cells_angstrom, cells.positions_angstrom, strict=True):
        lengths = np.concatenate([np.reshape(cell, -1), np.reshape(positions, -1)])
        # whole numbers have no minus zero and no last bit
        found.append(digest_of_bytes(np.rint(lengths * _GRID_PER_ANGSTROM).astype("<i8").tobytes()))
    return found


def store_cell_set(database: Database, cells: CellSet) -> str:
    """Write cells under their key in place of what is there; returns the key.

    Arrays are written before the document, which is what "done" means.

    Raises
    ------
    WrongShapeError, NonFiniteInputError, NonFiniteForcesError
        If a number is of no use.
    SerializationError
        If a value cannot be stored.
    """
    cells.labelled()  # refuses what is of no use
    document = LabelledCellsDocument.from_parts(cells.fields(), database.blobs.put(cells.arrays()))
    database.labelled_cells.update(document.to_store())
    database.failures.remove_docs(by_field("prediction_id", cells.key))
    return cells.key


def add_cell_set(database: Database, cells: CellSet) -> tuple[str, int]:
    """Add cells to those of the same key, one writer at a time.

    Returns
    -------
    str, int
        The key, and the number of cells that are new.

    Raises
    ------
    DatabaseUnavailableError
        If another writer of the same cells does not end.
    WrongShapeError, NonFiniteInputError, NonFiniteForcesError, SerializationError
        As `store_cell_set` says.
    """
    started = time.monotonic()
    claim_key = _CLAIM + cells.key
    while (claim := database.claims.acquire(claim_key)) is None:
        if time.monotonic() - started > PATIENCE_SECONDS:
            raise DatabaseUnavailableError(
                "another process writes the same cells and does not end",
                subject=cells.key,
                hint="Wait for it, then run the same command again",
            )
        time.sleep(_LOOK_SECONDS)
    try:
        with claim, claim.kept():
            stored = database.labelled_cells.query_one(by_field("labelled_cells_id", cells.key))
            known = None if stored is None else _loaded(database, stored)
            whole = cells if known is None else known.joined(cells)
            n_known = 0 if known is None else len(known.positions_angstrom)
            return store_cell_set(database, whole), len(whole.positions_angstrom) - n_known
    finally:
        database.claims.forget(claim_key)


def cell_sets_where(database: Database, criteria: Criteria) -> Iterator[CellSet]:
    """Read the cells that criteria select, in the order of their keys.

    Raises
    ------
    CorruptDataError
        If a document or its arrays were changed.
    NotFoundError
        If arrays are missing.
    """
    rows = database.labelled_cells.query(criteria, ["labelled_cells_id"])
    yield from cell_sets_of(database, sorted(row["labelled_cells_id"] for row in rows))


def cell_sets_of(database: Database, keys: Sequence[str]) -> Iterator[CellSet]:
    """Read cells by their keys, in this order; those that are gone are left out.

    Raises
    ------
    CorruptDataError, NotFoundError
        As `cell_sets_where` says.
    """
    for some in chunks(keys):
        same = in_values("labelled_cells_id", list(some))
        rows = {row["labelled_cells_id"]: row for row in database.labelled_cells.query(same)}
        for key in some:
            if key in rows:
                yield _loaded(database, rows[key])


def _loaded(database: Database, stored: Mapping[str, Any]) -> CellSet:
    document = LabelledCellsDocument.load(stored)
    take = Taker(database.blobs.get(document.blob.sha256), document.labelled_cells_id)
    n_cells, n_atoms = document.n_cells, document.n_cell_atoms
    shape = (n_cells, n_atoms, 3)
    tensors = (n_cells, 3, 3)
    found = CellSet(
        material_id=document.material_id,
        structure_digest=document.structure_digest,
        numbers=take.integers("atomic_numbers", (n_atoms,)),
        cells_angstrom=take.floats("cells_angstrom", tensors),
        positions_angstrom=take.floats("positions_angstrom", shape),
        forces_ev_per_angstrom=take.floats("forces_ev_per_angstrom", shape),
        calculator=document.calculator,
        calculator_digest=document.calculator_digest,
        settings=document.settings,
        energies_ev=take.floats("energies_ev", (n_cells,)) if document.has_energies else None,
        stresses_ev_per_angstrom3=(
            take.floats("stresses_ev_per_angstrom3", tensors) if document.has_stresses else None
        ),
        pairs=document.pairs,
        wall_seconds=document.wall_seconds,
    )
    if found.key != document.labelled_cells_id:
        raise CorruptDataError(
            "the key is not that of its content",
            subject=document.labelled_cells_id,
            hint="Label the cells again",
        )
    return found
