"""A whole screen in one picture: lowest phase against temperature, or small rankings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from flows.plots.ranking import RankingView, draw_ranking, phase_colour
from flows.plots.style import FONT_SIZE_POINTS, formula_text, new_figure, polish
from screening.errors import SettingError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_overview", "plot_rankings"]

ROW_HEIGHT_INCH = 0.36
BAR_HEIGHT = 0.72
LONGEST_NOTE = 44
LONE_COLOUR = "#BFD9EA"
ROOM_PER_LETTER = 0.015  # of the axis: shorter bars stay without a name


def plot_overview(views: Sequence[RankingView], *, title: str = "") -> Figure:
    """Draw, for every composition, the phase of lowest free energy against temperature.

    Hatched stretches have another phase within the tie limit: there the order is not decided.
    Pale bars have a single phase to order; where there is none, the row says so. What
    experiment says stands at the right where it is known.

    Parameters
    ----------
    views
        Rankings, one row each, from top to bottom.
    title
        Heading.

    Raises
    ------
    SettingError
        If no composition has an ordered phase.
    """
    if not any(view.phases for view in views):
        raise SettingError("no composition has an ordered phase", subject="plot")
    width_inch = 8.6 if any(view.experiment for view in views) else 7.2
    figure = new_figure(width_inch, 1.2 + ROW_HEIGHT_INCH * len(views))
    axes = figure.subplots()
    if title:
        figure.suptitle(title, fontsize=FONT_SIZE_POINTS + 1.5)
    axes.set_xlim(0.0, max(float(view.temperatures_k[-1]) for view in views if view.phases))
    axes.set_ylim(len(views) - 0.5, -0.5)
    for row, view in enumerate(views):
        _draw_row(axes, row, view)
        _write_experiment(axes, row, _shortened(view.experiment))
    polish(axes, x_label="Temperature (K)")
    axes.set_yticks(range(len(views)), [_row_name(view) for view in views])
    axes.tick_params(axis="y", length=0, labelsize=FONT_SIZE_POINTS)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    _explain(axes, views)
    if any(_row_name(view).endswith("*") for view in views):
        figure.supxlabel(
            "* further phases are known and cannot be ordered",
            fontsize=FONT_SIZE_POINTS - 1,
            color="0.35",
            x=0.01,
            ha="left",
        )
    return figure


def plot_rankings(views: Sequence[RankingView], *, columns: int = 2, title: str = "") -> Figure:
    """Draw the rankings of several compositions as small multiples.

    Raises
    ------
    SettingError
        If there is nothing to draw.
    """
    if not views:
        raise SettingError("no composition to draw", subject="plot")
    columns = min(columns, len(views))
    rows = -(-len(views) // columns)
    figure = new_figure(4.1 * columns, 2.4 * rows + 0.4)
    grid = figure.subplots(rows, columns, squeeze=False)
    if title:
        figure.suptitle(title, fontsize=FONT_SIZE_POINTS + 1.5)
    for number, axes in enumerate(grid.flat):
        if number >= len(views):
            axes.set_visible(False)
            continue
        view = views[number]
        draw_ranking(axes, view, label_size=FONT_SIZE_POINTS - 1)
        polish(axes)
        missing = f"  ({len(view.excluded)} not ordered)" if view.excluded else ""
        axes.set_title(f"{formula_text(view.formula)}{missing}", fontsize=FONT_SIZE_POINTS)
    figure.supxlabel("Temperature (K)", fontsize=FONT_SIZE_POINTS)
    figure.supylabel("Free energy against the reference (meV/atom)", fontsize=FONT_SIZE_POINTS)
    return figure


def _row_name(view: RankingView) -> str:
    """Write the formula, with a star where the row hides phases that cannot be ordered."""
    return formula_text(view.formula) + ("*" if len(view.phases) > 1 and view.excluded else "")


def _draw_row(axes: Axes, row: int, view: RankingView) -> None:
    """One bar per stretch of temperature with the same lowest phase."""
    n_known = len(view.phases) + len(view.excluded)
    if not view.phases:
        _write(axes, row, 0.5 * axes.get_xlim()[1], f"none of {n_known} can be ordered", "0.4")
        return
    temperatures = np.asarray(view.temperatures_k)
    curves = np.array([phase.relative_free_energy_mev_per_atom for phase in view.phases])
    lowest = np.argmin(curves, axis=0)
    for first, last in _runs(lowest):
        number = int(lowest[first])
        label = view.phases[number].label
        if len(view.phases) == 1 and n_known > 1:
            label = f"{label}: the only one of {n_known} that can be ordered"
        stretch = (_boundary(view, temperatures, first), _boundary(view, temperatures, last + 1))
        _draw_bar(axes, row, stretch, label, number, lone=len(view.phases) == 1)
    tied = np.sum(curves < curves.min(axis=0) + view.tie_mev_per_atom, axis=0) > 1
    for first, last in _runs(tied):
        if tied[first]:
            _hatch(axes, row, float(temperatures[first]), float(temperatures[last]))


def _draw_bar(
    axes: Axes, row: int, stretch: tuple[float, float], label: str, number: int, *, lone: bool
) -> None:
    """Draw one bar and name the phase inside it, where the bar is long enough."""
    begin, end = stretch
    colour = LONE_COLOUR if lone else phase_colour(number)
    axes.barh(row, end - begin, left=begin, height=BAR_HEIGHT, color=colour)
    if (end - begin) / axes.get_xlim()[1] >= ROOM_PER_LETTER * len(label):
        dark = lone or number in {1, 4}
        _write(axes, row, 0.5 * (begin + end), label, "black" if dark else "white", colour)


def _write(
    axes: Axes, row: int, place: float, text: str, colour: str, ground: str = "white"
) -> None:
    axes.text(
        place,
        row,
        text,
        ha="center",
        va="center",
        fontsize=FONT_SIZE_POINTS - 1,
        color=colour,
        bbox={"facecolor": ground, "linewidth": 0.0, "pad": 1.2},
        zorder=4,
    )


def _shortened(text: str) -> str:
    """Keep as many whole clauses as fit beside a row."""
    clauses = text.split("; ")
    kept = clauses[0]
    for clause in clauses[1:]:
        if len(kept) + len(clause) > LONGEST_NOTE:
            return f"{kept}; …"
        kept += f"; {clause}"
    return kept


def _write_experiment(axes: Axes, row: int, text: str) -> None:
    """Write beside the row, right of the axes."""
    axes.annotate(
        text,
        (1.0, row),
        xycoords=("axes fraction", "data"),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        fontsize=FONT_SIZE_POINTS - 1.5,
        color="0.3",
        annotation_clip=False,
    )


def _runs(values: np.ndarray) -> list[tuple[int, int]]:
    """First and last index of every run of equal values."""
    breaks = np.flatnonzero(np.diff(values)) + 1
    starts = [0, *breaks.tolist()]
    return list(zip(starts, [start - 1 for start in [*starts[1:], len(values)]], strict=True))


def _boundary(view: RankingView, temperatures: np.ndarray, index: int) -> float:
    """Temperature where a stretch begins: the interpolated transition where there is one."""
    if index == 0:
        return float(temperatures[0])
    if index == len(temperatures):
        return float(temperatures[-1])
    low, high = float(temperatures[index - 1]), float(temperatures[index])
    for temperature_k, _, _ in view.transitions:
        if low <= temperature_k <= high:
            return temperature_k
    return 0.5 * (low + high)


def _hatch(axes: Axes, row: int, begin: float, end: float) -> None:
    axes.barh(
        row,
        end - begin,
        left=begin,
        height=BAR_HEIGHT,
        facecolor="none",
        edgecolor=(1.0, 1.0, 1.0, 0.45),
        hatch="////",
        linewidth=0.0,
        zorder=3,
    )


def _explain(axes: Axes, views: Sequence[RankingView]) -> None:
    """Legend of the hatching, and the heading of the column with experiments."""
    from matplotlib.patches import Patch

    tie = views[0].tie_mev_per_atom
    patch = Patch(facecolor="0.45", edgecolor="white", hatch="////", linewidth=0.0)
    axes.legend(
        [patch],
        [f"another phase within {tie:g} meV/atom: order not decided"],
        frameon=False,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        fontsize=FONT_SIZE_POINTS - 1,
        borderaxespad=0.2,
    )
    if any(view.experiment for view in views):
        axes.annotate(
            "experiment",
            (1.0, 1.0),
            xycoords="axes fraction",
            xytext=(6, 3),
            textcoords="offset points",
            fontsize=FONT_SIZE_POINTS - 1,
            annotation_clip=False,
        )
