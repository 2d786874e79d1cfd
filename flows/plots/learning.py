"""Learning curves: what more displaced cells bring, as a picture and as a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flows.plots.style import COLOURS, FONT_SIZE_POINTS, new_figure, polish
from screening.errors import SettingError
from screening.units import EV_TO_MEV

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from screening.gaussian_process.learning import LearningCurve, LearningPoint

__all__ = ["learning_table", "plot_learning"]

_SMALL = FONT_SIZE_POINTS - 1
_ROUNDING = 1e-16
"""What is smaller in absolute value, zero too, is drawn here: a logarithmic axis has no zero."""

_LOOKS = {
    "symmetry_adapted": ("symmetry-adapted (default)", COLOURS[0], "o", "-"),
    "symmetrised_kernel": ("RBF averaged over the space group", COLOURS[2], "s", "-."),
    "derivative_kernel": ("RBF without symmetry (published)", COLOURS[1], "^", "--"),
}


@dataclass(frozen=True)
class _Panel:
    """One measure: its name, axis and values."""

    title: str
    label: str
    value: Callable[[LearningPoint], float | None]


_PANELS = (
    _Panel(
        "Second order: error", "Relative error (%)", lambda one: 100.0 * one.second_order_change
    ),
    _Panel(
        "Third order: error",
        "Relative error (%)",
        lambda one: None if one.third_order_change is None else 100.0 * one.third_order_change,
    ),
    _Panel(
        "Forces of held-out cells",
        "RMS error (meV/Å)",
        lambda one: EV_TO_MEV * one.force_error_ev_per_angstrom,
    ),
    _Panel(
        "Second order: acoustic sum rule",
        "Largest violation (eV/Å$^2$)",
        lambda one: max(one.second_order_sum_rule_ev_per_angstrom2, _ROUNDING),
    ),
    _Panel(
        "Third order: acoustic sum rule",
        "Largest violation (eV/Å$^3$)",
        lambda one: (
            None
            if one.third_order_sum_rule_ev_per_angstrom3 is None
            else max(one.third_order_sum_rule_ev_per_angstrom3, _ROUNDING)
        ),
    ),
)
_FORCE_PANEL = 2


def plot_learning(curve: LearningCurve, *, title: str = "") -> Figure:
    """Draw errors and violations of the sum rules against the number of displaced cells.

    Lines join the medians over draws of the cells, bands reach from the best draw to the worst.
    All axes are logarithmic.

    Parameters
    ----------
    curve
        Fits with different numbers of cells.
    title
        See `figure_title`.

    Raises
    ------
    SettingError
        If there is nothing to draw.
    """
    if not curve.points:
        raise SettingError("no fit to draw", subject="curve", hint="Give numbers of cells to fit")
    figure = new_figure(9.6, 5.2)
    grid = figure.subplots(2, 3).ravel()
    if title:
        figure.suptitle(title, fontsize=FONT_SIZE_POINTS + 1.5)
    for axes, panel in zip(grid, _PANELS, strict=False):
        _draw_panel(axes, curve, panel)
    trivial = EV_TO_MEV * curve.force_ev_per_angstrom
    grid[_FORCE_PANEL].axhline(trivial, color="0.35", linewidth=0.9, linestyle=":")
    _draw_legend(grid[-1], grid[0], curve)
    return figure


def learning_table(curve: LearningCurve) -> list[dict[str, object]]:
    """Return one flat row for every fit, units in the names."""
    return [
        {
            "method": str(one.method),
            "n_cells": one.n_cells,
            "cells": list(one.cells),
            "second_order_relative_error": one.second_order_change,
            "third_order_relative_error": one.third_order_change,
            "second_order_sum_rule_ev_per_angstrom2": one.second_order_sum_rule_ev_per_angstrom2,
            "third_order_sum_rule_ev_per_angstrom3": one.third_order_sum_rule_ev_per_angstrom3,
            "held_out_force_error_ev_per_angstrom": one.force_error_ev_per_angstrom,
        }
        for one in curve.points
    ]


def _draw_panel(axes: Axes, curve: LearningCurve, panel: _Panel) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator

    for method in dict.fromkeys(one.method for one in curve.points):
        name, colour, marker, style = _look(method)
        counts, draws = _draws(curve, str(method), panel)
        if not counts:
            continue
        middle = [float(np.median(one)) for one in draws]
        axes.plot(
            counts,
            middle,
            color=colour,
            marker=marker,
            linestyle=style,
            linewidth=1.4,
            markersize=4,
            label=name,
        )
        lowest, highest = [min(one) for one in draws], [max(one) for one in draws]
        axes.fill_between(counts, lowest, highest, color=colour, alpha=0.2, linewidth=0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    every = sorted({one.n_cells for one in curve.points})
    axes.xaxis.set_major_locator(FixedLocator(every))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_title(panel.title, fontsize=FONT_SIZE_POINTS)
    axes.grid(color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)
    polish(axes, x_label="Displaced cells", y_label=panel.label)


def _draws(curve: LearningCurve, method: str, panel: _Panel) -> tuple[list[int], list[list[float]]]:
    """Numbers of cells of a method, and the values of all draws of each."""
    found: dict[int, list[float]] = {}
    for one in curve.points:
        value = panel.value(one)
        if str(one.method) == method and value is not None:
            found.setdefault(one.n_cells, []).append(value)
    counts = sorted(found)
    return counts, [found[count] for count in counts]


def _look(method: str) -> tuple[str, str, str, str]:
    return _LOOKS.get(str(method), (str(method).replace("_", " "), COLOURS[3], "D", ":"))


def _draw_legend(axes: Axes, drawn: Axes, curve: LearningCurve) -> None:
    """Names of the lines, and how the numbers were made, in a panel of its own."""
    axes.set_axis_off()
    handles, labels = drawn.get_legend_handles_labels()
    axes.legend(handles, labels, frameon=False, fontsize=FONT_SIZE_POINTS, loc="upper left")
    n_draws = max(len(curve.of(one.method, one.n_cells)) for one in curve.points)
    lines = [
        f"Held out: {len(curve.held_out)} cells.",
        "Dotted: root mean square of their forces.",
        "Errors of force constants: difference from\nthe reference over its norm.",
    ]
    if n_draws > 1:
        lines.append(f"Lines: medians of {n_draws} draws of the cells;\nbands: best to worst.")
    axes.text(
        0.02,
        0.5,
        "\n".join(lines),
        transform=axes.transAxes,
        va="top",
        fontsize=_SMALL,
        color="0.3",
    )
