"""Forces and displacements as a phonopy yaml file that ``phonopy.load`` reads.

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
from numpy.typing import NDArray

from screening.errors import InconsistentDataError
from screening.prediction import FloatArray, ForceData
from stores.exporters.files import write_text

__all__ = ["phonopy_yaml", "write_phonopy_yaml"]

SAME_SITE_TOLERANCE_ANGSTROM = 1e-3


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

    Notes
    -----
    ``ForceData.supercell_matrix`` has supercell vectors as rows, phonopy's matrix as
    columns: the file holds the transpose.
    """
    phonon = _phonopy_object(force_data)
    phonon.dataset = _dataset(phonon, force_data)
    if force_data.born_charges_e is not None and force_data.dielectric_constant is not None:
        phonon.nac_params = _nac_parameters(force_data)
    text = phonon.to_phonopy_yaml(settings={"force_sets": True, "displacements": True})
    if provenance:
        text.configuration = {str(key): _one_line(value) for key, value in provenance.items()}
    return str(text)


def write_phonopy_yaml(
    path: str | os.PathLike[str],
    force_data: ForceData,
    *,
    provenance: Mapping[str, str] | None = None,
) -> Path:
    """Write a phonopy yaml file atomically; see `phonopy_yaml`."""
    return write_text(path, phonopy_yaml(force_data, provenance=provenance))


def _phonopy_object(force_data: ForceData) -> Any:
    """Phonopy's calculation object on the primitive cell."""
    from phonopy import Phonopy

    from screening.supercell_symmetry import phonopy_cell

    return Phonopy(
        phonopy_cell(force_data.primitive),
        supercell_matrix=np.array(force_data.supercell_matrix).T,
        primitive_matrix="P",
        is_symmetry=False,  # the reader searches it; a search here would only cost and warn
    )


def _order_in(
    supercell: Any, force_data: ForceData, translation: FloatArray | float = 0.0
) -> NDArray[np.int64]:
    """Index in the force data of every atom of phonopy's supercell, shape (atom,).

    Parameters
    ----------
    supercell
        phonopy's supercell.
    force_data
        Whose atoms are looked for.
    translation
        Added to the positions of the force data, in fractions of the supercell.
    """
    ours = np.asarray(force_data.supercell_scaled_positions) + translation
    difference = np.asarray(supercell.scaled_positions)[:, None, :] - ours[None, :, :]
    difference -= np.rint(difference)
    distances = np.linalg.norm(difference @ np.asarray(supercell.cell), axis=-1)
    order: NDArray[np.int64] = np.argmin(distances, axis=1).astype(np.int64)
    same = (
        np.all(distances[np.arange(len(order)), order] < SAME_SITE_TOLERANCE_ANGSTROM)
        and len(set(order.tolist())) == len(order)
        and np.array_equal(supercell.numbers, np.asarray(force_data.supercell_numbers)[order])
    )
    if not same:
        raise InconsistentDataError(
            "the supercell is not a repetition of the primitive cell",
            subject=force_data.primitive.composition.reduced_formula,
            hint="Forces and cells come from different calculations; compute the forces again",
        )
    return order


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
    order = _order_in(phonon.supercell, force_data)
    place = np.argsort(order)
    forces = force_data.forces_ev_per_angstrom - force_data.residual_forces_ev_per_angstrom
    first_atoms = []
    for index, atom in enumerate(force_data.displaced_atoms):
        # the solver of compact force constants knows one image of every site only
        image = int(phonon.primitive.s2p_map[place[atom]])
        moved = order
        if image != place[atom]:
            positions = phonon.supercell.scaled_positions
            moved = _order_in(
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


def _nac_parameters(force_data: ForceData) -> dict[str, FloatArray | float]:
    from phonopy.physical_units import get_calculator_physical_units

    assert force_data.born_charges_e is not None
    assert force_data.dielectric_constant is not None
    return {
        "born": np.array(force_data.born_charges_e),
        "dielectric": np.array(force_data.dielectric_constant),
        "factor": float(get_calculator_physical_units("vasp").nac_factor),
    }


def _one_line(value: str) -> str:
    """Keep a header value from breaking out of its quotes."""
    return " ".join(str(value).replace('"', "'").replace("\\", "/").split())
