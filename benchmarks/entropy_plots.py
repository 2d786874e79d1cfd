"""Pictures: predicted against exact entropies, and time and memory against the number of atoms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flows.plots.style import COLOURS, new_figure, polish, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_entropy", "draw_scale"]

_PANEL_INCH = (3.1, 2.9)
_COLUMNS = 3


def draw_entropy(details: Mapping[str, Any], folder: Path) -> Path:
    """Draw predicted against exact entropies of every test, with intervals.

    Parameters
    ----------
    details
        As ``descriptor_models_entropy.entropy_figures`` returns them.
    folder
        Where the picture goes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    panels = list(_panels(details))
    rows = -(-len(panels) // _COLUMNS)
    figure = new_figure(_COLUMNS * _PANEL_INCH[0], rows * _PANEL_INCH[1])
    for place, (title, scores) in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, _COLUMNS, place)
        _draw_pairs(axes, scores)
        axes.set_title(title, fontsize=7.5)
        polish(axes, x_label="exact less its mean (k_B)", y_label="predicted (k_B)")
    return save_figure(figure, folder / "descriptor_models_entropy.png")


def _panels(details: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Title and scores of every test; of clusters the first split."""
    found = []
    for name, one in details.items():
        if isinstance(one, Sequence):
            found.append((name, one[0]))
        elif name != "paper_rmse_boltzmann":
            found += [(f"{name},\n{test}", scores) for test, scores in one.items()]
    return found


def _draw_pairs(axes: Axes, scores: Mapping[str, Any]) -> None:
    reference, predicted = np.array(scores["reference"]), np.array(scores["predicted"])
    widths = np.array(scores["half_width"])
    centre = reference.mean()
    for chosen, colour, label in (
        (widths > 0.0, COLOURS[0], "with 90 % interval"),
        (widths == 0.0, COLOURS[1], "refused as novel"),
    ):
        if chosen.any():
            axes.errorbar(
                (reference - centre)[chosen],
                (predicted - centre)[chosen],
                yerr=widths[chosen],
                fmt="o",
                ms=2.0,
                elinewidth=0.5,
                color=colour,
                label=label,
            )
    ends = [(reference - centre).min(), (reference - centre).max()]
    axes.plot(ends, ends, color="#888888", lw=0.8)
    axes.text(0.04, 0.9, f"RMSE {scores['rmse']:.2f}", transform=axes.transAxes, fontsize=8)
    axes.legend(fontsize=6.5, frameon=False, loc="lower right")


def draw_scale(details: Mapping[str, Any], folder: Path) -> Path:
    """Draw time and memory against the number of atoms, beside what is replaced.

    Parameters
    ----------
    details
        As ``descriptor_models_scale.scale_figures`` returns them.
    folder
        Where the picture goes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    figure = new_figure(2 * _PANEL_INCH[0] + 1.0, _PANEL_INCH[1] + 0.3)
    curve, dense = details["curve"], details["dense"]
    axes = figure.add_subplot(1, 2, 1)
    _draw_curve(axes, curve, "seconds", COLOURS[0], "o-", "descriptors, 2 threads")
    _draw_curve(axes, dense, "cpu_s", COLOURS[4], "s-", "descriptors, 1 thread")
    _draw_curve(axes, dense, "diagonalisation_s", COLOURS[1], "^-", "dense diagonalisation")
    _draw_curve(axes, dense, "finite_differences_s", COLOURS[3], "v-", "Hessian by 6N LJ forces")
    _draw_curve(axes, dense, "cholesky_s", COLOURS[2], "D-", "Cholesky factor")
    polish(axes, x_label="atoms", y_label="time (s)")
    axes.legend(fontsize=6.5, frameon=False)
    axes = figure.add_subplot(1, 2, 2)
    _draw_curve(axes, curve, "peak_mb", COLOURS[0], "o-", "whole process")
    axes.set_yscale("linear")
    axes.set_ylim(bottom=0.0)
    polish(axes, x_label="atoms", y_label="peak memory (MB)")
    axes.legend(fontsize=6.5, frameon=False)
    return save_figure(figure, folder / "descriptor_models_scale.png")


def _draw_curve(
    axes: Axes,
    points: Sequence[Mapping[str, float]],
    field: str,
    colour: str,
    style: str,
    label: str,
) -> None:  # fmt: skip
    axes.loglog(
        [one["atoms"] for one in points],
        [one[field] for one in points],
        style,
        color=colour,
        ms=3.5,
        lw=1.2,
        label=label,
    )
