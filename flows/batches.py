"""A batch of materials with one method: at once where the method can, else one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flows.catalogue import crystal_of, in_chunks, work_list
from flows.events import MaterialEvent, Outcome, emit
from flows.materials import abandoned, key_of, screen_material
from flows.predicting import DEFAULT_BATCH_SIZE, crystals_of, predict_crystals
from flows.trained import TrainedPredictor
from screening.predictors.interface import Predictor
from stores.connect import Database
from stores.models import learned_by

__all__ = ["screen_batch"]


def screen_batch(
    database: Database, material_ids: Sequence[str], predictor: Predictor
) -> dict[str, MaterialEvent]:
    """Predict a batch of materials; what is done or computed elsewhere is skipped.

    Parameters
    ----------
    database
        Where the structures are read and the results are written.
    material_ids
        Which materials.
    predictor
        What predicts; a trained one takes them all at once.

    Returns
    -------
    dict
        The last word on each material.
    """
    if isinstance(predictor, TrainedPredictor):
        return _by_material(_at_once(database, material_ids, predictor))
    crystals = {name: crystal_of(database, name) for name in material_ids}
    events = {
        name: screen_material(database, crystal, predictor) for name, crystal in crystals.items()
    }
    busy = [name for name in events if events[name].outcome is Outcome.BUSY_ELSEWHERE]
    for name in abandoned(database, {one: key_of(crystals[one].digest, predictor) for one in busy}):
        events[name] = screen_material(database, crystals[name], predictor)
    return events


def _at_once(
    database: Database, material_ids: Sequence[str], predictor: TrainedPredictor
) -> list[MaterialEvent]:
    work = work_list(database, material_ids, predictor)
    events = list(work.settled)
    for event in events:
        emit(event)
    learned = learned_by(database, predictor.model_digest, work.pending) or frozenset()
    for names in in_chunks(work.pending, DEFAULT_BATCH_SIZE):
        events += predict_crystals(database, crystals_of(database, names), predictor, learned)
    return events


def _by_material(events: Iterable[MaterialEvent]) -> dict[str, MaterialEvent]:
    return {event.material_id: event for event in events}
