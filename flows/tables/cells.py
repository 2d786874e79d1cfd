"""Cells of tables: numbers, verdicts, names; text of users never becomes markup."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from screening.quantities import Quantity

__all__ = [
    "MISSING",
    "NOT_CALIBRATED",
    "Column",
    "at_temperature",
    "digits_of",
    "make_table",
    "name_of",
    "number",
    "reach",
    "three_digits",
    "verdict",
]

MISSING = "-"
"""Shown where a document has no value."""

NOT_CALIBRATED = "not calibrated"
"""Shown in place of an interval that is open on both sides."""

_DIGITS = {"meV/atom": 1, "meV/K/atom": 3, "THz": 2}

_VERDICT_STYLES = {"stable": "green", "unstable": "red", "undetermined": "yellow"}
_SAME_TEMPERATURE_K = 1e-6
SHORT_LINE = 16
"""Characters that a wrapping column gets at least."""


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    name
        Heading, with the unit.
    rank
        Importance, 0 for columns that always stay; in narrow terminals the columns of highest
        rank are left out first.
    is_number
        Whether cells stand on the right.
    wraps
        Whether long cells may take several lines.
    """

    name: str
    rank: int = 0
    is_number: bool = False
    wraps: bool = False


def make_table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[Text | str]],
    *,
    title: str = "",
    caption: str = "",
    width: int | None = None,
    sections: Iterable[int] = (),
    tells_hidden: bool = False,
) -> Table:
    """Make a table that leaves out columns where the terminal is narrow.

    Parameters
    ----------
    columns, rows
        Every row has a cell for every column.
    title, caption
        Lines above and below; not read as markup.
    width
        Characters of the terminal, or None for all columns.
    sections
        Numbers of the rows after which a line is left free.
    tells_hidden
        Whether the line below says which columns were left out.
    """
    widths = [_width(column, [row[i] for row in rows]) for i, column in enumerate(columns)]
    kept = _kept(columns, widths, width)
    hidden = [" ".join(x.name.split()) for i, x in enumerate(columns) if i not in kept]
    if tells_hidden and hidden:
        caption = f"{caption}\n" * bool(caption) + f"a wider terminal shows {', '.join(hidden)}"
    table = Table(
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        title=Text(title, style="bold") if title else None,
        title_justify="left",
        caption=Text(caption, style="dim") if caption else None,
        caption_justify="left",
        header_style="bold",
    )
    for index in kept:
        column = columns[index]
        table.add_column(
            Text(column.name),
            justify="right" if column.is_number else "left",
            no_wrap=not column.wraps,
            min_width=widths[index] if index in kept[:-1] or not column.wraps else None,
            overflow="fold" if column.wraps else "ellipsis",
        )
    ends = set(sections)
    for place, row in enumerate(rows):
        table.add_row(*(_text(row[index]) for index in kept), end_section=place in ends)
    return table


def _width(column: Column, cells: Sequence[Text | str]) -> int:
    """Characters that a column needs; a wrapping one needs no more than a short line."""
    lines = [line for cell in (column.name, *cells) for line in str(cell).splitlines()]
    natural = max((len(line) for line in lines), default=0)
    return min(natural, SHORT_LINE) if column.wraps else natural


def _kept(columns: Sequence[Column], widths: Sequence[int], width: int | None) -> list[int]:
    """Choose the columns that fit, leaving out the least important ones first."""
    kept = list(range(len(columns)))
    while width is not None and sum(widths[index] + 2 for index in kept) > width:
        least = max(kept, key=lambda index: (columns[index].rank, index))
        if columns[least].rank == 0:
            break
        kept.remove(least)
    return kept


def _text(cell: Text | str) -> Text:
    """Keep square brackets in names from being read as markup."""
    return cell if isinstance(cell, Text) else Text(cell)


def number(value: float | None, digits: int = 2, *, sign: bool = False) -> str:
    """Write a number with fixed digits.

    Examples
    --------
    >>> number(3.14159), number(None), number(0.5, 1, sign=True), number(-0.001)
    ('3.14', '-', '+0.5', '0.00')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    rounded = round(value, digits) + 0.0  # no minus before zero
    return f"{rounded:+.{digits}f}" if sign and rounded else f"{rounded:.{digits}f}"


def three_digits(value: float) -> str:
    """Write a conductivity with three significant digits, and never an exponent.

    Examples
    --------
    >>> three_digits(0.5), three_digits(123.4), three_digits(12345.6)
    ('0.500', '123', '12346')
    """
    return f"{value:#.3g}".rstrip(".") if value < 1000.0 else f"{value:.0f}"  # noqa: PLR2004 - no exponents


def digits_of(quantity: Quantity) -> int:
    """Digits behind the point that are worth showing in the unit of a quantity."""
    return _DIGITS[quantity.unit]


def reach(lower: float | None, upper: float | None, digits: int) -> str:
    """Write from where to where an interval reaches; an open end is None or infinite.

    Examples
    --------
    >>> reach(-33.78, 4.56, 1), reach(None, 65.0, 0), reach(0.25, None, 2), reach(None, None, 1)
    ('-33.8 to 4.6', 'below 65', 'above 0.25', 'not calibrated')
    """
    low, high = number(lower, digits), number(upper, digits)
    if low == high == MISSING:
        return NOT_CALIBRATED
    if high == MISSING:
        return f"above {low}"
    return f"below {high}" if low == MISSING else f"{low} to {high}"


def verdict(value: str | None) -> Text:
    """Write a verdict in its colour; the word stays readable without."""
    if value is None:
        return Text(MISSING)
    return Text(str(value), style=_VERDICT_STYLES.get(str(value), ""))


def at_temperature(
    temperatures_k: Sequence[float], curve: Sequence[float] | None, temperature_k: float
) -> float | None:
    """Value of a curve at a temperature that its grid holds, else None.

    Examples
    --------
    >>> at_temperature([0.0, 300.0], [1.0, 2.0], 300.0)
    2.0
    """
    if curve is None:
        return None
    for grid_point, value in zip(temperatures_k, curve, strict=True):
        if abs(grid_point - temperature_k) < _SAME_TEMPERATURE_K:
            return value
    return None


def name_of(label: str | None, material_id: str) -> str:
    """Name of a material: what the user called it, else its key."""
    return label or material_id
