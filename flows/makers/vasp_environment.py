"""Whether VASP can run on this machine: its command, its POTCARs, and atomate2."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from screening.errors import (
    ExecutableMissingError,
    PseudopotentialMissingError,
    SettingError,
)

if TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ["atomate2_potcars", "check_vasp_environment", "potcars_of", "require_vasp"]


def atomate2_potcars() -> dict[str, str]:
    """Return the POTCAR symbol that atomate2 chooses for every element.

    Raises
    ------
    ExecutableMissingError
        If atomate2 is not installed.
    """
    try:
        from atomate2.vasp.sets.base import VaspInputGenerator
    except ImportError as error:
        raise ExecutableMissingError(
            "atomate2 is not installed", subject="atomate2", hint="Install it: pip install atomate2"
        ) from error
    return dict(VaspInputGenerator().config_dict["POTCAR"])


def potcars_of(structure: Structure, potcars: Mapping[str, str]) -> dict[str, str]:
    """Return the POTCAR symbol of every element of a crystal.

    Raises
    ------
    PseudopotentialMissingError
        If none is chosen for an element.
    """
    elements = sorted({site.specie.symbol for site in structure})
    unknown = [element for element in elements if element not in potcars]
    if unknown:
        raise PseudopotentialMissingError(
            f"no POTCAR is chosen for {', '.join(unknown)}",
            hint="Name one in the setting 'potcars'",
        )
    return {element: potcars[element] for element in elements}


def require_vasp(symbols: Mapping[str, str], family: str, command: str = "") -> None:
    """Refuse where VASP cannot run.

    Parameters
    ----------
    symbols
        POTCAR symbol of every element.
    family
        Family of POTCAR files, such as ``PBE_54``.
    command
        How VASP is started; empty takes ``VASP_CMD`` of atomate2.

    Raises
    ------
    ExecutableMissingError
        If the program is not found.
    PseudopotentialMissingError
        If the folder of POTCARs is not set or one is not in it.
    """
    problem = _command_problem(command)
    if problem:
        raise ExecutableMissingError(
            problem,
            subject="vasp",
            hint="Install VASP under your licence, and set VASP_CMD in ~/.atomate2.yaml",
        )
    problem = _potcar_problem(list(symbols.values()), family)
    if problem:
        raise PseudopotentialMissingError(
            problem,
            subject="PMG_VASP_PSP_DIR",
            hint="Run 'pmg config -p POTCARS FOLDER', then 'pmg config --add PMG_VASP_PSP_DIR "
            "FOLDER'",
        )


def check_vasp_environment(
    symbols: Sequence[str] = (), family: str = "PBE_54", command: str = ""
) -> list[str]:
    """Say what is missing on this machine for VASP, one sentence each; empty if nothing.

    Parameters
    ----------
    symbols
        POTCAR symbols to look for.
    family, command
        As `require_vasp`.
    """
    try:
        atomate2_potcars()
    except ExecutableMissingError as error:
        return [str(error)]
    problems = (_command_problem(command), _potcar_problem(symbols, family))
    return [problem for problem in problems if problem]


def _command_problem(command: str) -> str:
    """Look for the program, and for the one that starts it in parallel."""
    if not command:
        from atomate2 import SETTINGS

        command = SETTINGS.VASP_CMD
    try:
        words = shlex.split(os.path.expandvars(command))
    except ValueError as error:
        raise SettingError(f"{command!r}: {error}", subject="VASP_CMD") from error
    wanted = [word for i, word in enumerate(words) if i == 0 or "vasp" in Path(word).name.lower()]
    missing = [word for word in wanted if shutil.which(word) is None]
    if missing or not wanted:
        return f"the command of VASP is {command!r}: {', '.join(missing)} is not found"
    return ""


def _potcar_problem(symbols: Sequence[str], family: str) -> str:
    """Look for the folder of POTCARs and those in it, where pymatgen looks."""
    from pymatgen.core import SETTINGS
    from pymatgen.io.vasp import PotcarSingle

    folder = SETTINGS.get("PMG_VASP_PSP_DIR")
    if not folder:
        return "PMG_VASP_PSP_DIR is not set: it names the folder of the POTCARs"
    if not Path(folder).is_dir():
        return f"PMG_VASP_PSP_DIR is {folder}, which is no folder"
    inner = SETTINGS.get("PMG_VASP_PSP_SUB_DIRS", {}).get(family)
    inner = inner or PotcarSingle.functional_dir.get(family)
    if inner is None:
        return f"{family} is no family of POTCARs that pymatgen knows"
    missing = [name for name in symbols if not _has_potcar(Path(folder) / inner, name)]
    if missing:
        return f"no POTCAR of {', '.join(missing)} in {Path(folder) / inner}"
    return ""


def _has_potcar(folder: Path, symbol: str) -> bool:
    places = (f"POTCAR.{symbol}", f"{symbol}/POTCAR")
    return any((folder / f"{place}{end}").is_file() for place in places for end in ("", ".gz"))
