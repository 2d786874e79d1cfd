"""Table of polymorph rankings, with what experiment says beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from flows.tables.cells import MISSING, Column, at_temperature, make_table, name_of, number, verdict

__all__ = ["RANKING_TEMPERATURES_K", "experiments_of", "table_ranking"]

RANKING_TEMPERATURES_K = (300.0, 1000.0)
"""Temperatures with a column of their own; the first one decides the order of the rows."""

EXPERIMENT = "experiment:"
CAPTION = (
    "ΔA: free energy above that of the ordered phase with the lowest static energy.  "
    "Rank =: tied with the lowest;  -: not ordered."
)
IGNORED = "Given energies are not used for {}: not every phase has one from the same source."

Documents = Iterable[Mapping[str, Any]]


def experiments_of(structures: Documents) -> dict[str, str]:
    """Collect what experiment says, from documents of the ``structures`` collection.

    It stands in the notes that begin with ``experiment:``, as the importer writes them.

    Returns
    -------
    dict
        Notes of every material that has some, by ``material_id``.

    Examples
    --------
    >>> notes = ["citation: a paper", "experiment: stable form"]
    >>> experiments_of([{"material_id": "ps-1", "notes": notes}])
    {'ps-1': 'stable form'}
    """
    notes = {one["material_id"]: list(one.get("notes") or ()) for one in structures}
    marked = {
        key: [note.removeprefix(EXPERIMENT) for note in found if note.startswith(EXPERIMENT)]
        for key, found in notes.items()
    }
    return {
        key: "; ".join(note.strip() for note in found) for key, found in marked.items() if found
    }


def table_ranking(
    documents: Documents,
    *,
    materials: Documents = (),
    experiments: Mapping[str, str] | None = None,
    temperatures_k: Sequence[float] = RANKING_TEMPERATURES_K,
    width: int | None = None,
) -> Table:
    """Make one table of all rankings, a block per composition.

    A rank with ``=`` is tied with the lowest. Phases that are kept out of the order come last
    with the reason. Narrow terminals lose the less important columns.

    Parameters
    ----------
    documents
        Documents of the ``polymorphs`` collection.
    materials
        Documents of the ``vibrational`` collection, for lowest frequencies and verdicts.
    experiments
        See `experiments_of`; without any, the column is left out.
    temperatures_k
        Temperatures in K with a column of relative free energy; the order of the rows is the
        one at the first of them. A grid without that temperature shows a dash.
    width
        Characters of the terminal, or None for all columns.
    """
    documents = list(documents)
    known = {one["material_id"]: one for one in materials}
    said = experiments or {}
    rows: list[list[Text | str]] = []
    sections = []
    for document in documents:
        rows.extend(_rows(document, known, said, temperatures_k))
        sections.append(len(rows) - 1)
    columns = _columns(temperatures_k, with_experiment=bool(said))
    kept = [index for index, column in enumerate(columns) if column is not None]
    return make_table(
        [column for column in columns if column is not None],
        [[row[index] for index in kept] for row in rows],
        caption="\n".join([CAPTION, *_energy_notes(documents)]),
        width=width,
        sections=sections,
    )


def _energy_notes(documents: Documents) -> list[str]:
    """Say where better energies were given and could not be used."""
    formulas = [
        one["formula_reduced"] for one in documents if "given_energies_ignored" in one["flags"]
    ]
    return [IGNORED.format(", ".join(formulas))] if formulas else []


def _columns(temperatures_k: Sequence[float], *, with_experiment: bool) -> list[Column | None]:
    return [
        Column("formula"),
        Column("rank"),
        Column("phase", wraps=True),
        Column("space group", rank=6),
        Column("E_static\nmeV/atom", rank=7, is_number=True),
        *(
            Column(f"ΔA {t:g} K\nmeV/atom", rank=min(place, 1) * 3, is_number=True)
            for place, t in enumerate(temperatures_k)
        ),
        Column("lowest\nTHz", rank=5, is_number=True),
        Column("verdict", rank=4),
        Column("note", rank=2, wraps=True),
        Column("experiment", rank=1, wraps=True) if with_experiment else None,
    ]


def _rows(
    document: Mapping[str, Any],
    known: Mapping[str, Mapping[str, Any]],
    said: Mapping[str, str],
    temperatures_k: Sequence[float],
) -> Iterator[list[Text | str]]:
    """Rows of one composition: the order first, then what is kept out of it."""
    formula = document["formula_reduced"]
    for one in _ordered(document, temperatures_k):
        key = one["material_id"]
        yield [
            formula,
            _rank(document, one, temperatures_k),
            name_of(one["label"], key),
            one["space_group_symbol"],
            number(one["relative_static_energy_mev_per_atom"], 1),
            *_free_energies(document, one, temperatures_k),
            number(known.get(key, {}).get("lowest_frequency_thz")),
            verdict(one["verdict"]),
            _note(document, one),
            said.get(key, ""),
        ]
        formula = ""
    for one in document["excluded"]:
        key = one["material_id"]
        yield [
            formula,
            MISSING,
            name_of(one["label"], key),
            one["space_group_symbol"],
            MISSING,
            *(MISSING for _ in temperatures_k),
            number(known.get(key, {}).get("lowest_frequency_thz")),
            verdict(known.get(key, {}).get("verdict")),
            one["detail"],
            said.get(key, ""),
        ]
        formula = ""


def _ordered(
    document: Mapping[str, Any], temperatures_k: Sequence[float]
) -> list[Mapping[str, Any]]:
    """Polymorphs by rank at the first temperature, by static energy where the grid lacks it."""
    grid = document["temperatures_k"]

    def place(one: Mapping[str, Any]) -> float:
        rank = at_temperature(grid, one["ranks"], temperatures_k[0]) if temperatures_k else None
        return one["relative_static_energy_mev_per_atom"] if rank is None else rank

    return sorted(document["polymorphs"], key=place)


def _rank(
    document: Mapping[str, Any], one: Mapping[str, Any], temperatures_k: Sequence[float]
) -> str:
    """Place at the first temperature, with ``=`` where it is tied with the lowest."""
    grid = document["temperatures_k"]
    if not temperatures_k:
        return MISSING
    place = at_temperature(grid, one["ranks"], temperatures_k[0])
    if place is None:
        return MISSING
    tied = sum(
        bool(at_temperature(grid, other["tied_with_lowest"], temperatures_k[0]))
        for other in document["polymorphs"]
    )
    own = at_temperature(grid, one["tied_with_lowest"], temperatures_k[0])
    return f"{place:g}=" if own and tied > 1 else f"{place:g}"


def _free_energies(
    document: Mapping[str, Any], one: Mapping[str, Any], temperatures_k: Sequence[float]
) -> list[str]:
    grid, curve = document["temperatures_k"], one["relative_free_energy_mev_per_atom"]
    return [number(at_temperature(grid, curve, t), 1, sign=True) for t in temperatures_k]


def _note(document: Mapping[str, Any], one: Mapping[str, Any]) -> str:
    """Transitions that begin or end with this phase, and what weakens its place."""
    key = one["material_id"]
    names = {
        other["material_id"]: name_of(other["label"], other["material_id"])
        for other in document["polymorphs"]
    }
    notes = [] if one["verdict"] == "stable" else [str(one["verdict"])]
    notes += [
        f"{names[crossing['above_id']]} above {crossing['temperature_k']:.0f} K"
        for crossing in document["crossings"]
        if crossing["between_lowest"] and crossing["comparable"] and crossing["below_id"] == key
    ]
    if not one["comparable_to_reference"]:
        notes.append("not comparable: other share of modes dropped")
    return "; ".join(notes)
