from __future__ import annotations

import lzma
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from phono3py import Phono3py
from phono3py.phonon3.dataset import get_displacements_and_forces_fc3
from pymatgen.core import Structure
from spring_crystals import CUBE, MAGNESIUM, NICKEL, ROCKSALT, cubic_forces, reordered, springs

from screening.anharmonic import DisplacedCells, ForceConstants
from screening.conductivity import ConductivitySettings, thermal_conductivity
from screening.errors import InconsistentDataError, NonFiniteForcesError, WrongShapeError
from screening.supercell_symmetry import LatticeIndex, locate_atoms, phonopy_cell
from screening.systematic_third_order import systematic_force_constants

SILICON = Path(__file__).parents[3] / "shared" / "data" / "third_order" / "Si-PBEsol"
DOCUMENTED_W_PER_M_K = 109.1  # by phono3py, relaxation time, 300 K, 11 x 11 x 11, no isotopes
CRYSTALS = {
    "nickel": (NICKEL, 2 * CUBE, 3.0),
    "rocksalt": (ROCKSALT, 2 * CUBE, 4.2),
    "magnesium": (MAGNESIUM, np.diag([3, 3, 2]), 3.3),
}


def planned_displacements(constants: ForceConstants, *, diagonal: bool) -> np.ndarray:
    """Displacements that phono3py plans, in the order of atoms of the force constants."""
    matrix = np.asarray(constants.supercell_matrix)
    cell = phonopy_cell(constants.primitive)
    plan = Phono3py(cell, supercell_matrix=matrix.T, primitive_matrix="P")
    plan.generate_displacements(distance=0.03, is_diagonal=diagonal)
    theirs = locate_atoms(
        constants.primitive, matrix, plan.supercell.scaled_positions, plan.supercell.numbers
    )
    ours = locate_atoms(
        constants.primitive,
        matrix,
        constants.supercell_scaled_positions,
        constants.supercell_numbers,
    )
    displacements, _ = get_displacements_and_forces_fc3(plan.dataset)
    return displacements[:, LatticeIndex(matrix, *theirs).find(*ours)]


def displaced(constants: ForceConstants, displacements: np.ndarray) -> DisplacedCells:
    return DisplacedCells(
        primitive=constants.primitive,
        supercell_matrix=constants.supercell_matrix,
        supercell_scaled_positions=constants.supercell_scaled_positions,
        supercell_numbers=constants.supercell_numbers,
        displacements_angstrom=displacements,
        forces_ev_per_angstrom=cubic_forces(constants, displacements),
        residual_forces_ev_per_angstrom=np.zeros((len(constants.supercell_numbers), 3)),
    )


def assert_same(found: ForceConstants, expected: ForceConstants, tolerance: float = 1e-8) -> None:
    for name in ("second_order_ev_per_angstrom2", "third_order_ev_per_angstrom3"):
        wanted = getattr(expected, name)
        scale = np.abs(wanted).max()
        np.testing.assert_allclose(getattr(found, name), wanted, atol=tolerance * scale)


@pytest.fixture(scope="module")
def nickel_cells() -> DisplacedCells:
    constants = springs(*CRYSTALS["nickel"])
    return displaced(constants, planned_displacements(constants, diagonal=True))


@pytest.fixture(scope="module")
def silicon() -> DisplacedCells:
    """Read phono3py's example; the comments of its file of forces tell what is displaced."""
    if not SILICON.exists():
        pytest.skip(f"no reference data at {SILICON}")
    described = yaml.load((SILICON / "phono3py_disp.yaml").read_text(), Loader=yaml.CSafeLoader)
    primitive, supercell = (cell(described[name]) for name in ("primitive_cell", "supercell"))
    displacements, forces = [], []
    with lzma.open(SILICON / "FORCES_FC3.xz", "rt") as lines:
        for line in lines:
            words = line.lstrip("#").split()
            if line.startswith("# File"):
                displacements.append(np.zeros((len(supercell), 3)))
                forces.append([])
            elif line.startswith("#"):
                displacements[-1][int(words[0]) - 1] += np.array(words[1:], dtype=float)
            else:
                forces[-1].append([float(word) for word in words])
    return DisplacedCells(
        primitive=primitive,
        supercell_matrix=np.rint(supercell.lattice.matrix @ primitive.lattice.inv_matrix).astype(
            int
        ),
        supercell_scaled_positions=supercell.frac_coords,
        supercell_numbers=np.array(supercell.atomic_numbers),
        displacements_angstrom=np.array(displacements),
        forces_ev_per_angstrom=np.array(forces),
        residual_forces_ev_per_angstrom=np.zeros((len(supercell), 3)),
    )


def cell(described: dict) -> Structure:
    points = described["points"]
    return Structure(
        described["lattice"],
        [point["symbol"] for point in points],
        [point["coordinates"] for point in points],
    )


@pytest.mark.parametrize(
    ("name", "diagonal"),
    [("nickel", True), ("nickel", False), ("rocksalt", True), ("magnesium", False)],
)
def test_an_energy_of_third_order_is_recovered(name, diagonal):
    constants = springs(*CRYSTALS[name])
    displacements = planned_displacements(constants, diagonal=diagonal)
    assert_same(systematic_force_constants(displaced(constants, displacements)), constants)


@pytest.mark.parametrize("name", CRYSTALS)
def test_cells_and_atoms_may_come_in_any_order(name):
    random = np.random.default_rng(7)
    constants = springs(*CRYSTALS[name])
    shuffled = reordered(constants, random.permutation(len(constants.supercell_numbers)))
    displacements = random.permutation(planned_displacements(shuffled, diagonal=True))
    assert_same(systematic_force_constants(displaced(shuffled, displacements)), shuffled)


def test_a_calculation_made_twice_counts_once(nickel_cells):
    constants = springs(*CRYSTALS["nickel"])
    moved = np.abs(nickel_cells.displacements_angstrom).max(axis=(1, 2)) > 0.0
    again = np.flatnonzero(moved)[:3]
    repeated = displaced(
        constants,
        np.concatenate(
            [nickel_cells.displacements_angstrom, nickel_cells.displacements_angstrom[again]]
        ),
    )
    assert_same(systematic_force_constants(repeated), constants)


def test_residual_forces_are_taken_off(nickel_cells):
    residual = np.random.default_rng(1).normal(size=(nickel_cells.n_atoms, 3))
    shifted = replace(
        nickel_cells,
        forces_ev_per_angstrom=nickel_cells.forces_ev_per_angstrom + residual,
        residual_forces_ev_per_angstrom=residual,
    )
    assert_same(systematic_force_constants(shifted), systematic_force_constants(nickel_cells))


def test_noise_leaves_all_symmetries_intact(silicon):
    """Finite differences of real forces break the order of differentiation; the result not."""
    found = systematic_force_constants(silicon)
    third = found.third_order_ev_per_angstrom3
    scale = np.abs(third).max()
    assert np.abs(third.sum(axis=1)).max() < 1e-12 * scale
    assert np.abs(third.sum(axis=2)).max() < 1e-12 * scale
    assert np.abs(third - third.transpose(0, 2, 1, 3, 5, 4)).max() < 1e-12 * scale
    # energies from any of the three first derivatives agree: forces do no work in a circle
    random = np.random.default_rng(0)
    first, second, last = random.normal(size=(3, 64, 3))

    def curvature(on: np.ndarray, one: np.ndarray, two: np.ndarray) -> float:
        forces = cubic_forces(found, np.array([one + two, one, two]))
        return float((on * (forces[0] - forces[1] - forces[2])).sum())

    assert curvature(first, second, last) == pytest.approx(curvature(last, first, second))


def test_silicon_on_a_coarse_mesh(silicon):
    """phono3py's defaults, which do not average the tetrahedra, give 66.49 W/m/K here."""
    constants = systematic_force_constants(silicon)
    result = thermal_conductivity(constants, ConductivitySettings(mesh=(5, 5, 5), isotopes=False))
    assert result.conductivity_w_per_m_k[0, 0, 0] == pytest.approx(66.49, rel=0.01)


@pytest.mark.slow
def test_silicon_conducts_as_documented(silicon):
    settings = ConductivitySettings(mesh=(11, 11, 11), isotopes=False)
    result = thermal_conductivity(systematic_force_constants(silicon), settings)
    tensor = result.conductivity_w_per_m_k[0]
    assert tensor[0, 0] == pytest.approx(DOCUMENTED_W_PER_M_K, rel=0.03)
    np.testing.assert_allclose(tensor, tensor[0, 0] * np.eye(3), atol=1e-9 * tensor[0, 0])


@pytest.mark.slow
def test_silicon_conducts_more_by_the_direct_solution(silicon):
    settings = ConductivitySettings(mesh=(11, 11, 11), isotopes=False, method="direct")
    result = thermal_conductivity(systematic_force_constants(silicon), settings)
    relaxed = result.relaxation_time_conductivity_w_per_m_k[0, 0, 0]
    assert relaxed == pytest.approx(DOCUMENTED_W_PER_M_K, rel=0.03)
    assert 1.0 < result.conductivity_w_per_m_k[0, 0, 0] / relaxed < 1.1


def test_a_missing_pair_is_noticed(nickel_cells):
    moved = np.abs(nickel_cells.displacements_angstrom).max(axis=2) > 0.0
    pairs = moved.sum(axis=1) == 2
    last = moved[np.flatnonzero(pairs)[-1]]
    for kept in (~pairs, pairs, ~pairs | ((moved & last).sum(axis=1) < 2)):
        with pytest.raises(InconsistentDataError, match="do not determine"):
            systematic_force_constants(
                replace(
                    nickel_cells,
                    displacements_angstrom=nickel_cells.displacements_angstrom[kept],
                    forces_ev_per_angstrom=nickel_cells.forces_ev_per_angstrom[kept],
                )
            )


def test_cells_with_all_atoms_displaced_are_refused(nickel_cells):
    rattled = np.random.default_rng(0).normal(size=nickel_cells.displacements_angstrom.shape)
    with pytest.raises(InconsistentDataError, match="displaces 32 atoms"):
        systematic_force_constants(replace(nickel_cells, displacements_angstrom=rattled))


def test_forces_that_do_not_fit_are_refused(nickel_cells):
    forces = nickel_cells.forces_ev_per_angstrom
    with pytest.raises(WrongShapeError, match="forces_ev_per_angstrom"):
        systematic_force_constants(replace(nickel_cells, forces_ev_per_angstrom=forces[1:]))
    with pytest.raises(NonFiniteForcesError):
        systematic_force_constants(replace(nickel_cells, forces_ev_per_angstrom=forces * np.nan))
