"""What holds for every descriptor of the density of neighbours."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from screening.descriptors import densities
from screening.descriptors.densities import NeighbourDensity
from screening.descriptors.interface import AtomicSystem, descriptor_from
from screening.descriptors.neighbours import atom_blocks

ELEMENTS = (9, 19, 30)
CELL = np.array([[6.0, 0.3, 0.0], [0.5, 7.0, 0.1], [1.0, -0.7, 6.5]])


def _system(n_atoms: int, cell: np.ndarray | None, seed: int = 0) -> AtomicSystem:
    """Random atoms, none nearer than 1.2 Å to another in the cell."""
    rng = np.random.default_rng(seed)
    frame = 8.0 * np.eye(3) if cell is None else cell
    placed: list[np.ndarray] = []
    while len(placed) < n_atoms:
        trial = rng.random(3)
        apart = trial - np.array(placed).reshape(-1, 3)
        apart -= np.round(apart)
        if not placed or np.linalg.norm(apart @ frame, axis=1).min() > 1.2:
            placed.append(trial)
    return AtomicSystem(np.array(placed) @ frame, rng.choice(ELEMENTS, n_atoms), cell)


@pytest.fixture(params=["afs", "bso4"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["all", "species"])
def density(name: str, request: pytest.FixtureRequest) -> NeighbourDensity:
    made = descriptor_from(name, {"neighbour_channels": request.param})
    assert isinstance(made, NeighbourDensity)
    return made


@pytest.fixture(params=[None, CELL], ids=["cluster", "crystal"])
def system(request: pytest.FixtureRequest) -> AtomicSystem:
    return _system(12, request.param)


def _close(found: np.ndarray, expected: np.ndarray, tolerance: float = 1e-8) -> None:
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(found, expected, atol=tolerance * scale)


def test_turned_moved_and_mirrored_atoms_are_the_same(
    density: NeighbourDensity, system: AtomicSystem
) -> None:
    turn = Rotation.random(rng=1).as_matrix()
    expected = density.per_atom(system, ELEMENTS)
    for matrix in (turn, -turn):
        cell = None if system.cell_angstrom is None else system.cell_angstrom @ matrix.T
        moved = system.positions_angstrom @ matrix.T + [3.0, -40.0, 0.1]
        _close(density.per_atom(AtomicSystem(moved, system.numbers, cell), ELEMENTS), expected)


def test_atoms_may_have_any_order(density: NeighbourDensity, system: AtomicSystem) -> None:
    order = np.random.default_rng(3).permutation(len(system))
    shuffled = AtomicSystem(
        system.positions_angstrom[order], system.numbers[order], system.cell_angstrom
    )
    expected = density.per_atom(system, ELEMENTS)
    _close(density.per_atom(shuffled, ELEMENTS), expected[order])
    _close(density.summed(shuffled, ELEMENTS), density.summed(system, ELEMENTS))


def test_sums_are_blocks_by_the_central_element(
    density: NeighbourDensity, system: AtomicSystem
) -> None:
    rows = density.per_atom(system, ELEMENTS)
    blocks = [rows[system.numbers == one].sum(axis=0) for one in ELEMENTS]
    counts = [np.count_nonzero(system.numbers == one) for one in ELEMENTS]
    found = density.summed(system, ELEMENTS)
    _close(found, np.concatenate([*blocks, counts]), 1e-12)
    assert len(found) == density.n_features(ELEMENTS)
    assert rows.shape[1] == density.n_per_atom(ELEMENTS)


def test_two_copies_count_twice(density: NeighbourDensity) -> None:
    system = _system(12, None)
    both = AtomicSystem(
        np.concatenate([system.positions_angstrom, system.positions_angstrom + 60.0]),
        np.tile(system.numbers, 2),
    )
    _close(density.summed(both, ELEMENTS), 2.0 * density.summed(system, ELEMENTS), 1e-12)


@pytest.mark.parametrize("matrix", [np.diag([3, 1, 2]), [[1, 1, 0], [-1, 1, 0], [0, 1, 2]]])
def test_a_supercell_counts_as_often_as_it_is_larger(
    density: NeighbourDensity, matrix: list[list[int]]
) -> None:
    from pymatgen.core import Structure

    system = _system(6, CELL)
    positions = system.positions_angstrom
    supercell = Structure(CELL, system.numbers, positions, coords_are_cartesian=True)
    supercell.make_supercell(matrix)
    times = len(supercell) // len(system)
    assert times > 3
    found = density.summed(AtomicSystem.from_structure(supercell), ELEMENTS)
    _close(found, times * density.summed(system, ELEMENTS))


def test_a_cluster_in_a_large_cell_is_a_cluster(density: NeighbourDensity) -> None:
    cluster = _system(12, None)
    boxed = AtomicSystem(cluster.positions_angstrom, cluster.numbers, 40.0 * np.eye(3))
    _close(density.summed(boxed, ELEMENTS), density.summed(cluster, ELEMENTS), 1e-12)
    packed = AtomicSystem(cluster.positions_angstrom, cluster.numbers, 10.0 * np.eye(3))
    assert not np.allclose(density.summed(packed, ELEMENTS), density.summed(cluster, ELEMENTS))


def test_an_atom_that_crosses_the_cutoff_changes_nothing(density: NeighbourDensity) -> None:
    """Across 2e-4 Å; inside of it the numbers do change."""
    ring = np.array([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [0.0, 2.5, 0.0]])
    numbers = np.array([9, 19, 30, 30])

    def central(distance: float) -> np.ndarray:
        positions = np.vstack([ring, np.array([0.6, 0.0, 0.8]) * distance])
        return density.per_atom(AtomicSystem(positions, numbers), ELEMENTS)[0]

    _close(central(5.0 - 1e-4), central(5.0 + 1e-4))
    assert np.abs(central(4.0) - central(5.1)).max() > 1e-3


def test_an_atom_alone_is_finite(density: NeighbourDensity) -> None:
    lonely = AtomicSystem(np.zeros((1, 3)), np.array([9]))
    rows = density.per_atom(lonely, ELEMENTS)
    assert np.isfinite(rows).all()
    _close(rows, np.round(rows), 1e-12)  # nothing, or the central atom's own part


def test_with_one_element_the_channels_are_one(name: str) -> None:
    system = _system(12, CELL)
    single = AtomicSystem(system.positions_angstrom, np.full(12, 9), CELL)
    alike = descriptor_from(name, {"neighbour_channels": "all"}).summed(single, [9])
    _close(descriptor_from(name).summed(single, [9]), alike, 1e-14)


def test_two_orders_of_one_lattice_are_told_apart_unless_asked_not_to(name: str) -> None:
    """Rocksalt and layers on the sites of one simple cubic lattice."""
    corner = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    alternating = np.where(corner.sum(axis=1) % 2, 19, 9)
    layered = np.where(corner[:, 2] % 2, 19, 9)
    salt, layers = (
        AtomicSystem(2.8 * corner, numbers, 11.2 * np.eye(3)) for numbers in (alternating, layered)
    )
    blind = descriptor_from(name, {"neighbour_channels": "all"})
    _close(blind.summed(salt, [9, 19]), blind.summed(layers, [9, 19]), 1e-12)
    told = descriptor_from(name)
    apart = np.abs(told.summed(salt, [9, 19]) - told.summed(layers, [9, 19])).max()
    assert apart > 0.1 * np.abs(told.summed(salt, [9, 19])).max()


def test_channels_tell_the_elements_of_neighbours_apart(name: str) -> None:
    system = _system(12, CELL)
    swapped = AtomicSystem(system.positions_angstrom, np.roll(system.numbers, 1), CELL)
    alike = descriptor_from(name, {"neighbour_channels": "all"})
    np.testing.assert_allclose(alike.per_atom(system), alike.per_atom(swapped), atol=1e-9)
    told = descriptor_from(name, {"neighbour_channels": "species"})
    assert np.abs(told.per_atom(system) - told.per_atom(swapped)).max() > 1e-3


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("cell", [None, CELL])
def test_blocks_on_threads_give_the_same_sum(
    name: str, cell: np.ndarray | None, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = _system(60, 1.5 * CELL if cell is not None else None)
    whole = descriptor_from(name)
    rows, total = whole.per_atom(system, ELEMENTS), whole.summed(system, ELEMENTS)
    monkeypatch.setattr(
        densities, "atom_blocks", lambda one, cutoff: atom_blocks(one, cutoff, atoms_per_block=5)
    )
    streamed = descriptor_from(name, workers=workers)
    _close(streamed.per_atom(system, ELEMENTS), rows, 1e-10)
    _close(streamed.summed(system, ELEMENTS), total, 1e-10)


def _rattled_iron(cells: int) -> AtomicSystem:
    corner = np.stack(np.meshgrid(*[np.arange(cells)] * 3), axis=-1).reshape(-1, 3) * 2.87
    noise = np.random.default_rng(0).normal(0.0, 0.05, (2 * len(corner), 3))
    positions = np.concatenate([corner, corner + 1.435]) + noise
    return AtomicSystem(positions, np.full(len(positions), 26), 2.87 * cells * np.eye(3))


@pytest.mark.slow
def test_time_grows_no_faster_than_the_atoms() -> None:
    """A hundred times the atoms: at most twice the processor's time for each of them."""
    series = descriptor_from("afs")
    per_atom = []
    for cells in (8, 37):
        crystal = _rattled_iron(cells)
        start = time.process_time()
        series.summed(crystal, [26])
        per_atom.append((time.process_time() - start) / len(crystal))
    assert per_atom[1] < 2.0 * per_atom[0]
    assert per_atom[1] < 3e-4


@pytest.mark.slow
def test_memory_grows_with_the_positions_alone() -> None:
    """Pairs of all atoms would take 2.3 kB for each, their features 1.8 kB."""
    crystals = [_rattled_iron(cells) for cells in (20, 40)]
    peaks = []
    for crystal in crystals:
        tracemalloc.start()
        descriptor_from("afs").summed(crystal, [26])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (peaks[1] - peaks[0]) / (len(crystals[1]) - len(crystals[0])) < 500.0
