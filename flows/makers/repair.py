"""Maker of the repair of unstable materials."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from jobflow import Flow, Maker, job

from flows.makers.batch import ScreenBatchMaker, SummaryMaker
from flows.resources import resource_for, tagged

__all__ = ["RepairMaker", "repair_job"]


@job
def repair_job(
    database_uri: str,
    material_ids: Sequence[str],
    calculator: str,
    settings: dict[str, Any],
    again: bool,
) -> dict[str, Any]:
    """Repair materials, one after the other.

    Parameters
    ----------
    database_uri
        The database that holds their predictions and receives what they lead to.
    material_ids
        Which materials; those that are not unstable are left alone.
    calculator
        As :func:`screening.calculators.load_calculator` reads it.
    settings
        Plain :class:`screening.repair.RepairSettings`; empty for the defaults.
    again
        Repair also what a repair made.

    Returns
    -------
    dict
        Number of materials per outcome, and the materials that they led to.
    """
    from flows.families import repair_materials
    from screening.repair import RepairSettings

    chosen = RepairSettings.from_dict(settings)
    events = repair_materials(database_uri, material_ids, calculator, chosen, again=again)
    return {
        "outcomes": dict(Counter(event.outcome.value for event in events)),
        "material_ids": list(dict.fromkeys(one.child_id for one in events if one.child_id)),
    }


@dataclass
class RepairMaker(Maker):
    """Repair unstable materials, then screen once what they lead to.

    Parameters
    ----------
    name
        Name of the flow.
    settings
        Plain :class:`screening.repair.RepairSettings`; empty for the defaults.
    again
        Repair also what a repair made.
    batch_maker, summary_maker
        What screens the structures found, with the calculator that follows the modes too.
    """

    name: str = "repair"
    settings: dict[str, Any] = field(default_factory=dict)
    again: bool = False
    batch_maker: ScreenBatchMaker = field(default_factory=ScreenBatchMaker)
    summary_maker: SummaryMaker = field(default_factory=SummaryMaker)

    def make(self, database_uri: str, material_ids: Sequence[str]) -> Flow:
        """Return the flow that repairs these materials; an earlier job's output may name them."""
        calculator = self.batch_maker.calculator
        first = repair_job(database_uri, material_ids, calculator, dict(self.settings), self.again)
        tagged(first, resource_for(calculator))
        children: Any = first.output["material_ids"]
        screened = self.batch_maker.make(database_uri, children)
        summary = self.summary_maker.make(database_uri, None, after=[screened.output])
        return Flow([first, screened, summary], output=first.output, name=self.name)
