"""Forces from Quantum ESPRESSO: the real programs on cells that take seconds, and faults."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from screening.calculators import CheckedCalculator, ForceCalculator, load_calculator
from screening.calculators.espresso import load_espresso
from screening.calculators.espresso_field import field_response
from screening.calculators.espresso_pseudopotentials import choose_pseudopotentials, read_header
from screening.errors import (
    CalculatorFailedError,
    ExecutableMissingError,
    NonFiniteForcesError,
    PseudopotentialMissingError,
    ScfNotConvergedError,
    SettingError,
    TimeLimitError,
    WrongShapeError,
)

SUPPORT = Path(__file__).parents[1] / "support" / "espresso"
PSEUDO_DIR = Path("/usr/share/espresso/pseudo")
QUICK = "ecut_ev=200, relaxation_ecut_ev=200, kpoint_spacing_per_angstrom=1.0"

needs_espresso = pytest.mark.skipif(
    shutil.which("pw.x") is None or not PSEUDO_DIR.is_dir(),
    reason="Quantum ESPRESSO or its pseudopotentials are not installed",
)

Install = Callable[..., dict[str, Any]]


def _silicon() -> Atoms:
    atoms = bulk("Si", a=5.43)
    atoms.positions[0] += (0.05, 0.02, 0.0)
    return atoms


def _forces(calculator: ForceCalculator) -> np.ndarray:
    atoms = _silicon()
    return calculator.forces(atoms.cell.array, atoms.positions[None], atoms.numbers)[0]


def _write_header(folder: Path, name: str, **said: str) -> None:
    """Write a file with the header of the second version of the format and nothing else."""
    values = {"element": "Si", "functional": "PBE", "relativistic": "scalar", "z_valence": "4.0"}
    text = " ".join(f'{key}="{value}"' for key, value in {**values, **said}.items())
    (folder / name).write_text(f"<UPF><PP_HEADER {text}/></UPF>")


@pytest.fixture
def install(tmp_path: Path) -> Install:
    """Return a function that installs a pretended pw.x; it returns the options to load it."""

    def make(mode: str = "", change: Callable[[str], str] = str, **options: Any) -> dict[str, Any]:
        script = (SUPPORT / "fake_program.py").read_text()
        program = tmp_path / "pw.x"
        program.write_text(f"#!{sys.executable}\n{script}")
        program.chmod(0o755)
        (tmp_path / "mode").write_text(mode)
        output = (SUPPORT / "Si.pw.out").read_text()
        (tmp_path / "pw.x.out").write_text(change(output))
        _write_header(tmp_path, "Si.pbe.UPF")
        return {"bin_dir": str(tmp_path), "pseudo_dir": str(tmp_path), **options}

    return make


def _calls(folder: Path) -> list[list[str]]:
    """Process id and folder of each call but the first, which asks for the version."""
    return [line.split() for line in (folder / "calls").read_text().splitlines()][1:]


@needs_espresso
def test_forces_and_stress_are_derivatives_of_the_energy() -> None:
    calculator = load_calculator(f"espresso({QUICK})")
    assert isinstance(calculator, ForceCalculator)
    assert calculator.is_first_principles
    assert calculator.name == "espresso:PBE"
    assert {"ecut_ev", "density_ecut_ratio", "born", "pseudo_dir"} <= set(calculator.settings)
    assert str(calculator.settings["code"]).startswith("pw.x ")
    silicon = calculator.settings["datasets"]["Si"]
    assert silicon["file"].endswith("UPF")
    assert len(silicon["sha256"]) == 64
    atoms = _silicon()
    cell, numbers = atoms.cell.array, atoms.numbers
    _, forces, stress = calculator.energy_forces_stress(cell, atoms.positions, numbers)
    step, energies = 0.01, []
    for sign in (-1.0, 1.0):
        moved = atoms.positions.copy()
        moved[0, 0] += sign * step
        energies.append(calculator.energy(cell, moved, numbers))
    assert -(energies[1] - energies[0]) / (2 * step) == pytest.approx(forces[0, 0], abs=2e-3)
    np.testing.assert_allclose(stress, stress.T)
    np.testing.assert_allclose(_forces(calculator), forces, atol=1e-4)


@needs_espresso
def test_two_codes_agree_on_forces_and_stress() -> None:
    pytest.importorskip("gpaw", reason="gpaw is not installed")
    atoms = _silicon()
    one, other = (
        load_calculator(f"{code}({QUICK})").energy_forces_stress(
            atoms.cell.array, atoms.positions, atoms.numbers
        )
        for code in ("espresso", "gpaw")
    )
    np.testing.assert_allclose(one[1], other[1], atol=0.01)  # of forces of 0.7 eV/Å
    np.testing.assert_allclose(one[2], other[2], atol=1e-3)


@needs_espresso
def test_a_density_that_never_converges_is_given_up_after_three_attempts() -> None:
    with pytest.raises(ScfNotConvergedError, match="3 attempts"):
        _forces(load_calculator(f"espresso({QUICK}, max_scf_iterations=2)"))


@needs_espresso
def test_an_element_without_a_pseudopotential_is_refused_with_what_there_is() -> None:
    atoms = bulk("NaCl", "rocksalt", a=5.6)
    with pytest.raises(PseudopotentialMissingError, match=rf"Cl, Na in {PSEUDO_DIR}; .*B, C, .*Si"):
        load_calculator("espresso").energy(atoms.cell.array, atoms.positions, atoms.numbers)


@needs_espresso
def test_a_metal_has_no_born_charges_and_says_why() -> None:
    calculator = load_espresso({"kpoint_spacing_per_angstrom": 0.8, "born": True})
    for atoms, reason in ((bulk("Cu", a=3.6), "odd number"), (bulk("C", "fcc", a=2.6), "band gap")):
        found = calculator.dielectric_response(atoms.cell.array, atoms.positions, atoms.numbers)
        assert found is not None
        assert reason in found.refusal
        assert found.born_charges_e is None


@needs_espresso
@pytest.mark.slow
def test_born_charges_of_zincblende_boron_nitride() -> None:
    """Measured: a high-frequency dielectric constant of 4.46; computed charges are 1.9 to 2.0 e."""
    atoms = bulk("BN", "zincblende", a=3.62)
    calculator = load_espresso({"kpoint_spacing_per_angstrom": 0.4, "born": True})
    found = calculator.dielectric_response(atoms.cell.array, atoms.positions, atoms.numbers)
    assert found is not None
    assert found.born_charges_e is not None
    assert found.dielectric_constant is not None
    np.testing.assert_allclose(found.born_charges_e[0], 1.93 * np.eye(3), atol=0.05)
    np.testing.assert_allclose(found.born_charges_e.sum(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(found.dielectric_constant, 4.55 * np.eye(3), atol=0.15)


def test_the_output_of_ph_is_read_in_the_order_of_the_atoms() -> None:
    output = (SUPPORT / "BN.ph.out").read_text()
    found = field_response(output, ["B", "N"])
    assert found.born_charges_e is not None
    np.testing.assert_allclose(found.born_charges_e[0], -found.born_charges_e[1], atol=1e-12)
    np.testing.assert_allclose(found.born_charges_e[0], 2.0473 * np.eye(3), atol=1e-4)
    np.testing.assert_allclose(found.dielectric_constant, 5.2779 * np.eye(3), atol=1e-4)
    for symbols in (["N", "B"], ["B"]):
        with pytest.raises(CalculatorFailedError, match="lacks"):
            field_response(output, symbols)
    with pytest.raises(CalculatorFailedError, match="lacks"):
        field_response("", ["B", "N"])


def test_forces_are_read_as_they_were_printed(install: Install, tmp_path: Path) -> None:
    forces = _forces(load_espresso(install()))
    np.testing.assert_allclose(forces[0], (-0.66929, -0.26852, -0.05840), atol=1e-5)
    ((_, folder),) = _calls(tmp_path)
    assert not Path(folder).exists()


def test_a_second_attempt_mixes_less(install: Install, tmp_path: Path) -> None:
    assert np.isfinite(_forces(load_espresso(install("second attempt")))).all()
    assert len(_calls(tmp_path)) == 2


def test_three_attempts_are_the_last(install: Install, tmp_path: Path) -> None:
    with pytest.raises(ScfNotConvergedError, match="3 attempts"):
        _forces(load_espresso(install("unconverged")))
    assert len(_calls(tmp_path)) == 3


def _spoiled(calculator: CheckedCalculator, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        _forces(calculator)


def test_the_message_of_the_program_is_kept(install: Install) -> None:
    _spoiled(load_espresso(install("stop")), CalculatorFailedError, "electrons .1.: charge is")


def test_a_torn_output_is_a_failure(install: Install) -> None:
    _spoiled(load_espresso(install("torn")), CalculatorFailedError, "ended early")


def test_nan_in_the_forces_is_refused(install: Install) -> None:
    def poison(text: str) -> str:
        before, mark, after = text.partition("force =")
        return f"{before}{mark}   NaN  {after.lstrip().partition(' ')[2]}"

    _spoiled(load_espresso(install(change=poison)), NonFiniteForcesError, "1 of 6")


def test_forces_of_a_wrong_number_of_atoms_are_refused(install: Install) -> None:
    atoms = bulk("Si", a=5.43, cubic=True)
    with pytest.raises(WrongShapeError):
        load_espresso(install()).forces(atoms.cell.array, atoms.positions[None], atoms.numbers)


def test_a_run_beyond_its_time_is_killed(install: Install, tmp_path: Path) -> None:
    start = time.monotonic()
    _spoiled(load_espresso(install("hang", time_limit_s=1.0)), TimeLimitError, "after 1 s")
    assert time.monotonic() - start < 30
    ((process, folder),) = _calls(tmp_path)
    assert not _is_alive(int(process))
    assert not Path(folder).exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ties them together")
def test_a_run_dies_with_the_process_that_started_it(install: Install, tmp_path: Path) -> None:
    script = (
        "import numpy as np\n"
        "from screening.calculators.espresso import load_espresso\n"
        f"calculator = load_espresso({install('hang')!r})\n"
        "calculator.energy(np.eye(3) * 4, np.zeros((1, 3)), np.array([14]))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script])
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not ((tmp_path / "calls").exists() and _calls(tmp_path)):
        time.sleep(0.05)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    ((process, folder),) = _calls(tmp_path)
    while time.monotonic() < deadline and _is_alive(int(process)):
        time.sleep(0.05)
    shutil.rmtree(folder)  # a killed parent cannot
    assert not _is_alive(int(process))


def _is_alive(process: int) -> bool:
    """Whether a process runs; one that is dead and unburied does not."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("born", [False, True])
def test_a_missing_program_is_named_with_how_to_install_it(
    install: Install, tmp_path: Path, *, born: bool
) -> None:
    options = install(born=born)
    missing = "ph.x" if born else "pw.x"
    (tmp_path / missing).unlink(missing_ok=True)
    with pytest.raises(ExecutableMissingError, match=rf"{missing}.*apt-get install quantum"):
        load_espresso(options)


def test_a_program_that_is_no_pw_is_refused(install: Install, tmp_path: Path) -> None:
    options = install()
    (tmp_path / "pw.x").write_text("#!/bin/sh\necho hello\n")
    with pytest.raises(ExecutableMissingError, match="does not start"):
        load_espresso(options)
    (tmp_path / "pw.x").write_text("#!/no/such/interpreter\n")
    with pytest.raises(ExecutableMissingError, match="cannot be started"):
        load_espresso(options)


def test_the_digest_is_that_of_what_changes_numbers(install: Install, tmp_path: Path) -> None:
    options = install()
    digest = load_espresso(options).digest
    assert load_espresso({**options, "time_limit_s": 5.0}).digest == digest
    assert load_espresso({**options, "ecut_ev": 500.0}).digest != digest
    with (tmp_path / "Si.pbe.UPF").open("a") as stream:
        stream.write("<!-- other numbers -->")
    assert load_espresso(options).digest != digest


def test_the_rule_prefers_scalar_relativistic_files_of_the_newest_library(tmp_path: Path) -> None:
    for name, said in {
        "Si.pbe-a.UPF": {"relativistic": "no"},
        "Si.pbe-n-kjpaw_psl.0.1.UPF": {},
        "Si.pbe-n-kjpaw_psl.1.0.0.UPF": {},
        "Si.pbe-n-rrkjus_psl.1.0.0.UPF": {"functional": " SLA  PW   PBX  PBC"},
        "Si.rel-pbe-n-rrkjus_psl.1.0.0.UPF": {"relativistic": "full"},
        "Si.pz-n-rrkjus_psl.9.0.0.UPF": {"functional": " SLA  PZ   NOGX NOGC"},
        "Six.pbe-n-rrkjus_psl.9.0.0.UPF": {},
    }.items():
        _write_header(tmp_path, name, **said)
    (tmp_path / "C.pbe.UPF").write_text("nothing that can be read")
    chosen = choose_pseudopotentials(tmp_path, "PBE", {})
    assert {key: value.path.name for key, value in chosen.items()} == {
        "Si": "Si.pbe-n-rrkjus_psl.1.0.0.UPF"
    }
    given = choose_pseudopotentials(tmp_path, "PBE", {"Si": "Si.pbe-a.UPF"})
    assert given["Si"].path.name == "Si.pbe-a.UPF"


def test_given_files_must_exist_and_fit(tmp_path: Path) -> None:
    _write_header(tmp_path, "Si.pz.UPF", functional="SLA PZ NOGX NOGC")
    with pytest.raises(SettingError, match="SLA PZ"):
        choose_pseudopotentials(tmp_path, "PBE", {"Si": "Si.pz.UPF"})
    with pytest.raises(SettingError, match="says Si"):
        choose_pseudopotentials(tmp_path, "PBE", {"Ge": "Si.pz.UPF"})
    for name in ("Si.none.UPF", "../Si.pz.UPF"):
        with pytest.raises(PseudopotentialMissingError, match="no file"):
            choose_pseudopotentials(tmp_path, "PBE", {"Si": name})
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(PseudopotentialMissingError, match="pseudo_dir"):
            choose_pseudopotentials(folder, "PBE", {})


def test_the_first_version_of_the_format_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "Rh.pbe.UPF"
    path.write_text(
        "    1        The Pseudo was generated with a Scalar-Relativistic Calculation\n"
        "<PP_HEADER>\n   0                   Version Number\n  Rh                   Element\n"
        "SLA  PW   PBE  PBE     PBE  Exchange-Correlation functional\n"
        "    9.00000000000      Z valence\n"
    )
    found = read_header(path)
    assert found is not None
    assert (found.element, found.relativity, found.n_valence) == ("Rh", "scalar", 9.0)
    assert choose_pseudopotentials(tmp_path, "PBE", {})["Rh"] == found


@pytest.mark.parametrize("value", ["Si.UPF", {"Si": 1}, [("Si", "Si.UPF")]])
def test_pseudopotentials_that_are_no_mapping_are_refused(value: object) -> None:
    with pytest.raises(SettingError, match="pseudopotentials"):
        load_espresso({"pseudopotentials": value})
