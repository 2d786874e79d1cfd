from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from screening.errors import SettingError, TooLargeError
from screening.supercell import (
    SupercellSettings,
    choose_supercell,
    image_distance_angstrom,
    supercell_candidates,
    supercell_warnings,
)
from screening.supercell_symmetry import primitive_symmetry


def n_atoms(structure: Structure, matrix: np.ndarray) -> int:
    return len(structure) * round(abs(np.linalg.det(matrix)))


@pytest.mark.parametrize("name", ["rocksalt", "zincblende"])
def test_cubic_binaries_get_the_supercell_of_the_benchmarks(crystals, name):
    matrix = choose_supercell(crystals[name], SupercellSettings())
    np.testing.assert_array_equal(matrix, 4 * np.eye(3))


def test_limits_hold_and_the_point_group_is_kept(crystal):
    settings = SupercellSettings(min_length_angstrom=8.0, min_atoms=20, max_atoms=200)
    matrix = choose_supercell(crystal, settings)
    assert np.linalg.det(matrix) > 0
    assert settings.min_atoms <= n_atoms(crystal, matrix) <= settings.max_atoms
    assert image_distance_angstrom(crystal.lattice.matrix, matrix) >= 8.0
    assert supercell_warnings(crystal, matrix, settings) == ()
    rotations = np.asarray(primitive_symmetry(crystal).pointgroup_operations)
    inside = np.linalg.inv(matrix.T) @ rotations @ matrix.T
    np.testing.assert_allclose(inside, np.rint(inside), atol=1e-9)


def test_image_distance_is_the_shortest_lattice_vector():
    rng = np.random.default_rng(5)
    steps = np.array([s for s in np.ndindex(9, 9, 9) if s != (4, 4, 4)]) - 4
    for _ in range(20):
        lattice = rng.normal(size=(3, 3)) + 2.0 * np.eye(3)
        direct = np.linalg.norm(steps @ lattice, axis=1).min()
        assert image_distance_angstrom(lattice, np.eye(3, dtype=int)) == pytest.approx(direct)


def test_a_skewed_cell_gets_a_matrix_that_is_not_diagonal():
    structure = Structure(Lattice.from_parameters(3, 3.1, 9.5, 65, 62, 33), ["Al"], [[0, 0, 0]])
    settings = SupercellSettings(min_length_angstrom=8.0, min_atoms=1, max_atoms=20)
    matrix = choose_supercell(structure, settings)
    distance = image_distance_angstrom(structure.lattice.matrix, matrix)
    assert distance >= 8.0
    assert np.count_nonzero(matrix - np.diag(np.diagonal(matrix)))
    assert image_distance_angstrom(structure.lattice.matrix, np.diag([4, 4, 1])) < 8.0


def test_candidates_grow_in_atoms_and_in_distance(crystal):
    found = supercell_candidates(crystal, 150)
    sizes = [c.n_atoms for c in found]
    distances = [c.image_distance_angstrom for c in found]
    assert sizes == sorted(set(sizes))
    assert distances == sorted(set(distances))
    for candidate in found:
        assert n_atoms(crystal, candidate.as_array()) == candidate.n_atoms


def test_the_atom_limit_wins_and_says_so(crystals):
    structure = crystals["corundum"]
    settings = SupercellSettings(min_length_angstrom=15.0, max_atoms=100)
    matrix = choose_supercell(structure, settings)
    assert n_atoms(structure, matrix) <= 100
    (message,) = supercell_warnings(structure, matrix, settings)
    assert "15.0 Å" in message
    assert "100 atoms" in message


def test_a_cell_beyond_the_limit_is_refused(crystals):
    with pytest.raises(TooLargeError, match="10 atoms"):
        choose_supercell(crystals["corundum"], SupercellSettings(min_atoms=1, max_atoms=9))


@pytest.mark.parametrize(
    "values",
    [{"min_length_angstrom": 0.0}, {"min_length_angstrom": np.nan}, {"min_atoms": 0},
     {"min_atoms": 300}],
)  # fmt: skip
def test_impossible_limits_are_refused(values):
    with pytest.raises(SettingError):
        SupercellSettings(**values)


def test_the_tolerance_of_the_symmetry_search_decides_which_point_group_is_kept():
    nearly_cubic = Structure(Lattice.orthorhombic(3.0, 3.001, 4.0), ["Al"], [[0, 0, 0]])
    settings = SupercellSettings(min_length_angstrom=9.0005, min_atoms=1, max_atoms=60)
    tight = choose_supercell(nearly_cubic, settings, 1e-5)
    loose = choose_supercell(nearly_cubic, settings, 1e-2)
    np.testing.assert_array_equal(tight, np.diag([4, 3, 3]))
    np.testing.assert_array_equal(loose, np.diag([4, 4, 3]))
