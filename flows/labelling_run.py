"""Labelling on this machine: what is missing among some crystals, by worker processes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from flows.catalogue import originals_of
from flows.events import Listener, MaterialEvent, Outcome
from flows.labelling import cells_left, give_up_labelling, labelling_calculator
from flows.labelling_settings import LabellingSettings
from flows.local import Crew, LocalRun
from flows.makers.labelling import LabelBatchMaker
from flows.run import ScreenReport, work_off
from screening.errors import NotFoundError
from stores.connect import open_database

__all__ = ["label"]


def label(
    database_uri: str,
    material_ids: Sequence[str],
    maker: LabelBatchMaker,
    *,
    crew: Crew | None = None,
    listener: Listener | None = None,
) -> ScreenReport:
    """Label the displaced cells that are missing.

    Parameters
    ----------
    database_uri
        The database; every worker process opens it by this URI.
    material_ids
        The crystals asked for; duplicates are replaced by the crystal they duplicate.
    maker
        Calculator and settings.
    crew
        Worker processes and their time limit; by default as many as fit the machine.
    listener
        Told what happens to each crystal.

    Returns
    -------
    ScreenReport
        A second call with the same arguments computes nothing.

    Raises
    ------
    ScreeningError
        If the calculator, the guide or the settings cannot be used at all, or workers die without a
        crystal; failures of single crystals are documents and events.
    """
    started = time.monotonic()
    calculator = labelling_calculator(maker.calculator)
    settings = LabellingSettings.from_dict(maker.settings)
    with open_database(database_uri) as database:
        wanted = originals_of(database, material_ids)
        if not wanted:
            raise NotFoundError("no crystals to displace", hint="Import structures first")

        def give_up(name: str, error: Exception, attempts: int) -> MaterialEvent:
            return give_up_labelling(database, name, calculator, settings, error, attempts)

        events = work_off(
            LocalRun(database_uri, wanted, maker),
            lambda names: cells_left(database, names, calculator, settings),
            give_up,
            crew=crew,
            listener=listener,
        )
    failed = {Outcome.FAILED, Outcome.FAILED_BEFORE}
    return ScreenReport(
        outcomes=dict(Counter(event.outcome.value for event in events)),
        failures=tuple(event for event in events if event.outcome in failed),
        written={},
        wall_seconds=time.monotonic() - started,
    )
