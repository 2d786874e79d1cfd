import json

import numpy as np
import pytest

from screening.errors import ModelCorruptError
from screening.novelty import MEASURES
from screening.novelty_limits import NoveltyLimits

LIMITS = NoveltyLimits((0.02, 0.01, 0.01, 10.0, 12.0), 1.5)


def test_one_in_twenty_like_the_others_is_refused_and_a_stranger_sets_no_limit():
    measures = np.random.default_rng(0).gamma(4.0, size=(199, len(MEASURES)))
    measures[0] = 1e4
    limits = NoveltyLimits.of(measures)
    refused = [limits.refusal(one, "x") is not None for one in measures]
    assert 0.04 <= np.mean(refused) <= 0.06
    assert limits.limit < 10.0


def test_crystals_that_are_all_alike_leave_room_for_rounding():
    """Nothing is a hundred billion times as far as nothing."""
    limits = NoveltyLimits.of(np.zeros((30, len(MEASURES))))
    assert limits.limit == 1.0
    assert limits.novelty(np.array([1e-4, 1e-4, 1e-4, 0.1, 0.1])) < 1.0
    assert limits.novelty(np.array([0.01, 0.0, 0.0, 0.0, 0.0])) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("worst", "size", "said"),
    [
        (0, 0.08, "an atom seems 0.08 Å from its place, and crystals at rest reach 0.03"),
        (1, 0.03, "its lattice seems strained by 3 %, and crystals at rest reach 1.5 %"),
        (2, 0.05, "its volume seems 5 % off, and crystals at rest reach 1.5 %"),
        (3, 30.0, "the surroundings of an atom are 2 times as unusual as the limit"),
        (4, 36.0, "the bonds of the cell are 2 times as unusual as the limit"),
    ],
)
def test_a_refusal_says_what_is_wrong_in_units(worst, size, said):
    measures = np.zeros(len(MEASURES))
    assert LIMITS.refusal(measures, "KZnF3") is None
    measures[worst] = size
    refusal = LIMITS.refusal(measures, "KZnF3")
    assert said in str(refusal)
    assert "KZnF3" in str(refusal)


@pytest.mark.parametrize(
    ("worst", "size", "said"),
    [
        (0, 0.030004, "0.030004 Å from its place, and crystals at rest reach 0.03"),
        (1, 0.01504, "strained by 1.504 %, and crystals at rest reach 1.5 %"),
        (2, 0.01504, "seems 1.504 % off, and crystals at rest reach 1.5 %"),
        (3, 15.003, "are 1.0002 times as unusual"),
    ],
)
def test_what_is_just_beyond_the_limit_does_not_look_like_the_limit(worst, size, said):
    measures = np.zeros(len(MEASURES))
    measures[worst] = size
    assert said in str(LIMITS.refusal(measures, "x"))


def test_what_is_not_a_number_is_refused():
    measures = np.full(len(MEASURES), np.nan)
    assert LIMITS.refusal(measures, "x") is not None


def test_limits_survive_plain_json():
    assert NoveltyLimits.from_dict(json.loads(json.dumps(LIMITS.as_dict()))) == LIMITS


@pytest.mark.parametrize(
    "spoil",
    [
        {"scales": [1.0, 1.0]},
        {"scales": [1.0, 1.0, 1.0, 1.0, 0.0]},
        {"scales": 5},
        {"limit": "a"},
        {"limit": float("nan")},
        {"limit": None},
    ],
)
def test_limits_that_cannot_be_are_refused(spoil):
    with pytest.raises(ModelCorruptError):
        NoveltyLimits.from_dict(LIMITS.as_dict() | spoil)
    with pytest.raises(ModelCorruptError):
        NoveltyLimits.from_dict({})
