"""Times of force calls: a power law is found again, and what is not known is said."""

import math

import numpy as np
import pytest

from screening.cost import (
    FIRST_PRINCIPLES,
    POTENTIAL,
    MeasuredCall,
    fit_call_times,
    valence_electrons,
)
from screening.errors import NonFiniteInputError, SettingError


def law(sizes, seconds_at_100, exponent, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    return [
        MeasuredCall(n, seconds_at_100 * (n / 100.0) ** exponent * math.exp(noise * rng.normal()))
        for n in sizes
    ]


def test_without_calls_it_is_the_default_with_its_whole_uncertainty():
    times = fit_call_times([], FIRST_PRINCIPLES)
    assert times.seconds(64.0) == pytest.approx(18.0)
    assert times.seconds(128.0) == pytest.approx(72.0)
    assert times.factor(64.0) == pytest.approx(20.0)
    assert times.factor(640.0) > 20.0
    assert times.basis.startswith("default: GPAW")


def test_the_default_says_what_it_was_measured_with_and_scales_from_there():
    assert FIRST_PRINCIPLES.cutoff_factor(300.0) == 1.0
    assert FIRST_PRINCIPLES.cutoff_factor(1200.0) == pytest.approx(8.0)
    assert FIRST_PRINCIPLES.kpoint_factor(8) == 1.0
    assert FIRST_PRINCIPLES.kpoint_factor(36) == pytest.approx(4.5)
    assert POTENTIAL.cutoff_factor(1200.0) == POTENTIAL.kpoint_factor(36) == 1.0
    assert "300 eV, 8 k points" in FIRST_PRINCIPLES.machine


def test_many_calls_of_many_sizes_give_back_their_law():
    times = fit_call_times(law(np.geomspace(10, 500, 40), 3.7, 2.6, noise=0.1), POTENTIAL)
    assert times.exponent == pytest.approx(2.6, abs=0.08)
    assert times.seconds(200.0) == pytest.approx(3.7 * 2**2.6, rel=0.1)
    assert times.factor(200.0) < 1.2
    assert times.basis == "40 measured, 10 to 500 atoms"


def test_one_call_fixes_the_speed_and_leaves_the_exponent():
    times = fit_call_times([MeasuredCall(50.0, 7.0)], POTENTIAL)
    assert times.seconds(50.0) == pytest.approx(7.0, rel=0.2)
    assert times.exponent == pytest.approx(POTENTIAL.exponent, abs=0.3)
    assert times.factor(50.0) < 2.0 < times.factor(500.0)


def test_the_stated_factor_holds_nine_of_ten_machines():
    held = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        exponent = POTENTIAL.exponent + 0.4 * rng.normal()
        speed = POTENTIAL.seconds * math.exp(math.log(20.0) / 1.645 * rng.normal())
        times = fit_call_times(
            law([20.0, 40.0, 80.0], speed, exponent, 0.3, seed + 1000), POTENTIAL
        )
        ratio = times.seconds(300.0) / (speed * 3.0**exponent)
        held += 1.0 / times.factor(300.0) <= ratio <= times.factor(300.0)
    assert 0.86 <= held / 300 <= 0.94  # three standard deviations of the mean of 300


@pytest.mark.parametrize("bad", [(0.0, 1.0), (10.0, float("nan")), (10.0, 0.0), (math.inf, 1.0)])
def test_nonsense_is_refused(bad):
    with pytest.raises(NonFiniteInputError):
        fit_call_times([MeasuredCall(*bad)], POTENTIAL)


def test_valence_electrons():
    assert valence_electrons({14: 2}) == 8.0
    assert valence_electrons({30: 1, 16: 1}) == 18.0  # the filled d shell of zinc moves
    assert valence_electrons({31: 1, 33: 1}) == 8.0
    assert valence_electrons({58: 1}) == 4.0
    assert valence_electrons({2: 1, 1: 1}) == 3.0
    with pytest.raises(SettingError, match="no element"):
        valence_electrons({200: 1})
