"""Intervals and what was decided on them: one row for every crystal or pair of polymorphs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.plots.style import (
    COLOURS,
    FONT_SIZE_POINTS,
    IMAGINARY_COLOUR,
    new_figure,
    polish,
)
from screening.errors import SettingError

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["IntervalRow", "IntervalView", "plot_intervals"]

MOST_ROWS = 40
BAND_COLOUR = "#E4E4E4"
TOLERANCE_COLOUR = "#DCE9F2"
BAR_HEIGHT = 0.62
OUTCOMES = {
    "accept": (COLOURS[2], "o", "accepted"),
    "escalate": (COLOURS[1], "s", "sent to the better method"),
    "reject": (IMAGINARY_COLOUR, "X", "left open"),
}
"""Colour, a second mark for grey prints, and words of every outcome."""

_LEAST_SPAN = 1e-9


@dataclass(frozen=True)
class IntervalRow:
    """One crystal, or one pair of polymorphs.

    Attributes
    ----------
    name
        For the reader.
    outcome
        accept, escalate or reject: what the interval of the cheap method led to.
    value, lower, upper
        Corrected value with its interval in the unit of the view, infinite where nothing is
        calibrated; None where the cheap method gave no value.
    raw
        Value of the cheap method as it comes; None where there is none.
    better
        Value of the better method; None where it was not asked or gave none.
    """

    name: str
    outcome: str
    value: float | None
    lower: float = -math.inf
    upper: float = math.inf
    raw: float | None = None
    better: float | None = None

    @property
    def ends(self) -> list[float]:
        """All finite numbers of the row."""
        known = (self.value, self.lower, self.upper, self.raw, self.better)
        return [one for one in known if one is not None and math.isfinite(one)]


@dataclass(frozen=True)
class IntervalView:
    """What a picture of decisions shows.

    Attributes
    ----------
    question
        For the title.
    x_label
        Quantity and unit.
    rows
        From top to bottom.
    coverage
        Intended coverage of the intervals; None for a question without intervals.
    tolerance
        Half width that was asked for, in the unit of the axis, or None.
    limits
        Values that decide, with their names: the bound of a filter, the thresholds of a
        verdict, zero for a difference.
    open_band
        Values between which a verdict is left open, or None.
    """

    question: str
    x_label: str
    rows: tuple[IntervalRow, ...]
    coverage: float | None = None
    tolerance: float | None = None
    limits: tuple[tuple[float, str], ...] = ()
    open_band: tuple[float, float] | None = None


def plot_intervals(view: IntervalView, *, title: str = "") -> Figure:
    """Draw values with their intervals, coloured by what was decided.

    Open circles are the cheap method's values as they come, filled marks the corrected ones
    with the interval as a whisker; a dashed line across says that nothing is calibrated. A
    pale bar reaches as far as the tolerance, so that a whisker within its bar is accepted.
    Diamonds are the better method's values, where it was asked.

    Raises
    ------
    SettingError
        If there is no row.
    """
    if not view.rows:
        raise SettingError("nothing to draw: no decisions", hint="Screen with --question first")
    rows = _most_open(view.rows)
    figure = new_figure(7.2, 1.5 + 0.26 * max(len(rows), 2))
    axes = figure.subplots()
    figure.suptitle(title or _title(view, len(rows)), fontsize=FONT_SIZE_POINTS + 1.0)
    axes.set_xlim(*_reach(view, rows))
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="x", color="0.93", linewidth=0.6)
    axes.set_axisbelow(True)
    _draw_limits(axes, view)
    for place, row in enumerate(rows):
        _draw_row(axes, place, row, view.tolerance)
    axes.set_yticks(range(len(rows)), [_row_name(row) for row in rows])
    polish(axes, x_label=view.x_label)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(
        handles=_explanations(view, rows),
        loc="outside lower center",
        ncols=3,
        frameon=False,
        fontsize=FONT_SIZE_POINTS - 1,
        columnspacing=1.4,
        handletextpad=0.5,
    )
    return figure


def _most_open(rows: Sequence[IntervalRow]) -> list[IntervalRow]:
    """Keep as many rows as a page holds: what is not settled first, in the given order."""
    by_need = sorted(range(len(rows)), key=lambda place: rows[place].outcome == "accept")
    return [rows[place] for place in sorted(by_need[:MOST_ROWS])]


def _title(view: IntervalView, n_shown: int) -> str:
    if n_shown == len(view.rows):
        return view.question
    return f"{view.question}  ·  {n_shown} of {len(view.rows)}, what is not settled first"


def _row_name(row: IntervalRow) -> str:
    return row.name if row.value is not None else f"{row.name} (no cheap value)"


def _reach(view: IntervalView, rows: Sequence[IntervalRow]) -> tuple[float, float]:
    """Find the ends of the axis, with room at both."""
    ends = [end for row in rows for end in row.ends] + [limit for limit, _ in view.limits]
    if view.tolerance is not None:
        values = [row.value for row in rows if row.value is not None]
        ends += [value + sign * view.tolerance for value in values for sign in (-1, 1)]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    room = 0.06 * max(high - low, 0.1 * abs(high), _LEAST_SPAN)
    return low - room, high + room


def _draw_limits(axes: Axes, view: IntervalView) -> None:
    """Shade where nothing is decided, and name the values that decide above the axes."""
    if view.open_band is not None:
        low, high = axes.get_xlim()
        first, last = max(view.open_band[0], low), min(view.open_band[1], high)
        axes.axvspan(first, last, color=BAND_COLOUR, linewidth=0.0, zorder=0)
    for value, name in view.limits:
        axes.axvline(value, color="0.35", linewidth=0.9, linestyle="--", zorder=1)
        if name:
            axes.annotate(
                name,
                (value, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(0, 2),
                textcoords="offset points",
                ha="center",
                fontsize=FONT_SIZE_POINTS - 1.5,
                color="0.3",
                annotation_clip=False,
            )


def _draw_row(axes: Axes, place: int, row: IntervalRow, tolerance: float | None) -> None:
    colour, marker, _ = OUTCOMES[row.outcome]
    if row.value is not None:
        if tolerance is not None:
            axes.barh(
                place,
                2 * tolerance,
                left=row.value - tolerance,
                height=BAR_HEIGHT,
                color=TOLERANCE_COLOUR,
                linewidth=0.0,
                zorder=1,
            )
        _draw_whisker(axes, place, row, colour)
        axes.plot(row.value, place, marker, mfc=colour, mec="white", mew=0.7, ms=7.5, zorder=4)
    if row.raw not in {None, row.value}:
        axes.plot(row.raw, place, "o", mfc="white", mec="0.35", markersize=4.5, zorder=5)
    if row.better is not None:
        axes.plot(row.better, place, "D", color="black", markersize=4.5, zorder=6)


def _draw_whisker(axes: Axes, place: int, row: IntervalRow, colour: str) -> None:
    """Draw the interval; an open end runs dashed to the end of the axis."""
    assert row.value is not None
    for end, edge in zip((row.lower, row.upper), axes.get_xlim(), strict=True):
        known = math.isfinite(end)
        axes.plot(
            [row.value, end if known else edge],
            [place, place],
            color=colour,
            linewidth=1.8 if known else 1.2,
            linestyle="-" if known else (0, (2, 2)),
            zorder=3,
        )
        if known and end != row.value:
            axes.plot(end, place, "|", color=colour, markersize=8, markeredgewidth=1.6, zorder=3)


def _explanations(view: IntervalView, rows: Sequence[IntervalRow]) -> list[Artist]:
    """Legend entries of what is drawn, and of nothing else."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    found = {row.outcome for row in rows}
    handles: list[Artist] = [
        Line2D([], [], color=colour, marker=marker, mec="white", mew=0.7, ms=7.5, label=words)
        for outcome, (colour, marker, words) in OUTCOMES.items()
        if outcome in found
    ]
    open_ended = [row for row in rows if row.value is not None and math.inf in _widths(row)]
    if any(row.raw not in {None, row.value} for row in rows):
        handles.append(_mark("o", "cheap method, as it comes", "0.35", is_open=True))
    if any(row.better is not None for row in rows):
        handles.append(_mark("D", "better method", "black"))
    if view.coverage is not None and len(open_ended) < len(rows):
        label = f"{100 * view.coverage:.4g} % interval"
        if any(row.raw not in {None, row.value} for row in rows):
            label += ", corrected for the potential's bias"
        handles.append(Line2D([], [], color="0.3", marker="|", mew=1.6, ms=8, label=label))
    if open_ended:
        dashed = Line2D([], [], color="0.3", linestyle=(0, (2, 2)), label="not calibrated")
        handles.append(dashed)
    if view.tolerance is not None:
        label = f"tolerance ±{view.tolerance:g}"
        handles.append(Patch(facecolor=TOLERANCE_COLOUR, label=label))
    if view.open_band is not None:
        handles.append(Patch(facecolor=BAND_COLOUR, label="verdict left open"))
    return handles


def _widths(row: IntervalRow) -> tuple[float, float]:
    return abs(row.lower), abs(row.upper)


def _mark(marker: str, label: str, colour: str, *, is_open: bool = False) -> Artist:
    from matplotlib.lines import Line2D

    face = "white" if is_open else colour
    return Line2D(
        [], [], marker=marker, linestyle="none", markersize=5, label=label, mfc=face, mec=colour
    )
