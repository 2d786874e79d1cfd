"""How the training of a potential went, epoch after epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.plots.style import (
    COLOURS,
    EXCLUDED_COLOUR,
    FONT_SIZE_POINTS,
    fitted,
    new_figure,
    polish,
)
from screening.errors import SettingError
from screening.units import EV_TO_MEV

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_training_history"]

_PANEL_INCH = 3.4
_MANY_FOLD = 10.0  # from which on axes are logarithmic


@dataclass(frozen=True)
class _Line:
    """A score of the history, what it is called, and its look."""

    key: str
    label: str
    colour: str
    style: str = "-"
    factor: float = 1.0


@dataclass(frozen=True)
class _Panel:
    title: str
    y_label: str
    lines: tuple[_Line, ...]


_PANELS = (
    _Panel("Loss", "Loss of training", (_Line("loss", "trained on", COLOURS[0]),)),
    _Panel(
        "Forces",
        "MAE (meV/Å)",
        (
            _Line("train_forces_mae", "trained on", COLOURS[0], factor=EV_TO_MEV),
            _Line("forces_mae", "held out", COLOURS[1], factor=EV_TO_MEV),
            _Line("zero_forces_mae", "zero forces", EXCLUDED_COLOUR, ":", EV_TO_MEV),
        ),
    ),
    _Panel(
        "Curvature",
        "Relative error of odd forces",
        (_Line("relative_hessian", "held out", COLOURS[1]),),
    ),
)


def plot_training_history(history: Sequence[Mapping[str, float]], *, title: str = "") -> Figure:
    """Draw the loss, the errors of forces and those of curvatures against the epoch.

    Errors of held-out cells are by the mean weights after each epoch, those of cells trained on
    by the weights of each step. Panels without values are left out.

    Parameters
    ----------
    history
        Scores after each epoch, as the card of a potential keeps them.
    title
        See `figure_title`.

    Raises
    ------
    SettingError
        If there is nothing to draw.
    """
    panels = [one for one in _PANELS if any(_points(history, line)[0] for line in one.lines)]
    if not panels:
        raise SettingError(
            "the card keeps no history", subject="history", hint="Train the potential again"
        )
    width = _PANEL_INCH * len(panels) + 0.4
    figure = new_figure(width, _PANEL_INCH)
    if title:
        figure.suptitle(fitted(title, width), fontsize=FONT_SIZE_POINTS + 1.5)
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw(axes, panel, history)
    return figure


def _points(history: Sequence[Mapping[str, float]], line: _Line) -> tuple[list[float], list[float]]:
    """Epochs that have a score, and the score."""
    known = [one for one in history if one.get(line.key) is not None]
    return [one["epoch"] for one in known], [line.factor * one[line.key] for one in known]


def _draw(axes: Axes, panel: _Panel, history: Sequence[Mapping[str, float]]) -> None:
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, ScalarFormatter

    lowest = []
    for line in panel.lines:
        epochs, values = _points(history, line)
        if not epochs:
            continue
        marker = "o" if len(epochs) == 1 and line.style == "-" else ""
        axes.plot(
            epochs, values, color=line.colour, linestyle=line.style, marker=marker,
            label=line.label,
        )  # fmt: skip
        lowest += values
    if max(lowest) < _MANY_FOLD * min(lowest):
        axes.set_ylim(0.0, 1.05 * max(lowest))
    elif min(lowest) > 0.0:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(panel.title, fontsize=FONT_SIZE_POINTS)
    axes.grid(color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)
    polish(axes, x_label="Epoch", y_label=panel.y_label)
    if len(panel.lines) > 1:
        axes.legend(fontsize=FONT_SIZE_POINTS - 1, frameon=False)
