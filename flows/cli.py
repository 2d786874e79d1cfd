"""The command line. Results go to standard output, progress and errors to standard error."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli_output import (
    err,
    out,
    print_checks,
    print_error,
    print_json,
    print_lines,
    print_paths,
    print_rankings,
    ranking_payload,
)
from flows.exports import ExportFormat
from screening.errors import (
    DatabaseError,
    InputError,
    NotFoundError,
    QueryError,
    ScreeningError,
    SettingError,
)

__all__ = ["ExitCode", "app", "main"]


class ExitCode(IntEnum):
    """How a command ended."""

    DONE = 0
    SOME_FAILED = 1
    WRONG_USAGE = 2
    NOTHING_USABLE = 3
    DATABASE = 4
    INTERRUPTED = 130


app = typer.Typer(
    name="phonoscreen",
    help="Vibrational screening of crystals: free energies, stability and polymorph rankings "
    "in a database you can query.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_state = {"database_uri": ""}

Json = Annotated[bool, typer.Option("--json", help="Machine-readable output on stdout.")]
Calculator = Annotated[
    str,
    typer.Option(
        "--calculator",
        "-c",
        help="chgnet, mace:NAME, mace:FILE@SHA256, or an ASE calculator by import path such as "
        "'ase.calculators.emt.EMT'; several, separated by commas, make a committee.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", "-w", help="Worker processes, one thread each; 0: none. [default: cores]"
    ),
]
Settings = Annotated[
    Path | None, typer.Option("--settings", help="JSON file with settings of the science.")
]


@app.callback()
def _database(
    database_uri: Annotated[
        str,
        typer.Option(
            "--db",
            envvar="PHONOSCREEN_DB",
            help="sqlite:///file.db, mongodb://host/name or memory://name",
        ),
    ] = "sqlite:///phonoscreen.db",
) -> None:
    """Choose the database of the command."""
    _state["database_uri"] = database_uri


@app.command("import")
def import_command(
    paths: Annotated[list[Path], typer.Argument(help="Files, folders and archives.")],
    *,
    as_json: Json = False,
) -> None:
    """Read crystals into the database; duplicates are linked, bad files are named."""
    from flows.imports import import_structures

    report = import_structures(_uri(), paths)
    if as_json:
        print_json(report.payload())
    else:
        print_lines(report.lines())
    if not report.material_ids:
        raise typer.Exit(ExitCode.NOTHING_USABLE)
    if report.rejections:
        raise typer.Exit(ExitCode.SOME_FAILED)


@app.command()
def screen(  # noqa: PLR0913 - every option is an argument
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Import these first; nothing: what is there.")
    ] = None,
    *,
    query: Annotated[str | None, typer.Option("--query", "-q", help="Only what matches.")] = None,
    calculator: Calculator = "chgnet",
    workers: Workers = None,
    no_relax: Annotated[
        bool, typer.Option("--no-relax", help="Take the crystals as they are.")
    ] = False,
    adaptive: Annotated[
        bool,
        typer.Option("--adaptive", help="Smaller supercells where they are proven equal."),
    ] = False,
    displacement: Annotated[
        float | None, typer.Option(help="Finite displacement in Å. [default: the calculator's]")
    ] = None,
    temperatures: Annotated[
        str | None, typer.Option(help="START:STOP:STEP in K. [default: 0:1500:10]")
    ] = None,
    low_modes: Annotated[
        str | None, typer.Option(help="drop, half_mean_optical or renormalise.")
    ] = None,
    criterion: Annotated[str | None, typer.Option(help="Named stability criterion.")] = None,
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Predict what is missing, and rank. Run it again to go on where it stopped."""
    from flows import tables
    from flows.makers import ScreenBatchMaker
    from flows.options import screening_settings
    from flows.progress import screen_with_progress

    chosen = screening_settings(
        settings,
        relax=not no_relax,
        adaptive=adaptive,
        displacement_angstrom=displacement,
        temperatures_k=temperatures,
        low_mode_policy=low_modes,
        stability_criterion=criterion,
    )
    maker = ScreenBatchMaker(calculator=calculator, settings=chosen.as_dict())
    names, n_rejected = _wanted(paths or [], query)
    report = screen_with_progress(_uri(), names, maker, workers, err)
    if as_json:
        print_json(tables.payload_screen(report))
    else:
        out.print(tables.table_screen(report, width=out.width))
        print_rankings(_uri(), None, several=True)
    if report.failures or n_rejected:
        raise typer.Exit(ExitCode.SOME_FAILED)


@app.command()
def rank(
    formulas: Annotated[
        list[str] | None, typer.Argument(help="Reduced formulas such as TiO2; nothing: all.")
    ] = None,
    *,
    temperatures: Annotated[str, typer.Option(help="Temperatures of the table in K.")] = "300,1000",
    as_json: Json = False,
) -> None:
    """Show the order of polymorphs, their transitions, and what stays out of the order."""
    if as_json:
        print_json(ranking_payload(_uri(), formulas))
    else:
        print_rankings(_uri(), formulas, temperatures_k=_numbers(temperatures))


@app.command()
def query(
    text: Annotated[
        str,
        typer.Argument(
            metavar="FILTER", help="'verdict = stable and lowest_frequency_thz > 1', or JSON."
        ),
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
    with open_database(_uri()) as database:
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

    with open_database(_uri()) as database:
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
def plot(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID|COMPOSITION]...", help="Nothing: an overview."),
    ] = None,
    *,
    folder: Annotated[Path, typer.Option("--out", "-o", help="Folder for the files.")] = Path(),
    kind: Annotated[str, typer.Option("--format", help="png, svg or pdf.")] = "png",
) -> None:
    """Draw bands, densities of states and thermodynamics of materials, rankings of compositions."""
    from flows import drawing
    from flows.catalogue import find_material
    from stores.connect import open_database

    suffix = f".{kind.lower().lstrip('.')}"
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    with open_database(_uri()) as database:
        if not names:
            written += drawing.draw_overview(database, folder, suffix)
        for name in names or ():
            try:
                found = find_material(database, name)
            except NotFoundError:
                written += drawing.draw_rankings(database, [name], folder, suffix)
            else:
                written += drawing.draw_material(database, found, folder, suffix)
    print_paths(written)


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

    with open_database(_uri()) as database:
        chosen = [find_material(database, name) for name in names or ()]
        if query is not None or not names:
            chosen += materials_where(database, query or "verdict exists")
        print_paths(write(database, kind, dict.fromkeys(chosen), folder))


@app.command()
def status(*, as_json: Json = False) -> None:
    """Count what the database holds, what failed and what waits."""
    from flows import tables
    from flows.results import status_of
    from stores.connect import open_database

    with open_database(_uri()) as database:
        found = status_of(database)
    if as_json:
        print_json(tables.payload_status(found))
    else:
        out.print(tables.table_status(found))


@app.command()
def retry(
    *,
    code: Annotated[str | None, typer.Option(help="Only failures with this code.")] = None,
    as_json: Json = False,
) -> None:
    """Forget failures, so that the next screen tries those materials again."""
    from flows.retrying import forget_failures
    from stores.connect import open_database

    with open_database(_uri()) as database:
        names = forget_failures(database, code)
    if as_json:
        print_json({"forgotten": list(names)})
    else:
        out.print(f"{len(names)} failures forgotten; run 'phonoscreen screen' to try them again")


@app.command()
def doctor(
    *,
    calculator: Annotated[str | None, typer.Option("--calculator", "-c")] = None,
    as_json: Json = False,
) -> None:
    """Check this machine, the database and, if named, a calculator."""
    from dataclasses import asdict

    from flows.doctor import run_checks

    checks = run_checks(_uri(), calculator)
    if as_json:
        print_json({"checks": [asdict(check) for check in checks]})
    else:
        print_checks(checks)
    if any(check.ok is False for check in checks):
        raise typer.Exit(ExitCode.SOME_FAILED)


def _uri() -> str:
    return _state["database_uri"]


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise SettingError(
            f"{text!r} is no list of numbers", subject="--temperatures", hint="Write 300,1000"
        ) from None


def _wanted(paths: Sequence[Path], text: str | None) -> tuple[tuple[str, ...], int]:
    """Import what is given; return the materials to screen and the number of bad files."""
    from flows.catalogue import materials_where
    from flows.imports import import_structures
    from stores.connect import open_database

    n_rejected = 0
    names: tuple[str, ...] = ()
    if paths:
        report = import_structures(_uri(), paths)
        print_lines(report.lines())
        names, n_rejected = report.material_ids, len(report.rejections)
    if text is not None or not paths:
        with open_database(_uri()) as database:
            selected = set(materials_where(database, text or ""))
        names = (
            tuple(name for name in names if name in selected) if paths else tuple(sorted(selected))
        )
    return names, n_rejected


def _exit_code_of(error: ScreeningError) -> ExitCode:
    if isinstance(error, (SettingError, QueryError, NotFoundError)):
        return ExitCode.WRONG_USAGE
    if isinstance(error, DatabaseError):
        return ExitCode.DATABASE
    return ExitCode.NOTHING_USABLE if isinstance(error, InputError) else ExitCode.SOME_FAILED


def main() -> None:
    """Run the command line and leave with its exit code."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        app()
    except ScreeningError as error:
        print_error(error)
        sys.exit(_exit_code_of(error))
    except KeyboardInterrupt:
        err.print("interrupted; run the same command again to go on")
        sys.exit(ExitCode.INTERRUPTED)
