"""Twins are of one group, also through others; compositions are groups where there are many."""

from pymatgen.core import Lattice, Structure

from flows.training_groups import FEWEST_FORMULAS, grouping_of, twins_of
from screening.descriptors.fingerprint import (
    DEFAULT_THRESHOLD,
    fingerprint,
    fingerprint_distance,
)

SYMBOLS = ("Li", "Na", "K", "Rb", "Cs", "Cu", "Ag", "Tl", "Mg", "Ca")


def salt(height_angstrom, symbols=("Na", "Cl")):
    lattice = Lattice.tetragonal(3.0, height_angstrom)
    return Structure(lattice, symbols, [[0, 0, 0], [0.5, 0.5, 0.5]])


def test_copies_of_one_are_of_one_group_although_they_are_no_copies_of_each_other():
    def distance(one, other):
        return fingerprint_distance(fingerprint(salt(one)), fingerprint(salt(other)))

    step = 0.001
    while distance(4.0, 4.0 + 2 * step) < DEFAULT_THRESHOLD:
        step *= 1.3
    near = [salt(4.0 - step), salt(4.0 + step), salt(4.0), salt(6.0)]
    assert distance(4.0 - step, 4.0 + step) >= DEFAULT_THRESHOLD
    assert distance(4.0, 4.0 + step) < DEFAULT_THRESHOLD
    assert distance(4.0, 4.0 - step) < DEFAULT_THRESHOLD
    assert twins_of(["a", "b", "between", "far"], near) == ("a", "a", "a", "far")


def test_where_there_are_many_compositions_each_is_a_group():
    pairs = [(cation, anion) for cation in SYMBOLS for anion in ("F", "Cl", "Br")]
    assert len(pairs) == FEWEST_FORMULAS
    many = [salt(height, pair) for pair in pairs for height in (4.0, 6.0)]
    names = [str(index) for index in range(len(many))]
    found = grouping_of(names, many)
    assert found.by == "formula"
    assert found.groups[0] == found.groups[1] == "LiF"
    assert len(set(found.groups)) == FEWEST_FORMULAS
    few = grouping_of(names[:-2], many[:-2])
    assert (few.by, few.groups) == ("structure", tuple(names[:-2]))
