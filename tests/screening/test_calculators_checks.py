"""No faulty result passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from screening.calculators import CheckedCalculator, Committee, check_elements
from screening.errors import (
    CalculatorFailedError,
    ElementNotInModelError,
    ForcesExplodedError,
    NonFiniteForcesError,
    ScreeningError,
    WrongShapeError,
)

CELL = 4.0 * np.eye(3)
POSITIONS = np.array([[0.0, 0.0, 0.0], [2.0, 2.0, 2.0]])
NUMBERS = np.array([11, 17])


def _good() -> np.ndarray:
    return np.array([[0.1, 0.0, 0.0], [-0.1, 0.0, 0.0]])


def _with(value: float, *, everywhere: bool = False) -> np.ndarray:
    forces = _good()
    forces[(slice(None), slice(None)) if everywhere else (1, 2)] = value
    return forces


def _crash() -> np.ndarray:
    raise ZeroDivisionError("inside the potential")


@dataclass
class Engine:
    make: Callable[[], object] = _good
    energy_ev: object = -1.0
    stress: object = 0.0

    def forces(self, _cell, _positions, _numbers):
        return self.make()

    def energy(self, _cell, _positions, _numbers):
        return self.energy_ev

    def energy_forces_stress(self, _cell, _positions, _numbers):
        return self.energy_ev, self.make(), np.eye(3) * self.stress


def _calculator(**kwargs) -> CheckedCalculator:
    return CheckedCalculator(engine=Engine(**kwargs), name="fake", digest="0" * 64)


FAULTS = [
    pytest.param(lambda: _with(np.nan, everywhere=True), NonFiniteForcesError, id="all NaN"),
    pytest.param(lambda: _with(np.nan), NonFiniteForcesError, id="one NaN"),
    pytest.param(lambda: _with(np.inf), NonFiniteForcesError, id="inf"),
    pytest.param(lambda: _with(-np.inf), NonFiniteForcesError, id="-inf"),
    pytest.param(lambda: _with(1e6), ForcesExplodedError, id="huge"),
    pytest.param(lambda: _good()[:1], WrongShapeError, id="too few atoms"),
    pytest.param(lambda: _good().ravel(), WrongShapeError, id="flat"),
    pytest.param(lambda: None, ScreeningError, id="nothing"),
    pytest.param(lambda: "forces", WrongShapeError, id="text"),
    pytest.param(lambda: [[1.0], [1.0, 2.0]], WrongShapeError, id="ragged"),
    pytest.param(_crash, CalculatorFailedError, id="raises"),
]


@pytest.mark.parametrize(("make", "error"), FAULTS)
def test_faulty_forces_raise_the_published_error(make, error) -> None:
    calculator = _calculator(make=make)
    with pytest.raises(error):
        calculator.forces(CELL, POSITIONS[None], NUMBERS)
    with pytest.raises(error):
        calculator.energy_forces_stress(CELL, POSITIONS, NUMBERS)


@pytest.mark.parametrize(("make", "error"), FAULTS)
def test_one_faulty_member_fails_the_committee(make, error) -> None:
    bad = CheckedCalculator(engine=Engine(make=make), name="bad", digest="1" * 64)
    with pytest.raises(error):
        Committee((_calculator(), bad)).forces(CELL, POSITIONS[None], NUMBERS)


def test_later_copies_are_checked_too() -> None:
    results = iter([_good(), _good(), _with(np.nan)])
    with pytest.raises(NonFiniteForcesError):
        _calculator(make=lambda: next(results)).forces(CELL, np.stack([POSITIONS] * 3), NUMBERS)


@pytest.mark.parametrize(
    ("kwargs", "error"),
    [
        ({"energy_ev": np.nan}, NonFiniteForcesError),
        ({"energy_ev": [1.0, 2.0]}, WrongShapeError),
        ({"stress": np.inf}, NonFiniteForcesError),
        ({"stress": np.zeros((2, 3, 3))}, WrongShapeError),
    ],
)
def test_faulty_energy_and_stress(kwargs, error) -> None:
    with np.errstate(invalid="ignore"), pytest.raises(error):
        _calculator(**kwargs).energy_forces_stress(CELL, POSITIONS, NUMBERS)


def test_foreign_error_keeps_class_message_and_cause() -> None:
    with pytest.raises(CalculatorFailedError, match="ZeroDivisionError: inside") as caught:
        _calculator(make=_crash).forces(CELL, POSITIONS[None], NUMBERS)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert caught.value.subject == "fake"


def test_positions_without_copies_are_refused() -> None:
    with pytest.raises(WrongShapeError):
        _calculator().forces(CELL, POSITIONS, NUMBERS)


def test_no_copies_give_no_forces() -> None:
    assert _calculator().forces(CELL, np.zeros((0, 2, 3)), NUMBERS).shape == (0, 2, 3)


def test_calculator_cannot_touch_its_input() -> None:
    class Vandal(Engine):
        def forces(self, cell, positions, numbers):
            cell[:], positions[:], numbers[:] = 0, 0, 0
            return _good()

    cell, positions, numbers = CELL.copy(), POSITIONS[None].copy(), NUMBERS.copy()
    CheckedCalculator(Vandal(), "vandal", "2" * 64).forces(cell, positions, numbers)
    np.testing.assert_array_equal(cell, CELL)
    np.testing.assert_array_equal(positions[0], POSITIONS)
    np.testing.assert_array_equal(numbers, NUMBERS)


def test_missing_elements_are_all_named_before_any_computation() -> None:
    calculator = CheckedCalculator(
        Engine(make=_crash), "fake", "3" * 64, elements=frozenset({8, 11})
    )
    with pytest.raises(ElementNotInModelError, match="Cl, Po") as caught:
        check_elements(calculator, [11, 84, 17, 17], subject="ps-1")
    assert caught.value.subject == "ps-1"
    check_elements(calculator, [11, 8])
    check_elements(_calculator(), [118])


def test_committee_knows_what_all_members_know() -> None:
    sets = [frozenset({1, 2, 3}), frozenset({2, 3, 4}), None]
    members = tuple(
        CheckedCalculator(
            Engine(),
            f"m{i}",
            str(i) * 64,
            elements=known,
            notes=("note",),
            displacement_angstrom=0.01 * (i + 1),
        )
        for i, known in enumerate(sets)
    )
    committee = Committee(members)
    assert committee.elements == frozenset({2, 3})
    assert Committee((members[2], _calculator())).elements is None
    assert committee.notes == ("note",)
    assert committee.displacement_angstrom == pytest.approx(0.03)


def test_the_energy_alone_is_checked_too() -> None:
    assert _calculator(energy_ev=-2.5).energy(CELL, POSITIONS, NUMBERS) == -2.5
    for energy, error in ((np.nan, NonFiniteForcesError), ([1.0, 2.0], WrongShapeError)):
        with pytest.raises(error):
            _calculator(energy_ev=energy).energy(CELL, POSITIONS, NUMBERS)
