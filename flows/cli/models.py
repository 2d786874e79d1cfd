"""The commands of trained models and of their data: train, predict, search, models."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.app import ExitCode, Json, app, database_uri
from flows.cli.options import Calculator, Query, TimeLimit, Workers
from flows.cli.output import err, out, print_json, print_lines, print_paths
from flows.cli.potentials import (
    POTENTIAL,
    CellFiles,
    Checkpoints,
    CommitteeSize,
    Device,
    Epochs,
    HeldOut,
    LastLayer,
    MaxSeconds,
    PotentialOptions,
    Preset,
    StartFrom,
    train_mace,
)
from screening.calculators import DEFAULT_CALCULATOR

if TYPE_CHECKING:
    from flows.predicting import PredictingReport

__all__ = ["models"]

models = typer.Typer(
    help="Models that were trained here: list them, show their cards, hand them on.",
    no_args_is_help=False,
)
app.add_typer(models, name="models", invoke_without_command=True)

Method = Annotated[
    str,
    typer.Argument(
        help="rf-ifc (force constants by random forests and tensor ridges), ldml (entropy, "
        "linear in descriptors), alignn (densities of states by graph networks) or mace (a "
        "network potential, from cells with forces)."
    ),
]


@app.command()
def train(  # noqa: PLR0913 - every option is an argument
    method: Method,
    *,
    query: Query = None,
    source: Annotated[
        str, typer.Option(help="Learn the phonons by this model. [default: the only one]")
    ] = "",
    name: Annotated[str, typer.Option(help="Name of the model. [default: its chemistry]")] = "",
    variant: Annotated[
        str | None,
        typer.Option(
            help="Of rf-ifc: rf_component (as published), rf_multi, rf_frame, tensor_ridge or "
            "auto. [default: auto]"
        ),
    ] = None,
    descriptor: Annotated[
        str | None,
        typer.Option(help="Of ldml: afs, bso4, scattering or mace:NAME@SHA256. [default: afs]"),
    ] = None,
    prior: Annotated[
        str | None,
        typer.Option(
            metavar="POTENTIAL",
            help="Of alignn: correct the densities of states of this potential, which is then "
            "asked for the phonons of every crystal, here and in predictions.",
        ),
    ] = None,
    jarvis: Annotated[
        Path | None,
        typer.Option(
            help="Of alignn: learn the densities of states of this JARVIS file (edos_pdos), not "
            "the phonons of the database."
        ),
    ] = None,
    cells: CellFiles = None,
    preset: Preset = None,
    epochs: Epochs = None,
    max_seconds: MaxSeconds = None,
    start_from: StartFrom = None,
    checkpoints: Checkpoints = None,
    committee: CommitteeSize = None,
    device: Device = None,
    held_out: HeldOut = None,
    last_layer: LastLayer = False,
    settings: Annotated[
        Path | None, typer.Option("--settings", help="JSON file with settings of the training.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the model to this file too.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Learn from the phonons that the database holds, and store the model with its card.

    A potential learns from labelled cells (phonoscreen cells) and from the displaced cells of
    phonons. Networks, mace and alignn, go on where they were stopped when run again. --query takes
    a filter such as 'chemsys = F-K-Zn', or JSON.
    """
    from flows import tables
    from flows.dos_training import DOS_OPTIONS
    from flows.progress import StageProgress
    from flows.trained import trained_method
    from flows.training import TrainingTask, check_options, read_training_settings, train_and_store
    from stores.model_files import write_model

    given = {"variant": variant, "descriptor": descriptor, "prior": prior, "jarvis": jarvis}
    options = PotentialOptions(
        cells,
        preset,
        epochs,
        max_seconds,
        start_from,
        checkpoints,
        committee,
        device,
        held_out,
        last_layer,
    )
    if method == POTENTIAL:
        check_options(POTENTIAL, (), given)
        train_mace(query, source, name, options, settings, file, as_json=as_json)
        return
    chosen_method = trained_method(method)
    typed = given | options.given()
    check_options(method, chosen_method.options, typed)
    chosen = read_training_settings(settings, {DOS_OPTIONS.get(x, x): typed[x] for x in typed})
    labels = str(chosen.pop("file", ""))
    task = TrainingTask(method, query or "", source, name, chosen, file=labels)
    try:
        with StageProgress(err) as progress:
            done = train_and_store(database_uri(), task, progress)
    except KeyboardInterrupt:
        is_kept = "checkpoint-dir" in chosen_method.options
        advice = "run the same command again to go on" if is_kept else "no model was stored"
        print_lines([f"interrupted; {advice}"])
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    written = [] if file is None else [write_model(file, done.model)]
    if as_json:
        print_json(tables.payload_training(done) | {"files": [str(one) for one in written]})
        return
    out.print(tables.table_training(done, width=out.width))
    command = f"phonoscreen predict --method {method} --model {quote(done.model.name)}"
    print_lines([f"stored as {done.model_id}; predict with: {command}"])
    print_paths(written)


@app.command()
def predict(  # noqa: PLR0913 - every option is an argument
    *,
    method: Annotated[str, typer.Option("--method", "-m", help="rf-ifc, ldml or alignn.")],
    model: Annotated[
        str | None,
        typer.Option(help="NAME, NAME@VERSION or a file. [default: the only one of the method]"),
    ] = None,
    query: Query = None,
    mesh: Annotated[
        bool,
        typer.Option(
            "--mesh",
            help="Of rf-ifc where all pairs are by the ridge: modes on a mesh, with bands; for "
            "cells of any size, without intervals.",
        ),
    ] = False,
    check_forces: Annotated[
        str,
        typer.Option(
            metavar="POTENTIAL",
            help="Ask the potential that relaxed the training set for the forces on each crystal "
            "first, and refuse what is not at rest: one call each.",
        ),
    ] = "",
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Structures read, predicted and written together.")
    ] = None,
    settings: Annotated[
        Path | None, typer.Option("--settings", help="JSON file with settings of the science.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Predict stored structures with a trained model, in batches. Run it again to go on.

    Structures that the source of its training set has relaxed here are taken as it left them. All
    others are taken as they are: they should be minima of what the model learned from, which
    --check-forces makes sure of.
    """
    from flows import tables
    from flows.catalogue import materials_where
    from flows.options import screening_settings
    from flows.predicting import DEFAULT_BATCH_SIZE, predict_stored
    from flows.progress import StageProgress
    from flows.stored_models import find_model
    from stores.connect import open_database

    chosen = screening_settings(settings)
    with open_database(database_uri(), read_only=True) as database:
        found = find_model(database, method, model)
        names = materials_where(database, query or "")
    try:
        with StageProgress(err, "structures") as progress:
            done = predict_stored(
                database_uri(),
                found,
                names,
                batch_size=batch_size or DEFAULT_BATCH_SIZE,
                settings=chosen,
                mesh=mesh,
                check_forces=check_forces,
                told=lambda n, total, refused: progress(
                    "predicting", n, total, f"{refused} refused" if refused else ""
                ),
            )
    except KeyboardInterrupt:
        print_lines(["interrupted; run the same command again to go on"])
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    if as_json:
        print_json(tables.payload_predicting(done))
    else:
        out.print(tables.table_predicting(done, width=out.width))
    raise typer.Exit(_exit_code(done))


@app.command()
def search(  # noqa: PLR0913 - every option is an argument
    composition: Annotated[str, typer.Argument(help="Content of one cell, such as 'K2 Zn2 F6'.")],
    *,
    volume: Annotated[float, typer.Option(help="Mean volume of the cells in cubic ångström.")],
    count: Annotated[int, typer.Option(min=1, help="How many crystals are drawn.")] = 300,
    seed: Annotated[int, typer.Option(min=0, help="Other crystals for another one.")] = 0,
    calculator: Calculator = DEFAULT_CALCULATOR,
    workers: Workers = None,
    settings: Annotated[
        Path | None,
        typer.Option(
            "--settings", help="JSON file with settings of the science. [default: of a search]"
        ),
    ] = None,
    minima: Annotated[
        bool, typer.Option("--minima", help="Store relaxed crystals as materials of their own.")
    ] = False,
    time_limit: TimeLimit = None,
    as_json: Json = False,
) -> None:
    """Draw random crystals, relax them and take their Hessians at the zone centre.

    Run it again to go on where it stopped, or with a larger --count for more.
    """
    from flows import tables
    from flows.local import Crew
    from flows.options import screening_settings
    from flows.progress import StageProgress, screen_with_progress
    from flows.searching import SearchTask, search_maker, store_minima_of, store_random_crystals

    task = SearchTask(composition, volume, count, seed)
    chosen = None if settings is None else screening_settings(settings)
    maker = search_maker(task, calculator, chosen)
    crew = Crew(workers=workers, time_limit_s=time_limit)
    try:
        with StageProgress(err, "crystals") as progress:
            names = store_random_crystals(database_uri(), task, progress=progress)
        report = screen_with_progress(database_uri(), names, maker, crew, err)
    except KeyboardInterrupt:
        print_lines(["interrupted; run the same command again to go on"])
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    found = store_minima_of(database_uri(), names, maker) if minima else ()
    if as_json:
        told = tables.payload_screen(report) | {"material_ids": list(names)}
        print_json(told | {"minima": list(found)})
    else:
        out.print(tables.table_screen(report, width=out.width))
        said = f"{len(names)} different crystals were drawn"
        print_lines([said + (f"; {len(found)} different minima are stored" if minima else "")])
        print_lines(["the phases: phonoscreen query --sort static_energy_ev_per_atom"])
    if report.failures:
        raise typer.Exit(ExitCode.SOME_FAILED)


def _exit_code(done: PredictingReport) -> ExitCode:
    """Refusals are answers; where there is nothing else, nothing was usable."""
    n_refused = sum(done.refused.values())
    if n_refused and n_refused == sum(done.outcomes.values()):
        return ExitCode.NOTHING_USABLE
    return ExitCode.SOME_FAILED if n_refused else ExitCode.DONE


@models.callback(invoke_without_command=True)
def _list_models(context: typer.Context, *, as_json: Json = False) -> None:
    """List the trained models of the database."""
    if context.invoked_subcommand is not None:
        return
    from flows import tables
    from stores.connect import open_database
    from stores.models import list_models

    with open_database(database_uri(), read_only=True) as database:
        found = list_models(database)
    if as_json:
        print_json(tables.payload_models(found))
    elif found:
        out.print(tables.table_models(found, width=out.width))
    else:
        print_lines(["no model was trained here yet: phonoscreen train"])


@models.command("show")
def show_command(
    name: Annotated[str, typer.Argument(help="NAME or NAME@VERSION, as 'models' lists it.")],
    *,
    as_json: Json = False,
) -> None:
    """Show the card of a model: what it learned from, its scores, and what to know."""
    from flows import tables
    from flows.stored_models import model_named
    from stores.connect import open_database

    with open_database(database_uri(), read_only=True) as database:
        model_id, model = model_named(database, name)
    if as_json:
        print_json(tables.payload_model(model, model_id))
    else:
        out.print(tables.table_model(model, model_id, width=out.width))


@models.command("export")
def export_command(
    name: Annotated[str, typer.Argument(help="NAME or NAME@VERSION.")],
    file: Annotated[Path, typer.Argument(help="The file to write.")],
) -> None:
    """Write a model to a file, for other databases and for --calculator METHOD:FILE."""
    from flows.stored_models import model_named
    from stores.connect import open_database
    from stores.model_files import write_model

    target = quote(str(file)).replace("{", "{{").replace("}", "}}")
    with open_database(database_uri(), read_only=True) as database:
        _, model = model_named(database, name, f"models export {{}} {target}")
    print_paths([write_model(file, model)])


@models.command("import")
def import_model_command(
    file: Annotated[Path, typer.Argument(help="A file that 'models export' wrote.")],
    *,
    as_json: Json = False,
) -> None:
    """Store the model of a file; the same one again changes nothing."""
    from stores.connect import open_database
    from stores.model_files import read_model
    from stores.models import store_model

    model = read_model(file)
    with open_database(database_uri()) as database:
        model_id = store_model(database, model)
    if as_json:
        print_json({"model_id": model_id})
    else:
        print_lines([f"stored {model_id}"])
