from __future__ import annotations

from dataclasses import replace

import numpy as np
from pymatgen.core import Lattice, Structure
from vesin import NeighborList

from screening.adaptive import adaptive_forces
from screening.harmonic import frequencies_at, harmonic_from_forces, mesh_frequencies
from screening.phonons import PhononSettings, compute_forces
from screening.spectra import lowest_frequency
from screening.supercell import SupercellSettings

SETTINGS = PhononSettings(
    supercell=SupercellSettings(min_length_angstrom=18.0, min_atoms=100, max_atoms=600),
    displacement_angstrom=0.03,
    mesh_length_angstrom=25.0,
    adaptive=True,
)
Q_POINTS = np.array([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [0.13, 0.27, 0.31]])
WURTZITE = Structure.from_spacegroup(
    "P6_3mc",
    Lattice.hexagonal(3.2, 3.2 * np.sqrt(8.0 / 3.0)),
    ["Zn", "O"],
    [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.375]],
)


class Springs:
    """Anharmonic springs at rest between all atoms of the first shells, counting atoms.

    All springs are at rest, so the crystal is stable; cubic terms make forces even in the
    displacement, within the reach of the springs and not beyond.
    """

    displacement_angstrom = 0.03
    members = ()

    def __init__(self, cubic=2.0, stiffness=1.0, reach_angstrom=3.5, pull=0.0):
        self._cubic, self._stiffness, self._pull = cubic, stiffness, pull
        finder = NeighborList(cutoff=reach_angstrom, full_list=True)
        (lengths,) = finder.compute(WURTZITE.cart_coords, WURTZITE.lattice.matrix, True, "d")
        self._shells = np.unique(np.round(lengths, 6))
        self.atoms = 0

    def forces(self, cell, positions, numbers):
        self.atoms += len(positions) * len(numbers)
        return np.array([self._forces(cell, copy) for copy in positions])

    def _forces(self, cell, positions):
        finder = NeighborList(cutoff=self._shells[-1] + 0.1, full_list=True)
        first, lengths, vectors = finder.compute(positions, cell, True, "idD")
        gaps = lengths[:, None] - self._shells
        gaps = gaps[np.arange(len(gaps)), np.abs(gaps).argmin(axis=1)]
        tension = self._stiffness * gaps + self._cubic * gaps**2 + self._pull
        tension[np.abs(gaps) > 0.08] = 0.0
        forces = np.zeros_like(positions)
        np.add.at(forces, first, (tension / lengths)[:, None] * vectors)
        return forces


def differences(data, reference):
    return np.abs(
        frequencies_at(harmonic_from_forces(data), Q_POINTS)
        - frequencies_at(harmonic_from_forces(reference), Q_POINTS)
    ).max()


def test_even_forces_of_a_short_ranged_potential_are_carried_exactly():
    stable = Springs()
    found = adaptive_forces(WURTZITE, stable, SETTINGS)
    spent, stable.atoms = stable.atoms, 0
    reference = compute_forces(WURTZITE, stable, SETTINGS)
    assert found.n_saved == 2
    assert found.estimate_mev_per_atom < SETTINGS.adaptive_tolerance_mev_per_atom
    assert spent < 0.85 * stable.atoms
    np.testing.assert_array_equal(
        found.force_data.displacements_angstrom, reference.displacements_angstrom
    )
    np.testing.assert_allclose(
        found.force_data.forces_ev_per_angstrom, reference.forces_ev_per_angstrom, atol=1e-10
    )
    assert differences(found.force_data, reference) < 1e-6
    (note,) = found.notes
    assert "2 displacements" in note


def test_without_the_even_part_the_frequencies_would_be_wrong():
    data = compute_forces(WURTZITE, Springs(), SETTINGS)
    odd_only = data.forces_ev_per_angstrom.copy()
    odd_only[1::2] = 2.0 * data.residual_forces_ev_per_angstrom - odd_only[0::2]
    wrong = replace(data, forces_ev_per_angstrom=odd_only)
    assert differences(wrong, data) > 0.02


def test_refusal_computes_everything():
    strict = replace(SETTINGS, adaptive_tolerance_mev_per_atom=1e-12)
    springs = Springs(reach_angstrom=6.5)
    found = adaptive_forces(WURTZITE, springs, strict)
    reference = compute_forces(WURTZITE, springs, strict)
    assert found.estimate_mev_per_atom > 1e-6
    assert found.n_saved == 0
    assert found.notes == ()
    np.testing.assert_allclose(
        found.force_data.forces_ev_per_angstrom, reference.forces_ev_per_angstrom, atol=1e-12
    )


def test_an_unstable_crystal_is_computed_in_full():
    springs = Springs(pull=-1.0)
    found = adaptive_forces(WURTZITE, springs, SETTINGS)
    reference = compute_forces(WURTZITE, springs, SETTINGS)
    mesh = mesh_frequencies(harmonic_from_forces(reference), 25.0)
    assert lowest_frequency(mesh).frequency_thz < -0.5
    assert found.n_saved == 0
    assert found.estimate_mev_per_atom is None
    np.testing.assert_allclose(
        found.force_data.forces_ev_per_angstrom, reference.forces_ev_per_angstrom, atol=1e-12
    )


def test_nothing_is_tried_where_symmetry_gives_the_opposite(crystals, pair_potential):
    found = adaptive_forces(crystals["rocksalt"], pair_potential, SETTINGS)
    assert found.small_matrix is None
    assert found.n_saved == 0


def test_members_of_a_committee_are_treated_alike():
    class Pair(Springs):
        members = (Springs(), Springs(stiffness=1.3))

    found = adaptive_forces(WURTZITE, Pair(), SETTINGS)
    assert len(found.members) == 2
    assert found.n_saved == 2
    np.testing.assert_allclose(
        found.force_data.forces_ev_per_angstrom,
        np.mean([m.forces_ev_per_angstrom for m in found.members], axis=0),
        atol=1e-14,
    )
