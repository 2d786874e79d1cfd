"""Which pseudopotential file belongs to which element, by a rule that can be read.

A file is offered for an element if its name begins with the symbol, and its header names the
same element, the functional asked for and no full relativity (no spin-orbit coupling). Among
several the scalar-relativistic ones come first, then those of the pslibrary by version, then
ultrasoft before projector-augmented ones (they are cheaper), then the alphabet.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from screening.errors import PseudopotentialMissingError, SettingError

__all__ = ["FUNCTIONALS", "Pseudopotential", "choose_pseudopotentials", "read_header"]

_HEADER_BYTES = 65536
_NAME = re.compile(r"(?P<symbol>[A-Z][a-z]?)[._-].*\.upf", re.IGNORECASE)
_LIBRARY = re.compile(r"psl\.(\d+)\.(\d+)(?:\.(\d+))?")
_ELEMENT = re.compile(r'element="\s*(\w+)\s*"|^\s*([A-Z][a-z]?)\s+Element\s*$', re.MULTILINE)
_FUNCTIONAL = re.compile(r'functional="([^"]*)"|^(.*?)\s+Exchange-Correlation', re.MULTILINE)
_VALENCE = re.compile(r'z_valence="([^"]*)"|^\s*(\S+)\s+Z valence', re.MULTILINE)
_RELATIVITY = re.compile(r'relativistic="(\w+)"|(Fully|Scalar|Non)-Relativistic')

FUNCTIONALS: dict[str, tuple[str, ...]] = {
    "PBE": ("PBE", "SLA PW PBE PBE", "SLA PW PBX PBC", "SLA PW PBE PBE PBE"),
    "PBEsol": ("PBESOL", "SLA PW PSX PSC"),
}
"""Functionals and the ways in which headers write them."""


@dataclass(frozen=True)
class Pseudopotential:
    """A file and what its header says.

    Attributes
    ----------
    path
        The file.
    element, functional
        As written.
    relativity
        ``scalar``, ``full`` or ``no``.
    n_valence
        Number of valence electrons.
    """

    path: Path
    element: str
    functional: str
    relativity: str
    n_valence: float


def choose_pseudopotentials(
    folder: Path, functional: str, given: Mapping[str, str]
) -> dict[str, Pseudopotential]:
    """Choose a file for each element that has one.

    Parameters
    ----------
    folder
        Where the files are.
    functional
        One of `FUNCTIONALS`.
    given
        Files by element, which win over the rule; their functional is checked too.

    Returns
    -------
    dict
        By the symbol of the element.

    Raises
    ------
    PseudopotentialMissingError
        If the folder has no file for any element, or not one that is given.
    SettingError
        If a given file is of another element or functional.
    """
    found = {symbol: _given(folder, functional, symbol, name) for symbol, name in given.items()}
    offered: dict[str, list[Pseudopotential]] = {}
    for path in sorted(folder.glob("*")) if folder.is_dir() else ():
        entry = _offered(path, functional)
        if entry is not None:
            offered.setdefault(entry.element, []).append(entry)
    for symbol, entries in offered.items():
        found.setdefault(symbol, min(entries, key=_order))
    if not found:
        raise PseudopotentialMissingError(
            f"no pseudopotential for {functional} in {folder}",
            subject="espresso",
            hint="Name the folder of your UPF files with pseudo_dir"
            " (Debian and Ubuntu: apt-get install quantum-espresso-data)",
        )
    return dict(sorted(found.items()))


def read_header(path: Path) -> Pseudopotential | None:
    """Read what a file says about itself, in either version of the format; None if nothing."""
    with path.open("rb") as stream:
        text = stream.read(_HEADER_BYTES).decode("latin-1")
    element, functional, valence = (
        _first(pattern, text) for pattern in (_ELEMENT, _FUNCTIONAL, _VALENCE)
    )
    try:
        n_valence = float(valence)
    except ValueError:
        return None
    if not element or not functional:
        return None
    relativity = {"fully": "full", "non": "no"}.get(
        _first(_RELATIVITY, text).lower(), _first(_RELATIVITY, text).lower()
    )
    return Pseudopotential(path, element, functional, relativity or "no", n_valence)


def _first(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return " ".join(next(filter(None, match.groups()), "").split()) if match else ""


def _is(entry: Pseudopotential, functional: str) -> bool:
    return entry.functional.upper().replace("-", " ") in FUNCTIONALS[functional]


def _offered(path: Path, functional: str) -> Pseudopotential | None:
    """Apply the rule to one file."""
    name = _NAME.fullmatch(path.name)
    if name is None or not path.is_file():
        return None
    entry = read_header(path)
    if entry is None or entry.element != name["symbol"] or entry.relativity == "full":
        return None
    return entry if _is(entry, functional) else None


def _order(entry: Pseudopotential) -> tuple[object, ...]:
    """Sort key: the best first."""
    library = _LIBRARY.search(entry.path.name)
    version = tuple(-int(part or 0) for part in library.groups()) if library else (1, 0, 0)
    is_augmented = "paw" in entry.path.name.lower()
    return (entry.relativity != "scalar", version, is_augmented, entry.path.name)


def _given(folder: Path, functional: str, symbol: str, name: str) -> Pseudopotential:
    """Check a file that the user names."""
    path = folder / name
    if Path(name).name != name or not path.is_file():
        raise PseudopotentialMissingError(
            f"no file {name} for {symbol} in {folder}",
            subject="pseudopotentials",
            hint="Give the names of files in pseudo_dir",
        )
    entry = read_header(path)
    if entry is None or entry.element != symbol or not _is(entry, functional):
        said = f"{entry.element}, {entry.functional}" if entry else "nothing that can be read"
        raise SettingError(
            f"the header of {name} says {said}, not {symbol}, {functional}",
            subject="pseudopotentials",
        )
    return entry
