"""What happens to each material, told to whoever listens.

Jobs must be serialisable, so a callback cannot be their argument; the listener of the
process (a progress bar, a queue to the parent process) is set around the run instead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

__all__ = [
    "LABELLING",
    "Listener",
    "MaterialEvent",
    "Outcome",
    "batch_report",
    "emit",
    "listening",
]

LABELLING = "label"
"""Stage of failures that concern cells to train on, and no prediction."""


class Outcome(StrEnum):
    """What became of one material in one run."""

    STARTED = "started"
    COMPUTED = "computed"
    ALREADY_DONE = "already_done"
    BUSY_ELSEWHERE = "busy_elsewhere"
    FAILED = "failed"
    FAILED_BEFORE = "failed_before"


@dataclass(frozen=True)
class MaterialEvent:
    """One step of one material.

    Attributes
    ----------
    material_id, formula
        Which material.
    outcome
        What happened.
    wall_seconds
        Time since it was started, zero for skipped ones.
    detail
        The verdict of a computed material, the error code and message of a failed one.
    """

    material_id: str
    formula: str
    outcome: Outcome
    wall_seconds: float = 0.0
    detail: str = ""


Listener = Callable[[MaterialEvent], None]

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


def batch_report(events: Mapping[str, MaterialEvent]) -> dict[str, Any]:
    """Tell, as plain JSON, what became of a batch.

    Returns
    -------
    dict
        Number of materials per outcome, what became of each, and the wall time of the work.
    """
    return {
        "outcomes": dict(Counter(event.outcome.value for event in events.values())),
        "materials": {
            name: {"outcome": event.outcome.value, "detail": event.detail}
            for name, event in events.items()
        },
        "wall_seconds": sum(event.wall_seconds for event in events.values()),
    }


def emit(event: MaterialEvent) -> None:
    """Tell the listener of this process, if there is one."""
    listener = _listener.get()
    if listener is not None:
        listener(event)


@contextmanager
def listening(listener: Listener | None) -> Iterator[None]:
    """Send the events of this context to a listener."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
