from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from screening.errors import SettingError, TooLargeError, TrainingSetError
from screening.network_potential.rattling import RattlingSettings, rattled_cells


@pytest.fixture(scope="module")
def zincblende():
    return Structure.from_spacegroup(
        "F-43m", Lattice.cubic(5.41), ["Zn", "S"], [[0, 0, 0], [0.25] * 3]
    ).get_primitive_structure()


def test_lengths_are_in_bounds_and_pairs_sum_to_nothing(zincblende):
    settings = RattlingSettings(n_cells=6, largest_strain=0.02)
    cells = rattled_cells(zincblende, settings, "ZnS")
    assert len(cells) == 6
    for first, second in zip(cells[::2], cells[1::2], strict=True):
        assert first.pair == second.pair
        np.testing.assert_array_equal(first.cell_angstrom, second.cell_angstrom)
        np.testing.assert_array_equal(first.displacements_angstrom, -second.displacements_angstrom)
        middle = 0.5 * (first.positions_angstrom + second.positions_angstrom)
        np.testing.assert_allclose(
            first.positions_angstrom, middle + first.displacements_angstrom, atol=1e-12
        )
        for one in (first, second):
            lengths = np.linalg.norm(one.displacements_angstrom, axis=1)
            assert lengths.min() >= 0.01 - 1e-15
            assert lengths.max() <= 0.05 + 1e-15
    assert len({cell.pair for cell in cells}) == 3
    assert len({cell.cell_angstrom.tobytes() for cell in cells}) == 3


def test_supercells_are_as_large_as_wanted_and_keep_the_density(zincblende):
    cell = rattled_cells(zincblende, RattlingSettings(min_length_angstrom=7.0), "ZnS")[0]
    assert np.linalg.norm(cell.cell_angstrom, axis=1).min() >= 7.0
    volume = abs(np.linalg.det(cell.cell_angstrom))
    assert volume / len(cell.numbers) == pytest.approx(zincblende.volume / 2, rel=1e-12)
    assert sorted(set(cell.numbers.tolist())) == [16, 30]
    assert cell.group == "ZnS"


def test_names_and_seeds_give_other_cells_and_the_same_gives_the_same(zincblende):
    def drawn(name, seed=0):
        return rattled_cells(zincblende, RattlingSettings(seed=seed), name)[
            0
        ].displacements_angstrom

    np.testing.assert_array_equal(drawn("a"), drawn("a"))
    assert abs(drawn("a") - drawn("b")).max() > 0.001
    assert abs(drawn("a") - drawn("a", 1)).max() > 0.001


def test_cells_alone_are_no_pairs(zincblende):
    cells = rattled_cells(zincblende, RattlingSettings(n_cells=3, antithetic=False), "ZnS")
    assert [cell.pair for cell in cells] == [""] * 3


@pytest.mark.parametrize(
    "given",
    [
        {"n_cells": 0},
        {"n_cells": 3},
        {"smallest_angstrom": 0.0},
        {"smallest_angstrom": 0.1},
        {"largest_angstrom": float("nan")},
        {"largest_angstrom": 4.0},
        {"largest_strain": -0.1},
        {"largest_strain": 0.6},
        {"seed": -1},
    ],
)
def test_settings_out_of_range_are_refused(given):
    with pytest.raises(SettingError) as refused:
        RattlingSettings(**given)
    assert refused.value.hint


def test_a_cell_of_one_atom_tells_nothing_and_is_refused():
    metal = Structure(Lattice.cubic(3.0), ["Po"], [[0, 0, 0]])
    with pytest.raises(TrainingSetError, match="translations"):
        rattled_cells(metal, RattlingSettings(max_atoms=1), "Po")
    [*cells] = rattled_cells(metal, RattlingSettings(max_atoms=8), "Po")
    assert all(len(cell.numbers) > 1 for cell in cells)


def test_a_crystal_that_is_too_large_is_refused(zincblende):
    with pytest.raises(TooLargeError):
        rattled_cells(zincblende, RattlingSettings(max_atoms=1), "ZnS")
