"""What of a launch is left to submit, and why the rest is not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from jobflow import Flow, Job

from flows.catalogue import prediction_keys, work_list
from flows.events import Outcome
from flows.makers.batch import ScreenBatchMaker, ScreenMaker
from flows.predictors import cached_predictor
from flows.reserving import reserved
from screening.digest import digest_of
from screening.errors import SettingError
from stores.connect import Database
from stores.documents import LaunchDocument

__all__ = ["Launchable", "Planner", "Selection", "first_tier", "purpose_of", "select"]

_UNIMPORTANT = frozenset({"@version", "name", "batch_size", "max_calculations", "core_hours"})
"""Fields of a Maker that say how, or how much at once, but not what is computed."""

_PLAIN = digest_of({"purpose": "screen"})


class Launchable(Protocol):
    """A Maker of flows over many materials.

    Its first tier is found as ``batch_maker``, or it is one itself.
    """

    def make(self, database_uri: str, material_ids: Sequence[str]) -> Flow | Job:
        """Return what is submitted."""

    def as_dict(self) -> dict[str, Any]:
        """Return its fields."""


@dataclass(frozen=True)
class Selection:
    """Materials by what becomes of them in a launch.

    Attributes
    ----------
    pending
        The key of the prediction of each material that is left to submit.
    done, failed
        Those with nothing left to do, and those with a failure that nobody asked to forget.
    running
        Those that somebody computes now.
    waiting
        Those in a launch that still goes on.
    """

    pending: Mapping[str, str]
    done: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    running: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()


@runtime_checkable
class Planner(Protocol):
    """A Maker that knows itself what is left to do, because more than one method may be."""

    def pending(self, database: Database, material_ids: Sequence[str]) -> dict[str, str]:
        """Return a key of what is next for each material with something left to do."""

    def failed(self, database: Database, material_ids: Sequence[str]) -> dict[str, str]:
        """Return the key of what failed of materials whose best method so far failed."""


def first_tier(maker: Launchable) -> ScreenBatchMaker:
    """Return the Maker of the batches with which a flow begins.

    Raises
    ------
    SettingError
        If it has none.
    """
    if isinstance(maker, ScreenBatchMaker):
        return maker
    if isinstance(found := getattr(maker, "batch_maker", None), ScreenBatchMaker):
        return found
    raise SettingError(
        f"{type(maker).__name__} screens no batches, so nobody knows what is done",
        subject="maker",
        hint="Use ScreenMaker, or a Maker with a ScreenBatchMaker as batch_maker",
    )


def purpose_of(maker: Launchable) -> str:
    """Return the digest of what a Maker does beyond the predictions of its first tier."""
    if isinstance(maker, ScreenMaker | ScreenBatchMaker):
        return _PLAIN  # the prediction's key says the rest
    return digest_of(_essence(maker.as_dict()))


def _essence(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _essence(item) for k, item in value.items() if k not in _UNIMPORTANT}
    return [_essence(item) for item in value] if isinstance(value, list | tuple) else value


def select(
    database: Database,
    material_ids: Sequence[str],
    maker: Launchable,
    launched: Iterable[LaunchDocument],
    *,
    patience_seconds: float = 0.0,
) -> Selection:
    """Find out what is left to submit.

    Parameters
    ----------
    database
        Where the results are.
    material_ids
        What is asked for, without duplicates.
    maker
        What is to be computed.
    launched
        Launches that still go on.
    patience_seconds
        How long to watch whether claims of other hosts are renewed.
    """
    keys, done, failed = _left(database, material_ids, maker)
    queued = _queued(keys, maker, launched)
    held = database.claims.held(keys.values(), patience_seconds=patience_seconds)
    held |= reserved(database, keys.values())
    return Selection(
        pending={name: key for name, key in keys.items() if key not in queued | held},
        done=done,
        failed=failed,
        running=tuple(name for name, key in keys.items() if key in held),
        waiting=tuple(name for name, key in keys.items() if key in queued - held),
    )


def _queued(
    keys: Mapping[str, str], maker: Launchable, launched: Iterable[LaunchDocument]
) -> set[str]:
    """Return the keys that launches which go on will see to.

    All plain screens have one purpose, and are told apart by the keys of their predictions. Any
    other flow goes from one prediction of a material to the next, so the material counts.
    """
    purpose = purpose_of(maker)
    same = [one for one in launched if one.purpose == purpose]
    if purpose == _PLAIN:
        known = {key for one in same for key in one.keys}
        return known & set(keys.values())
    names = {name for one in same for name in one.material_ids}
    return {key for name, key in keys.items() if name in names}


def _left(
    database: Database, material_ids: Sequence[str], maker: Launchable
) -> tuple[dict[str, str], tuple[str, ...], tuple[str, ...]]:
    """Return keys of what is left to do, the materials that are done, and those that failed."""
    if isinstance(maker, Planner):
        keys = maker.pending(database, material_ids)
        settled = [name for name in material_ids if name not in keys]
        failed = maker.failed(database, settled)
        return keys, tuple(name for name in settled if name not in failed), tuple(failed)
    first = first_tier(maker)
    predictor = cached_predictor(first.calculator, first.settings)
    work = work_list(database, material_ids, predictor)
    by_outcome: dict[Outcome, list[str]] = {outcome: [] for outcome in Outcome}
    for event in work.settled:
        by_outcome[event.outcome].append(event.material_id)
    return (
        prediction_keys(database, work.pending, predictor),
        tuple(by_outcome[Outcome.ALREADY_DONE]),
        tuple(by_outcome[Outcome.FAILED_BEFORE]),
    )
