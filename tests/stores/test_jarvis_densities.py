"""Densities of states as JARVIS hands them out: points, normalisation, broken records."""

from __future__ import annotations

import gzip
import json
import zipfile

import numpy as np
import pytest

from screening.errors import ParseError
from screening.network_dos.grid import PAPER_GRID
from screening.network_dos.labels import label_of_density
from screening.units import THZ_TO_INVERSE_CM
from stores.importers.jarvis_densities import read_jarvis_densities

ATOMS = {
    "lattice_mat": [[0, 2.82, 2.82], [2.82, 0, 2.82], [2.82, 2.82, 0]],
    "coords": [[0, 0, 0], [0.5, 0.5, 0.5]],
    "elements": ["Na", "Cl"],
    "cartesian": False,
}


def bump(points_inverse_cm, centre):
    return np.exp(-0.5 * ((points_inverse_cm - centre) / 30.0) ** 2).tolist()


def record(name, density, **more):
    return {"jid": name, "atoms": ATOMS, "pdos_elast": density, **more}


PAPER = np.linspace(-300.0, 1000.0, 66)


@pytest.fixture
def write(tmp_path):
    def to(values, name="edos_pdos.json"):
        path, data = tmp_path / name, json.dumps(values).encode()
        if name.endswith(".zip"):
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("edos.json", data)
        else:
            path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return to


@pytest.mark.parametrize("name", ["a.json", "a.json.gz", "a.json.zip"])
@pytest.mark.parametrize("points", [PAPER, np.linspace(0, 1000, 201), np.linspace(0, 1000, 200)])
def test_the_number_of_points_says_where_they_are(write, name, points):
    [found] = read_jarvis_densities(write([record("JVASP-1", bump(points, 200.0))], name)).records
    assert found.material_id == "JVASP-1"
    assert found.structure.composition.reduced_formula == "NaCl"
    label = label_of_density(
        found.structure, found.frequencies_thz, found.density_per_thz, "x", PAPER_GRID
    )
    assert label.histogram.sum() == pytest.approx(6.0)
    mean = label.histogram @ PAPER_GRID.centres_thz / 6.0
    assert mean * THZ_TO_INVERSE_CM == pytest.approx(200.0, abs=0.5)


def test_points_may_be_given(write):
    points = np.linspace(0.0, 600.0, 31)
    path = write([record("a", bump(points, 300.0), frequencies=points.tolist())])
    [found] = read_jarvis_densities(path).records
    assert found.frequencies_thz[-1] * THZ_TO_INVERSE_CM == pytest.approx(600.0)


def test_broken_records_do_not_stop_the_others(write):
    good = bump(PAPER, 200.0)
    disorder = {**ATOMS, "elements": ["Na", "Xx"]}
    values = [
        record("na", "na"),
        record("cut off", bump(PAPER, 1000.0)),
        record("empty", [0.0] * 66),
        record("odd", good[:50]),
        {"jid": "bare", "pdos_elast": good},
        {"jid": "unknown", "atoms": disorder, "pdos_elast": good},
        "no record",
        record("fine", good),
    ]
    found = read_jarvis_densities(write(values))
    assert [one.material_id for one in found.records] == ["fine"]
    assert sum(found.left_out.values()) == 7
    assert found.left_out["PARSE_ERROR"] == 4


@pytest.mark.parametrize("content", [b"{", b'{"a": 1}', b"\xff"])
def test_a_file_that_is_no_list_is_refused(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(ParseError):
        read_jarvis_densities(path)
