"""Squared exponentials on displaced cells, with everything that follows but intervals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT
from pymatgen.core import Lattice, Structure

from flows.cell_files import first_cells, read_cells
from flows.kernels import Kernel, cells_needed, fit_kernel, kernel_named, write_kernel_fit
from screening.anharmonic import DisplacedCells
from screening.errors import (
    InconsistentDataError,
    NonFiniteForcesError,
    SettingError,
    TooLargeError,
)
from screening.gaussian_process.derivative_kernel import derivative_force_constants
from screening.gaussian_process.fit import fit_force_constants
from screening.gaussian_process.symmetrised_kernel import symmetrised_force_constants
from screening.prediction import Verdict

NACL = Path(__file__).parents[3] / "shared/data/third_order/NaCl-random-displacements.yaml.xz"
PLAIN, AVERAGED = Kernel.RBF, Kernel.SYMMETRISED_RBF
FCC = 0.5 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])


@pytest.fixture(scope="module")
def cells() -> DisplacedCells:
    """Twelve cells of 27 copper atoms with forces of effective-medium theory."""
    primitive = Structure(Lattice.cubic(3.59).matrix @ FCC, ["Cu"], [[0, 0, 0]])
    numbers = np.full(27, 29)
    steps = np.array(list(np.ndindex(3, 3, 3)))
    crystal = Atoms(numbers, steps @ primitive.lattice.matrix, pbc=True)
    crystal.set_cell(3 * primitive.lattice.matrix)
    moves = np.random.default_rng(1).normal(scale=0.02, size=(12, 27, 3))
    forces, energies = [], []
    for one in moves:
        moved = crystal.copy()
        moved.positions += one
        moved.calc = EMT()
        forces.append(moved.get_forces())
        energies.append(moved.get_potential_energy())
    return DisplacedCells(
        primitive=primitive,
        supercell_matrix=3 * np.eye(3, dtype=np.int64),
        supercell_scaled_positions=steps / 3,
        supercell_numbers=numbers,
        displacements_angstrom=moves,
        forces_ev_per_angstrom=np.array(forces),
        residual_forces_ev_per_angstrom=np.zeros((27, 3)),
        energies_ev=np.array(energies),
    )


def test_only_the_averaged_kernel_keeps_the_sum_rule_and_few_cells_are_enough(cells) -> None:
    plain, averaged = fit_kernel(cells, PLAIN), fit_kernel(cells, AVERAGED)
    assert plain.relative_violations[2] > 0.1
    assert max(averaged.relative_violations.values()) < 1e-9  # rounding
    assert not averaged.warnings
    assert averaged.verdict is Verdict.STABLE
    assert plain.verdict is Verdict.UNDETERMINED  # its acoustic branches are not acoustic
    said = " ".join(plain.warnings)
    assert "81 coordinates need at least 41 cells, in practice 81" in said
    assert "and 1176 with third; there are 12" in said
    reference = fit_force_constants(cells).force_constants.second_order_ev_per_angstrom2
    errors = [
        np.linalg.norm(one.force_constants.second_order_ev_per_angstrom2 - reference)
        for one in (plain, averaged)
    ]
    assert errors[1] < 0.05 * errors[0]
    assert errors[1] < 0.02 * np.linalg.norm(reference)


def test_force_constants_are_those_of_the_kernels_own_modules(cells) -> None:
    own = {PLAIN: derivative_force_constants, AVERAGED: symmetrised_force_constants}
    for kernel, function in own.items():
        found, expected = fit_kernel(cells, kernel).force_constants, function(cells)
        for name in ("second_order_ev_per_angstrom2", "third_order_ev_per_angstrom3"):
            assert np.array_equal(getattr(found, name), getattr(expected, name))


def test_the_length_scale_is_chosen_as_asked(cells) -> None:
    some = first_cells(cells, 2)
    scaled = fit_kernel(some, PLAIN, max_order=2)
    typical = np.sqrt((some.displacements_angstrom**2).sum(axis=(1, 2)).mean())
    assert scaled.length_scale_angstrom == pytest.approx(10 * typical)
    fixed = fit_kernel(some, PLAIN, max_order=2, length_scale="0.4")
    assert (fixed.length_scale, fixed.length_scale_angstrom) == ("fixed", 0.4)
    best = fit_kernel(some, PLAIN, max_order=2, length_scale="evidence")
    assert best.log_evidence is not None
    assert best.log_evidence >= max(scaled.log_evidence, fixed.log_evidence)
    assert set(best.sum_rule_violations) == {2}
    assert not any("third" in one for one in best.warnings)


def test_properties_are_those_of_the_temperatures(cells) -> None:
    found = fit_kernel(first_cells(cells, 2), AVERAGED, (300.0, 1000.0), max_order=2)
    values = {quantity.name: value for quantity, value in found.values}
    assert len(values) == 7
    assert values["free_energy_1000k_mev_per_atom"] < values["free_energy_300k_mev_per_atom"]
    assert values["entropy_1000k_mev_per_k_per_atom"] > values["entropy_300k_mev_per_k_per_atom"]


def test_files_hold_the_force_constants(cells, tmp_path) -> None:
    import h5py

    fit = fit_kernel(first_cells(cells, 2), PLAIN)
    harmonic, folder = write_kernel_fit(fit, tmp_path / "made")
    assert harmonic.name == "Cu-rbf-phonopy.yaml"
    assert "rbf" in harmonic.read_text(encoding="utf-8")
    with h5py.File(folder / "fc3.hdf5") as file:
        written = np.linalg.norm(file["fc3"])
    third = fit.force_constants.third_order_ev_per_angstrom3
    assert written == pytest.approx(np.linalg.norm(third))


def test_third_order_that_symmetry_forbids_is_no_violation(cells) -> None:
    """Forces that are odd in the displacements have no third order: what is left is rounding."""
    odd = replace(
        cells,
        displacements_angstrom=np.concatenate([x := cells.displacements_angstrom[:2], -x]),
        forces_ev_per_angstrom=np.concatenate([f := cells.forces_ev_per_angstrom[:2], -f]),
        energies_ev=None,
    )
    fit = fit_kernel(odd, AVERAGED)
    third = fit.force_constants.third_order_ev_per_angstrom3
    assert np.abs(third).max() < 1e-6
    assert not fit.warnings


@pytest.mark.parametrize(("n_atoms", "second", "both"), [(2, 4, 13), (16, 25, 433), (64, 97, 6337)])
def test_cells_are_counted_as_unknowns_over_equations(n_atoms, second, both) -> None:
    d = 3 * n_atoms
    assert cells_needed(n_atoms) == second == -(-d * (d + 1) // 2 // d)
    unknowns = d * (d + 1) // 2 + d * (d + 1) * (d + 2) // 6
    assert cells_needed(n_atoms, 3) == both == -(-unknowns // d)


def test_what_cannot_be_fitted_is_refused(cells) -> None:
    some = first_cells(cells, 2)
    for wrong in ("wide", "-1", "nan", "0"):
        with pytest.raises(SettingError):
            fit_kernel(some, PLAIN, length_scale=wrong)
    with pytest.raises(SettingError, match="vanish"):
        fit_kernel(some, PLAIN, length_scale="0.001", max_order=2)
    with pytest.raises(SettingError, match="order"):
        fit_kernel(some, PLAIN, max_order=4)
    with pytest.raises(SettingError, match="no kernel"):
        kernel_named("cubic")
    broken = replace(some, forces_ev_per_angstrom=np.full((2, 27, 3), np.nan))
    with pytest.raises(NonFiniteForcesError):
        fit_kernel(broken, AVERAGED)
    shuffled = replace(cells, forces_ev_per_angstrom=cells.forces_ev_per_angstrom[::-1])
    with pytest.raises(InconsistentDataError):
        fit_kernel(shuffled, AVERAGED)


@pytest.mark.skipif(not NACL.exists(), reason="third-order data are not here")
def test_salt_needs_symmetry() -> None:
    cells = read_cells([NACL])
    averaged = fit_kernel(first_cells(cells, 5), AVERAGED)
    values = {quantity.name: value for quantity, value in averaged.values}
    assert values["free_energy_300k_mev_per_atom"] == pytest.approx(-31.7, abs=0.4)
    assert averaged.relative_violations[2] < 1e-9
    plain = fit_kernel(first_cells(cells, 40), PLAIN)
    assert plain.sum_rule_violations[2] == pytest.approx(2.9, abs=1.5)
    assert plain.verdict is Verdict.UNDETERMINED
    with pytest.raises(TooLargeError, match="19200"):
        fit_kernel(cells, AVERAGED)
