"""Crystals of anharmonic springs, whose force constants are known exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from pymatgen.core import Lattice, Structure

from screening.anharmonic import ForceConstants
from screening.supercell_symmetry import LatticeIndex, locate_atoms

FCC = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
NICKEL = Structure(Lattice(3.5 * FCC), ["Ni"], [[0.1, 0.2, 0.3]])
ROCKSALT = Structure(Lattice(5.6 * FCC), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
MAGNESIUM = Structure(
    Lattice.hexagonal(3.2, 5.0), ["Mg", "Mg"], [[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]]
)
CUBE = np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]])


def springs(
    primitive: Structure,
    supercell_matrix: np.ndarray,
    cutoff_angstrom: float,
    *,
    stiffness: float = 3.0,
    softening: float = -9.0,
) -> ForceConstants:
    """Springs between near atoms, at rest and anharmonic: force constants known exactly."""
    matrix = np.asarray(supercell_matrix)
    supercell = primitive.make_supercell(matrix, in_place=False, to_unit_cell=False)
    numbers = np.array(supercell.atomic_numbers)
    sites, _ = locate_atoms(primitive, matrix, supercell.frac_coords, numbers)
    rows = [int(np.flatnonzero(sites == site)[0]) for site in range(len(primitive))]
    second = np.zeros((len(rows), len(numbers), 3, 3))
    third = np.zeros((len(rows), len(numbers), len(numbers), 3, 3, 3))
    for site, row in enumerate(rows):
        for near in supercell.get_neighbors(supercell[row], cutoff_angstrom):
            along = (near.coords - supercell[row].coords) / near.nn_distance
            strength = stiffness * np.exp(2.5 - near.nn_distance)
            bend, twist = pair_derivatives(along, near.nn_distance, strength, softening * strength)
            for first, sign in ((row, -1.0), (near.index, 1.0)):
                second[site, first] -= sign * bend
                for other, other_sign in ((row, -1.0), (near.index, 1.0)):
                    third[site, first, other] -= sign * other_sign * twist
    return ForceConstants(primitive, matrix, supercell.frac_coords, numbers, second, third)


def pair_derivatives(along, length, stiffness, third_derivative):
    """Second and third derivatives of a pair energy that has no first one."""
    outer = np.multiply.outer
    line = outer(along, along)
    across = np.eye(3) - line
    tilt = outer(across, along)
    tilts = tilt + tilt.transpose(0, 2, 1) + tilt.transpose(2, 0, 1)
    return stiffness * line, stiffness / length * tilts + third_derivative * outer(line, along)


def reordered(constants: ForceConstants, order: np.ndarray) -> ForceConstants:
    """Return the same force constants with supercell atoms in another order."""
    numbers, positions = constants.supercell_numbers, constants.supercell_scaled_positions
    sites, cells = locate_atoms(constants.primitive, constants.supercell_matrix, positions, numbers)
    index = LatticeIndex(constants.supercell_matrix, sites, cells)
    second, third = [], []
    for site in range(len(constants.primitive)):
        old = np.flatnonzero(sites == site)[0]
        new = order[np.flatnonzero(sites[order] == site)[0]]
        seen = index.find(sites[order], cells[order] - cells[new] + cells[old])
        second.append(constants.second_order_ev_per_angstrom2[site][seen])
        third.append(constants.third_order_ev_per_angstrom3[site][np.ix_(seen, seen)])
    return replace(
        constants,
        supercell_scaled_positions=positions[order],
        supercell_numbers=numbers[order],
        second_order_ev_per_angstrom2=np.array(second),
        third_order_ev_per_angstrom3=np.array(third),
    )


def cubic_forces(constants: ForceConstants, displacements_angstrom: np.ndarray) -> np.ndarray:
    """Forces of an energy of exactly third order, shape (cell, atom, 3)."""
    sites, cells = locate_atoms(
        constants.primitive,
        constants.supercell_matrix,
        constants.supercell_scaled_positions,
        constants.supercell_numbers,
    )
    index = LatticeIndex(constants.supercell_matrix, sites, cells)
    forces = np.empty_like(displacements_angstrom)
    for atom, site in enumerate(sites):
        row = np.flatnonzero(sites == site)[0]
        seen = np.empty_like(displacements_angstrom)
        seen[:, index.find(sites, cells - cells[atom] + cells[row])] = displacements_angstrom
        second = constants.second_order_ev_per_angstrom2[site]
        third = constants.third_order_ev_per_angstrom3[site]
        forces[:, atom] = -np.einsum("jab,njb->na", second, seen, optimize=True)
        forces[:, atom] -= 0.5 * np.einsum("jkabc,njb,nkc->na", third, seen, seen, optimize=True)
    return forces
