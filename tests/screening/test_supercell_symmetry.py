from __future__ import annotations

import numpy as np
import pytest
from phonopy.structure.cells import Supercell
from phonopy.structure.symmetry import Symmetry
from pymatgen.core import Lattice, Structure

from screening.displacements import plan_displacements
from screening.errors import CellError, InconsistentDataError, InputError
from screening.supercell import SupercellSettings, choose_supercell
from screening.supercell_symmetry import (
    LatticeIndex,
    SupercellSymmetry,
    locate_atoms,
    phonopy_cell,
    primitive_symmetry,
)

MATRICES = (
    np.diag([2, 2, 2]),
    np.diag([3, 3, 2]),
    np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]),
)


def composed(structure: Structure, matrix: np.ndarray) -> tuple[Supercell, SupercellSymmetry]:
    supercell = Supercell(phonopy_cell(structure), matrix.T)
    where = locate_atoms(
        structure, matrix, supercell.scaled_positions, np.asarray(supercell.numbers)
    )
    return supercell, SupercellSymmetry(structure, matrix, *where)


def table(rotations, translations, permutations) -> np.ndarray:
    shifts = np.rint(np.asarray(translations) * 720).astype(int) % 720
    rows = np.c_[np.reshape(rotations, (-1, 9)), shifts, permutations]
    return rows[np.lexsort(rows.T)]


@pytest.mark.parametrize("matrix", MATRICES, ids=("cube", "slab", "skew"))
def test_operations_and_permutations_are_those_that_phonopy_searches(crystal, matrix):
    supercell, symmetry = composed(crystal, matrix)
    found = Symmetry(supercell)
    ours = table(*symmetry.symmetry_operations.values(), symmetry.atomic_permutations)
    theirs = table(*found.symmetry_operations.values(), found.atomic_permutations)
    if len(ours) < len(theirs):  # phonopy may find more where the supercell looks special
        ours, theirs = ({tuple(row) for row in rows} for rows in (ours, theirs))
        assert ours <= theirs
    else:
        np.testing.assert_array_equal(ours, theirs)


def test_a_permutation_moves_atoms_where_its_rotation_says(crystals):
    structure = crystals["wurtzite"]
    supercell, symmetry = composed(structure, np.diag([2, 2, 2]))
    atom = 3
    for rotation in symmetry.rotations_between(atom, atom):
        permutation = symmetry.permutation(rotation, atom, atom)
        offsets = (supercell.scaled_positions - supercell.scaled_positions[atom]) @ supercell.cell
        turned = offsets @ symmetry.rotations_cartesian[rotation].T
        gaps = (turned - offsets[permutation]) @ np.linalg.inv(supercell.cell)
        assert np.abs(gaps - np.rint(gaps)).max() < 1e-8


def test_opposite_atoms_see_each_other_alike(crystals):
    supercell, symmetry = composed(crystals["rutile"], np.diag([2, 2, 3]))
    rows = np.array([np.flatnonzero(symmetry.sites == site)[0] for site in range(6)])
    opposite = symmetry.opposite(rows)
    position = supercell.scaled_positions
    for i, row in enumerate(rows):
        for j in range(len(position)):
            home = rows[symmetry.sites[j]]
            gap = (position[j] - position[row]) + (position[opposite[i, j]] - position[home])
            assert np.abs(gap - np.rint(gap)).max() < 1e-8


def test_a_supercell_that_repeats_nothing_is_refused(crystals):
    structure, matrix = crystals["fcc"], np.diag([2, 2, 2])
    supercell = Supercell(phonopy_cell(structure), matrix)
    scaled, numbers = np.array(supercell.scaled_positions), np.array(supercell.numbers)
    with pytest.raises(InconsistentDataError, match="does not repeat"):
        locate_atoms(structure, matrix, scaled[:-1], numbers[:-1])
    scaled[3] += 0.05
    with pytest.raises(InconsistentDataError, match="does not repeat"):
        locate_atoms(structure, matrix, scaled, numbers)
    numbers[2] = 1
    with pytest.raises(InconsistentDataError, match="does not repeat"):
        locate_atoms(structure, matrix, np.array(supercell.scaled_positions), numbers)


def test_an_atom_twice_is_refused():
    with pytest.raises(InconsistentDataError, match="same atom"):
        LatticeIndex(np.diag([2, 1, 1]), np.zeros(2, int), np.array([[0, 0, 0], [2, 0, 0]]))


def test_overlapping_atoms_have_no_symmetry():
    structure = Structure(Lattice.cubic(3.0), ["Al", "Al"], [[0, 0, 0], [0, 0, 1e-7]])
    with pytest.raises(CellError, match="no symmetry"):
        primitive_symmetry(structure)


@pytest.mark.parametrize("symbol", ["Pu", "Cm"])
def test_an_element_without_a_mass_has_a_supercell_and_no_phonons(symbol):
    fluorite = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.4), [symbol, "O"], [[0, 0, 0], [0.25] * 3]
    )
    primitive = fluorite.get_primitive_structure()
    matrix = choose_supercell(primitive, SupercellSettings())
    assert round(abs(np.linalg.det(matrix))) > 1
    with pytest.raises(CellError, match=symbol) as caught:
        plan_displacements(primitive, matrix, 0.01)
    assert isinstance(caught.value, InputError)  # what a plan takes for impossible, at no cost
