"""Neighbour lists, whole and block by block, against all distances."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from screening.descriptors.interface import AtomicSystem
from screening.descriptors.neighbours import Neighbours, atom_blocks, neighbours_of

SKEWED = np.array([[4.0, 0.3, 0.0], [2.5, 5.0, 0.1], [1.0, -2.7, 4.5]])
LEFT_HANDED = SKEWED[[1, 0, 2]]
CUTOFF = 4.2


def _system(cell: np.ndarray | None, n_atoms: int = 24, seed: int = 0) -> AtomicSystem:
    rng = np.random.default_rng(seed)
    spread = rng.uniform(-1.0, 2.0, (n_atoms, 3))  # inside the cell and out of it
    positions = spread @ (4.0 * np.eye(3) if cell is None else cell)
    return AtomicSystem(positions, np.full(n_atoms, 18), cell)


def _by_all_distances(system: AtomicSystem) -> list[np.ndarray]:
    """Sorted vectors to the neighbours of each atom."""
    shifts = np.zeros((1, 3))
    if system.cell_angstrom is not None:
        shifts = np.array(list(product(range(-5, 6), repeat=3))) @ system.cell_angstrom
    found = []
    for centre in system.positions_angstrom:
        vectors = (system.positions_angstrom[:, None] + shifts - centre).reshape(-1, 3)
        lengths = np.linalg.norm(vectors, axis=1)
        found.append(_sorted(vectors[(lengths > 1e-8) & (lengths < CUTOFF)]))
    return found


def _sorted(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors[np.lexsort(np.round(vectors, 6).T)])


def _check(parts: list[Neighbours], system: AtomicSystem) -> None:
    expected = _by_all_distances(system)
    seen = np.concatenate([part.central for part in parts])
    assert sorted(seen.tolist()) == list(range(len(system)))
    for part in parts:
        for index, atom in enumerate(part.central):
            pairs = slice(part.first[index], part.first[index + 1])
            vectors = part.vectors_angstrom[pairs]
            np.testing.assert_allclose(_sorted(vectors), expected[atom], atol=1e-10)
            lengths = np.linalg.norm(vectors, axis=1)
            np.testing.assert_allclose(part.distances_angstrom[pairs], lengths, rtol=1e-12)
            ends = system.positions_angstrom[part.neighbour[pairs]]
            shift = ends - system.positions_angstrom[atom] - vectors
            if system.cell_angstrom is None:
                np.testing.assert_allclose(shift, 0.0, atol=1e-10)
            else:
                scaled = shift @ np.linalg.inv(system.cell_angstrom)
                np.testing.assert_allclose(scaled, np.round(scaled), atol=1e-9)


@pytest.mark.parametrize("cell", [None, SKEWED, LEFT_HANDED, 2.0 * SKEWED, 11.0 * np.eye(3)])
@pytest.mark.parametrize("atoms_per_block", [1000, 7, 1])
def test_each_neighbour_is_found_once(cell: np.ndarray | None, atoms_per_block: int) -> None:
    system = _system(cell)
    blocks = list(atom_blocks(system, CUTOFF, atoms_per_block))
    assert max(block.n_central for block in blocks) <= atoms_per_block
    _check([neighbours_of(block, CUTOFF) for block in blocks], system)


def test_an_atom_alone_has_no_neighbours() -> None:
    system = AtomicSystem(np.zeros((1, 3)), np.array([18]))
    (block,) = atom_blocks(system, CUTOFF)
    found = neighbours_of(block, CUTOFF)
    assert found.first.tolist() == [0, 0]
    assert found.vectors_angstrom.shape == (0, 3)


def test_blocks_of_a_large_cell_are_small() -> None:
    system = _system(20.0 * SKEWED, 20_000)
    n_points = [len(block.points_angstrom) for block in atom_blocks(system, CUTOFF, 1000)]
    assert len(n_points) == 32
    assert max(n_points) < 4000
