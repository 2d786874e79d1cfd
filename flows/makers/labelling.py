"""Makers of labelled cells, and of the potentials that are trained on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jobflow import Flow, Job, Maker

from flows.events import Outcome
from flows.labelling_jobs import label_batch_job, labelling_report_job
from flows.potential_jobs import train_potentials_job
from flows.resources import Resource, resource_for, tagged
from screening.calculators import DEFAULT_CALCULATOR

if TYPE_CHECKING:
    from flows.catalogue import WorkList
    from stores.connect import Database

__all__ = ["LabelBatchMaker", "LabelMaker", "TrainPotentialMaker"]


@dataclass
class LabelBatchMaker(Maker):
    """Label displaced cells of some crystals in one job.

    Parameters
    ----------
    name
        Name of the job.
    calculator
        Potential or DFT, as :func:`screening.calculators.load_calculator` reads it.
    settings
        :meth:`flows.labelling_settings.LabellingSettings.as_dict`; empty for the defaults.
        With ``soft`` pairs every worker needs the ``guide`` that it names.
    """

    name: str = "label cells"
    calculator: str = DEFAULT_CALCULATOR
    settings: dict[str, Any] = field(default_factory=dict)

    def make(self, database_uri: str, material_ids: Sequence[str]) -> Job:
        """Return the job that labels cells of these crystals."""
        made = label_batch_job(database_uri, material_ids, self.calculator, dict(self.settings))
        made.name = self.name
        return tagged(made, resource_for(self.calculator))


@dataclass
class LabelMaker(Maker):
    """Label displaced cells of many crystals: batches side by side, then a report.

    `flows.launch.launching.launch` hands what is missing to a workflow engine, once.

    Parameters
    ----------
    name
        Name of the flow.
    batch_maker
        What labels a batch.
    batch_size
        Crystals per job; 1 for DFT.
    """

    name: str = "label"
    batch_maker: LabelBatchMaker = field(default_factory=LabelBatchMaker)
    batch_size: int = 20

    def make(self, database_uri: str, material_ids: Sequence[str]) -> Flow:
        """Return the flow that labels cells of these crystals; its output counts outcomes."""
        starts = range(0, len(material_ids), self.batch_size)
        jobs = [
            self.batch_maker.make(database_uri, material_ids[start : start + self.batch_size])
            for start in starts
        ]
        last = labelling_report_job([one.output for one in jobs])
        last.name = "count labelled cells"
        tagged(last, Resource.DATABASE)
        return Flow([*jobs, last], output=last.output, name=self.name)

    def pending(self, database: Database, material_ids: Sequence[str]) -> dict[str, str]:
        """Return the key of the cells of each crystal that is not labelled, for a launch."""
        keys, left = self._keys(database, material_ids)
        return {name: keys[name] for name in left.pending}

    def failed(self, database: Database, material_ids: Sequence[str]) -> dict[str, str]:
        """Return the keys of the cells of crystals whose labelling failed, for a launch."""
        keys, left = self._keys(database, material_ids)
        events = (one for one in left.settled if one.outcome is Outcome.FAILED_BEFORE)
        return {one.material_id: keys[one.material_id] for one in events}

    def _keys(
        self, database: Database, material_ids: Sequence[str]
    ) -> tuple[dict[str, str], WorkList]:
        from flows.labelling import cell_keys, cells_left, labelling_calculator
        from flows.labelling_settings import LabellingSettings

        calculator = labelling_calculator(self.batch_maker.calculator)
        settings = LabellingSettings.from_dict(self.batch_maker.settings)
        keys = cell_keys(database, material_ids, calculator, settings)
        return keys, cells_left(database, material_ids, calculator, settings)


@dataclass
class TrainPotentialMaker(Maker):
    """Train network potentials on the cells with forces that a database holds.

    Parameters
    ----------
    name
        Name of the job.
    query, source, model_name, preset, settings, epochs, start_from, checkpoints, committee
        As in :class:`flows.potential_training.PotentialTask`. Workers that share no home need a
        folder for ``checkpoints`` that they do share to go on with each other's work.
    last_layer
        As there.
    """

    name: str = "train a potential"
    query: str = ""
    source: str = ""
    model_name: str = ""
    preset: str = "small"
    settings: dict[str, Any] = field(default_factory=dict)
    epochs: int | None = None
    start_from: str = ""
    checkpoints: str = ""
    committee: int = 1
    last_layer: bool = False

    def make(self, database_uri: str, after: Sequence[Any] = ()) -> Job:
        """Return the job; ``after`` takes outputs of jobs that must have ended before."""
        task = {
            "query": self.query,
            "source": self.source,
            "name": self.model_name,
            "preset": self.preset,
            "settings": dict(self.settings),
            "epochs": self.epochs,
            "start_from": self.start_from,
            "checkpoints": self.checkpoints,
            "committee": self.committee,
            "last_layer": self.last_layer,
        }
        made = train_potentials_job(database_uri, task, list(after))
        made.name = self.name
        return tagged(made, Resource.POTENTIAL)
