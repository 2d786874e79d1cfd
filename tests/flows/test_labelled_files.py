"""Cells handed out and taken back: the same cells, or a refusal that says where and what."""

import numpy as np
import pytest
from ase.calculators import emt
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

from flows.catalogue import crystal_of
from flows.labelled_files import (
    import_cells,
    read_cell_files,
    write_labelled_cells,
    write_unlabelled_cells,
)
from flows.labelling import label_crystal, labelling_calculator
from flows.labelling_settings import LabellingSettings, rattling_to
from screening.errors import InconsistentDataError, NotFoundError, ScreeningError, SettingError
from screening.network_potential.rattling import RattlingSettings
from stores.connect import open_database
from stores.labelled_cells import cell_sets_where

RATTLING = RattlingSettings(n_cells=2, min_length_angstrom=4.0, max_atoms=16)


@pytest.fixture
def database(uri, names):
    del names
    with open_database(uri) as opened:
        yield opened


def computed(atoms, **kept):
    """Return a frame with what the effective-medium potential finds for it."""
    atoms = atoms.copy()
    atoms.calc = emt.EMT()
    found = {
        "energy": atoms.get_potential_energy(),
        "forces": atoms.get_forces(),
        "stress": atoms.get_stress(),
    }
    atoms.calc = SinglePointCalculator(atoms, **found | kept)
    return atoms


@pytest.fixture
def frames(database, names, tmp_path):
    """Cells of two crystals, as another program got them."""
    file = tmp_path / "todo.extxyz"
    count, refused = write_unlabelled_cells(database, names[:2], RATTLING, file)
    assert (count, refused) == (4, [])
    return read(file, ":")


def returned(frames, tmp_path, name="done.extxyz"):
    write(tmp_path / name, frames)
    return tmp_path / name


def test_what_comes_back_is_what_labelling_here_gives(database, names, frames, tmp_path):
    wrapped = [computed(one) for one in frames]
    for one in wrapped:  # as programs do
        one.wrap()
    done = import_cells(database, [returned(wrapped, tmp_path)], "EMT elsewhere")
    assert (done.n_frames, done.n_new, done.n_matched) == (4, 4, 4)
    assert done.sources == {"EMT elsewhere": 4}
    assert done.rejections == ()
    calculator = labelling_calculator("ase.calculators.emt.EMT")
    found = {one.material_id: one for one in cell_sets_where(database, {})}
    assert set(found) == set(names[:2])
    for name, one in found.items():
        here = label_crystal(crystal_of(database, name), calculator, LabellingSettings(RATTLING))
        np.testing.assert_array_equal(one.positions_angstrom, here.positions_angstrom)
        assert one.pairs == here.pairs
        assert one.settings["rattling"] == rattling_to(RATTLING)
        for values, expected in zip(
            (one.energies_ev, one.forces_ev_per_angstrom, one.stresses_ev_per_angstrom3),
            (here.energies_ev, here.forces_ev_per_angstrom, here.stresses_ev_per_angstrom3),
            strict=True,
        ):
            np.testing.assert_allclose(values, expected, atol=2e-6)  # eight digits in the file


def test_the_same_files_again_change_nothing_and_late_cells_are_added(database, frames, tmp_path):
    whole = [computed(one) for one in frames]
    first = returned([whole[0], whole[2]], tmp_path, "first.extxyz")
    rest = returned(whole, tmp_path)
    assert import_cells(database, [first], "EMT").n_new == 2
    assert import_cells(database, [rest], "EMT").n_new == 2
    assert import_cells(database, [rest], "EMT").n_new == 0
    assert [len(one.pairs) for one in cell_sets_where(database, {})] == [2, 2]


def test_what_is_written_trains_others_and_comes_back(database, frames, tmp_path):
    import_cells(database, [returned([computed(one) for one in frames], tmp_path)], "EMT")
    cells = [cell for one in cell_sets_where(database, {}) for cell in one.labelled()]
    written = write_labelled_cells(cells, tmp_path / "all.extxyz")
    again = read_cell_files(database, [written])
    found = [cell for one in again.sets for cell in one.labelled()]
    assert again.rejections == ()
    assert {cell.source for cell in found} == {"EMT"}
    for one, other in zip(
        sorted(cells, key=lambda cell: cell.energy_ev),
        sorted(found, key=lambda cell: cell.energy_ev),
        strict=True,
    ):
        assert one.material_id == other.material_id
        np.testing.assert_allclose(
            one.forces_ev_per_angstrom, other.forces_ev_per_angstrom, atol=1e-8
        )


def test_cells_of_no_stored_crystal_are_cells_of_their_formula(database, frames, tmp_path):
    frame = computed(frames[0])
    frame.info = {}
    done = import_cells(database, [returned([frame], tmp_path)])
    assert (done.n_new, done.n_matched) == (1, 0)
    assert done.sources == {"done.extxyz": 1}
    [found] = cell_sets_where(database, {})
    assert found.material_id is None
    assert found.labelled()[0].group == frame.get_chemical_formula(empirical=True)


def test_cells_of_a_stored_crystal_that_were_displaced_elsewhere(database, names, frames, tmp_path):
    frame = computed(frames[0])
    frame.positions += 0.3
    frame.info = {"material_id": names[0], "energy": frame.info.get("energy")}
    frame = computed(frame)
    frame.info = {"material_id": names[0]}
    import_cells(database, [returned([frame], tmp_path)])
    [found] = cell_sets_where(database, {})
    assert found.material_id == names[0]
    np.testing.assert_allclose(found.positions_angstrom[0], frame.positions, atol=1e-8)


def moved(frame):
    frame.positions[3] += [0.1, 0.0, 0.0]


def swapped(frame):
    frame.numbers[2] = 79


def strained(frame):
    frame.set_cell(1.01 * frame.cell.array, scale_atoms=True)


def repeated(frame):
    frame.info["cell"] = 3


def unnumbered(frame):
    del frame.info["cell"]


def other_settings(frame):
    frame.info["rattling"] = '{"n_cells": -2}'


def other_crystal(frame):
    frame.info["material_id"] = "ps-ffffffffffffffff"


def other_formula(frame):
    del frame.info["rattling"]
    frame.numbers[:] = 79


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (moved, InconsistentDataError, r"atom 4 is 0\.1000 Å away from its place"),
        (swapped, InconsistentDataError, "atom 3 is Au instead of A"),
        (strained, InconsistentDataError, "lattice vectors is off by 0"),
        (repeated, InconsistentDataError, "cell 3 of 2"),
        (unnumbered, InconsistentDataError, "cell None of 2"),
        (other_settings, SettingError, "rattling: -2 cells"),
        (other_crystal, NotFoundError, "ps-ffffffffffffffff is not stored here"),
        (other_formula, InconsistentDataError, "atoms of Au, and ps-"),
    ],
)
def test_a_frame_that_is_not_what_it_says_is_refused(
    database, frames, tmp_path, change, error, said
):
    frame = frames[1].copy()
    change(frame)
    file = returned([computed(frames[0]), computed(frame)], tmp_path)
    done = import_cells(database, [file])
    assert done.n_new == 1
    [refused] = done.rejections
    assert isinstance(refused, error)
    assert refused.subject == "done.extxyz, frame 2"
    assert refused.hint
    with pytest.raises(error, match=said):
        raise refused


def test_a_file_that_is_none_stops_before_anything_is_written(database, frames, tmp_path):
    good = returned([computed(one) for one in frames], tmp_path)
    bad = tmp_path / "bad.extxyz"
    bad.write_bytes(b"\x00\xff\x00")
    with pytest.raises(ScreeningError, match=r"bad\.extxyz"):
        import_cells(database, [good, bad])
    assert database.labelled_cells.count() == 0


def test_crystals_whose_cells_cannot_be_made_are_named(database, names, tmp_path):
    tight = RattlingSettings(n_cells=2, min_length_angstrom=4.0, max_atoms=1)
    count, refused = write_unlabelled_cells(database, names, tight, tmp_path / "todo.extxyz")
    assert count + 2 * len(refused) == 2 * len(names)
