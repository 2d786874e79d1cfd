"""Makers of trained models: training, prediction, and the search that gives them their data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from jobflow import Flow, Job, Maker

from flows.makers.batch import ScreenBatchMaker, SummaryMaker
from flows.predicting import DEFAULT_BATCH_SIZE
from flows.resources import Resource, resource_for, tagged
from flows.searching import SearchTask, search_maker
from flows.trained_jobs import (
    minima_job,
    predict_job,
    random_crystals_job,
    train_job,
    train_on_minima_job,
)
from flows.training import TrainingTask
from screening.calculators import DEFAULT_CALCULATOR
from screening.settings import ScreeningSettings

__all__ = ["PredictMaker", "RandomSearchMaker", "TrainMaker"]


@dataclass
class TrainMaker(Maker):
    """Train a model on the phonons that a database holds.

    Parameters
    ----------
    name
        Name of the job.
    method
        ``rf-ifc`` or ``ldml``.
    query, source, model_name, settings
        As in :class:`flows.training.TrainingTask`.
    """

    name: str = "train"
    method: str = "rf-ifc"
    query: str = ""
    source: str = ""
    model_name: str = ""
    settings: dict[str, Any] = field(default_factory=dict)

    def make(self, database_uri: str, after: Sequence[Any] = (), minima: Any = None) -> Job:
        """Return the job; ``after`` takes outputs of jobs that must have ended before.

        With the output of a job of ``minima`` only their phonons are learned.
        """
        task = TrainingTask(
            self.method, self.query, self.source, self.model_name, dict(self.settings)
        )
        made = (
            train_job(database_uri, asdict(task), list(after))
            if minima is None
            else train_on_minima_job(database_uri, asdict(task), minima)
        )
        made.name = self.name
        return tagged(made, Resource.POTENTIAL)


@dataclass
class PredictMaker(Maker):
    """Predict stored structures with a trained model, in batches.

    Parameters
    ----------
    name
        Name of the job.
    method
        ``rf-ifc`` or ``ldml``.
    model
        ``NAME``, ``NAME@VERSION`` or a file; None for the only one of the method.
    query
        Filter on the structures, where none are named.
    batch_size
        Structures read, predicted and written together.
    settings
        Plain settings of the science, :meth:`screening.settings.ScreeningSettings.as_dict`;
        empty for the defaults.
    """

    name: str = "predict"
    method: str = "rf-ifc"
    model: str | None = None
    query: str = ""
    batch_size: int = DEFAULT_BATCH_SIZE
    settings: dict[str, Any] = field(default_factory=dict)

    def make(
        self, database_uri: str, material_ids: Sequence[str] | None = None, model: Any = None
    ) -> Job:
        """Return the job; outputs of earlier jobs may give the materials and the model."""
        made = predict_job(
            database_uri,
            self.method,
            self.model if model is None else model,
            material_ids,
            self.query,
            self.batch_size,
            dict(self.settings),
        )
        made.name = self.name
        return tagged(made, Resource.POTENTIAL)


@dataclass
class RandomSearchMaker(Maker):
    """Draw crystals, relax them, take their Hessians, learn from them and predict the minima.

    Batches of crystals are drawn, relaxed and displaced side by side; the relaxed crystals
    become materials of their own, a model learns the Hessians at the zone centre, and predicts
    the minima.

    Parameters
    ----------
    name
        Name of the flow.
    composition
        Content of one cell, such as ``K2 Zn2 F6``.
    volume_angstrom3
        Mean volume of the cells in Å³.
    count, seed
        How many crystals, and which.
    batch_size
        Crystals per job.
    calculator
        Potential, as :func:`screening.calculators.load_calculator` reads it.
    settings
        Plain settings of the science; empty for :func:`flows.searching.search_settings`.
    train_maker, predict_maker, summary_maker
        The parts that follow; without a ``train_maker`` nothing is learned and predicted. Only
        the crystals of the search are learned, and the method that learns predicts.
    """

    name: str = "random search"
    composition: str = "K2 Zn2 F6"
    volume_angstrom3: float = 165.0
    count: int = 300
    seed: int = 0
    batch_size: int = 50
    calculator: str = DEFAULT_CALCULATOR
    settings: dict[str, Any] = field(default_factory=dict)
    train_maker: TrainMaker | None = field(default_factory=TrainMaker)
    predict_maker: PredictMaker = field(default_factory=PredictMaker)
    summary_maker: SummaryMaker = field(default_factory=SummaryMaker)

    def make(self, database_uri: str) -> Flow:
        """Return the flow; its output is that of its last job.

        Raises
        ------
        SettingError
            If the composition cannot be read, or a value is of no use.
        """
        task = SearchTask(self.composition, self.volume_angstrom3, self.count, self.seed)
        given = ScreeningSettings.from_dict(self.settings) if self.settings else None
        batch_maker = search_maker(task, self.calculator, given)
        drawn, screened = [], []
        for start in range(0, self.count, self.batch_size):
            stop = min(start + self.batch_size, self.count)
            one = random_crystals_job(database_uri, asdict(task), start, stop)
            one.name = f"draw crystals {start} to {stop - 1}"
            drawn.append(tagged(one, Resource.DATABASE))
            found: Any = one.output["material_ids"]
            screened.append(batch_maker.make(database_uri, found))
        names: list[Any] = [one.output["material_ids"] for one in drawn]
        ended = [one.output for one in screened]
        jobs: list[Flow | Job] = [
            *drawn,
            *screened,
            self.summary_maker.make(database_uri, after=ended),
        ]
        if self.train_maker is not None:
            jobs += self._learned(database_uri, names, batch_maker, ended)
        return Flow(jobs, output=jobs[-1].output, name=self.name)

    def _learned(
        self, database_uri: str, names: list[Any], maker: ScreenBatchMaker, ended: list[Any]
    ) -> list[Job]:
        """Return the jobs that learn from the minima and predict them."""
        assert self.train_maker is not None
        minima = minima_job(database_uri, names, maker.calculator, maker.settings, ended)
        minima.name = "store minima"
        tagged(minima, resource_for(self.calculator))
        training = self.train_maker.make(database_uri, minima=minima.output)
        found: Any = minima.output["material_ids"]
        predict_maker = replace(self.predict_maker, method=self.train_maker.method)
        predicted = predict_maker.make(database_uri, found, model=training.output["model_id"])
        predicted.append_name(f" with {self.train_maker.method}")
        return [minima, training, predicted]
