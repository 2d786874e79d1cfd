"""Solid harmonic scattering: one atom in closed form, invariance to the accuracy of the grid."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.special import gamma

from screening.descriptors.interface import AtomicSystem
from screening.descriptors.scattering import SolidHarmonicScattering
from screening.errors import SettingError, TooLargeError

CELL = np.array([[4.0, 0.3, 0.0], [0.5, 5.0, 0.1], [1.0, -0.7, 4.5]])
FEW = SolidHarmonicScattering(scales=(0.0, 1.0), l_max=4)


def _cluster(seed: int = 0) -> AtomicSystem:
    positions = np.random.default_rng(seed).random((6, 3)) * 4.0
    return AtomicSystem(positions, np.array([9, 19] * 3))


def test_the_default_has_90_numbers() -> None:
    assert SolidHarmonicScattering().n_features([26]) == 91
    assert SolidHarmonicScattering().n_features([9, 19]) == 182
    assert SolidHarmonicScattering(neighbour_channels="all").n_features([9, 19]) == 92


def test_one_atom_is_known_in_closed_form() -> None:
    found = SolidHarmonicScattering().summed(
        AtomicSystem(np.full((1, 3), 0.3), np.array([18])), [18]
    )
    scattering = SolidHarmonicScattering()
    degree, width = np.arange(10), 2.0 ** np.array(scattering.scales)[:, None]
    radial = 2.0 ** ((degree + 1) / 2) * gamma((degree + 3) / 2)
    expected = (width / np.hypot(width, 0.5)) ** degree * radial
    expected *= np.sqrt((2 * degree + 1) * 4.0 * np.pi) / (2.0 * np.pi) ** 1.5
    np.testing.assert_allclose(found[:-1], expected.ravel(), rtol=1e-3)
    assert found[-1] == 1.0


def test_turned_and_moved_clusters_are_the_same() -> None:
    cluster = _cluster()
    turn = Rotation.random(rng=1).as_matrix()
    moved = AtomicSystem(cluster.positions_angstrom @ turn.T + 0.37, cluster.numbers)
    np.testing.assert_allclose(FEW.summed(moved, [9, 19]), FEW.summed(cluster, [9, 19]), rtol=1e-3)


def test_distant_clusters_add_up_and_near_ones_do_not() -> None:
    one, other = _cluster(0), _cluster(1)
    parts = FEW.summed(one, [9, 19]) + FEW.summed(other, [9, 19])

    def together(distance: float) -> np.ndarray:
        moved = other.positions_angstrom + np.array([distance, 0.0, 0.0])
        both = np.concatenate([one.positions_angstrom, moved])
        return FEW.summed(AtomicSystem(both, np.tile(one.numbers, 2)), [9, 19])

    np.testing.assert_allclose(together(35.0), parts, rtol=1e-3)
    assert np.abs(together(6.0) / parts - 1.0).max() > 1e-2


def test_a_supercell_counts_twice() -> None:
    crystal = AtomicSystem(_cluster().positions_angstrom, np.full(6, 18), CELL)
    doubled = AtomicSystem(
        np.concatenate([crystal.positions_angstrom, crystal.positions_angstrom + CELL[0]]),
        np.full(12, 18),
        CELL * [[2], [1], [1]],
    )
    np.testing.assert_allclose(
        FEW.summed(doubled, [18]), 2.0 * FEW.summed(crystal, [18]), rtol=2e-3
    )


def test_atoms_have_no_part_of_their_own() -> None:
    with pytest.raises(SettingError) as caught:
        FEW.per_atom(_cluster())
    assert "afs" in caught.value.hint


def test_a_grid_beyond_memory_is_refused() -> None:
    far = AtomicSystem(np.array([[0.0, 0.0, 0.0], [500.0, 500.0, 500.0]]), np.array([9, 9]))
    with pytest.raises(TooLargeError):
        FEW.summed(far, [9])
