"""What the command line prints: results to standard output, the rest to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from screening.errors import ScreeningError
from stores.query import in_values

if TYPE_CHECKING:
    from flows.doctor import Check
    from stores.connect import Database

__all__ = [
    "err",
    "out",
    "print_checks",
    "print_error",
    "print_json",
    "print_lines",
    "print_paths",
    "print_rankings",
    "ranking_payload",
]

out = Console(emoji=False)
err = Console(stderr=True, emoji=False)


def print_json(payload: Mapping[str, Any]) -> None:
    """Print one JSON object; nothing else goes to standard output then."""
    sys.stdout.write(json.dumps(payload, indent=2, allow_nan=False, default=str) + "\n")


def print_paths(paths: Iterable[Path]) -> None:
    """Print files that were written, one a line."""
    for path in paths:
        sys.stdout.write(f"{path}\n")


def print_lines(lines: Iterable[str]) -> None:
    """Print what a user should know but no program reads."""
    for line in lines:
        err.print(escape(line), highlight=False)


def print_error(error: ScreeningError) -> None:
    """Print an error with its code."""
    code = error.code or type(error).__name__
    err.print(f"[red]{code}[/] {escape(str(error))}", highlight=False)


def print_checks(checks: Iterable[Check]) -> None:
    """Print a line for every check."""
    marks = {True: "[green]ok[/]  ", False: "[red]bad[/] ", None: "[dim]--[/]  "}
    for check in checks:
        out.print(f"{marks[check.ok]} {check.name:<14} {escape(check.detail)}", highlight=False)


def ranking_payload(database_uri: str, formulas: Sequence[str] | None) -> dict[str, Any]:
    """Return the JSON of the rankings of some compositions, or of all."""
    from flows import tables

    documents, materials, experiments = _ranking_parts(database_uri, formulas)
    return dict(tables.payload_ranking(documents, materials=materials, experiments=experiments))


def print_rankings(
    database_uri: str,
    formulas: Sequence[str] | None,
    *,
    screened: Sequence[str] | None = None,
    temperatures_k: Sequence[float] = (300.0, 1000.0),
) -> None:
    """Print rankings as a table.

    Parameters
    ----------
    database_uri
        Where they are.
    formulas
        Which compositions; None means all.
    screened
        Materials: only their compositions, and of these none with one phase.
    temperatures_k
        Temperatures in K that get a column.
    """
    from flows import tables

    documents, materials, experiments = _ranking_parts(database_uri, formulas, screened)
    if not documents:
        print_lines(["no rankings: nothing is screened yet, or every composition has one phase"])
    else:
        table = tables.table_ranking(
            documents,
            materials=materials,
            experiments=experiments,
            temperatures_k=temperatures_k,
            width=out.width,
        )
        out.print(table)


def _ranking_parts(
    database_uri: str, formulas: Sequence[str] | None, screened: Sequence[str] | None = None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, str]]:
    """Rankings, the summaries of their phases, and what experiment says of them."""
    from flows.catalogue import originals_of
    from flows.drawing import rankings_of, structures_of
    from flows.tables import experiments_of
    from stores.connect import open_database

    with open_database(database_uri, read_only=True) as database:
        documents = rankings_of(database, formulas or None)
        if screened is not None:
            documents = _several_with(documents, frozenset(originals_of(database, screened)))
        structures = structures_of(database, documents)
        names = [one["material_id"] for one in structures]
        summaries = database.vibrational.query(in_values("material_id", names))
        materials = _as_ranked(database, documents, list(summaries))
    return documents, materials, experiments_of(structures)


def _several_with(documents: list[dict[str, Any]], names: frozenset[str]) -> list[dict[str, Any]]:
    """Rankings of several phases, one of them among those that are named."""
    chosen = []
    for document in documents:
        phases = {one["material_id"] for one in (*document["polymorphs"], *document["excluded"])}
        if len(phases) > 1 and phases & names:
            chosen.append(document)
    return chosen


def _as_ranked(
    database: Database, documents: Sequence[dict[str, Any]], summaries: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Summaries with the frequency of the prediction that was ranked, where it is another."""
    ranked = {
        one["material_id"]: one["prediction_id"]
        for document in documents
        for one in document["polymorphs"]
    }
    others = [
        ranked[one["material_id"]]
        for one in summaries
        if ranked.get(one["material_id"], one["prediction_id"]) != one["prediction_id"]
    ]
    lowest = {
        row["material_id"]: row["stability"]["lowest_frequency_thz"]
        for row in database.predictions.query(in_values("prediction_id", others))
    }
    name = "lowest_frequency_thz"
    return [one | {name: lowest.get(one["material_id"], one[name])} for one in summaries]
