"""Table of hulls at temperature."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from flows.tables.cells import MISSING, Column, at_temperature, make_table, number

__all__ = ["table_hull"]


def table_hull(
    documents: Iterable[Mapping[str, Any]],
    *,
    temperatures_k: Sequence[float] = (300.0, 1000.0),
    width: int | None = None,
) -> Table:
    """Make one table of all hulls, a block per chemical system.

    Parameters
    ----------
    documents
        Documents of the ``hulls`` collection.
    temperatures_k
        Temperatures in K with a column of distances from the hull.
    width
        Characters of the terminal.
    """
    columns = (
        Column("system"),
        Column("formula"),
        Column("material"),
        *(Column(f"above hull\n{t:g} K meV/atom", is_number=True) for t in temperatures_k),
        Column("note", rank=1, wraps=True),
    )
    found = list(documents)
    rows = [row for one in found for row in _rows(one, temperatures_k)]
    return make_table(columns, rows, width=width)


def _rows(
    document: Mapping[str, Any], temperatures_k: Sequence[float]
) -> Iterator[list[Text | str]]:
    """Rows of one system: its phases, or why it has no hull."""
    system = document["chemsys"]
    blanks = [MISSING] * len(temperatures_k)
    if not document["available"]:
        yield [system, MISSING, MISSING, *blanks, document["detail"] or ""]
        return
    grid = document["temperatures_k"]
    for phase in document["phases"]:
        curve = phase["energy_above_hull_mev_per_atom"]
        above = [number(at_temperature(grid, curve, t), 1) for t in temperatures_k]
        yield [system, phase["formula_reduced"], phase["material_id"], *above, ""]
        system = ""
    for one in document["excluded"]:
        yield [system, MISSING, one["material_id"], *blanks, one["detail"]]
        system = ""
