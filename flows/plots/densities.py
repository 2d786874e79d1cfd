"""A density of states alone, with the spread of an ensemble where there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from flows.plots.style import (
    COLOURS,
    FONT_SIZE_POINTS,
    IMAGINARY_COLOUR,
    new_figure,
    polish,
)
from screening.prediction import DensityOfStates, SpectralProperties
from screening.units import THZ_TO_INVERSE_CM

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_density"]

_SHOWN_SHARE = 1e-3  # of the largest density
_LEAST_THZ = 1.0
_DEVIATIONS = 2.0
_HEADROOM = 1.2


def plot_density(
    density: DensityOfStates,
    numbers: SpectralProperties | None = None,
    *,
    verdict: str = "",
    title: str = "",
) -> Figure:
    """Draw a density of states against frequency.

    Imaginary frequencies stand below zero, on a tinted ground. Frequencies are in THz below and
    in 1/cm above.

    Parameters
    ----------
    density
        What to draw. The band around it is two standard deviations of the members, where these
        are known, and ends at zero.
    numbers
        What follows from it, written beside it.
    verdict
        Stability in words, written below.
    title
        See `figure_title`.
    """
    figure = new_figure(5.6, 3.4)
    axes = figure.subplots()
    if title:
        figure.suptitle(title, fontsize=FONT_SIZE_POINTS + 1.5)
    _draw_density(axes, density)
    low, high = _range(density)
    axes.set_xlim(low, high)
    axes.set_ylim(0.0, _HEADROOM * axes.get_ylim()[1])  # for what is written
    if low < 0.0:
        axes.axvspan(low, 0.0, color=IMAGINARY_COLOUR, alpha=0.09, zorder=0, linewidth=0)
        axes.axvline(0.0, color="0.3", linewidth=0.8)
    if numbers is not None:
        _write_numbers(axes, numbers)
    polish(axes, x_label="Frequency (THz)", y_label="DOS (states/THz)")
    _add_wavenumbers(axes)
    if verdict:
        figure.supxlabel(verdict, fontsize=FONT_SIZE_POINTS - 1, color="0.35")
    return figure


def _draw_density(axes: Axes, density: DensityOfStates) -> None:
    grid, total = density.frequencies_thz, density.total_per_thz
    std = density.total_std_per_thz
    axes.plot(grid, total, color=COLOURS[0], linewidth=1.4, drawstyle="steps-mid")
    if std is None:
        axes.fill_between(grid, total, color="0.9", step="mid", linewidth=0)
        return
    lower, upper = np.maximum(total - _DEVIATIONS * std, 0.0), total + _DEVIATIONS * std
    axes.fill_between(
        grid, lower, upper, color=COLOURS[0], alpha=0.25, step="mid", linewidth=0,
        label="±2 std of the members",
    )  # fmt: skip
    axes.legend(frameon=False, loc="upper left", fontsize=FONT_SIZE_POINTS - 1)


def _range(density: DensityOfStates) -> tuple[float, float]:
    """Return the frequencies between which there is something to see."""
    grid, total = density.frequencies_thz, density.total_per_thz
    seen = grid[total > _SHOWN_SHARE * float(total.max())]
    low, high = (float(seen[0]), float(seen[-1])) if seen.size else (0.0, 0.0)
    width = float(np.diff(grid).max())
    top = max(high, _LEAST_THZ) + 2.0 * width
    return (low - 2.0 * width if low < -width else min(low - width, 0.0)), top


def _write_numbers(axes: Axes, numbers: SpectralProperties) -> None:
    lines = [
        f"mean {numbers.mean_frequency_thz:.2f} THz",
        f"Debye {numbers.debye_temperature_k:.0f} K",
        f"{100 * numbers.negative_fraction:.1f} % below zero",
    ]
    if numbers.isotope_rate_ghz is not None:
        lines.append(f"isotopes {numbers.isotope_rate_ghz:.3g} /ns")
    axes.annotate(
        "\n".join(lines),
        (0.98, 0.96),
        xycoords="axes fraction",
        ha="right",
        va="top",
        fontsize=FONT_SIZE_POINTS - 1,
    )


def _add_wavenumbers(axes: Axes) -> None:
    twin = axes.secondary_xaxis(
        "top",
        functions=(
            lambda thz: np.asarray(thz) * THZ_TO_INVERSE_CM,
            lambda inverse_cm: np.asarray(inverse_cm) / THZ_TO_INVERSE_CM,
        ),
    )
    twin.set_xlabel("Wavenumber (cm$^{-1}$)", fontsize=FONT_SIZE_POINTS)
    twin.tick_params(labelsize=FONT_SIZE_POINTS - 1, width=0.8)
