"""The pure parts of the routing benchmark, on made-up crystals whose errors are known."""

import importlib
import math
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from calibrated_crystals import pairs

from screening.decisions.questions import OrderQuestion, PropertyQuestion
from screening.prediction import ThermodynamicsSpread, Verdict
from screening.quantities import Property, Quantity
from screening.structure import canonical_crystal
from screening.uncertainty.estimates import raw_value
from screening.uncertainty.interval import Interval
from screening.uncertainty.risk import StabilityJudgement

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
F = Quantity(Property.FREE_ENERGY, 300.0)
DIFFERENCE = Quantity(Property.FREE_ENERGY_DIFFERENCE, 300.0)


@pytest.fixture(scope="module")
def modules():
    """The modules of the benchmark by name; at the end of the path, as when it is run."""
    path = list(sys.path)
    sys.path.append(BENCHMARKS)
    yield importlib.import_module
    sys.path[:] = path


@pytest.fixture(scope="module")
def cases(modules):
    """Crystals of 30 compositions with two polymorphs each."""
    made = modules("routing_crystals").Case

    def case(cheap, better):
        grid = cheap.thermodynamics.temperatures_k
        spread = ThermodynamicsSpread(
            *(np.full(len(grid), 0.3 * len(cheap.material_id)) for _ in range(3)),
            lowest_frequency_std_thz=0.1,
            n_members=2,
        )
        return made(
            name=cheap.material_id,
            crystal=canonical_crystal(cheap.structure),
            cheap=cheap,
            committee=replace(cheap, spread=spread),
            better=better,
            reference=None,
            predictions=(None, None),
        )

    return [case(*pair) for pair in pairs(30, prototypes=("rocksalt", "zincblende"))]


@pytest.fixture(scope="module")
def splits(modules, cases):
    return modules("routing_splits").make_splits(cases, [], 6, seed=3)


def test_no_composition_is_both_calibrated_and_tested(cases, splits):
    for split in splits:
        known = {case.composition for case in split.known}
        tested = {case.composition for case in split.tested}
        assert len(known) == 20
        assert len(tested) == 10
        assert not known & tested
        assert len(split.known) + len(split.tested) == len(cases)
        assert set(split.calibration.material_ids) == {x.cheap.material_id for x in split.known}
    assert len({frozenset(x.name for x in split.tested) for split in splits}) > 1


def test_the_seed_alone_decides_the_splits(modules, cases, splits):
    again = modules("routing_splits").make_splits(cases, [], 1, seed=3)[0]
    assert again.calibration.calibration_id == splits[0].calibration.calibration_id


@pytest.mark.parametrize(
    ("compositions", "calibrated"), [(0, 0), (1, 0), (12, 11), (30, 20), (90, 60)]
)
def test_two_thirds_calibrate_but_at_least_twenty(modules, compositions, calibrated):
    assert modules("routing_splits").n_calibrated(compositions) == calibrated


def test_every_composition_weighs_the_same(modules):
    mean = modules("routing_splits").mean_over_groups
    assert mean([1.0, 0.0, 0.0, 0.0], ["a", "b", "b", "b"]) == 0.5
    assert math.isnan(mean([], []))


def test_intervals_of_a_known_bias_cover_and_correct(modules, splits):
    coverage = modules("routing_coverage")
    trials = coverage.thermal_trials(splits, F, 0.1)
    assert 0.8 <= np.mean([trial.is_covered for trial in trials]) <= 1.0
    corrected = np.mean([abs(t.interval.value - t.truth) for t in trials])
    assert corrected < 0.5 * np.mean([abs(t.raw - t.truth) for t in trials])


@pytest.fixture
def ask(modules, splits):
    """Ask for F of one crystal with an interval of a chosen half width and error."""

    def asked(half_width, error, tolerance=10.0):
        split = splits[0]
        case = next(x for x in split.tested if split.calibration.novelty(x.cheap) <= 1.0)
        value = raw_value(case.better, F) + error
        interval = Interval(F, value, value - half_width, value + half_width, 0.9)
        question = PropertyQuestion(Property.FREE_ENERGY, tolerance)
        return modules("routing_policy").ask_property(split, case, question, interval, 0.1)

    return asked


@pytest.mark.parametrize(
    ("half_width", "error", "sent", "wrong", "outside"),
    [
        (9.0, 0.0, 0, 0, 0),
        (9.0, 9.5, 0, 0, 1),
        (9.0, 12.0, 0, 1, 1),
        (11.0, 50.0, 1, 0, 0),
        (math.inf, 0.0, 1, 0, 0),
    ],
)
def test_only_an_accepted_answer_can_be_wrong(ask, half_width, error, sent, wrong, outside):
    tally = ask(half_width, error)
    assert (tally.sent, tally.wrong, tally.outside) == (sent, wrong, outside)
    assert tally.claimed == 1 - sent
    assert tally.undecided == 0


@pytest.mark.parametrize(
    ("offset", "half_width", "resolution", "expected"),  # sent, claimed, wrong
    [
        (0.0, 0.01, 0.0, (0, 1, 0)),
        (-2.0, 0.01, 0.0, (0, 1, 1)),
        (0.0, 2.0, 0.0, (2, 0, 0)),
        (0.0, 2.0, 4.0, (0, 1, 0)),
        (0.0, 2.0, 2.5, (2, 0, 0)),
    ],
)
def test_polymorphs_are_sent_where_the_interval_holds_zero(
    modules, splits, offset, half_width, resolution, expected
):
    policy = modules("routing_policy")
    split = splits[0]
    group = next(
        group
        for group in modules("routing_splits").groups_of(split.tested).values()
        if all(split.calibration.novelty(case.cheap) <= 1.0 for case in group)
    )
    truth = policy.difference_of([case.better for case in group], DIFFERENCE)
    scale = 1.0 / abs(truth)  # in units of the true difference, which then is one
    value = truth * (1.0 + offset)
    half = half_width / scale
    names = tuple(case.cheap.material_id for case in group)
    known = {names: [Interval(DIFFERENCE, value, value - half, value + half, 0.9)]}
    question = OrderQuestion(300.0, 300.0, resolution / scale)
    tally = policy.ask_order(split, group, question, known, 0.1)
    assert (tally.sent, tally.claimed, tally.wrong) == expected
    assert tally.undecided == 0
    turned = {names[::-1]: [Interval(DIFFERENCE, -value, -value - half, -value + half, 0.9)]}
    assert policy.ask_order(split, group[::-1], question, turned, 0.1) == tally


@pytest.mark.parametrize(
    ("verdict", "truth", "sent", "wrong"),
    [
        (Verdict.STABLE, Verdict.STABLE, 0, 0),
        (Verdict.UNSTABLE, Verdict.STABLE, 0, 1),
        (Verdict.UNDETERMINED, Verdict.STABLE, 1, 0),
        (Verdict.STABLE, Verdict.UNSTABLE, 0, 1),
    ],
)
def test_a_verdict_is_wrong_or_sent(modules, cases, verdict, truth, sent, wrong):
    judgement = StabilityJudgement(verdict, 0.0, 0.1, -0.1)
    case = cases[0]
    if truth is Verdict.UNSTABLE:
        unstable = modules("routing_unstable").UnstableCase
        case = unstable(case.name, case.cheap, case.committee)
    tally = modules("routing_policy").ask_stability(judgement, case, 0.1)
    assert (tally.sent, tally.wrong) == (sent, wrong)
    assert tally.is_unstable == (truth is Verdict.UNSTABLE)
    refused = modules("routing_policy").ask_stability(judgement, case, 0.1, novelty=1.5)
    assert (refused.sent, refused.wrong) == (1, 0)


def test_calls_at_an_error_are_interpolated_and_all_calls_leave_none(modules):
    curves = modules("routing_curves")
    curve = curves.curve_of(
        "",
        "",
        [curves.Point(0.2, 0.5, 0.2), curves.Point(0.9, 0.0, 0.4), curves.Point(0.1, 1.0, 0.0)],
    )
    assert [point.sent for point in curve.points] == [0.0, 0.5, 1.0]
    found = [curves.calls_at(curve, error) for error in (0.5, 0.4, 0.3, 0.2, 0.1, 0.0)]
    assert found == pytest.approx([0.0, 0.0, 0.25, 0.5, 0.75, 1.0])
    assert math.isnan(curves.calls_at(curves.Curve("", "", ()), 0.1))


def test_wrong_answers_are_bounded_by_the_binomial_band(modules):
    highest = modules("routing_risk").highest_fraction
    assert highest(0.1, 30) == 7 / 30
    assert highest(0.1, 10_000) == pytest.approx(0.1, abs=0.01)
    assert math.isnan(highest(0.1, 0))


def test_a_threshold_sends_what_has_the_larger_spread(modules, cases):
    policy = modules("routing_policy")
    values = [(case, raw_value(case.better, F)) for case in cases]
    tallies = policy.guess_property(values, F, 1.0, lambda case: case.name.endswith("rocksalt"))
    assert sum(tally.sent for tally in tallies) == len(cases) // 2
    assert not any(tally.wrong for tally in tallies)
    off = [(case, value + 2.0) for case, value in values]
    tallies = policy.guess_property(off, F, 1.0, lambda case: case.name.endswith("rocksalt"))
    assert sum(tally.wrong for tally in tallies) == len(cases) // 2


def test_the_whole_evaluation_runs_on_any_crystals(modules, splits, cases, tmp_path):
    properties = modules("routing_property").answer_properties(splits[:2])
    orders = modules("routing_order").answer_orders(splits[:2])
    unstable = modules("routing_unstable").UnstableCase
    known = [
        unstable(x.name, replace(x.cheap, lowest_frequency_thz=-3.0), x.committee) for x in cases
    ]
    mixed = modules("routing_splits").make_splits(cases, known, 2, seed=0)
    figures, curves = modules("routing_stability").answer_stability(mixed, known, [])
    missed = [one for one in figures if one.name.startswith("stability, alpha 0.1")]
    assert [one.value for one in missed] == [0.0]
    drawn = modules("routing_plots").draw_curves(
        [*properties.curves, *orders.curves, *curves], tmp_path
    )
    assert all(path.stat().st_size > 10_000 for path in drawn)
    assert len(drawn) == 3
    assert "half width" in properties.why
    for curve in (*properties.curves, *orders.curves, *curves):
        assert all(0.0 <= point.sent <= 1.0 and 0.0 <= point.error <= 1.0 for point in curve.points)


def test_unstable_crystals_have_cells_references_and_compositions_of_their_own(modules):
    listed = modules("unstable").UNSTABLE
    assert len(listed) >= 15
    structures = [entry.structure for entry in listed]
    formulas = [structure.composition.reduced_formula for structure in structures]
    assert len(set(formulas)) == len(formulas)
    for entry, structure in zip(listed, structures, strict=True):
        assert entry.reference.endswith(")"), entry.name
        assert structure.is_valid(tol=1.5), entry.name
        symbol = canonical_crystal(structure).space_group_symbol
        assert symbol == entry.space_group, entry.name


def test_an_unstable_crystal_that_fails_is_counted(modules, capsys):
    module = modules("routing_unstable")

    def predict(_):
        raise ValueError("no forces")

    broken = SimpleNamespace(predict=predict)
    found, failures = module.compute_unstable(broken, broken, modules("unstable").UNSTABLE[:2])
    assert found == []
    assert len(failures) == 2
    assert "BaTiO3" in failures[0]
    assert "no forces" in capsys.readouterr().out
