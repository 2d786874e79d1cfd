"""Sets of displaced cells that force constants must not be made of are refused, by number."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from screening.anharmonic import DisplacedCells
from screening.atom_order import repeated_positions
from screening.errors import (
    InconsistentDataError,
    NonFiniteForcesError,
    NonFiniteInputError,
    WrongShapeError,
)
from screening.gaussian_process.basis import force_constant_basis
from screening.gaussian_process.checks import check_cells, linear_residual

THIRD_ORDER = Path(__file__).parents[4] / "shared/data/third_order"
REAL = ("NaCl-random-displacements.yaml.xz", "MgO-random-displacements.yaml.xz", "Si-PBEsol")
MATRIX = np.diag([2, 2, 2])


def forces_of(potential, structure, displacements) -> np.ndarray:
    scaled, numbers = repeated_positions(structure, MATRIX)
    lattice = MATRIX @ structure.lattice.matrix
    return potential.forces(lattice, scaled @ lattice + displacements, numbers)


def random_moves(shape, seed: int = 0, size: float = 0.03) -> np.ndarray:
    moves = np.random.default_rng(seed).normal(size=shape)
    return size * moves / np.linalg.norm(moves, axis=-1, keepdims=True)


@pytest.fixture
def cells(crystals, pair_potential) -> DisplacedCells:
    """Six cells of rocksalt with 16 atoms under a known potential."""
    structure = crystals["rocksalt"]
    scaled, numbers = repeated_positions(structure, MATRIX)
    moves = random_moves((6, len(numbers), 3))
    return DisplacedCells(
        structure,
        MATRIX,
        scaled,
        numbers,
        moves,
        forces_of(pair_potential, structure, moves),
        np.zeros((len(numbers), 3)),
        energies_ev=np.zeros(6),
    )


def design_of(cells: DisplacedCells) -> np.ndarray:
    basis = force_constant_basis(cells, (2,))
    columns = basis.design(2, cells.displacements_angstrom)
    return basis.order(2).allowed(columns.T).T


def test_a_sound_set_passes_and_is_described(cells):
    report = check_cells(cells, design_of(cells))
    assert (report.n_cells, report.n_atoms, report.systematic) == (6, 16, False)
    assert report.displacement_rank == 6
    assert report.displacement_rms_angstrom == pytest.approx(0.03)
    assert report.largest_displacement_angstrom == pytest.approx(0.03)
    assert report.net_force < 1e-12
    assert report.notes == ()
    assert report.linear is not None
    assert report.linear.meaningful
    assert report.linear.residual < 0.1
    assert report.linear.held_out < 0.1


def test_harmonic_forces_leave_nothing(cells):
    design = design_of(cells)
    constants = np.random.default_rng(5).normal(size=design.shape[1])
    forces = (design @ constants).reshape(cells.forces_ev_per_angstrom.shape)
    found = linear_residual(design, forces)
    assert found.residual < 1e-10
    assert found.held_out < 1e-10
    assert max(found.of_cells) < 1e-10


def test_forces_without_relation_leave_all(cells):
    rng = np.random.default_rng(6)
    design = design_of(cells)
    ratios = [
        linear_residual(design, rng.normal(size=cells.forces_ev_per_angstrom.shape)).residual
        for _ in range(200)
    ]
    found = linear_residual(design, rng.normal(size=cells.forces_ev_per_angstrom.shape))
    # each ratio is chi-distributed about 1, whatever the number of constants
    freedom = found.n_equations - found.n_determined
    spread = np.sqrt(found.n_determined / (2.0 * freedom * found.n_equations))
    assert np.mean(ratios) == pytest.approx(1.0, abs=5 * spread / np.sqrt(200) + 1e-3)


@pytest.mark.parametrize("order", ["cells", "atoms", "axes"])
def test_forces_in_another_order_are_refused(cells, order):
    forces = cells.forces_ev_per_angstrom
    turned = {
        "cells": np.roll(forces, 1, axis=0),
        "atoms": forces[:, np.random.default_rng(0).permutation(16)],
        "axes": np.roll(forces, 1, axis=2),
    }[order]
    broken = replace(cells, forces_ev_per_angstrom=turned)
    with pytest.raises(InconsistentDataError, match=r"leaves (0\.[6-9]|1\.\d)\d* of their root"):
        check_cells(broken, design_of(cells))


def test_one_cell_in_another_order_is_named(crystals, pair_potential, cells):
    moves = random_moves((30, 16, 3), seed=1)
    forces = forces_of(pair_potential, crystals["rocksalt"], moves)
    forces[17] = forces[17][::-1]
    broken = replace(
        cells, displacements_angstrom=moves, forces_ev_per_angstrom=forces, energies_ev=None
    )
    with pytest.raises(InconsistentDataError, match=r"cell 18 do not explain its forces"):
        check_cells(broken, design_of(broken))


def test_a_cell_that_stands_out_is_noted(crystals, pair_potential, cells):
    moves = random_moves((30, 16, 3), seed=1)
    forces = forces_of(pair_potential, crystals["rocksalt"], moves)
    noise = np.random.default_rng(2).normal(size=(16, 3)) * 0.3 * forces.std()
    forces[4] += noise - noise.mean(axis=0)
    odd = replace(
        cells, displacements_angstrom=moves, forces_ev_per_angstrom=forces, energies_ev=None
    )
    (note,) = check_cells(odd, design_of(odd)).notes
    assert "cell 5 are less harmonic" in note


def test_too_few_equations_are_said_not_refused(cells):
    one = replace(
        cells,
        displacements_angstrom=cells.displacements_angstrom[:1],
        forces_ev_per_angstrom=cells.forces_ev_per_angstrom[:1],
        energies_ev=None,
    )
    design = np.random.default_rng(0).normal(size=(48, 400))
    report = check_cells(one, design)
    assert report.linear is not None
    assert not report.linear.meaningful
    assert np.isnan(report.linear.residual)
    assert "400 constants for 45 forces" in report.notes[0]
    two = linear_residual(
        np.random.default_rng(0).normal(size=(96, 400)), cells.forces_ev_per_angstrom[:2]
    )
    assert np.isfinite(two.held_out)


def test_repeated_rows_are_refused_with_their_rank(cells):
    repeats = np.array([0, 1, 2, 0, 1, 2])
    broken = replace(cells, displacements_angstrom=cells.displacements_angstrom[repeats])
    with pytest.raises(InconsistentDataError, match=r"rank 3 of 6.*cell 4 those of cell 1.*eV/Å"):
        check_cells(broken)


def test_combined_rows_are_refused_with_their_rank(cells):
    moves = cells.displacements_angstrom.copy()
    moves[5] = 0.5 * (moves[0] + moves[1])
    with pytest.raises(InconsistentDataError, match=r"rank 5 where 6 cells of 16 atoms have 6"):
        check_cells(replace(cells, displacements_angstrom=moves))


def test_displacements_of_one_primitive_cell_are_refused(cells):
    rng = np.random.default_rng(0)
    sites = np.repeat([0, 1], 8)
    moves = 0.02 * rng.normal(size=(9, 2, 3))[:, sites]
    broken = replace(
        cells,
        displacements_angstrom=moves,
        forces_ev_per_angstrom=np.ones_like(moves) * np.where(sites, 1, -1)[:, None],
        energies_ev=None,
    )
    with pytest.raises(InconsistentDataError, match=r"rank 6 where 9 cells.*independently"):
        check_cells(broken)


def test_opposite_and_centred_displacements_are_sound(crystals, pair_potential, cells):
    half = random_moves((3, 16, 3), seed=4)
    moves = np.concatenate([half, -half])
    mirrored = replace(
        cells,
        displacements_angstrom=moves,
        forces_ev_per_angstrom=forces_of(pair_potential, crystals["rocksalt"], moves),
    )
    assert check_cells(mirrored).displacement_rank == 3
    many = random_moves((60, 16, 3), seed=7)
    many -= many.mean(axis=1, keepdims=True)
    centred = replace(
        cells,
        displacements_angstrom=many,
        forces_ev_per_angstrom=forces_of(pair_potential, crystals["rocksalt"], many),
        energies_ev=None,
    )
    assert check_cells(centred).displacement_rank == 45


def test_systematic_sets_may_be_linearly_dependent(crystals, pair_potential, cells):
    moves = np.zeros((5, 16, 3))
    moves[0, 0, 0] = moves[1, 3, 1] = moves[2, 0, 0] = moves[2, 3, 1] = 0.03
    moves[3, 0, 0], moves[4, 0, 0] = -0.03, 0.06
    systematic = replace(
        cells,
        displacements_angstrom=moves,
        forces_ev_per_angstrom=forces_of(pair_potential, crystals["rocksalt"], moves),
        energies_ev=None,
    )
    report = check_cells(systematic)
    assert report.systematic
    assert report.displacement_rank == 2
    moves[4] = moves[0]
    with pytest.raises(InconsistentDataError, match="cell 5 those of cell 1"):
        check_cells(replace(systematic, displacements_angstrom=moves))


def test_numbers_that_are_none_are_refused(cells):
    forces = cells.forces_ev_per_angstrom.copy()
    forces[2, 7, 1] = np.nan
    with pytest.raises(NonFiniteForcesError, match="cell 3, atom 8, y"):
        check_cells(replace(cells, forces_ev_per_angstrom=forces))
    with pytest.raises(NonFiniteInputError, match="energies_ev"):
        check_cells(replace(cells, energies_ev=np.full(6, np.inf)))
    residual = np.zeros((16, 3))
    residual[1, 0] = np.inf
    with pytest.raises(NonFiniteForcesError, match="atom 2, x"):
        check_cells(replace(cells, residual_forces_ev_per_angstrom=residual))


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("forces_ev_per_angstrom", (6, 15, 3)),
        ("displacements_angstrom", (6, 16, 2)),
        ("residual_forces_ev_per_angstrom", (3,)),
        ("energies_ev", (5,)),
        ("born_charges_e", (16, 3, 3)),
        ("dielectric_constant", (3,)),
    ],
)
def test_other_shapes_are_refused(cells, name, shape):
    with pytest.raises(WrongShapeError, match=name):
        check_cells(replace(cells, **{name: np.zeros(shape)}))


def test_an_empty_set_and_another_design_are_refused(cells):
    none = np.zeros((0, 16, 3))
    with pytest.raises(WrongShapeError, match="no cells"):
        check_cells(replace(cells, displacements_angstrom=none, forces_ev_per_angstrom=none))
    with pytest.raises(WrongShapeError, match="design"):
        check_cells(cells, np.zeros((5, 2)))


def test_cells_that_are_still_or_too_far_are_refused(cells):
    moves = cells.displacements_angstrom.copy()
    moves[3] = 0
    with pytest.raises(InconsistentDataError, match=r"1 of 6 cells are not displaced.*cell 4"):
        check_cells(replace(cells, displacements_angstrom=moves))
    moves = cells.displacements_angstrom.copy()
    moves[1, 4] = [3.0, 0, 0]  # wrapped across the boundary
    with pytest.raises(InconsistentDataError, match=r"atom 5 of cell 2 is displaced by 3\.000 Å"):
        check_cells(replace(cells, displacements_angstrom=moves))


def test_forces_that_were_not_computed_or_do_not_add_up_are_refused(cells):
    forces = cells.forces_ev_per_angstrom.copy()
    forces[2] = 0
    with pytest.raises(InconsistentDataError, match=r"1 of 6 displaced cells are zero.*cell 3"):
        check_cells(replace(cells, forces_ev_per_angstrom=forces))
    with pytest.raises(InconsistentDataError, match="add up to"):
        check_cells(replace(cells, forces_ev_per_angstrom=np.abs(cells.forces_ev_per_angstrom)))


def test_another_supercell_is_refused(cells, crystals):
    with pytest.raises(InconsistentDataError, match="does not repeat"):
        check_cells(replace(cells, primitive=crystals["wurtzite"]))
    with pytest.raises(InconsistentDataError, match="does not repeat"):
        check_cells(replace(cells, supercell_matrix=np.diag([2, 2, 1])))
    twice = cells.supercell_scaled_positions.copy()
    twice[1] = twice[0]
    with pytest.raises(InconsistentDataError, match="same atom"):
        check_cells(replace(cells, supercell_scaled_positions=twice))


@pytest.mark.parametrize("name", REAL)
def test_real_sets_pass_and_are_refused_when_shifted(name):
    from stores.importers.displaced_cells import read_displaced_cells

    if not (THIRD_ORDER / name).exists():
        pytest.skip("no reference data")
    cells = read_displaced_cells(THIRD_ORDER / name)
    design = design_of(cells)
    report = check_cells(cells, design)
    assert report.net_force < 1e-6
    assert report.linear is not None
    assert report.linear.residual < 0.06  # the harmonic part of a crystal at 0.03 Å
    assert report.linear.held_out < 0.06
    broken = replace(cells, forces_ev_per_angstrom=np.roll(cells.forces_ev_per_angstrom, 1, 0))
    with pytest.raises(InconsistentDataError, match="do not explain the forces"):
        check_cells(broken, design)
