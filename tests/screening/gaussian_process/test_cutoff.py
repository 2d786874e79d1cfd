from __future__ import annotations

import numpy as np
import pytest
from random_cells import MATRICES, undisplaced

from screening.errors import TooLargeError
from screening.gaussian_process.basis import force_constant_basis
from screening.gaussian_process.cutoff import automatic_cutoff, check_symmetry


@pytest.fixture(params=["rocksalt", "wurtzite", "triclinic"])
def cell(request, crystals):
    return undisplaced(crystals[request.param], MATRICES[request.param])


@pytest.fixture
def whole(cell) -> int:
    """Independent force constants of third order without a cutoff."""
    return force_constant_basis(cell, (2, 3)).order(3).n_unknowns


def test_they_are_counted_within_a_factor_of_three(cell, whole) -> None:
    assert automatic_cutoff(cell, 3 * whole) is None
    assert automatic_cutoff(cell, whole // 3) is not None


def test_nothing_is_cut_where_all_triplets_are_few_enough(cell) -> None:
    assert automatic_cutoff(cell, 10**9) is None


def test_more_unknowns_reach_further(cell, whole) -> None:
    cutoffs = [automatic_cutoff(cell, limit) or np.inf for limit in (1, whole // 3, 3 * whole)]
    assert cutoffs == sorted(cutoffs)
    assert cutoffs[0] < cutoffs[-1]


def test_the_cutoff_leaves_as_many_as_asked_for_within_a_factor_of_three(cell, whole) -> None:
    limit = whole // 3
    found = force_constant_basis(cell, (2, 3), automatic_cutoff(cell, limit)).order(3).n_unknowns
    assert found < min(whole, 3 * limit)


def test_nearest_neighbours_are_always_within(cell) -> None:
    lengths = cell.primitive.copy().make_supercell(cell.supercell_matrix).distance_matrix
    nearest = lengths[lengths > 0.1].min()
    assert nearest < automatic_cutoff(cell, 1) < nearest + 0.05


def test_a_displaced_cell_in_place_of_the_crystal_is_refused(crystals) -> None:
    crystal = crystals["rocksalt"] * ((4, 4, 4) if len(crystals["rocksalt"]) == 2 else (2, 2, 2))
    crystal.perturb(0.03)
    cell = undisplaced(crystal, np.eye(3, dtype=np.int64))
    with pytest.raises(TooLargeError, match="second-order force constants"):
        check_symmetry(cell)
