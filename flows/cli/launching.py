"""The command that hands a screen to a workflow engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.app import ExitCode, Json, app, database_uri, selected_materials
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
    Workers,
)
from flows.cli.output import out, print_json, print_lines
from flows.cli.routing import (
    Alpha,
    At,
    BudgetHours,
    Fallback,
    FallbackSettings,
    MaxDft,
    Questions,
    Tolerance,
)
from screening.calculators import DEFAULT_CALCULATOR

if TYPE_CHECKING:
    from flows.launch.queues import Destination
    from flows.launch.selection import Launchable
    from flows.routing import Work
    from screening.settings import ScreeningSettings

__all__: list[str] = []


@app.command()
def launch(  # noqa: PLR0913 - every option is an argument
    *,
    engine: Annotated[
        str, typer.Option("--on", help="local, fireworks or jobflow-remote.")
    ] = "local",
    query: Query = None,
    calculator: Calculator = DEFAULT_CALCULATOR,
    question: Questions = None,
    tolerance: Tolerance = None,
    at: At = None,
    alpha: Alpha = None,
    fallback: Fallback = None,
    fallback_settings: FallbackSettings = None,
    max_dft: MaxDft = None,
    budget_hours: BudgetHours = None,
    project: Annotated[
        str | None, typer.Option(help="Project of jobflow-remote. [default: the only one]")
    ] = None,
    launchpad: Annotated[
        Path | None,
        typer.Option(help="LaunchPad file of FireWorks. [default: the one FireWorks finds]"),
    ] = None,
    worker: Annotated[
        str | None,
        typer.Option(
            help="Worker of jobflow-remote, or category of a FireWorks worker, for all jobs but "
            "those of other options. [default: the project's first; any]"
        ),
    ] = None,
    dft_worker: Annotated[str | None, typer.Option(help="The same for DFT jobs.")] = None,
    database_worker: Annotated[
        str | None, typer.Option(help="The same for jobs that only read and write.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Materials per job.")] = 50,
    resubmit: Annotated[
        bool,
        typer.Option("--resubmit", help="Also what an earlier launch has not finished."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Submit nothing, say what would be.")
    ] = False,
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
    as_json: Json = False,
) -> None:
    """Submit what is missing to a workflow engine, once; run it again to see what is left."""
    from flows import tables
    from flows.asking import RoutingOptions, work_of
    from flows.launch.launching import launch as submit
    from flows.local import Crew
    from flows.options import screening_settings

    destination = _destination(engine, project, launchpad, worker, dft_worker, database_worker)
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
        max_dft, budget_hours,
    )  # fmt: skip
    work = work_of(options, calculator, chosen)
    report = submit(
        database_uri(),
        selected_materials(query, "nothing to launch"),
        _maker(work, calculator, chosen, batch_size),
        destination,
        crew=Crew(workers=workers),
        resubmit=resubmit,
        dry_run=dry_run,
    )
    if as_json:
        print_json(tables.payload_launch(report, dry_run=dry_run))
    else:
        print_lines(report.notes)
        out.print(tables.table_launch(report, dry_run=dry_run, width=out.width))
    if report.is_broken:
        print_lines(
            ["a job ended with an error: 'phonoscreen screen' with the same options shows it"]
        )
    if report.failed or report.outcomes.get("failed") or report.is_broken:
        raise typer.Exit(ExitCode.SOME_FAILED)


def _maker(
    work: Work | None, calculator: str, settings: ScreeningSettings, batch_size: int
) -> Launchable:
    """Return the Maker of a plain screen, or of one that stops when a question is answered."""
    from flows.makers import RoutedScreenMaker, ScreenBatchMaker, ScreenMaker

    if work is None:
        batch_maker = ScreenBatchMaker(calculator=calculator, settings=settings.as_dict())
        return ScreenMaker(batch_maker=batch_maker, batch_size=batch_size)
    return RoutedScreenMaker(
        ladder=[dict(step) for step in work.ladder],
        questions=[question.text for question in work.questions],
        alpha=work.alpha,
        max_calculations=work.budget.max_calculations,
        core_hours=work.budget.core_hours,
        batch_size=batch_size,
    )


def _destination(
    engine: str,
    project: str | None,
    launchpad: Path | None,
    worker: str | None,
    dft_worker: str | None,
    database_worker: str | None,
) -> Destination:
    from flows.launch.queues import Destination, engine_named
    from flows.resources import Resource

    named = {
        Resource.POTENTIAL: worker,
        Resource.DFT: dft_worker,
        Resource.DATABASE: database_worker,
    }
    return Destination(
        engine=engine_named(engine),
        project=project,
        launchpad=launchpad,
        workers={resource: name for resource, name in named.items() if name is not None},
    )
