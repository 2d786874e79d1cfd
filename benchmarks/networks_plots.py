"""Pictures: frequencies and errors of potentials, densities of states, spread against error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flows.plots.style import COLOURS, EXCLUDED_COLOUR, new_figure, polish, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

_PANEL_INCH = 2.9
_COLUMNS = 3
_SMALL_POINTS = 7
_SEEN = 1e-3  # share of the modes that can be made out


def draw(details: Mapping[str, Any], folder: Path) -> Iterator[Path]:
    """Draw what was measured; what was not is left out."""
    folder.mkdir(parents=True, exist_ok=True)
    potentials = details.get("potential", {})
    if potentials:
        yield _draw_parity(potentials, folder)
        yield _draw_crystals(potentials, folder)
    density = details.get("density", {})
    if density.get("overfit"):
        yield _draw_densities(density["overfit"], folder)
    tables = {**density, **details.get("ensemble", {})}
    rows = {name: one for name, one in tables.items() if name.startswith("rows")}
    if rows:
        yield _draw_rows(rows, folder)
    shares = {name: one for name, one in tables.items() if name.startswith("coverage")}
    if shares:
        yield _draw_coverage(shares, folder)
    if details.get("training", {}).get("committee"):
        yield _draw_spread(details["training"]["committee"], folder)


def _draw_parity(potentials: Mapping[str, Any], folder: Path) -> Path:
    """Draw frequencies by every potential against those of DFT."""
    figure = new_figure(_PANEL_INCH * len(potentials) + 0.3, _PANEL_INCH + 0.3)
    every = [one[key] for one in potentials.values() for key in ("reference_thz", "predicted_thz")]
    low, high = min(map(min, every)) - 0.5, max(map(max, every)) + 0.5
    for place, (name, one) in enumerate(potentials.items(), start=1):
        axes = figure.add_subplot(1, len(potentials), place)
        axes.plot([low, high], [low, high], color="0.6", linewidth=0.9, zorder=1)
        _scatter(axes, one["reference_thz"], one["predicted_thz"], place - 1)
        mean = np.mean([crystal["mae_thz"] for crystal in one["crystals"]])
        text = f"{len(one['crystals'])} crystals\nMAE {mean:.2f} THz"
        axes.text(0.04, 0.96, text, transform=axes.transAxes, va="top", fontsize=_SMALL_POINTS)
        axes.set_xlim(low, high)
        axes.set_ylim(low, high)
        axes.set_aspect("equal")
        axes.set_title(name, fontsize=_SMALL_POINTS + 1)
        polish(axes, x_label="DFT (THz)", y_label="Potential (THz)")
    return save_figure(figure, folder / "networks_parity.png")


def _draw_crystals(potentials: Mapping[str, Any], folder: Path) -> Path:
    """Draw the errors of every crystal, those of the first potential in descending order."""
    first = next(iter(potentials.values()))["crystals"]
    names = [one["name"] for one in sorted(first, key=lambda one: one["mae_thz"])]
    figure = new_figure(6.6, 1.2 + 0.14 * len(names))
    measures = (
        ("mae_thz", "Frequency MAE (THz)"),
        ("free_energy_error_mev_per_atom", "Error of A(300 K) (meV/atom)"),
    )
    for place, (key, label) in enumerate(measures, start=1):
        axes = figure.add_subplot(1, 2, place)
        axes.axvline(0.0, color="0.6", linewidth=0.8)
        for number, (name, one) in enumerate(potentials.items()):
            values = {crystal["name"]: crystal[key] for crystal in one["crystals"]}
            there = [k for k, crystal in enumerate(names) if crystal in values]
            found = [values[names[k]] for k in there]
            axes.plot(found, there, "os^D"[number % 4], ms=3, color=_colour(number), label=name)
        shown = [_short(name) for name in names] if place == 1 else [""] * len(names)
        axes.set_yticks(range(len(names)), shown)
        axes.set_ylim(-0.8, len(names) - 0.2)
        axes.grid(axis="y", color="0.92", linewidth=0.6)
        polish(axes, x_label=label)
        axes.tick_params(axis="y", labelsize=_SMALL_POINTS - 1)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", ncols=3, fontsize=_SMALL_POINTS, frameon=False
    )
    return save_figure(figure, folder / "networks_crystals.png")


def _draw_densities(overfit: Mapping[str, Any], folder: Path) -> Path:
    """Draw predicted over reference densities of states, from the best to the worst."""
    examples, centres = overfit["examples"], np.array(overfit["centres_thz"])
    n_rows = -(-len(examples) // _COLUMNS)
    figure = new_figure(_COLUMNS * 2.4, n_rows * 1.9)
    for place, one in enumerate(examples, start=1):
        axes = figure.add_subplot(n_rows, _COLUMNS, place)
        reference, predicted = np.array(one["reference"]), np.array(one["predicted"])
        axes.fill_between(centres, reference, step="mid", color="0.8", label="DFT")
        axes.step(centres, predicted, where="mid", color=COLOURS[0], lw=1.1, label="network")
        used = np.flatnonzero((reference > 0) | (predicted > _SEEN))
        axes.set_xlim(centres[max(used[0] - 2, 0)], centres[min(used[-1] + 2, len(centres) - 1)])
        axes.set_ylim(0.0, None)
        title = f"{_short(one['name'])}: {one['wasserstein_thz']:.2f} THz"
        axes.set_title(title, fontsize=_SMALL_POINTS)
        polish(axes, x_label="Frequency (THz)", y_label="Share of modes")
    figure.axes[0].legend(fontsize=_SMALL_POINTS - 1, frameon=False)
    return save_figure(figure, folder / "networks_densities.png")


def _draw_rows(tables: Mapping[str, Any], folder: Path) -> Path:
    """Draw the errors of the network beside those of every baseline."""
    measures = (
        ("wasserstein_thz", "Wasserstein distance (THz)"),
        ("entropy_300k_mev_per_k_per_atom_mae", "S(300 K) MAE (meV/K/atom)"),
        ("heat_capacity_300k_mev_per_k_per_atom_mae", "C$_V$(300 K) MAE (meV/K/atom)"),
    )
    figure = new_figure(7.6, 2.2 * len(tables))
    panels = figure.subplots(len(tables), len(measures), sharey="row", squeeze=False)
    for (table, rows), row_of_panels in zip(tables.items(), panels, strict=True):
        who = [one for one in reversed(rows) if one != "zero"]  # which hides all others
        names = [one.partition("@")[0].replace("_", " ") for one in who]
        colours = [COLOURS[0] if one == "network" else EXCLUDED_COLOUR for one in who]
        for axes, (key, label) in zip(row_of_panels, measures, strict=True):
            values = [rows[one].get(key, np.nan) for one in who]
            axes.barh(names, values, 0.7, color=colours)
            polish(axes, x_label=label)
            axes.tick_params(labelsize=_SMALL_POINTS)
            axes.xaxis.label.set_size(_SMALL_POINTS)
        row_of_panels[0].set_title(table.removeprefix("rows, "), fontsize=_SMALL_POINTS, loc="left")
    return save_figure(figure, folder / "networks_density_errors.png")


def _draw_coverage(tables: Mapping[str, Any], folder: Path) -> Path:
    """Draw which share of the 90 % intervals held the truth, with its own standard error."""
    figure = new_figure(4.6, 0.9 + 0.24 * sum(map(len, tables.values())))
    axes = figure.add_subplot()
    axes.axvspan(0.85, 0.95, color="0.9", zorder=0)
    axes.axvline(0.9, color="0.5", linewidth=0.9, zorder=1)
    labels = []
    for table, one in tables.items():
        for quantity, (inside, count) in one.items():
            if count:
                share = inside / count
                error = float(np.sqrt(max(share * (1.0 - share), 0.25 / count) / count))
                ends = [[min(error, share)], [min(error, 1.0 - share)]]
                axes.errorbar(share, len(labels), xerr=ends, fmt="o", ms=4, color=COLOURS[0])
                grid = table.removeprefix("coverage, ")
                labels.append(f"{quantity.replace('_', ' ')}, {grid}, {inside} of {count}")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlim(min(0.7, axes.get_xlim()[0]), 1.02)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    polish(axes, x_label="Coverage of 90 % intervals")
    return save_figure(figure, folder / "networks_coverage.png")


def _draw_spread(committee: Mapping[str, Any], folder: Path) -> Path:
    """Draw errors of forces against the spread of a committee, atom by atom."""
    figure = new_figure(_PANEL_INCH * len(committee) + 0.3, _PANEL_INCH + 0.2)
    for place, (name, one) in enumerate(committee.items(), start=1):
        axes = figure.add_subplot(1, len(committee), place)
        spread, error = 1e3 * np.array(one["spread"]), 1e3 * np.array(one["error"])
        _scatter(axes, spread, error, 0)
        ends = [min(spread.min(), error.min()), max(spread.max(), error.max())]
        axes.plot(ends, ends, color="0.6", linewidth=0.9)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_title(name, fontsize=_SMALL_POINTS + 1)
        polish(axes, x_label="Spread of a committee (meV/Å)", y_label="Error of the force (meV/Å)")
    return save_figure(figure, folder / "networks_spread.png")


def _scatter(axes: Axes, x: Sequence[float], y: Sequence[float], number: int) -> None:
    axes.scatter(x, y, s=4, alpha=0.25, color=_colour(number), linewidths=0, rasterized=True)


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _short(name: str) -> str:
    """Return formula and space group of a record's name."""
    return " ".join(name.split()[-2:])
