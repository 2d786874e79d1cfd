"""The commands that compute and compare: screen, rank, plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.app import ExitCode, Json, app, database_uri
from flows.cli.options import (
    Adaptive,
    Calculator,
    Criterion,
    Displacement,
    LowModes,
    MaxAtoms,
    MinLength,
    NoRelax,
    Query,
    SettingsFile,
    Temperatures,
    TimeLimit,
    Workers,
)
from flows.cli.output import (
    err,
    out,
    print_json,
    print_lines,
    print_paths,
    print_rankings,
    ranking_payload,
)
from flows.cli.routing import (
    Alpha,
    At,
    BudgetHours,
    DftTimeLimit,
    Fallback,
    FallbackSettings,
    MaxDft,
    Questions,
    Tolerance,
    run_routed,
)
from screening.calculators import DEFAULT_CALCULATOR
from screening.errors import NotFoundError, SettingError

__all__ = ["wanted_materials"]


@app.command()
def screen(  # noqa: PLR0913 - every option is an argument
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Import these first; nothing: what is there.")
    ] = None,
    *,
    query: Query = None,
    calculator: Calculator = DEFAULT_CALCULATOR,
    workers: Workers = None,
    no_relax: NoRelax = False,
    adaptive: Adaptive = False,
    min_length: MinLength = None,
    max_atoms: MaxAtoms = None,
    displacement: Displacement = None,
    temperatures: Temperatures = None,
    low_modes: LowModes = None,
    criterion: Criterion = None,
    settings: SettingsFile = None,
    question: Questions = None,
    tolerance: Tolerance = None,
    at: At = None,
    alpha: Alpha = None,
    fallback: Fallback = None,
    fallback_settings: FallbackSettings = None,
    max_dft: MaxDft = None,
    budget_hours: BudgetHours = None,
    time_limit: TimeLimit = None,
    dft_time_limit: DftTimeLimit = None,
    as_json: Json = False,
) -> None:
    """Predict what is missing, and rank. Run it again to go on where it stopped.

    With --question it stops when the question is answered: what the first calculator settles
    is accepted, and the fallback is asked only where its result can change the answer.
    """
    from flows import tables
    from flows.asking import RoutingOptions, work_of
    from flows.local import Crew
    from flows.makers import ScreenBatchMaker
    from flows.options import screening_settings
    from flows.progress import screen_with_progress

    chosen = screening_settings(
        settings,
        relax=not no_relax,
        adaptive=adaptive,
        min_length_angstrom=min_length,
        max_atoms=max_atoms,
        displacement_angstrom=displacement,
        temperatures_k=temperatures,
        low_mode_policy=low_modes,
        stability_criterion=criterion,
    )
    options = RoutingOptions(
        tuple(question or ()), tolerance, at, alpha, tuple(fallback or ()), fallback_settings,
        max_dft, budget_hours, dft_time_limit,
    )  # fmt: skip
    work = work_of(options, calculator, chosen)
    maker = ScreenBatchMaker(calculator=calculator, settings=chosen.as_dict())
    names, n_rejected = wanted_materials(paths or [], query)
    if not names:
        print_lines(["nothing to screen: no readable file and nothing stored that matches"])
        raise typer.Exit(ExitCode.NOTHING_USABLE)
    crew = Crew(workers=workers, time_limit_s=time_limit)
    if work is not None:
        crews = crew, Crew(workers=workers, time_limit_s=dft_time_limit)
        run_routed(names, work, crews, n_rejected=n_rejected, as_json=as_json)
        return
    try:
        report = screen_with_progress(database_uri(), names, maker, crew, err)
    except KeyboardInterrupt:
        print_lines(["interrupted; run the same command again to go on"])
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    if as_json:
        print_json(tables.payload_screen(report) | {"material_ids": list(names)})
    else:
        out.print(tables.table_screen(report, width=out.width))
        print_rankings(database_uri(), None, screened=names)
        print_lines(["compositions with one phase, and all else: phonoscreen query"])
    if report.failures or n_rejected:
        raise typer.Exit(ExitCode.SOME_FAILED)
    if report.outcomes.get("busy_elsewhere"):
        raise typer.Exit(ExitCode.BUSY)


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
        print_json(ranking_payload(database_uri(), formulas))
    else:
        print_rankings(database_uri(), formulas, temperatures_k=_numbers(temperatures))


@app.command()
def hull(
    systems: Annotated[
        list[str] | None, typer.Argument(help="Systems such as O-Ti; nothing: all.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Show which phases lie on the hull at temperature, where competing phases are known."""
    from flows import tables
    from stores.connect import open_database
    from stores.query import in_values

    names = ["-".join(sorted(name.split("-"))) for name in systems or ()]
    with open_database(database_uri(), read_only=True) as database:
        criteria = in_values("chemsys", names) if names else {}
        found = list(database.hulls.query(criteria, sort={"chemsys": 1}))
    missing = set(names) - {one["chemsys"] for one in found}
    if missing:
        raise NotFoundError(
            f"no hull of {', '.join(sorted(missing))}",
            hint="Write systems like O-Ti, and screen their phases first",
        )
    if as_json:
        print_json(tables.payload_hull(found))
    else:
        out.print(tables.table_hull(found, width=out.width))


@app.command()
def plot(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID|COMPOSITION]...", help="Nothing: an overview."),
    ] = None,
    *,
    decisions: Annotated[
        bool, typer.Option("--decisions", help="Intervals, tolerances and what was decided.")
    ] = False,
    model: Annotated[
        str | None, typer.Option(help="A trained model: held-out predictions and errors.")
    ] = None,
    folder: Annotated[Path, typer.Option("--out", "-o", help="Folder for the files.")] = Path(),
    kind: Annotated[str, typer.Option("--format", help="png, svg or pdf.")] = "png",
) -> None:
    """Draw bands, densities of states and thermodynamics of materials, rankings of compositions.

    Thermal conductivities too, and the modes that carry them, where a method computed them.

    With --decisions the intervals that a screen with --question decided on, of all or of some;
    with --model the card of a trained model.
    """
    from flows import drawing
    from flows.catalogue import find_material
    from stores.connect import open_database

    suffix = f".{kind.lower().lstrip('.')}"
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    with open_database(database_uri(), read_only=True) as database:
        if model is not None:
            print_paths(drawing.draw_model(database, model, folder, suffix))
            return
        if decisions:
            chosen = [
                key for name in names or () for key in drawing.materials_named(database, name)
            ]
            print_paths(drawing.draw_decisions(database, folder, suffix, chosen))
            return
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


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise SettingError(
            f"{text!r} is no list of numbers", subject="--temperatures", hint="Write 300,1000"
        ) from None


def wanted_materials(paths: Sequence[Path], text: str | None) -> tuple[tuple[str, ...], int]:
    """Import what is given; return the materials to screen and the number of bad files."""
    from flows.catalogue import materials_where
    from flows.imports import import_structures
    from stores.connect import open_database

    n_rejected = 0
    names: tuple[str, ...] = ()
    if paths:
        report = import_structures(database_uri(), paths)
        print_lines(report.lines())
        names, n_rejected = report.material_ids, len(report.rejections)
    if text is not None or not paths:
        with open_database(database_uri(), read_only=True) as database:
            selected = set(materials_where(database, text or ""))
        names = (
            tuple(name for name in names if name in selected) if paths else tuple(sorted(selected))
        )
    return names, n_rejected
