"""A calibration follows from its pairs alone, and says what it could not use."""

from dataclasses import replace

import numpy as np
import pytest
from calibrated_crystals import calibrate, modes, pairs

from screening.errors import InconsistentDataError
from screening.prediction import Verdict
from screening.quantities import Property, Quantity
from screening.uncertainty.correction import CorrectionPrior
from screening.uncertainty.estimates import estimate, estimate_difference, raw_value
from screening.uncertainty.fitting import fit_calibration
from screening.uncertainty.risk import LowestFrequencies

FREE = Quantity(Property.FREE_ENERGY, 300.0)
DIFFERENCE = Quantity(Property.FREE_ENERGY_DIFFERENCE, 300.0)
RELATIVE = Quantity(Property.RELATIVE_FREE_ENERGY, 300.0)
POLYMORPHS = ("rocksalt", "zincblende", "cesium-chloride")


@pytest.fixture(scope="module")
def population():
    return pairs(12, seed=1, prototypes=POLYMORPHS)


def test_the_order_of_the_pairs_does_not_matter(population):
    rng = np.random.default_rng(0)
    shuffled = [population[i] for i in rng.permutation(len(population))]
    one, other = (calibrate(x, FREE, DIFFERENCE) for x in (population, shuffled))
    assert one.as_dict() == other.as_dict()
    assert one.calibration_id == other.calibration_id


def test_the_learned_scales_are_those_that_were_put_in():
    exact = pairs(15, bias=-0.3, common=0.0, own=0.0)
    fitted = calibrate(exact, FREE)
    assert fitted.correction.log_scales == pytest.approx(np.full(15, 0.3), abs=1e-5)
    assert fitted.interval(exact[0][0], FREE, 0.1).value == pytest.approx(
        raw_value(exact[0][1], FREE), abs=0.3
    )


def test_a_score_comes_from_a_correction_without_its_composition(population):
    fitted = calibrate(population, FREE)
    for index in (0, 7, 20):
        cheap, better = sorted(population, key=lambda pair: pair[0].material_id)[index]
        rest = [pair for pair in population if pair[0].composition != cheap.composition]
        mean, std = calibrate(rest, FREE).correction.predict(
            cheap.correction_features, cheap.composition
        )
        found = estimate(cheap, FREE, mean, std)
        expected = abs(raw_value(better, FREE) - found.value) / found.deviation
        assert fitted.tables[FREE.name].scores[index] == pytest.approx(expected, rel=1e-6)


def test_every_pair_of_polymorphs_has_a_score_and_every_composition_one_weight(population):
    table = calibrate(population, DIFFERENCE).tables[DIFFERENCE.name]
    assert len(table.scores) == 12 * 3
    assert len(set(table.compositions)) == 12


def test_a_score_of_a_difference_comes_from_a_share_without_its_composition():
    own = pairs(1, seed=3, prototypes=POLYMORPHS[:2])
    fitted = calibrate(own, DIFFERENCE)
    (one, true_one), (two, true_two) = own
    alone = estimate_difference(one, two, DIFFERENCE, 0.0, 1.0)  # nothing else is known
    truth = estimate_difference(true_one, true_two, DIFFERENCE, 0.0, 1.0).value
    assert fitted.tables[DIFFERENCE.name].scores[0] == pytest.approx(
        abs(truth - alone.value) / alone.deviation
    )
    assert fitted.shares[DIFFERENCE.name] != pytest.approx(1.0, abs=1e-3)


def test_without_polymorphs_there_is_no_table_of_differences():
    fitted = calibrate(pairs(10), FREE, DIFFERENCE)
    assert set(fitted.tables) == {FREE.name}
    assert not fitted.shares


def test_half_of_a_predicted_difference_is_learned_as_the_share():
    """The reference confirms a part of every difference that the cheap method sees."""
    rng = np.random.default_rng(2)
    found = []
    for cheap, better in pairs(30, prototypes=POLYMORPHS[:2], bias=0.0, common=0.0, own=0.0):
        first = cheap.material_id.endswith("rocksalt")
        factor = np.exp(rng.uniform(0.2, 0.4)) if first else 1.0
        middle = np.full_like(better.thermodynamics.temperatures_k, 10.0)
        shift = (factor - 1.0) * 40.0 * middle / 10.0
        apart = replace(
            cheap.thermodynamics,
            free_energy_mev_per_atom=80.0 + shift,
            entropy_mev_per_k_per_atom=0.0 * middle,
        )
        close = replace(apart, free_energy_mev_per_atom=80.0 + 0.5 * shift)
        found.append((replace(cheap, thermodynamics=apart), replace(better, thermodynamics=close)))
    fitted = calibrate(found, DIFFERENCE)
    scale = np.exp(np.mean(fitted.correction.log_scales))  # both crystals are scaled alike
    assert fitted.shares[DIFFERENCE.name] * scale == pytest.approx(0.5, abs=0.05)


def test_where_no_difference_is_predicted_the_share_is_one():
    one, two = pairs(1, prototypes=POLYMORPHS[:2])
    alike = one[0].thermodynamics
    equal = [(replace(cheap, thermodynamics=alike), better) for cheap, better in (one, two)]
    assert calibrate(equal, DIFFERENCE).shares[DIFFERENCE.name] == pytest.approx(1.0)


def test_relative_energies_need_one_source(population):
    mixed = [
        (replace(cheap, static_energy_source=f"source {index}"), better)
        for index, (cheap, better) in enumerate(population)
    ]
    fitted = calibrate(mixed, DIFFERENCE, RELATIVE)
    assert set(fitted.tables) == {DIFFERENCE.name}


def test_pairs_that_cannot_be_used_are_counted(population):
    invalid = replace(
        population[0][1], thermodynamics=replace(population[0][1].thermodynamics, valid=False)
    )
    other = pairs(1, seed=9)[0][1]
    stiff = replace(
        population[1][1],
        thermodynamics=replace(
            other.thermodynamics,
            free_energy_mev_per_atom=other.thermodynamics.free_energy_mev_per_atom + 1e4,
        ),
    )
    some = [(population[0][0], invalid), (population[1][0], stiff), *population[2:]]
    fitted = calibrate(some, FREE)
    assert dict(fitted.skipped) == {
        "thermodynamics not valid": 1,
        "no frequency scale at 300 K": 1,
    }
    assert len(fitted.tables[FREE.name].scores) == len(population) - 2
    assert len(fitted.material_ids) == len(population)


def test_a_pair_of_two_compositions_is_refused(population):
    wrong = (population[0][0], population[5][1])
    with pytest.raises(InconsistentDataError, match="a pair of"):
        calibrate([wrong], FREE)


def test_known_verdicts_join_those_of_the_pairs(population):
    known = LowestFrequencies(
        stable_thz=(0.9,),
        stable_compositions=("MgO",),
        unstable_thz=(-3.0,),
        unstable_compositions=("BaTiO3",),
    )
    unstable = [
        (cheap, replace(better, verdict=Verdict.UNSTABLE if i == 0 else Verdict.UNDETERMINED))
        for i, (cheap, better) in enumerate(population[:3])
    ]
    found = calibrate([*unstable, *population[3:]], FREE, known_verdicts=known).lowest_frequencies
    assert sorted(found.unstable_compositions) == sorted(["BaTiO3", population[0][0].composition])
    assert len(found.stable_thz) == 1 + len(population) - 3  # unknown is neither


def test_a_crystal_with_imaginary_modes_is_known_to_be_unstable_though_not_usable(population):
    cheap, better = population[0]
    soft = replace(
        cheap,
        thermodynamics=replace(cheap.thermodynamics, valid=False),
        lowest_frequency_thz=-2.0,
    )
    pair = (soft, replace(better, verdict=Verdict.UNSTABLE))
    fitted = calibrate([pair, *population[1:]], FREE)
    assert fitted.lowest_frequencies.unstable_thz == (-2.0,)
    assert fitted.skipped["thermodynamics not valid"] == 1


def test_the_prior_is_kept_with_the_calibration(population):
    prior = CorrectionPrior(constant=0.1)
    fitted = calibrate(population, FREE, prior=prior)
    assert fitted.correction.prior == prior


def test_a_quantity_asked_for_twice_is_calibrated_once(population):
    assert set(calibrate(population, FREE, FREE).tables) == {FREE.name}


def test_all_properties_are_calibrated_by_default():
    fitted = fit_calibration(
        pairs(3, prototypes=POLYMORPHS[:2]), cheap_family="a", reference_family="b"
    )
    kinds = {Quantity.parse(name).kind for name in fitted.tables}
    assert kinds == set(Property)
    assert modes(5.0).min() > 0.0
