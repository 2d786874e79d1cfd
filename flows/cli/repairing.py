"""The command that repairs unstable structures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.app import ExitCode, Json, app, database_uri
from flows.cli.options import Calculator, Query, Workers
from flows.cli.output import err, out, print_json, print_lines
from screening.calculators import DEFAULT_CALCULATOR
from screening.errors import SettingError

if TYPE_CHECKING:
    from flows.families import Family
    from screening.repair import RepairSettings

__all__: list[str] = []


@app.command()
def repair(  # noqa: PLR0913 - every option is an argument
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID]...", help="Material ids, their starts, or labels; nothing: all unstable."
        ),
    ] = None,
    *,
    query: Query = None,
    calculator: Calculator = DEFAULT_CALCULATOR,
    workers: Workers = None,
    amplitudes: Annotated[
        str | None,
        typer.Option(
            help="Largest displacements along the mode in Å. [default: 0.05,0.1,0.15,0.2,0.3,0.4]"
        ),
    ] = None,
    max_cell_atoms: Annotated[
        int | None, typer.Option(help="Largest cell that may hold the mode. [default: 64]")
    ] = None,
    combine: Annotated[
        bool,
        typer.Option("--combine", help="Follow the sum of degenerate modes, not the first."),
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Repair also what a repair made.")] = False,
    time_limit: Annotated[
        float | None, typer.Option(help="Seconds after which the screen of a child is given up.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Follow imaginary modes to lower structures, and screen these once with the same settings."""
    from flows import families
    from flows.local import Crew, limit_threads
    from flows.progress import screen_with_progress
    from flows.tables.repairs import payload_repair, table_repair

    chosen = _settings(amplitudes, max_cell_atoms, combine=combine)
    wanted = _wanted(names or [], query, again=again)
    if not wanted:
        print_lines(["nothing to repair: no unstable material matches"])
        raise typer.Exit(ExitCode.NOTHING_USABLE)
    crew = Crew(workers=workers, time_limit_s=time_limit)
    limit_threads(1)
    try:
        found = families.repair(
            database_uri(),
            wanted,
            calculator,
            chosen,
            again=again,
            listener=lambda event: print_lines(
                [f"{event.formula:<12} {event.material_id}  {event.outcome.value}: {event.detail}"]
            ),
            screener=lambda uri, ids, maker: screen_with_progress(uri, ids, maker, crew, err),
        )
    except KeyboardInterrupt:
        print_lines(["interrupted; run the same command again to go on"])
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    if as_json:
        print_json(payload_repair(found))
    else:
        out.print(table_repair(found, width=out.width))
    _leave(found)


def _leave(found: Sequence[Family]) -> None:
    from flows.repairing import RepairOutcome

    outcomes = {family.event.outcome for family in found}
    unscreened = any(one.event.child_id and one.child_verdict is None for one in found)
    bad = {RepairOutcome.FAILED, RepairOutcome.FAILED_BEFORE, RepairOutcome.NOT_SCREENED}
    if unscreened or outcomes & (bad | {RepairOutcome.REFUSED}):
        raise typer.Exit(ExitCode.SOME_FAILED)
    if RepairOutcome.BUSY_ELSEWHERE in outcomes:
        raise typer.Exit(ExitCode.BUSY)


def _settings(
    amplitudes: str | None, max_cell_atoms: int | None, *, combine: bool
) -> RepairSettings:
    from screening.repair import RepairSettings

    chosen = RepairSettings(combine_degenerate=combine)
    if max_cell_atoms is not None:
        chosen = replace(chosen, max_atoms=max_cell_atoms)
    if amplitudes is None:
        return chosen
    try:
        lengths = tuple(float(part) for part in amplitudes.split(","))
    except ValueError:
        raise SettingError(
            f"{amplitudes!r} is no list of lengths", subject="--amplitudes", hint="Write 0.1,0.2"
        ) from None
    return replace(chosen, amplitudes_angstrom=lengths)


def _wanted(names: Sequence[str], query: str | None, *, again: bool) -> tuple[str, ...]:
    """Materials that are named or selected; without both, all that are unstable."""
    from flows.catalogue import find_material, materials_where
    from stores.connect import open_database
    from stores.query import in_values

    with open_database(database_uri(), read_only=True) as database:
        found = tuple(dict.fromkeys(find_material(database, name) for name in names))
        if found and query is None:
            return found
        selected = materials_where(database, query or "verdict = unstable")
        if query is None and not again:
            rows = database.structures.query(
                in_values("material_id", selected), ["material_id", "parent_id"]
            )
            selected = tuple(sorted(r["material_id"] for r in rows if r.get("parent_id") is None))
    return tuple(name for name in found if name in set(selected)) if found else selected
