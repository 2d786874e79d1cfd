"""What is reported of a calibration was measured on compositions that it had not seen."""

import numpy as np
import pytest
from calibrated_crystals import pairs

from screening.quantities import Property, Quantity
from screening.uncertainty.assessment import assess_calibration
from screening.uncertainty.estimates import raw_value

FREE = Quantity(Property.FREE_ENERGY, 300.0)
DIFFERENCE = Quantity(Property.FREE_ENERGY_DIFFERENCE, 300.0)
FEW_TEMPERATURES_K = (0.0, 100.0, 200.0, 250.0, 300.0, 350.0, 400.0, 500.0)


@pytest.fixture(scope="module")
def population():
    return pairs(
        24, seed=1, prototypes=("rocksalt", "zincblende"), temperatures_k=FEW_TEMPERATURES_K
    )


@pytest.fixture(scope="module")
def assessed(population):
    found = assess_calibration(population, (FREE, DIFFERENCE), 0.1)
    return {one.quantity: one for one in found}


def test_every_crystal_and_every_pair_of_polymorphs_has_its_turn(assessed):
    assert (assessed[FREE].n_values, assessed[FREE].n_compositions) == (48, 24)
    assert (assessed[DIFFERENCE].n_values, assessed[DIFFERENCE].n_compositions) == (24, 24)


def test_errors_are_of_the_cheap_method_and_of_its_correction(assessed, population):
    raw = [abs(raw_value(cheap, FREE) - raw_value(better, FREE)) for cheap, better in population]
    truth = np.array([raw_value(better, FREE) for _, better in population])
    found = assessed[FREE]
    assert found.mae_raw == pytest.approx(np.mean(raw))
    assert found.mad == pytest.approx(np.abs(truth - truth.mean()).mean())
    assert found.mae_corrected < 0.5 * found.mae_raw
    assert found.skill == pytest.approx(1.0 - found.mae_corrected / found.mad)


def test_coverage_lies_in_its_band(assessed):
    for found in assessed.values():
        assert found.coverage_low <= found.coverage <= found.coverage_high
        assert 0.7 <= found.finite_fraction <= 1.0
        assert found.median_half_width > 0.0


def test_three_compositions_have_no_finite_interval():
    (found,) = assess_calibration(pairs(3, temperatures_k=FEW_TEMPERATURES_K), (FREE,), 0.1)
    assert (found.finite_fraction, found.median_half_width) == (0.0, None)
    assert (found.coverage, found.coverage_low) == (None, 1.0)


def test_what_no_pair_has_is_left_out(population):
    assert assess_calibration(population[::2], (DIFFERENCE,), 0.1) == ()
    assert assess_calibration([], (FREE,), 0.1) == ()


def test_one_crystal_has_no_skill():
    (found,) = assess_calibration(pairs(1, temperatures_k=FEW_TEMPERATURES_K), (FREE,), 0.1)
    assert found.skill is None
