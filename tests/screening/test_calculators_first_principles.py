"""What the calculators that solve for the electrons share."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk

from screening.calculators import Committee, ForceCalculator
from screening.calculators.checks import CheckedCalculator
from screening.calculators.espresso import EspressoSettings
from screening.calculators.first_principles import (
    kpoint_count,
    kpoint_grid,
    magnetic_elements,
    not_converged,
    settings_from_options,
    time_limit,
)
from screening.calculators.gpaw import GpawSettings
from screening.errors import ERROR_CODES, ScfNotConvergedError, SettingError, TimeLimitError
from screening.predictors.metering import Meter, Metered, core_seconds

SETTINGS = (GpawSettings, EspressoSettings)


@pytest.mark.parametrize("spacing", [0.15, 0.25, 0.31, 0.8])
def test_no_two_points_are_further_apart_than_the_spacing(spacing: float) -> None:
    cell = np.array([[4.0, 0.3, 0.0], [-1.0, 7.0, 0.2], [0.5, 0.0, 2.5]])
    reciprocal = 2.0 * np.pi * np.linalg.inv(cell).T
    grid = np.array(kpoint_grid(cell, spacing))
    lengths = np.linalg.norm(reciprocal, axis=1)
    assert np.all(lengths / grid <= spacing * (1.0 + 1e-4))
    assert np.all(lengths / np.maximum(grid - 1, 0.5) > spacing)


def test_a_supercell_gets_the_same_density_of_points() -> None:
    cell = bulk("Si", a=5.43).cell.array
    assert kpoint_grid(cell, 0.502) == (4, 4, 4)
    assert kpoint_grid(2 * cell, 0.502) == (2, 2, 2)
    assert kpoint_grid(4 * cell, 0.502) == (1, 1, 1)
    assert kpoint_grid(100 * cell, 0.502) == (1, 1, 1)


def test_vectors_that_symmetry_makes_equal_get_equal_numbers_of_points() -> None:
    cell = bulk("Si", a=5.43).cell.array
    length = np.linalg.norm(2 * np.pi * np.linalg.inv(cell), axis=0)[0]
    for noise in (-1e-9, 0.0, 1e-9):
        noisy = cell * (1.0 + noise * np.array([[1.0], [-1.0], [0.0]]))
        assert kpoint_grid(noisy, length / 5) == (5, 5, 5)


@pytest.mark.parametrize("kind", SETTINGS)
def test_an_unknown_setting_is_refused_with_the_choices(kind: type) -> None:
    with pytest.raises(SettingError, match=r"no setting ecut.*ecut_ev, relaxation_ecut_ev"):
        settings_from_options(kind, {"ecut": 400}, "code")


@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), "400", None, True])
def test_a_cutoff_that_is_no_positive_number_is_refused(kind: type, value: object) -> None:
    with pytest.raises(SettingError, match="ecut_ev"):
        settings_from_options(kind, {"ecut_ev": value}, "code")


@pytest.mark.parametrize("kind", SETTINGS)
def test_an_unknown_functional_is_refused_with_the_choices(kind: type) -> None:
    with pytest.raises(SettingError, match=r"B3LYP.*PBE"):
        settings_from_options(kind, {"xc": "B3LYP"}, "code")


def test_an_unconverged_density_says_how_often_it_was_tried() -> None:
    error = not_converged("Si2", 3, "100 iterations each")
    assert isinstance(error, ScfNotConvergedError)
    assert "3 attempts" in str(error)
    assert error.subject == "Si2"


@pytest.mark.parametrize(
    "code", ["SCF_NOT_CONVERGED", "EXECUTABLE_MISSING", "PSEUDOPOTENTIAL_MISSING", "TIMEOUT"]
)
def test_the_failures_have_published_codes(code: str) -> None:
    assert ERROR_CODES[code].code == code


def test_magnetic_elements_are_named_once() -> None:
    numbers = np.array([26, 8, 64, 26, 14])
    assert magnetic_elements(numbers) == (26, 64)
    assert magnetic_elements(np.array([14, 8])) == ()


def _checked(digest: str, *, first_principles: bool) -> CheckedCalculator:
    return CheckedCalculator(
        engine=None,  # type: ignore[arg-type] # never asked
        name=digest,
        digest=digest,
        is_first_principles=first_principles,
    )


def test_a_committee_is_first_principles_if_all_its_members_are() -> None:
    dft, other, potential = (
        _checked("a", first_principles=True),
        _checked("b", first_principles=True),
        _checked("c", first_principles=False),
    )
    committee: ForceCalculator = Committee((dft, other))
    assert committee.is_first_principles
    assert not Committee((dft, potential)).is_first_principles
    assert Metered(committee, Meter()).is_first_principles


def test_a_committee_has_the_settings_of_its_members() -> None:
    dft = replace(_checked("a", first_principles=True), settings={"ecut_ev": 350.0})
    potential = _checked("c", first_principles=False)
    both = Committee((dft, potential))
    assert both.settings == {"members": [{"name": "a", "ecut_ev": 350.0}, {"name": "c"}]}
    assert Metered(both, Meter()).settings == both.settings
    assert Committee((potential, _checked("d", first_principles=False))).settings == {}


def test_time_reversal_pairs_the_points_of_a_grid() -> None:
    cell = 4.0 * np.eye(3)
    assert kpoint_grid(cell, 0.6) == (3, 3, 3)
    assert kpoint_count(cell, 0.6) == 14
    assert kpoint_count(cell, 0.8) == 8  # each of 2 x 2 x 2 is its own partner
    assert kpoint_count(cell, 2.0) == 1


def test_a_calculator_without_a_field_has_no_response_to_it() -> None:
    cell = np.eye(3)
    potential = _checked("c", first_principles=False)
    atoms = (cell, np.zeros((1, 3)), np.array([14]))
    assert potential.dielectric_response(*atoms) is None
    committee = Committee((potential, _checked("d", first_principles=False)))
    assert Metered(committee, Meter()).dielectric_response(*atoms) is None


def test_the_time_of_children_counts_as_time_of_the_processor() -> None:
    meter = Meter()
    subprocess.run([sys.executable, "-c", "sum(range(10_000_000))"], check=True)
    assert meter.cost().cpu_seconds > 0.05


def test_a_calculation_is_stopped_when_its_time_is_over() -> None:
    started = time.monotonic()
    with pytest.raises(TimeLimitError, match=r"0\.2 s"), time_limit(0.2, "a loop"):  # noqa: PT012
        while True:
            pass
    assert time.monotonic() - started < 2.0
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    with time_limit(0.05, "something quick"):
        pass
    time.sleep(0.1)  # nothing goes off


def test_an_alarm_that_was_set_before_still_goes_off() -> None:
    heard: list[int] = []
    handler = signal.signal(signal.SIGALRM, lambda *_: heard.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with time_limit(5.0, "a pause"):
            time.sleep(0.2)
            assert not heard
        time.sleep(0.05)
        assert heard == [1]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, handler)


def test_threads_have_no_alarm() -> None:
    done: list[bool] = []

    def work() -> None:
        with time_limit(0.01, "a thread"):
            time.sleep(0.05)
        done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]


def test_all_threads_count_as_time_of_the_cores() -> None:
    def work() -> None:
        hashlib.pbkdf2_hmac("sha256", b"word", b"salt", 300_000)

    start, own = core_seconds(), time.thread_time()
    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert core_seconds() - start > time.thread_time() - own + 0.05
