"""The jobs of trained models and of searches: thin, serialisable, one database URI each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobflow import JobConfig, OnMissing, job

from flows.predictors import cached_predictor

__all__ = [
    "minima_job",
    "predict_job",
    "random_crystals_job",
    "train_job",
    "train_on_minima_job",
]

_WHATEVER_BECAME_OF_OTHERS = JobConfig(on_missing_references=OnMissing.NONE)
"""For jobs that go on with what there is: they run also where their parents failed."""


@job(config=_WHATEVER_BECAME_OF_OTHERS)
def train_job(database_uri: str, task: dict[str, Any], after: Any = None) -> dict[str, Any]:
    """Train a model on what the database holds, and store it there.

    Parameters
    ----------
    database_uri
        Where phonons are read and the model is written.
    task
        Fields of :class:`flows.training.TrainingTask`.
    after
        Outputs of the jobs that must be finished before; their values are not used.

    Returns
    -------
    dict
        Key and card of the model, what it learned from, and what was left out.
    """
    del after
    from flows.tables import payload_training
    from flows.training import TrainingTask, train_and_store

    return payload_training(train_and_store(database_uri, TrainingTask(**task)))


@job
def train_on_minima_job(
    database_uri: str, task: dict[str, Any], minima: dict[str, Any]
) -> dict[str, Any]:
    """Train a model on the minima of a search and on nothing else that the database holds.

    Parameters
    ----------
    database_uri
        Where phonons are read and the model is written.
    task
        Fields of :class:`flows.training.TrainingTask`; a source that it names comes first.
    minima
        Output of `minima_job`.

    Returns
    -------
    dict
        As `train_job` returns.
    """
    from flows.tables import payload_training
    from flows.training import TrainingTask, train_and_store

    of_search = {
        "source": task["source"] or minima["source"],
        "material_ids": minima["relaxed_ids"],
    }
    return payload_training(train_and_store(database_uri, TrainingTask(**task | of_search)))


@job
def predict_job(
    database_uri: str,
    method: str,
    model: str | None,
    material_ids: Sequence[str] | None,
    query: str,
    batch_size: int,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Predict stored structures with a trained model.

    Parameters
    ----------
    database_uri
        Where structures are read and predictions are written.
    method, model
        As :func:`flows.stored_models.find_model` takes them.
    material_ids, query
        Which structures; without names those that the filter selects.
    batch_size
        Structures read, predicted and written together.
    settings
        :meth:`screening.settings.ScreeningSettings.as_dict`; empty for the defaults.

    Returns
    -------
    dict
        What became of the structures, and how fast.
    """
    from flows.catalogue import materials_where
    from flows.predicting import predict_stored
    from flows.stored_models import find_model
    from flows.tables import payload_predicting
    from screening.settings import ScreeningSettings
    from stores.connect import open_database

    with open_database(database_uri) as database:
        found = find_model(database, method, model)
        names = materials_where(database, query) if material_ids is None else material_ids
    chosen = ScreeningSettings.from_dict(settings)
    done = predict_stored(database_uri, found, names, batch_size=batch_size, settings=chosen)
    return payload_predicting(done)


@job
def random_crystals_job(
    database_uri: str, task: dict[str, Any], start: int, stop: int
) -> dict[str, Any]:
    """Draw some of the crystals of a search and store them.

    Parameters
    ----------
    database_uri
        Where.
    task
        Fields of :class:`flows.searching.SearchTask`.
    start, stop
        Which of them, the stop not included.

    Returns
    -------
    dict
        Materials that stand for them.
    """
    from flows.searching import SearchTask, store_random_crystals

    names = store_random_crystals(database_uri, SearchTask(**task), start, stop)
    return {"material_ids": list(names)}


@job(config=_WHATEVER_BECAME_OF_OTHERS)
def minima_job(
    database_uri: str,
    drawn: Sequence[Sequence[str] | None],
    calculator: str,
    settings: dict[str, Any],
    after: Any = None,
) -> dict[str, Any]:
    """Store the relaxed crystals as materials of their own.

    Parameters
    ----------
    database_uri
        Where.
    drawn
        Materials that were relaxed, by batch; None where a batch failed.
    calculator, settings
        What relaxed them, as :func:`flows.predictors.cached_predictor` takes it.
    after
        Outputs of the jobs that must be finished before; their values are not used.

    Returns
    -------
    dict
        Materials of the minima, how many were relaxed, which, and by what.
    """
    del after
    from flows.searching import store_minima
    from stores.connect import open_database

    names = list(dict.fromkeys(name for batch in drawn for name in batch or ()))
    with open_database(database_uri) as database:
        found = store_minima(database, names, cached_predictor(calculator, settings))
    return {
        "material_ids": list(found.material_ids),
        "n_relaxed": found.n_relaxed,
        "relaxed_ids": list(found.relaxed_ids),
        "source": found.source,
        "rejected": found.rejected,
    }
