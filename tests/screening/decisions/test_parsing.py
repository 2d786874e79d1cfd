"""Reading questions as people type them."""

from __future__ import annotations

import pytest
from decision_cases import questions
from hypothesis import given
from hypothesis import strategies as st

from screening.decisions.parsing import parse_question, parse_questions
from screening.decisions.questions import (
    FilterQuestion,
    OrderQuestion,
    PropertyQuestion,
    StabilityQuestion,
    TransitionQuestion,
)
from screening.errors import SettingError
from screening.quantities import Property, Quantity

F = Property.FREE_ENERGY


@given(questions)
def test_canonical_text_round_trips(question):
    assert parse_question(question.text) == question
    assert parse_question(f"  {question.text.replace(' ', '   ')} ") == question


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("free-energy", PropertyQuestion(F, 10.0)),
        ("Free Energy", PropertyQuestion(F, 10.0)),
        ("entropy", PropertyQuestion(Property.ENTROPY, 10.0)),
        ("heat-capacity at 500K", PropertyQuestion(Property.HEAT_CAPACITY, 10.0, (500.0,))),
        ("free_energy at 300,600 K", PropertyQuestion(F, 10.0, (300.0, 600.0))),
    ],
)
def test_short_words_of_properties(text, expected):
    assert parse_question(text, tolerance=10) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("stability", StabilityQuestion()),
        ("STABILITY", StabilityQuestion()),
        ("order", OrderQuestion()),
        ("order at 300 K", OrderQuestion(300.0, 300.0)),
        ("order within 1", OrderQuestion(resolution_mev_per_atom=1.0)),
        ("transitions", TransitionQuestion()),
        ("transition from 100 to 200 K", TransitionQuestion(100.0, 200.0)),
        ("transitions below 5 meV/atom", TransitionQuestion(candidate_mev_per_atom=5.0)),
        ("free-energy within 5", PropertyQuestion(F, 5.0)),
        ("free_energy_300k_mev_per_atom<20", FilterQuestion(Quantity(F, 300.0), "<", 20.0)),
        (
            "lowest_frequency_thz >= -.5e-1",
            FilterQuestion(Quantity(Property.LOWEST_FREQUENCY), ">=", -0.05),
        ),
    ],
)
def test_short_words_of_the_others(text, expected):
    assert parse_question(text) == expected


def test_options_fill_what_the_text_leaves_open():
    assert parse_question("free-energy", tolerance=5, temperatures_k=[600, 300]) == (
        PropertyQuestion(F, 5.0, (300.0, 600.0))
    )
    assert parse_question("order", temperatures_k=[300, 600]) == OrderQuestion(300.0, 600.0)
    assert parse_question("transitions", temperatures_k=[300]) == TransitionQuestion(300.0, 300.0)


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("", {}, "is no question"),
        ("beauty", {}, "is no question"),
        ("free_energy_300k_mev_per_atom = 3", {}, "is no question"),
        ("lowest_frequency_thz > 0 and lowest_frequency_thz < 9", {}, "is no question"),
        ("unknown_thz > 0", {}, "names no quantity"),
        ("free_energy_300k > 0", {}, "names no quantity"),
        ("relative_free_energy_300k_mev_per_atom < 0", {}, "pair of polymorphs"),
        ("lowest_frequency_thz > nan", {}, "is no bound"),
        ("free-energy", {}, "has no tolerance"),
        ("free-energy", {"tolerance": 0}, "exact value"),
        ("free-energy within 10 kJ/mol", {}, "Write meV/atom"),
        ("entropy within 10 meV/atom", {}, "Write meV/K/atom"),
        ("free-energy within 10", {"tolerance": 5}, "Say it once"),
        ("free-energy at 300 K", {"tolerance": 5, "temperatures_k": [400]}, "Say it once"),
        ("stability", {"tolerance": 5}, "takes no tolerance"),
        ("order", {"tolerance": 5}, "takes no tolerance"),
        ("transitions", {"tolerance": 5}, "takes no tolerance"),
        ("lowest_frequency_thz > 0", {"tolerance": 5}, "takes no tolerance"),
        ("stability", {"temperatures_k": [300]}, "takes no further temperature"),
        ("order", {"temperatures_k": [1, 2, 3]}, "are no window"),
        ("order", {"temperatures_k": []}, "are no window"),
        ("order", {"temperatures_k": [600, 300]}, "is empty"),
        ("order from 600 to 300 K", {}, "is empty"),
        ("free-energy", {"tolerance": 5, "temperatures_k": []}, "no temperature"),
        ("x" * 2000, {}, "2000 characters"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(text, options, words):
    with pytest.raises(SettingError) as caught:
        parse_question(text, **options)
    assert words in str(caught.value)
    assert caught.value.subject


@given(st.text(max_size=60))
def test_any_text_is_a_question_or_a_setting_error(text):
    try:
        question = parse_question(text, tolerance=1.0)
    except SettingError:
        return
    assert parse_question(question.text) == question


def test_options_go_where_they_are_taken():
    asked = parse_questions(
        ["free-energy", "stability", "order", "free-energy at 900 K within 50"],
        tolerance=10,
        temperatures_k=[300, 600],
    )
    assert [one.text for one in asked] == [
        "free_energy at 300, 600 K within 10 meV/atom",
        "stability",
        "order from 300 to 600 K",
        "free_energy at 900 K within 50 meV/atom",
    ]
    assert parse_questions(["stability", "stability"]) == (StabilityQuestion(),)


@pytest.mark.parametrize(
    ("texts", "options", "words"),
    [
        ([], {}, "nothing is asked"),
        (["stability", "order"], {"tolerance": 5}, "'stability' and 'order' takes no tolerance"),
        (["free-energy", "entropy"], {"tolerance": 5}, "'free-energy' in meV/atom and 'entropy'"),
        (["stability"], {"temperatures_k": [300]}, "takes no further temperature"),
    ],
)
def test_options_that_nothing_takes_are_refused(texts, options, words):
    with pytest.raises(SettingError, match=words):
        parse_questions(texts, **options)
