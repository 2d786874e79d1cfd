"""The policy for polymorphs: order, ties, transitions, and who is computed better."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations
from random import Random

import pytest
from decision_cases import CHEAP, LAST, REFERENCE, difference, interval, polymorph
from hypothesis import given, settings
from hypothesis import strategies as st

from screening.decisions.courses import turned
from screening.decisions.evidence import Evidence
from screening.decisions.groups import decide_group
from screening.decisions.outcome import Outcome, Reason
from screening.decisions.questions import OrderQuestion, StabilityQuestion, TransitionQuestion
from screening.errors import InconsistentDataError, SettingError

ORDER = OrderQuestion()
NEAR = TransitionQuestion()
GRID_K = (0.0, 300.0, 600.0)


def flat(value, half_width, grid=GRID_K):
    """Return the same difference at every temperature."""
    return [difference(value, half_width, at_k=one) for one in grid]


def outcomes(found):
    return {name: (one.outcome, one.reason) for name, one in found.decisions.items()}


SETTLED = (Outcome.ACCEPT, Reason.ORDER_SETTLED)
OPEN = (Outcome.ESCALATE, Reason.ORDER_UNDECIDED)
BY_REFERENCE = (Outcome.ACCEPT, Reason.REFERENCE_METHOD)


def test_only_members_of_undecided_pairs_escalate():
    found = decide_group(
        ORDER,
        [polymorph(name) for name in "abcd"],
        {
            ("a", "b"): flat(-0.35, 5.0),
            ("a", "c"): flat(-90.0, 5.0),
            ("c", "b"): flat(89.65, 5.0),
            ("a", "d"): flat(-200.0, 5.0),
            ("d", "b"): flat(199.65, 5.0),
            ("c", "d"): flat(-110.0, 5.0),
        },
    )
    assert outcomes(found) == {"a": OPEN, "b": OPEN, "c": SETTLED, "d": SETTLED}
    assert found.units == (frozenset("ab"),)
    assert found.answer.text == "a ? b < c < d from 0 to 600 K; not settled: a and b"
    assert found.answer.content["undecided"] == [["a", "b"]]
    assert found.decisions["a"].rivals == ("b", "c", "d")
    assert [one.value for one in found.decisions["b"].intervals] == [0.35, -89.65, -199.65]
    assert found.decisions["a"].detail == (
        "against b the relative free energy at 0 K is -0.35 meV/atom [-5.35, 4.65] (90 %), "
        "which leaves the answer open"
    )
    assert found.decisions["c"].detail == (
        "settled against 3 of 3 other polymorphs, the closest to b: "
        "relative free energy at 0 K is 89.65 meV/atom [84.65, 94.65] (90 %)"
    )


def test_a_settled_crossing_is_an_order_too():
    crossing = [difference(value, 2.0, at_k=at) for value, at in ((-9, 0), (-3, 300), (4, 600))]
    found = decide_group(ORDER, [polymorph("a"), polymorph("b")], {("a", "b"): crossing})
    assert outcomes(found) == {"a": SETTLED, "b": SETTLED}
    assert found.answer.text == "a < b from 0 to 300 K; b < a at 600 K"
    assert [run["material_ids"] for run in found.answer.content["runs"]] == [
        ["a", "b"],
        ["b", "a"],
    ]


def test_the_window_leaves_out_what_does_not_matter():
    crossing = [difference(value, 2.0, at_k=at) for value, at in ((-9, 0), (0.5, 300), (4, 600))]
    pair = [polymorph("a"), polymorph("b")]
    assert decide_group(ORDER, pair, {("a", "b"): crossing}).units == (frozenset("ab"),)
    for window in (OrderQuestion(0.0, 200.0), OrderQuestion(301.0, 900.0)):
        assert decide_group(window, pair, {("a", "b"): crossing}).units == ()
    with pytest.raises(SettingError, match="no temperature of the predictions"):
        decide_group(OrderQuestion(301.0, 302.0), pair, {("a", "b"): crossing})


@pytest.mark.parametrize(
    ("resolution", "expected"), [(0.0, OPEN), (0.9, OPEN), (1.0, SETTLED), (5.0, SETTLED)]
)
def test_a_tie_is_an_answer_where_a_resolution_is_given(resolution, expected):
    question = OrderQuestion(resolution_mev_per_atom=resolution)
    found = decide_group(question, [polymorph("a"), polymorph("b")], {("b", "a"): flat(0.25, 0.75)})
    assert outcomes(found) == {"a": expected, "b": expected}
    sign = "=" if expected is SETTLED else "?"
    assert found.answer.text.startswith(f"a {sign} b from 0 to 600 K")


def test_a_single_polymorph_needs_no_computing():
    for alone in (polymorph("a"), polymorph("a", failures=("TIMEOUT",))):
        for question in (ORDER, NEAR):
            found = decide_group(question, [alone], {})
            assert outcomes(found) == {"a": (Outcome.ACCEPT, Reason.SINGLE_POLYMORPH)}
            assert found.units == ()


def without_numbers(outcome):
    return outcome, Reason.POLYMORPH_UNUSABLE


@pytest.mark.parametrize("question", [ORDER, NEAR])
@pytest.mark.parametrize(
    "unusable", [{"failures": ("TIMEOUT",)}, {"thermodynamics_valid": False}, {"failures": ("X",)}]
)
def test_beside_an_unusable_polymorph_all_get_the_method_that_it_gets(question, unusable):
    """Of two, of which one has imaginary modes, nobody says that none comes near."""
    pair = [polymorph("a", -1.0), polymorph("b", -0.99, **unusable)]
    found = decide_group(question, pair, {("a", "b"): flat(-90.0, 1.0)})
    assert outcomes(found)["a"] == without_numbers(Outcome.ESCALATE)
    assert found.decisions["b"].outcome is Outcome.ESCALATE
    assert found.decisions["a"].next_tier == found.decisions["b"].next_tier == 3
    assert found.units == (frozenset("ab"),)
    assert "without usable numbers: b" in found.decisions["a"].detail
    assert found.answer.text.endswith("; without usable numbers: b")
    assert found.answer.content["unusable"] == ["b"]


@pytest.mark.parametrize("question", [ORDER, NEAR])
@pytest.mark.parametrize("standing", [CHEAP, LAST, REFERENCE])
def test_beside_a_polymorph_that_was_given_up_nothing_is_accepted_or_computed(question, standing):
    members = [
        polymorph("a", -1.0, standing=standing),
        polymorph("b", -0.9, standing=standing),
        polymorph("c", -0.99, failures=("TIMEOUT",), standing=LAST),
        polymorph("d", -0.8, thermodynamics_valid=False, standing=REFERENCE),
    ]
    found = decide_group(question, members, {("a", "b"): flat(-90.0, 1.0)})
    assert {outcomes(found)[name] for name in "ab"} == {without_numbers(Outcome.REJECT)}
    assert found.decisions["a"].detail.endswith(
        "without usable numbers: c (all_tiers_failed), d (invalid_thermodynamics); "
        "no method is left for c, d"
    )
    assert found.units == ()


def test_who_has_the_better_method_already_waits_for_the_unusable_one():
    members = [polymorph("a", -1.0, standing=REFERENCE), polymorph("b", failures=("TIMEOUT",))]
    for question in (ORDER, NEAR):
        found = decide_group(question, members, {})
        assert outcomes(found)["a"] == without_numbers(Outcome.REJECT)
        assert found.units == (frozenset("b"),)


def test_failed_and_invalid_members_are_computed_with_the_others():
    members = [
        polymorph("a"),
        polymorph("b"),
        polymorph("c", failures=("TIMEOUT",)),
        polymorph("d", thermodynamics_valid=False),
    ]
    found = decide_group(ORDER, members, {("a", "b"): flat(-9.0, 5.0), ("a", "d"): flat(0.0, 9.0)})
    assert outcomes(found) == {
        "a": without_numbers(Outcome.ESCALATE),
        "b": without_numbers(Outcome.ESCALATE),
        "c": (Outcome.ESCALATE, Reason.PREDICTION_FAILED),
        "d": (Outcome.ESCALATE, Reason.INVALID_THERMODYNAMICS),
    }
    assert found.units == (frozenset("abcd"),)
    given_up = polymorph("e", failures=("ELEMENT_NOT_IN_MODEL",), standing=LAST)
    found = decide_group(ORDER, [*members, given_up], {("a", "b"): flat(-9.0, 5.0)})
    expected = dict.fromkeys("abcd", without_numbers(Outcome.REJECT))
    assert outcomes(found) == expected | {"e": (Outcome.REJECT, Reason.ALL_TIERS_FAILED)}


def test_unknown_differences_are_undecided_with_their_own_reasons():
    members = [polymorph("a"), polymorph("b"), polymorph("c", novelty=2.0)]
    pairs = {("a", "b"): flat(-9.0, math.inf), ("b", "c"): flat(-90.0, 1.0)}
    found = decide_group(ORDER, members, pairs)
    assert outcomes(found) == {
        "a": (Outcome.ESCALATE, Reason.OUT_OF_DOMAIN),
        "b": (Outcome.ESCALATE, Reason.OUT_OF_DOMAIN),
        "c": (Outcome.ESCALATE, Reason.OUT_OF_DOMAIN),
    }
    found = decide_group(ORDER, members[:2], pairs)
    assert outcomes(found)["a"] == (Outcome.ESCALATE, Reason.NOT_CALIBRATED)
    found = decide_group(ORDER, members[:2], {})
    assert outcomes(found)["a"] == (Outcome.ESCALATE, Reason.NOT_CALIBRATED)
    assert found.decisions["a"].detail.startswith("no difference to b is known")
    assert found.answer.content["runs"] == []


def test_an_open_end_that_cannot_change_the_order_does_not_matter():
    far = [difference(-9.0, math.inf, 5.0, at_k=one) for one in GRID_K]
    found = decide_group(ORDER, [polymorph("a"), polymorph("b")], {("a", "b"): far})
    assert outcomes(found) == {"a": SETTLED, "b": SETTLED}


def test_reference_values_are_taken_as_they_are():
    """The two computed ones are ordered; the third, still open, is the only one to go on."""
    members = [
        polymorph("a", standing=REFERENCE),
        polymorph("b", standing=REFERENCE, novelty=9.0),
        polymorph("c"),
    ]
    pairs = {
        ("a", "b"): flat(0.35, 50.0),
        ("a", "c"): flat(-90.0, 5.0),
        ("b", "c"): flat(-3.0, 5.0),
    }
    found = decide_group(ORDER, members, pairs)
    assert outcomes(found) == {"a": BY_REFERENCE, "b": BY_REFERENCE, "c": OPEN}
    assert found.units == (frozenset("c"),)
    assert found.answer.content["undecided"] == [["b", "c"]]
    done = [replace(one, standing=REFERENCE) for one in members]
    found = decide_group(ORDER, done, pairs)
    assert set(outcomes(found).values()) == {BY_REFERENCE}
    assert found.answer.text == "b < a < c from 0 to 600 K"


def test_without_a_higher_tier_the_open_ones_are_rejected():
    members = [polymorph(name, standing=LAST) for name in "ab"]
    found = decide_group(ORDER, members, {("a", "b"): flat(0.35, 5.0)})
    assert set(outcomes(found).values()) == {(Outcome.REJECT, Reason.NO_HIGHER_TIER)}
    assert found.units == ()


def test_differences_that_do_not_add_up_settle_nothing():
    """a below b, b below c, c below a: of three methods, each with narrow intervals."""
    circle = {("a", "b"): flat(-9.0, 1.0), ("b", "c"): flat(-9.0, 1.0), ("c", "a"): flat(-9.0, 1.0)}
    found = decide_group(ORDER, [polymorph(name) for name in "abc"], circle)
    assert set(outcomes(found).values()) == {OPEN}


def three(energies=(-1.0, -0.99, -0.9), **changes):
    return [
        polymorph(name, energy, **changes) for name, energy in zip("abc", energies, strict=True)
    ]


@pytest.mark.parametrize(
    ("courses", "expected"),
    [
        ((9.0, 20.0), Reason.TRANSITIONS_SETTLED),  # surely near at 0 K
        ((14.0, 14.0), Reason.TRANSITIONS_SETTLED),  # surely away everywhere
        ((14.0, 13.0), Reason.TRANSITIONS_UNDECIDED),
        ((12.0, 20.0), Reason.TRANSITIONS_UNDECIDED),
        ((-50.0, 12.0), Reason.TRANSITIONS_SETTLED),
    ],
)
def test_the_rule_of_ten_mev(courses, expected):
    grid = zip(courses, (0.0, 300.0), strict=True)
    course = [difference(value, 0.5 if value == 9.0 else 4.0, at_k=at) for value, at in grid]
    found = decide_group(NEAR, three()[:2], {("b", "a"): course})
    assert {one.reason for one in found.decisions.values()} == {expected}
    if expected is Reason.TRANSITIONS_SETTLED:
        near = [one["material_id"] for one in found.answer.content["candidates"]]
        assert near == ([] if courses == (14.0, 14.0) else ["b"])


def test_transitions_need_the_pairs_with_the_reference_only():
    pairs = {("a", "b"): flat(-8.0, 4.0), ("a", "c"): flat(-90.0, 4.0)}
    found = decide_group(NEAR, three(), pairs)
    open_ = (Outcome.ESCALATE, Reason.TRANSITIONS_UNDECIDED)
    assert outcomes(found) == {
        "a": open_,
        "b": open_,
        "c": (Outcome.ACCEPT, Reason.TRANSITIONS_SETTLED),
    }
    assert found.units == (frozenset("ab"),)
    assert found.answer.text == "below 10 meV/atom above a: none; not settled: b"
    assert found.answer.content["others"] == ["c"]
    both = decide_group(NEAR, three(), {("a", "b"): flat(-8.0, 4.0), ("c", "a"): flat(8.0, 4.0)})
    assert both.units == (frozenset("ab"), frozenset("ac"))


def test_the_reference_polymorph_must_be_usable():
    members = three()
    members[0] = polymorph("a", -1.0, failures=("TIMEOUT",))
    pairs = {("b", "c"): flat(-90.0, 4.0)}
    found = decide_group(NEAR, members, pairs)
    waiting = (Outcome.ESCALATE, Reason.REFERENCE_POLYMORPH_OPEN)
    assert outcomes(found) == {
        "a": (Outcome.ESCALATE, Reason.PREDICTION_FAILED),
        "b": waiting,
        "c": waiting,
    }
    members[0] = polymorph("a", -1.0, failures=("TIMEOUT",), standing=LAST)
    found = decide_group(NEAR, members, pairs)  # given up: the next lowest is the reference
    assert found.answer.content["reference_id"] == "b"
    assert outcomes(found)["c"] == without_numbers(Outcome.REJECT)


def test_what_cannot_be_decided_is_an_error():
    pair = three()[:2]
    fine = flat(-9.0, 1.0)
    for members, differences, words in (
        ([], {}, "no polymorph"),
        ([pair[0], pair[0]], {}, "given twice"),
        (pair, {("a", "b"): fine, ("b", "a"): fine}, "given twice"),
        (pair, {("a", "a"): fine}, "with itself"),
        (pair, {("a", "b"): [interval(1.0, 1.0)]}, "is no difference"),
        (pair, {("a", "b"): [*fine, fine[0]]}, "not given once at every temperature"),
        (pair, {("a", "b"): [difference(1.0, 1.0, coverage=0.8)]}, "covers 80 %"),
        (
            three(),
            {("a", "b"): fine, ("a", "c"): fine[:2]},
            "not given once at every temperature",
        ),
    ):
        with pytest.raises(InconsistentDataError, match=words):
            decide_group(ORDER, members, differences)
    with pytest.raises(SettingError, match="about one crystal"):
        decide_group(StabilityQuestion(), pair, {})


@st.composite
def compositions(draw):
    """Polymorphs with differences that add up, some of them unusable, at the reference or novel."""
    names = [f"ps-{place}" for place in range(draw(st.integers(2, 5)))]
    level = st.integers(-30, 30).map(float)
    levels = {name: [draw(level) for _ in GRID_K[:2]] for name in names}
    kinds = st.sampled_from(
        [
            {},
            {},
            {},
            {"standing": REFERENCE},
            {"standing": LAST},
            {"failures": ("TIMEOUT",)},
            {"thermodynamics_valid": False},
            {"novelty": 2.0},
        ]
    )
    members = [polymorph(name, draw(level), **draw(kinds)) for name in names]
    width = st.one_of(st.integers(0, 30).map(float), st.just(math.inf))
    differences = {
        pair: [
            difference(levels[pair[0]][t] - levels[pair[1]][t], draw(width), draw(width), at_k=at)
            for t, at in enumerate(GRID_K[:2])
        ]
        for pair in combinations(names, 2)
    }
    return members, differences


QUESTIONS = st.sampled_from(
    [ORDER, OrderQuestion(resolution_mev_per_atom=5.0), NEAR, TransitionQuestion(0.0, 100.0, 3.0)]
)


@given(compositions(), QUESTIONS, st.randoms(use_true_random=False))
def test_neither_sequence_nor_direction_matters(composition, question, random: Random):
    members, differences = composition
    expected = decide_group(question, members, differences)
    shuffled = random.sample(members, len(members))
    opposite = {
        (pair[::-1] if random.random() < 0.5 else pair): one for pair, one in differences.items()
    }
    opposite = {
        pair: one if pair in differences else [turned(each) for each in one]
        for pair, one in random.sample(sorted(opposite.items()), len(opposite))
    }
    assert decide_group(question, shuffled, opposite) == expected


@given(compositions(), QUESTIONS)
def test_every_escalated_member_is_in_a_unit_and_no_other(composition, question):
    members, differences = composition
    found = decide_group(question, members, differences)
    escalated = {n for n, one in found.decisions.items() if one.outcome is Outcome.ESCALATE}
    assert frozenset().union(*found.units) == escalated
    assert set(found.decisions) == {one.material_id for one in members}
    for one in members:
        decision = found.decisions[one.material_id]
        if not all(other.is_usable for other in members):
            assert decision.outcome is not Outcome.ACCEPT
        elif one.standing is REFERENCE:
            assert decision.reason is Reason.REFERENCE_METHOD
        assert decision.outcome is not Outcome.ESCALATE or one.standing.next_tier == 3


@given(compositions())
def test_the_order_escalates_exactly_the_members_of_open_pairs(composition):
    """The rule once more, written as one sentence."""
    members, differences = composition
    usable = {one.material_id: one for one in members if one.is_usable}
    members_of_open = set()
    for (first, second), course in differences.items():
        if not {first, second} <= set(usable):
            continue
        pair = usable[first], usable[second]
        if all(one.standing is REFERENCE for one in pair):
            continue
        novel = any(o.evidence.novelty > 1 and o.standing is not REFERENCE for o in pair)
        if novel or any(one.lower <= 0.0 <= one.upper and one.half_width for one in course):
            members_of_open |= {first, second}
    found = decide_group(ORDER, members, differences)
    expected = {name for name in members_of_open if usable[name].standing is CHEAP}
    if len(usable) < len(members):  # then all or nobody
        hopeless = any(not one.is_usable and one.standing is LAST for one in members)
        assert not hopeless or not found.units
        cheap = {name for name, one in usable.items() if one.standing is CHEAP}
        expected = set() if hopeless else cheap
    escalated = {n for n in usable if found.decisions[n].outcome is Outcome.ESCALATE}
    assert escalated == expected


def _narrower(one, factor):
    """Pull both ends towards the value; an open end comes in from far away."""

    def end(width):
        return factor * (width if math.isfinite(width) else 1e6)

    return replace(
        one,
        lower=one.value - end(one.value - one.lower),
        upper=one.value + end(one.upper - one.value),
    )


@given(compositions(), QUESTIONS, st.floats(0.0, 1.0))
def test_narrower_intervals_never_escalate_more(composition, question, factor):
    members, differences = composition
    narrower = {
        pair: [_narrower(one, factor) for one in course] for pair, course in differences.items()
    }
    before = decide_group(question, members, differences).decisions
    after = decide_group(question, members, narrower).decisions
    for name, one in after.items():
        if before[name].outcome is Outcome.ACCEPT:
            assert one.outcome is Outcome.ACCEPT


@settings(max_examples=50)
@given(compositions())
def test_exact_differences_give_the_order_of_the_levels(composition):
    members, differences = composition
    done = [polymorph(one.material_id, standing=REFERENCE) for one in members]
    found = decide_group(ORDER, done, differences)
    for run in found.answer.content["runs"]:
        place = GRID_K.index(run["lowest_temperature_k"])
        for below, above in combinations(run["material_ids"], 2):
            pair = (min(below, above), max(below, above))
            value = differences[pair][place].value * (1 if pair == (below, above) else -1)
            assert value < 0 or (value == 0 and list(pair) in run["tied"])


def test_without_static_energies_of_one_method_nobody_knows_where_transitions_start():
    members = [polymorph("a"), polymorph("b", standing=REFERENCE), polymorph("c", -1.0)]
    found = decide_group(NEAR, members, {("a", "c"): flat(-9.0, 1.0)})
    undecided = Reason.TRANSITIONS_UNDECIDED
    assert outcomes(found) == {
        "a": (Outcome.ESCALATE, undecided),
        "b": (Outcome.REJECT, undecided),
        "c": (Outcome.ESCALATE, undecided),
    }
    assert found.units == (frozenset("ac"),)


@pytest.mark.parametrize("question", [ORDER, NEAR])
@pytest.mark.parametrize(
    "missing",
    [
        {"is_waiting": True},
        {"is_waiting": True, "is_asked": False},
        {"evidence": Evidence("c", failures=("TIMEOUT",)), "is_asked": False},
        {"evidence": Evidence("c", thermodynamics_valid=False), "is_asked": False},
    ],
)
def test_nothing_is_accepted_while_a_polymorph_is_missing(question, missing):
    third = replace(polymorph("c", -0.9), **missing)
    members = [*three()[:2], third]
    found = decide_group(question, members, {("a", "b"): flat(-90.0, 1.0)})
    assert outcomes(found) == dict.fromkeys("ab", (Outcome.REJECT, Reason.POLYMORPHS_MISSING))
    assert found.answer.content["missing"] == ["c"]
    assert found.decisions["a"].detail.endswith("without numbers yet: c")
    assert found.units == ()
    alone = decide_group(question, [members[0], third], {})
    assert outcomes(alone) == {"a": (Outcome.REJECT, Reason.POLYMORPHS_MISSING)}
    given_up = replace(polymorph("c", failures=("TIMEOUT",), standing=LAST), is_asked=False)
    found = decide_group(question, [*members[:2], given_up], {("a", "b"): flat(-90.0, 1.0)})
    assert {outcomes(found)[name] for name in "ab"} == {without_numbers(Outcome.REJECT)}


def test_an_open_pair_is_computed_better_whoever_else_is_missing():
    members = [*three()[:2], replace(polymorph("c"), is_waiting=True)]
    found = decide_group(ORDER, members, {("a", "b"): flat(-1.0, 5.0)})
    assert outcomes(found) == {"a": OPEN, "b": OPEN}
    assert found.units == (frozenset("ab"),)
    assert outcomes(decide_group(NEAR, members, {("a", "b"): flat(-9.0, 5.0)})) == dict.fromkeys(
        "ab", (Outcome.REJECT, Reason.POLYMORPHS_MISSING)
    )


def test_who_was_not_asked_about_is_compared_with_but_not_computed():
    members = [polymorph("a"), replace(polymorph("b"), is_asked=False)]
    not_asked = (Outcome.REJECT, Reason.POLYMORPH_NOT_ASKED)
    settled = decide_group(ORDER, members, {("a", "b"): flat(-9.0, 5.0)})
    assert outcomes(settled) == {"a": SETTLED}
    assert settled.answer.text == "a < b from 0 to 600 K"
    still_open = {("a", "b"): flat(-1.0, 5.0)}
    assert outcomes(decide_group(ORDER, members, still_open)) == {"a": not_asked}
    best = [replace(members[0], standing=REFERENCE), members[1]]
    assert outcomes(decide_group(ORDER, best, still_open)) == {"a": not_asked}
    other_is_better = [members[0], replace(members[1], standing=REFERENCE)]
    assert outcomes(decide_group(ORDER, other_is_better, still_open)) == {"a": OPEN}
    no_ladder = [replace(one, standing=LAST) for one in members]
    found = decide_group(ORDER, no_ladder, still_open)
    assert outcomes(found) == {"a": (Outcome.REJECT, Reason.NO_HIGHER_TIER)}
