"""Polymorphs of one composition: free energy against the reference phase."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flows.plots.style import (
    COLOURS,
    EXCLUDED_COLOUR,
    FONT_SIZE_POINTS,
    LINE_STYLES,
    formula_text,
    new_figure,
    polish,
    space_group_text,
    spread_apart,
)
from screening.prediction import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "ExcludedPhase",
    "PhaseCurve",
    "RankingView",
    "draw_ranking",
    "phase_colour",
    "plot_ranking",
]

FOOTER_WIDTH = 95  # characters
EXCLUDED_SHOWN = 6
FAR_MEV_PER_ATOM = 120.0
CLOSE_TRANSITIONS = 0.12  # of the temperature range: closer ones are labelled on two rows


@dataclass(frozen=True)
class PhaseCurve:
    """One ranked phase.

    Attributes
    ----------
    label
        Name for the reader, unique in its composition.
    space_group_symbol
        Hermann-Mauguin symbol, or empty.
    relative_free_energy_mev_per_atom
        A(T) minus that of the reference phase in meV/atom, shape (temperature,).
    standard_deviation_mev_per_atom
        Of the phase's own free energy over a committee, shape (temperature,), or None.
    """

    label: str
    space_group_symbol: str
    relative_free_energy_mev_per_atom: FloatArray
    standard_deviation_mev_per_atom: FloatArray | None = None


@dataclass(frozen=True)
class ExcludedPhase:
    """One phase that is listed but not ordered, with the reason."""

    label: str
    space_group_symbol: str
    reason: str


@dataclass(frozen=True)
class RankingView:
    """What a picture of a ranking shows.

    Attributes
    ----------
    formula, model
        Reduced formula, and the name of the potential or model.
    temperatures_k
        Grid in K, shape (temperature,).
    phases
        Ranked phases; the reference has zeros.
    tie_mev_per_atom
        Phases within this energy of the lowest are tied with it.
    transitions
        Temperature in K, label of the phase below and of the phase above.
    excluded
        Phases kept out of the order.
    experiment
        What experiment says, or empty.
    """

    formula: str
    temperatures_k: FloatArray
    phases: tuple[PhaseCurve, ...]
    tie_mev_per_atom: float = 10.0
    transitions: tuple[tuple[float, str, str], ...] = ()
    excluded: tuple[ExcludedPhase, ...] = ()
    model: str = ""
    experiment: str = ""


def plot_ranking(view: RankingView, *, title: str = "") -> Figure:
    """Draw the free energies of all phases relative to the reference phase.

    The tinted band reaches from the lowest phase to the tie limit: what lies in it cannot be
    told from the lowest. Dotted lines are transition temperatures. Phases kept out of the
    order are named below with the reason.

    Returns
    -------
    Figure
        Not yet written to a file; see `save_figure`.
    """
    footer = _footer(view)
    height = 3.6 if view.phases else 0.9  # without a curve the reasons are the picture
    figure = new_figure(7.2, height + 0.17 * (footer.count("\n") + bool(footer)))
    axes = figure.subplots()
    heading = title or "  ·  ".join(x for x in (formula_text(view.formula), view.model) if x)
    figure.suptitle(heading, fontsize=FONT_SIZE_POINTS + 1.5)
    draw_ranking(axes, view)
    if len(view.phases) > 1:
        axes.legend(
            frameon=False,
            loc="lower left",
            bbox_to_anchor=(0.0, 1.0),
            borderaxespad=0.2,
            fontsize=FONT_SIZE_POINTS - 1,
        )
    reference = _reference_label(view)
    polish(
        axes,
        x_label="Temperature (K)",
        y_label=f"$A - A$({reference})  (meV/atom)" if reference else "$ΔA$ (meV/atom)",
    )
    if footer:
        figure.supxlabel(
            footer, fontsize=FONT_SIZE_POINTS - 1, color=EXCLUDED_COLOUR, x=0.02, ha="left"
        )
    return figure


def draw_ranking(axes: Axes, view: RankingView, *, label_size: float = FONT_SIZE_POINTS) -> None:
    """Draw a ranking into axes: curves named at their right end, tie band, transitions."""
    if not view.phases:
        axes.text(
            0.5, 0.5, "no phase can be ordered", transform=axes.transAxes, ha="center", va="center"
        )
        axes.set_axis_off()
        return
    temperatures = np.asarray(view.temperatures_k)
    lowest = _lowest(view)
    shown = _on_scale(view)
    if len(view.phases) > 1:
        axes.fill_between(
            temperatures,
            lowest,
            lowest + view.tie_mev_per_atom,
            color=COLOURS[6],
            alpha=0.35,
            linewidth=0,
            label=f"tied with the lowest (within {view.tie_mev_per_atom:g} meV/atom)",
        )
    else:
        axes.set_ylim(-1.0, view.tie_mev_per_atom)
        axes.text(0.5, 0.5, "only one phase can be ordered", transform=axes.transAxes, ha="center")
    for number in shown:
        _draw_phase(axes, temperatures, view.phases[number], number)
    axes.set_xlim(temperatures[0], temperatures[-1])
    if len(view.phases) > 1:
        axes.margins(y=0.08)
    axes.grid(color="0.93", linewidth=0.6)
    axes.set_axisbelow(True)
    _name_curves(axes, view, shown, label_size)
    _mark_transitions(axes, view, label_size)


def _lowest(view: RankingView) -> FloatArray:
    """Lowest free energy of all phases against the reference, shape (temperature,)."""
    curves = [phase.relative_free_energy_mev_per_atom for phase in view.phases]
    return np.asarray(np.min(curves, axis=0))


def _on_scale(view: RankingView) -> list[int]:
    """Numbers of the phases to draw: far ones would flatten the others, if there are some."""
    lowest = _lowest(view)
    near = [
        number
        for number, phase in enumerate(view.phases)
        if np.min(phase.relative_free_energy_mev_per_atom - lowest) < FAR_MEV_PER_ATOM
    ]
    return near if len(near) > 1 else list(range(len(view.phases)))


def phase_colour(number: int) -> str:
    """Colour of the phase with this number, the same in all figures of a composition."""
    colours = COLOURS[:6]
    return colours[number % len(colours)]


def _draw_phase(axes: Axes, temperatures: FloatArray, phase: PhaseCurve, number: int) -> None:
    values = phase.relative_free_energy_mev_per_atom
    colour = phase_colour(number)
    axes.plot(
        temperatures,
        values,
        color=colour,
        linewidth=1.7,
        linestyle=LINE_STYLES[number % len(LINE_STYLES)],
    )
    deviation = phase.standard_deviation_mev_per_atom
    if deviation is not None and np.any(deviation > 0):
        axes.fill_between(
            temperatures,
            values - 2 * deviation,
            values + 2 * deviation,
            color=colour,
            alpha=0.15,
            linewidth=0,
        )


def _name_curves(axes: Axes, view: RankingView, shown: list[int], label_size: float) -> None:
    """Write names right of the axes, moved apart where curves end close together."""
    bottom, top = axes.get_ylim()
    height_points = axes.figure.bbox.height / axes.figure.dpi * 72 * _share_of_height(axes)
    gap = (top - bottom) * 1.25 * label_size / height_points
    phases = [view.phases[number] for number in shown]
    ends = [float(phase.relative_free_energy_mev_per_atom[-1]) for phase in phases]
    for number, phase, place in zip(shown, phases, spread_apart(ends, gap), strict=True):
        axes.annotate(
            f"{phase.label} {space_group_text(phase.space_group_symbol)}".strip(),
            (1.0, place),
            xycoords=("axes fraction", "data"),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            color=phase_colour(number),
            fontsize=label_size,
            annotation_clip=False,
        )


def _share_of_height(axes: Axes) -> float:
    """Part of the figure's height that one row of axes has, before the layout is known."""
    specification = axes.get_subplotspec()
    rows = 1 if specification is None else specification.get_gridspec().nrows
    return 0.72 / rows


def _mark_transitions(axes: Axes, view: RankingView, label_size: float) -> None:
    """Dotted lines with temperatures at the top, on two rows where they are close."""
    bottom, top = axes.get_ylim()
    temperatures = sorted(temperature_k for temperature_k, _, _ in view.transitions)
    axes.set_ylim(bottom, top + 0.12 * (top - bottom) if temperatures else top)
    span = float(view.temperatures_k[-1] - view.temperatures_k[0])
    row, previous = 0, -np.inf
    for temperature_k in temperatures:
        row = 1 - row if temperature_k - previous < CLOSE_TRANSITIONS * span else 0
        previous = temperature_k
        at_end = temperature_k > view.temperatures_k[-1] - CLOSE_TRANSITIONS * span
        axes.axvline(temperature_k, color="0.35", linestyle=":", linewidth=1.0)
        axes.annotate(
            f"{temperature_k:.0f} K",
            (temperature_k, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(-3 if at_end else 3, -3 - 1.3 * label_size * row),
            textcoords="offset points",
            ha="right" if at_end else "left",
            va="top",
            fontsize=label_size - 0.5,
            color="0.25",
        )


def _reference_label(view: RankingView) -> str:
    for phase in view.phases:
        if not np.any(phase.relative_free_energy_mev_per_atom):
            return phase.label
    return ""


def _footer(view: RankingView) -> str:
    """Phases beyond the scale, excluded ones with their reasons, and what experiment says."""
    lines = _far_texts(view)
    lines += [f"Not ordered: {_excluded_text(phase)}" for phase in view.excluded[:EXCLUDED_SHOWN]]
    more = len(view.excluded) - EXCLUDED_SHOWN
    if more > 0:
        lines.append(f"and {more} more not ordered")
    if view.experiment:
        lines += textwrap.wrap(f"Experiment: {view.experiment}", FOOTER_WIDTH)
    return "\n".join(lines)


def _far_texts(view: RankingView) -> list[str]:
    """Name every phase that is too far above the others to be drawn with them."""
    shown = _on_scale(view) if view.phases else []
    texts = []
    for number, phase in enumerate(view.phases):
        if number not in shown:
            above = phase.relative_free_energy_mev_per_atom - _lowest(view)
            name = f"{phase.label} {space_group_text(phase.space_group_symbol)}".strip()
            reach = f"{above.min():.0f} to {above.max():.0f} meV/atom above the lowest"
            texts.append(f"Beyond the scale: {name}: {reach}")
    return texts


def _excluded_text(phase: ExcludedPhase) -> str:
    name = f"{phase.label} {space_group_text(phase.space_group_symbol)}".strip()
    return f"{name}: {phase.reason}"
