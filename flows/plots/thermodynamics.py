"""Free energy, entropy and heat capacity against temperature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from flows.plots.style import COLOURS, FONT_SIZE_POINTS, IMAGINARY_COLOUR, new_figure, polish
from screening.prediction import FloatArray, Thermodynamics, ThermodynamicsSpread
from screening.quantities import Property
from screening.uncertainty.interval import Interval
from screening.units import BOLTZMANN_MEV_PER_K, MEV_TO_JOULE_PER_MOL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["DULONG_PETIT_MEV_PER_K_PER_ATOM", "plot_thermodynamics"]

DULONG_PETIT_MEV_PER_K_PER_ATOM = 3.0 * BOLTZMANN_MEV_PER_K
"""Classical limit of the heat capacity, three Boltzmann constants per atom, in meV/K/atom."""


_PROPERTIES = (Property.FREE_ENERGY, Property.ENTROPY, Property.HEAT_CAPACITY)  # of the panels
_NEAR_K = 1e-6


def plot_thermodynamics(
    thermodynamics: Thermodynamics,
    spread: ThermodynamicsSpread | None = None,
    *,
    members: str = "models",
    intervals: Sequence[Interval] = (),
    title: str = "",
) -> Figure:
    """Draw F(T), S(T) and C_V(T) per atom, with bands of two standard deviations.

    Parameters
    ----------
    thermodynamics
        Curves to draw. Where they are not valid, the figure says so and why.
    spread
        Standard deviations over a committee, or draws from a posterior, on the same temperatures.
    members
        What the standard deviations are over.
    intervals
        Calibrated intervals of the method's own. The spread is then theirs, and the bands are
        drawn as wide as they are; without a spread they are bars.
    title
        See `figure_title`.

    Returns
    -------
    Figure
        Three panels; entropy and heat capacity have a second scale in J/K per mole of atoms.
    """
    figure = new_figure(8.4, 3.0)
    panels = list(figure.subplots(1, 3))
    if title:
        figure.suptitle(title, fontsize=FONT_SIZE_POINTS + 1.5)
    closed = [one for one in intervals if np.isfinite(one.half_width)]
    widths = _half_widths(thermodynamics, spread, closed)
    for axes, kind, (name, label, values), half_width in zip(
        panels, _PROPERTIES, _curves(thermodynamics), widths, strict=True
    ):
        _draw_curve(axes, thermodynamics.temperatures_k, values, half_width)
        if spread is None:
            _draw_bars(axes, [one for one in closed if one.quantity.kind is kind])
        polish(axes, x_label="Temperature (K)", y_label=label)
        axes.set_title(name, fontsize=FONT_SIZE_POINTS)
    _explain_free_energy(panels[0], thermodynamics, _uncertainty(spread, members, closed))
    _mark_dulong_petit(panels[2])
    for axes in panels[1:]:
        axes.set_ylim(bottom=0.0)
        _add_molar_scale(axes, named=axes is panels[2])
    if not thermodynamics.valid:
        _warn_invalid(figure, thermodynamics)
    return figure


def _curves(result: Thermodynamics) -> list[tuple[str, str, FloatArray]]:
    return [
        ("Free energy", "$F$ (meV/atom)", result.free_energy_mev_per_atom),
        ("Entropy", "$S$ (meV/K/atom)", result.entropy_mev_per_k_per_atom),
        ("Heat capacity", "$C_V$ (meV/K/atom)", result.heat_capacity_mev_per_k_per_atom),
    ]


def _half_widths(
    result: Thermodynamics, spread: ThermodynamicsSpread | None, intervals: Sequence[Interval]
) -> list[FloatArray | None]:
    """Half widths of the bands: two standard deviations, or what an interval makes of one."""
    if spread is None:
        return [None, None, None]
    deviations = [
        spread.free_energy_std_mev_per_atom,
        spread.entropy_std_mev_per_k_per_atom,
        spread.heat_capacity_std_mev_per_k_per_atom,
    ]
    factor = _deviations_per_half_width(result, deviations[0], intervals)
    return [factor * one for one in deviations]


def _deviations_per_half_width(
    result: Thermodynamics, deviation: FloatArray, intervals: Sequence[Interval]
) -> float:
    """Half width of an interval of the free energy over its standard deviation; 2 without one."""
    for one in intervals:
        if one.quantity.kind is Property.FREE_ENERGY and one.quantity.temperature_k is not None:
            away = np.abs(result.temperatures_k - one.quantity.temperature_k)
            place = int(away.argmin())
            if away[place] < _NEAR_K and deviation[place] > 0.0:
                return float(one.half_width / deviation[place])
    return 2.0


def _uncertainty(
    spread: ThermodynamicsSpread | None, members: str, intervals: Sequence[Interval]
) -> list[str]:
    """Say what band or bars are, one line each."""
    if intervals:
        shape = "bars" if spread is None else "band"
        said = [f"{shape}: {100 * intervals[0].coverage:.0f} % interval"]
        of_free_energy = [x for x in intervals if x.quantity.kind is Property.FREE_ENERGY]
        return said + [
            f"±{one.half_width:.2g} meV/atom at {one.quantity.temperature_k:g} K"
            for one in of_free_energy[:1]
        ]
    if spread is None:
        return []
    widest = 2.0 * float(spread.free_energy_std_mev_per_atom.max())
    return [f"band: ±2 std of {spread.n_members} {members},", f"at most {widest:.2g} meV/atom"]


def _draw_bars(axes: Axes, intervals: Sequence[Interval]) -> None:
    if intervals:
        axes.errorbar(
            [one.quantity.temperature_k or 0.0 for one in intervals],
            [one.value for one in intervals],
            yerr=np.transpose([(x.value - x.lower, x.upper - x.value) for x in intervals]),
            fmt="none",
            ecolor="0.1",
            elinewidth=1.0,
            capsize=3.5,
            zorder=3,
        )


def _draw_curve(
    axes: Axes, temperatures_k: FloatArray, values: FloatArray, half_width: FloatArray | None
) -> None:
    if half_width is not None:
        axes.fill_between(
            temperatures_k,
            values - half_width,
            values + half_width,
            color=COLOURS[4],
            alpha=0.45,
            linewidth=0,
        )
    axes.plot(temperatures_k, values, color=COLOURS[0], linewidth=1.5)
    axes.set_xlim(float(temperatures_k[0]), float(temperatures_k[-1]))
    axes.grid(color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)


def _explain_free_energy(axes: Axes, result: Thermodynamics, more: Sequence[str]) -> None:
    """Name zero-point energy and band in the lower left, where a free energy never is."""
    lines = ["zero-point energy", f"{result.zero_point_energy_mev_per_atom:.1f} meV/atom", *more]
    axes.axhline(0.0, color="0.6", linewidth=0.7)
    axes.text(
        0.05,
        0.05,
        "\n".join(lines),
        transform=axes.transAxes,
        fontsize=FONT_SIZE_POINTS - 1,
        color="0.25",
    )


def _mark_dulong_petit(axes: Axes) -> None:
    limit = DULONG_PETIT_MEV_PER_K_PER_ATOM
    axes.axhline(limit, color="0.35", linestyle="--", linewidth=0.9)
    axes.set_ylim(0.0, max(axes.get_ylim()[1], 1.12 * limit))
    axes.annotate(
        "Dulong-Petit $3k_B$",
        (0.97, limit),
        xycoords=("axes fraction", "data"),
        xytext=(0, 2),
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontsize=FONT_SIZE_POINTS - 1,
        color="0.25",
    )


def _add_molar_scale(axes: Axes, *, named: bool) -> None:
    """Second scale in J/K per mole of atoms, named once."""
    twin = axes.secondary_yaxis(
        "right",
        functions=(_to_joule_per_mol, _to_mev),
    )
    twin.tick_params(labelsize=FONT_SIZE_POINTS - 1, width=0.8, colors="0.35")
    if named:
        twin.set_ylabel("J/K per mol of atoms", fontsize=FONT_SIZE_POINTS, color="0.35")


def _warn_invalid(figure: Figure, result: Thermodynamics) -> None:
    figure.supxlabel(
        f"Not valid for comparison: {100 * result.dropped_weight:.1f} % of the modes are below "
        f"{result.cutoff_thz:g} THz ({100 * result.imaginary_weight:.1f} % imaginary), "
        f"policy {result.low_mode_policy}",
        fontsize=FONT_SIZE_POINTS - 0.5,
        color=IMAGINARY_COLOUR,
    )


def _to_joule_per_mol(mev: ArrayLike) -> FloatArray:
    return np.asarray(np.asarray(mev, dtype=np.float64) * MEV_TO_JOULE_PER_MOL)


def _to_mev(joule_per_mol: ArrayLike) -> FloatArray:
    return np.asarray(np.asarray(joule_per_mol, dtype=np.float64) / MEV_TO_JOULE_PER_MOL)
