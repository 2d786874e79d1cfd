"""Heat capacities of a file: one value, whatever it is given per and in which unit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from screening.errors import ParseError, SettingError
from screening.units import BOLTZMANN_MEV_PER_K, MEV_TO_JOULE_PER_MOL
from stores.importers.heat_capacities import read_heat_capacities

PUBLISHED = Path(__file__).parents[2] / "../shared/data/alexandria_binary_pbe_cv300.json.gz"
SALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)
IN_UNITS = {"kB": 2.5, "meV/K": 2.5 * BOLTZMANN_MEV_PER_K}
IN_UNITS["J/mol/K"] = IN_UNITS["meV/K"] * MEV_TO_JOULE_PER_MOL


def write(path: Path, *records: object) -> Path:
    path.write_text(json.dumps(records))
    return path


@pytest.mark.parametrize("unit", IN_UNITS)
@pytest.mark.parametrize(("per", "count"), [("cell", 8), ("formula", 2), ("atom", 1)])
def test_one_value_in_all_units_and_normalisations(tmp_path, unit, per, count):
    record = {"structure": SALT.as_dict(), "heat_capacity": count * IN_UNITS[unit], "mp_id": "a"}
    [found] = read_heat_capacities(write(tmp_path / "a.json", record), per, unit).crystals
    expected = 2.5 * BOLTZMANN_MEV_PER_K
    assert found.heat_capacity_mev_per_k_per_atom == pytest.approx(expected, rel=1e-12)
    assert (found.name, found.crystal.formula, found.crystal.n_atoms) == ("a", "NaCl", 2)


def test_broken_records_are_counted_and_no_class_of_a_file_is_loaded(tmp_path):
    structure = SALT.as_dict()
    harmful = json.loads(json.dumps(structure))
    harmful["sites"][0]["properties"] = {"x": {"@module": "nowhere", "@class": "Harm"}}
    records = [
        {"structure": harmful, "heat_capacity": 100.0},
        {"structure": structure},
        {"structure": structure, "heat_capacity": "much"},
        {"structure": {}, "heat_capacity": 1.0},
        3,
    ]
    found = read_heat_capacities(write(tmp_path / "a.json", *records), "cell")
    assert len(found.crystals) == 1
    assert found.left_out == {"NONFINITE_INPUT": 1, "PARSE_ERROR": 3}


def test_what_is_no_list_of_records_is_refused(tmp_path):
    path = tmp_path / "a.json"
    for text in ("{}", "no json"):
        path.write_text(text)
        with pytest.raises(ParseError):
            read_heat_capacities(path, "cell")
    for per, unit in (("mole", "kB"), ("", "kB"), ("cell", "cal/K")):
        with pytest.raises(SettingError):
            read_heat_capacities(path, per, unit)


@pytest.mark.slow
@pytest.mark.skipif(not PUBLISHED.is_file(), reason="without the published data")
def test_published_numbers_are_per_cell():
    limit = 3.0 * BOLTZMANN_MEV_PER_K
    found = read_heat_capacities(PUBLISHED, "cell")
    assert (len(found.crystals), found.left_out) == (567, {})
    assert max(x.heat_capacity_mev_per_k_per_atom for x in found.crystals) < limit
    wrong = read_heat_capacities(PUBLISHED, "formula").crystals
    assert sum(x.heat_capacity_mev_per_k_per_atom > limit for x in wrong) == 470
