"""Forces, displacements and force constants as a phonopy yaml file that ``phonopy.load`` reads.

References
----------
A. Togo, L. Chaput, T. Tadano, I. Tanaka, J. Phys. Condens. Matter 35, 353001 (2023),
doi:10.1088/1361-648X/acd831.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from screening.anharmonic import DisplacedCells, ForceConstants
from screening.errors import InconsistentDataError
from screening.prediction import ForceData
from stores.exporters.files import write_text
from stores.exporters.phonopy_cells import (
    dataset_of_cells,
    header,
    order_in,
    phonopy_object,
    reordered_constants,
)

__all__ = ["fitted_phonopy_yaml", "phonopy_yaml", "write_phonopy_yaml"]


def phonopy_yaml(
    force_data: ForceData,
    *,
    provenance: Mapping[str, str] | None = None,
) -> str:
    """Convert forces and displacements to the text of a phonopy yaml file.

    Phonopy's file has no place for the forces on the undisplaced supercell, so they are
    subtracted here; ``phonopy.load`` then finds the same force constants. Atoms are put in
    the order phonopy gives to the supercell, and every displacement is moved by a lattice vector
    to the atom that phonopy's solver wants displaced. Born charges and the dielectric tensor
    travel along where they are known.

    Parameters
    ----------
    force_data
        Forces in eV/Å with the cells they belong to.
    provenance
        Names and values (method, model, material id) for the ``configuration`` block of the
        header, which phonopy ignores.

    Raises
    ------
    InconsistentDataError
        If the supercell is not a repetition of the primitive cell, or array lengths differ.

    """
    phonon = phonopy_object(force_data)
    phonon.dataset = _dataset(phonon, force_data)
    return _text(phonon, provenance, force_constants=False)


def fitted_phonopy_yaml(
    force_constants: ForceConstants,
    cells: DisplacedCells | None = None,
    *,
    provenance: Mapping[str, str] | None = None,
) -> str:
    """Convert fitted force constants, and what they were fitted to, to a phonopy yaml file.

    ``phonopy.load`` takes the force constants of second order as they are, in compact form, and
    fits nothing. The displacements of all atoms and their forces, without the residual ones,
    are phonopy's data set of type 2.

    Parameters
    ----------
    force_constants
        Force constants with the cells they belong to.
    cells
        Displaced cells of the same supercell, or None.
    provenance
        As in `phonopy_yaml`.

    Raises
    ------
    InconsistentDataError
        If the supercell is not a repetition of the primitive cell, or array lengths differ.
    """
    phonon = phonopy_object(force_constants)
    if cells is not None:
        phonon.dataset = dataset_of_cells(phonon.supercell, cells)
    rows = np.array(phonon.primitive.p2s_map)
    # after the forces, which would clear them
    phonon.force_constants, _ = reordered_constants(phonon.supercell, rows, force_constants)
    return _text(phonon, provenance, force_constants=True)


def write_phonopy_yaml(
    path: str | os.PathLike[str],
    forces: ForceData | ForceConstants,
    *,
    cells: DisplacedCells | None = None,
    provenance: Mapping[str, str] | None = None,
) -> Path:
    """Write a phonopy yaml file atomically; see `phonopy_yaml` and `fitted_phonopy_yaml`.

    Parameters
    ----------
    path
        The file.
    forces
        Forces of single displacements, or fitted force constants.
    cells
        What the force constants were fitted to.
    provenance
        Names and values for the header.
    """
    if isinstance(forces, ForceConstants):
        return write_text(path, fitted_phonopy_yaml(forces, cells, provenance=provenance))
    return write_text(path, phonopy_yaml(forces, provenance=provenance))


def _text(phonon: Any, provenance: Mapping[str, str] | None, *, force_constants: bool) -> str:
    settings = {"force_sets": True, "displacements": True, "force_constants": force_constants}
    text = phonon.to_phonopy_yaml(settings=settings)
    if provenance:
        text.configuration = header(provenance)
    return str(text)


def _check_shapes(force_data: ForceData, n_atoms: int) -> None:
    """Refuse arrays whose lengths contradict each other."""
    n_displacements = len(force_data.displaced_atoms)
    found = (
        np.shape(force_data.supercell_scaled_positions),
        np.shape(force_data.forces_ev_per_angstrom),
        np.shape(force_data.displacements_angstrom),
    )
    wanted = ((n_atoms, 3), (n_displacements, n_atoms, 3), (n_displacements, 3))
    if found != wanted:
        raise InconsistentDataError(
            f"positions, forces, displacements have shapes {found}, expected {wanted}",
            subject=force_data.primitive.composition.reduced_formula,
            hint="Compute the forces again",
        )


def _dataset(phonon: Any, force_data: ForceData) -> dict[str, object]:
    """Phonopy's dataset of single displacements, in phonopy's order of atoms."""
    _check_shapes(force_data, len(phonon.supercell))
    order = order_in(phonon.supercell, force_data)
    place = np.argsort(order)
    forces = force_data.forces_ev_per_angstrom - force_data.residual_forces_ev_per_angstrom
    first_atoms = []
    for index, atom in enumerate(force_data.displaced_atoms):
        # the solver of compact force constants knows one image of every site only
        image = int(phonon.primitive.s2p_map[place[atom]])
        moved = order
        if image != place[atom]:
            positions = phonon.supercell.scaled_positions
            moved = order_in(
                phonon.supercell, force_data, positions[image] - positions[place[atom]]
            )
        displacement = np.array(force_data.displacements_angstrom[index])
        first_atoms.append(
            {
                "number": image,
                "displacement": displacement,
                "forces": np.array(forces[index][moved]),
            }
        )
    return {"natom": len(order), "first_atoms": first_atoms}
