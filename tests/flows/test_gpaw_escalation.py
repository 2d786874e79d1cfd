"""One command, two crystals, a real escalation to GPAW."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec

import pytest
from pymatgen.core import Lattice, Structure

from stores.connect import open_database

pytestmark = [
    pytest.mark.skipif(find_spec("gpaw") is None, reason="GPAW is not installed"),
]

GPAW = (
    "gpaw(ecut_ev=200, relaxation_ecut_ev=200, kpoint_spacing_per_angstrom=0.6, "
    "density_tolerance=1e-5)"
)
SMALL = {
    "relaxation": None,
    "phonons": {"supercell": {"min_length_angstrom": 4.0, "min_atoms": 8, "max_atoms": 8}},
}


@pytest.fixture
def folder(tmp_path):
    """Silicon, which is like what was calibrated, and aluminium, which is not."""
    silicon = Structure.from_spacegroup("Fd-3m", Lattice.cubic(5.47), ["Si"], [[0, 0, 0]])
    aluminium = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.05), ["Al"], [[0, 0, 0]])
    (tmp_path / "crystals").mkdir()
    silicon.to(filename=str(tmp_path / "crystals" / "Si.cif"))
    aluminium.to(filename=str(tmp_path / "crystals" / "Al.cif"))
    (tmp_path / "dft.json").write_text(json.dumps(SMALL))
    return tmp_path


def phonoscreen(uri, *arguments):
    program = shutil.which("phonoscreen") or f"{sys.prefix}/bin/phonoscreen"
    command = [program, "--db", uri, *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_the_potential_cannot_settle_goes_to_gpaw(folder):
    uri = f"sqlite:///{folder}/screen.db"
    asked = ["--calculator", "chgnet", "--question", "free-energy", "--tolerance", "60"]
    asked += ["--fallback", GPAW]
    asked += ["--fallback-settings", str(folder / "dft.json"), "--workers", "1"]
    report = phonoscreen(uri, "screen", str(folder / "crystals"), *asked)
    with open_database(uri) as database:
        names = {
            row["formula_reduced"]: row["material_id"] for row in database.structures.query({})
        }
        tiers = {
            row["formula_reduced"]: (row["tier"], row["model"])
            for row in database.vibrational.query({})
        }
        assert tiers["Si"] == (1, "chgnet:0.3.0")
        assert tiers["Al"] == (3, "gpaw:PBE")
        phonons = list(database.phonons.query({"material_id": names["Al"]}))
        models = {one["provenance"]["model"] for one in phonons}
        assert models == {"chgnet:0.3.0", "gpaw:PBE"}
        decisions = list(database.decisions.query({"material_id": names["Al"]}))
        assert {(one["tier"], one["outcome"], one["reason"]) for one in decisions} == {
            (1, "escalate", "out_of_domain"),
            (3, "accept", "reference_method"),
        }
        n_calls = database.forces.count({})
        assert n_calls >= 2
    assert report["n_calculations"] == 1
    trail = phonoscreen(uri, "why", names["Al"])
    assert [one["tier"] for one in trail["predictions"]] == [1, 3]
    again = phonoscreen(uri, "screen", *asked)
    assert again["n_calculations"] == 0
    with open_database(uri) as database:
        assert database.forces.count({}) == n_calls
