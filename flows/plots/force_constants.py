"""Bands of learned force constants with their uncertainty, against others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from flows.plots.phonons import add_wavenumbers, label_special_points, mark_imaginary, set_limits
from flows.plots.style import COLOURS, FONT_SIZE_POINTS, LINE_STYLES, new_figure, polish
from screening.errors import InconsistentDataError
from screening.prediction import BandStructure, FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_band_comparison"]

_STDS = 2.0
_SMALL = FONT_SIZE_POINTS - 1
_LEARNED = COLOURS[0]
_BAND: dict[str, Any] = {"color": COLOURS[4], "alpha": 0.6, "linewidth": 0}
_OTHERS = ("#000000", COLOURS[1], COLOURS[3])


def plot_band_comparison(
    bands: BandStructure,
    samples: Sequence[BandStructure] = (),
    others: Mapping[str, BandStructure] | None = None,
    *,
    label: str = "learned",
    title: str = "",
) -> Figure:
    """Draw bands with a band of two standard deviations, and those of other methods over them.

    Parameters
    ----------
    bands
        Bands of the posterior mean.
    samples
        Bands of draws from the posterior along the same path; two or more give a band.
    others
        Bands of other methods for the same crystal by name, such as finite displacements. Their
        paths may have lattice constants and numbers of points of their own.
    label
        Name of the bands for the legend.
    title
        See `figure_title`.

    Returns
    -------
    Figure
        Below the bands, where there are others, their differences from these with the band
        of two standard deviations around zero.

    Raises
    ------
    InconsistentDataError
        If paths or numbers of branches differ.
    """
    matched = {name: _on_path(name, one, bands) for name, one in (others or {}).items()}
    deviation = _deviation(bands, samples)
    figure = new_figure(7.0, 5.4 if matched else 4.0)
    if matched:
        top, below = figure.subplots(2, 1, height_ratios=(2.6, 1.0))
    else:
        top, below = figure.subplots(), None
    if title:
        figure.suptitle(title, fontsize=FONT_SIZE_POINTS + 1.5)
    _draw(top, bands, deviation, matched, label)
    if below is not None:
        _draw_differences(below, bands, deviation, matched)
    return figure


def _on_path(name: str, other: BandStructure, bands: BandStructure) -> FloatArray:
    """Frequencies of another method at the points of the path, shape (q, branch)."""
    from scipy.interpolate import PchipInterpolator

    same = _names(other) == _names(bands)
    if not same or other.frequencies_thz.shape[1] != bands.frequencies_thz.shape[1]:
        raise InconsistentDataError(
            "another path, or another number of branches",
            subject=name,
            hint="Compare bands of the same crystal, both along the path of band_structure",
        )
    parts = []
    for mine, theirs in zip(_segments(bands), _segments(other), strict=True):
        x, known = _fractions(bands, mine), _fractions(other, theirs)
        found = other.frequencies_thz[theirs]
        parts.append(PchipInterpolator(known, found, axis=0)(x))
    return np.concatenate(parts)


def _names(bands: BandStructure) -> list[str]:
    return [name for _, name in bands.labels]


def _segments(bands: BandStructure) -> list[slice]:
    ends = [*bands.segment_starts[1:], len(bands.q_points)]
    return [slice(start, end) for start, end in zip(bands.segment_starts, ends, strict=True)]


def _fractions(bands: BandStructure, segment: slice) -> FloatArray:
    """Places along a segment from 0 to 1."""
    along = bands.distances_per_angstrom[segment]
    return np.asarray((along - along[0]) / (along[-1] - along[0]))


def _deviation(bands: BandStructure, samples: Sequence[BandStructure]) -> FloatArray | None:
    """Compute the standard deviation of every frequency in THz, shape (q, branch)."""
    if len(samples) == 0:
        return None
    if any(one.frequencies_thz.shape != bands.frequencies_thz.shape for one in samples):
        raise InconsistentDataError("draws have another path", subject="samples")
    drawn = np.stack([one.frequencies_thz for one in samples])
    return np.asarray(np.sqrt(np.mean((drawn - bands.frequencies_thz) ** 2, axis=0)))


def _draw(
    axes: Axes,
    bands: BandStructure,
    deviation: FloatArray | None,
    others: Mapping[str, FloatArray],
    label: str,
) -> None:
    """Bands, their uncertainty, and other methods."""
    along = bands.distances_per_angstrom
    for part in _segments(bands):
        axes.plot(along[part], bands.frequencies_thz[part], color=_LEARNED, linewidth=2.0)
        if deviation is not None:
            half = _STDS * deviation[part]
            for middle, width in zip(bands.frequencies_thz[part].T, half.T, strict=True):
                axes.fill_between(along[part], middle - width, middle + width, **_BAND)
        for rank, found in enumerate(others.values()):
            axes.plot(along[part], found[part], **_style(rank))
    axes.set_xlim(along[0], along[-1])
    label_special_points(axes, bands)
    every = np.concatenate([bands.frequencies_thz, *others.values()])
    set_limits(axes, every)
    mark_imaginary(axes)
    polish(axes, y_label="Frequency (THz)")
    add_wavenumbers(axes)
    _draw_legend(axes, label, list(others), banded=deviation is not None)


def _draw_legend(axes: Axes, label: str, others: Sequence[str], *, banded: bool) -> None:
    """Name the lines above the panel."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Line2D | Patch] = [Line2D([], [], color=_LEARNED, linewidth=2.0, label=label)]
    if banded:
        handles.append(Patch(label=f"±{_STDS:g} standard deviations", **_BAND))
    handles += [Line2D([], [], label=name, **_style(rank)) for rank, name in enumerate(others)]
    axes.legend(
        handles=handles,
        frameon=False,
        fontsize=_SMALL,
        ncols=len(handles),
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
    )


def _style(rank: int) -> dict[str, Any]:
    return {
        "color": _OTHERS[rank % len(_OTHERS)],
        "linestyle": LINE_STYLES[1 + rank % (len(LINE_STYLES) - 1)],
        "linewidth": 1.0,
    }


def _draw_differences(
    axes: Axes,
    bands: BandStructure,
    deviation: FloatArray | None,
    others: Mapping[str, FloatArray],
) -> None:
    """How far others are, every branch, with the widest band around zero."""
    along = bands.distances_per_angstrom
    for part in _segments(bands):
        if deviation is not None:
            half = _STDS * deviation[part].max(axis=1)
            axes.fill_between(along[part], -half, half, **_BAND)
        for rank, found in enumerate(others.values()):
            gaps = found[part] - bands.frequencies_thz[part]
            axes.plot(along[part], gaps, **_style(rank))
    axes.axhline(0.0, color=_LEARNED, linewidth=1.0)
    axes.set_xlim(along[0], along[-1])
    label_special_points(axes, bands)
    polish(axes, y_label="Difference (THz)")
