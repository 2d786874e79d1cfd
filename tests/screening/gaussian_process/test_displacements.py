from __future__ import annotations

import numpy as np
import pytest

from screening.errors import SettingError
from screening.gaussian_process.displacements import random_displacements


def test_every_atom_moves_by_the_same_length() -> None:
    moves = random_displacements(20, 5, 0.03, seed=4)
    assert moves.shape == (5, 20, 3)
    assert np.allclose(np.linalg.norm(moves, axis=2), 0.03, rtol=1e-12)


def test_directions_are_uniform_on_the_sphere() -> None:
    moves = random_displacements(500, 40, 1.0).reshape(-1, 3)
    n = len(moves)
    assert np.abs(moves.mean(axis=0)).max() < 4.0 / np.sqrt(3.0 * n)
    second = moves.T @ moves / n
    assert np.abs(second - np.eye(3) / 3.0).max() < 4.0 / np.sqrt(n) / 3.0
    # Archimedes: a component of a point on the sphere is uniform between -1 and 1
    for component in moves.T:
        counts, _ = np.histogram(component, bins=10, range=(-1, 1))
        assert np.abs(counts / n - 0.1).max() < 5.0 * np.sqrt(0.1 * 0.9 / n)


def test_a_seed_gives_the_same_cells_and_more_of_them_begin_with_these() -> None:
    few, many = random_displacements(6, 2, seed=7), random_displacements(6, 5, seed=7)
    assert np.array_equal(few, many[:2])
    assert not np.allclose(few, random_displacements(6, 2, seed=8))


def test_results_cannot_be_changed() -> None:
    assert not random_displacements(2, 1).flags.writeable


@pytest.mark.parametrize(
    ("n_atoms", "n_cells", "length", "subject"),
    [
        (0, 1, 0.03, "n_atoms"),
        (1, 0, 0.03, "n_cells"),
        (1, 1, 0.0, "length_angstrom"),
        (1, 1, np.nan, "length_angstrom"),
        (1, 1, np.inf, "length_angstrom"),
    ],
)
def test_numbers_must_be_positive(n_atoms, n_cells, length, subject) -> None:
    with pytest.raises(SettingError) as caught:
        random_displacements(n_atoms, n_cells, length)
    assert caught.value.subject == subject
