"""The commands around a routed screen: what it would take, and why a material has its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
)
from flows.cli.output import err, out, print_json, print_lines, print_rankings
from screening.calculators import DEFAULT_CALCULATOR

if TYPE_CHECKING:
    from flows.local import Crew
    from flows.routing import Work

__all__ = [
    "Alpha",
    "At",
    "BudgetHours",
    "DftTimeLimit",
    "Fallback",
    "FallbackSettings",
    "MaxDft",
    "Questions",
    "Tolerance",
    "run_routed",
]

Questions = Annotated[
    list[str] | None,
    typer.Option(
        "--question",
        help="What you want to know: stability, order, transitions, free-energy, entropy, "
        "heat-capacity, or a comparison such as 'free_energy_300k_mev_per_atom < 20'. May be "
        "repeated. With a question, a better method is asked only where it can change an answer.",
    ),
]
Tolerance = Annotated[
    list[float] | None,
    typer.Option(help="Half width of the interval of a property, in its unit."),
]
At = Annotated[list[str] | None, typer.Option(help="Temperatures of the questions in K: 300,1000.")]
Alpha = Annotated[
    float | None,
    typer.Option(help="Accepted risk of a wrong answer, below 0.5. [default: 0.1]"),
]
Fallback = Annotated[
    list[str] | None,
    typer.Option(
        help="Calculator of a better method: gpaw, espresso, 'gpaw(ecut_ev=400)', ... With "
        "'few-cells:' before it, force constants are learned from a few cells with all atoms "
        "displaced. May be repeated, the cheapest first: --fallback few-cells:gpaw "
        "--fallback gpaw."
    ),
]
FallbackSettings = Annotated[
    Path | None,
    typer.Option(help="JSON file with settings of the better methods that differ."),
]
MaxDft = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="At most this many calculations by better methods, earlier runs included.",
    ),
]
BudgetHours = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        help="Core-hours that better methods may take for these materials, earlier runs included.",
    ),
]
DftTimeLimit = Annotated[
    float | None,
    typer.Option(help="As --time-limit, which is that of the first calculator alone."),
]


@app.command()
def plan(  # noqa: PLR0913 - every option is an argument
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Import these first; nothing: what is there.")
    ] = None,
    *,
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
    """Tell how many force calls and core-hours a screen would take; computes nothing."""
    from flows import tables
    from flows.asking import DEFAULT_ALPHA, RoutingOptions, work_of
    from flows.cli.screening import wanted_materials
    from flows.options import screening_settings
    from flows.planning import plan_work

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
    names, _ = wanted_materials(paths or [], query)
    if not names:
        print_lines(["nothing to plan: no readable file and nothing stored that matches"])
        raise typer.Exit(ExitCode.NOTHING_USABLE)
    ladder = work.ladder if work else [{"calculator": calculator, "settings": chosen.as_dict()}]
    found = plan_work(
        database_uri(),
        names,
        ladder,
        work.questions if work else (),
        work.alpha if work else DEFAULT_ALPHA,
        work.budget if work else None,
    )
    if as_json:
        print_json(tables.payload_plan(found))
    else:
        out.print(tables.table_plan(found, width=out.width))


@app.command()
def why(
    name: Annotated[
        str, typer.Argument(metavar="MATERIAL", help="Material id, its start, or label.")
    ],
    *,
    as_json: Json = False,
) -> None:
    """Show why a material has its numbers: methods, intervals, decisions, costs, what is next."""
    from rich.text import Text

    from flows import tables
    from flows.calibrating import texts_of_calibrations
    from flows.catalogue import find_material
    from flows.trail import trail_of
    from stores.connect import open_database

    with open_database(database_uri(), read_only=True) as database:
        trail = trail_of(database, find_material(database, name))
        records = [record for one in trail.decisions for record in one.intervals]
        named = {record.calibration for record in records if record.calibration}
        calibrations = texts_of_calibrations(database, named)
    if as_json:
        print_json(tables.payload_trail(trail, calibrations))
        return
    out.print(tables.table_trail(trail, width=out.width))
    lines = [f"calibrated by {text} ({key[:12]})" for key, text in calibrations.items()]
    if lines:
        lines.append("decisions: values corrected for the potential's bias; show: as predicted")
    for line in lines:
        out.print(Text(line, style="dim"))


def run_routed(
    names: Sequence[str], work: Work, crews: tuple[Crew, Crew], *, n_rejected: int, as_json: bool
) -> None:
    """Run a routed screen and print what it decided; ends the command with its exit code.

    The crews are those of the cheapest method and of the better ones.
    """
    from flows import tables
    from flows.progress import route_with_progress

    try:
        report = route_with_progress(database_uri(), names, work, crews, err)
    except KeyboardInterrupt:
        print_lines(["interrupted; run the same command again to go on"])
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    if as_json:
        print_json(tables.payload_routing(report))
    else:
        out.print(tables.table_routing(report, width=out.width))
        print_rankings(database_uri(), None, screened=names)
        print_lines(["why a material has its numbers: phonoscreen why MATERIAL"])
    if report.n_failed or n_rejected:
        raise typer.Exit(ExitCode.SOME_FAILED)
    if report.waiting:
        raise typer.Exit(ExitCode.BUSY)
