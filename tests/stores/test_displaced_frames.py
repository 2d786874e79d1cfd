"""Displaced cells as extxyz of any code, and the folders that the platform writes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase.io import read as ase_read
from phonopy.interface.phonopy_yaml import PhonopyYaml
from pymatgen.core import Lattice, Structure

from screening.anharmonic import DisplacedCells
from screening.atom_order import repeated_positions
from screening.errors import InconsistentDataError, NonFiniteInputError, ParseError
from stores.exporters.displaced_cells import (
    displaced_images,
    supercell_yaml,
    write_displaced_cells,
)
from stores.exporters.extxyz import extxyz_text
from stores.importers.displaced_cells import find_displaced_cells, read_displaced_cells

MATRIX = np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]])
ZINCBLENDE = Structure.from_spacegroup(
    "F-43m", Lattice.cubic(6.07), ["Zn", "Te"], [[0, 0, 0], [0.25, 0.25, 0.25]]
).get_primitive_structure()


@pytest.fixture
def cells() -> DisplacedCells:
    scaled, numbers = repeated_positions(ZINCBLENDE, MATRIX)
    rng = np.random.default_rng(0)
    n = len(numbers)
    charge = np.eye(3) * 2.1
    return DisplacedCells(
        ZINCBLENDE,
        MATRIX,
        scaled,
        numbers,
        0.02 * rng.normal(size=(4, n, 3)),
        rng.normal(size=(4, n, 3)),
        np.zeros((n, 3)),
        rng.normal(size=4),
        np.array([charge, -charge]),
        np.eye(3) * 7.9,
    )


def supercell_of(cells: DisplacedCells) -> Structure:
    return Structure(
        cells.supercell_lattice, cells.supercell_numbers, cells.supercell_scaled_positions
    )


def same(found: DisplacedCells, cells: DisplacedCells) -> None:
    np.testing.assert_allclose(
        found.displacements_angstrom, cells.displacements_angstrom, atol=2e-8
    )
    np.testing.assert_allclose(
        found.forces_ev_per_angstrom, cells.forces_ev_per_angstrom, atol=1e-8
    )


def write(path: Path, images: list) -> Path:
    path.write_text(extxyz_text(images))
    return path


def test_a_written_set_reads_back(tmp_path, cells):
    folder = write_displaced_cells(tmp_path / "set", cells)
    found = read_displaced_cells(folder)
    same(found, cells)
    for name in ("supercell_matrix", "supercell_numbers", "born_charges_e", "dielectric_constant"):
        np.testing.assert_array_equal(getattr(found, name), getattr(cells, name))
    np.testing.assert_array_equal(
        found.supercell_scaled_positions, cells.supercell_scaled_positions
    )
    np.testing.assert_allclose(found.energies_ev, cells.energies_ev, atol=1e-8)
    np.testing.assert_array_equal(found.primitive.lattice.matrix, cells.primitive.lattice.matrix)
    assert find_displaced_cells(tmp_path) == [folder]


def test_residual_forces_are_a_frame_without_displacements(tmp_path, cells):
    residual = np.random.default_rng(1).normal(size=(cells.n_atoms, 3))
    folder = write_displaced_cells(
        tmp_path / "set", replace(cells, residual_forces_ev_per_angstrom=residual)
    )
    found = read_displaced_cells(folder)
    same(found, cells)
    np.testing.assert_allclose(found.residual_forces_ev_per_angstrom, residual, atol=1e-8)
    np.testing.assert_allclose(found.energies_ev, cells.energies_ev, atol=1e-8)


def test_a_plan_has_positions_and_no_forces(tmp_path, cells):
    folder = write_displaced_cells(tmp_path / "plan", cells, with_forces=False)
    frames = ase_read(folder / "cells.extxyz", ":")
    assert [frame.calc for frame in frames] == [None] * 4
    lattice = cells.supercell_lattice
    for frame, moves in zip(frames, cells.displacements_angstrom, strict=True):
        np.testing.assert_allclose(
            frame.positions, cells.supercell_scaled_positions @ lattice + moves, atol=1e-8
        )
    with pytest.raises(InconsistentDataError, match="frame 1: no forces"):
        read_displaced_cells(folder)


def test_phonopy_reads_the_undisplaced_crystal(tmp_path, cells):
    (tmp_path / "supercell.yaml").write_text(supercell_yaml(cells))
    theirs = PhonopyYaml().read(tmp_path / "supercell.yaml")
    np.testing.assert_array_equal(theirs.supercell_matrix, MATRIX.T)
    np.testing.assert_array_equal(theirs.supercell.cell, cells.supercell_lattice)
    assert theirs.primitive.symbols == [site.specie.symbol for site in cells.primitive]
    np.testing.assert_array_equal(theirs.nac_params["born"], cells.born_charges_e)
    assert all(
        isinstance(x, float)
        for row in yaml.safe_load(supercell_yaml(cells))["supercell"]["lattice"]
        for x in row
    )


@pytest.mark.parametrize("given", ["supercell", "primitive", "file"])
def test_atoms_in_another_order_and_image_are_mapped(tmp_path, cells, given):
    rng = np.random.default_rng(2)
    images = displaced_images(cells)
    for index, image in enumerate(images):
        order = rng.permutation(len(image))
        forces, energy = image.get_forces()[order], image.get_potential_energy()
        shuffled = image[order]
        shuffled.positions += rng.integers(-1, 2, size=(len(order), 3)) @ image.cell.array
        shuffled.calc = type(image.calc)(shuffled, forces=forces, energy=energy)
        images[index] = shuffled
    path = write(tmp_path / "other.xyz", images)
    undisplaced = {
        "supercell": supercell_of(cells),
        "primitive": cells.primitive,
        "file": tmp_path / "POSCAR",
    }[given]
    supercell_of(cells).to(filename=str(tmp_path / "POSCAR"), fmt="poscar")
    found = read_displaced_cells(path, supercell=undisplaced)
    same(found, cells)
    np.testing.assert_allclose(found.energies_ev, cells.energies_ev, atol=1e-7)
    assert len(found.primitive) == 2


def test_frames_that_do_not_fit_are_refused(tmp_path, cells):
    images = displaced_images(cells)
    path = write(tmp_path / "frames.extxyz", images)
    with pytest.raises(InconsistentDataError, match="not known"):
        read_displaced_cells(path)
    stretched = cells.primitive.copy()
    stretched.scale_lattice(1.05 * stretched.volume)
    with pytest.raises(InconsistentDataError, match="repeats neither"):
        read_displaced_cells(path, supercell=stretched)
    other = cells.primitive.copy()
    other.replace_species({"Te": "Se"})
    with pytest.raises(InconsistentDataError, match=r"frame 1: 4 atoms of Z=30, 4 atoms of Z=52"):
        read_displaced_cells(path, supercell=other)
    images[2].set_cell(1.01 * images[2].cell.array)
    with pytest.raises(InconsistentDataError, match="frame 3: the cell is"):
        read_displaced_cells(write(tmp_path / "cell.extxyz", images), supercell=cells.primitive)


def test_frames_that_are_damaged_are_refused(tmp_path, cells):
    text = extxyz_text(displaced_images(cells))
    number = text.splitlines()[12].split()[-1]
    (tmp_path / "nan.extxyz").write_text(text.replace(number, "nan"))
    with pytest.raises(NonFiniteInputError, match=r"nan\.extxyz.*frame 2.*forces"):
        read_displaced_cells(tmp_path / "nan.extxyz", supercell=cells.primitive)
    (tmp_path / "cut.extxyz").write_text("\n".join(text.splitlines()[:-2]))
    with pytest.raises(ParseError, match=r"8 atoms announced, 6 lines"):
        read_displaced_cells(tmp_path / "cut.extxyz", supercell=cells.primitive)
    far = displaced_images(cells)
    far[1].positions[3] += 1.0
    with pytest.raises(InconsistentDataError, match=r"frame 2: atom 4 is 1\.\d+ Å"):
        read_displaced_cells(write(tmp_path / "far.extxyz", far), supercell=cells.primitive)
    still = displaced_images(replace(cells, displacements_angstrom=np.zeros((4, 8, 3))))
    with pytest.raises(InconsistentDataError, match="no cell is displaced"):
        read_displaced_cells(write(tmp_path / "still.extxyz", still), supercell=cells.primitive)
    with pytest.raises(InconsistentDataError, match="shapes"):
        displaced_images(replace(cells, forces_ev_per_angstrom=np.zeros((4, 7, 3))))
