from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from random_cells import (
    MATRICES,
    change,
    changes,
    polynomial_forces,
    random_amplitudes,
    undisplaced,
    with_potential,
)

from screening.anharmonic import DisplacedCells
from screening.errors import SettingError
from screening.gaussian_process.basis import ForceConstantBasis
from screening.gaussian_process.displacements import random_displacements
from screening.gaussian_process.fit import basis_for, fit_force_constants
from screening.gaussian_process.prior_mean import computed_cells, prior_force_constants
from screening.gaussian_process.settings import GaussianProcessSettings

SETTINGS = GaussianProcessSettings(third_order_cutoff_angstrom=3.3)


@dataclass
class Polynomial:
    """A potential whose force constants are known, which counts the copies it was asked for."""

    cell: DisplacedCells
    basis: ForceConstantBasis
    amplitudes: tuple[np.ndarray, ...]
    copies: list[int] = field(default_factory=list)

    def forces(self, cell, positions, numbers):
        assert np.array_equal(numbers, self.cell.supercell_numbers)
        self.copies.append(len(positions))
        moves = positions - self.cell.supercell_scaled_positions @ cell
        return polynomial_forces(self.basis, self.amplitudes, moves)


@pytest.fixture(scope="module")
def cell(crystals):
    return undisplaced(crystals["wurtzite"], MATRICES["wurtzite"])


@pytest.fixture(scope="module")
def basis(cell):
    return basis_for(cell, SETTINGS)


@pytest.fixture(scope="module")
def calculator(cell, basis):
    first, *rest = random_amplitudes(basis)
    return Polynomial(cell, basis, (0.01 * first, *rest))


@pytest.fixture(scope="module")
def expected(cell, basis, calculator):
    return prior_force_constants(cell, calculator, SETTINGS, basis=basis)


def test_cells_hold_the_forces_of_the_calculator(cell, calculator) -> None:
    known = with_potential(cell, calculator, 3)
    found = computed_cells(cell, calculator, known.displacements_angstrom)
    assert calculator.copies[-1] == 4  # with the undisplaced one
    assert np.allclose(found.forces_ev_per_angstrom, known.forces_ev_per_angstrom, atol=1e-12)
    residual = known.residual_forces_ev_per_angstrom
    assert np.allclose(found.residual_forces_ev_per_angstrom, residual, atol=1e-12)


def test_by_default_there_are_two_equations_for_every_unknown(cell, basis, calculator) -> None:
    prior_force_constants(cell, calculator, SETTINGS, basis=basis)
    n_cells = calculator.copies[-1] - 1
    n_forces = 3 * cell.n_atoms
    assert (n_cells - 1) * n_forces < 2 * basis.n_unknowns <= n_cells * n_forces


def test_the_force_constants_are_those_of_the_calculator(basis, calculator, expected) -> None:
    second, third = (basis.expand(order, calculator.amplitudes[order - 1]) for order in (2, 3))
    assert change(expected.second_order_ev_per_angstrom2, second) < 1e-3
    assert change(expected.third_order_ev_per_angstrom3, third) < 0.05


def test_a_similar_potential_helps_the_fit_of_one_cell(cell, basis, calculator, expected) -> None:
    """The truth is stiffer by a third, a factor that the forces tell, and a little different."""
    scaled = [4.0 / 3.0 * one for one in calculator.amplitudes]
    different = [0.05 * one for one in random_amplitudes(basis, seed=8)]
    truth = tuple(one + other for one, other in zip(scaled, different, strict=True))
    moves = random_displacements(cell.n_atoms, 1, 0.03, seed=3)
    cells = computed_cells(cell, Polynomial(cell, basis, truth), moves)
    blind = fit_force_constants(cells, SETTINGS, basis=basis)
    told = fit_force_constants(cells, SETTINGS, prior_mean=expected, basis=basis)
    assert told.posterior.mean_factors() == pytest.approx([4.0 / 3.0] * 2, rel=0.15)
    true = told.expanded(truth)
    for with_mean, without in zip(
        changes(told.force_constants, true), changes(blind.force_constants, true), strict=True
    ):
        assert with_mean < 0.5 * without


def test_dipoles_are_not_treated_apart(cell, basis, calculator, expected) -> None:
    charges = np.where(np.arange(4) < 2, 1.0, -1.0)[:, None, None] * np.eye(3)
    polar = replace(cell, born_charges_e=charges, dielectric_constant=4.0 * np.eye(3))
    found = prior_force_constants(polar, calculator, SETTINGS, basis=basis)
    assert changes(found, expected) == (0.0, 0.0)


def test_no_cells_are_refused(cell, basis, calculator) -> None:
    with pytest.raises(SettingError, match="n_cells"):
        prior_force_constants(cell, calculator, SETTINGS, n_cells=0, basis=basis)
