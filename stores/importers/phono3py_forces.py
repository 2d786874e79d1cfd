"""Forces beside a yaml file: ``FORCES_FC3``, ``FORCES_FC2``, ``FORCE_SETS`` and ``BORN``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from pymatgen.core import Structure

from screening.errors import InconsistentDataError, NonFiniteForcesError, ParseError
from screening.prediction import FloatArray, frozen_array
from stores.importers.phono3py_yaml import DisplacementSet
from stores.importers.records import finite_array
from stores.importers.text import bounded_lines

__all__ = ["displacements_of_forces", "read_born", "with_forces"]

_MAX_LINE = 10_000
_NUMBER = r"[+-]?[\d.]+(?:[eE][+-]?\d+)?"
_MOVE = re.compile(rf"#\s*(\d+)\s+({_NUMBER})\s+({_NUMBER})\s+({_NUMBER})\s*")
_COLUMNS = {3: "forces", 6: "displacements and forces"}
_SAME_ANGSTROM = 1e-5
_HINT = "The forces belong to another set of displacements"


@dataclass(frozen=True, eq=False)
class _ForceFile:
    """Numbers of a file, shape (row, 3 or 6), and the moves named by its comments per cell."""

    rows: FloatArray
    moves: tuple[tuple[tuple[int, tuple[float, ...]], ...], ...]


def with_forces(found: DisplacementSet, text: str, name: str) -> DisplacementSet:
    """Give a data set the forces of a file.

    Parameters
    ----------
    found
        Displacements without forces.
    text
        Content of ``FORCES_FC3`` or ``FORCES_FC2``: a block of forces per cell, all single
        displacements before the pairs, with or without those beyond the cutoff; or
        displacements and forces in six columns.
    name
        Of the file, for messages.

    Raises
    ------
    InputError
        If the numbers of atoms or cells, or the displacements that the file names, are others.
    """
    n_cells, n_atoms = found.displacements_angstrom.shape[:2]
    read = _force_file(_plain_rows(text, n_atoms), name)
    blocks = _blocks(read, n_atoms, name)
    if read.rows.shape[1] == len("xyzxyz"):
        return _six_columns(found, blocks, name)
    included = np.flatnonzero(found.included)
    cells = np.arange(n_cells) if len(blocks) == n_cells else included
    if len(blocks) != len(cells):
        raise InconsistentDataError(
            f"{len(blocks)} cells of {n_atoms} atoms with forces, {len(cells)} are displaced",
            subject=name,
            hint=_HINT,
        )
    _check_moves(found, read, cells, name)
    forces = np.zeros_like(found.displacements_angstrom)
    forces[cells] = blocks
    return replace(found, forces_ev_per_angstrom=forces)


def displacements_of_forces(text: str, n_atoms: int, name: str) -> DisplacementSet:
    """Read displacements and forces from a file that holds both.

    Parameters
    ----------
    text
        ``FORCES_FC3`` with the displacements in its comments or in six columns, or
        ``FORCE_SETS`` of phonopy.
    n_atoms
        Atoms of the supercell.
    name
        Of the file, for messages.

    Raises
    ------
    ParseError
        If it does not say what was displaced.
    """
    read = _force_file(_plain_rows(text, n_atoms), name)
    blocks = _blocks(read, n_atoms, name)
    included = np.ones(len(blocks), dtype=np.bool_)
    if read.rows.shape[1] == len("xyzxyz"):
        return DisplacementSet(blocks[..., :3], blocks[..., 3:], None, included, systematic=False)
    if len(read.moves) != len(blocks) or not all(read.moves):
        raise ParseError(
            "the displacements are not in the file",
            subject=name,
            hint="Give phono3py_disp.yaml or disp_fc3.yaml in the same folder",
        )
    moves = np.array([_total(cell, n_atoms, name) for cell in read.moves])
    return DisplacementSet(moves, blocks, None, included, systematic=True)


def read_born(text: str, primitive: Structure) -> tuple[FloatArray, FloatArray]:
    """Read Born charges and the dielectric tensor from a ``BORN`` file.

    Returns
    -------
    born_charges_e, dielectric_constant
        Of all sites, shape (site, 3, 3), and shape (3, 3).

    Raises
    ------
    InputError
        If the file does not fit the primitive cell.
    """
    from phonopy.file_IO import parse_BORN_from_strings

    from screening.supercell_symmetry import phonopy_cell

    lines = bounded_lines(text, _MAX_LINE)
    try:
        nac = parse_BORN_from_strings("\n".join(lines) + "\n", phonopy_cell(primitive))
    except Exception as error:  # any: a parser's own failure is a file that cannot be used
        raise ParseError(
            f"BORN: {type(error).__name__}: {error}",
            hint="Give BORN as phonopy-vasp-born writes it, for the primitive cell",
        ) from error
    return (
        frozen_array(finite_array(nac["born"], (len(primitive), 3, 3), "Born charges")),
        frozen_array(finite_array(nac["dielectric"], (3, 3), "dielectric tensor")),
    )


def _plain_rows(text: str, n_atoms: int) -> list[str]:
    """Lines of a file; those of ``FORCE_SETS`` are made like those of ``FORCES_FC2``."""
    lines = [line.strip() for line in bounded_lines(text, _MAX_LINE) if line.strip()]
    if not lines or not re.fullmatch(r"\d+", lines[0]):
        return lines
    if int(lines[0]) != n_atoms:
        raise InconsistentDataError(
            f"forces on {lines[0]} atoms, the supercell has {n_atoms}",
            hint="Give the file of forces that belongs to this supercell",
        )
    plain: list[str] = []
    for start in range(2, len(lines), n_atoms + 2):
        moved = " ".join(lines[start : start + 2])
        plain += ["# File:", f"# {moved}", *lines[start + 2 : start + 2 + n_atoms]]
    return plain


def _force_file(lines: Sequence[str], name: str) -> _ForceFile:
    """Separate numbers from comments."""
    rows: list[list[float]] = []
    moves: list[list[tuple[int, tuple[float, ...]]]] = []
    for line in lines:
        if not line.startswith("#"):
            rows.append(_numbers(line, len(rows[0]) if rows else 0, name))
        elif (move := _MOVE.fullmatch(line)) is not None:
            found = (int(move[1]) - 1, tuple(float(word) for word in move.groups()[1:]))
            if not moves:
                moves.append([])
            moves[-1].append(found)
        elif line[1:].strip().startswith("File"):
            moves.append([])
    if not rows:
        raise ParseError(
            "no forces",
            subject=name,
            hint="Write it again from the outputs of the force calculations",
        )
    return _ForceFile(np.array(rows), tuple(tuple(cell) for cell in moves))


def _numbers(line: str, n_columns: int, name: str) -> list[float]:
    try:
        row = [float(word) for word in line.split()]
    except ValueError as error:
        raise ParseError(
            f"{line[:60]!r}: {error}",
            subject=name,
            hint="Lines without # hold numbers only: mend the line or write the file again",
        ) from error
    if len(row) not in _COLUMNS or len(row) != (n_columns or len(row)):
        raise ParseError(
            f"{line[:60]!r} has {len(row)} columns",
            subject=name,
            hint="Give a line of forces x y z, or of displacement and force, for every atom",
        )
    return row


def _blocks(read: _ForceFile, n_atoms: int, name: str) -> FloatArray:
    """Numbers per cell, shape (cell, atom, 3 or 6)."""
    n_rows, n_columns = read.rows.shape
    if n_rows % n_atoms:
        raise InconsistentDataError(
            f"{n_rows} rows of {_COLUMNS[n_columns]} are {n_rows / n_atoms:.2f} cells of"
            f" {n_atoms} atoms",
            subject=name,
            hint="The file is cut off, or belongs to another supercell",
        )
    if not np.isfinite(read.rows).all():
        row = int(np.argwhere(~np.isfinite(read.rows))[0, 0])
        raise NonFiniteForcesError(
            f"cell {row // n_atoms + 1}, atom {row % n_atoms + 1}: not finite",
            subject=name,
            hint="Compute this cell again and write the file anew",
        )
    return read.rows.reshape(-1, n_atoms, n_columns)


def _six_columns(found: DisplacementSet, blocks: FloatArray, name: str) -> DisplacementSet:
    """Take forces beside their displacements, which must be the first of the data set."""
    moves = blocks[..., :3]
    n_cells = len(blocks)
    expected = found.displacements_angstrom[:n_cells]
    if n_cells > len(found.displacements_angstrom) or (
        np.abs(moves - expected).max() > _SAME_ANGSTROM
    ):
        raise InconsistentDataError(
            "the displacements beside the forces are not those of the yaml file",
            subject=name,
            hint=_HINT,
        )
    energies = found.energies_ev
    return DisplacementSet(
        expected,
        np.ascontiguousarray(blocks[..., 3:]),
        None if energies is None else energies[:n_cells],
        found.included[:n_cells],
        found.systematic,
    )


def _check_moves(
    found: DisplacementSet, read: _ForceFile, cells: Sequence[int] | np.ndarray, name: str
) -> None:
    """Compare the displacements that comments name with those of the data set."""
    if len(read.moves) != len(cells) or not all(read.moves):
        return
    n_atoms = found.displacements_angstrom.shape[1]
    for block, cell in enumerate(cells):
        named = _total(read.moves[block], n_atoms, name)
        difference = np.abs(named - found.displacements_angstrom[cell]).max()
        if difference > _SAME_ANGSTROM:
            atoms = ", ".join(str(atom + 1) for atom, _ in read.moves[block])
            raise InconsistentDataError(
                f"block {block + 1} displaces atoms {atoms}, by {difference:.4g} Å otherwise than"
                f" the yaml file",
                subject=name,
                hint=_HINT,
            )


def _total(moves: Sequence[tuple[int, tuple[float, ...]]], n_atoms: int, name: str) -> FloatArray:
    """Displacements of all atoms, shape (atom, 3)."""
    total = np.zeros((n_atoms, 3))
    for atom, move in moves:
        if not 0 <= atom < n_atoms:
            raise InconsistentDataError(
                f"atom {atom + 1} is displaced in a supercell of {n_atoms} atoms",
                subject=name,
                hint=_HINT,
            )
        total[atom] += move
    return total
