"""Free energy, entropy and heat capacity against temperature."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from flows.plots.style import COLOURS, FONT_SIZE_POINTS, IMAGINARY_COLOUR, new_figure, polish
from screening.prediction import FloatArray, Thermodynamics, ThermodynamicsSpread
from screening.units import BOLTZMANN_MEV_PER_K, MEV_TO_JOULE_PER_MOL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["DULONG_PETIT_MEV_PER_K_PER_ATOM", "plot_thermodynamics"]

DULONG_PETIT_MEV_PER_K_PER_ATOM = 3.0 * BOLTZMANN_MEV_PER_K
"""Classical limit of the heat capacity, three Boltzmann constants per atom, in meV/K/atom."""


def plot_thermodynamics(
    thermodynamics: Thermodynamics,
    spread: ThermodynamicsSpread | None = None,
    *,
    members: str = "models",
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
    deviations = _deviations(spread)
    for axes, (name, label, values), deviation in zip(
        panels, _curves(thermodynamics), deviations, strict=True
    ):
        _draw_curve(axes, thermodynamics.temperatures_k, values, deviation)
        polish(axes, x_label="Temperature (K)", y_label=label)
        axes.set_title(name, fontsize=FONT_SIZE_POINTS)
    _explain_free_energy(panels[0], thermodynamics, spread, members)
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


def _deviations(spread: ThermodynamicsSpread | None) -> list[FloatArray | None]:
    if spread is None:
        return [None, None, None]
    return [
        spread.free_energy_std_mev_per_atom,
        spread.entropy_std_mev_per_k_per_atom,
        spread.heat_capacity_std_mev_per_k_per_atom,
    ]


def _draw_curve(
    axes: Axes, temperatures_k: FloatArray, values: FloatArray, deviation: FloatArray | None
) -> None:
    if deviation is not None:
        axes.fill_between(
            temperatures_k,
            values - 2 * deviation,
            values + 2 * deviation,
            color=COLOURS[4],
            alpha=0.45,
            linewidth=0,
        )
    axes.plot(temperatures_k, values, color=COLOURS[0], linewidth=1.5)
    axes.set_xlim(float(temperatures_k[0]), float(temperatures_k[-1]))
    axes.grid(color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)


def _explain_free_energy(
    axes: Axes, result: Thermodynamics, spread: ThermodynamicsSpread | None, members: str
) -> None:
    """Name zero-point energy and band in the lower left, where a free energy never is."""
    lines = ["zero-point energy", f"{result.zero_point_energy_mev_per_atom:.1f} meV/atom"]
    if spread is not None:
        widest = 2.0 * float(spread.free_energy_std_mev_per_atom.max())
        lines += [
            f"band: ±2 std of {spread.n_members} {members},",
            f"at most {widest:.2g} meV/atom",
        ]
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
