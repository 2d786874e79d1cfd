"""Structures and displaced supercells as extended xyz, the format potentials are trained on.

References
----------
ASE extended xyz, https://github.com/libAtoms/extxyz.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Structure

from screening.anharmonic import DisplacedCells
from screening.prediction import ForceData
from stores.exporters.files import write_text

__all__ = [
    "displaced_supercells",
    "extxyz_text",
    "labelled_structure",
    "write_displaced_supercells",
    "write_structures",
]


def labelled_structure(
    structure: Structure,
    *,
    static_energy_ev_per_atom: float | None = None,
    information: Mapping[str, object] | None = None,
) -> Any:
    """Make an ASE ``Atoms`` with energy and named numbers.

    Parameters
    ----------
    structure
        Any ordered crystal.
    static_energy_ev_per_atom
        Energy without vibrations in eV/atom; stored as the total ``energy`` in eV.
    information
        Names with units and values (``lowest_frequency_thz``, ``verdict``, ...) for the
        comment line. Values None are left out; lists of numbers stay lists.
    """
    atoms = _atoms(structure)
    _label(atoms, information)
    if static_energy_ev_per_atom is not None:
        _attach(atoms, energy=static_energy_ev_per_atom * len(atoms))
    return atoms


def displaced_supercells(
    force_data: ForceData,
    *,
    subtract_residual: bool = False,
) -> list[Any]:
    """Make one ASE ``Atoms`` with forces for every displaced supercell.

    Parameters
    ----------
    force_data
        Cells, displacements in Å and forces in eV/Å.
    subtract_residual
        Take away the forces on the undisplaced supercell. Off by default: a potential is
        trained on forces as they were computed.
    """
    cell = np.asarray(force_data.supercell_matrix) @ force_data.primitive.lattice.matrix
    reference = np.asarray(force_data.supercell_scaled_positions) @ cell
    forces = np.asarray(force_data.forces_ev_per_angstrom)
    if subtract_residual:
        forces = forces - force_data.residual_forces_ev_per_angstrom
    images = []
    for index, atom in enumerate(force_data.displaced_atoms):
        positions = reference.copy()
        positions[atom] += force_data.displacements_angstrom[index]
        images.append(_supercell_image(force_data, cell, positions, forces[index], int(atom)))
    return images


def extxyz_text(images: Iterable[Any]) -> str:
    """Text of ASE ``Atoms`` in extended xyz, one frame after the other."""
    from ase.io import write

    stream = StringIO()
    frames = list(images)
    if frames:
        write(stream, frames, format="extxyz")
    return stream.getvalue()


def write_structures(path: str | os.PathLike[str], images: Iterable[Any]) -> Path:
    """Write frames of `labelled_structure` atomically."""
    return write_text(path, extxyz_text(images))


def write_displaced_supercells(
    path: str | os.PathLike[str],
    forces: ForceData | DisplacedCells,
    *,
    information: Mapping[str, object] | None = None,
) -> Path:
    """Write all displaced supercells with their forces atomically.

    Parameters
    ----------
    path
        The file.
    forces
        Supercells with one displaced atom or with all atoms displaced. Residual forces of the
        latter become a first frame without displacements.
    information
        Further names and values for every comment line.
    """
    from stores.exporters.displaced_cells import displaced_images  # which builds on this module

    if isinstance(forces, ForceData):
        images = displaced_supercells(forces)
    else:
        images = displaced_images(forces)
    for image in images:
        _label(image, information)
    return write_text(path, extxyz_text(images))


def _atoms(structure: Structure) -> Any:
    from ase import Atoms

    return Atoms(
        numbers=list(structure.atomic_numbers),
        cell=structure.lattice.matrix,
        positions=structure.cart_coords,
        pbc=True,
    )


def _supercell_image(
    force_data: ForceData,
    cell: Any,
    positions: Any,
    forces: Any,
    displaced_atom: int,
) -> Any:
    from ase import Atoms

    atoms = Atoms(
        numbers=np.asarray(force_data.supercell_numbers), cell=cell, positions=positions, pbc=True
    )
    atoms.info["displaced_atom"] = displaced_atom
    _attach(atoms, forces=forces)
    return atoms


def _label(atoms: Any, information: Mapping[str, object] | None) -> None:
    """Write names and values into the comment line, without values that are None."""
    known = {name: value for name, value in (information or {}).items() if value is not None}
    atoms.info.update({name: _plain(value) for name, value in known.items()})


def _attach(atoms: Any, **results: Any) -> None:
    """Attach results so that ASE writes them under their standard names."""
    from ase.calculators.singlepoint import SinglePointCalculator

    single_point: Any = SinglePointCalculator
    atoms.calc = single_point(atoms, **results)


def _plain(value: object) -> object:
    """Make a value one that the comment line can hold and ASE reads back."""
    if isinstance(value, (list, tuple)):
        return np.asarray(value, dtype=float)
    if isinstance(value, (bool, int, float, np.ndarray)):
        return value
    return " ".join(str(value).split())
