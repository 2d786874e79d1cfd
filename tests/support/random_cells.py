"""Cells with all atoms displaced: of a model whose force constants are known, and real ones."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import spglib
from pymatgen.core import Structure

from screening.anharmonic import DisplacedCells, ForceConstants
from screening.gaussian_process.basis import ForceConstantBasis
from screening.gaussian_process.displacements import random_displacements
from stores.importers.displaced_cells import read_displaced_cells

THIRD_ORDER = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "third_order"

MATRICES = {
    "rocksalt": np.diag([2, 2, 2]),
    "wurtzite": np.diag([2, 2, 1]),
    "hcp": np.array([[2, 0, 0], [0, 2, 0], [0, 0, 1]]),
    "triclinic": np.array([[2, 0, 0], [0, 1, 0], [0, 0, 1]]),
}
"""Small supercells of crystals of tests/screening/conftest.py."""


def undisplaced(structure: Structure, matrix: np.ndarray) -> DisplacedCells:
    """Return a supercell without any displacement."""
    supercell = structure.copy().make_supercell(matrix)
    n_atoms = len(supercell)
    return DisplacedCells(
        primitive=structure,
        supercell_matrix=np.asarray(matrix),
        supercell_scaled_positions=supercell.frac_coords,
        supercell_numbers=np.array([site.specie.Z for site in supercell]),
        displacements_angstrom=np.zeros((0, n_atoms, 3)),
        forces_ev_per_angstrom=np.zeros((0, n_atoms, 3)),
        residual_forces_ev_per_angstrom=np.zeros((n_atoms, 3)),
    )


def with_potential(
    cell: DisplacedCells, potential, n_cells: int, seed: int = 0, length_angstrom: float = 0.03
) -> DisplacedCells:
    """Return random displacements with the forces of a potential."""
    still = cell.supercell_scaled_positions @ cell.supercell_lattice
    moves = random_displacements(cell.n_atoms, n_cells, length_angstrom, seed)
    lattice, numbers = cell.supercell_lattice, cell.supercell_numbers
    return replace(
        cell,
        displacements_angstrom=moves,
        forces_ev_per_angstrom=potential.forces(lattice, still + moves, numbers),
        residual_forces_ev_per_angstrom=potential.forces(lattice, still[None], numbers)[0],
    )


def with_forces(cell: DisplacedCells, moves: np.ndarray, forces: np.ndarray) -> DisplacedCells:
    """Return displacements with forces."""
    return replace(cell, displacements_angstrom=moves, forces_ev_per_angstrom=forces)


def random_amplitudes(basis: ForceConstantBasis, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Draw force constants that obey all rules; higher orders are larger, as in crystals."""
    generator = np.random.default_rng(seed)
    return tuple(
        3.0**one.order * one.allowed(generator.standard_normal(one.n_columns))
        for one in basis.orders
    )


def polynomial_forces(
    basis: ForceConstantBasis, amplitudes: tuple[np.ndarray, ...], moves: np.ndarray
) -> np.ndarray:
    """Forces of exact force constants, shape (cell, atom, 3), by contraction of all of them."""
    forces = np.zeros(moves.shape)
    for one, values in zip(basis.orders, amplitudes, strict=True):
        full = all_rows(basis, basis.expand(one.order, values), one.order)
        if one.order == 1:
            forces -= full
        elif one.order == 2:
            forces -= np.einsum("ijab,cjb->cia", full, moves)
        else:
            forces -= 0.5 * np.einsum("ijkabd,cjb,ckd->cia", full, moves, moves, optimize=True)
    return forces


def all_rows(basis: ForceConstantBasis, compact: np.ndarray, order: int) -> np.ndarray:
    """Force constants of all atoms of the supercell, from those of the sites, by translations."""
    full = np.full((basis.n_atoms, *compact.shape[1:]), np.nan)
    for moved in basis.translations:
        for site, row in enumerate(basis.rows):
            if order == 1:
                full[moved[row]] = compact[site]
            elif order == 2:
                full[moved[row], moved] = compact[site]
            else:
                full[moved[row], moved[:, None], moved[None, :]] = compact[site]
    assert np.all(np.isfinite(full))
    return full


def operations(cell: DisplacedCells) -> list[tuple[np.ndarray, np.ndarray]]:
    """All symmetry operations of the supercell: Cartesian rotation, and where each atom goes."""
    lattice, scaled = cell.supercell_lattice, cell.supercell_scaled_positions
    found = spglib.get_symmetry((lattice, scaled, cell.supercell_numbers), symprec=1e-5)
    result = []
    for rotation, translation in zip(found["rotations"], found["translations"], strict=True):
        images = scaled @ rotation.T + translation
        apart = images[:, None] - scaled[None]
        apart = np.linalg.norm((apart - np.rint(apart)) @ lattice, axis=2)
        cartesian = lattice.T @ rotation @ np.linalg.inv(lattice.T)
        result.append((cartesian, apart.argmin(axis=1)))
    return result


def change(found: np.ndarray, reference: np.ndarray) -> float:
    """Norm of the difference over the norm of the reference."""
    return float(np.linalg.norm(found - reference) / np.linalg.norm(reference))


def changes(found: ForceConstants, reference: ForceConstants) -> tuple[float, float]:
    """Relative differences of second and third order."""
    return (
        change(found.second_order_ev_per_angstrom2, reference.second_order_ev_per_angstrom2),
        change(found.third_order_ev_per_angstrom3, reference.third_order_ev_per_angstrom3),
    )


@cache
def _real(name: str) -> DisplacedCells:
    path = THIRD_ORDER / f"{name}-random-displacements.yaml.xz"
    if not path.exists():
        pytest.skip(f"no reference data at {path}")
    return read_displaced_cells(path)


def real_cells(name: str, index: list[int] | range | np.ndarray) -> DisplacedCells:
    """Some of the 100 real cells of NaCl or MgO; the test is skipped where they are absent."""
    return some_cells(_real(name), index)


def some_cells(cells: DisplacedCells, index: list[int] | range | np.ndarray) -> DisplacedCells:
    """Return some cells."""
    chosen = np.asarray(index)
    return replace(
        cells,
        displacements_angstrom=cells.displacements_angstrom[chosen],
        forces_ev_per_angstrom=cells.forces_ev_per_angstrom[chosen],
        energies_ev=None if cells.energies_ev is None else cells.energies_ev[chosen],
    )


def rattled(structure, repeats, potential, n_cells, *, rattle_angstrom, seed):
    """Rattle a supercell and let a pair potential act."""
    supercell = structure.copy().make_supercell(repeats)
    numbers = np.array([site.specie.Z for site in supercell])
    lattice, still = supercell.lattice.matrix, supercell.cart_coords
    rng = np.random.default_rng(seed)
    moves = rattle_angstrom * rng.normal(size=(n_cells, *still.shape))
    return DisplacedCells(
        primitive=structure,
        supercell_matrix=np.diag(repeats),
        supercell_scaled_positions=supercell.frac_coords,
        supercell_numbers=numbers,
        displacements_angstrom=moves,
        forces_ev_per_angstrom=potential.forces(lattice, still + moves, numbers),
        residual_forces_ev_per_angstrom=potential.forces(lattice, still[None], numbers)[0],
    )
