"""One material from first principles in pieces: plan, batches of displacements, prediction.

The pieces may run on different machines and in any order. They agree because each works out the
same plan, whose expensive calls are remembered (see `flows.checkpoints`); the last one
predicts as a screen does, and finds every call made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flows.checkpoints import Checkpointed
from flows.events import MaterialEvent, Outcome, emit
from flows.materials import attempt, key_of, known_outcome, record_failure, screen_material
from screening.displacements import DisplacementPlan
from screening.errors import (
    ERROR_CODES,
    ComputationError,
    DatabaseUnavailableError,
    ScreeningError,
    UnexpectedError,
    WorkerLostError,
)
from screening.predictors.potential_phonons import PotentialPhonons
from screening.structure import Crystal
from stores.connect import Database

__all__ = ["compute_displacements", "finish_prediction", "plan_batches"]


def plan_batches(
    database: Database, crystal: Crystal, predictor: PotentialPhonons, displacements_per_job: int
) -> tuple[MaterialEvent, tuple[tuple[int, int], ...]]:
    """Relax a crystal where the settings say so, and divide its displacements into batches.

    Returns
    -------
    tuple
        What happened, ``started`` where there is something left to do; and the first and one
        past the last displacement of every batch, none where one job has to do it all.
    """
    plans: list[DisplacementPlan] = []

    def keep(plan: DisplacementPlan) -> MaterialEvent:
        plans.append(plan)
        return MaterialEvent(crystal.material_id, crystal.formula, Outcome.STARTED)

    def compute() -> DisplacementPlan:
        return _remembering(predictor, database, crystal).plan(crystal)

    event = attempt(database, crystal, predictor, compute, keep)
    if not plans or predictor.is_adaptive:  # how many follow depends on the first forces
        return event, ()
    count, step = len(plans[0].displaced_atoms), displacements_per_job
    starts = range(0, count, step)
    return event, tuple((start, min(start + step, count)) for start in starts)


def compute_displacements(
    database: Database, crystal: Crystal, predictor: PotentialPhonons, start: int, stop: int
) -> dict[str, Any]:
    """Compute the forces of some displacements and remember them.

    Returns
    -------
    dict
        Plain report for `finish_prediction`: number of displacements, and where it failed the
        code, message and next step of the error. A failure is reported, not raised, so that
        the other batches and the report of the material go on.

    Raises
    ------
    DatabaseUnavailableError
        If the database cannot be reached: the workflow engine may try the job again.
    """
    try:
        remembering = _remembering(predictor, database, crystal)
        plan = remembering.plan(crystal).subset(np.arange(start, stop))
        for one in remembering.calculator.members or (remembering.calculator,):
            one.forces(plan.lattice, plan.positions_angstrom, plan.numbers)
    except DatabaseUnavailableError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the report has to say it
        return {"n_displacements": stop - start, "error": _described(error)}
    return {"n_displacements": stop - start, "error": None}


def finish_prediction(
    database: Database,
    crystal: Crystal,
    predictor: PotentialPhonons,
    reports: Sequence[Mapping[str, Any] | None],
) -> MaterialEvent:
    """Predict from remembered forces, or write down why they are not there.

    What counts are the forces: a job may have died behind its last call, or have been repeated.

    Parameters
    ----------
    database, crystal, predictor
        What is predicted with what.
    reports
        What `compute_displacements` returned for each batch; None for a job that left nothing.
    """
    error = _first_error(reports)
    if error is None or _are_there(database, crystal, predictor):
        return screen_material(database, crystal, predictor)
    key = key_of(crystal.digest, predictor)
    event = known_outcome(database, crystal, key)
    if event is None:
        attempts = max(1, database.claims.attempts(key))
        event = record_failure(database, crystal, predictor, error, attempts)
    emit(event)
    return event


def _are_there(database: Database, crystal: Crystal, predictor: PotentialPhonons) -> bool:
    """Whether the forces of all displacements are remembered."""
    calculator = _checkpointed(predictor, database, crystal)
    try:
        plan = predictor.with_calculator(calculator).plan(crystal)
    except ComputationError:  # the crystal cannot even be relaxed any more
        return False
    geometry = plan.lattice, plan.positions_angstrom, plan.numbers
    return not any(one.missing(*geometry) for one in calculator.members or (calculator,))


def _checkpointed(
    predictor: PotentialPhonons, database: Database, crystal: Crystal
) -> Checkpointed:
    key = key_of(crystal.digest, predictor)
    return Checkpointed(predictor.calculator, database, crystal.material_id, key)


def _remembering(
    predictor: PotentialPhonons, database: Database, crystal: Crystal
) -> PotentialPhonons:
    return predictor.with_calculator(_checkpointed(predictor, database, crystal))


def _described(error: Exception) -> dict[str, str]:
    """Make plain values of an error, to carry it from one job to another."""
    if isinstance(error, ScreeningError) and error.code:
        return {
            "code": error.code,
            "message": error.message,
            "subject": error.subject,
            "hint": error.hint,
        }
    message = f"{type(error).__name__}: {error}"
    return {"code": UnexpectedError.code, "message": message, "subject": "", "hint": ""}


def _first_error(reports: Sequence[Mapping[str, Any] | None]) -> ScreeningError | None:
    """Make the first error of the batches again, one for jobs that vanished, or None."""
    for one in reports:
        if one is not None and one["error"] is not None:
            said = one["error"]
            kind = ERROR_CODES[said["code"]]
            return kind(said["message"], subject=said["subject"], hint=said["hint"])
    lost = sum(one is None for one in reports)
    if lost:
        return WorkerLostError(
            f"{lost} of {len(reports)} jobs of displaced supercells left no result",
            hint="Look at the log of the job; for lack of time raise its wall time, then retry",
        )
    return None
