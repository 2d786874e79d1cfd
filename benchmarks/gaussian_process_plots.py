"""Pictures: errors against the number of cells, and time against the number of atoms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from gaussian_process_cost import Cost
from gaussian_process_learning import OURS, Learning
from gaussian_process_measures import Measures

from flows.plots.style import COLOURS, LINE_STYLES, new_figure, polish, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_costs", "draw_learning"]

_PANEL_INCH = (3.3, 2.9)
_PANELS = (
    ("fc2_percent", "error of FC2 (%)"),
    ("fc3_percent", "error of FC3 (%)"),
    ("rmse_mev_per_angstrom", "error of held-out forces (meV/Å)"),
)
_MARKERS = ("o", "s", "^", "D", "v", "x")
_SPREAD = 0.12  # of the draws of one number of cells


def draw_learning(found: Learning, folder: Path) -> Path:
    """Draw errors of all methods, and those of conductivities, against the number of cells."""
    folder.mkdir(parents=True, exist_ok=True)
    figure = new_figure(2 * _PANEL_INCH[0], 2 * _PANEL_INCH[1] + 0.6)
    for place, (field, label) in enumerate(_PANELS, start=1):
        axes = figure.add_subplot(2, 2, place)
        _draw_errors(axes, found, field)
        polish(axes, x_label="cells", y_label=label)
        if field == "rmse_mev_per_angstrom":
            _draw_floors(axes, found)
    axes = figure.add_subplot(2, 2, 4)
    _draw_conductivities(axes, found)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    more, more_labels = figure.axes[2].get_legend_handles_labels()
    named = dict(zip([*labels, *more_labels], [*handles, *more], strict=True))
    figure.legend(
        named.values(), named, loc="outside lower center", fontsize=7.5, frameon=False, ncols=4
    )
    figure.suptitle(
        f"{found.case.name} atoms, {found.case.cells.n_cells} cells; bars span the draws",
        fontsize=9,
    )
    safe = "".join(x if x.isalnum() else "_" for x in f"{found.case.name} {found.case.file}")
    return save_figure(figure, folder / f"gaussian_process_{safe}.png")


def _draw_errors(axes: Axes, found: Learning, field: str) -> None:
    for place, method in enumerate(found.methods()):
        points = [(n, _known(found.of(method, n), field)) for n in found.counts_of(method)]
        points = [(n, values) for n, values in points if len(values)]
        if not points:
            continue
        counts = [n for n, _ in points]
        means = np.array([values.mean() for _, values in points])
        ends = np.array([[values.min(), values.max()] for _, values in points]).T
        axes.errorbar(
            counts,
            means,
            yerr=np.abs(ends - means),
            color=COLOURS[place % len(COLOURS)],
            linestyle=LINE_STYLES[place % len(LINE_STYLES)],
            marker=_MARKERS[place % len(_MARKERS)],
            markersize=3.5,
            lw=1.3,
            elinewidth=0.8,
            label=method,
        )
    axes.set_yscale("log")
    _number_of_cells(axes, found)


def _number_of_cells(axes: Axes, found: Learning) -> None:
    longest = max(max(found.counts_of(one), default=1) for one in found.methods())
    ticks = [n for n in (1, 2, 4, 8, 16, 32, 64) if n <= longest]
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [str(n) for n in ticks])


def _draw_floors(axes: Axes, found: Learning) -> None:
    floors = (
        ("noise of the reference", found.noise_mev_per_angstrom, ":"),
        ("best harmonic", found.harmonic_mev_per_angstrom, "--"),
        ("no force at all", found.trivial_mev_per_angstrom, "-."),
    )
    for label, value, style in floors:
        if value is not None:
            axes.axhline(value, color="#888888", lw=0.9, ls=style, label=label)


def _draw_conductivities(axes: Axes, found: Learning) -> None:
    for n_cells in found.counts_of(OURS):
        values = _known(found.of(OURS, n_cells), "kappa_percent")
        shifts = _SPREAD * (np.arange(len(values)) - 0.5 * (len(values) - 1))
        axes.plot(n_cells + shifts, values, "o", color=COLOURS[0], ms=3.5)
        if len(values):
            axes.plot([n_cells - 0.3, n_cells + 0.3], [values.mean()] * 2, color="black", lw=1.2)
    axes.axhline(0.0, color="#888888", lw=0.8)
    axes.set_xticks(found.counts_of(OURS))
    polish(axes, x_label="cells", y_label="error of the conductivity, 300 K (%)")


def _known(measures: Sequence[Measures], field: str) -> np.ndarray:
    values = [getattr(one, field) for one in measures]
    return np.array([x for x in values if x is not None])


def draw_costs(costs: Sequence[Cost], folder: Path) -> Path:
    """Draw time and memory of a fit against the number of atoms."""
    folder.mkdir(parents=True, exist_ok=True)
    figure = new_figure(2 * _PANEL_INCH[0], _PANEL_INCH[1])
    panels = (("seconds", "time of a fit of 4 cells (s)"), ("memory_mb", "memory (MB)"))
    for place, (field, label) in enumerate(panels, start=1):
        axes = figure.add_subplot(1, 2, place)
        for row, cutoff in enumerate(dict.fromkeys(one.cutoff_angstrom for one in costs)):
            own = [one for one in costs if one.cutoff_angstrom == cutoff]
            text = "automatic cutoff" if cutoff is None else f"cutoff {cutoff:g} Å"
            axes.plot(
                [one.n_atoms for one in own],
                [getattr(one, field) for one in own],
                f"{_MARKERS[row]}{LINE_STYLES[row]}",
                color=COLOURS[row],
                ms=4,
                lw=1.3,
                label=text,
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        ticks = sorted({one.n_atoms for one in costs})
        axes.set_xticks(ticks, [str(n) for n in ticks])
        axes.minorticks_off()
        polish(axes, x_label="atoms of the supercell", y_label=label)
        axes.legend(fontsize=7.5, frameon=False)
    return save_figure(figure, folder / "gaussian_process_cost.png")
