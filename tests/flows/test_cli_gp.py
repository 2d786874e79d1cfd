"""Displaced cells on the command line: planned, computed by another program, fitted, stored."""

import json
import re
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


def computed(folder, n_cells):
    """Plan cells of copper, and compute their forces by effective-medium theory."""
    cell = Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.59), ["Cu"], [[0, 0, 0]])
    cell.to(folder / "Cu.cif")
    with pytest.MonkeyPatch.context() as patch:
        arguments = ["gp", "plan", str(folder / "Cu.cif"), "--supercell", "3 3 3"]
        arguments += ["--cells", str(n_cells)]
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


@pytest.fixture(scope="module")
def copper(tmp_path_factory):
    """A crystal, and two of its cells with forces."""
    return computed(tmp_path_factory.mktemp("copper"), 2)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Options for eight cells with forces."""
    folder = computed(tmp_path_factory.mktemp("many"), 8)
    return (folder / "forces.extxyz", "--supercell", folder / "cells" / "supercell.yaml")


@pytest.fixture
def without_database(capfd, monkeypatch):
    """Run one command with no database named; returns code, standard output and error."""
    monkeypatch.setenv("COLUMNS", "400")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["phonoscreen", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return run


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
    shown = phonoscreen("show", payload["material_id"])[1]
    assert re.search(r"thermal conductivity +[\d.]+ ± [\d.]+ W/m/K at 300 K", shown)
    assert "lattice thermal conductivity, relaxation times" in shown


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("plan",), ExitCode.WRONG_USAGE, "give a file with a crystal"),
        (("plan", "CIF", "--supercell", "2"), ExitCode.WRONG_USAGE, "'2' is no supercell"),
        (("plan", "CIF", "--supercell", "-2 -2 -2"), ExitCode.WRONG_USAGE, "positive determinant"),
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
        (("fit", "FILES", "--kernel", "cubic"), ExitCode.WRONG_USAGE, "'cubic' is no kernel"),
        (("fit", "FILES", "--length-scale", "1"), ExitCode.WRONG_USAGE, "have no length scale"),
        (("fit", "FILES", "--kernel", "rbf"), ExitCode.WRONG_USAGE, "break the acoustic sum rule"),
        (
            ("fit", "FILES", "--kernel", "symmetrised-rbf"),
            ExitCode.WRONG_USAGE,
            "have no intervals: they are not stored",
        ),
        (
            ("fit", "FILES", "--kernel", "rbf", "--cutoff", 4),
            ExitCode.WRONG_USAGE,
            "--cutoff: the rbf kernel has no such thing",
        ),
        (
            ("fit", "FILES", "--kernel", "rbf", "--prior", "chgnet"),
            ExitCode.WRONG_USAGE,
            "--prior: the rbf kernel has no such thing",
        ),
        (("learn",), ExitCode.WRONG_USAGE, "no file is given"),
        (("learn", "FILES"), ExitCode.NOTHING_USABLE, "2 cells where 10 are to be fitted"),
        (("learn", "FILES", "--counts", "1,x"), ExitCode.WRONG_USAGE, "no numbers of cells"),
        (("learn", "FILES", "--methods", "best"), ExitCode.WRONG_USAGE, "no method that learns"),
        (("learn", "FILES", "--order", 4), ExitCode.WRONG_USAGE, "no order that can be fitted"),
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


def test_the_published_kernel_says_what_it_lacks(without_database, files, tmp_path):
    options = ("--kernel", "rbf", "--source", "EMT PBE", "--temperatures", "300,1000")
    code, out, err = without_database("gp", "fit", *files, *options, "-o", tmp_path / "files")
    assert code == ExitCode.DONE, err
    for said in (
        "Cu Fm-3m",
        "2, all atoms displaced",
        "as published",
        "sum rule, order 3",
        "This kernel gives no intervals. Dynamical stability: undetermined.",
        "at least 41 cells",
    ):
        assert said in " ".join(out.split())
    assert {path.name for path in (tmp_path / "files").iterdir()} == {
        "Cu-rbf-phonopy.yaml",
        "Cu-rbf-phono3py",
    }
    code, out, _ = without_database("gp", "fit", *files, *options, "--length-scale", 0.5, "--json")
    payload = of_one(json.loads(out), "gp-fit-rbf")
    assert (payload["length_scale"], payload["length_scale_angstrom"]) == ("fixed", 0.5)
    assert payload["verdict"] == "undetermined"
    assert [one["order"] for one in payload["sum_rules"]] == [2, 3]
    assert len(payload["quantities"]) == 7
    assert any("acoustic sum rule" in one for one in payload["warnings"])


def test_the_averaged_kernel_agrees_with_force_constants_with_symmetry(without_database, files):
    options = ("--order", 2, "--source", "EMT PBE", "--json")
    found = {}
    for kernel in ("polynomial", "symmetrised-rbf"):
        out = without_database("gp", "fit", *files, *options, "--kernel", kernel)[1]
        payload = json.loads(out)
        found[kernel] = {one["name"]: one["value"] for one in payload["quantities"]}
    assert payload["sum_rules"][0]["relative"] < 1e-9
    assert not payload["warnings"]
    assert found["symmetrised-rbf"].keys() == found["polynomial"].keys()
    name = "free_energy_300k_mev_per_atom"
    assert found["symmetrised-rbf"][name] == pytest.approx(found["polynomial"][name], abs=1.5)


def test_learn_compares_methods_and_writes_what_it_draws(phonoscreen, many, tmp_path):
    options = ("--counts", "1,3", "--draws", 2, "--held-out", 2)
    code, out, err = phonoscreen("gp", "learn", *many, *options, "-o", tmp_path / "new" / "curve")
    assert code == ExitCode.DONE, err
    for said in ("adapted", "symmetrised", "paper", "FC2 sum rule", "all 6 cells", "Medians of 2"):
        assert said in " ".join(out.split())
    written = [tmp_path / "new" / f"curve.{suffix}" for suffix in ("png", "csv", "json")]
    assert [Path(line) for line in out.splitlines()[-3:]] == written
    assert len(written[1].read_text(encoding="utf-8").splitlines()) == 1 + 3 * 2 * 2
    code, out, _ = phonoscreen("gp", "learn", *many, *options, "--order", 2, "--json")
    payload = of_one(json.loads(out), "gp-learn")
    assert payload["held_out"] == [6, 7]
    points = payload["points"]
    methods = [one["method"] for one in points]
    assert methods == 4 * ["adapted"] + 4 * ["symmetrised"] + 4 * ["paper"]
    assert [one["n_cells"] for one in points] == 3 * [1, 1, 3, 3]
    assert set(points[0]["cells"]) < set(points[2]["cells"])  # draws are nested
    for one in points:
        assert one["third_order_relative_error"] is None
        broken = one["second_order_sum_rule_ev_per_angstrom2"]
        assert broken > 0.01 if one["method"] == "paper" else broken < 1e-9
    assert points[0]["second_order_relative_error"] < points[8]["second_order_relative_error"]


def test_learn_says_where_its_reference_is_weak(phonoscreen, many):
    options = ("--counts", "6", "--draws", 1, "--held-out", 2, "--order", 2)
    code, out, _ = phonoscreen("gp", "learn", *many, *options, "--methods", "adapted", "--json")
    assert code == ExitCode.DONE
    [said] = json.loads(out)["warnings"]
    assert "a fit to 6 cells" in said


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


@pytest.mark.slow
@pytest.mark.skipif(not NACL.exists(), reason="third-order data are not here")
def test_one_cell_of_salt_teaches_more_than_ten_without_symmetry(phonoscreen, tmp_path):
    options = ("--counts", "1,10", "--draws", 2, "-o", tmp_path / "NaCl", "--json")
    payload = json.loads(phonoscreen("gp", "learn", NACL, *options)[1])
    worst = {}
    for one in payload["points"]:
        key = one["method"], one["n_cells"]
        worst[key] = max(worst.get(key, 0.0), one["second_order_relative_error"])
    assert worst["adapted", 1] < 0.004
    assert worst["adapted", 1] < worst["symmetrised", 10] < worst["paper", 10]
    assert worst["paper", 10] > 0.3
    assert all(Path(name).is_file() for name in payload["written"])
