"""Strains and displacements that a space group leaves free, against the Wyckoff tables."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from screening.errors import SymmetryLostError
from screening.invariants import invariant_space

FROM = Structure.from_spacegroup
# name: structure, free lattice parameters, free coordinates
CRYSTALS = {
    "diamond": (FROM("Fd-3m", Lattice.cubic(5.4), ["Si"], [[0.125] * 3]), 1, 0),
    "pyrite (u)": (
        FROM("Pa-3", Lattice.cubic(5.4), ["Fe", "S"], [[0, 0, 0], [0.385] * 3]),
        1,
        1,
    ),
    "rutile (u)": (
        FROM("P4_2/mnm", Lattice.tetragonal(4.6, 3.0), ["Ti", "O"], [[0] * 3, [0.305, 0.305, 0]]),
        2,
        1,
    ),
    "wurtzite (u; the origin along c is free)": (
        FROM(
            "P6_3mc",
            Lattice.hexagonal(3.2, 5.2),
            ["Zn", "O"],
            [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.38]],
        ),
        2,
        1,
    ),
    "corundum (z, x)": (
        FROM("R-3c", Lattice.hexagonal(4.8, 13.0), ["Al", "O"], [[0, 0, 0.352], [0.306, 0, 0.25]]),
        2,
        2,
    ),
    "monoclinic (three times xyz)": (
        FROM(
            "P2_1/c",
            Lattice.monoclinic(5.1, 5.2, 5.3, 99),
            ["Zr", "O", "O"],
            [[0.276, 0.04, 0.208], [0.07, 0.332, 0.345], [0.45, 0.757, 0.479]],
        ),
        4,
        9,
    ),
    "triclinic (twice xyz less the origin)": (
        Structure(
            Lattice.from_parameters(4, 5, 6, 80, 95, 103),
            ["Na", "Cl"],
            [[0, 0, 0], [0.4, 0.6, 0.3]],
        ),
        6,
        3,
    ),
}


@pytest.mark.parametrize("name", CRYSTALS)
@pytest.mark.parametrize("primitive", [False, True])
def test_dimensions(name: str, *, primitive: bool) -> None:
    structure, n_strains, n_shifts = CRYSTALS[name]
    if primitive:
        structure = structure.get_primitive_structure()
    space = invariant_space(structure, 1e-3)
    assert (len(space.strains), len(space.shifts)) == (n_strains, n_shifts)
    flat = space.shifts.reshape(n_shifts, 3 * len(structure))
    np.testing.assert_allclose(flat @ flat.T, np.eye(n_shifts), atol=1e-12)
    np.testing.assert_allclose(
        np.einsum("sij,tij->st", space.strains, space.strains), np.eye(n_strains), atol=1e-12
    )


@pytest.mark.parametrize("name", CRYSTALS)
def test_moving_along_them_keeps_the_space_group(name: str) -> None:
    structure = CRYSTALS[name][0]
    space = invariant_space(structure, 1e-3)
    rng = np.random.default_rng(0)
    strain = np.tensordot(rng.uniform(-0.02, 0.02, len(space.strains)), space.strains, 1)
    shift = np.tensordot(rng.uniform(-0.1, 0.1, len(space.shifts)), space.shifts, 1)
    stretch = np.eye(3) + strain
    moved = Structure(
        Lattice(space.cell @ stretch),
        structure.species,
        (space.fractions @ space.cell + shift) @ stretch,
        coords_are_cartesian=True,
    )
    assert invariant_space(moved, 1e-5).number == space.number
    assert invariant_space(moved, 1e-5).n_operations == space.n_operations


def test_coincident_atoms_have_no_symmetry() -> None:
    structure = Structure(Lattice.cubic(4), ["Na", "Na"], [[0, 0, 0], [0, 0, 1e-6]])
    with pytest.raises(SymmetryLostError):
        invariant_space(structure, 1e-3)
