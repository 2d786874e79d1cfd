"""Rattled cells of salts, labelled by a pair potential with energies, forces and stresses."""

from __future__ import annotations

import numpy as np
from pymatgen.core import Lattice, Structure
from vesin import NeighborList

from screening.network_potential.labelled_cells import LabelledCell
from screening.network_potential.rattling import RattlingSettings, rattled_cells

CUTOFF_ANGSTROM = 4.5
SALTS = (("Na", "Cl", 3.6), ("K", "Br", 4.0), ("Mg", "O", 3.2), ("Li", "F", 3.0))


def labels(numbers, cell, positions):
    """Energy, forces and stress of V(r) = e (1 - s)^4 with s = r^2 / cutoff^2."""
    finder = NeighborList(cutoff=CUTOFF_ANGSTROM, full_list=True)
    first, second, vectors = finder.compute(np.array(positions), np.array(cell), True, "ijD")
    ratio = 1.0 - (vectors**2).sum(1) / CUTOFF_ANGSTROM**2
    strength = 1.0 + 0.1 * np.abs(numbers[first] - numbers[second])
    energy = 0.5 * float((strength * ratio**4).sum())
    pulls = (-8.0 * strength * ratio**3 / CUTOFF_ANGSTROM**2)[:, None] * vectors
    forces = np.zeros((len(numbers), 3))
    np.add.at(forces, first, pulls)
    stress = 0.5 * vectors.T @ pulls / abs(np.linalg.det(cell))
    return energy, forces, stress


def labelled_salts(n_salts: int = 3, n_cells: int = 4, **settings) -> list[LabelledCell]:
    """Return cells of CsCl type."""
    found = []
    choice = RattlingSettings(
        n_cells=n_cells, min_length_angstrom=3.0, max_atoms=8, largest_strain=0.01, **settings
    )
    for first, second, edge in SALTS[:n_salts]:
        salt = Structure(Lattice.cubic(edge), [first, second], [[0, 0, 0], [0.5] * 3])
        for one in rattled_cells(salt, choice, f"{first}{second}-CsCl"):
            energy, forces, stress = labels(one.numbers, one.cell_angstrom, one.positions_angstrom)
            found.append(
                LabelledCell(
                    one.material_id,
                    one.group,
                    one.numbers,
                    one.cell_angstrom,
                    one.positions_angstrom,
                    forces,
                    energy,
                    stress,
                    one.pair,
                    "pair potential",
                )
            )
    return found
