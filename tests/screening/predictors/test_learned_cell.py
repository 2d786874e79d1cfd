"""A primitive cell is repeated to the size that was learned, in one way."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from screening.predictors.learned_cell import _sublattices, learned_cell
from screening.structure import canonical_crystal

LONG = Structure(Lattice.orthorhombic(3.0, 4.0, 9.0), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.4]])


@pytest.mark.parametrize(("index", "count"), [(1, 1), (2, 7), (3, 13), (4, 35), (6, 91)])
def test_all_sublattices_of_an_index_are_tried_once(index, count):
    found = list(_sublattices(index))
    assert {round(float(np.linalg.det(one))) for one in found} == {index}
    forms = {tuple(one.ravel()) for one in found}
    assert len(forms) == len(found) == count
    # no two are one lattice
    inverses = [np.linalg.inv(one) for one in found]
    same = sum(
        np.allclose(change := one @ inverse, np.round(change))
        for one in found
        for inverse in inverses
    )
    assert same == count


def test_the_shape_is_the_one_whose_images_are_farthest():
    doubled = learned_cell(LONG, (4, 4))
    assert len(doubled) == 4
    steps = np.array([s for s in np.ndindex(5, 5, 5) if s != (2, 2, 2)]) - 2
    shortest = np.linalg.norm(steps @ doubled.lattice.matrix, axis=1).min()
    assert shortest == pytest.approx(5.0)  # a and b are taken half of, along their diagonals
    assert canonical_crystal(doubled).digest == canonical_crystal(LONG).digest


@pytest.mark.parametrize(("sizes", "sites"), [((1, 2), 2), ((2, 9), 2), ((3, 9), 4), ((5, 5), 2)])
def test_a_cell_of_a_learned_size_and_one_without_a_fitting_multiple_stay(sizes, sites):
    assert len(learned_cell(LONG, sizes)) == sites
    assert len(LONG) == 2


def test_a_cell_is_not_repeated_without_end():
    assert learned_cell(LONG, (1000, 2000)) is LONG
