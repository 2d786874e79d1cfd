"""The command line. Results go to standard output, progress and errors to standard error."""

from __future__ import annotations

import signal
import sys

import flows.cli.calibrating
import flows.cli.cells
import flows.cli.database
import flows.cli.gp
import flows.cli.gp_learn
import flows.cli.launching
import flows.cli.models
import flows.cli.repairing
import flows.cli.routing
import flows.cli.scaling
import flows.cli.screening  # noqa: F401 - all register their commands
from flows.cli.app import ExitCode, app
from flows.cli.output import print_error
from screening.errors import (
    DatabaseError,
    EngineUnavailableError,
    InputError,
    ModelError,
    NotFoundError,
    QueryError,
    ScreeningError,
    SettingError,
)

__all__ = ["ExitCode", "app", "main"]


def _exit_code_of(error: ScreeningError) -> ExitCode:
    if isinstance(
        error, (SettingError, QueryError, NotFoundError, ModelError, EngineUnavailableError)
    ):
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
