"""Displaced supercells with forces: from phono3py and phonopy files and folders, and extxyz.

A path is a yaml file with forces, a folder that holds a yaml file and ``FORCES_FC3``, or an
extxyz file of displaced supercells (then the undisplaced one is asked for). All may be
compressed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pymatgen.core import Structure

from screening.anharmonic import DisplacedCells
from screening.errors import InconsistentDataError, ParseError, ScreeningError
from stores.importers.displaced_frames import cells_of_frames, structure_crystal
from stores.importers.phono3py_cells import Undisplaced, crystal_of_yaml, old_crystal_of_yaml
from stores.importers.phono3py_forces import displacements_of_forces, read_born, with_forces
from stores.importers.phono3py_yaml import (
    cells_of_set,
    displacements_of_yaml,
)
from stores.importers.phonopy_yaml import load_yaml
from stores.importers.reading import reader_of
from stores.importers.records import DEFAULT_READ_LIMITS, ReadLimits, display_name
from stores.importers.text import (
    COMPRESSIONS,
    decode_text,
    decompressed,
    read_bytes,
    split_compression,
)

__all__ = ["find_displaced_cells", "read_displaced_cells", "read_phonon_cells"]

_Read = TypeVar("_Read")

_YAML = (".yaml", ".yml")
_FRAMES = (".extxyz", ".xyz")
_LZMA = ".lzma"  # read by what reads .xz
_THIRD = (
    (
        "phono3py_disp.yaml",
        "phono3py_disp_dimfc2.yaml",
        "disp_fc3.yaml",
        "phono3py_params.yaml",
        "phono3py.yaml",
    ),
    ("FORCES_FC3",),
)
_PHONOPY = (("phonopy_disp.yaml", "phonopy_params.yaml", "phonopy.yaml"), ("FORCE_SETS",))
_SECOND = (
    (
        "phono3py_disp_dimfc2.yaml",
        "phono3py_disp.yaml",
        "disp_fc2.yaml",
        "phono3py_params.yaml",
        "phono3py.yaml",
    ),
    ("FORCES_FC2",),
)
_UNIT_CELLS = ("POSCAR-unitcell", "POSCAR")
_FRAME_FILES = ("cells.extxyz", "supercell.yaml")
_FORCES = re.compile(r"^[ -]*forces?:[ ]*(?:\[|#|$)", re.MULTILINE)  # and not a unit of force
_ENTRY_KEYS = ("displacement_pairs:", "dataset:", "displacements:", "first_atoms:")


def read_displaced_cells(
    path: str | os.PathLike[str],
    *,
    supercell: Structure | str | os.PathLike[str] | None = None,
    limits: ReadLimits = DEFAULT_READ_LIMITS,
) -> DisplacedCells:
    """Read displaced supercells with forces.

    Parameters
    ----------
    path
        A yaml file of phono3py or phonopy with forces; a folder with ``phono3py_disp.yaml`` (or
        ``disp_fc3.yaml``, ``phonopy_disp.yaml``) and ``FORCES_FC3`` (or ``FORCE_SETS``), and
        ``BORN`` where Born charges are known; a folder that `write_displaced_cells` wrote; or
        an extxyz file.
    supercell
        The undisplaced supercell or its primitive cell, as a structure or a file, for what does
        not hold it: extxyz, and ``FORCES_FC3`` without a yaml file. A yaml file gives both.
    limits
        What may be read.

    Raises
    ------
    ScreeningError
        `ParseError` for what is no such file, `InconsistentDataError` for forces, displacements
        and cells that contradict each other, `NonFiniteForcesError` for NaN.
    """
    place = Path(path)
    return _named(place, lambda: _read(place, supercell, limits))


def read_phonon_cells(
    path: str | os.PathLike[str], *, limits: ReadLimits = DEFAULT_READ_LIMITS
) -> DisplacedCells | None:
    """Read the second data set of phono3py, on the larger supercell for second-order constants.

    Parameters
    ----------
    path
        As in `read_displaced_cells`; the folder holds ``FORCES_FC2``.
    limits
        What may be read.

    Returns
    -------
    DisplacedCells or None
        None where there is no such data set, or it has no forces.

    Raises
    ------
    ScreeningError
        As in `read_displaced_cells`.
    """
    place = Path(path)
    return _named(place, lambda: _read_phonon(place, limits))


def find_displaced_cells(folder: str | os.PathLike[str]) -> list[Path]:
    """Find what `read_displaced_cells` may read below a folder, sorted.

    Yaml files that hold displacements with forces, and folders with ``FORCES_FC3`` or
    ``FORCE_SETS`` and the yaml file of their displacements. Nothing is read in full, so some
    may still be refused.
    """
    found: list[Path] = []
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here = Path(root)
        pairs = [pair for kind in (_THIRD, _PHONOPY) for pair in _pairs_in(here, *kind)]
        if pairs or _frame_files(here):
            found.append(here)
        described = {pair[0].name for pair in pairs}
        others = sorted(set(names) - described)
        found += [here / name for name in others if _holds_forces(here / name)]
    return sorted(found)


def _named(place: Path, read: Callable[[], _Read]) -> _Read:
    """Let every error name the file, which its own subject is a part of."""
    try:
        return read()
    except ScreeningError as error:
        subject = ": ".join(filter(None, (display_name(place.name), error.subject)))
        raise type(error)(error.message, subject=subject, hint=error.hint) from error


def _read(
    place: Path, supercell: Structure | str | os.PathLike[str] | None, limits: ReadLimits
) -> DisplacedCells:
    if place.is_dir():
        return _read_folder(place, supercell, limits)
    name = _plain_name(place)
    if name.endswith(_FRAMES):
        return cells_of_frames(_text(place, limits), _given_crystal(supercell, limits), limits)
    if not name.endswith(_YAML):
        raise ParseError(
            "the name tells no format", hint="Known: yaml, extxyz, and folders with FORCES_FC3"
        )
    found = _of_yaml(place, _forces_beside(place), limits)
    if found is None:
        raise InconsistentDataError("no displacements", hint="Give the file with forces in it")
    return found


def _read_folder(
    folder: Path, supercell: Structure | str | os.PathLike[str] | None, limits: ReadLimits
) -> DisplacedCells:
    frames = _frame_files(folder)
    if frames is not None:
        return _read(frames[0], supercell or frames[1], limits)
    for kind in (_THIRD, _PHONOPY):
        for described, forces in _pairs_in(folder, *kind):
            cells = _of_yaml(described, forces, limits)
            if cells is not None:
                return cells
        alone = _first(folder, kind[1])
        if alone is not None and supercell is not None:
            crystal = _with_born(_given_crystal(supercell, limits), folder, limits)
            n_atoms = len(crystal.supercell_numbers)
            found = displacements_of_forces(_text(alone, limits), n_atoms, alone.name)
            return cells_of_set(crystal, found)
    files = [path for path in sorted(folder.iterdir()) if _holds_forces(path)]
    if len(files) == 1:
        return _read(files[0], supercell, limits)
    raise ParseError(
        f"{len(files)} yaml files with forces and no pair of yaml file and FORCES_FC3",
        hint="Give one of the files, or the undisplaced supercell that FORCES_FC3 belongs to",
    )


def _of_yaml(
    path: Path, forces: Path | None, limits: ReadLimits, prefix: str = ""
) -> DisplacedCells | None:
    """Read the data set of a yaml file, with the forces of a file beside it where it has none.

    None where the file has no such data set.
    """
    data = _mapping(path, limits)
    if prefix and not _has_larger(data):
        return None
    crystal = _crystal_beside(path.parent, data, prefix, limits)
    n_atoms = len(crystal.supercell_numbers)
    # disp_fc2.yaml holds nothing but the larger supercell, and so needs no prefix
    found = displacements_of_yaml(data, n_atoms, "" if "first_atoms" in data else prefix)
    if found is None:
        return None
    if found.forces_ev_per_angstrom is None and forces is not None:
        found = with_forces(found, _text(forces, limits), forces.name)
    if prefix and found.forces_ev_per_angstrom is None:
        return None
    return cells_of_set(_with_born(crystal, path.parent, limits), found)


def _has_larger(data: Mapping[str, Any]) -> bool:
    """Whether a file names a supercell for second-order constants; ``disp_fc2.yaml`` is one."""
    if data.get("first_atoms"):
        return "second_atoms" not in data["first_atoms"][0]
    keys = ("phonon_supercell", "phonon_supercell_matrix")
    return any(data.get(key) is not None for key in keys)


def _forces_beside(path: Path) -> Path | None:
    """File of the forces in the same folder, for a yaml file of displacements alone."""
    phonopy = _plain_name(path).startswith("phonopy")
    return _first(path.parent, _PHONOPY[1] if phonopy else _THIRD[1])


def _crystal_beside(
    folder: Path, data: Mapping[str, Any], prefix: str, limits: ReadLimits
) -> Undisplaced:
    """Crystal of a yaml file; old ones hold the supercell only, a POSCAR beside the unit cell."""
    if "first_atoms" not in data:
        return crystal_of_yaml(data, limits, prefix)
    supercell = old_crystal_of_yaml(data)
    unit = _first(folder, _UNIT_CELLS)
    primitive = None if unit is None else _structure(unit, limits)
    return structure_crystal(supercell, primitive)


def _read_phonon(place: Path, limits: ReadLimits) -> DisplacedCells | None:
    if place.is_dir():
        for described, forces in _pairs_in(place, *_SECOND):
            found = _of_yaml(described, forces, limits, "phonon_")
            if found is not None:
                return found
        files = [path for path in sorted(place.iterdir()) if _holds_forces(path)]
        return _read_phonon(files[0], limits) if len(files) == 1 else None
    if not _plain_name(place).endswith(_YAML):
        return None
    beside = _first(place.parent, _SECOND[1])
    if beside is None and not _holds_forces(place):
        return None
    return _of_yaml(place, beside, limits, "phonon_")


def _given_crystal(
    supercell: Structure | str | os.PathLike[str] | None, limits: ReadLimits
) -> Undisplaced:
    """Undisplaced crystal that the user gives beside the forces."""
    if supercell is None:
        raise InconsistentDataError(
            "the undisplaced supercell is not known",
            subject="supercell",
            hint="Give the undisplaced supercell or its primitive cell",
        )
    if isinstance(supercell, Structure):
        return structure_crystal(supercell)
    path = Path(supercell)
    if _plain_name(path).endswith(_YAML):
        return crystal_of_yaml(_mapping(path, limits), limits)
    return structure_crystal(_structure(path, limits))


def _with_born(crystal: Undisplaced, folder: Path, limits: ReadLimits) -> Undisplaced:
    """Add the Born charges of a file ``BORN`` in the same folder, unless they are known."""
    path = _first(folder, ("BORN",))
    if path is None or crystal.born_charges_e is not None:
        return crystal
    born, dielectric = read_born(_text(path, limits), crystal.primitive)
    return replace(crystal, born_charges_e=born, dielectric_constant=dielectric)


def _structure(path: Path, limits: ReadLimits) -> Structure:
    """Only structure of a file."""
    reader = reader_of(path.name)
    if reader is None:
        raise ParseError(
            "the name tells no format",
            subject=display_name(path.name),
            hint="Give a structure as CIF, POSCAR, extxyz or phonopy yaml",
        )
    blocks = list(reader(_text(path, limits), limits))
    for _, block in blocks:
        if isinstance(block, ScreeningError):
            raise block
        if len(blocks) == 1:
            return block.structure
    raise ParseError(
        f"{len(blocks)} structures, one is needed",
        subject=display_name(path.name),
        hint="Give a file with one structure, the undisplaced supercell",
    )


def _mapping(path: Path, limits: ReadLimits) -> Mapping[str, Any]:
    data = load_yaml(_text(path, limits))
    if not isinstance(data, Mapping):
        raise ParseError(
            "not a mapping",
            subject=display_name(path.name),
            hint="Give the file as phono3py or phonopy wrote it",
        )
    return data


def _text(path: Path, limits: ReadLimits) -> str:
    name = path.name[: -len(_LZMA)] + ".xz" if path.name.endswith(_LZMA) else path.name
    data = decompressed(read_bytes(path, limits), split_compression(name)[1], limits)
    return decode_text(data)[0]


def _plain_name(path: Path) -> str:
    """Name without the suffix of its compression, in small letters."""
    return split_compression(path.name.removesuffix(_LZMA))[0].lower()


def _variants(folder: Path, name: str) -> Iterator[Path]:
    for suffix in ("", *COMPRESSIONS, _LZMA):
        if (folder / f"{name}{suffix}").is_file():
            yield folder / f"{name}{suffix}"


def _first(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((path for name in names for path in _variants(folder, name)), None)


def _pairs_in(
    folder: Path, described: tuple[str, ...], forces: tuple[str, ...]
) -> list[tuple[Path, Path]]:
    """Yaml files of displacements, and the file of their forces."""
    second = _first(folder, forces)
    if second is None:
        return []
    return [(path, second) for name in described for path in _variants(folder, name)]


def _frame_files(folder: Path) -> tuple[Path, Path] | None:
    frames, crystal = (_first(folder, (name,)) for name in _FRAME_FILES)
    return None if frames is None or crystal is None else (frames, crystal)


def _holds_forces(path: Path) -> bool:
    """Tell from the names of its blocks whether a yaml file has displacements with forces."""
    if path.name.startswith(".") or not path.is_file() or not _plain_name(path).endswith(_YAML):
        return False
    try:
        text = _text(path, DEFAULT_READ_LIMITS)
    except ScreeningError:
        return False
    blocks = any(text.startswith(key) or f"\n{key}" in text for key in _ENTRY_KEYS)
    return blocks and _FORCES.search(text) is not None
