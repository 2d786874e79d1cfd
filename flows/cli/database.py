"""The commands that fill, read and mend the database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.app import ExitCode, Json, app, database_uri
from flows.cli.output import out, print_checks, print_json, print_lines, print_paths
from flows.exports import ExportFormat

__all__: list[str] = []


@app.command("import")
def import_command(
    paths: Annotated[list[Path], typer.Argument(help="Files, folders and archives.")],
    *,
    fingerprint_distance: Annotated[
        float | None,
        typer.Option(
            help="Link what looks alike too, such as 0.35 after a random search; similar "
            "polymorphs may become one.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Read crystals into the database; duplicates are linked, bad files are named."""
    from flows.imports import import_structures

    report = import_structures(database_uri(), paths, fingerprint_distance=fingerprint_distance)
    if as_json:
        print_json(report.payload())
    else:
        print_lines(report.lines())
    if not report.material_ids:
        raise typer.Exit(ExitCode.NOTHING_USABLE)
    if report.rejections:
        raise typer.Exit(ExitCode.SOME_FAILED)


@app.command()
def fetch(
    text: Annotated[
        str,
        typer.Argument(
            metavar="QUERY",
            help='OPTIMADE filter such as \'elements HAS ALL "Ti","O"\', or formulas and ids of '
            "the Materials Project such as TiO2,mp-149.",
        ),
    ],
    *,
    optimade: Annotated[
        str | None, typer.Option(help="Address of a provider, ending in its version: .../v1")
    ] = None,
    api_key: Annotated[
        str, typer.Option(envvar="MP_API_KEY", help="Key of a Materials Project account.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most this many structures.")] = 1000,
    as_json: Json = False,
) -> None:
    """Read crystals from an OPTIMADE provider, or from the Materials Project."""
    from flows.imports import fetch_structures

    report = fetch_structures(database_uri(), text, optimade, api_key, limit=limit)
    if as_json:
        print_json(report.payload())
    else:
        print_lines(report.lines())
    if not report.material_ids:
        raise typer.Exit(ExitCode.NOTHING_USABLE)


@app.command()
def query(
    text: Annotated[
        str,
        typer.Argument(metavar="FILTER", help="'verdict = stable and n_atoms <= 4', or JSON."),
    ] = "",
    *,
    sort: Annotated[str, typer.Option(help="Fields, -field for descending.")] = "formula_reduced",
    limit: Annotated[int, typer.Option(min=0, help="At most this many; 0: all.")] = 0,
    as_json: Json = False,
) -> None:
    """List the summaries that a filter selects."""
    from flows import tables
    from flows.catalogue import summaries_where
    from stores.connect import open_database
    from stores.documents import VibrationalDocument
    from stores.query import parse_sort

    order = parse_sort(sort, tuple(VibrationalDocument.model_fields))
    with open_database(database_uri(), read_only=True) as database:
        rows = summaries_where(database, text, sort=order, limit=limit)
    if as_json:
        print_json(tables.payload_query(rows))
    else:
        out.print(tables.table_query(rows, width=out.width))


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="ID", help="Material id, its start, or label.")],
    *,
    as_json: Json = False,
) -> None:
    """Show all that is known of one material."""
    from flows import tables
    from flows.catalogue import find_material
    from flows.results import material
    from stores.connect import open_database

    with open_database(database_uri(), read_only=True) as database:
        stored = material(database, find_material(database, name))
    parts: dict[str, Any] = {
        "summary": stored.summary.to_store() if stored.summary else None,
        "prediction": stored.prediction.to_store() if stored.prediction else None,
        "failures": [one.to_store() for one in stored.failures],
    }
    structure = stored.structure.to_store()
    if as_json:
        print_json(tables.payload_show(structure, **parts))
    else:
        out.print(tables.table_show(structure, **parts, width=out.width))


@app.command()
def export(
    names: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Materials.")] = None,
    *,
    query: Annotated[str | None, typer.Option("--query", "-q", help="Or a filter.")] = None,
    kind: Annotated[ExportFormat, typer.Option("--format", "-f", help="What to write.")],
    folder: Annotated[Path, typer.Option("--out", "-o", help="Folder for the files.")] = Path(),
) -> None:
    """Write files for other programs."""
    from flows.catalogue import find_material, materials_where
    from flows.exports import export as write
    from stores.connect import open_database

    with open_database(database_uri(), read_only=True) as database:
        chosen = [find_material(database, name) for name in names or ()]
        if query is not None or not names:
            chosen += materials_where(database, query or "verdict exists")
        print_paths(write(database, kind, dict.fromkeys(chosen), folder))


@app.command()
def status(*, as_json: Json = False) -> None:
    """Count what the database holds, what failed and what waits."""
    from flows import tables
    from flows.results import open_failures, status_of
    from stores.connect import open_database

    with open_database(database_uri(), read_only=True) as database:
        found = status_of(database)
        failures, n_answered = open_failures(database)
    if as_json:
        print_json(tables.payload_status(found))
        return
    out.print(tables.table_status(found))
    if failures:
        out.print(tables.table_failures(failures, width=out.width, title="failures"))
    if n_answered:
        out.print(f"{n_answered} failures by cheaper methods, where a better one answered since")


@app.command()
def retry(
    *,
    code: Annotated[str | None, typer.Option(help="Only failures with this code.")] = None,
    as_json: Json = False,
) -> None:
    """Forget failures, so that the next screen tries those materials again."""
    from flows.retrying import forget_failures
    from stores.connect import open_database

    with open_database(database_uri()) as database:
        names = forget_failures(database, code)
    if as_json:
        print_json({"forgotten": list(names)})
    else:
        out.print(f"{len(names)} failures forgotten; run 'phonoscreen screen' to try them again")


@app.command()
def doctor(
    *,
    calculator: Annotated[
        str | None, typer.Option("--calculator", "-c", help="Must work here; it is tried.")
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option("--on", help="fireworks or jobflow-remote: must work here; it is asked."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check this machine, the database and, if named, a calculator and a workflow engine."""
    from dataclasses import asdict

    from flows.doctor import run_checks

    checks = run_checks(database_uri(), calculator, engine)
    if as_json:
        print_json({"checks": [asdict(check) for check in checks]})
    else:
        print_checks(checks)
    if any(check.ok is False for check in checks):
        raise typer.Exit(ExitCode.SOME_FAILED)
