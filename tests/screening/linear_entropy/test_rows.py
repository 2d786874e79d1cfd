from __future__ import annotations

import numpy as np
import pytest

from screening.descriptors.angular_fourier import AngularFourierSeries
from screening.descriptors.interface import AtomicSystem
from screening.linear_entropy import rows
from screening.linear_entropy.rows import RowMaker, atom_rows, species_columns

DESCRIPTOR = AngularFourierSeries(
    cutoff_angstrom=4.0, n_radial=3, l_max=2, neighbour_channels="species"
)
MAKER = RowMaker(DESCRIPTOR, (8, 14), "entropy")


def mixture(n_atoms=40, seed=0):
    random = np.random.default_rng(seed)
    numbers = np.where(np.arange(n_atoms) % 3, 8, 14)
    grid = np.array(np.meshgrid(*[np.arange(4.0)] * 3)).reshape(3, -1).T[:n_atoms]
    places = 2.2 * grid + random.uniform(-0.2, 0.2, (n_atoms, 3))
    return AtomicSystem(places, numbers, 9.0 * np.eye(3))


def test_rows_of_atoms_add_up_to_the_system():
    system = mixture()
    ((indices, found),) = atom_rows(MAKER, system)
    assert indices.tolist() == list(range(40))
    assert found.sum(axis=0) == pytest.approx(MAKER.features(system), rel=1e-12)


def test_blocks_of_a_large_system_give_the_same_rows(monkeypatch):
    system = mixture()
    ((_, whole),) = atom_rows(MAKER, system)
    monkeypatch.setattr(rows, "_ATOMS_AT_ONCE", 12)
    parts = list(atom_rows(MAKER, system))
    assert len(parts) > 1
    found = np.empty_like(whole)
    for indices, part in parts:
        found[indices] = part
    assert found == pytest.approx(whole, abs=1e-10)


def test_each_element_has_its_block_and_its_count():
    system = mixture()
    found = MAKER.features(system)
    columns = species_columns(len(found), 2, 1)
    assert found[columns[-1]] == np.count_nonzero(system.numbers == 14)
    assert len(columns) == len(found) // 2


def test_a_row_is_the_mean_of_an_atom_or_the_excess_over_the_perfect_crystal():
    summed = np.arange(6.0)
    mean = MAKER.row(summed, 3, None)
    assert mean.multiplier * mean.features == pytest.approx(summed)
    maker = RowMaker(MAKER.descriptor, (8, 14), "formation")
    assert maker.row(summed, 3, summed / 3).features == pytest.approx(np.zeros(6))
