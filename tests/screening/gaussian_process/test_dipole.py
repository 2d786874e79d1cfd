from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from random_cells import (
    MATRICES,
    all_rows,
    changes,
    polynomial_forces,
    random_amplitudes,
    undisplaced,
    with_forces,
)

from screening.errors import InconsistentDataError
from screening.gaussian_process.basis import force_constant_basis
from screening.gaussian_process.dipole import dipole_amplitudes
from screening.gaussian_process.displacements import random_displacements
from screening.gaussian_process.fit import fit_force_constants
from screening.gaussian_process.settings import GaussianProcessSettings
from screening.units import COULOMB_EV_ANGSTROM

CHARGE, DIELECTRIC = 1.1, 2.4


def polar(crystals, matrix=MATRICES["rocksalt"]):
    cell = undisplaced(crystals["rocksalt"], matrix)
    signs = np.array([1.0 if site.specie.symbol == "Na" else -1.0 for site in cell.primitive])
    return replace(
        cell,
        born_charges_e=CHARGE * signs[:, None, None] * np.eye(3),
        dielectric_constant=DIELECTRIC * np.eye(3),
    )


def test_force_constants_are_nearly_those_of_two_dipoles(crystals) -> None:
    """The images of the supercell and the field at the zone centre add a tenth."""
    cell = polar(crystals, np.diag([4, 4, 4]))
    basis = force_constant_basis(cell, (2,))
    amplitudes = dipole_amplitudes(cell, basis)
    constants = basis.expand(2, amplitudes)
    supercell = cell.primitive.copy().make_supercell(cell.supercell_matrix)
    site = int(basis.rows[0])
    others = np.argsort(supercell.distance_matrix[site])
    neighbour = int(others[1])
    length, image = supercell[site].distance_and_image(supercell[neighbour])
    vector = supercell.lattice.get_cartesian_coords(
        supercell[neighbour].frac_coords + image - supercell[site].frac_coords
    )
    unit = vector / length
    tensor = (np.eye(3) - 3.0 * np.outer(unit, unit)) / length**3
    opposite = -(CHARGE**2)
    expected = COULOMB_EV_ANGSTROM * opposite / DIELECTRIC * tensor
    assert np.allclose(constants[0, neighbour], expected, atol=0.15 * np.abs(expected).max())


def test_dipoles_obey_the_rules(crystals) -> None:
    cell = polar(crystals)
    basis = force_constant_basis(cell, (2,))
    full = all_rows(basis, basis.expand(2, dipole_amplitudes(cell, basis)), 2)
    assert np.abs(full).max() > 0.1
    assert np.abs(full.sum(axis=1)).max() < 1e-10
    assert np.abs(full - full.transpose(1, 0, 3, 2)).max() < 1e-10


def test_crystals_without_charges_have_none(crystals) -> None:
    cell = undisplaced(crystals["rocksalt"], MATRICES["rocksalt"])
    assert dipole_amplitudes(cell, force_constant_basis(cell, (2,))) is None


def test_charges_that_break_the_symmetry_are_refused(crystals) -> None:
    cell = polar(crystals)
    broken = replace(cell, born_charges_e=cell.born_charges_e + np.diag([0.0, 0.0, 0.9]))
    with pytest.raises(InconsistentDataError, match="Born"):
        dipole_amplitudes(broken, force_constant_basis(cell, (2,)))


def test_taking_dipoles_away_and_back_changes_nothing_that_forces_determine(crystals) -> None:
    cell = polar(crystals)
    basis = force_constant_basis(cell, (1, 2, 3))
    amplitudes = random_amplitudes(basis)
    moves = random_displacements(cell.n_atoms, 12, 0.03)
    cells = with_forces(cell, moves, polynomial_forces(basis, amplitudes, moves))
    tiny = GaussianProcessSettings(noise_floor_ev_per_angstrom=1e-6)
    apart, together = (
        fit_force_constants(cells, replace(tiny, subtract_dipoles=choice), basis=basis)
        for choice in (True, False)
    )
    second, third = changes(apart.force_constants, together.force_constants)
    assert second < 1e-6
    assert third < 1e-4
    assert apart.log_evidence != together.log_evidence


def test_forces_that_are_all_dipole_leave_nothing_to_learn(crystals) -> None:
    cell = polar(crystals)
    basis = force_constant_basis(cell, (1, 2))
    amplitudes = dipole_amplitudes(cell, basis)
    moves = random_displacements(cell.n_atoms, 1, 0.03)
    cells = with_forces(cell, moves, polynomial_forces(basis, (amplitudes,), moves))
    fit = fit_force_constants(cells, GaussianProcessSettings(max_order=2), basis=basis)
    found = fit.force_constants.second_order_ev_per_angstrom2
    assert np.abs(found - basis.expand(2, amplitudes)).max() < 1e-4 * np.abs(found).max()
