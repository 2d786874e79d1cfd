"""Running a program of Quantum ESPRESSO: a child that never outlives its time or its parent."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from screening.errors import CalculatorFailedError, ExecutableMissingError, TimeLimitError

__all__ = ["find_program", "run_program", "version_of"]

_DEATH_SIGNAL_OPTION = 1  # PR_SET_PDEATHSIG of Linux
_VERSION_LIMIT_S = 60.0
_VERSION = re.compile(r"Program \w+ v\.(\S+)")
_ERROR = re.compile(r"Error in routine\s+(?P<where>.+?):?\s*\n\s*(?P<what>.+?)\s*\n")
_HINT = (
    "Install Quantum ESPRESSO (Debian and Ubuntu: apt-get install quantum-espresso), or name the"
    " folder of its programs with bin_dir"
)


def find_program(name: str, bin_dir: str = "") -> Path:
    """Return the full path of a program.

    Parameters
    ----------
    name
        ``pw.x`` or ``ph.x``.
    bin_dir
        Folder to look in; empty looks along ``PATH``.

    Raises
    ------
    ExecutableMissingError
        If it is not there or cannot be executed.
    """
    found = shutil.which(name, path=bin_dir or None)
    if found is None:
        raise ExecutableMissingError(
            f"no program {name} in {bin_dir or 'the folders of PATH'}", subject=name, hint=_HINT
        )
    return Path(found).resolve()


def run_program(program: Path, input_text: str, folder: Path, limit_s: float) -> str:
    """Run a program on an input and return what it printed.

    Parameters
    ----------
    program
        Full path.
    input_text
        Content of its input file.
    folder
        Where it works; also holds its output, ``PROGRAM.out``.
    limit_s
        Wall time in seconds after which it is killed.

    Raises
    ------
    ExecutableMissingError
        If it cannot be started.
    TimeLimitError
        If it was killed at the limit.
    CalculatorFailedError
        With the program's own message, if it stopped with one, or with its exit status; an
        unconverged density is no failure here.
    """
    name = program.name
    source, output = folder / f"{name}.in", folder / f"{name}.out"
    source.write_text(input_text, encoding="utf-8")
    status = _run([str(program), "-in", source.name], folder, output, limit_s)
    text = output.read_text(encoding="utf-8", errors="replace")
    message = _ERROR.search(text)
    if message:
        raise CalculatorFailedError(f"{message['where']}: {message['what']}", subject=name)
    if "JOB DONE" not in text:
        ending = " / ".join(line.strip() for line in text.splitlines()[-3:])
        raise CalculatorFailedError(f"ended early, status {status}: {ending}", subject=name)
    return text


def version_of(program: Path, folder: Path) -> str:
    """Return the version that a program prints before it refuses an empty input.

    Raises
    ------
    ExecutableMissingError
        If it cannot be started or prints none.
    """
    output = folder / "version.out"
    (folder / "empty.in").touch()
    _run([str(program), "-in", "empty.in"], folder, output, _VERSION_LIMIT_S)
    found = _VERSION.search(output.read_text(encoding="utf-8", errors="replace"))
    if found is None:
        raise ExecutableMissingError(
            f"{program} does not start as a program of Quantum ESPRESSO",
            subject=program.name,
            hint=_HINT,
        )
    return found[1]


def _run(command: list[str], folder: Path, output: Path, limit_s: float) -> int:
    """Return the exit status; nothing of the child is left, whatever happens."""
    with output.open("wb") as stream:
        try:
            child = subprocess.Popen(  # noqa: S603 - a list, no shell; found by find_program
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_tie_to_parent(),  # noqa: PLW1509 - one system call, loaded before
            )
        except OSError as error:
            raise ExecutableMissingError(
                f"cannot be started: {error}", subject=command[0], hint=_HINT
            ) from error
        try:
            return child.wait(limit_s)
        except subprocess.TimeoutExpired as error:
            raise TimeLimitError(
                f"killed after {limit_s:g} s",
                subject=Path(command[0]).name,
                hint="Raise time_limit_s, or choose a smaller supercell or cutoff",
            ) from error
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def _tie_to_parent() -> Callable[[], None] | None:
    """Return what the child does first: ask Linux to kill it when its parent dies."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    parent = os.getpid()

    def tie() -> None:
        libc.prctl(_DEATH_SIGNAL_OPTION, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the request
            os._exit(1)

    return tie
