"""Displaced cells of stored crystals, labelled by a calculator: one crystal at a time, once.

What is labelled is looked up before anything is computed, each crystal is worked on under a
claim, and its cells are written together. Calls from first principles are remembered one by one,
so that a run that was killed goes on with the call it was in. Failures are documents.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from flows.catalogue import WorkList, crystal_of, in_chunks
from flows.checkpoints import Checkpointed
from flows.events import LABELLING, MaterialEvent, Outcome
from flows.labelling_settings import QUANTITIES, LabellingSettings
from flows.materials import Errand, abandoned, run_errand
from screening.calculators.checks import check_elements
from screening.digest import digest_of
from screening.errors import SettingError
from screening.network_potential.rattling import rattled_cells
from screening.network_potential.soft_displacements import soft_cells
from stores.connect import Database
from stores.documents import FailureDocument
from stores.labelled_cells import CellSet, labelled_cells_id, store_cell_set
from stores.query import by_field, in_values

if TYPE_CHECKING:
    from screening.calculators import ForceCalculator
    from screening.network_potential.rattling import RattledCell
    from screening.structure import Crystal

__all__ = [
    "cell_keys",
    "cells_left",
    "cells_to_label",
    "give_up_labelling",
    "guide_of",
    "label_batch",
    "label_crystal",
    "label_material",
    "labelling_calculator",
    "stored_settings",
]

_METHOD = "labelled-cells"
_IDENTITY = ["material_id", "formula_reduced", "n_atoms"]


@lru_cache(maxsize=4)
def labelling_calculator(spec: str) -> ForceCalculator:
    """Load a calculator, once per process.

    Raises
    ------
    ScreeningError
        As `screening.calculators.load_calculator` says.
    """
    from screening.calculators import load_calculator

    return load_calculator(spec)


def guide_of(settings: LabellingSettings) -> ForceCalculator | None:
    """Load the potential that finds soft modes, once per process; None without soft pairs.

    Raises
    ------
    SettingError
        If it solves for the electrons: its calls would be made anew in every run.
    ScreeningError
        As `screening.calculators.load_calculator` says.
    """
    if settings.soft is None:
        return None
    guide = labelling_calculator(settings.guide)
    if guide.is_first_principles:
        raise SettingError(
            f"{guide.name} solves for the electrons",
            subject="guide",
            hint="Let a potential find the soft modes",
        )
    return guide


def stored_settings(settings: LabellingSettings) -> dict[str, Any]:
    """Return settings as they identify stored cells: with what the guide is, not what it is called.

    Another potential behind the same name finds other modes, so that its cells are others, and
    two names of one potential give the same cells.

    Raises
    ------
    ScreeningError
        As `guide_of` says.
    """
    guide = guide_of(settings)
    named = {} if guide is None else {"guide": f"{guide.name}@{guide.digest}"}
    return settings.as_dict() | named


def _key(structure_digest: str, calculator: ForceCalculator, settings: LabellingSettings) -> str:
    return labelled_cells_id(
        structure_digest, calculator.digest, digest_of(stored_settings(settings))
    )


def label_crystal(
    crystal: Crystal, calculator: ForceCalculator, settings: LabellingSettings
) -> CellSet:
    """Make the displaced cells of a crystal and label them.

    Parameters
    ----------
    crystal
        Taken as it is: it should be relaxed with this calculator, or with a better one.
    calculator, settings
        What labels the cells, and how they are displaced.

    Raises
    ------
    ElementNotInModelError
        If the calculator or the guide does not know an element, before anything is computed.
    ScreeningError
        If cells of this size cannot be made, or the calculator or the guide fails.
    """
    check_elements(calculator, crystal.structure.atomic_numbers, subject=crystal.material_id)
    started = time.monotonic()
    cells = cells_to_label(crystal, settings)
    has_all = settings.quantities == QUANTITIES
    found = [_labels(calculator, cell, has_all=has_all) for cell in cells]
    energies, forces, stresses = zip(*found, strict=True)
    return CellSet(
        material_id=crystal.material_id,
        structure_digest=crystal.digest,
        numbers=cells[0].numbers,
        cells_angstrom=np.array([cell.cell_angstrom for cell in cells]),
        positions_angstrom=np.array([cell.positions_angstrom for cell in cells]),
        forces_ev_per_angstrom=np.array(forces),
        calculator=calculator.name,
        calculator_digest=calculator.digest,
        settings=stored_settings(settings),
        energies_ev=np.array(energies) if has_all else None,
        stresses_ev_per_angstrom3=np.array(stresses) if has_all else None,
        pairs=tuple(cell.pair for cell in cells),
        wall_seconds=time.monotonic() - started,
    )


def cells_to_label(crystal: Crystal, settings: LabellingSettings) -> list[RattledCell]:
    """Make the cells of a crystal: those displaced at random, then those along soft modes.

    Raises
    ------
    ScreeningError
        If cells of this size cannot be made, or the guide does not serve.
    """
    structure, name = crystal.structure, crystal.material_id
    guide = guide_of(settings)
    cells = rattled_cells(structure, settings.rattling, name)
    if settings.soft is not None and guide is not None:
        cells += soft_cells(structure, settings.rattling, settings.soft, name, guide)
    return cells


def _labels(
    calculator: ForceCalculator, cell: RattledCell, *, has_all: bool
) -> tuple[float | None, Any, Any]:
    geometry = np.array(cell.cell_angstrom), np.array(cell.positions_angstrom), cell.numbers
    if has_all:
        return calculator.energy_forces_stress(*geometry)
    lattice, positions, numbers = geometry
    return None, calculator.forces(lattice, positions[None], numbers)[0], None


def label_material(
    database: Database,
    crystal: Crystal,
    calculator: ForceCalculator,
    settings: LabellingSettings,
) -> MaterialEvent:
    """Label the cells of one crystal unless that is done, has failed before, or is being done.

    Returns
    -------
    MaterialEvent
        What happened; the same event is emitted to the listener.

    Raises
    ------
    DatabaseUnavailableError
        If the database cannot be reached.
    """
    key = _key(crystal.digest, calculator, settings)
    asked: ForceCalculator = calculator
    if calculator.is_first_principles:
        asked = Checkpointed(calculator, database, crystal.material_id)

    def keep(found: CellSet) -> MaterialEvent:
        store_cell_set(database, found)
        n_cells, n_atoms = found.positions_angstrom.shape[:2]
        said = f"{n_cells} cells of {n_atoms} atoms"
        return MaterialEvent(crystal.material_id, crystal.formula, Outcome.COMPUTED, detail=said)

    errand = Errand(
        key,
        lambda: _known(database, crystal, key),
        lambda error, attempts: _failure(database, crystal, key, error, attempts),
    )
    return run_errand(
        database, crystal, errand, lambda: label_crystal(crystal, asked, settings), keep
    )


def _known(database: Database, crystal: Crystal, key: str) -> MaterialEvent | None:
    """Return what an earlier run left, or None where there is work to do."""
    name, formula = crystal.material_id, crystal.formula
    if database.labelled_cells.query_one(by_field("labelled_cells_id", key), ["n_cells"]):
        return MaterialEvent(name, formula, Outcome.ALREADY_DONE)
    failure = database.failures.query_one(by_field("prediction_id", key), ["code", "message"])
    if failure is None:
        return None
    detail = f"{failure['code']}: {failure['message']}"
    return MaterialEvent(name, formula, Outcome.FAILED_BEFORE, detail=detail)


def _failure(
    database: Database, crystal: Crystal, key: str, error: Exception, attempts: int
) -> MaterialEvent:
    document = FailureDocument.from_error(
        error,
        stage=LABELLING,
        material_id=crystal.material_id,
        method=_METHOD,
        prediction_id=key,
        attempts=attempts,
    )
    database.failures.update(document.to_store())
    detail = f"{document.code}: {document.message}"
    return MaterialEvent(crystal.material_id, crystal.formula, Outcome.FAILED, detail=detail)


def give_up_labelling(
    database: Database,
    material_id: str,
    calculator: ForceCalculator,
    settings: LabellingSettings,
    error: Exception,
    attempts: int,
) -> MaterialEvent:
    """Write the failure of a crystal whose labelling cannot go on."""
    crystal = crystal_of(database, material_id)
    key = _key(crystal.digest, calculator, settings)
    return _failure(database, crystal, key, error, attempts)


def cell_keys(
    database: Database,
    material_ids: Sequence[str],
    calculator: ForceCalculator,
    settings: LabellingSettings,
) -> dict[str, str]:
    """Return the key that the cells of each crystal have, or will have."""
    keys: dict[str, str] = {}
    fields = ["material_id", "structure_digest"]
    for chunk in in_chunks(material_ids):
        for row in database.structures.query(in_values("material_id", chunk), fields):
            keys[row["material_id"]] = _key(row["structure_digest"], calculator, settings)
    return keys


def cells_left(
    database: Database,
    material_ids: Sequence[str],
    calculator: ForceCalculator,
    settings: LabellingSettings,
) -> WorkList:
    """Find out which crystals are not labelled yet, with a few queries for all of them."""
    waiting: list[tuple[int, str]] = []
    settled: list[MaterialEvent] = []
    for chunk in in_chunks(material_ids):
        rows = list(database.structures.query(in_values("material_id", chunk), _IDENTITY))
        keys = cell_keys(database, chunk, calculator, settings)
        same = list(keys.values())
        stored = database.labelled_cells.query(
            in_values("labelled_cells_id", same), ["labelled_cells_id"]
        )
        done = {row["labelled_cells_id"] for row in stored}
        failures = database.failures.query(
            in_values("prediction_id", same), ["prediction_id", "code", "message"]
        )
        failed = {row["prediction_id"]: f"{row['code']}: {row['message']}" for row in failures}
        for row in rows:
            name, formula = row["material_id"], row["formula_reduced"]
            if keys[name] in done:
                settled.append(MaterialEvent(name, formula, Outcome.ALREADY_DONE))
            elif keys[name] in failed:
                detail = failed[keys[name]]
                event = MaterialEvent(name, formula, Outcome.FAILED_BEFORE, detail=detail)
                settled.append(event)
            else:
                waiting.append((-row["n_atoms"], name))
    return WorkList(tuple(name for _, name in sorted(waiting)), tuple(settled))


def label_batch(
    database: Database,
    material_ids: Sequence[str],
    calculator: ForceCalculator,
    settings: LabellingSettings,
) -> dict[str, MaterialEvent]:
    """Label the cells of some crystals; what is done or being done elsewhere is skipped.

    Returns
    -------
    dict
        The last word on each crystal.
    """
    crystals = {name: crystal_of(database, name) for name in material_ids}
    events = {
        name: label_material(database, crystal, calculator, settings)
        for name, crystal in crystals.items()
    }
    busy = {
        name: _key(crystals[name].digest, calculator, settings)
        for name, event in events.items()
        if event.outcome is Outcome.BUSY_ELSEWHERE
    }
    for name in abandoned(database, busy):
        events[name] = label_material(database, crystals[name], calculator, settings)
    return events
