"""Colours, fonts, titles and files: what all figures share.

The palette is the one of Okabe and Ito, which readers with any colour vision can tell apart.

References
----------
M. Okabe and K. Ito, Color Universal Design, https://jfly.uni-koeln.de/color/ (2008).
"""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from screening.errors import SettingError
from stores.exporters import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "EXCLUDED_COLOUR",
    "IMAGINARY_COLOUR",
    "LINE_STYLES",
    "figure_title",
    "fitted",
    "formula_text",
    "new_figure",
    "polish",
    "save_figure",
    "space_group_text",
    "spread_apart",
]

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#000000", "#F0E442")
"""Colours of phases and elements, in the order in which they are given out."""

LINE_STYLES = ("-", "--", "-.", ":")
"""A second mark besides colour, for grey prints."""

IMAGINARY_COLOUR = "#D55E00"
EXCLUDED_COLOUR = "#666666"
FILE_SUFFIXES = (".pdf", ".png", ".svg")
RESOLUTION_DOTS_PER_INCH = 160
FONT_SIZE_POINTS = 9.0
_CHARACTERS_PER_INCH = 10.0  # of titles, which are a little larger than all else


def new_figure(width_inch: float, height_inch: float) -> Figure:
    """Make an empty white figure with its own canvas and automatic margins."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_inch, height_inch), layout="constrained")
    FigureCanvasAgg(figure)
    figure.set_facecolor("white")
    return figure


def polish(axes: Axes, *, x_label: str = "", y_label: str = "") -> None:
    """Give axes the house style: names, small ticks, no box where nothing ends."""
    axes.set_xlabel(x_label, fontsize=FONT_SIZE_POINTS)
    axes.set_ylabel(y_label, fontsize=FONT_SIZE_POINTS)
    axes.tick_params(labelsize=FONT_SIZE_POINTS - 1, width=0.8)
    for side in axes.spines.values():
        side.set_linewidth(0.8)


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure in the format of the path's suffix, atomically.

    Raises
    ------
    SettingError
        If the suffix is none of .pdf, .png and .svg, or the place cannot be written.
    """
    target = Path(path)
    if target.suffix.lower() not in FILE_SUFFIXES:
        raise SettingError(
            f"no picture format has the suffix {target.suffix!r}",
            subject=str(path),
            hint=f"Use one of {', '.join(FILE_SUFFIXES)}",
        )
    with atomic_path(target) as temporary:
        figure.savefig(temporary, dpi=RESOLUTION_DOTS_PER_INCH)
    return target


def formula_text(formula: str) -> str:
    """Write a formula with subscripts.

    Examples
    --------
    >>> formula_text("Al2O3")
    'Al$_{2}$O$_{3}$'
    """
    return re.sub(r"(?<=[A-Za-z)])(\d+(?:\.\d+)?)", r"$_{\1}$", formula)


def space_group_text(symbol: str) -> str:
    r"""Write a Hermann-Mauguin symbol with screw axes and bars.

    Examples
    --------
    >>> space_group_text("P4_2/mnm")
    '$P4_{2}/mnm$'
    >>> space_group_text("Fm-3m")
    '$Fm\\bar{3}m$'
    """
    if not symbol:
        return ""
    text = re.sub(r"_(\d)", r"_{\1}", symbol)
    return "$" + re.sub(r"-(\d)", r"\\bar{\1}", text) + "$"


def figure_title(
    formula: str, space_group_symbol: str = "", method: str = "", model: str = ""
) -> str:
    """Name what a figure shows: formula, space group, method and model.

    Examples
    --------
    >>> figure_title("TiO2", "Pbca", "potential phonons", "chgnet:0.3.0")
    'TiO$_{2}$  $Pbca$  ·  potential phonons  ·  chgnet:0.3.0'
    """
    crystal = f"{formula_text(formula)}  {space_group_text(space_group_symbol)}".strip()
    return "  ·  ".join(part for part in (crystal, method, model) if part)


def fitted(title: str, width_inch: float) -> str:
    r"""Break a title without formulas where it is wider than its figure.

    Examples
    --------
    >>> fitted("ldml:KZnF3@c6261463b0a4  ·  189 structures", 3.2)
    'ldml:KZnF3@c6261463b0a4  ·  189\nstructures'
    """
    return "\n".join(textwrap.wrap(title, max(8, int(width_inch * _CHARACTERS_PER_INCH))))


def spread_apart(positions: Sequence[float], gap: float) -> list[float]:
    """Move labels along one axis until neighbours are a gap apart, as little as needed.

    Parameters
    ----------
    positions
        Where the labels want to stand, in any order.
    gap
        Smallest distance, in the same unit.

    Examples
    --------
    >>> spread_apart([0.0, 10.0, 0.2], 1.0)
    [-0.4, 10.0, 0.6]
    """
    order = sorted(range(len(positions)), key=lambda index: (positions[index], index))
    groups: list[list[int]] = []
    centres: list[float] = []
    for index in order:
        groups.append([index])
        centres.append(positions[index])
        while len(groups) > 1 and _touch(groups, centres, gap):
            merged = groups.pop()
            centres.pop()
            groups[-1] += merged
            centres[-1] = sum(positions[member] for member in groups[-1]) / len(groups[-1])
    moved = [0.0] * len(positions)
    for group, centre in zip(groups, centres, strict=True):
        for rank, index in enumerate(group):
            moved[index] = round(centre + (rank - (len(group) - 1) / 2) * gap, 9)
    return moved


def _touch(groups: list[list[int]], centres: list[float], gap: float) -> bool:
    """Whether the labels of the last two groups would overlap."""
    return centres[-1] - centres[-2] < gap * (len(groups[-1]) + len(groups[-2])) / 2 - 1e-12
