"""Force constants and displaced cells as the files that ``phono3py.load`` and its programs read.

A folder holds ``phono3py_params.yaml`` (crystal, Born charges, displacements and forces of the
cells), ``fc2.hdf5`` and ``fc3.hdf5`` (force constants in compact form).

References
----------
A. Togo, L. Chaput, T. Tadano, I. Tanaka, J. Phys. Condens. Matter 35, 353001 (2023),
doi:10.1088/1361-648X/acd831.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from screening.anharmonic import DisplacedCells, ForceConstants
from stores.exporters.files import atomic_path, write_text
from stores.exporters.phonopy_cells import (
    constructor_arguments,
    dataset_of_cells,
    header,
    nac_parameters,
    reordered_constants,
)

if TYPE_CHECKING:
    from screening.repeated_cell import PolarCell

__all__ = [
    "PARAMETERS_NAME",
    "SECOND_ORDER_NAME",
    "THIRD_ORDER_NAME",
    "phono3py_yaml",
    "write_phono3py",
]

PARAMETERS_NAME = "phono3py_params.yaml"
SECOND_ORDER_NAME = "fc2.hdf5"
THIRD_ORDER_NAME = "fc3.hdf5"


def phono3py_yaml(
    cells: DisplacedCells | ForceConstants, *, provenance: Mapping[str, str] | None = None
) -> str:
    """Convert displaced cells to the text of a phono3py yaml file.

    The forces on the undisplaced supercell are subtracted, since the file has no place for
    them, and atoms are put in the order that phono3py gives to the supercell.

    Parameters
    ----------
    cells
        Displaced cells, or force constants, of which only the crystal is written.
    provenance
        Names and values (method, model, material id) for the ``configuration`` block of the
        header, which phono3py ignores.

    Raises
    ------
    InconsistentDataError
        If the supercell is not a repetition of the primitive cell, or array lengths differ.
    """
    phonon = _phono3py_object(cells)
    return _text(phonon, cells if isinstance(cells, DisplacedCells) else None, provenance)


def write_phono3py(
    folder: str | os.PathLike[str],
    force_constants: ForceConstants,
    cells: DisplacedCells | None = None,
    *,
    provenance: Mapping[str, str] | None = None,
) -> Path:
    """Write a folder with the yaml file and the force constants, each file atomically.

    Parameters
    ----------
    folder
        Made where it is missing. An ``fc3.hdf5`` of other force constants is removed where
        there is no third order.
    force_constants
        Of second order, and of third order where they are known.
    cells
        What they were fitted to, on the same supercell, or None.
    provenance
        As in `phono3py_yaml`.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InconsistentDataError
        If the supercell is not a repetition of the primitive cell, or array lengths differ.
    """
    from phono3py.file_IO import write_fc2_to_hdf5, write_fc3_to_hdf5

    place = Path(folder)
    phonon = _phono3py_object(force_constants)
    rows = np.array(phonon.primitive.p2s_map)
    second, third = reordered_constants(phonon.supercell, rows, force_constants)
    write_text(place / PARAMETERS_NAME, _text(phonon, cells, provenance))
    with atomic_path(place / SECOND_ORDER_NAME) as temporary:
        write_fc2_to_hdf5(
            second, filename=str(temporary), p2s_map=rows, physical_unit="eV/angstrom^2"
        )
    if third is None:
        (place / THIRD_ORDER_NAME).unlink(missing_ok=True)
        return place
    with atomic_path(place / THIRD_ORDER_NAME) as temporary:
        write_fc3_to_hdf5(third, filename=str(temporary), p2s_map=rows)
    return place


def _phono3py_object(cell: PolarCell) -> Any:
    """phono3py's calculation object on the primitive cell, with Born charges where known."""
    from phono3py import Phono3py

    phonon = Phono3py(**constructor_arguments(cell))
    parameters = nac_parameters(cell)
    if parameters is not None:
        phonon.nac_params = parameters
    return phonon


def _text(phonon: Any, cells: DisplacedCells | None, provenance: Mapping[str, str] | None) -> str:
    if cells is not None:
        phonon.dataset = dataset_of_cells(phonon.supercell, cells)
    settings = {"force_sets": True, "displacements": True}
    return str(phonon.to_phono3py_yaml(configuration=header(provenance or {}), settings=settings))
