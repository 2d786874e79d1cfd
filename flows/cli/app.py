"""The application, the options that commands share, and how a command ends."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

import typer

from flows.cli.output import print_lines
from stores.connect import DEFAULT_URI

__all__ = [
    "ExitCode",
    "Json",
    "app",
    "chosen_database_uri",
    "database_uri",
    "selected_materials",
]


class ExitCode(IntEnum):
    """How a command ended."""

    DONE = 0
    SOME_FAILED = 1
    WRONG_USAGE = 2
    NOTHING_USABLE = 3
    DATABASE = 4
    BUSY = 5
    INTERRUPTED = 130


app = typer.Typer(
    name="phonoscreen",
    help="Vibrational screening of crystals: free energies, stability and polymorph rankings "
    "in a database you can query.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_state = {"database_uri": "", "chosen": ""}

Json = Annotated[bool, typer.Option("--json", help="Machine-readable output on stdout.")]


@app.callback()
def _database(
    context: typer.Context,
    uri: Annotated[
        str,
        typer.Option(
            "--db",
            envvar="PHONOSCREEN_DB",
            help="sqlite:///file.db, mongodb://host/name or memory://name",
        ),
    ] = DEFAULT_URI,
) -> None:
    """Choose the database of the command."""
    source = context.get_parameter_source("uri")
    _state["database_uri"] = uri
    _state["chosen"] = uri if source is not None and source.name == "COMMANDLINE" else ""


def database_uri() -> str:
    """Return the database that the user chose."""
    return _state["database_uri"]


def chosen_database_uri() -> str:
    """Return the database that was named on the command line, empty where none was."""
    return _state["chosen"]


def selected_materials(query: str | None, otherwise: str) -> tuple[str, ...]:
    """Return the stored materials that a filter selects, or end the command where there are none.

    Parameters
    ----------
    query
        The filter; everything that is stored where there is none.
    otherwise
        What to say where nothing matches, such as ``nothing to launch``.
    """
    from flows.catalogue import materials_where
    from stores.connect import open_database

    with open_database(database_uri(), read_only=True) as database:
        names = materials_where(database, query or "")
    if not names:
        print_lines([f"{otherwise}: nothing stored that matches"])
        raise typer.Exit(ExitCode.NOTHING_USABLE)
    return names
