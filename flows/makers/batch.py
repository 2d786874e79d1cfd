"""Makers of batches and of the whole screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from jobflow import Flow, Job, Maker, OnMissing

from flows.jobs import build_summaries_job, import_job, screen_batch_job
from flows.resources import Resource, resource_for, tagged
from screening.calculators import DEFAULT_CALCULATOR

__all__ = ["ImportMaker", "ScreenBatchMaker", "ScreenMaker", "SummaryMaker"]


@dataclass
class ImportMaker(Maker):
    """Import structures from files and folders into a database."""

    name: str = "import structures"

    def make(self, database_uri: str, paths: Sequence[str]) -> Job:
        """Return the job that imports these paths."""
        made = import_job(database_uri, [str(path) for path in paths])
        made.name = self.name
        return tagged(made, Resource.DATABASE)


@dataclass
class ScreenBatchMaker(Maker):
    """Predict many materials in one job: they are cheap, jobs are not.

    Parameters
    ----------
    name
        Name of the job.
    calculator
        Force calculator, as :func:`screening.calculators.load_calculator` reads it.
    settings
        Plain settings of the science, :meth:`screening.settings.ScreeningSettings.as_dict`;
        empty for the defaults.
    """

    name: str = "screen a batch"
    calculator: str = DEFAULT_CALCULATOR
    settings: dict[str, Any] = field(default_factory=dict)

    def make(self, database_uri: str, material_ids: Sequence[str]) -> Job:
        """Return the job that predicts these materials; an earlier job's output may name them."""
        made = screen_batch_job(database_uri, material_ids, self.calculator, dict(self.settings))
        made.name = self.name
        return tagged(made, resource_for(self.calculator))


@dataclass
class SummaryMaker(Maker):
    """Bring summaries, rankings and hulls up to date."""

    name: str = "build summaries"

    def make(
        self,
        database_uri: str,
        material_ids: Sequence[str] | None = None,
        after: Sequence[Any] = (),
    ) -> Job:
        """Return the job; ``after`` takes outputs of jobs that must have ended before."""
        made = build_summaries_job(database_uri, material_ids, list(after))
        made.name = self.name
        # what is done is summarised, also where a job before failed as a whole
        made.config.on_missing_references = OnMissing.NONE
        return tagged(made, Resource.DATABASE)


@dataclass
class ScreenMaker(Maker):
    """The whole screen of known materials: batches side by side, then the summaries.

    Parameters
    ----------
    name
        Name of the flow.
    batch_maker, summary_maker
        The parts.
    batch_size
        Materials per job.
    """

    name: str = "screen"
    batch_maker: ScreenBatchMaker = field(default_factory=ScreenBatchMaker)
    summary_maker: SummaryMaker = field(default_factory=SummaryMaker)
    batch_size: int = 50

    def make(self, database_uri: str, material_ids: Sequence[str]) -> Flow:
        """Return the flow that predicts these materials and summarises them."""
        starts = range(0, len(material_ids), self.batch_size)
        batches = [
            self.batch_maker.make(database_uri, material_ids[start : start + self.batch_size])
            for start in starts
        ]
        outputs = [batch.output for batch in batches]
        summary = self.summary_maker.make(database_uri, material_ids, after=outputs)
        return Flow([*batches, summary], output=summary.output, name=self.name)
