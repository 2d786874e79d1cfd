"""Displaced supercells in the yaml files of phono3py and phonopy, of every version.

All layouts become the same two records: the undisplaced crystal, and the displacements with
their forces, all atoms of every cell given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.anharmonic import DisplacedCells
from screening.errors import InconsistentDataError, NonFiniteForcesError, ParseError
from screening.prediction import FloatArray, frozen_array
from stores.importers.phono3py_cells import Undisplaced
from stores.importers.records import finite_array

__all__ = ["DisplacementSet", "cells_of_set", "displacements_of_yaml"]

IntArray = NDArray[np.int64]

_UNDISPLACED_ANGSTROM = 1e-8
_SAME_DISPLACEMENT_ANGSTROM = 1e-7
_SAME_FORCE_EV_PER_ANGSTROM = 1e-6


@dataclass(frozen=True, eq=False)
class DisplacementSet:
    """Displacements, and forces where they are given.

    Attributes
    ----------
    displacements_angstrom
        Cartesian displacements in Å, shape (cell, atom, 3).
    forces_ev_per_angstrom
        Forces in eV/Å, shape (cell, atom, 3), or None.
    energies_ev
        Total energies in eV, NaN where one is not given, shape (cell,), or None.
    included
        False for pairs beyond the cutoff, which are not computed, shape (cell,).
    systematic
        Whether one or two atoms are moved at a time.
    """

    displacements_angstrom: FloatArray
    forces_ev_per_angstrom: FloatArray | None
    energies_ev: FloatArray | None
    included: NDArray[np.bool_]
    systematic: bool


def displacements_of_yaml(
    data: Mapping[str, Any], n_atoms: int, prefix: str = ""
) -> DisplacementSet | None:
    """Read displacements, and the forces among them.

    Parameters
    ----------
    data
        Content of the file.
    n_atoms
        Atoms of the supercell.
    prefix
        ``phonon_`` for the data set of the larger supercell.

    Returns
    -------
    DisplacementSet or None
        None where the file has no such data set.

    Raises
    ------
    InputError
        If arrays have another shape than the supercell asks for.
    """
    entries, energies = _entries(data, prefix)
    if entries:
        if isinstance(entries[0], Mapping):
            return _pairs(entries, n_atoms)
        return _per_atom(entries, n_atoms, energies)
    block = data.get(f"{prefix}dataset")
    return _stacked(block, n_atoms) if isinstance(block, Mapping) else None


def _entries(data: Mapping[str, Any], prefix: str) -> tuple[Sequence[Any], Any]:
    """Find the list of displacements of a data set, and its energies.

    Before phono3py 2.2 ``displacements`` stood for the larger supercell where there was one.
    """
    energies = data.get(f"{prefix}supercell_energies")
    pairs = data.get("displacement_pairs") or data.get("first_atoms")
    of_larger = "phonon_supercell_matrix" in data and "phonon_displacements" not in data
    old = data.get("displacements") if pairs and of_larger else None
    if prefix:
        found = data.get(f"{prefix}displacements") or old
    else:
        found = pairs or data.get("displacements")
    if found is not None and not isinstance(found, list):
        raise ParseError(
            f"displacements are no list but {type(found).__name__}",
            hint="Give the file as phono3py or phonopy wrote it",
        )
    return found or (), energies


def cells_of_set(crystal: Undisplaced, found: DisplacementSet) -> DisplacedCells:
    """Join a crystal and its data set.

    Cells without any displacement are not kept: phono3py pairs a displacement with its
    opposite. The mean of their forces is the residual force. What a systematic set lists twice
    is kept once.

    Raises
    ------
    InconsistentDataError
        If there are no forces, or no displaced cell.
    """
    if found.forces_ev_per_angstrom is None:
        raise InconsistentDataError(
            f"{len(found.displacements_angstrom)} displaced cells without forces",
            subject=crystal.primitive.composition.reduced_formula,
            hint="Give the file with forces, or the folder that holds FORCES_FC3 too",
        )
    moved = np.abs(found.displacements_angstrom).max(axis=(1, 2)) > _UNDISPLACED_ANGSTROM
    still = found.included & ~moved
    kept = np.flatnonzero(found.included & moved)
    if found.systematic:
        kept = _distinct(kept, found.displacements_angstrom, found.forces_ev_per_angstrom)
    if not len(kept):
        raise InconsistentDataError(
            "no cell is displaced",
            subject="displacements",
            hint="Give cells with displaced atoms and their forces",
        )
    forces = found.forces_ev_per_angstrom
    residual = forces[still].mean(axis=0) if still.any() else np.zeros_like(forces[0])
    energies = None if found.energies_ev is None else found.energies_ev[kept]
    complete = energies is not None and np.isfinite(energies).all()
    return DisplacedCells(
        primitive=crystal.primitive,
        supercell_matrix=crystal.supercell_matrix,
        supercell_scaled_positions=crystal.supercell_scaled_positions,
        supercell_numbers=crystal.supercell_numbers,
        displacements_angstrom=frozen_array(found.displacements_angstrom[kept]),
        forces_ev_per_angstrom=frozen_array(forces[kept]),
        residual_forces_ev_per_angstrom=frozen_array(residual),
        energies_ev=frozen_array(energies) if complete else None,
        born_charges_e=crystal.born_charges_e,
        dielectric_constant=crystal.dielectric_constant,
    )


def _stacked(block: Mapping[str, Any], n_atoms: int) -> DisplacementSet | None:
    """Arrays for all cells at once: files since phonopy 2.24."""
    if not block.get("displacements"):
        return None
    n_cells = len(block["displacements"])
    shape = (n_cells, n_atoms, 3)
    forces, energies = block.get("forces"), block.get("supercell_energies")
    return DisplacementSet(
        finite_array(block["displacements"], shape, "displacements"),
        None if forces is None else _forces(forces, shape, "forces"),
        None if energies is None else finite_array(energies, (n_cells,), "supercell_energies"),
        np.ones(n_cells, dtype=np.bool_),
        systematic=False,
    )


def _per_atom(entries: Sequence[Any], n_atoms: int, energies: Any) -> DisplacementSet:
    """One mapping per atom with its displacement and its force: files before phonopy 2.24."""
    shape = (len(entries), n_atoms, 3)
    try:
        moves = [[atom["displacement"] for atom in cell] for cell in entries]
        pulls = [[atom.get("force") for atom in cell] for cell in entries]
    except (KeyError, TypeError, AttributeError) as error:
        raise ParseError(
            f"displacements: {type(error).__name__}: {error}",
            hint="Give the file as phono3py or phonopy wrote it",
        ) from error
    has_forces = any(pull is not None for cell in pulls for pull in cell)
    return DisplacementSet(
        finite_array(moves, shape, "displacements"),
        _forces(pulls, shape, "force") if has_forces else None,
        None if energies is None else finite_array(energies, shape[:1], "supercell_energies"),
        np.ones(len(entries), dtype=np.bool_),
        systematic=False,
    )


@dataclass
class _Rows:
    """Cells of a systematic set while they are collected."""

    moves: list[list[tuple[int, Any]]]
    forces: list[Any]
    energies: list[Any]
    included: list[bool]

    def add(self, moves: list[tuple[int, Any]], entry: Mapping[str, Any]) -> None:
        self.moves.append(moves)
        self.forces.append(entry.get("forces"))
        self.energies.append(entry.get("supercell_energy"))
        self.included.append(bool(entry.get("included", True)))


def _pairs(entries: Sequence[Mapping[str, Any]], n_atoms: int) -> DisplacementSet:
    """One atom moved, then each with a second one: all single ones come first."""
    rows = _Rows([], [], [], [])
    try:
        firsts = [(_number(entry), entry["displacement"]) for entry in entries]
        for first, entry in zip(firsts, entries, strict=True):
            rows.add([first], entry)
        for first, entry in zip(firsts, entries, strict=True):
            for second in entry.get("paired_with") or entry.get("second_atoms") or ():
                moves = second.get("displacements") or [second["displacement"]]
                for move in moves:
                    rows.add([first, (_number(second), move)], second)
    except (KeyError, TypeError, AttributeError) as error:
        raise ParseError(
            f"displacements: {type(error).__name__}: {error}",
            hint="Give the file as phono3py or phonopy wrote it",
        ) from error
    return _systematic(rows, n_atoms)


def _number(entry: Mapping[str, Any]) -> int:
    """Index of a moved atom; ``number`` is the old name of ``atom``, and both count from 1."""
    return int(entry["atom"] if "atom" in entry else entry["number"]) - 1


def _systematic(rows: _Rows, n_atoms: int) -> DisplacementSet:
    """Arrays over all atoms of the cells that were collected."""
    displacements = np.zeros((len(rows.moves), n_atoms, 3))
    for number, moves in enumerate(rows.moves):
        for atom, move in moves:
            if not 0 <= atom < n_atoms:
                raise InconsistentDataError(
                    f"atom {atom + 1} is displaced in a supercell of {n_atoms} atoms",
                    subject="displacements",
                    hint="Give the displacements that were made for this supercell",
                )
            displacements[number, atom] += finite_array(move, (3,), f"displacement {number + 1}")
    included = np.array(rows.included, dtype=np.bool_)
    forces = None
    if any(entry is not None for entry in rows.forces):
        forces = np.zeros(displacements.shape)
        for cell in np.flatnonzero(included):
            name = f"forces of displacement {cell + 1}"
            forces[cell] = _forces(rows.forces[cell], (n_atoms, 3), name)
            # phono3py writes zeros for a pair beyond the cutoff, and no mark of it
            included[cell] = len(rows.moves[cell]) == 1 or forces[cell].any()
    energies = np.full(len(rows.energies), np.nan)
    for number, energy in enumerate(rows.energies):
        if energy is not None:
            energies[number] = finite_array(energy, (), "supercell_energy")
    return DisplacementSet(displacements, forces, energies, included, systematic=True)


def _forces(values: Any, shape: tuple[int, ...], name: str) -> FloatArray:
    """Check the shape of forces and that all are finite."""
    if values is None:
        raise InconsistentDataError(
            f"{name} are missing, others are given",
            subject="forces",
            hint="Give forces of all displacements, or leave out those without",
        )
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ParseError(
            f"{name}: {error}",
            hint="Forces are three numbers for every atom of the supercell",
        ) from error
    if array.shape != shape:
        raise InconsistentDataError(
            f"{name} have shape {array.shape}, the displacements {shape}",
            subject="forces",
            hint="Forces and displacements come from different calculations",
        )
    if not np.isfinite(array).all():
        cell = np.argwhere(~np.isfinite(array))[0]
        raise NonFiniteForcesError(
            f"{name}: not finite at {cell.tolist()}",
            subject="forces",
            hint="Compute this cell again",
        )
    return array


def _distinct(kept: IntArray, displacements: FloatArray, forces: FloatArray) -> IntArray:
    """Without cells that repeat the displacements and the forces of an earlier one."""
    rows = np.rint(displacements[kept].reshape(len(kept), -1) / _SAME_DISPLACEMENT_ANGSTROM)
    first: dict[bytes, int] = {}
    distinct = []
    for cell, row in zip(kept, rows + 0.0, strict=True):  # + 0.0 makes -0.0 the same as 0.0
        earlier = first.setdefault(row.tobytes(), int(cell))
        difference = np.abs(forces[cell] - forces[earlier]).max()
        if earlier == cell or difference > _SAME_FORCE_EV_PER_ANGSTROM:
            distinct.append(cell)
    return np.array(distinct, dtype=np.int64)
