"""Forces from GPAW, on cells that take seconds."""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from screening.calculators import ForceCalculator, load_calculator
from screening.calculators.checks import check_elements
from screening.calculators.gpaw import GpawEngine, GpawSettings, load_gpaw
from screening.errors import (
    CalculatorFailedError,
    ElementNotInModelError,
    ExecutableMissingError,
    NonFiniteForcesError,
    PseudopotentialMissingError,
    ScfNotConvergedError,
    SettingError,
    TimeLimitError,
    WrongShapeError,
)

QUICK = "gpaw(ecut_ev=200, relaxation_ecut_ev=200, kpoint_spacing_per_angstrom=1.0)"

needs_gpaw = pytest.mark.skipif(
    importlib.util.find_spec("gpaw") is None, reason="gpaw is not installed"
)


def _silicon() -> Atoms:
    atoms = bulk("Si", a=5.43)
    atoms.positions[0] += (0.05, 0.02, 0.0)
    return atoms


class _Pretended:
    """What GPAW's calculator is asked for, without any physics."""

    forces = np.zeros((2, 3))
    failures = 0
    made: list[dict[str, object]]

    def __init__(self, **parameters: object) -> None:
        self.made.append(parameters)

    def get_potential_energy(self, *_: object, **__: object) -> float:
        if len(self.made) <= self.failures:
            from gpaw import KohnShamConvergenceError

            raise KohnShamConvergenceError("Did not converge!\nSee the log")
        return -1.0

    def get_forces(self, _: Atoms) -> np.ndarray:
        return self.forces


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> type[_Pretended]:
    gpaw = pytest.importorskip("gpaw", reason="gpaw is not installed")
    kind = type("Pretended", (_Pretended,), {"made": []})
    monkeypatch.setattr(gpaw, "GPAW", kind)
    return kind


@needs_gpaw
def test_forces_and_stress_are_derivatives_of_the_energy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    calculator = load_calculator(QUICK)
    atoms = _silicon()
    cell, numbers = atoms.cell.array, atoms.numbers
    energy, forces, stress = calculator.energy_forces_stress(cell, atoms.positions, numbers)
    step = 0.01
    energies = []
    for sign in (-1.0, 1.0):
        moved = atoms.positions.copy()
        moved[0, 0] += sign * step
        energies.append(calculator.energy(cell, moved, numbers))
    assert -(energies[1] - energies[0]) / (2 * step) == pytest.approx(forces[0, 0], abs=5e-3)
    assert min(energies) < energy
    assert np.abs(forces.sum(axis=0)).max() < 1e-12
    np.testing.assert_allclose(stress, stress.T)
    again = calculator.forces(cell, atoms.positions[None], numbers)[0]
    np.testing.assert_allclose(again, forces, atol=1e-3)
    assert not list(tmp_path.iterdir())


@needs_gpaw
def test_it_says_what_it_is() -> None:
    calculator = load_calculator("gpaw")
    assert isinstance(calculator, ForceCalculator)
    assert calculator.is_first_principles
    assert calculator.name == "gpaw:PBE"
    assert calculator.displacement_angstrom == 0.02
    assert calculator.elements is not None
    assert {5, 7, 8, 12, 14} <= calculator.elements
    assert not {"time_limit_s", "ecut_ev", "xc", "smearing_ev"} - set(calculator.settings)
    again = load_calculator("gpaw(ecut_ev=350, kpoint_spacing_per_angstrom=0.4)").settings
    assert (again["ecut_ev"], again["kpoint_spacing_per_angstrom"]) == (350, 0.4)
    assert str(again["code"]).startswith("gpaw ")
    silicon = again["datasets"]["Si"]
    assert silicon["file"].startswith("Si.PBE")
    assert len(silicon["sha256"]) == 64
    with pytest.raises(ElementNotInModelError, match="not made for Pu"):
        check_elements(calculator, [94])


@needs_gpaw
def test_everything_that_changes_numbers_changes_the_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gpaw

    digests = {
        load_calculator(text).digest
        for text in ("gpaw", "gpaw(ecut_ev=400)", "gpaw(smearing_ev=0.1)", "gpaw(xc='LDA')")
    }
    assert len(digests) == 4
    assert load_calculator("gpaw()").digest in digests
    assert load_calculator("gpaw(time_limit_s=60)").digest in digests
    (tmp_path / "Si.PBE").write_text("another dataset")
    monkeypatch.setattr(gpaw, "setup_paths", [tmp_path, *gpaw.setup_paths])
    assert load_calculator("gpaw").digest not in digests


@needs_gpaw
def test_missing_datasets_are_an_error_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gpaw

    monkeypatch.setattr(gpaw, "setup_paths", [tmp_path])
    with pytest.raises(PseudopotentialMissingError, match=rf"{tmp_path}.*gpaw-data"):
        load_gpaw({})


def test_a_missing_package_is_named_with_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "gpaw", None)
    with pytest.raises(ExecutableMissingError, match=r"package gpaw.*pip install gpaw"):
        load_calculator("gpaw")


def test_an_unknown_setting_is_refused_before_the_package_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "gpaw", None)
    with pytest.raises(SettingError, match=r"kpts.*kpoint_spacing_per_angstrom"):
        load_calculator("gpaw(kpts=(2, 2, 2))")


@needs_gpaw
def test_a_density_that_never_converges_is_given_up_after_three_attempts() -> None:
    atoms = _silicon()
    calculator = load_calculator(QUICK[:-1] + ", max_scf_iterations=2)")
    with pytest.raises(ScfNotConvergedError, match="3 attempts"):
        calculator.energy(atoms.cell.array, atoms.positions, atoms.numbers)


def test_a_retry_changes_the_mixing_and_nothing_else(pretended: type[_Pretended]) -> None:
    pretended.failures = 1
    atoms = _silicon()
    GpawEngine(GpawSettings()).forces(atoms.cell.array, atoms.positions, atoms.numbers)
    first, second = pretended.made
    mixer = second.pop("mixer")
    assert first == second
    assert "mixer" not in first
    assert isinstance(mixer, dict)
    assert mixer["beta"] < 0.05  # GPAW's own for plane waves


@pytest.mark.parametrize(
    ("forces", "error"),
    [
        (np.full((2, 3), np.nan), NonFiniteForcesError),
        (np.zeros((3, 3)), WrongShapeError),
        (None, WrongShapeError),
    ],
)
def test_what_cannot_be_forces_is_refused(
    pretended: type[_Pretended], forces: object, error: type[Exception]
) -> None:
    pretended.forces = forces  # type: ignore[assignment] # that is the fault
    atoms = _silicon()
    with pytest.raises(error):
        load_calculator("gpaw").forces(atoms.cell.array, atoms.positions[None], atoms.numbers)


def test_any_other_failure_keeps_its_message(
    pretended: type[_Pretended], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(pretended, "get_potential_energy", fail)
    atoms = _silicon()
    with pytest.raises(CalculatorFailedError, match="RuntimeError: out of memory"):
        load_calculator("gpaw").energy(atoms.cell.array, atoms.positions, atoms.numbers)


@needs_gpaw
def test_a_call_that_takes_too_long_is_stopped() -> None:
    slow = load_calculator("gpaw(time_limit_s=0.3)")
    atoms = _silicon()
    started = time.monotonic()
    with pytest.raises(TimeLimitError, match=r"0\.3 s") as caught:
        slow.energy(atoms.cell.array, atoms.positions, atoms.numbers)
    assert time.monotonic() - started < 5.0
    assert "time_limit_s" in caught.value.hint
