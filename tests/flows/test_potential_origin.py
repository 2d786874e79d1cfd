"""What a potential learned before its own training, over any number of trainings."""

from flows.potential_origin import STARTED_FROM, with_earlier
from screening.network_potential.last_layer import EARLIER_IS_KNOWN

SPLIT = {"training_groups": ["KCl", "NaCl"], "held_out_groups": ["MgO"]}


def card(split, notes, started_from):
    return {"split": split, "notes": notes, STARTED_FROM: started_from}


def test_random_weights_had_learned_nothing():
    assert with_earlier(SPLIT, None) == (SPLIT, [])


def test_all_that_was_learned_is_added_up():
    earlier = {"split": {"training_groups": ["LiF"], "held_out_groups": ["KCl"]}}
    split, notes = with_earlier(SPLIT, earlier)
    assert split["training_groups"] == ["KCl", "LiF", "NaCl"]
    assert split["held_out_groups"] == ["MgO"]
    assert split[EARLIER_IS_KNOWN] is True
    assert notes == []
    _, notes = with_earlier(SPLIT, {"split": {"training_groups": ["MgO"]}})
    assert notes == ["1 held-out compositions were learned by the weights it started from"]


def test_what_is_not_known_stays_unknown_in_later_trainings():
    for foreign in ({}, {"foundation": "mace:medium@0123456789ab"}, {"split": {}}):
        split, [note] = with_earlier(SPLIT, foreign)
        assert split[EARLIER_IS_KNOWN] is False
        assert "is not known" in note
        later, [note] = with_earlier(SPLIT, card(split, [note], "mace:medium@0123456789ab"))
        assert later[EARLIER_IS_KNOWN] is False
        assert "is not known" in note


def test_cards_of_earlier_releases_name_a_foreign_network_by_its_digest():
    found = [
        with_earlier(SPLIT, card(SPLIT, [], name))[0][EARLIER_IS_KNOWN]
        for name in ("mace:big.model@0123456789ab", "mace:metals", "")
    ]
    assert found == [False, True, True]
