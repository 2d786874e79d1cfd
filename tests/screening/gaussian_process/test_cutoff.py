from __future__ import annotations

import numpy as np
import pytest
from random_cells import MATRICES, undisplaced

from screening.gaussian_process.basis import force_constant_basis
from screening.gaussian_process.cutoff import automatic_cutoff, estimated_third_order


@pytest.fixture(params=["rocksalt", "wurtzite", "triclinic"])
def cell(request, crystals):
    return undisplaced(crystals[request.param], MATRICES[request.param])


def test_the_estimate_is_of_the_right_size(cell) -> None:
    true = force_constant_basis(cell, (2, 3)).order(3).n_unknowns
    assert true / 3.0 < estimated_third_order(cell, None) < 3.0 * true


def test_estimates_grow_with_the_cutoff(cell) -> None:
    counts = [estimated_third_order(cell, cutoff) for cutoff in (2.5, 3.5, 4.5, None)]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


def test_nothing_is_cut_where_all_triplets_are_few_enough(cell) -> None:
    assert automatic_cutoff(cell, 10**9) is None


def test_the_cutoff_is_the_largest_that_fits(cell) -> None:
    whole = estimated_third_order(cell, None)
    limit = whole // 2
    cutoff = automatic_cutoff(cell, limit)
    assert cutoff is not None
    assert estimated_third_order(cell, cutoff) <= limit
    lengths = cell.primitive.copy().make_supercell(cell.supercell_matrix).distance_matrix
    further = np.unique(lengths[lengths > cutoff])
    assert estimated_third_order(cell, further[0] + 0.02) > limit
    assert force_constant_basis(cell, (2, 3), cutoff).order(3).n_unknowns < whole


def test_nearest_neighbours_are_always_within(cell) -> None:
    lengths = cell.primitive.copy().make_supercell(cell.supercell_matrix).distance_matrix
    nearest = lengths[lengths > 0.1].min()
    assert nearest < automatic_cutoff(cell, 1) < nearest + 0.05
