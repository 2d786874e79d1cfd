"""Displaced cells on the command line: planned, computed by another program, fitted, stored."""

import json
import sys
from pathlib import Path

import pytest
from ase.calculators.emt import EMT
from ase.io import read, write
from pymatgen.core import Lattice, Structure

from flows.cli import ExitCode, main
from flows.tables import payload_fields
from stores.connect import open_database

NACL = Path(__file__).parents[3] / "shared/data/third_order/NaCl-random-displacements.yaml.xz"
HEADS = {"payload", "payload_version"}


@pytest.fixture(scope="module")
def copper(tmp_path_factory):
    """A crystal, and its cells with forces of effective-medium theory."""
    folder = tmp_path_factory.mktemp("copper")
    cell = Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.59), ["Cu"], [[0, 0, 0]])
    cell.to(folder / "Cu.cif")
    with pytest.MonkeyPatch.context() as patch:
        arguments = ["gp", "plan", str(folder / "Cu.cif"), "--cells", "2", "--supercell", "3 3 3"]
        patch.setattr(sys, "argv", ["phonoscreen", *arguments, "-o", str(folder / "cells")])
        with pytest.raises(SystemExit) as end:
            main()
    assert not end.value.code
    frames = read(folder / "cells" / "cells.extxyz", ":")
    for frame in frames:
        frame.calc = EMT()
        frame.get_forces()
    write(folder / "forces.extxyz", frames)
    return folder


@pytest.fixture
def files(copper):
    return (copper / "forces.extxyz", "--supercell", copper / "cells" / "supercell.yaml")


def of_one(payload, kind):
    assert payload["payload"] == kind
    assert set(payload) - HEADS == set(payload_fields(kind))
    assert all(payload_fields(kind).values())
    return payload


def test_plan_says_what_to_do_next(phonoscreen, copper, tmp_path):
    command = ("gp", "plan", copper / "Cu.cif", "--supercell", "3 3 3", "-o", tmp_path / "a b")
    code, out, _ = phonoscreen(*command)
    assert code == ExitCode.DONE
    for said in ("27 atoms", "unknowns per equation", "gp fit", "supercell.yaml"):
        assert said in out
    code, out, _ = phonoscreen(*command, "--order", 2, "--cells", 3, "--json")
    payload = of_one(json.loads(out), "gp-plan")
    assert payload["n_cells"] == 3
    assert payload["displacement_angstrom"] == pytest.approx(0.03)
    assert all(Path(name).is_file() for name in payload["written"])


def test_fit_tells_what_was_learned_and_stores_it(phonoscreen, uri, files, tmp_path):
    options = ("--order", 2, "--source", "EMT PBE", "--temperatures", "300,1000")
    code, out, err = phonoscreen("gp", "fit", *files, *options, "-o", tmp_path / "files")
    assert code == ExitCode.DONE
    for said in ("Cu Fm-3m", "2, all atoms displaced", "order 2", "meV/Å", "interval (90%)"):
        assert said in out
    assert "phonoscreen show" in err
    assert {path.name for path in (tmp_path / "files").iterdir()} == {
        "Cu-phonopy.yaml",
        "Cu-phono3py",
    }
    code, out, _ = phonoscreen("gp", "fit", *files, *options, "--json")
    payload = of_one(json.loads(out), "gp-fit")
    free = next(x for x in payload["quantities"] if x["name"] == "free_energy_300k_mev_per_atom")
    assert free["lower"] < free["value"] < free["upper"]
    assert payload["verdict"] == "stable"
    with open_database(uri) as database:
        [row] = database.predictions.query({})
    assert row["material_id"] == payload["material_id"]
    assert row["provenance"]["method"] == "given-cells"
    # the crystal is planned from the database as well
    plan = ("gp", "plan", "--material", payload["material_id"], "--order", 2)
    assert phonoscreen(*plan, "--supercell", "2 2 2", "-o", tmp_path / "more")[0] == ExitCode.DONE


def test_without_a_database_that_is_named_nothing_is_stored(capfd, monkeypatch, tmp_path, files):
    monkeypatch.setenv("PHONOSCREEN_DB", f"sqlite:///{tmp_path}/silent.db")
    for named in ((), ("--db", f"sqlite:///{tmp_path}/named.db")):
        arguments = map(str, ("gp", "fit", *files, "--order", 2, "--json", *named))
        monkeypatch.setattr(sys, "argv", ["phonoscreen", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code
        payload = json.loads(capfd.readouterr().out)
        assert bool(payload["material_id"]) == bool(named)
    assert not (tmp_path / "silent.db").exists()
    assert (tmp_path / "named.db").exists()


def test_kappa_of_files_and_of_what_is_stored(phonoscreen, files):
    options = ("--mesh", 3, 3, 3, "--samples", 2, "--temperatures", "300,600")
    code, out, err = phonoscreen("gp", "kappa", *files, *options, "--json")
    assert code == ExitCode.DONE, err
    payload = of_one(json.loads(out), "gp-kappa")
    assert payload["mesh"] == [3, 3, 3]
    assert payload["temperatures_k"] == [300.0, 600.0]
    first, second = payload["mean_w_per_m_k"]
    assert first > second > 0.0
    assert payload["lower_w_per_m_k"][0] < first < payload["upper_w_per_m_k"][0]
    code, out, _ = phonoscreen("gp", "kappa", "-m", payload["material_id"], *options)
    assert code == ExitCode.DONE
    assert "W/m/K" in out
    assert "relaxation times, mesh 3 x 3 x 3" in out
    again = phonoscreen("gp", "kappa", "-m", payload["material_id"], *options, "--json")[1]
    assert json.loads(again)["mean_w_per_m_k"] == pytest.approx([first, second])
    _, out, _ = phonoscreen("query", "--json")
    [summary] = json.loads(out)["materials"]
    assert summary["thermal_conductivity_300k_w_per_m_k"] == pytest.approx(first)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("plan",), ExitCode.WRONG_USAGE, "give a file with a crystal"),
        (("plan", "CIF", "--supercell", "2"), ExitCode.WRONG_USAGE, "'2' is no supercell"),
        (("plan", "CIF", "--displacement", 1), ExitCode.WRONG_USAGE, "out of range"),
        (("plan", "CIF", "--order", 4), ExitCode.WRONG_USAGE, "no order that can be fitted"),
        (("plan", "-m", "nothing"), ExitCode.DATABASE, "no such database"),
        (("fit",), ExitCode.WRONG_USAGE, "no file is given"),
        (("fit", "missing.yaml"), ExitCode.NOTHING_USABLE, "missing.yaml"),
        (("fit", "FORCES"), ExitCode.NOTHING_USABLE, "undisplaced supercell"),
        (("fit", "FILES", "--cells", 9), ExitCode.WRONG_USAGE, "9 of 2 cells"),
        (("fit", "FILES", "--prior", "gpow"), ExitCode.WRONG_USAGE, "names no calculator"),
        (("fit", "FILES", "--temperatures", "x"), ExitCode.WRONG_USAGE, "no temperature grid"),
        (("fit", "FILES", "--temperatures", "9000"), ExitCode.WRONG_USAGE, "beyond 0 to 1500 K"),
        (("kappa",), ExitCode.WRONG_USAGE, "give files with displaced cells"),
        (("kappa", "FILES", "-m", "x"), ExitCode.WRONG_USAGE, "give files with displaced cells"),
        (("kappa", "FILES", "--method", "fast"), ExitCode.WRONG_USAGE, "'fast' is no method"),
        (("kappa", "FILES", "--temperatures", "0,300"), ExitCode.WRONG_USAGE, "positive"),
    ],
)
def test_wrong_usage_is_named(phonoscreen, copper, files, arguments, code, said):
    known = {"CIF": (copper / "Cu.cif",), "FORCES": files[:1], "FILES": files}
    given = [part for one in arguments for part in known.get(one, (one,))]
    found, _, err = phonoscreen("gp", *given)
    assert found == code
    assert said in " ".join(err.split())


def test_cells_without_forces_are_refused_with_the_next_step(phonoscreen, copper):
    code, _, err = phonoscreen("gp", "fit", copper / "cells")
    assert code == ExitCode.NOTHING_USABLE
    assert "no forces" in err


@pytest.mark.skipif(not NACL.exists(), reason="third-order data are not here")
def test_one_cell_of_salt_is_enough_for_its_harmonic_crystal(phonoscreen):
    quick = ("--order", 2, "--source", "PBE", "--cells", 1)
    payload = json.loads(phonoscreen("gp", "fit", NACL, *quick, "--json")[1])
    free = next(x for x in payload["quantities"] if x["name"] == "free_energy_300k_mev_per_atom")
    assert free["value"] == pytest.approx(-31.7, abs=0.2)
    assert free["upper"] - free["lower"] < 1.0
    assert payload["unknowns_per_equation"] < 0.2


@pytest.mark.slow
@pytest.mark.skipif(not NACL.exists(), reason="third-order data are not here")
def test_one_cell_of_salt_gives_its_conductivity(phonoscreen):
    """The fit to all 100 cells gives 8.13 W/m/K on the same mesh."""
    options = ("--mesh", 9, 9, 9, "--temperatures", "300", "--samples", 4, "--cells", 1)
    arguments = ("gp", "kappa", NACL, *options, "--json")
    payload = json.loads(phonoscreen(*arguments, "--no-phonon-supercell")[1])
    assert payload["lower_w_per_m_k"][0] < 8.13 < payload["upper_w_per_m_k"][0]
    # the file also has forces of two supercells of 512 atoms
    payload = json.loads(phonoscreen(*arguments)[1])
    assert any("supercell of 512 atoms" in one for one in payload["warnings"])
