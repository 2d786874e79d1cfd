"""Stored cells with forces as a training set: labelled cells, and displaced cells of phonons.

A potential learns what one calculator or functional says: where the database holds labels of
several, whoever trains names one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from screening.digest import digest_of
from screening.errors import ScreeningError, TrainingSetError
from screening.network_potential.labelled_cells import LabelledCell
from screening.predictors.interface import GIVEN_CELLS, GIVEN_FORCES
from stores.builders.incremental import chunks
from stores.documents.phonon import PhononDocument
from stores.labelled_cells import cell_sets_of
from stores.query import Criteria, and_, by_field, in_values
from stores.training_sources import Sourced, counts_of_sources, listed_counts

if TYPE_CHECKING:
    from screening.anharmonic import DisplacedCells
    from screening.prediction import ForceData
    from stores.connect import Database  # brings the databases along

__all__ = ["StoredCells", "cells_of_displaced", "cells_of_forces", "stored_cells"]

_GIVEN = frozenset({GIVEN_CELLS, GIVEN_FORCES})
_LABELS = "labelled_cells"
_SAME_ANGSTROM = 1e-8
_SAME_PLACE_ANGSTROM = 1e-6
_REPEATED = "labelled before, with the atoms in the same places"
_DIGITS = 12


@dataclass(frozen=True, eq=False)
class StoredCells:
    """Cells with forces of one source.

    Attributes
    ----------
    cells
        The cells, of one material after the other.
    source
        Name of what labelled them; empty where there are none.
    n_from_phonons
        How many are displaced cells of phonons.
    left_out
        Number of documents that cannot be used, by reason, and of repeated cells.
    """

    cells: tuple[LabelledCell, ...]
    source: str
    n_from_phonons: int
    left_out: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class _Candidate(Sourced):
    """A document with cells."""

    order: tuple[str, str]
    collection: str
    key: str


def stored_cells(
    database: Database,
    material_ids: Sequence[str],
    source: str = "",
    *,
    others: Criteria | None = None,
) -> StoredCells:
    """Read the cells of some materials, all labelled by one calculator.

    Parameters
    ----------
    database
        An open database.
    material_ids
        Which materials.
    source
        Name of what labelled them, where needed with ``@`` and the start of its digest; empty
        where there is but one.
    others
        Which cells of crystals that are not stored; None for none of them.

    Raises
    ------
    TrainingSetError
        If there are cells by several and none is named, or none by the one that is named.
    """
    found = [*_labelled(database, material_ids, others), *_phonons(database, material_ids)]
    fitting = [one for one in found if not source or one.is_called(source)]
    if len({one.named for one in fitting}) > 1 or (found and not fitting):
        refusal = _no_one_source(found, source)
        raise refusal
    left_out: Counter[str] = Counter()
    cells: list[LabelledCell] = []
    n_from_phonons = 0
    seen: set[bytes] = set()
    for one in sorted(fitting, key=lambda candidate: candidate.order):
        try:
            read = _read(database, one)
        except ScreeningError as error:
            left_out[f"{error.code}: {error.message}"] += 1
            continue
        places = [_place(cell) for cell in read]
        new = [cell for cell, place in zip(read, places, strict=True) if place not in seen]
        if len(new) < len(read):
            left_out[_REPEATED] += len(read) - len(new)
        seen.update(places)
        cells += new
        n_from_phonons += 0 if one.collection == _LABELS else len(new)
    name = fitting[0].model if fitting else ""
    return StoredCells(tuple(cells), name, n_from_phonons, dict(left_out))


def _place(cell: LabelledCell) -> bytes:
    """Tell cells by where their atoms are, to a millionth of an ångström."""
    lengths = np.concatenate([cell.cell_angstrom, cell.positions_angstrom])
    return cell.numbers.tobytes() + (np.rint(lengths / _SAME_PLACE_ANGSTROM) + 0.0).tobytes()


def _labelled(
    database: Database, material_ids: Sequence[str], others: Criteria | None
) -> Iterator[_Candidate]:
    criteria = [in_values("material_id", names) for names in chunks(material_ids)]
    if others is not None:
        criteria.append(and_(by_field("material_id", None), others))
    fields = ["labelled_cells_id", "material_id", "calculator", "calculator_digest"]
    for one in criteria:
        for row in database.labelled_cells.query(one, fields):
            name, digest = str(row["calculator"]), str(row["calculator_digest"])
            yield _Candidate(
                order=(row["material_id"] or "~", row["labelled_cells_id"]),
                collection=_LABELS,
                key=row["labelled_cells_id"],
                model=name,
                model_digest="" if digest == digest_of({"given": name}) else digest,
            )


def _phonons(database: Database, material_ids: Sequence[str]) -> Iterator[_Candidate]:
    for names in chunks(material_ids):
        same = in_values("material_id", names)
        blobs = ["prediction_id", "forces_blob", "displaced_cells_blob"]
        having = {
            row["prediction_id"]
            for row in database.phonons.query(same, blobs)
            if row.get("forces_blob") or row.get("displaced_cells_blob")
        }
        fields = ["prediction_id", "material_id", "provenance"]
        for row in database.predictions.query(same, fields):
            if row["prediction_id"] not in having:
                continue
            # of given forces the digest is that of the numbers, which differ for every material
            origin = row["provenance"]
            given = origin["method"] in _GIVEN
            yield _Candidate(
                order=(row["material_id"], row["prediction_id"]),
                collection="phonons",
                key=row["prediction_id"],
                model=str(origin["model"]),
                model_digest="" if given else str(origin["model_digest"]),
            )


def _no_one_source(found: Sequence[_Candidate], source: str) -> TrainingSetError:
    listed = listed_counts(counts_of_sources(found))
    if source:
        return TrainingSetError(
            f"no cell was labelled by {source}",
            subject="--source",
            hint=f"There are labels by {listed}",
        )
    return TrainingSetError(
        f"the cells were labelled by several, which do not mix: {listed}",
        subject="--source",
        hint="Name the one to learn from with --source",
    )


def _read(database: Database, one: _Candidate) -> list[LabelledCell]:
    if one.collection == _LABELS:
        return [cell for some in cell_sets_of(database, [one.key]) for cell in some.labelled()]
    row = database.phonons.query_one(by_field("prediction_id", one.key))
    if row is None:
        return []
    document = PhononDocument.load(row)
    blobs, found = document.blob_digests, []
    if "forces" in blobs:
        forces = document.force_data(database.blobs.get(blobs["forces"]))
        found += cells_of_forces(forces, document.material_id, one.model, one.key[:_DIGITS])
    if "displaced_cells" in blobs:
        cells = document.displaced_cells(database.blobs.get(blobs["displaced_cells"]))
        found += cells_of_displaced(cells, document.material_id, one.model)
    return found


def cells_of_forces(
    forces: ForceData, material_id: str, source: str, key: str = ""
) -> list[LabelledCell]:
    """Return the supercells with one displaced atom as labelled cells.

    The same atom displaced there and back makes an antithetic pair, whose name begins with a key
    that tells these forces from others of the crystal.
    """
    lattice = np.asarray(forces.supercell_matrix) @ forces.primitive.lattice.matrix
    at_rest = np.asarray(forces.supercell_scaled_positions) @ lattice
    steps = np.asarray(forces.displacements_angstrom)
    pairs = _pairs(np.asarray(forces.displaced_atoms), steps, f"{key} displaced".strip())
    found = []
    for index, (atom, step) in enumerate(zip(forces.displaced_atoms, steps, strict=True)):
        positions = at_rest.copy()
        positions[int(atom)] += step
        found.append(
            LabelledCell(
                material_id=material_id,
                group=forces.primitive.composition.reduced_formula,
                numbers=np.asarray(forces.supercell_numbers, dtype=np.int64),
                cell_angstrom=lattice,
                positions_angstrom=positions,
                forces_ev_per_angstrom=forces.forces_ev_per_angstrom[index],
                pair=pairs[index],
                source=source,
            )
        )
    return found


def _pairs(atoms: Any, steps: Any, name: str) -> list[str]:
    """Name pairs of displacements of one atom there and back."""
    names = [""] * len(atoms)
    for one in range(len(atoms)):
        if names[one]:
            continue
        there = (atoms == atoms[one]) & (np.abs(steps + steps[one]).max(axis=1) < _SAME_ANGSTROM)
        for other in np.flatnonzero(there):
            if other > one and not names[other]:
                names[one] = names[other] = f"{name} {one}"
                break
    return names


def cells_of_displaced(cells: DisplacedCells, material_id: str, source: str) -> list[LabelledCell]:
    """Return the supercells with all atoms displaced as labelled cells."""
    lattice = np.asarray(cells.supercell_lattice)
    at_rest = np.asarray(cells.supercell_scaled_positions) @ lattice
    energies = cells.energies_ev
    return [
        LabelledCell(
            material_id=material_id,
            group=cells.primitive.composition.reduced_formula,
            numbers=np.asarray(cells.supercell_numbers, dtype=np.int64),
            cell_angstrom=lattice,
            positions_angstrom=at_rest + moves,
            forces_ev_per_angstrom=cells.forces_ev_per_angstrom[index],
            energy_ev=None if energies is None else float(energies[index]),
            source=source,
        )
        for index, moves in enumerate(cells.displacements_angstrom)
    ]
