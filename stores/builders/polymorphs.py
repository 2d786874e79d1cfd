"""The ranking of the polymorphs of every composition."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from screening.digest import digest_of
from screening.errors import ScreeningError
from screening.ranking import RankingSettings, rank_polymorphs
from stores.builders.incremental import (
    Builder,
    BuildReport,
    by_key,
    input_digest_of,
    run_build,
)
from stores.builders.inputs import Marks, document_or_error, read_inputs, read_marks
from stores.builders.phases import anchored_predictions, candidate_of
from stores.builders.relaxed import relaxed_into_another
from stores.documents.base import Document, Provenance
from stores.documents.polymorphs import PolymorphsDocument, composition_key_of, formula_of
from stores.documents.prediction import PredictionDocument
from stores.documents.structure import StructureDocument
from stores.query import in_values

if TYPE_CHECKING:
    from stores.connect import Database  # brings the databases along

__all__ = ["build_polymorphs", "rank_composition"]

BUILDER_VERSION = 2
STAGE = "build_polymorphs"


def rank_composition(
    structures: Sequence[StructureDocument],
    predictions: Mapping[str, Sequence[PredictionDocument]],
    failure_codes: Mapping[str, Sequence[str]] | None = None,
    settings: RankingSettings | None = None,
    *,
    input_digest: str = "0" * 64,
) -> PolymorphsDocument:
    """Rank the polymorphs of one composition.

    Parameters
    ----------
    structures
        All materials of the composition; duplicates of others are left out, and of those that
        relaxed into one crystal only the first by key is ranked.
    predictions, failure_codes
        By material.
    settings
        How to rank.
    input_digest
        What to recognise the inputs by.

    Raises
    ------
    InconsistentDataError
        If there is no structure, or their formulas differ.
    """
    settings = settings or RankingSettings()
    phases = [one for one in structures if one.duplicate_of is None] or list(structures)
    chosen, anchors = anchored_predictions(
        {one.material_id: predictions.get(one.material_id, ()) for one in phases}
    )
    codes = failure_codes or {}
    merged = relaxed_into_another(chosen)
    ranking = rank_polymorphs(
        [
            candidate_of(
                one,
                chosen.get(one.material_id),
                codes.get(one.material_id, ()),
                merged.get(one.material_id),
                anchors,
            )
            for one in phases
        ],
        settings,
    )
    ids = {name: one.prediction_id for name, one in chosen.items()}
    return PolymorphsDocument.from_ranking(
        ranking,
        composition_key=composition_key_of(ranking.formula, settings.temperatures_k),
        elements=phases[0].elements,
        prediction_ids=ids,
        input_digest=input_digest,
        provenance=Provenance.now(
            method="ranking",
            method_version=BUILDER_VERSION,
            settings_digest=digest_of(settings.as_dict()),
            source_ids=(*(one.material_id for one in phases), *ids.values()),
        ),
    )


def build_polymorphs(
    db: Database,
    compositions: Sequence[str] | None = None,
    settings: RankingSettings | None = None,
) -> BuildReport:
    """Bring the rankings up to date.

    Parameters
    ----------
    db
        An open database.
    compositions
        Only these reduced formulas; by default all.
    settings
        How to rank; a grid of its own makes rankings of their own beside the default ones.

    Returns
    -------
    BuildReport
        What was written, removed, left alone, and what failed.
    """
    settings = settings or RankingSettings()
    marks = read_marks(db)
    groups = _groups(marks)
    wanted = sorted(groups) if compositions is None else sorted(set(compositions))
    keys = {composition_key_of(name, settings.temperatures_k): name for name in wanted}
    built = by_key(db.polymorphs, "composition_key", ["input_digest", "formula_reduced"])
    return run_build(
        Builder(
            STAGE,
            "composition_key",
            lambda some: _compute(db, {k: keys[k] for k in some}, settings),
            covers=lambda key: key in keys or _is_orphan(formula_of(key), groups, compositions),
        ),
        planned={
            key: _input_digest(marks, groups[name], settings)
            for key, name in keys.items()
            if name in groups
        },
        built={
            key: document.get("input_digest")
            for key, document in built.items()
            if key in keys
            or _is_orphan(str(document.get("formula_reduced", key)), groups, compositions)
        },
        target=db.polymorphs,
        failures=db.failures,
    )


def _is_orphan(
    formula: str,
    groups: Mapping[str, Sequence[str]],
    compositions: Sequence[str] | None,
) -> bool:
    """Whether a ranking, on whatever grid, is of a composition that has no material left."""
    return formula not in groups and (compositions is None or formula in compositions)


def _groups(marks: Marks) -> dict[str, list[str]]:
    """Materials by composition, sorted."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name, structure in sorted(marks.structures.items()):
        groups[str(structure.get("formula_reduced"))].append(name)
    return dict(groups)


def _input_digest(marks: Marks, materials: Sequence[str], settings: RankingSettings) -> str:
    return input_digest_of(
        BUILDER_VERSION,
        PolymorphsDocument.SCHEMA_VERSION,
        settings=settings.as_dict(),
        phases={name: marks.of_phase(name) for name in materials},
    )


def _compute(
    db: Database, keys: Mapping[str, str], settings: RankingSettings
) -> dict[str, Document | ScreeningError]:
    """Rankings of some compositions, or the error of each that cannot be ranked."""
    criteria = in_values("formula_reduced", sorted(keys.values()))
    names = sorted(by_key(db.structures, "material_id", [], criteria))
    marks = read_marks(db, in_values("material_id", names))
    groups = _groups(marks)
    materials = read_inputs(db, names)
    return {
        key: document_or_error(
            materials,
            held := groups.get(formula, []),
            partial(
                rank_composition,
                predictions=materials.predictions,
                failure_codes=marks.failures,
                settings=settings,
                input_digest=_input_digest(marks, held, settings),
            ),
        )
        for key, formula in keys.items()
    }
