"""How well intervals keep what they promise, and how wide they are for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from flows.plots.style import COLOURS, FONT_SIZE_POINTS, LINE_STYLES, new_figure, polish
from screening.quantities import Property, Quantity
from screening.uncertainty.assessment import QuantityAssessment
from screening.uncertainty.conformal import coverage_band

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_calibration"]

_SYMBOLS = {
    Property.FREE_ENERGY: "$F$",
    Property.ENTROPY: "$S$",
    Property.HEAT_CAPACITY: "$C_V$",
    Property.LOWEST_FREQUENCY: "lowest frequency",
    Property.FREE_ENERGY_DIFFERENCE: r"$\Delta F$",
    Property.RELATIVE_FREE_ENERGY: r"$\Delta A$",
}


def plot_calibration(
    by_alpha: Mapping[float, Sequence[QuantityAssessment]], *, title: str = ""
) -> Figure:
    """Draw coverage and half width against the intended coverage.

    Parameters
    ----------
    by_alpha
        Held-out assessments of the same quantities, which have one unit, by risk.
    title
        Above the figure.

    Returns
    -------
    Figure
        Left the coverage, with the band where 95 % of held-out coverages lie if the intervals
        hold; right the median half width of the finite intervals.
    """
    figure = new_figure(7.6, 3.2)
    left, right = figure.subplots(1, 2)
    if title:
        figure.suptitle(title, fontsize=FONT_SIZE_POINTS + 1.0)
    _draw_band(left, by_alpha)
    names = dict.fromkeys(one.quantity for group in by_alpha.values() for one in group)
    unit = next((quantity.unit for quantity in names), "")
    for place, quantity in enumerate(names):
        found = {
            1.0 - alpha: one
            for alpha, group in by_alpha.items()
            for one in group
            if one.quantity == quantity
        }
        x = sorted(found)
        style = {
            "color": COLOURS[place % len(COLOURS)],
            "linestyle": LINE_STYLES[place % len(LINE_STYLES)],
            "marker": "o",
            "markersize": 3,
            "label": _label(quantity),
        }
        kept = [(p, found[p].coverage) for p in x]
        held = [(p, share) for p, share in kept if share is not None]
        left.plot([100 * p for p, _ in held], [100 * share for _, share in held], **style)
        wide = [(p, found[p].median_half_width) for p in x if found[p].median_half_width]
        right.plot([100 * p for p, _ in wide], [half for _, half in wide], **style)
    polish(left, x_label="Intended coverage (%)", y_label="Held-out coverage (%)")
    polish(right, x_label="Intended coverage (%)", y_label=f"Median half width ({unit})")
    right.set_ylim(bottom=0.0)
    left.legend(fontsize=FONT_SIZE_POINTS - 2, frameon=False, loc="lower right")
    return figure


def _label(quantity: Quantity) -> str:
    """Symbol and temperature; the unit is on the axis."""
    kelvin = quantity.temperature_k
    return _SYMBOLS[quantity.kind] + ("" if kelvin is None else f", {kelvin:g} K")


def _draw_band(axes: Axes, by_alpha: Mapping[float, Sequence[QuantityAssessment]]) -> None:
    alphas = sorted(by_alpha, reverse=True)
    x = [100 * (1.0 - alpha) for alpha in alphas]
    count = max((one.n_compositions for group in by_alpha.values() for one in group), default=1)
    bands = [coverage_band(max(count - 1, 1), alpha, n_tested=count) for alpha in alphas]
    axes.fill_between(
        x,
        [100 * low for low, _ in bands],
        [100 * high for _, high in bands],
        color="#DDDDDD",
        linewidth=0.0,
    )
    axes.plot(x, x, color="#666666", linewidth=0.8)
