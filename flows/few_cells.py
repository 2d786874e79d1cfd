"""One material from a few displaced cells in pieces: one more cell at a time, until it is enough.

The pieces may run on different machines. They agree because each works out the same cells from
the forces so far, whose expensive calls are remembered (see `flows.checkpoints`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flows.checkpoints import work_resumably
from flows.events import MaterialEvent, Outcome
from flows.materials import attempt, key_of, write_prediction

if TYPE_CHECKING:
    from screening.prediction import Prediction
    from screening.predictors.gaussian_process import GaussianProcessPhonons
    from screening.structure import Crystal
    from stores.connect import Database

__all__ = ["advance_material"]


def advance_material(
    database: Database, crystal: Crystal, predictor: GaussianProcessPhonons, n_cells: int
) -> MaterialEvent:
    """Predict one material if a number of displaced cells is enough for it.

    Parameters
    ----------
    database, crystal, predictor
        What is predicted with what.
    n_cells
        Displaced cells whose forces may be asked for; those that are remembered are not
        computed again.

    Returns
    -------
    MaterialEvent
        What happened, ``started`` where one more cell is needed; the same event is emitted to
        the listener.

    Raises
    ------
    DatabaseUnavailableError
        If the database cannot be reached: the workflow engine may try the job again.
    """

    def compute() -> Prediction | None:
        return work_resumably(
            predictor,
            lambda one: one.advance(crystal, n_cells),
            crystal,
            database,
            key_of(crystal.digest, predictor),
        )

    def keep(found: Prediction | None) -> MaterialEvent:
        if found is None:
            return MaterialEvent(crystal.material_id, crystal.formula, Outcome.STARTED)
        write_prediction(database, found, crystal.material_id)
        verdict = found.stability.verdict.value
        return MaterialEvent(crystal.material_id, crystal.formula, Outcome.COMPUTED, detail=verdict)

    return attempt(database, crystal, predictor, compute, keep)
