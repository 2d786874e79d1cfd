"""What happens to each material, told to whoever listens.

Jobs must be serialisable, so a callback cannot be their argument; the listener of the
process (a progress bar, a queue to the parent process) is set around the run instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["LABELLING", "Listener", "MaterialEvent", "Outcome", "emit", "listening"]

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
