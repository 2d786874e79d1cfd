"""Tables of labelled cells: which there are, and what came of an import."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from flows.tables.cells import MISSING, Column, make_table

if TYPE_CHECKING:
    from flows.labelled_files import ImportedCells

__all__ = [
    "payload_imported_cells",
    "payload_labelled_cells",
    "table_imported_cells",
    "table_labelled_cells",
]

_MEV = 1e3


def table_labelled_cells(rows: Sequence[Mapping[str, Any]], *, width: int | None = None) -> Table:
    """Make a table of the labelled cells of a database, a row for each source."""
    columns = (
        Column("labelled by", wraps=True),
        Column("crystals", is_number=True),
        Column("formulas", is_number=True, rank=1),
        Column("cells", is_number=True),
        Column("atoms", is_number=True),
        Column("labels", rank=1),
        Column("mean force\nmeV/Å", is_number=True),
        Column("largest\neV/Å", is_number=True, rank=2),
        Column("took s", is_number=True, rank=2),
    )
    cells: list[list[Text | str]] = [
        [
            str(one["source"]),
            str(one["n_crystals"]),
            str(one["n_formulas"]),
            str(one["n_cells"]),
            str(one["n_atoms"]),
            ", ".join(one["quantities"]),
            f"{_MEV * one['mean_force_ev_per_angstrom']:.1f}",
            f"{one['largest_force_ev_per_angstrom']:.2f}",
            MISSING if one["wall_seconds"] is None else f"{one['wall_seconds']:.1f}",
        ]
        for one in _by_source(rows)
    ]
    return make_table(columns, cells, width=width)


def payload_labelled_cells(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return plain JSON of the labelled cells of a database, by source."""
    return {"sources": _by_source(rows)}


def table_imported_cells(done: ImportedCells, *, width: int | None = None) -> Group:
    """Say what came of an import, and why frames were refused."""
    said = ", ".join(f"{count} by {name}" for name, count in done.sources.items())
    head = f"{done.n_frames} frames: {said or 'none of use'}; {done.n_new} are new"
    parts: list[Table | Text] = [Text(head)]
    n_cells = sum(done.sources.values())
    if done.n_matched < n_cells:
        parts.append(Text(f"{n_cells - done.n_matched} are of crystals that are not stored here"))
    if done.rejections:
        columns = (
            Column("refused", wraps=True),
            Column("code"),
            Column("what is wrong", wraps=True),
            Column("next step", wraps=True, rank=1),
        )
        rows: list[list[Text | str]] = [
            [one.subject, Text(one.code, style="red"), one.message, one.hint]
            for one in done.rejections
        ]
        parts.append(make_table(columns, rows, width=width))
    return Group(*parts)


def payload_imported_cells(done: ImportedCells) -> dict[str, Any]:
    """Return plain JSON of what came of an import."""
    return {
        "n_frames": done.n_frames,
        "n_new": done.n_new,
        "n_matched": done.n_matched,
        "sources": dict(done.sources),
        "rejections": [
            {
                "subject": one.subject,
                "code": one.code,
                "message": one.message,
                "next_step": one.hint,
            }
            for one in done.rejections
        ],
    }


def _by_source(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["calculator"], row["calculator_digest"]].append(row)
    return [
        _summed(name, digest, same)
        for (name, digest), same in sorted(groups.items(), key=lambda one: one[0])
    ]


def _summed(name: str, digest: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    atoms = [row["n_cells"] * row["n_cell_atoms"] for row in rows]
    means = [row["mean_force_ev_per_angstrom"] for row in rows]
    times = [row["wall_seconds"] for row in rows if row["wall_seconds"] is not None]
    known = {
        "energy": any(row["has_energies"] for row in rows),
        "stress": any(row["has_stresses"] for row in rows),
    }
    return {
        "source": name,
        "calculator_digest": digest,
        "n_crystals": len({row["material_id"] or row["formula_reduced"] for row in rows}),
        "n_formulas": len({row["formula_reduced"] for row in rows}),
        "n_cells": sum(row["n_cells"] for row in rows),
        "n_atoms": sum(atoms),
        "quantities": ["forces", *(quantity for quantity, is_there in known.items() if is_there)],
        "mean_force_ev_per_angstrom": sum(
            mean * count for mean, count in zip(means, atoms, strict=True)
        )
        / sum(atoms),
        "largest_force_ev_per_angstrom": max(row["largest_force_ev_per_angstrom"] for row in rows),
        "wall_seconds": sum(times) if times else None,
    }
