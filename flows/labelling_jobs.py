"""The job that labels cells: thin, serialisable, one database URI."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from jobflow import JobConfig, OnMissing, job

from flows.events import batch_report

__all__ = ["label_batch_job", "labelling_report_job"]


@job
def label_batch_job(
    database_uri: str, material_ids: Sequence[str], calculator: str, settings: dict[str, Any]
) -> dict[str, Any]:
    """Label displaced cells of some crystals.

    Parameters
    ----------
    database_uri
        The database that holds the crystals and receives the cells.
    material_ids
        Which crystals; those that are done or being done elsewhere are skipped.
    calculator
        As :func:`screening.calculators.load_calculator` reads it.
    settings
        :meth:`flows.labelling_settings.LabellingSettings.as_dict`; empty for the defaults.

    Returns
    -------
    dict
        Number of crystals per outcome, what became of each, and the wall time of the work.
    """
    from flows.labelling import label_batch, labelling_calculator
    from flows.labelling_settings import LabellingSettings
    from stores.connect import open_database

    loaded, chosen = labelling_calculator(calculator), LabellingSettings.from_dict(settings)
    with open_database(database_uri) as database:
        events = label_batch(database, material_ids, loaded, chosen)
    return batch_report(events)


@job(config=JobConfig(on_missing_references=OnMissing.NONE))
def labelling_report_job(reports: Sequence[dict[str, Any] | None]) -> dict[str, Any]:
    """Add up what became of the crystals of all batches, also where one of them failed.

    Returns
    -------
    dict
        Number of crystals per outcome, number of batches without a report, and the wall time.
    """
    known = [one for one in reports if one is not None]
    outcomes: Counter[str] = Counter()
    for one in known:
        outcomes.update(one["outcomes"])
    return {
        "outcomes": dict(outcomes),
        "n_lost_batches": len(reports) - len(known),
        "wall_seconds": sum(one["wall_seconds"] for one in known),
    }
