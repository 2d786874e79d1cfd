"""Duplicates: the same crystal with other last digits, never another crystal."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from screening.duplicates import DuplicateTolerances, find_duplicate, same_crystal
from screening.structure import canonical_crystal


def rutile(a=4.5937, c=2.9587, u=0.3053):
    return Structure.from_spacegroup(
        "P4_2/mnm", Lattice.tetragonal(a, c), ["Ti", "O"], [[0, 0, 0], [u, u, 0]]
    )


def zirconia(digits=6):
    positions = np.round(
        [
            [0.275418, 0.039532, 0.208316],
            [0.070031, 0.331715, 0.344726],
            [0.449618, 0.756937, 0.479242],
        ],
        digits,
    )
    lattice = Lattice.monoclinic(
        round(5.150512, digits), round(5.211632, digits), round(5.317346, digits), 99.23
    )
    return Structure.from_spacegroup("P2_1/c", lattice, ["Zr", "O", "O"], positions)


def zincblende(a=5.4093):
    return Structure.from_spacegroup(
        "F-43m", Lattice.cubic(a), ["Zn", "S"], [[0, 0, 0], [0.25] * 3]
    )


def wurtzite(a=3.8225, c=6.2607):
    return Structure.from_spacegroup(
        "P6_3mc",
        Lattice.hexagonal(a, c),
        ["Zn", "S"],
        [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.3748]],
    )


def layers(sequence: str) -> Structure:
    """Silicon carbide with a stacking sequence of A, B and C, ideal positions."""
    places = {"A": (0, 0), "B": (1 / 3, 2 / 3), "C": (2 / 3, 1 / 3)}
    n_layers = len(sequence)
    positions = [(*places[s], i / n_layers) for i, s in enumerate(sequence)]
    positions += [(*places[s], (i + 0.75) / n_layers) for i, s in enumerate(sequence)]
    lattice = Lattice.hexagonal(3.0806, 2.5153 * n_layers)
    return Structure(lattice, ["Si"] * n_layers + ["C"] * n_layers, positions)


def is_found(first: Structure, second: Structure) -> bool:
    left, right = canonical_crystal(first), canonical_crystal(second)
    return find_duplicate(left, [right]) is right


SAME = {
    "identical": (rutile(), rutile()),
    "supercell": (rutile(), rutile() * (1, 2, 1)),
    "lattice parameters with three digits": (rutile(), rutile(4.594, 2.959, 0.305)),
    "a monoclinic cif with three digits": (zirconia(), zirconia(digits=3)),
    "just inside the length tolerance": (zincblende(), zincblende(5.4093 * 1.0004)),
    "just inside the displacement tolerance": (rutile(), rutile(u=0.3053 + 0.002)),
}
DIFFERENT = {
    "polymorphs of one composition": (zincblende(), wurtzite()),
    "just outside the length tolerance": (zincblende(), zincblende(5.4093 * 1.0008)),
    "a volume 2 % larger": (zincblende(), zincblende(5.4093 * 1.02 ** (1 / 3))),
    "just outside the displacement tolerance": (rutile(), rutile(u=0.3053 + 0.006)),
    "another element": (zincblende(), zincblende().copy().replace(0, "Cd")),
    "stackings of one length": (layers("ABCACB"), layers("ABABAC")),
    "stackings of one group": (layers("ABCBABCB"), layers("ABABCBCB")),
}


@pytest.mark.parametrize("name", SAME)
def test_the_same_crystal_is_found(name):
    assert is_found(*SAME[name])


@pytest.mark.parametrize("name", DIFFERENT)
def test_another_crystal_is_never_merged(name):
    first, second = DIFFERENT[name]
    assert canonical_crystal(first).digest != canonical_crystal(second).digest
    assert not is_found(first, second)


def test_noise_of_another_source_is_found():
    rng = np.random.default_rng(4)
    for structure in (rutile(), zirconia(), zincblende(), wurtzite(), layers("ABCACB")):
        for _ in range(5):
            noisy = Structure(
                structure.lattice.matrix + rng.normal(size=(3, 3)) * 3e-5,
                structure.species,
                structure.cart_coords + rng.normal(size=(len(structure), 3)) * 1e-4,
                coords_are_cartesian=True,
            )
            assert is_found(structure, noisy)


def test_swapped_elements_are_one_crystal_only_where_symmetry_says_so():
    anti = zincblende().copy()
    anti.replace_species({"Zn": "S", "S": "Zn"})
    assert is_found(zincblende(), anti)  # the two sites are equivalent by a shift of the origin
    fluorite = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.46), ["Ca", "F"], [[0, 0, 0], [0.25] * 3]
    )
    assert not is_found(fluorite, rutile())


def test_a_small_distortion_is_another_crystal():
    """A soft mode frozen in: within the displacement tolerance, but of another group."""
    cubic = Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(4.0), ["Ba", "Ti", "O"], [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0]]
    )
    polar = cubic.copy()
    polar.translate_sites([1], [0, 0, 0.003])
    assert same_crystal(
        canonical_crystal(cubic).structure, canonical_crystal(polar).structure
    )  # by distance alone
    assert not is_found(cubic, polar)


def test_the_first_of_several_is_preferred_and_strangers_are_passed_over():
    crystal = canonical_crystal(rutile())
    near = [canonical_crystal(rutile(a)) for a in (4.5945, 4.5929)]
    others = [canonical_crystal(s) for s in (zincblende(), rutile(4.7))]
    assert find_duplicate(crystal, [*others, *near]) is near[0]
    assert find_duplicate(crystal, others) is None
    assert find_duplicate(crystal, []) is None


def test_tolerances_are_the_callers():
    wide = DuplicateTolerances(length_fraction=0.01)
    assert same_crystal(zincblende(), zincblende(5.43), wide)
    assert not same_crystal(zincblende(), zincblende(5.43))
