"""The bispectrum: how many components, coupling, values that are known."""

from __future__ import annotations

import numpy as np
import pytest

from screening.descriptors.bispectrum import Bispectrum, bispectrum_components, clebsch_gordan
from screening.descriptors.interface import AtomicSystem
from screening.descriptors.radial import cutoff_function

PAIR = AtomicSystem(np.array([[0.0, 0.0, 0.0], [1.0, 2.0, 1.5]]), np.array([18, 18]))
DISTANCE = float(np.linalg.norm([1.0, 2.0, 1.5]))
WEIGHT = float(cutoff_function(np.array([DISTANCE]), 5.0)[0])


def test_there_are_26_components() -> None:
    components = bispectrum_components(7)
    assert len(components) == len(set(components)) == 26
    assert Bispectrum().n_per_atom([26]) == 26
    assert all(last % 2 == 0 and last <= min(2 * first, 7) for first, last in components)


@pytest.mark.parametrize("first", range(8))
def test_couplings_are_orthonormal(first: int) -> None:
    rows = np.concatenate(
        [clebsch_gordan(first, last).reshape(last + 1, -1) for last in range(0, 2 * first + 1, 2)]
    )
    np.testing.assert_allclose(rows @ rows.T, np.eye((first + 1) ** 2), atol=1e-12)


def test_couplings_of_halves_and_ones_are_the_known_ones() -> None:
    half = np.sqrt(0.5)
    np.testing.assert_allclose(clebsch_gordan(1, 0), [[[0.0, -half], [half, 0.0]]], atol=1e-15)
    np.testing.assert_allclose(clebsch_gordan(1, 2)[1], [[0.0, half], [half, 0.0]], atol=1e-15)
    middle = clebsch_gordan(2, 4)[2]  # <1 m 1 -m | 2 0>
    np.testing.assert_allclose(np.diag(middle[::-1]), np.sqrt([1 / 6, 4 / 6, 1 / 6]), atol=1e-15)


def test_the_lowest_component_is_the_cube_of_the_weight() -> None:
    found = Bispectrum(j_max=0.0).per_atom(PAIR)
    np.testing.assert_allclose(found, [[(1.0 + WEIGHT) ** 3]] * 2, rtol=1e-13)


def test_components_with_j_0_are_the_power_of_a_shell() -> None:
    """Sum of squares of 1 + w U(angle): by the character of the rotation, sin(n x) / sin(x)."""
    bispectrum = Bispectrum()
    angle = 0.99363 * np.pi * DISTANCE / 5.0
    found = bispectrum.per_atom(PAIR)[0]
    for index, (first, last) in enumerate(bispectrum_components(7)):
        if last == 0:
            size = first + 1
            character = np.sin(size * angle) / np.sin(angle)
            power = size * (1.0 + WEIGHT**2) + 2.0 * WEIGHT * character
            np.testing.assert_allclose(found[index], (1.0 + WEIGHT) * power / size, rtol=1e-12)


def test_an_atom_alone_has_known_components() -> None:
    """The coefficients are unit matrices: a component is the dimension of its last index."""
    found = Bispectrum().per_atom(AtomicSystem(np.zeros((1, 3)), np.array([18])))[0]
    expected = [last + 1 for _, last in bispectrum_components(7)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_angles_between_neighbours_matter() -> None:
    def described(angle: float) -> np.ndarray:
        ends = 2.0 * np.array([[1.0, 0.0, 0.0], [np.cos(angle), np.sin(angle), 0.0]])
        positions = np.vstack([np.zeros(3), ends])
        return Bispectrum().per_atom(AtomicSystem(positions, np.full(3, 18)))[0]

    assert np.abs(described(1.5) - described(2.5)).max() > 0.1
