"""The jobs: thin, serialisable, one database URI each.

Arguments are plain JSON, so that every manager (local, FireWorks, jobflow-remote) can carry
them; results go to the database, and a job's own output is a short report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jobflow import job

from flows.catalogue import crystal_of
from flows.materials import screen_material
from flows.predictors import cached_predictor

__all__ = ["build_summaries_job", "import_job", "screen_batch_job"]


@job
def import_job(database_uri: str, paths: Sequence[str]) -> dict[str, Any]:
    """Import files and folders; returns the material ids and the number of rejections."""
    from flows.imports import import_structures

    report = import_structures(database_uri, [Path(path) for path in paths])
    return {"material_ids": list(report.material_ids), "n_rejected": len(report.rejections)}


@job
def screen_batch_job(
    database_uri: str, material_ids: Sequence[str], calculator: str, settings: dict[str, Any]
) -> dict[str, Any]:
    """Predict a batch of materials, one after the other.

    Parameters
    ----------
    database_uri
        The database that holds the structures and receives the results.
    material_ids
        Which materials; those that are done or being computed elsewhere are skipped.
    calculator, settings
        What to compute with, as :func:`flows.predictors.cached_predictor` takes it.

    Returns
    -------
    dict
        Number of materials per outcome, and the wall time spent on computing.
    """
    from stores.connect import open_database

    predictor = cached_predictor(calculator, settings)
    with open_database(database_uri) as database:
        events = [
            screen_material(database, crystal_of(database, material_id), predictor)
            for material_id in material_ids
        ]
    return {
        "outcomes": dict(Counter(event.outcome.value for event in events)),
        "wall_seconds": sum(event.wall_seconds for event in events),
    }


@job
def build_summaries_job(
    database_uri: str, material_ids: Sequence[str] | None, after: Any = None
) -> dict[str, int]:
    """Bring summaries, rankings and hulls up to date.

    Parameters
    ----------
    database_uri
        The database to work on.
    material_ids
        Whose summaries; None means all.
    after
        Outputs of the jobs that must be finished before; their values are not used.
    """
    del after
    from flows.summaries import build_summaries
    from stores.connect import open_database

    with open_database(database_uri) as database:
        return build_summaries(database, material_ids)
