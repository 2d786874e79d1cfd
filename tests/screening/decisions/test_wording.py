"""Numbers in the words of a decision."""

from __future__ import annotations

import math

from decision_cases import LOWEST, interval

from screening.decisions.wording import (
    interval_content,
    interval_text,
    percent,
    rounded,
    window_text,
)


def test_numbers_people_read():
    assert [rounded(one) for one in (0.0, 41.2345, -0.000123456, math.inf, -math.inf)] == [
        "0",
        "41.23",
        "-0.0001235",
        "unbounded",
        "unbounded",
    ]
    assert (percent(0.9), percent(0.995)) == ("90 %", "99.5 %")
    assert window_text(300.0, 300.0) == "at 300 K"
    assert window_text(0.0, 300.5) == "from 0 to 300.5 K"


def test_an_interval_is_said_with_its_unit_and_kept_without_infinities():
    open_end = interval(0.5, 0.25, math.inf, LOWEST)
    assert interval_text(open_end) == "lowest frequency is 0.5 THz [0.25, unbounded] (90 %)"
    nothing = interval(0.5, math.inf, math.inf, LOWEST)
    assert interval_text(nothing) == "lowest frequency is 0.5 THz, not calibrated"
    assert interval_text(interval(3.0, 0.0)) == "free energy at 300 K is 3 meV/atom"
    assert interval_content(open_end) == {
        "quantity": "lowest_frequency_thz",
        "value": 0.5,
        "lower": 0.25,
        "upper": None,
        "coverage": 0.9,
    }
