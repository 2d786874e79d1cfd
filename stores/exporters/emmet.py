"""Phonon results in the layout of emmet's ``PhononBSDOSDoc``, the Materials Project's document.

The document is built as plain JSON, so emmet need not be installed to write it.

References
----------
emmet-core 0.87, ``emmet.core.phonon.PhononBSDOSDoc``.
"""

from __future__ import annotations

import os
import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core import Structure

from screening.anharmonic import ForceConstants
from screening.prediction import BandStructure, DensityOfStates
from stores.exporters.files import write_json
from stores.exporters.phonopy_cells import phonopy_object, reordered_constants

if TYPE_CHECKING:
    from screening.repeated_cell import PolarCell

__all__ = ["emmet_document", "write_emmet_json"]

MATERIALS_PROJECT_ID = re.compile(r"(mp|mvc)-[0-9]+")


def emmet_document(  # noqa: PLR0913  # one argument per block of emmet's document
    structure: Structure,
    *,
    last_updated: datetime,
    material_id: str | None = None,
    band_structure: BandStructure | None = None,
    density_of_states: DensityOfStates | None = None,
    supercell: PolarCell | None = None,
    static_energy_ev_per_atom: float | None = None,
    space_group: tuple[int, str] | None = None,
    model: str = "",
) -> dict[str, object]:
    """Build the JSON of emmet's phonon document.

    Parameters
    ----------
    structure
        The primitive cell the phonons belong to.
    last_updated
        Time of the result, with its time zone.
    material_id
        Key of the material. emmet's own ``identifier`` admits only ids of the Materials
        Project (``mp-149``); any other key goes to ``calc_meta`` and to the bands and DOS.
    band_structure, density_of_states
        In THz and states per THz; imaginary frequencies negative, as in emmet.
    supercell
        Forces or force constants, which give the supercell, the Born charges and the dielectric
        tensor. Force constants of second order are written in eV/Å², shape (site, atom, 3, 3),
        atoms in phonopy's order.
    static_energy_ev_per_atom
        Goes to ``total_dft_energy``, which is per atom in emmet (atomate2: per formula
        unit). Give it only where the energy is a DFT energy or is meant as its stand-in.
    space_group
        Number and symbol.
    model
        Name of the method and potential, written into ``code``.

    Returns
    -------
    dict
        Plain JSON; `emmet.core.phonon.PhononBSDOSDoc` validates it.

    Notes
    -----
    emmet has no name for a machine-learned potential: ``phonon_method`` is ``phonopy`` (finite
    displacements) and ``code`` says what gave the forces. Its ``born`` field describes the
    inequivalent atoms, ours holds all atoms of the primitive cell. The path is the one of
    Hinuma et al., Comput. Mater. Sci. 128, 140 (2017), doi:10.1016/j.commatsci.2016.10.015.
    """
    document = _structure_block(structure, space_group)
    document |= {
        "identifier": _project_id(material_id),
        "phonon_method": "phonopy",
        "last_updated": last_updated.isoformat(),
        "code": f"phonoscreen ({model})" if model else "phonoscreen",
        "total_dft_energy": static_energy_ev_per_atom,
    }
    if material_id is not None:
        document["calc_meta"] = [{"identifier": material_id, "name": model or "phonons"}]
    if supercell is not None:
        document |= _calculation_block(supercell)
    if band_structure is not None:
        document["phonon_bandstructure"] = {"identifier": material_id} | _bands_block(
            structure, band_structure, supercell
        )
    if density_of_states is not None:
        document["phonon_dos"] = {"identifier": material_id} | _dos_block(
            structure, density_of_states
        )
    if isinstance(supercell, ForceConstants):
        document["force_constants"] = _force_constants(supercell)
    return {name: value for name, value in document.items() if value is not None}


def write_emmet_json(path: str | os.PathLike[str], document: dict[str, object]) -> Path:
    """Write a document of `emmet_document` as JSON, atomically."""
    return write_json(path, document)


def _project_id(material_id: str | None) -> str | None:
    """Return the key where it is one of the Materials Project, else None."""
    if material_id is not None and MATERIALS_PROJECT_ID.fullmatch(material_id):
        return material_id
    return None


def _structure_block(
    structure: Structure, space_group: tuple[int, str] | None
) -> dict[str, object]:
    """Structure, composition and density fields, as emmet's structure metadata has them."""
    composition = structure.composition
    reduced, formula_units = composition.get_reduced_composition_and_factor()
    elements = sorted(element.symbol for element in composition.elements)
    block: dict[str, object] = {
        "structure": structure.as_dict(),
        "nsites": len(structure),
        "elements": elements,
        "nelements": len(elements),
        "composition": dict(composition.as_dict()),
        "composition_reduced": dict(reduced.as_dict()),
        "formula_pretty": composition.reduced_formula,
        "formula_anonymous": composition.anonymized_formula,
        "chemsys": "-".join(elements),
        "volume": float(structure.volume),
        "density": float(structure.density),
        "density_atomic": float(structure.volume / len(structure)),
        "formula_units": int(formula_units),
        "volume_per_formula_unit": float(structure.volume / formula_units),
    }
    if space_group is not None:
        block["symmetry"] = {"number": space_group[0], "symbol": space_group[1]}
    return block


def _calculation_block(cell: PolarCell) -> dict[str, object]:
    """Cells and dielectric properties, matrices in phonopy's column convention."""
    block: dict[str, object] = {
        "supercell_matrix": np.asarray(cell.supercell_matrix).T.tolist(),
        "primitive_matrix": np.eye(3).tolist(),
    }
    if cell.born_charges_e is not None:
        block["born"] = np.asarray(cell.born_charges_e).tolist()
    if cell.dielectric_constant is not None:
        block["epsilon_static"] = np.asarray(cell.dielectric_constant).tolist()
    return block


def _force_constants(constants: ForceConstants) -> object:
    phonon = phonopy_object(constants)
    rows = np.array(phonon.primitive.p2s_map)
    return reordered_constants(phonon.supercell, rows, constants)[0].tolist()


def _bands_block(
    structure: Structure, bands: BandStructure, cell: PolarCell | None
) -> dict[str, object]:
    """Bands with the branch first, and the reciprocal lattice with 2 pi, as in pymatgen."""
    return {
        "structure": structure.as_dict(),
        "qpoints": np.asarray(bands.q_points).tolist(),
        "frequencies": np.asarray(bands.frequencies_thz).T.tolist(),
        "reciprocal_lattice": structure.lattice.reciprocal_lattice.matrix.tolist(),
        "labels_dict": {name: bands.q_points[index].tolist() for index, name in bands.labels},
        "path_convention": "hinuma",
        "has_nac": cell is not None and cell.born_charges_e is not None,
    }


def _dos_block(structure: Structure, dos: DensityOfStates) -> dict[str, object]:
    block: dict[str, object] = {
        "structure": structure.as_dict(),
        "frequencies": np.asarray(dos.frequencies_thz).tolist(),
        "densities": np.asarray(dos.total_per_thz).tolist(),
    }
    if dos.projected_per_thz is not None:
        block["projected_densities"] = np.asarray(dos.projected_per_thz).tolist()
    return block
