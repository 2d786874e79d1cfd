"""Importing with all that belongs to it: rejections become documents, given forces predictions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from flows.events import MaterialEvent, Outcome
from flows.materials import screen_material
from flows.summaries import build_summaries
from screening.errors import ERROR_CODES, ParseError, ScreeningError
from screening.predictors.given_forces import GivenForces
from screening.settings import ScreeningSettings
from screening.structure import Crystal
from stores.connect import Database, open_database
from stores.documents import FailureDocument
from stores.importers import (
    ImportReport,
    ReadLimits,
    ReadStructure,
    Rejection,
    fetch_materials_project,
    fetch_optimade,
    import_paths,
    iter_blocks,
)
from stores.importers import import_structures as store_structures
from stores.importers.records import Block
from stores.query import by_field, in_values

__all__ = ["Imported", "fetch_structures", "import_structures"]

STAGE = "import"
_CHUNK = 500


@dataclass(frozen=True)
class Imported:
    """What an import brought.

    Attributes
    ----------
    report
        Structures, duplicates and rejections.
    given
        What became of the forces that came with some structures.
    """

    report: ImportReport
    given: tuple[MaterialEvent, ...] = ()

    @property
    def material_ids(self) -> tuple[str, ...]:
        """Materials that the files stand for."""
        return self.report.material_ids

    @property
    def rejections(self) -> tuple[Rejection, ...]:
        """What could not be read."""
        return self.report.rejections

    def lines(self) -> list[str]:
        """Say it in words: a summary, then every rejection."""
        new, again = len(self.report.new_material_ids), len(self.report.duplicates)
        head = f"{new} new materials, {again} known already, {len(self.rejections)} rejected"
        if self.report.skipped:
            head += f", {len(self.report.skipped)} files of other formats skipped"
        forces = [
            f"forces of {event.formula} ({event.material_id}): {event.detail or event.outcome}"
            for event in self.given
        ]
        return [head, *forces, *(str(one) for one in self.rejections)]

    def payload(self) -> dict[str, Any]:
        """Return plain JSON with documented names."""
        return {
            "material_ids": list(self.material_ids),
            "new_material_ids": list(self.report.new_material_ids),
            "duplicates": [
                {"source": x.source, "material_id": x.material_id, "duplicate_of": x.duplicate_of}
                for x in self.report.duplicates
            ],
            "rejections": [
                {"code": x.code, "file": x.file, "block": x.block, "message": x.message}
                for x in self.rejections
            ],
            "skipped": list(self.report.skipped),
        }


def import_structures(
    database_uri: str, paths: Sequence[Path], *, fingerprint_distance: float | None = None
) -> Imported:
    """Import files, folders and archives; forces that come along are predicted and summarised.

    Parameters
    ----------
    database_uri
        The database.
    paths
        Files and folders, as :func:`stores.importers.iter_structures` takes them.
    fingerprint_distance
        Link new structures whose fingerprint is closer than this to that of a stored one; None
        links only what is the same crystal.

    Returns
    -------
    Imported
        A second call with the same files writes nothing.

    Raises
    ------
    SettingError
        If the distance of fingerprints is not a positive number.
    DatabaseError
        If the database fails; what was read before is stored.
    """
    with open_database(database_uri) as database:
        report = import_paths(database, paths, fingerprint_distance=fingerprint_distance)
        _record(database, report)
        given = tuple(_predict_given(database, read) for read in report.given_forces)
        if given:
            build_summaries(database, list(dict.fromkeys(event.material_id for event in given)))
    return Imported(report, given)


def fetch_structures(
    database_uri: str, text: str, optimade_url: str | None, api_key: str, *, limit: int
) -> Imported:
    """Import from an OPTIMADE provider or from the Materials Project, as far as the limit.

    Parameters
    ----------
    database_uri
        The database.
    text
        An OPTIMADE filter, or formulas and ids of the Materials Project separated by commas.
    optimade_url
        Versioned address of a provider; None asks the Materials Project.
    api_key
        Key of a Materials Project account, for that alone.
    limit
        At most this many structures.

    Raises
    ------
    ServiceUnavailableError
        If the service cannot be reached; what was read before is stored.
    """
    if optimade_url is not None:
        name, blocks = optimade_url, fetch_optimade(optimade_url, text, ReadLimits())
    else:
        name, blocks = "Materials Project", _materials_project(text, api_key)
    items = islice(iter_blocks(name, blocks), limit)
    with open_database(database_uri) as database:
        report = store_structures(database, items)
        _record(database, report)
    return Imported(report)


def _materials_project(text: str, api_key: str) -> Iterator[Block]:
    names = [part.strip() for part in text.split(",") if part.strip()]
    ids = [name for name in names if name.startswith("mp-")]
    formulas = [name for name in names if name not in ids]
    if ids:
        yield from fetch_materials_project(api_key, material_ids=ids)
    if formulas:
        yield from fetch_materials_project(api_key, formula=formulas)


def _record(database: Database, report: ImportReport) -> None:
    """Write rejections as failures, and clear those of files that can be read now."""
    failed = [_failure(rejection) for rejection in report.rejections]
    if failed:
        database.failures.update([one.to_store() for one in failed])
    stale = _readable_now(database, report, {one.failure_id for one in failed})
    for start in range(0, len(stale), _CHUNK):
        database.failures.remove_docs(in_values("failure_id", stale[start : start + _CHUNK]))


def _failure(rejection: Rejection) -> FailureDocument:
    kind = ERROR_CODES.get(rejection.code, ParseError)
    error = kind(rejection.message, hint=rejection.hint)
    source = f"{rejection.file}#{rejection.block}" if rejection.block else rejection.file
    return FailureDocument.from_error(error, stage=STAGE, subject=source)


def _readable_now(database: Database, report: ImportReport, failed: set[str]) -> list[str]:
    stage = by_field("stage", STAGE)
    rows = list(database.failures.query(stage, ["failure_id", "subject"]))
    if not rows:
        return []
    fields = ["sources"]
    named = in_values("material_id", list(report.material_ids))
    read = {source for row in database.structures.query(named, fields) for source in row["sources"]}
    return [
        row["failure_id"]
        for row in rows
        if row["subject"] in read and row["failure_id"] not in failed
    ]


def _predict_given(database: Database, read: ReadStructure) -> MaterialEvent:
    """Make a prediction of forces that came with a structure.

    It belongs to the material that stands for a near duplicate, which nobody asks; the digest
    of the structure stays that of the crystal whose forces they are.
    """
    assert read.force_data is not None
    crystal = replace(read.crystal, material_id=_representative(database, read.crystal))
    try:
        predictor = GivenForces(
            read.force_data,
            ScreeningSettings(),
            source=read.static_energy_source or read.parsed.forces_source or "given forces",
            static_energy_ev_per_atom=read.static_energy_ev_per_atom,
        )
    except ScreeningError as error:
        document = FailureDocument.from_error(error, stage=STAGE, subject=read.source)
        database.failures.update(document.to_store())
        detail = f"{error.code}: {error.message}"
        return MaterialEvent(crystal.material_id, crystal.formula, Outcome.FAILED, detail=detail)
    return screen_material(database, crystal, predictor)


def _representative(database: Database, crystal: Crystal) -> str:
    """Material that stands for a crystal."""
    same = by_field("material_id", crystal.material_id)
    stored = database.structures.query_one(same, ["duplicate_of"]) or {}
    return str(stored.get("duplicate_of") or crystal.material_id)
