"""From structures to the database: idempotent, duplicates linked."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from screening.duplicates import DEFAULT_TOLERANCES, find_duplicate
from screening.errors import (
    DatabaseUnavailableError,
    InputError,
    NotFoundError,
    SerializationError,
)
from screening.structure import Crystal
from stores.documents import StructureDocument
from stores.importers.lookalikes import Lookalikes
from stores.importers.reading import iter_structures
from stores.importers.records import DEFAULT_READ_LIMITS, ReadLimits, ReadStructure, Rejection
from stores.query import and_, between, by_field

if TYPE_CHECKING:
    from stores.connect import Database

__all__ = [
    "DuplicateLink",
    "ImportReport",
    "change_structure",
    "import_paths",
    "import_structures",
    "structures_like",
]

_MAX_ATTEMPTS = 100
Progress = Callable[[ReadStructure | Rejection], None]


@dataclass(frozen=True)
class DuplicateLink:
    """A structure that the database has already.

    Attributes
    ----------
    source
        File and block.
    material_id
        Its own key: that of `duplicate_of` where both are one crystal to the last bin.
    duplicate_of
        The material that stands for it and is computed.
    """

    source: str
    material_id: str
    duplicate_of: str


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes
    ----------
    material_ids
        Materials that the structures read stand for, each once, in the order read. Duplicates
        are represented by the material they are linked to.
    new_material_ids
        Those of them that the database did not have.
    duplicates
        Structures that were linked to a material that was there.
    rejections
        What could not be read, and why.
    skipped
        Names in folders that are of no known format.
    given_forces
        Structures that came with forces of displaced supercells.
    """

    material_ids: tuple[str, ...]
    new_material_ids: tuple[str, ...]
    duplicates: tuple[DuplicateLink, ...]
    rejections: tuple[Rejection, ...]
    skipped: tuple[str, ...] = ()
    given_forces: tuple[ReadStructure, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of new materials, duplicates, skipped names and of each rejection's code."""
        return {
            "new": len(self.new_material_ids),
            "duplicates": len(self.duplicates),
            "skipped": len(self.skipped),
            "rejected": len(self.rejections),
            **dict(sorted(Counter(rejection.code for rejection in self.rejections).items())),
        }


@dataclass
class _Tally:
    """What has been done so far."""

    material_ids: dict[str, None] = field(default_factory=dict)
    new: list[str] = field(default_factory=list)
    duplicates: list[DuplicateLink] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    forces: list[ReadStructure] = field(default_factory=list)

    def report(self) -> ImportReport:
        """Freeze it."""
        return ImportReport(
            tuple(self.material_ids),
            tuple(self.new),
            tuple(self.duplicates),
            tuple(self.rejections),
            tuple(self.skipped),
            tuple(self.forces),
        )


def import_paths(
    database: Database,
    paths: Sequence[str | os.PathLike[str]],
    *,
    progress: Progress | None = None,
    limits: ReadLimits = DEFAULT_READ_LIMITS,
    fingerprint_distance: float | None = None,
) -> ImportReport:
    """Import files, folders and archives; a bad file never stops the others.

    Importing the same again changes nothing.

    Parameters
    ----------
    database
        Where the structures go.
    paths
        As :func:`stores.importers.iter_structures` takes them.
    progress
        Called with every structure and rejection.
    limits
        What may be read.
    fingerprint_distance
        As `import_structures` takes it.

    Raises
    ------
    SettingError
        If the distance of fingerprints is not a positive number.
    DatabaseError
        If the database fails; what was read before is stored.
    """
    skipped: list[str] = []
    items = iter_structures(paths, limits, skipped=skipped.append)
    return import_structures(
        database,
        items,
        progress=progress,
        skipped=skipped,
        fingerprint_distance=fingerprint_distance,
    )


def import_structures(
    database: Database,
    items: Iterable[ReadStructure | Rejection],
    *,
    progress: Progress | None = None,
    skipped: list[str] | None = None,
    fingerprint_distance: float | None = None,
) -> ImportReport:
    """Store structures as they come, from files or a remote database.

    Parameters
    ----------
    database
        Where the structures go.
    items
        For instance of :func:`stores.importers.iter_structures` or
        :func:`stores.importers.iter_blocks`.
    progress
        Called with every structure and rejection.
    skipped
        A list that is filled while `items` is consumed.
    fingerprint_distance
        New structures whose fingerprint is closer than this to that of a stored one of the same
        composition become its duplicates. It may merge similar polymorphs; None links only what
        is the same crystal atom by atom. Structures that bring forces are not linked by it.

    Raises
    ------
    SettingError
        If the distance of fingerprints is not a positive number.
    """
    tally = _Tally(skipped=[] if skipped is None else skipped)
    lookalikes = None if fingerprint_distance is None else Lookalikes(fingerprint_distance)
    for item in items:
        outcome: ReadStructure | Rejection = item
        if isinstance(item, ReadStructure):
            try:
                _store(database, item, tally, lookalikes)
            except (InputError, SerializationError) as error:
                outcome = Rejection.of(error, item.file, item.block)
        if isinstance(outcome, Rejection):
            tally.rejections.append(outcome)
        if progress is not None:
            progress(outcome)
    return tally.report()


def _store(
    database: Database, item: ReadStructure, tally: _Tally, lookalikes: Lookalikes | None
) -> None:
    """Store one structure, or add what is new of it to the document that is there."""
    document = StructureDocument.from_crystal(
        item.crystal,
        source=item.source,
        label=item.label,
        static_energy_ev_per_atom=item.static_energy_ev_per_atom,
        static_energy_source=item.static_energy_source,
        notes=_notes(item),
    )
    own_id = document.material_id
    merged = lookalikes if item.force_data is None else None  # forces are of their own structure
    stored = _insert(database, item.crystal, document, merged)
    is_new = stored is not None
    if stored is None:
        stored = change_structure(database, own_id, lambda known: known.merged_with(document))
    representative = stored.duplicate_of or own_id
    if representative != own_id:
        # Also repairs what a kill between two writes left.
        change_structure(database, representative, lambda known: known.with_duplicate(stored))
    if is_new and representative == own_id:
        tally.new.append(own_id)
    else:
        tally.duplicates.append(DuplicateLink(item.source, own_id, representative))
    tally.material_ids[representative] = None
    if item.force_data is not None:
        tally.forces.append(item)


def _insert(
    database: Database,
    crystal: Crystal,
    document: StructureDocument,
    lookalikes: Lookalikes | None,
) -> StructureDocument | None:
    """Store a new document, linked to its twin; returns None where it is there already."""
    if database.structures.query_one(by_field("material_id", document.material_id), ["_id"]):
        return None
    alike = list(structures_like(database, crystal, any_size=lookalikes is not None))
    twin, notes = find_duplicate(crystal, alike), document.notes
    near = None if twin is not None or lookalikes is None else lookalikes.nearest(crystal, alike)
    if near is not None:
        twin, distance = near
        notes = (*notes, f"looks like {twin.material_id}: fingerprints at distance {distance:.3f}")
    new = document
    if twin is not None:
        new = document.replaced(duplicate_of=twin.material_id, notes=notes)
    return new if database.structures.insert_new(new.to_store()) else None


def change_structure(
    database: Database,
    material_id: str,
    change: Callable[[StructureDocument], StructureDocument],
) -> StructureDocument:
    """Change a document; where another process did meanwhile, change what that one wrote.

    Raises
    ------
    NotFoundError
        If there is no such document.
    DatabaseUnavailableError
        If others changed it at every attempt.
    """
    same = by_field("material_id", material_id)
    for _ in range(_MAX_ATTEMPTS):
        stored = database.structures.query_one(same)
        if stored is None:
            raise NotFoundError("a structure refers to it", subject=material_id)
        known = StructureDocument.load(stored)
        changed = change(known)
        unchanged = {"content_digest": stored.get("content_digest")}
        if changed is known or database.structures.replace_if(
            material_id, unchanged, changed.to_store()
        ):
            return changed
    raise DatabaseUnavailableError(
        "other processes keep changing it", subject=material_id, hint="Import again later"
    )


def _notes(item: ReadStructure) -> tuple[str, ...]:
    citation = (f"citation: {item.citation}",) if item.citation else ()
    return (*citation, *item.notes)


def structures_like(
    database: Database, crystal: Crystal, *, any_size: bool = False
) -> Iterable[Crystal]:
    """Materials with the composition of a crystal that stand for themselves.

    Of its size and volume too, as a duplicate has them, unless `any_size`.
    """
    same = [by_field("formula_reduced", crystal.formula), by_field("duplicate_of", None)]
    if not any_size:
        volume = crystal.structure.volume / crystal.n_atoms
        reach = 2.0 * DEFAULT_TOLERANCES.volume_fraction * volume
        same.append(by_field("n_atoms", crystal.n_atoms))
        same.append(between("volume_angstrom3_per_atom", volume - reach, volume + reach))
    criteria = and_(*same)
    stored = database.structures.query(criteria)
    documents = sorted(map(StructureDocument.load, stored), key=lambda found: found.material_id)
    return (document.to_crystal() for document in documents)
