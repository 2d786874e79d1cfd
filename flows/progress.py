"""Progress on a terminal: a bar, and in a screen a line for each material that ends."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from flows.events import MaterialEvent, Outcome
from flows.ladder import Step
from flows.local import Crew, limit_threads
from flows.makers.batch import ScreenBatchMaker
from flows.routing import RoutingReport, Work, route
from flows.run import ScreenReport, screen

__all__ = ["ScreenProgress", "StageProgress", "route_with_progress", "screen_with_progress"]

_SILENT_S = 10.0  # without a line on a pipe
_STYLES = {"stable": "green", "unstable": "red", "undetermined": "yellow"}


class _Shown:
    """A bar that is shown while its context lasts."""

    _bar: Progress

    def __enter__(self) -> Self:
        """Start the bar."""
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the bar as it stands."""
        self._bar.stop()


class ScreenProgress(_Shown):
    """Shows events as they come; on a pipe it prints lines and no bar.

    Parameters
    ----------
    total
        Number of materials of the run.
    console
        Where to show; progress belongs on standard error, results on standard output.
    """

    def __init__(self, total: int, console: Console) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[counts]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._console = console
        self._task = self._bar.add_task("screening", total=total, counts="")
        self._outcomes: dict[str, Outcome] = {}

    def begin(self, what: str, total: int) -> None:
        """Begin anew with a number of materials, under another heading."""
        self._outcomes.clear()
        self._bar.update(self._task, description=what, total=total, completed=0, counts="")
        self._console.print(f"{what}: {total} materials", markup=False, highlight=False)

    def __call__(self, event: MaterialEvent) -> None:
        """Show one event."""
        if event.outcome is Outcome.STARTED:
            return
        self._outcomes[event.material_id] = event.outcome  # the last word counts, and once
        line = _line(event)
        if line is not None:
            self._console.print(line)
        n_failed = sum(outcome is Outcome.FAILED for outcome in self._outcomes.values())
        counts = f"{n_failed} failed" if n_failed else ""
        self._bar.update(self._task, completed=len(self._outcomes), counts=counts)


def _line(event: MaterialEvent) -> Text | None:
    """One line for what was done now; what was done before needs none."""
    if event.outcome is Outcome.COMPUTED:
        return Text.assemble(
            f"{event.formula:<12} {event.material_id}  ",
            (f"{event.detail:<12}", _STYLES.get(event.detail, "")),
            f" {event.wall_seconds:6.1f} s",
        )
    if event.outcome is Outcome.FAILED:
        return Text.assemble(
            f"{event.formula:<12} {event.material_id}  ", ("failed  ", "red"), event.detail
        )
    return None


class StageProgress(_Shown):
    """Shows how far work in stages is; on a pipe it prints lines now and then.

    Parameters
    ----------
    console
        Where to show.
    unit
        What is counted, for the rate; empty shows none.
    """

    def __init__(self, console: Console, unit: str = "") -> None:
        rate = (TextColumn("{task.fields[rate]}"),) if unit else ()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            *rate,
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._console, self._unit, self._stage = console, unit, ""
        self._printed = 0.0
        self._task = self._bar.add_task("", total=None, rate="", note="")

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        """Show how much of a stage is done."""
        if stage != self._stage:
            self._stage = stage
            self._bar.reset(self._task, description=stage, total=total, rate="", note="")
            self._print(f"{stage}: {total}")
        elif time.monotonic() - self._printed > _SILENT_S:
            self._print(f"{stage}: {done} of {total}")
        speed = self._bar.tasks[0].speed
        rate = f"{speed:.0f} {self._unit}/s" if speed else ""
        self._bar.update(self._task, completed=done, total=total, rate=rate, note=note)

    def _print(self, line: str) -> None:
        """Print a line where there is no bar."""
        self._printed = time.monotonic()
        if not self._console.is_terminal:
            self._console.print(line, markup=False, highlight=False)


def screen_with_progress(
    database_uri: str,
    names: Sequence[str],
    maker: ScreenBatchMaker,
    crew: Crew,
    console: Console,
) -> ScreenReport:
    """Run a screen under a progress bar; see :func:`flows.run.screen`."""
    limit_threads(1)
    with ScreenProgress(len(names), console) as progress:
        return screen(database_uri, names, maker, crew=crew, listener=progress)


def route_with_progress(
    database_uri: str,
    names: Sequence[str],
    work: Work,
    crews: tuple[Crew, Crew],
    console: Console,
) -> RoutingReport:
    """Run a routed screen under a progress bar; see :func:`flows.routing.route`.

    The crews are those of the cheapest method and of the better ones.
    """
    limit_threads(1)
    with ScreenProgress(len(names), console) as progress:

        def announce(step: Step, total: int) -> None:
            progress.begin(f"tier {step.tier}, {step.name}", total)

        return route(
            database_uri,
            names,
            work,
            crew=crews[0],
            better_crew=crews[1],
            listener=progress,
            announce=announce,
        )
