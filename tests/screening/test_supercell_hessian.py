from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from screening.errors import InconsistentDataError
from screening.harmonic import harmonic_from_forces
from screening.phonons import PhononSettings, compute_forces
from screening.supercell_hessian import supercell_hessian

EXACT = PhononSettings(displacement_angstrom=1e-3)
DOUBLE = np.diag([2, 1, 2])


def hessian_of(crystal, potential, matrix):
    harmonic = harmonic_from_forces(compute_forces(crystal, potential, EXACT, matrix))
    supercell = crystal.copy().make_supercell(matrix)
    return supercell_hessian(harmonic, supercell), supercell


def differences(potential, supercell, atoms, length=1e-3):
    """Compute rows of the Hessian one by one, the way it is defined."""
    still, numbers = supercell.cart_coords, np.array(supercell.atomic_numbers)
    rows = []
    for atom in atoms:
        for axis in range(3):
            step = np.zeros_like(still)
            step[atom, axis] = length
            copies = np.array([still + step, still - step])
            plus, minus = potential.forces(supercell.lattice.matrix, copies, numbers)
            rows.append((minus - plus).ravel() / (2.0 * length))
    return np.array(rows)


@pytest.mark.parametrize("name", ["hcp", "monoclinic", "quartz", "rutile", "triclinic"])
def test_rows_are_those_of_displaced_atoms_one_by_one(crystals, pair_potential, name):
    hessian, supercell = hessian_of(crystals[name], pair_potential, DOUBLE)
    n_atoms = len(supercell)
    atoms = np.random.default_rng(0).choice(n_atoms, 5, replace=False)
    expected = differences(pair_potential, supercell, atoms)
    rows = (3 * atoms[:, None] + np.arange(3)).ravel()
    np.testing.assert_allclose(hessian[rows], expected, atol=1e-3 * np.abs(expected).max())
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-12)
    np.testing.assert_allclose(hessian.reshape(-1, n_atoms, 3).sum(axis=1), 0.0, atol=1e-11)


def test_a_supercell_that_is_not_diagonal_and_a_cell_that_is_not_primitive(pair_potential):
    conventional = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.05), ["Al"], [[0, 0, 0]])
    primitive = conventional.get_primitive_structure()
    skewed = np.array([[-2, 2, 2], [2, -2, 2], [2, 2, -2]])
    by_primitive, _ = hessian_of(primitive, pair_potential, skewed)
    by_conventional, _ = hessian_of(conventional, pair_potential, 2 * np.eye(3, dtype=int))
    np.testing.assert_allclose(
        np.linalg.eigvalsh(by_primitive), np.linalg.eigvalsh(by_conventional), atol=1e-8
    )


def test_another_supercell_is_refused(crystals, pair_potential):
    crystal = crystals["hcp"]
    harmonic = harmonic_from_forces(compute_forces(crystal, pair_potential, EXACT, DOUBLE))
    with pytest.raises(InconsistentDataError):
        supercell_hessian(harmonic, crystal)
