"""Cells with all atoms displaced at random: what is to be labelled for training a potential.

Antithetic pairs, displaced by u and by -u, let even orders of the potential cancel in half the
difference of their forces.

References
----------
H. Lee, V. I. Hegde, C. Wolverton and Y. Xia, arXiv:2407.09674: all atoms by 0.01 to 0.05 Å.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from screening.errors import SettingError, TrainingSetError
from screening.prediction import FloatArray, frozen_array
from screening.supercell import SupercellSettings, choose_supercell

__all__ = [
    "RattledCell",
    "RattlingSettings",
    "displaced_cell",
    "rattled_cells",
    "supercell_to_displace",
]

_LARGEST_STRAIN = 0.5
_LARGEST_ANGSTROM = 0.5  # beyond, atoms meet or leave their sites


@dataclass(frozen=True)
class RattlingSettings:
    """How cells are displaced.

    Attributes
    ----------
    n_cells
        Number of cells of one crystal.
    smallest_angstrom, largest_angstrom
        Bounds of the length by which each atom is displaced, in a random direction.
    antithetic
        Whether every second cell has the displacements of the one before reversed.
    largest_strain
        Largest component of the random strain of each cell, or pair of cells.
    min_length_angstrom
        Least distance between periodic images of the supercell, if there is room.
    max_atoms
        Largest number of atoms of the supercell.
    seed
        Of the displacements, together with the name of the crystal.

    Raises
    ------
    SettingError
        If one is out of range.
    """

    n_cells: int = 6
    smallest_angstrom: float = 0.01
    largest_angstrom: float = 0.05
    antithetic: bool = True
    largest_strain: float = 0.0
    min_length_angstrom: float = 9.0
    max_atoms: int = 120
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_cells < 1 or (self.antithetic and self.n_cells % 2):
            raise SettingError(
                f"{self.n_cells} cells",
                subject="n_cells",
                hint="Give one or more, and an even number of antithetic pairs",
            )
        if not 0.0 < self.smallest_angstrom <= self.largest_angstrom <= _LARGEST_ANGSTROM:
            raise SettingError(
                f"from {self.smallest_angstrom} to {self.largest_angstrom} Å",
                subject="smallest_angstrom, largest_angstrom",
                hint=f"Give 0 < smallest <= largest <= {_LARGEST_ANGSTROM:g}, usually 0.01 and "
                "0.05",
            )
        if not 0.0 <= self.largest_strain < _LARGEST_STRAIN:
            raise SettingError(
                f"{self.largest_strain}", subject="largest_strain", hint="Give 0.01 for 1 %"
            )
        if self.seed < 0:
            raise SettingError(f"{self.seed}", subject="seed", hint="Give zero or more")


@dataclass(frozen=True, eq=False)
class RattledCell:
    """One cell to be labelled.

    Attributes
    ----------
    material_id, group
        Crystal and its reduced formula.
    numbers
        Atomic numbers, shape (atom,).
    cell_angstrom
        Lattice vectors in rows, shape (3, 3).
    positions_angstrom
        Displaced positions, shape (atom, 3).
    displacements_angstrom
        From the sites of the strained crystal, shape (atom, 3).
    pair
        The same text for both halves of an antithetic pair; empty for a cell alone.
    """

    material_id: str
    group: str
    numbers: NDArray[np.int64]
    cell_angstrom: FloatArray
    positions_angstrom: FloatArray
    displacements_angstrom: FloatArray
    pair: str = ""


def rattled_cells(
    structure: Structure, settings: RattlingSettings, material_id: str
) -> list[RattledCell]:
    """Make rattled supercells of a crystal.

    The same crystal, settings and name give the same cells.

    Parameters
    ----------
    structure
        Crystal at rest.
    settings
        How many, how far and how large.
    material_id
        Name of the crystal.

    Raises
    ------
    SettingError
        If the limits of the supercell contradict each other.
    TrainingSetError
        If they leave it one atom.
    TooLargeError
        If the crystal itself has more atoms than allowed.

    Examples
    --------
    >>> from pymatgen.core import Lattice
    >>> crystal = Structure(Lattice.cubic(4.2), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3])
    >>> first, second = rattled_cells(crystal, RattlingSettings(n_cells=2), "CsCl-type")
    >>> bool(abs(first.displacements_angstrom + second.displacements_angstrom).max() == 0.0)
    True
    """
    supercell, _ = supercell_to_displace(structure, settings)
    key = [settings.seed, *material_id.encode()]
    generator = np.random.default_rng(key)
    cells: list[RattledCell] = []
    while len(cells) < settings.n_cells:
        strain = _strain(generator, settings.largest_strain)
        steps = _displacements(generator, len(supercell), settings)
        pair = f"{len(cells) // 2}" if settings.antithetic else ""
        cells.append(displaced_cell(supercell, steps, material_id, pair, strain))
        if settings.antithetic:
            cells.append(displaced_cell(supercell, -steps, material_id, pair, strain))
    return cells


def supercell_to_displace(
    structure: Structure, settings: RattlingSettings
) -> tuple[Structure, NDArray[np.int64]]:
    """Return the undisplaced supercell of all cells of a crystal.

    Parameters
    ----------
    structure
        Crystal at rest.
    settings
        How large.

    Returns
    -------
    Structure, ndarray
        The supercell, and its vectors in vectors of the crystal, rows of shape (3, 3).

    Raises
    ------
    SettingError
        If the limits of the supercell contradict each other.
    TrainingSetError
        If they leave it one atom.
    TooLargeError
        If the crystal itself has more atoms than allowed.
    """
    size = SupercellSettings(settings.min_length_angstrom, 1, settings.max_atoms)
    matrix = choose_supercell(structure, size)
    supercell = structure.copy().make_supercell(matrix)
    if len(supercell) == 1:
        raise TrainingSetError(
            "one atom alone in the supercell has no modes but translations",
            subject=structure.composition.reduced_formula,
            hint=f"Allow more than {settings.max_atoms} atoms, or a longer supercell",
        )
    return supercell, matrix


def _strain(generator: np.random.Generator, largest: float) -> FloatArray:
    """Draw a symmetric strain."""
    drawn = generator.uniform(-largest, largest, (3, 3))
    upper = np.triu(drawn)
    return frozen_array(upper + np.triu(drawn, 1).T)


def _displacements(
    generator: np.random.Generator, n_atoms: int, settings: RattlingSettings
) -> FloatArray:
    directions = generator.normal(size=(n_atoms, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    lengths = generator.uniform(settings.smallest_angstrom, settings.largest_angstrom, n_atoms)
    return frozen_array(directions * lengths[:, None])


def displaced_cell(
    supercell: Structure,
    steps: FloatArray,
    material_id: str,
    pair: str = "",
    strain: FloatArray | None = None,
) -> RattledCell:
    """Displace the atoms of a supercell.

    Parameters
    ----------
    supercell
        As `supercell_to_displace` returns it.
    steps
        Cartesian displacements in Å, shape (atom, 3).
    material_id, pair
        Taken over.
    strain
        Symmetric strain of cell and sites, shape (3, 3); None for none.
    """
    stretch = np.eye(3) if strain is None else np.eye(3) + strain
    return RattledCell(
        material_id,
        supercell.composition.reduced_formula,
        np.array(supercell.atomic_numbers, dtype=np.int64),
        frozen_array(supercell.lattice.matrix @ stretch),
        frozen_array(supercell.cart_coords @ stretch + steps),
        steps,
        pair,
    )
