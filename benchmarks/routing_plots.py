"""Pictures of the curves: what is sent to DFT against what is wrong or undecided."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from routing_curves import Curve

from flows.plots.style import COLOURS, LINE_STYLES, new_figure, polish, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_curves"]

_PANEL_INCH = (3.4, 3.1)
_MARKED_ALPHA = 0.1
_MARKS = {"never": "v", "always": "^"}


def draw_curves(curves: Sequence[Curve], folder: Path) -> list[Path]:
    """Draw one picture per kind of question, one panel per question.

    Parameters
    ----------
    curves
        Those of one question behind each other.
    folder
        Made where it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    panels = [(name, list(own)) for name, own in groupby(curves, key=lambda one: one.question)]
    pictures = []
    for kind, group in groupby(panels, key=lambda panel: panel[0].split()[0]):
        chosen = list(group)
        figure = new_figure(_PANEL_INCH[0] * len(chosen), _PANEL_INCH[1] + 0.9)
        for place, (name, own) in enumerate(chosen, start=1):
            _draw(figure.add_subplot(1, len(chosen), place), name, own)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", fontsize=7.5, frameon=False,
                      ncols=2 if len(chosen) > 1 else 1)  # fmt: skip
        safe = "".join(x if x.isalnum() else "_" for x in kind)
        pictures.append(save_figure(figure, folder / f"routing_{safe}.png"))
    return pictures


def _draw(axes: Axes, name: str, curves: Sequence[Curve]) -> None:
    """Draw the policies of one question; a dot where alpha is 0.1."""
    for place, curve in enumerate(curves):
        sent = [point.sent for point in curve.points]
        error = [point.error for point in curve.points]
        colour = COLOURS[place % len(COLOURS)]
        if curve.policy in _MARKS:
            axes.plot(
                sent, error, _MARKS[curve.policy], color=colour, label=curve.policy, clip_on=False
            )
            continue
        style = LINE_STYLES[place % len(LINE_STYLES)]
        axes.plot(sent, error, style, color=colour, lw=1.4, label=curve.policy)
        marked = [point for point in curve.points if point.setting == _MARKED_ALPHA]
        if curve.policy == "policy":
            label = f"policy at alpha {_MARKED_ALPHA:g}"
            axes.plot(
                [point.sent for point in marked],
                [point.error for point in marked],
                "o",
                color=colour,
                label=label,
                clip_on=False,
            )
    axes.axhline(_MARKED_ALPHA, color="#999999", lw=0.7)
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(bottom=0.0)
    axes.set_title(name, fontsize=9)
    polish(axes, x_label="fraction sent to DFT", y_label="fraction wrong or undecided")
