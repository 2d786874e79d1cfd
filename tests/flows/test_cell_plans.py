"""Displaced cells for others to compute: what is written is what is read back."""

from dataclasses import replace

import numpy as np
import pytest
from ase.calculators.emt import EMT
from ase.io import read, write
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp import Poscar

from flows.cell_plans import parse_supercell, plan_cells, planned_crystal, write_plan
from screening.errors import ParseError, SettingError, TooLargeError
from screening.few_cells import FewCellSettings
from screening.gaussian_process.settings import GaussianProcessSettings
from screening.structure import canonical_crystal
from stores.importers.displaced_cells import read_displaced_cells

EDGE_ANGSTROM = 3.77


@pytest.fixture(scope="module")
def crystal():
    cell = Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(EDGE_ANGSTROM), ["Au", "Cu"], [[0, 0, 0], [0, 0.5, 0.5]]
    )
    return canonical_crystal(cell)


@pytest.fixture
def settings(quick):
    few_cells = FewCellSettings(
        displacement_angstrom=0.02, fit=GaussianProcessSettings(max_order=2)
    )
    return replace(quick, few_cells=few_cells)


def test_all_atoms_move_by_the_same_length_in_the_supercell_of_a_screen(crystal, settings):
    plan = plan_cells(crystal, 3, settings)
    moves = plan.cells.displacements_angstrom
    assert moves.shape == (3, 32, 3)
    assert np.linalg.norm(moves, axis=2) == pytest.approx(0.02)
    assert plan.unknowns_per_equation == plan.n_unknowns / (3 * 32 * 3)
    assert 0.0 < plan.unknowns_per_equation < 1.0
    more = plan_cells(crystal, 4, settings)
    assert np.array_equal(more.cells.displacements_angstrom[:3], moves)
    other = replace(settings, few_cells=replace(settings.few_cells, seed=1))
    assert not np.allclose(plan_cells(crystal, 1, other).cells.displacements_angstrom, moves[0])


def test_third_order_has_more_unknowns(crystal, settings):
    cubic = replace(settings, few_cells=FewCellSettings())
    assert plan_cells(crystal, 1, cubic).n_unknowns > plan_cells(crystal, 1, settings).n_unknowns


def test_a_supercell_is_chosen_or_given(crystal, settings):
    matrix = parse_supercell("2 2 1")
    plan = plan_cells(crystal, 1, settings, matrix)
    assert plan.cells.n_atoms == 16
    assert np.array_equal(plan.cells.supercell_matrix, matrix)
    small = settings.phonons.supercell
    limit = replace(
        settings,
        phonons=replace(settings.phonons, supercell=replace(small, min_atoms=1, max_atoms=3)),
    )
    with pytest.raises(TooLargeError):
        plan_cells(crystal, 1, limit)


@pytest.mark.parametrize(
    "text",
    [
        *("", "2", "2 2", "2 2 2.5", "a b c"),
        *("0 1 1", "1 1 1 1 1 1 1 1 1", "-2 -2 -2", "0 1 0 1 0 0 0 0 1"),
    ],
)
def test_what_is_no_supercell_is_refused(text):
    with pytest.raises(SettingError, match="is no supercell"):
        parse_supercell(text)


def test_what_was_planned_is_read_back_with_its_forces(crystal, settings, tmp_path):
    plan = plan_cells(crystal, 2, settings)
    written = write_plan(plan, tmp_path / "cells")
    assert [path.name for path in written] == [
        "cells.extxyz",
        "supercell.yaml",
        "POSCAR-001",
        "POSCAR-002",
    ]
    frames = read(written[0], ":")
    for number, frame in enumerate(frames):
        poscar = Poscar.from_file(written[2 + number]).structure
        assert [site.specie.symbol for site in poscar] == frame.get_chemical_symbols()
        away = poscar.cart_coords - frame.get_positions()
        assert np.abs(away - np.rint(away / 7.54) * 7.54).max() < 1e-6
        frame.calc = EMT()
        frame.get_forces()
    write(tmp_path / "forces.extxyz", frames)
    cells = read_displaced_cells(tmp_path / "forces.extxyz", supercell=written[1])
    found, asked = cells.displacements_angstrom, plan.cells.displacements_angstrom
    np.testing.assert_allclose(found, asked, atol=1e-7)
    forces = [frame.get_forces() for frame in frames]
    np.testing.assert_allclose(cells.forces_ev_per_angstrom, forces, atol=1e-7)


def test_a_file_holds_one_crystal(crystal, tmp_path):
    path = tmp_path / "one.cif"
    crystal.structure.to(path)
    assert planned_crystal(path).digest == crystal.digest
    broken = tmp_path / "broken.cif"
    broken.write_text("no crystal")
    with pytest.raises(ParseError) as caught:
        planned_crystal(broken)
    assert caught.value.subject == str(broken)
    many = tmp_path / "many.extxyz"
    write(many, [crystal.structure.to_ase_atoms(), crystal.structure.to_ase_atoms() * 2])
    with pytest.raises(ParseError, match="holds 2 crystals"):
        planned_crystal(many)
