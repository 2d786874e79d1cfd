"""The command that learns what cheap methods are worth: calibrate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.app import Json, app, database_uri
from flows.cli.output import out, print_json, print_lines, print_paths

__all__: list[str] = []

_NO_PAIRS = (
    "no crystal here has predictions of two tiers: screen some with a first-principles "
    "calculator too, or import forces"
)


@app.command()
def calibrate(
    *,
    alpha: Annotated[
        float, typer.Option(help="Risk of the intervals in the report: 0.1 for 90 %, below 0.5.")
    ] = 0.1,
    quantities: Annotated[
        list[str] | None,
        typer.Option(
            "--quantity",
            help="Report this too, for instance entropy_500k_mev_per_k_per_atom; repeatable.",
        ),
    ] = None,
    load: Annotated[
        Path | None, typer.Option("--import", help="Store the calibration of this file first.")
    ] = None,
    export: Annotated[
        Path | None, typer.Option(help="Folder: write every calibration as a JSON file.")
    ] = None,
    plots: Annotated[
        Path | None, typer.Option("--plot", help="Folder: draw coverage and half widths.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare cheap with better predictions of the same crystals, and keep what was learned.

    Lists every calibration that decisions can rest on: learned here, imported and shipped.
    """
    from flows import calibrating, tables
    from flows.drawing import draw_calibrations
    from screening.quantities import Quantity
    from stores.builders import build_calibrations
    from stores.connect import open_database

    stored: str | None = None
    asked = tuple(Quantity.parse(name) for name in quantities or ())
    with open_database(database_uri()) as database:
        if load is not None:
            stored = calibrating.import_calibration(database, load)
        wanted = tuple(dict.fromkeys((*calibrating.assessed_by_default(), *asked)))
        found = calibrating.assessed_calibrations(database, wanted, alpha)
        left_out = build_calibrations(database, wanted).left_out
        known = calibrating.known_calibrations(database)
        written = draw_calibrations(database, plots) if plots is not None else []
        if export is not None:
            written += calibrating.export_calibrations((one.calibration for one in known), export)
    if as_json:
        told = tables.payload_calibrations(found, known, stored)
        print_json(told | {"left_out": dict(left_out)})
        return
    if stored is not None:
        print_lines([f"stored {stored}"])
    for one in found:
        print_lines(calibrating.lines_of(one))
        out.print(tables.table_calibration(one, width=out.width))
    print_lines([f"{family}: {reason}" for family, reason in left_out.items()])
    if not found and not left_out:
        print_lines([_NO_PAIRS])
    out.print(tables.table_known(known, width=out.width))
    print_paths(written)
