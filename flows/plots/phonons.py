"""Band structure and density of states, side by side."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flows.plots.style import (
    COLOURS,
    FONT_SIZE_POINTS,
    IMAGINARY_COLOUR,
    new_figure,
    polish,
)
from screening.prediction import BandStructure, DensityOfStates, FloatArray, Stability, Verdict
from screening.stability import ZONE_CENTRE
from screening.units import THZ_TO_INVERSE_CM

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Transform

__all__ = [
    "add_wavenumbers",
    "label_special_points",
    "mark_imaginary",
    "plot_phonons",
    "set_limits",
]

IMAGINARY_BELOW_THZ = -0.1
ROUNDING_THZ = 0.01
_BAND_COLOUR = COLOURS[0]
_GREEK = {
    "GAMMA": "Γ", "DELTA": "Δ", "SIGMA": "Σ", "LAMBDA": "Λ", "OMEGA": "Ω", "PHI": "Φ",
}  # fmt: skip
_LABEL_WIDTH_PER_LETTER = 0.85  # of the font size, with air around it


def plot_phonons(
    band_structure: BandStructure,
    density_of_states: DensityOfStates | None = None,
    *,
    species: Sequence[str] = (),
    stability: Stability | None = None,
    title: str = "",
    imaginary_below_thz: float = IMAGINARY_BELOW_THZ,
) -> Figure:
    """Draw phonon bands, and the density of states beside them where it is known.

    Imaginary frequencies are drawn below zero, as negative numbers, on a tinted ground and in
    another colour, and the lowest one is named. Frequencies stand in THz on the left and
    in 1/cm on the right.

    Parameters
    ----------
    band_structure, density_of_states
        Results for the same primitive cell.
    species
        Element of every site, shape (site,); projected densities are then summed by element.
    stability
        Verdict to write below: the lowest frequency of all often lies off the path.
    title
        See `figure_title`.
    imaginary_below_thz
        Bands are coloured as imaginary below this frequency in THz; numerical noise around zero
        is not.

    Returns
    -------
    Figure
        Not yet written to a file; see `save_figure`.
    """
    figure = new_figure(7.6, 4.0)
    if density_of_states is None:
        axes = [figure.subplots()]
    else:
        axes = list(figure.subplots(1, 2, width_ratios=(3.2, 1.0), sharey=True))
    if title:
        figure.suptitle(title, fontsize=FONT_SIZE_POINTS + 1.5)
    _draw_bands(axes[0], band_structure, imaginary_below_thz)
    if density_of_states is not None:
        _draw_dos(axes[1], density_of_states, species)
    set_limits(axes[0], band_structure.frequencies_thz)
    for panel in axes:
        mark_imaginary(panel)
    add_wavenumbers(axes[-1])
    if stability is not None:
        _write_verdict(figure, stability)
    return figure


def _draw_bands(axes: Axes, bands: BandStructure, imaginary_below_thz: float) -> None:
    """Draw every branch of every segment, imaginary parts in their own colour."""
    from matplotlib.patches import Rectangle

    ends = [*bands.segment_starts[1:], len(bands.q_points)]
    below_zero = Rectangle((0.0, -1.0), 1.0, 1.0, transform=_wide_transform(axes, bands))
    for start, end in zip(bands.segment_starts, ends, strict=True):
        along = bands.distances_per_angstrom[start:end]
        values = bands.frequencies_thz[start:end]
        axes.plot(along, values, color=_BAND_COLOUR, linewidth=1.1)
        marked = np.where(_imaginary_runs(values, imaginary_below_thz), values, np.nan)
        for line in axes.plot(along, marked, color=IMAGINARY_COLOUR, linewidth=1.7):
            line.set_clip_path(below_zero)
            line.set_in_layout(False)  # its hidden part would claim room
    axes.set_xlim(bands.distances_per_angstrom[0], bands.distances_per_angstrom[-1])
    label_special_points(axes, bands)
    polish(axes, y_label="Frequency (THz)")
    _name_lowest(axes, bands, imaginary_below_thz)


def _wide_transform(axes: Axes, bands: BandStructure) -> Transform:
    """Map the unit square's lower neighbour to all of the panel below zero frequency."""
    from matplotlib.transforms import Affine2D

    depth = 2.0 * max(1.0, -float(bands.frequencies_thz.min()))
    first, last = bands.distances_per_angstrom[0], bands.distances_per_angstrom[-1]
    return Affine2D().scale(float(last - first), depth).translate(first, 0.0) + axes.transData


def _imaginary_runs(values: FloatArray, imaginary_below_thz: float) -> NDArray[np.bool_]:
    """Mark stretches below zero that go below the threshold, and one point on either side.

    Parameters
    ----------
    values
        Frequencies of one segment in THz, shape (q, branch).
    imaginary_below_thz
        Stretches that stay above it are noise.
    """
    marked = np.zeros(values.shape, dtype=bool)
    for branch in range(values.shape[1]):
        signs = values[:, branch] < 0.0
        edges = np.flatnonzero(np.diff(np.concatenate([[False], signs, [False]])))
        for first, after in zip(edges[::2], edges[1::2], strict=True):
            if values[first:after, branch].min() < imaginary_below_thz:
                marked[max(first - 1, 0) : after + 1, branch] = True
    return marked


def label_special_points(axes: Axes, bands: BandStructure) -> None:
    """Write names of special points under the axis; those that would overlap go one line lower."""
    ticks = _merged_labels(bands)
    width_points = axes.figure.bbox.width / axes.figure.dpi * 72 * 0.62
    length = float(bands.distances_per_angstrom[-1] - bands.distances_per_angstrom[0])
    free_from = [-np.inf, -np.inf, -np.inf]
    names = []
    for place, name in ticks:
        centre = (place - float(bands.distances_per_angstrom[0])) / length * width_points
        half = _printed_length(name) * _LABEL_WIDTH_PER_LETTER * FONT_SIZE_POINTS / 2
        row = next((row for row in range(3) if centre - half >= free_from[row]), 2)
        free_from[row] = centre + half
        names.append("\n" * row + name)
        axes.axvline(place, color="0.75", linewidth=0.7, zorder=0)
    axes.set_xticks([place for place, _ in ticks], names)
    axes.tick_params(axis="x", length=0)


def _merged_labels(bands: BandStructure) -> list[tuple[float, str]]:
    """One name per place on the axis; both names where the path jumps."""
    merged: dict[float, list[str]] = {}
    for index, name in sorted(bands.labels):
        place = round(float(bands.distances_per_angstrom[index]), 9)
        text = _special_point_text(name)
        if text not in merged.setdefault(place, []):
            merged[place].append(text)
    return [(place, "|".join(names)) for place, names in merged.items()]


def _special_point_text(name: str) -> str:
    """Greek letters and subscripts for names as seekpath writes them."""
    head, _, index = name.replace("\\", "").strip("$").partition("_")
    head = _GREEK.get(head.upper(), head)
    return f"{head}$_{{{index}}}$" if index else head


def _printed_length(name: str) -> int:
    return len(re.sub(r"[${}_]", "", name))


def _name_lowest(axes: Axes, bands: BandStructure, imaginary_below_thz: float) -> None:
    """Write the lowest imaginary frequency beside its point."""
    flat = int(np.argmin(bands.frequencies_thz))
    point, branch = np.unravel_index(flat, bands.frequencies_thz.shape)
    lowest = float(bands.frequencies_thz[point, branch])
    if lowest >= imaginary_below_thz:
        return
    place = float(bands.distances_per_angstrom[point])
    on_the_right = place > np.mean(axes.get_xlim())
    axes.annotate(
        f"{abs(lowest):.2f}i THz",
        (place, lowest),
        xytext=(-6 if on_the_right else 6, -3),
        textcoords="offset points",
        ha="right" if on_the_right else "left",
        va="top",
        color=IMAGINARY_COLOUR,
        fontsize=FONT_SIZE_POINTS - 1,
        bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0.0, "pad": 0.8},
    )
    axes.plot(place, lowest, "o", color=IMAGINARY_COLOUR, markersize=3.5, clip_on=False)


def set_limits(axes: Axes, frequencies_thz: FloatArray) -> None:
    """Let frequencies begin at zero, or below the lowest where that is more than rounding."""
    lowest, highest = float(frequencies_thz.min()), float(frequencies_thz.max())
    span = max(highest - min(lowest, 0.0), 1e-6)
    bottom = lowest - 0.09 * span if lowest < -ROUNDING_THZ else 0.0
    axes.set_ylim(bottom, highest + 0.05 * span)


def mark_imaginary(axes: Axes) -> None:
    """Tint everything below zero, where it is shown."""
    bottom = axes.get_ylim()[0]
    if bottom < 0.0:
        axes.axhspan(bottom, 0.0, color=IMAGINARY_COLOUR, alpha=0.09, zorder=0, linewidth=0)
        axes.axhline(0.0, color="0.3", linewidth=0.8)


def _draw_dos(axes: Axes, dos: DensityOfStates, species: Sequence[str]) -> None:
    """Total density as an outline, the share of every element as a line."""
    grid = dos.frequencies_thz
    axes.fill_betweenx(grid, dos.total_per_thz, color="0.88", linewidth=0)
    axes.plot(dos.total_per_thz, grid, color="0.35", linewidth=1.0, label="total")
    elements = list(dict.fromkeys(species))
    projected = dos.projected_per_thz
    for number, element in enumerate(elements if len(elements) > 1 else []):
        if projected is None:
            break
        sites = [index for index, name in enumerate(species) if name == element]
        share = np.asarray(projected)[sites].sum(axis=0)
        axes.plot(share, grid, color=COLOURS[(number + 1) % len(COLOURS)], lw=1.1, label=element)
    axes.set_xlim(0.0, 1.08 * float(np.max(dos.total_per_thz)) or 1.0)
    polish(axes, x_label="DOS (states/THz)")
    if len(elements) > 1 and projected is not None:
        axes.legend(frameon=False, loc="best", handlelength=1.2, fontsize=FONT_SIZE_POINTS - 1)


def _write_verdict(figure: Figure, stability: Stability) -> None:
    lowest = stability.lowest_frequency_thz
    value = f"{lowest:.2f}" if lowest >= 0.0 else f"{-lowest:.2f}i"
    q_point = np.round(stability.lowest_frequency_q_point, 3) + 0.0  # no minus before zero
    place = ", ".join(f"{component:g}" for component in q_point)
    region = stability.lowest_frequency_region
    where = "at the zone centre, the rest unknown," if region == ZONE_CENTRE else f"on the {region}"
    figure.supxlabel(
        f"{stability.verdict.value} (criterion {stability.criterion}): lowest frequency "
        f"{value} THz {where} at q = ({place})",
        fontsize=FONT_SIZE_POINTS - 1,
        color=IMAGINARY_COLOUR if stability.verdict is Verdict.UNSTABLE else "0.35",
    )


def add_wavenumbers(axes: Axes) -> None:
    """Add a second scale in 1/cm on the right."""
    twin = axes.secondary_yaxis(
        "right",
        functions=(_to_inverse_cm, _to_thz),
    )
    twin.set_ylabel("Wavenumber (cm$^{-1}$)", fontsize=FONT_SIZE_POINTS)
    twin.tick_params(labelsize=FONT_SIZE_POINTS - 1, width=0.8)


def _to_inverse_cm(thz: ArrayLike) -> FloatArray:
    return np.asarray(np.asarray(thz, dtype=np.float64) * THZ_TO_INVERSE_CM)


def _to_thz(inverse_cm: ArrayLike) -> FloatArray:
    return np.asarray(np.asarray(inverse_cm, dtype=np.float64) / THZ_TO_INVERSE_CM)
