"""Displaced supercells as frames of positions with forces, mapped to the undisplaced one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from screening.anharmonic import DisplacedCells
from screening.errors import InconsistentDataError, ScreeningError
from screening.prediction import FloatArray, frozen_array
from stores.importers.extxyz import read_extxyz
from stores.importers.phono3py_cells import Undisplaced, whole_matrix
from stores.importers.phono3py_yaml import DisplacementSet, cells_of_set
from stores.importers.records import Parsed, ReadLimits

__all__ = ["cells_of_frames", "structure_crystal"]

_SAME_LATTICE_ANGSTROM = 2e-4
_STILL_ANGSTROM = 1e-6


@dataclass(frozen=True, eq=False)
class _Frame:
    """One frame in the order of the undisplaced atoms."""

    displacements: FloatArray
    forces: FloatArray
    energy_ev: float | None


def structure_crystal(supercell: Structure, unit: Structure | None = None) -> Undisplaced:
    """Tell the primitive cell of an undisplaced supercell.

    Parameters
    ----------
    supercell
        Supercell, or the primitive cell itself.
    unit
        A cell that the supercell repeats, whose translations are at least those of the
        primitive cell; None searches them in the supercell.
    """
    from screening.atom_order import primitive_cell_of

    primitive = primitive_cell_of(supercell if unit is None else unit)
    return Undisplaced(
        primitive,
        whole_matrix(supercell.lattice.matrix @ primitive.lattice.inv_matrix),
        frozen_array(supercell.frac_coords),
        np.array(supercell.atomic_numbers, dtype=np.int64),
    )


def cells_of_frames(text: str, crystal: Undisplaced, limits: ReadLimits) -> DisplacedCells:
    """Read an extxyz file of displaced supercells.

    Parameters
    ----------
    text
        Content of the file; every frame needs forces. A frame without displacements gives the
        residual forces.
    crystal
        Undisplaced crystal. Where its cell is smaller than that of the frames, it is repeated.
    limits
        What may be read.

    Raises
    ------
    ScreeningError
        If a frame has another cell, no forces, or atoms that cannot be mapped.
    """
    parsed = _parsed(text, limits)
    crystal = _fitted(crystal, parsed[0].structure)
    frames = []
    for number, frame in enumerate(parsed, start=1):
        try:
            frames.append(_frame(frame, crystal))
        except ScreeningError as error:
            message = f"frame {number}: {error.message}"
            raise type(error)(message, subject=error.subject, hint=error.hint) from error
    displacements = np.array([frame.displacements for frame in frames])
    displacements[np.abs(displacements).max(axis=(1, 2)) < _STILL_ANGSTROM] = 0.0
    found = DisplacementSet(
        displacements,
        np.array([frame.forces for frame in frames]),
        np.array([np.nan if frame.energy_ev is None else frame.energy_ev for frame in frames]),
        np.ones(len(frames), dtype=np.bool_),
        systematic=False,
    )
    return cells_of_set(crystal, found)


def _parsed(text: str, limits: ReadLimits) -> list[Parsed]:
    frames: list[Parsed] = []
    for name, block in read_extxyz(text, limits):
        if isinstance(block, ScreeningError):
            raise type(block)(f"{name}: {block.message}", subject=block.subject, hint=block.hint)
        frames.append(block)
    if not frames:
        raise InconsistentDataError(
            "no frames",
            hint="Give a file with a frame for every displaced cell",
        )
    return frames


def _fitted(crystal: Undisplaced, frame: Structure) -> Undisplaced:
    """Crystal whose supercell is the cell of the frames."""
    from screening.atom_order import repeated_positions

    lattice = crystal.supercell_matrix @ crystal.primitive.lattice.matrix
    if _same(lattice, frame.lattice.matrix):
        return crystal
    try:
        matrix = whole_matrix(frame.lattice.matrix @ crystal.primitive.lattice.inv_matrix)
    except InconsistentDataError as error:
        raise InconsistentDataError(
            f"the cell of the frames, {_lengths(frame.lattice.matrix)} Å, repeats neither the given"
            f" cell, {_lengths(lattice)} Å, nor its primitive one",
            subject="supercell",
            hint="Give the supercell that was displaced, in the same orientation",
        ) from error
    scaled, numbers = repeated_positions(crystal.primitive, matrix)
    return Undisplaced(
        crystal.primitive,
        matrix,
        frozen_array(scaled),
        numbers,
        crystal.born_charges_e,
        crystal.dielectric_constant,
    )


def _frame(parsed: Parsed, crystal: Undisplaced) -> _Frame:
    from screening.atom_order import match_atoms

    structure, forces = parsed.structure, parsed.forces_ev_per_angstrom
    lattice = crystal.supercell_matrix @ crystal.primitive.lattice.matrix
    if not _same(lattice, structure.lattice.matrix):
        raise InconsistentDataError(
            f"the cell is {_lengths(structure.lattice.matrix)} Å, the supercell's"
            f" {_lengths(lattice)} Å",
            subject="supercell",
            hint="All frames need the cell of the undisplaced supercell",
        )
    if forces is None:
        raise InconsistentDataError(
            "no forces", subject="forces", hint="Write forces:R:3 to the Properties"
        )
    match = match_atoms(
        lattice,
        crystal.supercell_scaled_positions,
        crystal.supercell_numbers,
        structure.frac_coords @ lattice,  # a lattice of few digits displaces no atom
        np.array(structure.atomic_numbers, dtype=np.int64),
    )
    energy = parsed.static_energy_ev_per_atom
    return _Frame(
        match.displacements_angstrom,
        forces[match.order],
        None if energy is None else energy * len(structure),
    )


def _same(first: FloatArray, second: FloatArray) -> bool:
    return bool(np.abs(np.asarray(first) - second).max() < _SAME_LATTICE_ANGSTROM)


def _lengths(lattice: NDArray[np.float64]) -> str:
    return " x ".join(f"{length:.5f}" for length in np.linalg.norm(lattice, axis=1))
