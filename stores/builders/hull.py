"""The hull of every chemical system that has a compound."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain, combinations
from typing import TYPE_CHECKING

from screening.digest import digest_of
from screening.errors import ScreeningError
from screening.hull import HullSettings, build_hull
from stores.builders.incremental import (
    Builder,
    BuildReport,
    by_key,
    input_digest_of,
    run_build,
)
from stores.builders.inputs import Marks, document_or_error, read_inputs, read_marks
from stores.builders.phases import candidate_of, choose_predictions
from stores.documents.base import Document, Provenance
from stores.documents.hull import HullDocument
from stores.documents.prediction import PredictionDocument
from stores.documents.structure import StructureDocument
from stores.query import in_values

if TYPE_CHECKING:
    from stores.connect import Database  # brings the databases along

__all__ = ["build_hulls", "hull_of"]

BUILDER_VERSION = 1
STAGE = "build_hulls"


def hull_of(
    chemsys: str,
    structures: Sequence[StructureDocument],
    predictions: Mapping[str, Sequence[PredictionDocument]],
    failure_codes: Mapping[str, Sequence[str]] | None = None,
    settings: HullSettings | None = None,
    *,
    input_digest: str = "0" * 64,
) -> HullDocument:
    """Make the hull of a chemical system, or state why there is none.

    Parameters
    ----------
    chemsys
        Elements joined by hyphens.
    structures
        All materials within the system, elements included; duplicates of others are left out.
    predictions, failure_codes
        By material.
    settings
        Temperatures.
    input_digest
        What to recognise the inputs by.

    Raises
    ------
    InconsistentDataError
        If a material is outside the system.
    """
    settings = settings or HullSettings()
    phases = [one for one in structures if one.duplicate_of is None]
    chosen = choose_predictions(
        {one.material_id: predictions.get(one.material_id, ()) for one in phases}
    )
    codes = failure_codes or {}
    hull = build_hull(
        chemsys,
        [
            candidate_of(one, chosen.get(one.material_id), codes.get(one.material_id, ()))
            for one in phases
        ],
        settings,
    )
    ids = [one.prediction_id for one in chosen.values()]
    return HullDocument.from_hull(
        hull,
        input_digest=input_digest,
        provenance=Provenance.now(
            method="hull",
            method_version=BUILDER_VERSION,
            settings_digest=digest_of(settings.as_dict()),
            source_ids=(*(one.material_id for one in phases), *ids),
        ),
    )


def build_hulls(
    db: Database,
    chemical_systems: Sequence[str] | None = None,
    settings: HullSettings | None = None,
) -> BuildReport:
    """Bring the hulls up to date.

    Parameters
    ----------
    db
        An open database.
    chemical_systems
        Only these, elements in alphabetical order joined by hyphens; by default every system
        that some compound spans.
    settings
        Temperatures.

    Returns
    -------
    BuildReport
        What was written, removed, left alone, and what failed.
    """
    settings = settings or HullSettings()
    marks = read_marks(db)
    by_system = _by_system(marks)
    known = [name for name in by_system if "-" in name]
    wanted = sorted(known if chemical_systems is None else set(chemical_systems))
    members = {name: _within(name, by_system) for name in wanted if name in by_system}
    built = by_key(db.hulls, "chemsys", ["input_digest"])
    return run_build(
        Builder(
            STAGE,
            "chemsys",
            lambda some: _compute(db, {k: members[k] for k in some}, settings),
            covers=lambda name: chemical_systems is None or name in wanted,
        ),
        planned={name: _input_digest(marks, held, settings) for name, held in members.items()},
        built={
            name: document.get("input_digest")
            for name, document in built.items()
            if chemical_systems is None or name in wanted
        },
        target=db.hulls,
        failures=db.failures,
    )


def _by_system(marks: Marks) -> dict[str, list[str]]:
    """Materials by the elements they hold, sorted."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name, structure in sorted(marks.structures.items()):
        groups[str(structure.get("chemsys"))].append(name)
    return dict(groups)


def _within(chemsys: str, by_system: Mapping[str, Sequence[str]]) -> list[str]:
    """Materials of the system and of all systems within it."""
    elements = chemsys.split("-")
    sizes = range(1, len(elements) + 1)
    parts = chain.from_iterable(combinations(elements, size) for size in sizes)
    return sorted(chain.from_iterable(by_system.get("-".join(part), ()) for part in parts))


def _input_digest(marks: Marks, materials: Sequence[str], settings: HullSettings) -> str:
    return input_digest_of(
        BUILDER_VERSION,
        HullDocument.SCHEMA_VERSION,
        settings=settings.as_dict(),
        phases={name: marks.of_phase(name) for name in materials},
    )


def _compute(
    db: Database, members: Mapping[str, Sequence[str]], settings: HullSettings
) -> dict[str, Document | ScreeningError]:
    """Hulls of some systems, or the error of each that has none because of broken inputs."""
    names = sorted(set(chain.from_iterable(members.values())))
    marks = read_marks(db, in_values("material_id", names))
    materials = read_inputs(db, names)
    return {
        chemsys: document_or_error(
            materials,
            held,
            partial(
                hull_of,
                chemsys,
                predictions=materials.predictions,
                failure_codes=marks.failures,
                settings=settings,
                input_digest=_input_digest(marks, held, settings),
            ),
        )
        for chemsys, held in members.items()
    }
