from __future__ import annotations

import warnings

import numpy as np
import pytest
from phonopy import Phonopy

from screening.displacements import plan_displacements
from screening.supercell_symmetry import phonopy_cell

MATRICES = (
    np.diag([2, 2, 2]),
    np.diag([3, 3, 2]),
    np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]),
)


@pytest.mark.parametrize("matrix", MATRICES, ids=("cube", "slab", "skew"))
def test_displacements_are_phonopys_own(crystal, matrix):
    plan = plan_displacements(crystal, matrix, 0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # supercells that break the point group are meant
        phonon = Phonopy(phonopy_cell(crystal), matrix.T, primitive_matrix="P")
    phonon.generate_displacements(distance=0.01)
    entries = phonon.dataset["first_atoms"]
    if len(plan.displaced_atoms) != len(entries):  # phonopy sees more symmetry than the crystal's
        assert len(plan.displaced_atoms) > len(entries)
        assert len(phonon.symmetry.pointgroup_operations) > len(
            phonon.primitive_symmetry.pointgroup_operations
        )
        return
    np.testing.assert_allclose(plan.scaled_positions, phonon.supercell.scaled_positions, atol=1e-12)
    np.testing.assert_array_equal(plan.displaced_atoms, [entry["number"] for entry in entries])
    np.testing.assert_allclose(
        plan.displacements_angstrom, [entry["displacement"] for entry in entries], atol=1e-12
    )


def test_one_atom_moves_in_every_copy(crystals):
    plan = plan_displacements(crystals["cotunnite"], np.diag([1, 2, 1]), 0.02)
    still = plan.scaled_positions @ plan.lattice
    moves = plan.positions_angstrom - still
    lengths = np.linalg.norm(moves, axis=2)
    assert np.all((lengths > 1e-6).sum(axis=1) == 1)
    np.testing.assert_allclose(lengths.max(axis=1), 0.02)
    np.testing.assert_array_equal(lengths.argmax(axis=1), plan.displaced_atoms)


def test_a_subset_keeps_the_order_asked_for(crystals):
    plan = plan_displacements(crystals["wurtzite"], np.diag([2, 2, 2]), 0.01)
    part = plan.subset(np.array([3, 0]))
    np.testing.assert_array_equal(part.displacements_angstrom, plan.displacements_angstrom[[3, 0]])
    assert part.positions_angstrom.shape == (2, len(plan.numbers), 3)


def test_directions_follow_the_axes_and_not_the_supercell(crystals):
    structure, axes = crystals["zincblende"], np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]])
    small, large = (
        plan_displacements(structure, size * np.eye(3, dtype=int), 0.01, axes_matrix=axes)
        for size in (1, 3)
    )
    np.testing.assert_allclose(small.displacements_angstrom, large.displacements_angstrom)
    np.testing.assert_array_equal(
        small.sites[small.displaced_atoms], large.sites[large.displaced_atoms]
    )
    np.testing.assert_allclose(np.abs(large.displacements_angstrom).max(axis=1), 0.01)
