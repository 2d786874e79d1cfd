"""The job that trains network potentials: thin, serialisable, one database URI."""

from __future__ import annotations

from typing import Any

from jobflow import JobConfig, OnMissing, job

__all__ = ["train_potentials_job"]


@job(config=JobConfig(on_missing_references=OnMissing.NONE))
def train_potentials_job(
    database_uri: str, task: dict[str, Any], after: Any = None
) -> dict[str, Any]:
    """Train potentials on the cells of a database, and store them there.

    Parameters
    ----------
    database_uri
        Where cells are read and models are written.
    task
        Fields of :class:`flows.potential_training.PotentialTask`.
    after
        Outputs of the jobs that must be finished before; their values are not used.

    Returns
    -------
    dict
        Keys and cards of the models, and what they were trained on.
    """
    del after
    from flows.potential_training import PotentialTask, train_potentials
    from flows.tables import payload_potentials

    given = {**task, "files": tuple(task.get("files", ()))}
    return payload_potentials(train_potentials(database_uri, PotentialTask(**given)))
