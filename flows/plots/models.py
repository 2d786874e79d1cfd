"""Cards of trained models as pictures: held-out predictions, and errors beside simple guesses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from flows.model_cards import Parity, ScoreRow
from flows.plots.style import (
    COLOURS,
    EXCLUDED_COLOUR,
    FONT_SIZE_POINTS,
    fitted,
    new_figure,
    polish,
)
from screening.errors import SettingError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_model_scores", "plot_parity"]

_COLUMNS = 3
_PANEL_INCH = 2.9
_MANY_POINTS = 500
_BAR = 0.36
_TICKS = 4


def plot_parity(parities: Sequence[Parity], *, title: str = "") -> Figure:
    """Draw held-out predictions against references, a panel for each quantity.

    Parameters
    ----------
    parities
        At least one.
    title
        See `figure_title`.

    Raises
    ------
    SettingError
        If there is nothing to draw.
    """
    if not parities:
        raise SettingError(
            "the card keeps no held-out predictions", subject="parity", hint="Train it again"
        )
    n_columns = min(_COLUMNS, len(parities))
    n_rows = math.ceil(len(parities) / n_columns)
    width = _PANEL_INCH * n_columns + 0.3
    figure = new_figure(width, _PANEL_INCH * n_rows + 0.4)
    grid = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    if title:
        figure.suptitle(fitted(title, width), fontsize=FONT_SIZE_POINTS + 1.5)
    for axes, one in zip(grid, parities, strict=False):
        _draw_parity(axes, one)
    for axes in grid[len(parities) :]:
        axes.set_axis_off()
    return figure


def _draw_parity(axes: Axes, one: Parity) -> None:
    from matplotlib.ticker import MaxNLocator

    reference, predicted = np.asarray(one.reference), np.asarray(one.predicted)
    low = float(min(reference.min(), predicted.min()))
    high = float(max(reference.max(), predicted.max()))
    margin = 0.05 * (high - low or 1.0)
    ends = (low - margin, high + margin)
    axes.plot(ends, ends, color="0.6", linewidth=0.9, zorder=1)
    is_many = len(reference) > _MANY_POINTS
    axes.scatter(
        reference,
        predicted,
        s=4 if is_many else 11,
        alpha=0.25 if is_many else 0.6,
        color=COLOURS[0],
        linewidths=0,
        rasterized=is_many,
        zorder=2,
    )
    axes.text(
        0.04, 0.96, "\n".join(_scores_of(one)), transform=axes.transAxes, va="top",
        fontsize=FONT_SIZE_POINTS - 1,
    )  # fmt: skip
    axes.set_xlim(*ends)
    axes.set_ylim(*ends)
    axes.set_aspect("equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(_TICKS))
    axes.set_title(one.label, fontsize=FONT_SIZE_POINTS)
    unit = f" ({one.unit})" if one.unit else ""
    polish(axes, x_label=f"Reference{unit}", y_label=f"Predicted{unit}")


def _scores_of(one: Parity) -> list[str]:
    """Write how many were held out and how well they were predicted: all, not only those drawn."""
    reference, predicted = np.asarray(one.reference), np.asarray(one.predicted)
    if one.scores is None:
        error = float(np.abs(predicted - reference).mean())
        spread = float(np.abs(reference - reference.mean()).mean())
        skill = 1.0 - error / spread if spread > 0.0 else None
    else:
        error, skill = one.scores.mae, one.scores.skill
    n_all = len(reference)
    if one.scores is not None and one.scores.n_structures is not None:
        n_all = one.scores.n_structures
    shown = f"{len(reference):,} shown of " if n_all > len(reference) else ""
    lines = [f"{shown}{n_all:,} held out", f"MAE {error:#.3g}"]
    return lines if skill is None else [*lines, f"skill {skill:.2f}"]


def plot_model_scores(
    rows: Sequence[ScoreRow],
    variants: Mapping[str, Mapping[str, float]] | None = None,
    *,
    title: str = "",
) -> Figure:
    """Draw errors over what the mean as a guess would reach, beside simple guesses.

    Published errors stand as numbers: they are of other structures, whose spread is another.

    Parameters
    ----------
    rows
        Scores of the model; at least one.
    variants
        Mean absolute errors of variants of the method by quantity, for a second panel.
    title
        See `figure_title`.

    Raises
    ------
    SettingError
        If there is nothing to draw.
    """
    drawn = [row for row in rows if row.mad]
    if not drawn:
        raise SettingError("the card keeps no scores", subject="scores", hint="Train it again")
    compared = {
        name: found
        for name, by_quantity in (variants or {}).items()
        if (found := {row.name: by_quantity[row.name] for row in drawn if row.name in by_quantity})
    }
    height = max(2.6, 0.42 * len(drawn) + 1.2)
    width = 10.4 if compared else 6.6
    figure = new_figure(width, height)
    grid = figure.subplots(1, 2 if compared else 1, sharey=True, squeeze=False)[0]
    if title:
        figure.suptitle(fitted(title, width), fontsize=FONT_SIZE_POINTS + 1.5)
    _draw_errors(grid[0], drawn)
    if compared:
        _draw_variants(grid[1], drawn, compared)
    grid[0].set_yticks(range(len(drawn)), [_name(row) for row in drawn])
    grid[0].set_ylim(len(drawn) - 0.4, -0.6)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=FONT_SIZE_POINTS - 1)
    return figure


def _mad(row: ScoreRow) -> float:
    assert row.mad is not None  # others are not drawn
    return row.mad


def _name(row: ScoreRow) -> str:
    return f"{row.label} ({row.unit})" if row.unit else row.label


def _draw_errors(axes: Axes, rows: Sequence[ScoreRow]) -> None:
    places = np.arange(len(rows))
    own = [row.mae / _mad(row) for row in rows]
    axes.barh(places - _BAR / 2, own, _BAR, color=COLOURS[0], label="this model")
    guessed = [(place, row) for place, row in enumerate(rows) if row.baseline_mae is not None]
    if guessed:
        axes.barh(
            [place + _BAR / 2 for place, _ in guessed],
            [(row.baseline_mae or 0.0) / _mad(row) for _, row in guessed],
            _BAR,
            color=COLOURS[4],
            label=_joined({row.baseline for _, row in guessed}),
        )
    _write_errors(axes, rows)
    axes.axvline(1.0, color=EXCLUDED_COLOUR, linewidth=0.9, linestyle=":", label="the mean")
    axes.set_xlim(left=0.0)
    _finish(axes, "MAE / mean absolute deviation")


def _write_errors(axes: Axes, rows: Sequence[ScoreRow]) -> None:
    """Write the errors at the right, published ones behind them."""
    texts = [(-0.85, "error")] + [(float(place), _error(row)) for place, row in enumerate(rows)]
    if any(row.paper for row in rows):
        texts[0] = (-0.85, "error [published,\nother structures]")
    for place, text in texts:
        axes.annotate(
            text,
            (1.0, place),
            xycoords=("axes fraction", "data"),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=FONT_SIZE_POINTS - 1.5,
            color="0.25",
            annotation_clip=False,
        )


def _error(row: ScoreRow) -> str:
    """Write the error of a model, of the kind that is published where one is.

    Examples
    --------
    >>> _error(ScoreRow("x", "x", "eV", 0.1, 0.2, 0.4, paper={"rmse": 0.3}))
    'RMSE 0.200 [0.300]'
    """
    kind = "rmse" if "mae" not in row.paper and "rmse" in row.paper else "mae"
    own = f"{kind.upper()} {getattr(row, kind):#.3g}"
    return f"{own} [{row.paper[kind]:#.3g}]" if kind in row.paper else own


def _joined(names: set[str]) -> str:
    return " or ".join(sorted(name for name in names if name)) or "best simple guess"


def _draw_variants(
    axes: Axes, rows: Sequence[ScoreRow], variants: Mapping[str, Mapping[str, float]]
) -> None:
    places = {row.name: (place, _mad(row)) for place, row in enumerate(rows)}
    for number, (variant, errors) in enumerate(variants.items()):
        axes.plot(
            [error / places[name][1] for name, error in errors.items()],
            [places[name][0] for name in errors],
            linestyle="none",
            marker="os^Dv"[number % 5],
            markersize=5,
            color=COLOURS[number % len(COLOURS)],
            label=variant.replace("_", " "),
        )
    axes.axvline(1.0, color=EXCLUDED_COLOUR, linewidth=0.9, linestyle=":")
    axes.tick_params(labelleft=False)
    axes.set_xlim(left=0.0)
    _finish(axes, "MAE of variants / mean absolute deviation")


def _finish(axes: Axes, label: str) -> None:
    axes.grid(axis="x", color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)
    polish(axes, x_label=label)
