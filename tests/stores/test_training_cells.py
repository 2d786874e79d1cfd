"""Cells of one source: labelled ones, those of formulas, and displaced cells of phonons."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from screening.anharmonic import DisplacedCells
from screening.digest import digest_of
from screening.errors import TrainingSetError
from screening.prediction import ForceData
from stores.labelled_cells import CellSet, store_cell_set
from stores.training_cells import cells_of_displaced, cells_of_forces, stored_cells

SALT = Structure(Lattice.cubic(4.0), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3])


def store(database, material_id, calculator="chgnet:0.3.0", digest="", seed=0, **settings):
    rng = np.random.default_rng(seed)
    return store_cell_set(
        database,
        CellSet(
            material_id=material_id,
            structure_digest=None if material_id is None else digest_of(material_id),
            numbers=np.array([11, 17]),
            cells_angstrom=4.0 * np.eye(3)[None],
            positions_angstrom=rng.normal(size=(1, 2, 3)),
            forces_ev_per_angstrom=rng.normal(size=(1, 2, 3)),
            calculator=calculator,
            calculator_digest=digest or digest_of(calculator),
            settings={"quantities": ["forces"], **settings},
        ),
    )


def test_the_only_source_needs_no_name(database):
    store(database, "ps-a")
    store(database, "ps-b", seed=1)
    store(database, "ps-other", seed=2)
    found = stored_cells(database, ["ps-a", "ps-b", "ps-none"])
    assert [cell.material_id for cell in found.cells] == ["ps-a", "ps-b"]
    assert found.source == "chgnet:0.3.0"
    assert found.n_from_phonons == 0
    assert stored_cells(database, ["ps-none"]).cells == ()


def test_two_sources_do_not_mix(database):
    store(database, "ps-a")
    store(database, "ps-a", calculator="gpaw(ecut_ev=400)")
    with pytest.raises(TrainingSetError) as caught:
        stored_cells(database, ["ps-a"])
    assert "chgnet:0.3.0 (1), gpaw(ecut_ev=400) (1)" in caught.value.message
    assert "--source" in caught.value.hint
    [cell] = stored_cells(database, ["ps-a"], "gpaw(ecut_ev=400)").cells
    assert cell.source == "gpaw(ecut_ev=400)"


def test_two_versions_of_one_name_do_not_mix(database):
    store(database, "ps-a", digest="a" * 64)
    store(database, "ps-b", digest="b" * 64)
    with pytest.raises(TrainingSetError, match=r"chgnet:0\.3\.0@aaaaaaaaaaaa"):
        stored_cells(database, ["ps-a", "ps-b"])
    [cell] = stored_cells(database, ["ps-a", "ps-b"], "chgnet:0.3.0@bbbb").cells
    assert cell.material_id == "ps-b"


def test_a_name_that_labelled_nothing_is_told_of_the_others(database):
    store(database, "ps-a")
    with pytest.raises(TrainingSetError, match="by nobody") as caught:
        stored_cells(database, ["ps-a"], "nobody")
    assert "chgnet:0.3.0 (1)" in caught.value.hint


def test_cells_of_a_formula_come_along_where_they_are_asked_for(database):
    given = {"calculator": "PBE", "digest": digest_of({"given": "PBE"})}
    store(database, None, **given)
    assert stored_cells(database, ["ps-a"]).cells == ()
    [cell] = stored_cells(database, ["ps-a"], others={}).cells
    assert cell.group == "NaCl"
    assert cell.material_id.startswith("NaCl-")


def test_atoms_in_the_same_places_are_learned_once(database):
    store(database, "ps-a")
    store(database, "ps-a", n_cells=2)  # asked for again with another number of cells
    store(database, "ps-b", seed=1)
    found = stored_cells(database, ["ps-a", "ps-b"])
    assert [cell.material_id for cell in found.cells] == ["ps-a", "ps-b"]
    assert found.left_out == {"labelled before, with the atoms in the same places": 1}


def test_broken_cells_are_left_out_and_named(database):
    store(database, "ps-a")
    store(database, "ps-b", seed=1)
    [row] = database.labelled_cells.query({"material_id": "ps-a"})
    database.labelled_cells.update(row | {"n_cells": 7})
    found = stored_cells(database, ["ps-a", "ps-b"])
    assert [cell.material_id for cell in found.cells] == ["ps-b"]
    [(reason, count)] = found.left_out.items()
    assert "CORRUPT_DATA" in reason
    assert count == 1


def test_displacements_there_and_back_are_pairs():
    steps = np.array([[0.03, 0, 0], [0, 0.03, 0], [-0.03, 0, 0], [-0.03, 0, 0]])
    forces = ForceData(
        primitive=SALT,
        supercell_matrix=np.diag([2, 1, 1]),
        supercell_scaled_positions=np.array(
            [[0, 0, 0], [0.25, 0.5, 0.5], [0.5, 0, 0], [0.75, 0.5, 0.5]]
        ),
        supercell_numbers=np.array([11, 17, 11, 17]),
        displaced_atoms=np.array([0, 0, 0, 1]),
        displacements_angstrom=steps,
        forces_ev_per_angstrom=np.arange(48.0).reshape(4, 4, 3),
        residual_forces_ev_per_angstrom=np.zeros((4, 3)),
    )
    cells = cells_of_forces(forces, "ps-a", "chgnet")
    assert [cell.pair for cell in cells] == ["displaced 0", "", "displaced 0", ""]
    again = cells_of_forces(forces, "ps-a", "chgnet", "relaxed")  # a second prediction
    assert [cell.pair for cell in again] == ["relaxed displaced 0", "", "relaxed displaced 0", ""]
    rest = np.array([[0.0, 0, 0], [2, 2, 2], [4, 0, 0], [6, 2, 2]])
    for cell, atom, step, own in zip(
        cells, forces.displaced_atoms, steps, forces.forces_ev_per_angstrom, strict=True
    ):
        expected = rest.copy()
        expected[atom] += step
        np.testing.assert_allclose(cell.positions_angstrom, expected, atol=1e-12)
        np.testing.assert_array_equal(cell.forces_ev_per_angstrom, own)
        assert (cell.group, cell.energy_ev) == ("NaCl", None)


def test_cells_with_all_atoms_displaced_keep_their_energies():
    rng = np.random.default_rng(0)
    moves, own = rng.normal(size=(2, 2, 3)), rng.normal(size=(2, 2, 3))
    given = DisplacedCells(
        primitive=SALT,
        supercell_matrix=np.eye(3, dtype=np.int64),
        supercell_scaled_positions=np.array([[0.0, 0, 0], [0.5, 0.5, 0.5]]),
        supercell_numbers=np.array([11, 17]),
        displacements_angstrom=moves,
        forces_ev_per_angstrom=own,
        residual_forces_ev_per_angstrom=np.zeros((2, 3)),
        energies_ev=np.array([-1.0, -2.0]),
    )
    cells = cells_of_displaced(given, "ps-a", "gpaw")
    assert [cell.energy_ev for cell in cells] == [-1.0, -2.0]
    rest = np.array([[0.0, 0, 0], [2, 2, 2]])
    np.testing.assert_allclose(cells[1].positions_angstrom, rest + moves[1], atol=1e-12)
