"""Extended XYZ files: many frames, with energies and forces, each read by ASE.

ASE trusts what a file announces: a number of atoms or columns that is not there makes it loop
for hours, lines that are too long lose their end. Both are compared with the lines beforehand,
and ASE is given one frame at a time.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from screening.errors import (
    NonFiniteInputError,
    NotPeriodicError,
    ParseError,
    ScreeningError,
    SuspiciousSpeciesError,
    TooLargeError,
)
from screening.prediction import FloatArray, frozen_array
from stores.importers.records import (
    Block,
    Parsed,
    ReadLimits,
    cartesian_structure,
    checked_element,
    finite_array,
)
from stores.importers.text import bounded_lines, check_nesting

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["read_extxyz"]

_PROPERTIES = re.compile(r"[\w.-]{1,60}:[SIRL]:[1-9]\d?(?::[\w.-]{1,60}:[SIRL]:[1-9]\d?){0,99}")
_DEFAULT_PROPERTIES = "species:S:1:pos:R:3"
_ENERGY_KEYS = ("energy", "Energy", "REF_energy", "free_energy")  # REF_: what MACE is trained on
_FORCE_KEYS = ("forces", "force", "REF_forces")
_STRESS_KEYS = ("stress", "REF_stress")
_VOIGT = ((0, 5, 4), (5, 1, 3), (4, 3, 2))
_SOURCE_KEYS = ("source", "calculator", "functional")  # config_type names the configuration
_LABEL_KEYS = ("label", "name")
_MAX_LINE = 100_000
_MAX_DEPTH = 20


def read_extxyz(text: str, limits: ReadLimits) -> Iterator[Block]:
    """Read every frame; a broken one does not stop those after it.

    The keys ``source``, ``calculator`` and ``functional`` of a frame's comment say what computed
    its energy; ``label`` or ``name`` says what the crystal is called. Names with ``REF_`` before
    them, as potentials are trained on, are read as those without.

    Yields
    ------
    Block
        ``frame 1`` and so on, with its structure or error.

    Raises
    ------
    InputError
        Where the number of atoms of a frame cannot be trusted: nothing after it can be found.
    """
    lines = bounded_lines(text, _MAX_LINE)
    row = frame = 0
    while row < len(lines):
        if not lines[row].strip():
            row += 1
            continue
        frame += 1
        end = row + 2 + _count(lines, row, limits)
        place = f"lines {row + 1} to {end}"
        try:
            yield f"frame {frame}", _frame(lines[row:end], place)
        except ScreeningError as error:
            yield f"frame {frame}", error
        except Exception as error:  # noqa: BLE001 - of ASE's, about this frame only
            yield f"frame {frame}", ParseError(f"{place}: {type(error).__name__}: {error}")
        row = end


def _count(lines: Sequence[str], row: int, limits: ReadLimits) -> int:
    """Announced number of atoms, which must fit the file and the limit."""
    word = lines[row].strip()
    if not re.fullmatch(r"\d{1,20}", word):
        raise ParseError(f"line {row + 1}: {word[:40]!r} is no number of atoms")
    n_atoms = int(word)
    if n_atoms == 0:
        raise ParseError(f"line {row + 1}: a frame without atoms")
    if n_atoms > limits.structure.max_atoms:
        raise TooLargeError(
            f"line {row + 1}: {n_atoms} atoms, more than {limits.structure.max_atoms}"
        )
    if row + 2 + n_atoms > len(lines):
        raise ParseError(
            f"line {row + 1}: {n_atoms} atoms announced, "
            f"{max(0, len(lines) - row - 2)} lines follow"
        )
    return n_atoms


def _frame(lines: Sequence[str], place: str) -> Parsed:
    """One frame, whose lines are all there."""
    from ase.io.extxyz import key_val_str_to_dict, read_xyz

    if "_JSON" in lines[1]:
        check_nesting(lines[1], _MAX_DEPTH)
    parse: Callable[[str], dict[str, Any]] = key_val_str_to_dict
    info = parse(lines[1])
    if "Lattice" not in info:
        raise NotPeriodicError(f"{place}: no Lattice", hint="Only crystals are screened")
    columns = _columns(info.get("Properties", _DEFAULT_PROPERTIES), lines[2:], place)
    try:
        (atoms,) = read_xyz(io.StringIO("\n".join([*lines, ""])), index=slice(None))
    except KeyError as error:
        raise SuspiciousSpeciesError(f"{place}: {error} is no element") from error
    if not all(atoms.pbc):
        raise NotPeriodicError(f"{place}: periodic in {atoms.pbc.tolist()}")
    symbols = _symbols(atoms, columns.get("species"), lines[2:], place)
    shape = (len(atoms), 3)
    matrix = finite_array(atoms.cell.array, (3, 3), f"{place}: Lattice")
    positions = finite_array(atoms.positions, shape, f"{place}: pos")
    found: dict[str, Any] = info | atoms.arrays | (atoms.calc.results if atoms.calc else {})
    energy, source = _energy(found, len(atoms), place)
    given = next((found[key] for key in _FORCE_KEYS if key in columns), None)
    forces = None if given is None else finite_array(given, shape, f"{place}: forces")
    stress = next((found[key] for key in _STRESS_KEYS if key in info), None)
    label = next((info[k] for k in _LABEL_KEYS if isinstance(info.get(k), str)), None)
    return Parsed(
        cartesian_structure(matrix, symbols, positions),
        label=label,
        static_energy_ev_per_atom=energy,
        static_energy_source=source,
        forces_ev_per_angstrom=None if forces is None else frozen_array(forces),
        stress_ev_per_angstrom3=None if stress is None else _tensor(stress, place),
        information={k: _plain(v) for k, v in info.items() if np.ndim(v) == 0},
    )


def _plain(value: Any) -> object:
    return value.item() if isinstance(value, np.generic) else value


def _tensor(given: Any, place: str) -> FloatArray:
    """Stress as a symmetric tensor, from nine numbers or six in the order of Voigt."""
    size = np.size(given)
    name = f"{place}: stress"
    if size == len(_VOIGT) * 2:
        return frozen_array(finite_array(given, (6,), name)[np.array(_VOIGT)])
    tensor = finite_array(
        np.reshape(given, (3, 3)) if size == len(_VOIGT) ** 2 else given, (3, 3), name
    )
    return frozen_array((tensor + tensor.T) / 2)


def _columns(properties: object, rows: Sequence[str], place: str) -> dict[str, int]:
    """First column of each property; all rows must have as many columns as announced."""
    if not isinstance(properties, str) or not _PROPERTIES.fullmatch(properties):
        raise ParseError(f"{place}: Properties is {str(properties)[:60]!r}")
    words = properties.split(":")
    ends = np.cumsum([int(word) for word in words[2::3]]).tolist()
    columns = dict(zip(words[::3], [0, *ends], strict=False))
    if "pos:R:3" not in properties or not columns.keys() & {"species", "Z"}:
        raise ParseError(f"{place}: Properties needs species:S:1 and pos:R:3")
    for row in rows:
        if len(row.split()) != ends[-1]:
            raise ParseError(
                f"{place}: {row[:40]!r} has {len(row.split())} columns, "
                f"Properties announces {ends[-1]}"
            )
    return columns


def _symbols(atoms: Atoms, column: int | None, rows: Sequence[str], place: str) -> list[str]:
    """Elements as they are written; ASE changes case (``CO`` to Co) and knows a dummy."""
    symbols = [str(symbol) for symbol in atoms.symbols]
    written = symbols if column is None else [row.split()[column] for row in rows]
    for symbol, word in zip(symbols, written, strict=True):
        checked_element(symbol if symbol == word else word, place)
    return symbols


def _energy(found: Mapping[str, Any], n_atoms: int, place: str) -> tuple[float | None, str | None]:
    """Energy per atom, and what computed it where the frame says so."""
    key = next((key for key in _ENERGY_KEYS if key in found), None)
    if key is None:
        return None, None
    try:
        energy = float(found[key])
    except (TypeError, ValueError) as error:
        raise ParseError(f"{place}: {key} is {str(found[key])[:40]!r}") from error
    if not np.isfinite(energy):
        raise NonFiniteInputError(f"{place}: {key} is {energy}")
    words = (found.get(name) for name in _SOURCE_KEYS)
    names = dict.fromkeys(word.strip() for word in words if isinstance(word, str) and word.strip())
    # An electronic free energy is another quantity than the energy of the same program.
    kind = ("free energy",) if key == "free_energy" else ()
    return energy / n_atoms, ", ".join((*names, *kind)) if names else None
