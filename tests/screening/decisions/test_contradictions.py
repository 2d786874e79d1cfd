"""Questions that cannot be asked together."""

from __future__ import annotations

from itertools import permutations

import pytest
from decision_cases import filter_questions, numbers
from hypothesis import given
from hypothesis import strategies as st

from screening.decisions.contradictions import check_questions
from screening.decisions.parsing import parse_question
from screening.errors import SettingError

F300 = "free_energy_300k_mev_per_atom"


@pytest.mark.parametrize(
    "pair",
    [
        (f"{F300} < 10", f"{F300} > 20"),
        (f"{F300} < 10", f"{F300} > 10"),
        (f"{F300} <= 10", f"{F300} > 10"),
        ("free-energy within 5", "free-energy at 300, 600 K within 10"),
        ("order within 1", "order from 500 to 700 K"),
        ("transitions", "transitions at 300 K below 5"),
    ],
)
def test_contradictions_name_both(pair):
    asked = [parse_question(text) for text in pair]
    for order in permutations(asked):
        with pytest.raises(SettingError) as caught:
            check_questions(order)
        assert all(f"'{one.text}'" in caught.value.message for one in asked)
        assert caught.value.hint


@pytest.mark.parametrize(
    "pair",
    [
        (f"{F300} > 10", f"{F300} < 20"),
        (f"{F300} <= 10", f"{F300} >= 10"),
        (f"{F300} < 10", f"{F300} < 20"),
        (f"{F300} < 10", "free_energy_600k_mev_per_atom > 20"),
        ("free-energy within 5", "free-energy at 600 K within 10"),
        ("free-energy within 5", "entropy within 10"),
        ("order within 1 meV/atom", "transitions"),
        ("order from 0 to 100 K within 1", "order from 200 to 300 K within 2"),
        ("stability", "order"),
    ],
)
def test_what_can_be_asked_together(pair):
    asked = tuple(parse_question(text) for text in pair)
    assert check_questions(asked) == asked


@given(filter_questions, filter_questions, numbers)
def test_filters_that_some_value_passes_are_never_refused(first, second, value):
    if first.quantity == second.quantity and first.holds(value) and second.holds(value):
        assert check_questions([first, second])


@given(st.lists(filter_questions, min_size=1, max_size=4))
def test_repeats_are_dropped(asked):
    try:
        once = check_questions(asked)
    except SettingError:
        return
    assert check_questions(asked * 2) == once
    assert len(set(once)) == len(once)
