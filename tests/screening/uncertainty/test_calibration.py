"""Intervals hold the reference as often as they say, and are open where they cannot know."""

import math
from dataclasses import replace

import numpy as np
import pytest
from calibrated_crystals import FORMULAS, calibrate, crystal, curves, modes, pairs, sample

from screening.errors import InconsistentDataError, SettingError
from screening.prediction import Verdict
from screening.quantities import Property, Quantity
from screening.uncertainty.calibration import (
    DEFAULT_TEMPERATURES_K,
    Calibration,
    default_quantities,
)
from screening.uncertainty.conformal import coverage_band
from screening.uncertainty.estimates import estimate_difference, raw_value
from screening.uncertainty.fitting import fit_calibration
from screening.uncertainty.scores import MIN_GROUPS_PER_CLASS, ScoreTable, joint_table

SINGLE = (
    Quantity(Property.FREE_ENERGY, 300.0),
    Quantity(Property.ENTROPY, 300.0),
    Quantity(Property.HEAT_CAPACITY, 300.0),
    Quantity(Property.LOWEST_FREQUENCY),
)
FREE = SINGLE[0]
DIFFERENCE = Quantity(Property.FREE_ENERGY_DIFFERENCE, 300.0)
RELATIVE = Quantity(Property.RELATIVE_FREE_ENERGY, 300.0)
POLYMORPHS = ("rocksalt", "zincblende")
FEW_TEMPERATURES_K = (0.0, 100.0, 200.0, 250.0, 300.0, 350.0, 400.0, 500.0)


@pytest.fixture(scope="module")
def population():
    return pairs(40, seed=1, prototypes=POLYMORPHS)


@pytest.fixture(scope="module")
def calibration(population) -> Calibration:
    return calibrate(population[:60], *SINGLE, DIFFERENCE, RELATIVE)


@pytest.fixture(scope="module")
def inside(calibration, population):
    """Crystals of new compositions that lie in the domain."""
    return [pair for pair in population[60:] if calibration.novelty(pair[0]) <= 1.0]


def test_mean_coverage_of_new_compositions_is_the_intended_one():
    rng = np.random.default_rng(6)
    found = pairs(len(FORMULAS), seed=6, temperatures_k=FEW_TEMPERATURES_K)
    hits = {quantity: [] for quantity in SINGLE}
    splits = 20
    for _ in range(splits):
        order = rng.permutation(len(found))
        fitted = calibrate([found[i] for i in order[:30]], *SINGLE)
        for cheap, better in (found[i] for i in order[30:]):
            for quantity in SINGLE:
                interval = fitted.interval(cheap, quantity, 0.1)
                if interval.is_finite:
                    truth = raw_value(better, quantity)
                    hits[quantity].append(interval.lower <= truth <= interval.upper)
    low, high = coverage_band(30, 0.1, n_tested=len(found) - 30)
    deviation = (high - low) / (2.0 * 1.96)
    for quantity, covered in hits.items():
        assert len(covered) > 0.9 * splits * (len(found) - 30), quantity
        assert np.mean(covered) == pytest.approx(
            28 / 31, abs=3.0 * deviation / math.sqrt(splits)
        ), quantity


def test_a_biased_method_is_corrected(calibration, inside):
    raw = [abs(raw_value(a, FREE) - raw_value(b, FREE)) for a, b in inside]
    corrected = [
        abs(calibration.interval(a, FREE, 0.1).value - raw_value(b, FREE)) for a, b in inside
    ]
    assert len(inside) >= 10
    assert np.mean(corrected) < 0.5 * np.mean(raw)


def test_an_interval_says_what_it_is_of(calibration, inside):
    interval = calibration.interval(inside[0][0], FREE, 0.1)
    assert (interval.quantity, interval.calibration) == (FREE, calibration.calibration_id)
    assert interval.coverage == pytest.approx(0.9)
    assert interval.is_finite
    assert interval.upper - interval.value == pytest.approx(interval.value - interval.lower)


@pytest.mark.parametrize("quantity", SINGLE)
def test_a_smaller_risk_is_a_wider_interval(calibration, inside, quantity):
    for cheap, _ in inside:
        widths = [
            calibration.interval(cheap, quantity, alpha).half_width
            for alpha in (0.5, 0.3, 0.2, 0.1, 0.05, 0.01)
        ]
        assert widths == sorted(widths)
        assert widths[-1] == math.inf  # 30 compositions do not know one in a hundred


def test_three_compositions_give_infinite_intervals():
    found = pairs(3, seed=2)
    few = calibrate(found, *SINGLE)
    for cheap, _ in found:
        for quantity in SINGLE:
            interval = few.interval(cheap, quantity, 0.1)
            assert (interval.lower, interval.upper) == (-math.inf, math.inf)
            assert interval.value == raw_value(cheap, quantity)


def test_no_pairs_give_infinite_intervals():
    empty = calibrate([], *SINGLE)
    cheap = pairs(1)[0][0]
    assert not empty.interval(cheap, FREE, 0.1).is_finite
    assert empty.novelty(cheap) == math.inf
    assert empty.stability(cheap, 0.1).verdict is Verdict.UNDETERMINED


def test_a_crystal_out_of_the_domain_has_no_interval(calibration):
    stranger = sample("BH", crystal("B", "H", "zincblende", 12.0), modes(60.0))
    assert calibration.novelty(stranger) > 1.0
    interval = calibration.interval(stranger, FREE, 0.1)
    assert not interval.is_finite
    assert interval.value == raw_value(stranger, FREE)


def test_invalid_thermodynamics_have_no_interval(calibration, inside):
    cheap, _ = inside[0]
    invalid = replace(cheap, thermodynamics=replace(cheap.thermodynamics, valid=False))
    assert calibration.interval(cheap, FREE, 0.1).is_finite
    assert not calibration.interval(invalid, FREE, 0.1).is_finite


def test_a_quantity_that_was_not_calibrated_has_no_interval(calibration, inside):
    elsewhere = Quantity(Property.FREE_ENERGY, 310.0)
    assert not calibration.interval(inside[0][0], elsewhere, 0.1).is_finite


def both(pairs_, prototype_pairs=2):
    groups = {}
    for pair in pairs_:
        groups.setdefault(pair[0].composition, []).append(pair)
    return [group for group in groups.values() if len(group) == prototype_pairs]


@pytest.mark.parametrize("quantity", [DIFFERENCE, RELATIVE])
def test_a_difference_is_antisymmetric(calibration, inside, quantity):
    finite = 0
    for (one, _), (two, _) in both(inside):
        forth = calibration.difference(one, two, quantity, 0.1)
        back = calibration.difference(two, one, quantity, 0.1)
        assert back.value == pytest.approx(-forth.value)
        assert back.half_width == pytest.approx(forth.half_width)
        assert (back.lower, back.upper) == pytest.approx((-forth.upper, -forth.lower))
        finite += forth.is_finite
    assert finite


def test_a_difference_is_corrected_by_the_mean_scale_and_the_share(calibration, inside):
    for (one, _), (two, _) in both(inside):
        found = calibration.difference(one, two, DIFFERENCE, 0.1)
        means = [
            calibration.correction.predict(x.correction_features, x.composition)[0]
            for x in (one, two)
        ]
        share = calibration.shares[DIFFERENCE.name]
        expected = estimate_difference(one, two, DIFFERENCE, sum(means) / 2.0, share)
        assert found.is_finite
        assert found.value == pytest.approx(expected.value)


def test_shared_errors_cancel_in_a_difference():
    """Ends of two single intervals would be twice as far apart as they need to be."""
    found = pairs(40, seed=5, prototypes=POLYMORPHS, common=0.15, own=0.0)
    fitted = calibrate(found[:60], FREE, DIFFERENCE)
    for (one, _), (two, _) in both(found[60:]):
        difference = fitted.difference(one, two, DIFFERENCE, 0.2)
        if difference.is_finite and abs(difference.value) < 10.0:
            single = fitted.interval(one, FREE, 0.2).half_width
            assert difference.half_width < single


def test_different_compositions_are_no_polymorphs(calibration, population):
    with pytest.raises(InconsistentDataError, match="no polymorphs"):
        calibration.difference(population[0][0], population[2][0], DIFFERENCE, 0.1)


def test_static_energies_of_two_sources_are_refused(calibration, population):
    (one, _), (two, _) = population[:2]
    other = replace(two, static_energy_source="dft")
    with pytest.raises(InconsistentDataError, match="static energies"):
        calibration.difference(one, other, RELATIVE, 0.1)
    assert calibration.difference(one, other, DIFFERENCE, 0.1).value is not None


def test_an_interval_of_a_difference_needs_two_crystals(calibration, population):
    with pytest.raises(InconsistentDataError, match="pair"):
        calibration.interval(population[0][0], DIFFERENCE, 0.1)
    with pytest.raises(InconsistentDataError, match="no difference"):
        calibration.difference(population[0][0], population[1][0], FREE, 0.1)


@pytest.mark.parametrize("alpha", [0.0, 1.0, math.nan])
def test_a_risk_is_needed(calibration, population, alpha):
    (one, _), (two, _) = population[:2]
    for refused in (
        lambda: calibration.interval(one, FREE, alpha),
        lambda: calibration.difference(one, two, DIFFERENCE, alpha),
        lambda: calibration.stability(one, alpha),
    ):
        with pytest.raises(SettingError, match="alpha"):
            refused()


def table(n_oxides, n_halides):
    scores = [*np.linspace(1.0, 2.0, n_oxides), *np.linspace(11.0, 12.0, n_halides)]
    names = [*(f"o{i}" for i in range(n_oxides)), *(f"h{i}" for i in range(n_halides))]
    return ScoreTable(tuple(scores), tuple(names), ("oxide",) * n_oxides + ("halide",) * n_halides)


def test_a_chemistry_with_enough_compositions_is_judged_by_its_own():
    large = table(MIN_GROUPS_PER_CLASS, MIN_GROUPS_PER_CLASS)
    assert large.quantile("oxide", 0.1) <= 2.0
    assert large.quantile("halide", 0.1) >= 11.0


def test_a_small_chemistry_is_judged_by_all():
    small = table(MIN_GROUPS_PER_CLASS - 1, MIN_GROUPS_PER_CLASS)
    assert small.quantile("oxide", 0.1) > 11.0
    assert small.quantile("oxide", 0.1) == small.quantile("never seen", 0.1)


def test_compositions_and_not_polymorphs_make_a_chemistry_large():
    many = ScoreTable(
        (*[1.0] * 100, *[9.0] * 30),
        (*[f"o{i % 20}" for i in range(100)], *[f"h{i}" for i in range(30)]),
        (*["oxide"] * 100, *["halide"] * 30),
    )
    assert many.quantile("oxide", 0.1) == 9.0


def test_a_small_risk_needs_a_larger_class():
    large = table(40, 40)
    assert large.quantile("oxide", 0.1) <= 2.0
    assert large.quantile("oxide", 0.02) >= 11.0  # 40 oxides do not know one in fifty


def test_classes_cover_each_of_their_own():
    """Where one chemistry errs more, its own scores keep its own coverage."""
    rng = np.random.default_rng(7)
    hits = {"oxide": [], "halide": []}
    widths = {"oxide": 1.0, "halide": 5.0}
    for _ in range(300):
        drawn = {name: np.abs(rng.normal(size=35)) * widths[name] for name in hits}
        scores = ScoreTable(
            tuple(np.concatenate(list(drawn.values())).tolist()),
            tuple(f"{name}{i}" for name in drawn for i in range(35)),
            tuple(name for name in drawn for _ in range(35)),
        )
        for name, hit in hits.items():
            new = np.abs(rng.normal(size=20)) * widths[name]
            hit.append(np.mean(new <= scores.quantile(name, 0.1)))
    for hit in hits.values():
        assert np.mean(hit) == pytest.approx(33 / 36, abs=0.015)


def test_the_identity_follows_the_content(population):
    one, same, other = (
        calibrate(some, FREE) for some in (population[:20], population[:20], population[:18])
    )
    assert one.calibration_id == same.calibration_id != other.calibration_id
    renamed = replace(one, cheap_family="another")
    assert renamed.calibration_id != one.calibration_id


def test_the_default_quantities_are_all_properties_at_all_temperatures():
    found = default_quantities()
    assert len(found) == len(set(found)) == 1 + 5 * len(DEFAULT_TEMPERATURES_K)
    assert {quantity.kind for quantity in found} == set(Property)


def test_stability_is_judged_by_the_better_method(population):
    """Crystals that the better method calls unstable, by their cheap lowest frequency."""
    rng = np.random.default_rng(0)
    found = []
    for index, (cheap, better) in enumerate(pairs(len(FORMULAS), seed=3)):
        verdict = Verdict.UNSTABLE if index % 2 else Verdict.STABLE
        lowest = rng.normal(-2.0 if index % 2 else 2.0, 0.3)
        found.append(
            (replace(cheap, lowest_frequency_thz=lowest), replace(better, verdict=verdict))
        )
    fitted = calibrate(found, FREE)
    cheap = population[0][0]
    verdicts = [
        fitted.stability(replace(cheap, lowest_frequency_thz=x), 0.1).verdict for x in (-3.0, 3.0)
    ]
    assert verdicts == [Verdict.UNSTABLE, Verdict.STABLE]


def test_a_temperature_that_only_some_references_have_has_fewer_scores():
    found = pairs(20, seed=4)
    short = [
        (cheap, replace(better, thermodynamics=curves(modes(9.0), (300.0, 400.0))))
        for cheap, better in found[:8]
    ]
    cold = Quantity(Property.FREE_ENERGY, 100.0)
    fitted = fit_calibration(
        [*short, *found[8:]], cheap_family="a", reference_family="b", quantities=[FREE, cold]
    )
    assert len(fitted.tables[FREE.name].scores) == 20
    assert len(fitted.tables[cold.name].scores) == 12


def test_a_known_composition_gets_no_narrower_interval_than_a_new_one():
    known = pairs(12, seed=5)
    calibration = calibrate(known)
    cheap, _ = known[0]
    renamed = replace(cheap, composition="Rb2Br5")
    quantity = Quantity(Property.FREE_ENERGY, 300.0)
    widths = [calibration.interval(one, quantity, 0.2).half_width for one in (cheap, renamed)]
    # Only the value profits from what is known of the composition; its slope hardly matters.
    assert widths[0] == pytest.approx(widths[1], rel=0.1)


def test_a_coarse_reference_is_not_interpolated():
    coarse = pairs(12, seed=6)
    coarse = [
        (cheap, replace(better, thermodynamics=only(better.thermodynamics, (300.0, 1000.0))))
        for cheap, better in coarse
    ]
    tables = calibrate(coarse).tables
    held = {Quantity.parse(name).temperature_k for name in tables}
    assert held == {None, 300.0, 1000.0}


def only(curves, temperatures_k):
    """Curves at some points of their grid."""
    keep = np.isin(curves.temperatures_k, temperatures_k)
    names = (
        "temperatures_k",
        "free_energy_mev_per_atom",
        "entropy_mev_per_k_per_atom",
        "heat_capacity_mev_per_k_per_atom",
        "internal_energy_mev_per_atom",
    )
    return replace(curves, **{name: getattr(curves, name)[keep] for name in names})


def test_intervals_at_several_temperatures_hold_together():
    grid = [Quantity(Property.FREE_ENERGY, t) for t in (0.0, 300.0, 1000.0)]
    held = []
    for seed in range(25):
        drawn = pairs(30, seed=seed, common=0.08)
        calibration = calibrate(drawn[:20], *grid)
        for cheap, better in drawn[20:]:
            found = calibration.intervals(cheap, grid, 0.2)
            if all(one.is_finite for one in found):
                truth = [raw_value(better, one) for one in grid]
                inside = [x.lower <= y <= x.upper for x, y in zip(found, truth, strict=True)]
                held.append(all(inside))
        single = [calibration.interval(drawn[0][0], one, 0.2).half_width for one in grid]
        joint = [x.half_width for x in calibration.intervals(drawn[0][0], grid, 0.2)]
        assert all(one <= two for one, two in zip(single, joint, strict=True))
    assert 0.72 <= np.mean(held) <= 0.9


def test_all_pairs_of_a_composition_hold_together():
    drawn = pairs(24, seed=9, prototypes=("rocksalt", "zincblende", "cesium-chloride"))
    quantity = Quantity(Property.FREE_ENERGY_DIFFERENCE, 300.0)
    calibration = calibrate(drawn, quantity)
    samples = [cheap for cheap, _ in drawn[:3]]
    together = calibration.differences(samples, (quantity,), 0.2)
    assert len(together) == 3
    for (one, two), (interval,) in together.items():
        first, second = (next(x for x in samples if x.material_id == name) for name in (one, two))
        assert (
            interval.half_width >= calibration.difference(first, second, quantity, 0.2).half_width
        )


def test_between_two_calibrated_temperatures_both_count():
    known = pairs(20, seed=4)
    at = {t: Quantity(Property.FREE_ENERGY, t) for t in (300.0, 350.0, 400.0)}
    calibration = calibrate(known, at[300.0], at[400.0])
    cheap = known[0][0]
    assert calibration.interval(cheap, at[350.0], 0.2).is_finite
    far = calibrate(known, at[300.0], Quantity(Property.FREE_ENERGY, 1000.0))
    assert not far.interval(cheap, at[350.0], 0.2).is_finite


def test_an_element_like_none_that_was_calibrated_is_refused():
    calibration = calibrate(pairs(30, seed=2))
    cheap = sample("x", crystal("U", "O"), modes(8.0))
    assert calibration.novelty(cheap) == math.inf
    assert not calibration.interval(cheap, FREE, 0.2).is_finite


def test_a_table_of_several_quantities_holds_the_largest_score():
    one = ScoreTable((1.0, 2.0), ("A", "B"), ("oxide", "oxide"), ("a", "b"))
    two = ScoreTable((3.0, 1.0, 9.0), ("A", "B", "C"), ("oxide",) * 3, ("a", "b", "c"))
    assert joint_table([one, two]).scores == (3.0, 2.0)
    assert joint_table([]).scores == ()
