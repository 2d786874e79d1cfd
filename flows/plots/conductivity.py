"""Lattice thermal conductivity against temperature, and the modes that carry it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flows.plots.style import COLOURS, FONT_SIZE_POINTS, LINE_STYLES, new_figure, polish
from screening.conductivity_records import (
    CumulativeConductivity,
    ModeCoordinate,
    ThermalConductivity,
    cumulative_conductivity,
)
from screening.errors import SettingError
from screening.prediction import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import Locator

__all__ = ["ConductivityCurve", "plot_conductivity", "plot_conductivity_modes"]

_AXES = "xyz"
_SAME_RATIO = 5e-3
_OFF_DIAGONAL_RATIO = 0.01
_MOST_MARKERS = 15
_MARKERS = "os^D"
_STDS = 2.0
_ACOUSTIC = 3
_ANGSTROM_PER_NM = 10.0
_UNIT = "W m$^{-1}$ K$^{-1}$"
_LEAST_SHARE = 1e-4  # of the conductivity: shorter paths and slower modes carry nothing to see
_SMALL = FONT_SIZE_POINTS - 1


@dataclass(frozen=True, eq=False)
class ConductivityCurve:
    """Thermal conductivity of a crystal by one method.

    Attributes
    ----------
    temperatures_k
        In K, ascending, shape (temperature,).
    conductivity_w_per_m_k
        In W/m/K, shape (temperature, 3, 3).
    std_w_per_m_k
        Standard deviations of the same shape, or None.
    label
        Name for the legend.
    """

    temperatures_k: FloatArray
    conductivity_w_per_m_k: FloatArray
    std_w_per_m_k: FloatArray | None = None
    label: str = ""


@dataclass(frozen=True, eq=False)
class _Line:
    """Components that are one by symmetry, shape (temperature,) each."""

    name: str
    values: FloatArray
    std: FloatArray | None


def plot_conductivity(
    curves: Sequence[ConductivityCurve], *, logarithmic: bool = False, title: str = ""
) -> Figure:
    """Draw thermal conductivity against temperature, with bands of two standard deviations.

    A single result of a crystal that is not cubic is drawn by components; of several results
    the means over directions are compared. Bands are symmetric in the logarithm, for errors of
    a conductivity are relative.

    Parameters
    ----------
    curves
        One for each result.
    logarithmic
        Whether both axes are logarithmic; a guide then shows the law 1/T of three-phonon
        scattering at high temperature.
    title
        See `figure_title`.

    Raises
    ------
    SettingError
        If there is nothing to draw.
    """
    if not curves:
        raise SettingError("no conductivity to draw", subject="curves", hint="Give one or more")
    figure = new_figure(5.2, 3.8)
    axes = figure.subplots()
    if title:
        figure.suptitle(title, fontsize=FONT_SIZE_POINTS + 1.5)
    by_component = len(curves) == 1
    for place, curve in enumerate(curves):
        lines = _lines(curve) if by_component else [_mean(curve)]
        for rank, line in enumerate(lines):
            label = " ".join(part for part in (curve.label, line.name) if part)
            _draw_line(axes, curve.temperatures_k, line, label, rank if by_component else place)
    several = not by_component and any(len(_lines(one)) > 1 for one in curves)
    what = "Mean thermal conductivity" if several else "Thermal conductivity"
    polish(axes, x_label="Temperature (K)", y_label=f"{what} ({_UNIT})")
    _set_scales(axes, curves, logarithmic=logarithmic)
    _explain(figure, axes, curves)
    return figure


def plot_conductivity_modes(
    result: ThermalConductivity,
    temperature_index: int = 0,
    *,
    std_w_per_m_k: FloatArray | None = None,
    title: str = "",
) -> Figure:
    """Draw what carries the heat: mean free paths, frequencies and lifetimes.

    Parameters
    ----------
    result
        Conductivity with its modes.
    temperature_index
        Position of the temperature in the result.
    std_w_per_m_k
        Standard deviation at all its temperatures, shape (temperature, 3, 3), for the title.
    title
        See `figure_title`.

    Returns
    -------
    Figure
        Cumulative conductivity against mean free path and against frequency, and the lifetime
        of every mode against its frequency.
    """
    figure = new_figure(9.6, 3.4)
    panels = list(figure.subplots(1, 3))
    parts = [title, _value_text(result, temperature_index, std_w_per_m_k)]
    figure.suptitle("\n".join(part for part in parts if part), fontsize=FONT_SIZE_POINTS + 1.0)
    paths = cumulative_conductivity(result, ModeCoordinate.MEAN_FREE_PATH, temperature_index)
    _draw_cumulative(panels[0], paths, 1.0 / _ANGSTROM_PER_NM, "nm")
    panels[0].set_xscale("log")
    polish(panels[0], x_label="Mean free path (nm)", y_label=f"Cumulative conductivity ({_UNIT})")
    tones = cumulative_conductivity(result, ModeCoordinate.FREQUENCY, temperature_index)
    _draw_cumulative(panels[1], tones, 1.0, "THz")
    polish(panels[1], x_label="Frequency (THz)", y_label=f"Cumulative conductivity ({_UNIT})")
    panels[1].set_xlim(left=0.0)
    _draw_lifetimes(panels[2], result, temperature_index)
    return figure


def _lines(curve: ConductivityCurve) -> list[_Line]:
    """Diagonal components, those that are equal as one line."""
    values = curve.conductivity_w_per_m_k
    groups = _equal_axes(values)
    if len(groups) == 1:
        return [_mean(curve)]
    found = []
    for group in groups:
        std = None if curve.std_w_per_m_k is None else _along(curve.std_w_per_m_k, group)
        found.append(_Line(_component_text(group), _along(values, group), std))
    return found


def _mean(curve: ConductivityCurve) -> _Line:
    """Mean over directions, whose components are taken to err together."""
    std = None if curve.std_w_per_m_k is None else _along(curve.std_w_per_m_k, (0, 1, 2))
    return _Line("", _along(curve.conductivity_w_per_m_k, (0, 1, 2)), std)


def _equal_axes(tensors: FloatArray) -> list[tuple[int, ...]]:
    """Group the Cartesian axes whose components are equal in all tensors, shape (..., 3, 3)."""
    groups: list[tuple[int, ...]] = []
    for axis in range(len(_AXES)):
        own = tensors[..., axis, axis]
        for place, group in enumerate(groups):
            if np.allclose(own, tensors[..., group[0], group[0]], rtol=_SAME_RATIO):
                groups[place] = (*group, axis)
                break
        else:
            groups.append((axis,))
    return groups


def _along(tensors: FloatArray, axes: Sequence[int]) -> FloatArray:
    """Mean of some diagonal components, shape (...)."""
    return np.asarray(np.mean([tensors[..., axis, axis] for axis in axes], axis=0))


def _component_text(group: tuple[int, ...]) -> str:
    return " = ".join(rf"$\kappa_{{{_AXES[axis] * 2}}}$" for axis in group)


def _draw_line(axes: Axes, temperatures_k: FloatArray, line: _Line, label: str, place: int) -> None:
    """Line with its band, or a bar where there is a single temperature."""
    colour = COLOURS[place % len(COLOURS)]
    style = LINE_STYLES[place % len(LINE_STYLES)]
    markers = _MARKERS[place % len(_MARKERS)] if len(temperatures_k) <= _MOST_MARKERS else ""
    axes.plot(
        temperatures_k,
        line.values,
        color=colour,
        linestyle=style,
        linewidth=1.5,
        marker=markers,
        markersize=3.5,
        label=label or None,
    )
    if line.std is None:
        return
    factor = np.exp(_STDS * line.std / line.values)
    lower, upper = line.values / factor, line.values * factor
    if len(temperatures_k) > 1:
        axes.fill_between(temperatures_k, lower, upper, color=colour, alpha=0.22, linewidth=0)
    else:
        axes.vlines(temperatures_k, lower, upper, color=colour, linewidth=1.2)


def _set_scales(axes: Axes, curves: Sequence[ConductivityCurve], *, logarithmic: bool) -> None:
    axes.grid(color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)
    temperatures = np.concatenate([one.temperatures_k for one in curves])
    if not logarithmic:
        axes.set_ylim(bottom=0.0)
        if temperatures.max() > temperatures.min():
            axes.set_xlim(float(temperatures.min()), float(temperatures.max()))
        return
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(_log_locator())
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("")
    _draw_guide(axes, curves[0])


def _log_locator() -> Locator:
    from matplotlib.ticker import LogLocator

    return LogLocator(subs=(1.0, 2.0, 5.0))


def _draw_guide(axes: Axes, curve: ConductivityCurve) -> None:
    """Draw the law 1/T, a little above the curve."""
    temperatures = curve.temperatures_k
    if len(temperatures) == 1:
        return
    last = float(_mean(curve).values[-1])
    guide = 1.15 * last * temperatures[-1] / temperatures
    axes.plot(temperatures, guide, color="0.45", linewidth=0.9, linestyle=":", label="∝ 1/T")


def _explain(figure: Figure, axes: Axes, curves: Sequence[ConductivityCurve]) -> None:
    """Legend, and below what the band is and what the lines leave out."""
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False, fontsize=_SMALL, loc="upper right")
    notes = []
    if any(one.std_w_per_m_k is not None for one in curves):
        notes.append("band: ±2 standard deviations, from those of the force constants")
    share = max(_off_diagonal_share(one.conductivity_w_per_m_k) for one in curves)
    if share > _OFF_DIAGONAL_RATIO:
        notes.append(f"off-diagonal components up to {100 * share:.0f} % of the mean, not drawn")
    if notes:
        figure.supxlabel("\n".join(notes), fontsize=_SMALL, color="0.35")


def _off_diagonal_share(tensors: FloatArray) -> float:
    """Largest off-diagonal component over the mean, at the worst temperature."""
    off = np.abs(tensors * (1.0 - np.eye(len(_AXES)))).max(axis=(-2, -1))
    return float((off / _along(tensors, (0, 1, 2))).max())


def _value_text(
    result: ThermalConductivity, temperature_index: int, std_w_per_m_k: FloatArray | None
) -> str:
    """Conductivity by component, its spread and how it was computed."""
    tensor = result.conductivity_w_per_m_k[temperature_index]
    groups = _equal_axes(tensor[None])
    parts = []
    for group in groups:
        name = r"$\kappa$" if len(groups) == 1 else _component_text(group)
        std = None if std_w_per_m_k is None else _along(std_w_per_m_k[temperature_index], group)
        parts.append(f"{name} = {_number_text(float(_along(tensor, group)), std)}")
    mesh = r"$\times$".join(map(str, result.mesh))
    kelvin = result.temperatures_k[temperature_index]
    method = "relaxation times" if result.method.value == "rta" else "direct solution"
    return f"{',  '.join(parts)} {_UNIT} at {kelvin:g} K  ·  {method}, mesh {mesh}"


def _number_text(value: float, std: FloatArray | None) -> str:
    """Write a value with two standard deviations to two digits, or alone to three."""
    spread = 0.0 if std is None else _STDS * float(std)
    if spread <= 0.0:
        return f"{value:.3g}"
    decimals = max(0, 1 - math.floor(math.log10(spread)))
    return f"{value:.{decimals}f} ± {spread:.{decimals}f} ({_STDS:g} std)"


def _draw_cumulative(axes: Axes, found: CumulativeConductivity, factor: float, unit: str) -> None:
    """Components against a coordinate, and where half of the mean is reached."""
    x, tensors = factor * found.coordinate, found.conductivity_w_per_m_k
    mean = _along(tensors, (0, 1, 2))
    shown = mean >= _LEAST_SHARE * mean[-1]
    groups = _equal_axes(tensors[-1:])
    for rank, group in enumerate(groups):
        label = _component_text(group) if len(groups) > 1 else None
        axes.step(
            x[shown],
            _along(tensors, group)[shown],
            where="post",
            color=COLOURS[rank],
            linestyle=LINE_STYLES[rank],
            linewidth=1.5,
            label=label,
        )
    half = float(x[np.argmax(mean >= 0.5 * mean[-1])])
    axes.axvline(half, color="0.45", linewidth=0.9, linestyle=":")
    axes.annotate(  # to its left less than half is reached, so that the upper corner is free
        f"half: {half:.3g} {unit}",
        (half, 0.93),
        xycoords=("data", "axes fraction"),
        xytext=(-4, 0),
        textcoords="offset points",
        ha="right",
        fontsize=_SMALL,
        color="0.3",
    )
    axes.set_ylim(bottom=0.0)
    axes.grid(color="0.92", linewidth=0.6)
    if len(groups) > 1:
        axes.legend(frameon=False, fontsize=_SMALL, loc="lower right")


def _draw_lifetimes(axes: Axes, result: ThermalConductivity, temperature_index: int) -> None:
    """Every mode that is scattered, and the line below which a mode decays within one period."""
    lifetimes = result.lifetimes_ps[temperature_index]
    acoustic = np.zeros(lifetimes.shape, dtype=bool)  # by rank: branches are sorted
    acoustic[:, :_ACOUSTIC] = True
    for chosen, colour, marker, label in (
        (acoustic, COLOURS[0], "o", "three lowest branches"),
        (~acoustic, COLOURS[1], "^", "other branches"),
    ):
        kept = chosen & (lifetimes > 0.0)
        if kept.any():
            axes.scatter(
                result.frequencies_thz[kept],
                lifetimes[kept],
                s=9,
                color=colour,
                marker=marker,
                alpha=0.6,
                linewidths=0,
                label=label,
            )
    highest = 1.05 * float(result.frequencies_thz.max())
    periods = np.linspace(0.05 * highest, highest, 60)
    axes.plot(periods, 1.0 / periods, color="0.35", linewidth=0.9, linestyle="--", label="1 period")
    axes.set_yscale("log")
    axes.set_xlim(0.0, highest)
    axes.grid(color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)
    polish(axes, x_label="Frequency (THz)", y_label="Lifetime (ps)")
    axes.legend(frameon=False, fontsize=_SMALL - 1, loc="best", handletextpad=0.4)
