"""Parents and children: repairs of many materials, and one screen of what they lead to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.catalogue import originals_of
from flows.predictors import cached_predictor
from flows.repairing import RepairEvent, prediction_of, repair_material
from screening.prediction import Verdict
from screening.repair import RepairSettings
from stores.connect import open_database
from stores.query import by_field

if TYPE_CHECKING:
    from flows.makers.batch import ScreenBatchMaker
    from screening.calculators import ForceCalculator

__all__ = ["Family", "families_of", "repair", "repair_materials", "screen_children"]


@dataclass(frozen=True)
class Family:
    """A repair with what is known of parent and child since.

    Attributes
    ----------
    event
        The repair.
    parent_lowest_thz
        Lowest frequency of the parent in THz, imaginary ones negative; None without prediction.
    child_verdict, child_lowest_thz
        Stability and lowest frequency of the child; None where it is not predicted.
    """

    event: RepairEvent
    parent_lowest_thz: float | None = None
    child_verdict: Verdict | None = None
    child_lowest_thz: float | None = None


Listener = Callable[[RepairEvent], None]
Screener = Callable[[str, Sequence[str], "ScreenBatchMaker"], object]


def repair(
    database_uri: str,
    material_ids: Sequence[str],
    calculator: str,
    settings: RepairSettings | None = None,
    *,
    again: bool = False,
    listener: Listener | None = None,
    screener: Screener | None = None,
) -> tuple[Family, ...]:
    """Repair materials, and screen once what they lead to.

    Parameters
    ----------
    database_uri
        The database.
    material_ids
        Materials to repair; those that are not unstable are left alone.
    calculator
        As :func:`screening.calculators.load_calculator` reads it; the one they were screened
        with.
    settings
        How far modes are followed.
    again
        Repair also what a repair made.
    listener
        Told about each repair when it ends.
    screener
        What predicts the children; by default :func:`flows.run.screen`.

    Returns
    -------
    tuple of Family
        One for each material. A second call with the same arguments computes nothing.
    """
    events = repair_materials(
        database_uri, material_ids, calculator, settings, again=again, listener=listener
    )
    screen_children(database_uri, events, calculator, screener)
    return families_of(database_uri, events, calculator)


def repair_materials(
    database_uri: str,
    material_ids: Sequence[str],
    calculator: str,
    settings: RepairSettings | None = None,
    *,
    again: bool = False,
    listener: Listener | None = None,
) -> tuple[RepairEvent, ...]:
    """Repair materials one after the other; see `repair`."""
    loaded = _loaded(calculator)
    events = []
    with open_database(database_uri) as database:
        for material_id in originals_of(database, material_ids):
            event = repair_material(database, material_id, loaded, settings, again=again)
            events.append(event)
            if listener is not None:
                listener(event)
    return tuple(events)


def screen_children(
    database_uri: str,
    events: Iterable[RepairEvent],
    calculator: str,
    screener: Screener | None = None,
) -> None:
    """Predict what repairs led to, each with the settings of its parent's prediction."""
    from flows.makers.batch import ScreenBatchMaker
    from flows.run import screen

    groups: dict[str, list[str]] = {}
    with open_database(database_uri) as database:
        for event in events:
            if event.child_id:
                followed = by_field("prediction_id", event.prediction_id)
                stored = database.predictions.query_one(followed, ["settings"])
                used = json.dumps((stored or {}).get("settings", {}), sort_keys=True)
                groups.setdefault(used, []).append(event.child_id)
    for used, children in groups.items():
        maker = ScreenBatchMaker(calculator=calculator, settings=json.loads(used))
        (screener or screen)(database_uri, children, maker)


def families_of(
    database_uri: str, events: Iterable[RepairEvent], calculator: str
) -> tuple[Family, ...]:
    """Look up what is known of parents and children."""
    digest = _loaded(calculator).digest
    with open_database(database_uri) as database:
        found = []
        for event in events:
            parent = prediction_of(database, event.material_id, digest)
            child = prediction_of(database, event.child_id, digest) if event.child_id else None
            found.append(
                Family(
                    event,
                    parent_lowest_thz=parent.stability.lowest_frequency_thz if parent else None,
                    child_verdict=child.stability.verdict if child else None,
                    child_lowest_thz=child.stability.lowest_frequency_thz if child else None,
                )
            )
    return tuple(found)


def _loaded(calculator: str) -> ForceCalculator:
    """Return the calculator, of which a process loads one."""
    from screening.predictors.potential_phonons import PotentialPhonons

    predictor = cached_predictor(calculator, {})
    assert isinstance(predictor, PotentialPhonons)
    return predictor.calculator
