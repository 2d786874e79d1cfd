"""Displaced cells in every layout of phono3py and phonopy, as phono3py itself writes them."""

from __future__ import annotations

import bz2
import copy
import gzip
import lzma
from functools import cache
from pathlib import Path

import numpy as np
import phono3py
import pytest
import yaml
from phono3py import Phono3py
from phono3py.file_IO import write_FORCES_FC2, write_FORCES_FC3
from phono3py.interface.phono3py_yaml import read_phono3py_yaml
from phonopy import Phonopy
from phonopy.file_IO import write_FORCE_SETS
from phonopy.structure.atoms import PhonopyAtoms
from pymatgen.core import Structure

from screening.errors import (
    InconsistentDataError,
    NonFiniteForcesError,
    ParseError,
    ScreeningError,
)
from screening.supercell_symmetry import locate_atoms
from stores.importers.displaced_cells import (
    find_displaced_cells,
    read_displaced_cells,
    read_phonon_cells,
)

THIRD_ORDER = Path(__file__).parents[3] / "shared/data/third_order"
RANDOM = ("NaCl-random-displacements.yaml.xz", "MgO-random-displacements.yaml.xz")
WURTZITE = PhonopyAtoms(
    symbols=["Al", "Al", "N", "N"],
    cell=[[3.11, 0, 0], [-1.555, 1.555 * np.sqrt(3), 0], [0, 0, 4.978]],
    scaled_positions=[
        [1 / 3, 2 / 3, 0.00095],
        [2 / 3, 1 / 3, 0.50095],
        [1 / 3, 2 / 3, 0.61905],
        [2 / 3, 1 / 3, 0.11905],
    ],
)
ROCKSALT = PhonopyAtoms(
    symbols=["Na"] * 4 + ["Cl"] * 4,
    cell=5.6 * np.eye(3),
    scaled_positions=[
        *([0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]),
        *([0.5, 0.5, 0.5], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]),
    ],
)
CRYSTALS = {
    "wurtzite": (WURTZITE, "P", np.diag([2, 2, 1]), np.diag([3, 3, 2])),
    "rocksalt": (ROCKSALT, "F", np.diag([1, 1, 1]), np.diag([2, 2, 2])),
}


def calculation(name: str, *, larger: bool = False) -> Phono3py:
    cell, axes, matrix, phonon_matrix = CRYSTALS[name]
    return Phono3py(
        cell,
        supercell_matrix=matrix,
        phonon_supercell_matrix=phonon_matrix if larger else None,
        primitive_matrix=axes,
    )


def charges(calc: Phono3py) -> dict[str, object]:
    charge = np.diag([2.5, 2.5, 2.7])
    signs = [1 if symbol in {"Al", "Na"} else -1 for symbol in calc.primitive.symbols]
    born = np.array([sign * charge for sign in signs])
    return {"born": born, "dielectric": np.diag([4.4, 4.4, 4.6]), "factor": 14.4}


@cache
def random_set(name: str) -> Phono3py:
    calc = calculation(name, larger=True)
    rng = np.random.default_rng(0)
    n, larger = len(calc.supercell), len(calc.phonon_supercell)
    calc.dataset = {
        "displacements": 0.03 * rng.normal(size=(3, n, 3)),
        "forces": rng.normal(size=(3, n, 3)),
        "supercell_energies": rng.normal(size=3),
    }
    calc.phonon_dataset = {
        "displacements": 0.03 * rng.normal(size=(2, larger, 3)),
        "forces": rng.normal(size=(2, larger, 3)),
        "supercell_energies": rng.normal(size=2),
    }
    calc.nac_params = charges(calc)
    return calc


def systematic_set(name: str, cutoff: float | None = None) -> tuple[Phono3py, np.ndarray]:
    """Pairs, and forces that are zero beyond the cutoff as phono3py has them."""
    calc = calculation(name)
    calc.generate_displacements(distance=0.03, cutoff_pair_distance=cutoff)
    rng = np.random.default_rng(1)
    rows = all_moves(calc)
    forces = rng.normal(size=(len(rows), len(calc.supercell), 3))
    included = [True] * len(calc.dataset["first_atoms"])
    for first in calc.dataset["first_atoms"]:
        included += [second.get("included", True) for second in first["second_atoms"]]
    forces[~np.array(included)] = 0
    return calc, forces


def all_moves(calc: Phono3py) -> np.ndarray:
    """Displacements of all atoms in all cells, from phono3py's own data set."""
    n, firsts = len(calc.supercell), calc.dataset["first_atoms"]
    rows = []
    for first in firsts:
        rows.append(np.zeros((n, 3)))
        rows[-1][first["number"]] += first["displacement"]
    for first in firsts:
        for second in first["second_atoms"]:
            rows.append(np.zeros((n, 3)))
            rows[-1][first["number"]] += first["displacement"]
            rows[-1][second["number"]] += second["displacement"]
    return np.array(rows)


def kept_rows(moves: np.ndarray, forces: np.ndarray) -> list[int]:
    """Cells that are displaced and computed."""
    return [
        row
        for row in range(len(moves))
        if np.abs(moves[row]).max() > 1e-8 and np.abs(forces[row]).max() > 0
    ]


def put_forces(calc: Phono3py, forces: np.ndarray) -> None:
    row = 0
    for first in calc.dataset["first_atoms"]:
        first["forces"] = forces[row]
        first["supercell_energy"] = -float(row)
        row += 1
    for first in calc.dataset["first_atoms"]:
        for second in first["second_atoms"]:
            second["forces"] = forces[row]
            second["supercell_energy"] = -float(row)
            row += 1


def check_crystal(cells, primitive: PhonopyAtoms, supercell: PhonopyAtoms) -> None:
    """The file's primitive cell and order of atoms, bound by the matrix of rows."""
    assert [site.specie.symbol for site in cells.primitive] == primitive.symbols
    np.testing.assert_allclose(cells.primitive.lattice.matrix, primitive.cell, atol=1e-10)
    np.testing.assert_allclose(cells.primitive.frac_coords, primitive.scaled_positions, atol=1e-10)
    np.testing.assert_allclose(cells.supercell_lattice, supercell.cell, atol=1e-8)
    np.testing.assert_array_equal(cells.supercell_numbers, supercell.numbers)
    np.testing.assert_allclose(
        cells.supercell_scaled_positions, supercell.scaled_positions, atol=1e-10
    )
    locate_atoms(
        cells.primitive,
        cells.supercell_matrix,
        cells.supercell_scaled_positions,
        cells.supercell_numbers,
        1e-6,
    )


def same(cells, moves: np.ndarray, forces: np.ndarray) -> None:
    np.testing.assert_allclose(cells.displacements_angstrom, moves, atol=1e-9)
    np.testing.assert_allclose(cells.forces_ev_per_angstrom, forces, atol=1e-9)


# ---------------------------------------------------------------- one file


@pytest.mark.parametrize("name", CRYSTALS)
@pytest.mark.parametrize("suffix", ["", ".xz", ".gz", ".bz2"])
def test_random_displacements_of_both_supercells(tmp_path, name, suffix):
    calc = random_set(name)
    calc.save(tmp_path / "params.yaml")
    path = tmp_path / f"params.yaml{suffix}"
    packed = {"": bytes, ".xz": lzma.compress, ".gz": gzip.compress, ".bz2": bz2.compress}
    path.write_bytes(packed[suffix]((tmp_path / "params.yaml").read_bytes()))
    cells = read_displaced_cells(path)
    check_crystal(cells, calc.primitive, calc.supercell)
    same(cells, calc.dataset["displacements"], calc.dataset["forces"])
    np.testing.assert_allclose(cells.energies_ev, calc.dataset["supercell_energies"], atol=1e-9)
    np.testing.assert_allclose(cells.born_charges_e, calc.nac_params["born"], atol=1e-9)
    np.testing.assert_allclose(cells.dielectric_constant, calc.nac_params["dielectric"])
    np.testing.assert_array_equal(cells.residual_forces_ev_per_angstrom, 0)
    larger = read_phonon_cells(path)
    check_crystal(larger, calc.primitive, calc.phonon_supercell)
    same(larger, calc.phonon_dataset["displacements"], calc.phonon_dataset["forces"])
    np.testing.assert_allclose(
        larger.energies_ev, calc.phonon_dataset["supercell_energies"], atol=1e-9
    )


@pytest.mark.parametrize("name", CRYSTALS)
@pytest.mark.parametrize("cutoff", [None, 3.2])
def test_pairs_with_their_forces_in_the_file(tmp_path, name, cutoff):
    calc, forces = systematic_set(name, cutoff)
    put_forces(calc, forces)
    kept = kept_rows(all_moves(calc), forces)
    assert (len(kept) < len(forces) - 10) == (cutoff is not None)
    calc.save(tmp_path / "params.yaml")
    assert "included" not in (tmp_path / "params.yaml").read_text()
    cells = read_displaced_cells(tmp_path / "params.yaml")
    check_crystal(cells, calc.primitive, calc.supercell)
    same(cells, all_moves(calc)[kept], forces[kept])
    np.testing.assert_array_equal(cells.energies_ev, -np.array(kept, dtype=float))
    assert read_phonon_cells(tmp_path / "params.yaml") is None


def test_a_pair_that_undoes_its_displacement_gives_the_residual_forces(tmp_path):
    calc, forces = systematic_set("wurtzite")
    put_forces(calc, forces)
    moves = all_moves(calc)
    still = np.abs(moves).max(axis=(1, 2)) < 1e-8
    assert still.any()
    calc.save(tmp_path / "params.yaml")
    cells = read_displaced_cells(tmp_path / "params.yaml")
    np.testing.assert_allclose(
        cells.residual_forces_ev_per_angstrom, forces[still].mean(axis=0), atol=1e-9
    )


def test_what_is_listed_twice_counts_once(tmp_path):
    calc, forces = systematic_set("rocksalt")
    put_forces(calc, forces)
    first = calc.dataset["first_atoms"][0]
    before = len(first["second_atoms"])
    calc.save(tmp_path / "once.yaml")
    for entry in calc.dataset["first_atoms"]:
        for second in entry["second_atoms"]:
            second.pop("id")
    first["second_atoms"].append(dict(first["second_atoms"][-1]))
    calc.save(tmp_path / "twice.yaml")
    assert len(first["second_atoms"]) == before + 1
    once, twice = (read_displaced_cells(tmp_path / f"{n}.yaml") for n in ("once", "twice"))
    same(twice, once.displacements_angstrom, once.forces_ev_per_angstrom)


@pytest.mark.parametrize("kind", ["single", "random"])
def test_phonopy_files(tmp_path, kind):
    cell, axes, matrix, _ = CRYSTALS["wurtzite"]
    phonon = Phonopy(cell, matrix, axes)
    rng = np.random.default_rng(2)
    n = len(phonon.supercell)
    if kind == "single":
        phonon.generate_displacements(distance=0.02)
        moves = np.zeros((len(phonon.dataset["first_atoms"]), n, 3))
        for row, entry in enumerate(phonon.dataset["first_atoms"]):
            moves[row, entry["number"]] = entry["displacement"]
    else:
        phonon.generate_displacements(distance=0.02, number_of_snapshots=4, random_seed=1)
        moves = np.array(phonon.dataset["displacements"])
    phonon.forces = rng.normal(size=moves.shape)
    phonon.supercell_energies = np.arange(len(moves)) - 10.0
    phonon.save(tmp_path / "phonopy_params.yaml")
    cells = read_displaced_cells(tmp_path / "phonopy_params.yaml")
    check_crystal(cells, phonon.primitive, phonon.supercell)
    same(cells, moves, phonon.forces)
    np.testing.assert_array_equal(cells.energies_ev, np.arange(len(moves)) - 10.0)
    assert read_phonon_cells(tmp_path / "phonopy_params.yaml") is None


# ---------------------------------------------------------------- older layouts


def loaded(calc: Phono3py, folder: Path) -> dict:
    calc.save(folder / "new.yaml")
    return yaml.safe_load((folder / "new.yaml").read_text())


def test_one_mapping_per_atom_and_charges_at_the_top(tmp_path):
    calc = random_set("rocksalt")
    data = loaded(calc, tmp_path)
    block, nac = data.pop("dataset"), data.pop("nac")
    del data["phonon_dataset"], data["phonon_supercell_matrix"]
    data["displacements"] = [
        [{"displacement": move, "force": pull} for move, pull in zip(*cell, strict=True)]
        for cell in zip(block["displacements"], block["forces"], strict=True)
    ]
    data["supercell_energies"] = block["supercell_energies"]
    data["born_effective_charge"] = nac["born_effective_charge"]
    data["dielectric_constant"] = nac["dielectric_constant"]
    (tmp_path / "old.yaml").write_text(yaml.safe_dump(data))
    cells = read_displaced_cells(tmp_path / "old.yaml")
    same(cells, calc.dataset["displacements"], calc.dataset["forces"])
    np.testing.assert_allclose(cells.energies_ev, calc.dataset["supercell_energies"], atol=1e-9)
    np.testing.assert_allclose(cells.born_charges_e, calc.nac_params["born"], atol=1e-9)
    assert read_phonon_cells(tmp_path / "old.yaml") is None


def test_displacements_that_stand_for_the_larger_supercell(tmp_path):
    calc = calculation("rocksalt", larger=True)
    calc.generate_displacements(distance=0.03)
    rng = np.random.default_rng(3)
    forces = rng.normal(size=(len(all_moves(calc)), len(calc.supercell), 3))
    put_forces(calc, forces)
    entries = calc.phonon_dataset["first_atoms"]
    larger = rng.normal(size=(len(entries), len(calc.phonon_supercell), 3))
    for entry, force in zip(entries, larger, strict=True):
        entry["forces"] = force
    data = loaded(calc, tmp_path)
    data["displacements"] = data.pop("phonon_displacements")
    for entry in data["displacement_pairs"]:
        entry["second_atoms"] = entry.pop("paired_with")
    (tmp_path / "old.yaml").write_text(yaml.safe_dump(data))
    for file in ("new.yaml", "old.yaml"):
        cells, phonon = (
            read(tmp_path / file) for read in (read_displaced_cells, read_phonon_cells)
        )
        assert cells.n_cells == len(kept_rows(all_moves(calc), forces))
        np.testing.assert_allclose(phonon.forces_ev_per_angstrom, larger, atol=1e-9)
        check_crystal(phonon, calc.primitive, calc.phonon_supercell)


@pytest.mark.parametrize("name", CRYSTALS)
def test_cells_are_built_of_the_unit_cell_where_a_file_leaves_them_out(tmp_path, name):
    calc = random_set(name)
    data = loaded(calc, tmp_path)
    for key in ("primitive_cell", "supercell", "phonon_supercell", "phonon_primitive_cell"):
        del data[key]
    (tmp_path / "short.yaml").write_text(yaml.safe_dump(data))
    check_crystal(read_displaced_cells(tmp_path / "short.yaml"), calc.primitive, calc.supercell)
    larger = read_phonon_cells(tmp_path / "short.yaml")
    check_crystal(larger, calc.primitive, calc.phonon_supercell)


# ---------------------------------------------------------------- folders


def disp_files(folder: Path, calc: Phono3py) -> None:
    calc.save(folder / "phono3py_disp.yaml", settings={"force_sets": False})


@pytest.mark.parametrize("name", CRYSTALS)
@pytest.mark.parametrize("cutoff", [None, 3.2])
@pytest.mark.parametrize("suffix", ["", ".xz", ".lzma"])
def test_a_folder_with_pairs_and_their_forces(tmp_path, name, cutoff, suffix):
    calc, forces = systematic_set(name, cutoff)
    disp_files(tmp_path, calc)
    put_forces(calc, forces)
    write_FORCES_FC3(calc.dataset, filename=tmp_path / "FORCES_FC3")
    if suffix:
        whole = (tmp_path / "FORCES_FC3").read_bytes()
        (tmp_path / "FORCES_FC3").unlink()
        kind = lzma.FORMAT_XZ if suffix == ".xz" else lzma.FORMAT_ALONE
        (tmp_path / f"FORCES_FC3{suffix}").write_bytes(lzma.compress(whole, format=kind))
    signs = {"wurtzite": "2.5 0 0 0 2.5 0 0 0 2.7", "rocksalt": "2.5 0 0 0 2.5 0 0 0 2.5"}
    born = signs[name]
    other = born.replace("2.5", "-2.5").replace("2.7", "-2.7")
    (tmp_path / "BORN").write_text(f"# epsilon and Z*\n4.4 0 0 0 4.4 0 0 0 4.4\n{born}\n{other}\n")
    cells = read_displaced_cells(tmp_path)
    moves = all_moves(calc)
    kept = kept_rows(moves, forces)
    check_crystal(cells, calc.primitive, calc.supercell)
    same(cells, moves[kept], forces[kept])
    assert cells.energies_ev is None
    np.testing.assert_allclose(
        np.diagonal(cells.born_charges_e[0]), np.array(born.split(), dtype=float)[[0, 4, 8]]
    )
    np.testing.assert_allclose(cells.born_charges_e.sum(axis=0), 0, atol=1e-12)
    assert read_phonon_cells(tmp_path) is None


def test_forces_without_those_beyond_the_cutoff(tmp_path):
    calc, forces = systematic_set("rocksalt", 3.2)
    disp_files(tmp_path, calc)
    kept = kept_rows(np.ones(forces.shape), forces)
    rows = forces[kept].reshape(-1, 3)
    np.savetxt(tmp_path / "FORCES_FC3", rows)
    found = read_displaced_cells(tmp_path)
    moved = kept_rows(all_moves(calc), forces)
    same(found, all_moves(calc)[moved], forces[moved])


def test_a_folder_with_random_displacements(tmp_path):
    calc = random_set("wurtzite")
    calc.save(tmp_path / "phono3py_disp.yaml", settings={"force_sets": False})
    table = np.concatenate([calc.dataset["displacements"], calc.dataset["forces"]], axis=-1)
    np.savetxt(tmp_path / "FORCES_FC3", table.reshape(-1, 6))
    larger = np.concatenate(
        [calc.phonon_dataset["displacements"], calc.phonon_dataset["forces"]], axis=-1
    )
    np.savetxt(tmp_path / "FORCES_FC2", larger.reshape(-1, 6))
    same(read_displaced_cells(tmp_path), calc.dataset["displacements"], calc.dataset["forces"])
    phonon = read_phonon_cells(tmp_path)
    same(phonon, calc.phonon_dataset["displacements"], calc.phonon_dataset["forces"])
    np.savetxt(tmp_path / "FORCES_FC3", table[::-1].reshape(-1, 6))
    with pytest.raises(InconsistentDataError, match="beside the forces"):
        read_displaced_cells(tmp_path)


def test_a_folder_with_forces_on_the_larger_supercell(tmp_path):
    calc = calculation("rocksalt", larger=True)
    calc.generate_displacements(distance=0.03)
    disp_files(tmp_path, calc)
    rng = np.random.default_rng(4)
    shape = (len(calc.phonon_dataset["first_atoms"]), len(calc.phonon_supercell), 3)
    forces = rng.normal(size=shape)
    write_FORCES_FC2(calc.phonon_dataset, forces_fc2=forces, filename=tmp_path / "FORCES_FC2")
    found = read_phonon_cells(tmp_path)
    check_crystal(found, calc.primitive, calc.phonon_supercell)
    np.testing.assert_allclose(found.forces_ev_per_angstrom, forces, atol=1e-9)


def test_the_file_of_the_larger_supercell_beside_that_of_the_pairs(tmp_path):
    """As in phono3py's examples: both name a larger supercell, one displaces it."""
    calc, forces = systematic_set("rocksalt")
    disp_files(tmp_path, calc)
    put_forces(calc, forces)
    write_FORCES_FC3(calc.dataset, filename=tmp_path / "FORCES_FC3")
    both = calculation("rocksalt", larger=True)
    both.generate_displacements(distance=0.03)
    data = loaded(both, tmp_path)
    (tmp_path / "new.yaml").rename(tmp_path / "phono3py_disp_dimfc2.yaml")
    first = yaml.safe_load((tmp_path / "phono3py_disp.yaml").read_text())
    first["phonon_supercell"] = copy.deepcopy(first["supercell"])
    (tmp_path / "phono3py_disp.yaml").write_text(yaml.safe_dump(first))
    n_larger = len(data["phonon_displacements"])
    larger = np.random.default_rng(9).normal(size=(n_larger, len(both.phonon_supercell), 3))
    write_FORCES_FC2(both.phonon_dataset, forces_fc2=larger, filename=tmp_path / "FORCES_FC2")
    kept = kept_rows(all_moves(calc), forces)
    for path in (tmp_path, tmp_path / "phono3py_disp.yaml"):
        same(read_displaced_cells(path), all_moves(calc)[kept], forces[kept])
    for path in (tmp_path, tmp_path / "phono3py_disp_dimfc2.yaml"):
        found = read_phonon_cells(path)
        np.testing.assert_allclose(found.forces_ev_per_angstrom, larger, atol=1e-9)
    assert read_phonon_cells(tmp_path / "phono3py_disp.yaml") is None
    assert find_displaced_cells(tmp_path) == [tmp_path]


@pytest.mark.parametrize("kind", ["single", "random"])
def test_force_sets_of_phonopy(tmp_path, kind):
    cell, axes, matrix, _ = CRYSTALS["wurtzite"]
    phonon = Phonopy(cell, matrix, axes)
    number = None if kind == "single" else 3
    phonon.generate_displacements(distance=0.02, number_of_snapshots=number, random_seed=1)
    phonon.save(tmp_path / "phonopy_disp.yaml")
    n_cells = len(phonon.supercells_with_displacements)
    phonon.forces = np.random.default_rng(5).normal(size=(n_cells, len(phonon.supercell), 3))
    write_FORCE_SETS(phonon.dataset, filename=tmp_path / "FORCE_SETS")
    for path in (tmp_path, tmp_path / "phonopy_disp.yaml"):
        cells = read_displaced_cells(path)
        check_crystal(cells, phonon.primitive, phonon.supercell)
        np.testing.assert_allclose(cells.forces_ev_per_angstrom, phonon.forces, atol=1e-7)
        assert cells.n_cells == n_cells


def old_disp_yaml(calc: Phono3py) -> str:
    """The text of ``disp_fc3.yaml`` of phono3py 1."""
    vector = lambda v: "[ " + ", ".join(f"{x:.16f}" for x in v) + " ]"  # noqa: E731
    lines = [f"natom: {len(calc.supercell)}", "first_atoms:"]
    for first in calc.dataset["first_atoms"]:
        lines += [f"- number: {first['number'] + 1}", "  displacement:"]
        lines += [f"    {vector(first['displacement'])} # 00001", "  second_atoms:"]
        numbers = list(dict.fromkeys(second["number"] for second in first["second_atoms"]))
        for number in numbers:
            mine = [s for s in first["second_atoms"] if s["number"] == number]
            lines += [f"  - number: {number + 1}", f"    distance: {mine[0]['pair_distance']:f}"]
            if "included" in mine[0]:
                lines.append(f"    included: {str(mine[0]['included']).lower()}")
            lines.append("    displacements:")
            lines += [f"    - {vector(second['displacement'])}" for second in mine]
    lines += ["lattice:", *(f"- {vector(v)}" for v in calc.supercell.cell), "atoms:"]
    for symbol, position in zip(
        calc.supercell.symbols, calc.supercell.scaled_positions, strict=True
    ):
        lines += [f"- symbol: {symbol}", f"  position: {vector(position)}"]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("name", CRYSTALS)
@pytest.mark.parametrize("unit", [True, False])
def test_a_folder_of_the_first_version(tmp_path, name, unit):
    calc, forces = systematic_set(name, 3.2)
    (tmp_path / "disp_fc3.yaml").write_text(old_disp_yaml(calc))
    put_forces(calc, forces)
    write_FORCES_FC3(calc.dataset, filename=tmp_path / "FORCES_FC3")
    if unit:
        cell = calc.unitcell
        structure = Structure(cell.cell, cell.symbols, cell.scaled_positions)
        (tmp_path / "POSCAR-unitcell").write_text(structure.to(fmt="poscar"))
    cells = read_displaced_cells(tmp_path)
    kept = kept_rows(all_moves(calc), forces)
    same(cells, all_moves(calc)[kept], forces[kept])
    assert len(cells.primitive) == len(calc.primitive)
    locate_atoms(
        cells.primitive,
        cells.supercell_matrix,
        cells.supercell_scaled_positions,
        cells.supercell_numbers,
        1e-4,
    )


def test_the_larger_supercell_of_the_first_version(tmp_path):
    calc, forces = systematic_set("rocksalt")
    (tmp_path / "disp_fc3.yaml").write_text(old_disp_yaml(calc))
    put_forces(calc, forces)
    write_FORCES_FC3(calc.dataset, filename=tmp_path / "FORCES_FC3")
    text = yaml.safe_load(old_disp_yaml(calc))
    for first in text["first_atoms"]:
        del first["second_atoms"]
    (tmp_path / "disp_fc2.yaml").write_text(yaml.safe_dump(text))
    singles = len(text["first_atoms"])
    lines = (tmp_path / "FORCES_FC3").read_text().split("# File:")[: singles + 1]
    (tmp_path / "FORCES_FC2").write_text("# File:".join(lines))
    found = read_phonon_cells(tmp_path)
    same(found, all_moves(calc)[:singles], forces[:singles])
    assert read_phonon_cells(tmp_path / "disp_fc3.yaml") is None


def test_a_larger_supercell_without_forces_is_none(tmp_path):
    calc = random_set("rocksalt")
    data = loaded(calc, tmp_path)
    del data["phonon_dataset"]["forces"]
    (tmp_path / "half.yaml").write_text(yaml.safe_dump(data))
    assert read_phonon_cells(tmp_path / "half.yaml") is None
    assert read_displaced_cells(tmp_path / "half.yaml").n_cells == 3


def test_forces_alone_with_the_supercell_given(tmp_path):
    calc, forces = systematic_set("rocksalt")
    put_forces(calc, forces)
    write_FORCES_FC3(calc.dataset, filename=tmp_path / "FORCES_FC3")
    with pytest.raises(ParseError, match="undisplaced supercell"):
        read_displaced_cells(tmp_path)
    cell = calc.supercell
    given = Structure(cell.cell, cell.symbols, cell.scaled_positions)
    cells = read_displaced_cells(tmp_path, supercell=given)
    kept = kept_rows(all_moves(calc), forces)
    same(cells, all_moves(calc)[kept], forces[kept])


def test_what_can_be_read_is_found(tmp_path):
    random_set("rocksalt").save(tmp_path / "a.yaml")
    calc, forces = systematic_set("rocksalt")
    (tmp_path / "pairs").mkdir()
    disp_files(tmp_path / "pairs", calc)
    put_forces(calc, forces)
    write_FORCES_FC3(calc.dataset, filename=tmp_path / "pairs" / "FORCES_FC3")
    (tmp_path / "without").mkdir()
    disp_files(tmp_path / "without", calc)
    (tmp_path / "other.yaml").write_text("a: [1, 2]\n")
    (tmp_path / ".hidden.yaml").write_text((tmp_path / "a.yaml").read_text())
    (tmp_path / "deep" / "down").mkdir(parents=True)
    packed = lzma.compress((tmp_path / "a.yaml").read_bytes())
    (tmp_path / "deep" / "down" / "b.yml.xz").write_bytes(packed)
    found = find_displaced_cells(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in found] == [
        "a.yaml",
        "deep/down/b.yml.xz",
        "pairs",
    ]
    assert {read_displaced_cells(path).n_atoms for path in found} == {8}


# ---------------------------------------------------------------- damaged files


@pytest.fixture
def text(tmp_path) -> str:
    random_set("rocksalt").save(tmp_path / "good.yaml")
    return (tmp_path / "good.yaml").read_text()


def refused(tmp_path: Path, text: str) -> ScreeningError:
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(ScreeningError) as caught:
        read_displaced_cells(tmp_path / "bad.yaml")
    assert caught.value.subject.startswith("bad.yaml")
    return caught.value


def changed(text: str, change) -> str:
    data = yaml.safe_load(text)
    change(data)
    return yaml.safe_dump(data)


@pytest.mark.parametrize("value", [".nan", ".inf"])
def test_forces_that_are_not_finite_are_refused(tmp_path, text, value):
    block = text[text.rindex("  forces:") :]
    number = block.split("[")[1].split(",")[0].strip()
    error = refused(tmp_path, text.replace(number, value))
    assert isinstance(error, NonFiniteForcesError)
    assert "[0, 0, 0]" in error.message


def test_a_file_that_is_cut_off_is_refused(tmp_path, text):
    for share in (0.2, 0.5, 0.8, 0.95):
        refused(tmp_path, text[: int(share * len(text))])


def test_forces_of_another_supercell_are_refused(tmp_path, text):
    def fewer(data):
        data["dataset"]["forces"] = [cell[:-1] for cell in data["dataset"]["forces"]]

    assert "(3, 7, 3)" in refused(tmp_path, changed(text, fewer)).message

    def larger(data):
        data["dataset"] = data["phonon_dataset"]

    assert isinstance(refused(tmp_path, changed(text, larger)), (InconsistentDataError, ParseError))


def test_cells_that_contradict_each_other_are_refused(tmp_path, text):
    def stretched(data):
        data["supercell"]["lattice"] = (1.1 * np.array(data["supercell"]["lattice"])).tolist()

    assert "no multiple" in refused(tmp_path, changed(text, stretched)).message


def test_isotopes_other_units_and_missing_parts_are_refused(tmp_path, text):
    def heavy(data):
        data["primitive_cell"]["points"][0]["mass"] = 24.0

    assert "mass" in refused(tmp_path, changed(text, heavy)).subject

    def bohr(data):
        data["physical_unit"]["length"] = "au"

    assert "'au'" in refused(tmp_path, changed(text, bohr)).message
    assert (
        "no displacements" in refused(tmp_path, changed(text, lambda d: d.pop("dataset"))).message
    )
    without = changed(text, lambda d: d["dataset"].pop("forces"))
    assert "without forces" in refused(tmp_path, without).message
    assert "unit_cell" in refused(tmp_path, "dataset: {}\n").message
    assert "mapping" in refused(tmp_path, "- 1\n").message


def test_code_in_a_file_is_not_run(tmp_path, text):
    refused(tmp_path, text + "\nx: !!python/object/apply:os.system ['touch /tmp/never']\n")


@pytest.mark.parametrize("change", ["atom", "move", "rows", "words", "atoms", "nan"])
def test_forces_that_do_not_belong_to_the_displacements_are_refused(tmp_path, change):
    calc, forces = systematic_set("rocksalt")
    disp_files(tmp_path, calc)
    put_forces(calc, forces)
    path = tmp_path / "FORCES_FC3"
    write_FORCES_FC3(calc.dataset, filename=path)
    whole = path.read_text()
    lines = whole.splitlines()
    edited = {
        "atom": whole.replace("# 1 ", "# 2 "),
        "move": whole.replace("0.0300000000000000", "0.0310000000000000"),
        "rows": "\n".join(lines[:-3]),
        "words": whole.replace(lines[-1], "here it ends"),
        "atoms": "\n".join(lines[: -9 - 2]),
        "nan": whole.replace(lines[-1], "nan 0 0"),
    }[change]
    assert edited != whole
    path.write_text(edited)
    expected = NonFiniteForcesError if change == "nan" else (InconsistentDataError, ParseError)
    with pytest.raises(expected, match="FORCES_FC3"):
        read_displaced_cells(tmp_path)


def test_what_is_no_such_file_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    for path, word in ((tmp_path / "a.txt", "format"), (tmp_path, "0 yaml files")):
        with pytest.raises(ParseError, match=word):
            read_displaced_cells(path)
    with pytest.raises(ParseError, match="cannot be opened"):
        read_displaced_cells(tmp_path / "none.yaml")
    assert read_phonon_cells(tmp_path / "a.txt") is None
    calc, forces = systematic_set("rocksalt")
    disp_files(tmp_path, calc)
    put_forces(calc, forces)
    write_FORCES_FC3(calc.dataset, filename=tmp_path / "FORCES_FC3")
    (tmp_path / "BORN").write_text("14.4\n1 0 0\n")
    with pytest.raises(ParseError, match="BORN"):
        read_displaced_cells(tmp_path)


# ---------------------------------------------------------------- real sets


@pytest.mark.parametrize("name", RANDOM)
def test_real_random_sets_are_what_phono3py_reads(name):
    path = THIRD_ORDER / name
    if not path.exists():
        pytest.skip("no reference data")
    with lzma.open(path, "rt") as stream:
        calc = read_phono3py_yaml(stream)
    cells, larger = read_displaced_cells(path), read_phonon_cells(path)
    check_crystal(cells, calc.primitive, calc.supercell)
    check_crystal(larger, calc.primitive, calc.phonon_supercell)
    same(cells, calc.dataset["displacements"], calc.dataset["forces"])
    same(larger, calc.phonon_dataset["displacements"], calc.phonon_dataset["forces"])
    np.testing.assert_array_equal(cells.energies_ev, calc.dataset["supercell_energies"])
    np.testing.assert_allclose(
        np.linalg.norm(cells.displacements_angstrom, axis=2), 0.03, rtol=1e-9
    )
    assert cells.forces_ev_per_angstrom.sum(axis=1).max() < 1e-5
    assert (cells.n_cells, cells.n_atoms, larger.n_atoms) == (100, 64, 512)
    np.testing.assert_allclose(cells.born_charges_e.sum(axis=0), 0, atol=1e-6)


def test_real_pairs_are_what_phono3py_reads():
    folder = THIRD_ORDER / "Si-PBEsol"
    if not folder.exists():
        pytest.skip("no reference data")
    calc = phono3py.load(
        folder / "phono3py_disp.yaml",
        forces_fc3_filename=folder / "FORCES_FC3.xz",
        produce_fc=False,
        log_level=0,
    )
    forces = [first["forces"] for first in calc.dataset["first_atoms"]]
    for first in calc.dataset["first_atoms"]:
        forces += [second["forces"] for second in first["second_atoms"]]
    cells = read_displaced_cells(folder)
    check_crystal(cells, calc.primitive, calc.supercell)
    same(cells, all_moves(calc), np.array(forces))
    assert (cells.n_cells, cells.n_atoms) == (111, 64)
    assert cells.born_charges_e is None


def test_all_real_sets_are_found():
    if not THIRD_ORDER.exists():
        pytest.skip("no reference data")
    names = [path.name for path in find_displaced_cells(THIRD_ORDER)]
    assert {*RANDOM, "Si-PBEsol"} <= set(names)
