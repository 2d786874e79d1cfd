"""Frames with forces: whatever wrote them, and nothing that is not there."""

from __future__ import annotations

import numpy as np
import pytest

from screening.errors import (
    ForcesExplodedError,
    InconsistentDataError,
    NonFiniteInputError,
    ParseError,
)
from screening.network_potential.labelled_cells import LabelledCell
from stores.exporters.extxyz import extxyz_text
from stores.exporters.labelled_cells import labelled_images
from stores.importers.labelled_frames import read_labelled_frames

LATTICE = 'Lattice="4 0 0 0 4 0 0 0 4"'
FORCES = "Properties=species:S:1:pos:R:3:forces:R:3"
ROWS = ["Na 0 0 0 0.1 0.2 0.3", "Cl 2 2 2 -0.1 -0.2 -0.3"]


def read(tmp_path, comment, rows=ROWS, name="cells.extxyz"):
    path = tmp_path / name
    path.write_text("\n".join([str(len(rows)), f"{LATTICE} {comment}", *rows, ""]))
    return list(read_labelled_frames(path))


def labelled_cell():
    rng = np.random.default_rng(0)
    stress = rng.normal(size=(3, 3))
    return LabelledCell(
        material_id="ps-0123456789abcdef",
        group="NaCl",
        numbers=np.array([11, 17]),
        cell_angstrom=4.0 * np.eye(3) + 0.1 * rng.normal(size=(3, 3)),
        positions_angstrom=rng.normal(size=(2, 3)),
        forces_ev_per_angstrom=rng.normal(size=(2, 3)),
        energy_ev=-7.25,
        stress_ev_per_angstrom3=stress + stress.T,
        pair="2",
        source="DFT of somebody",
    )


def test_what_is_written_is_read_back(tmp_path):
    cell = labelled_cell()
    path = tmp_path / "cells.extxyz"
    path.write_text(extxyz_text(labelled_images([cell])))
    [frame] = read_labelled_frames(path)
    np.testing.assert_array_equal(frame.numbers, cell.numbers)
    for name, tolerance in (
        ("cell_angstrom", 1e-12),
        ("positions_angstrom", 1e-8),
        ("forces_ev_per_angstrom", 1e-8),
        ("stress_ev_per_angstrom3", 1e-12),
    ):
        np.testing.assert_allclose(getattr(frame, name), getattr(cell, name), atol=tolerance)
    assert frame.energy_ev == pytest.approx(cell.energy_ev, abs=1e-12)
    assert (frame.material_id, frame.pair, frame.source) == (
        cell.material_id,
        cell.pair,
        cell.source,
    )


def test_forces_alone_are_enough(tmp_path):
    [frame] = read(tmp_path, FORCES)
    assert frame.energy_ev is None
    assert frame.stress_ev_per_angstrom3 is None
    assert (frame.formula, frame.material_id, frame.source) == ("NaCl", None, "")
    np.testing.assert_array_equal(frame.forces_ev_per_angstrom[0], [0.1, 0.2, 0.3])


def test_the_names_that_potentials_are_trained_on(tmp_path):
    """Voigt's order: xx yy zz yz xz xy."""
    comment = (
        "Properties=species:S:1:pos:R:3:REF_forces:R:3 REF_energy=-3.5"
        ' REF_stress="1 2 3 4 5 6" calculator=PBE'
    )
    [frame] = read(tmp_path, comment)
    assert frame.energy_ev == pytest.approx(-3.5)
    np.testing.assert_array_equal(frame.stress_ev_per_angstrom3, [[1, 6, 5], [6, 2, 4], [5, 4, 3]])
    assert frame.source == "PBE"


def test_names_of_other_databases_are_no_crystals_of_ours(tmp_path):
    [frame] = read(tmp_path, f'{FORCES} material_id=mp-149 rattling="x"')
    assert frame.material_id is None
    assert frame.rattling is None


@pytest.mark.parametrize(
    ("comment", "rows", "error", "said"),
    [
        ("Properties=species:S:1:pos:R:3", ["Na 0 0 0"], InconsistentDataError, "no forces"),
        (FORCES, ["Na 0 0 0 0 nan 0"], NonFiniteInputError, r"forces is not finite: nan at \(1, 2"),
        (FORCES, ["Na 0 0 0 0 0 -inf"], NonFiniteInputError, r"-inf at \(1, 3"),
        (FORCES, ["Na 0 0 0 0 0 5142.2"], ForcesExplodedError, "5142"),
        (f"{FORCES} energy=nan", ROWS, NonFiniteInputError, "energy is nan"),
        (f'{FORCES} stress="1 2"', ROWS, ParseError, "info item stress"),
        (f'{FORCES} REF_stress="1 2"', ROWS, ParseError, "stress has shape"),
        (f'{FORCES} REF_stress="1 2 3 4 5 inf"', ROWS, NonFiniteInputError, "inf at"),
        (
            f"{FORCES} material_id=ps-0123456789abcdef rattling=3",
            ROWS,
            ParseError,
            "rattling cannot be read",
        ),
        (
            f'{FORCES} material_id=ps-0123456789abcdef rattling="[[[[[1]]]]]"',
            ROWS,
            ParseError,
            "nested more than",
        ),
    ],
)  # fmt: skip
def test_a_bad_frame_says_file_frame_and_value(tmp_path, comment, rows, error, said):
    path = tmp_path / "cells.extxyz"
    good = ["2", f"{LATTICE} {FORCES}", *ROWS]
    bad = [str(len(rows)), f"{LATTICE} {comment}", *rows]
    path.write_text("\n".join([*good, *bad, *good, ""]))
    first, second, third = read_labelled_frames(path)
    assert first.formula == third.formula == "NaCl"
    assert isinstance(second, error)
    assert second.subject.startswith("cells.extxyz, frame 2")
    assert second.hint
    with pytest.raises(error, match=said):
        raise second


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ParseError, match=r"nowhere\.xyz"):
        list(read_labelled_frames(tmp_path / "nowhere.xyz"))
    with pytest.raises(ParseError, match="tells no format"):
        list(read_labelled_frames(tmp_path / "cells.json"))
