"""Displaced cells in files: read, put together, and written with what was learned from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from screening.anharmonic import DisplacedCells, ForceConstants
from screening.errors import InconsistentDataError, SettingError
from screening.prediction import FloatArray, frozen_array

if TYPE_CHECKING:
    from flows.given_cells import FittedCells

__all__ = [
    "first_cells",
    "merged_cells",
    "read_cells",
    "read_harmonic_cells",
    "write_constants",
    "write_fit",
]

_SAME_PLACE = 1e-5
_FRAMES = (".extxyz", ".xyz")


def read_cells(paths: Sequence[Path], supercell: Path | None = None) -> DisplacedCells:
    """Read displaced supercells with forces from files of the same supercell.

    Parameters
    ----------
    paths
        As `stores.importers.displaced_cells.read_displaced_cells` takes them.
    supercell
        File of the undisplaced supercell, for formats that do not hold it.

    Raises
    ------
    ScreeningError
        As that function and `merged_cells` say.
    """
    from stores.importers.displaced_cells import read_displaced_cells

    sets = [(str(path), read_displaced_cells(path, supercell=supercell)) for path in paths]
    return merged_cells(sets)


def read_harmonic_cells(paths: Sequence[Path]) -> DisplacedCells | None:
    """Read the displaced cells of a larger supercell for second order, None without any.

    Raises
    ------
    ScreeningError
        As `stores.importers.displaced_cells.read_phonon_cells` says.
    """
    from stores.importers.displaced_cells import read_phonon_cells

    with_yaml = (path for path in paths if path.is_dir() or not path.name.endswith(_FRAMES))
    found = (read_phonon_cells(path) for path in with_yaml)
    return next((one for one in found if one is not None), None)


def merged_cells(sets: Sequence[tuple[str, DisplacedCells]]) -> DisplacedCells:
    """Put sets of the same supercell together.

    Parameters
    ----------
    sets
        Each behind the name of its file.

    Raises
    ------
    InconsistentDataError
        If the supercells, the order of their atoms or what is known with them differ.
    """
    (first_name, first), *others = sets
    for name, one in others:
        for what, same in _agreements(first, one):
            if not same:
                raise InconsistentDataError(
                    f"other {what} than in {first_name}",
                    subject=name,
                    hint="Fit sets of one supercell with its atoms in one order together, and "
                    "others apart",
                )
    energies = [one.energies_ev for _, one in sets if one.energies_ev is not None]
    return replace(
        first,
        displacements_angstrom=_stacked(one.displacements_angstrom for _, one in sets),
        forces_ev_per_angstrom=_stacked(one.forces_ev_per_angstrom for _, one in sets),
        energies_ev=_stacked(energies) if len(energies) == len(sets) else None,
    )


def first_cells(cells: DisplacedCells, n_cells: int) -> DisplacedCells:
    """Return the first cells of a set.

    Raises
    ------
    SettingError
        If there are fewer.
    """
    if n_cells > cells.n_cells:
        raise SettingError(
            f"{n_cells} of {cells.n_cells} cells are asked for",
            subject="cells",
            hint=f"Ask for {cells.n_cells} or fewer, or add cells with forces",
        )
    energies = cells.energies_ev
    return replace(
        cells,
        displacements_angstrom=cells.displacements_angstrom[:n_cells],
        forces_ev_per_angstrom=cells.forces_ev_per_angstrom[:n_cells],
        energies_ev=None if energies is None else energies[:n_cells],
    )


def _agreements(one: DisplacedCells, other: DisplacedCells) -> Iterable[tuple[str, bool]]:
    """Compare two sets until something differs."""
    yield "supercells", np.array_equal(one.supercell_matrix, other.supercell_matrix)
    lattices = one.supercell_lattice, other.supercell_lattice
    yield "lattice vectors", np.allclose(*lattices, rtol=0.0, atol=_SAME_PLACE)
    numbers = one.supercell_numbers, other.supercell_numbers
    yield "elements or another order of them", np.array_equal(*numbers)
    away = one.supercell_scaled_positions - other.supercell_scaled_positions
    yield "positions", bool(np.all(np.abs(away - np.rint(away)) < _SAME_PLACE))
    residual = one.residual_forces_ev_per_angstrom, other.residual_forces_ev_per_angstrom
    yield "forces on the undisplaced supercell", np.allclose(*residual, rtol=0.0, atol=_SAME_PLACE)
    for name in ("born_charges_e", "dielectric_constant"):
        mine, theirs = getattr(one, name), getattr(other, name)
        known = mine is not None and theirs is not None
        same = np.allclose(mine, theirs) if known else mine is theirs
        yield name.rpartition("_")[0].replace("_", " "), same


def _stacked(parts: Iterable[FloatArray]) -> FloatArray:
    return frozen_array(np.concatenate([np.asarray(one) for one in parts]))


def write_fit(fitted: FittedCells, folder: Path) -> list[Path]:
    """Write the force constants for phonopy and phono3py; returns files and folders.

    Raises
    ------
    SettingError, DiskFullError
        If the folder cannot be written.
    """
    prediction, name = fitted.prediction, fitted.crystal.formula
    origin = {"method": prediction.method, "model": prediction.model}
    return write_constants(folder, name, fitted.fit.force_constants, fitted.fit.cells, origin)


def write_constants(
    folder: Path,
    stem: str,
    constants: ForceConstants,
    cells: DisplacedCells,
    provenance: Mapping[str, str],
) -> list[Path]:
    """Write force constants for phonopy and phono3py; returns files and folders.

    Parameters
    ----------
    folder, stem
        ``STEM-phonopy.yaml`` and the folder ``STEM-phono3py`` are written into the folder.
    constants, cells
        Force constants, and the cells that hold the Born charges.
    provenance
        Method and model, written beside them.

    Raises
    ------
    SettingError, DiskFullError
        If the folder cannot be written.
    """
    from stores import exporters

    folder.mkdir(parents=True, exist_ok=True)
    harmonic = exporters.write_phonopy_yaml(
        folder / f"{stem}-phonopy.yaml", constants, cells=cells, provenance=provenance
    )
    anharmonic = exporters.write_phono3py(
        folder / f"{stem}-phono3py", constants, cells, provenance=provenance
    )
    return [harmonic, anharmonic]
