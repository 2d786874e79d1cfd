"""One prediction per material, of one method for all where possible."""

from __future__ import annotations

from stores.builders.phases import candidate_of, choose_predictions


def test_one_method_for_all_where_they_share_one(make_structure, make_prediction):
    one, two = make_structure("a"), make_structure("b")
    shared = {"a": make_prediction(one), "b": make_prediction(two)}
    better = make_prediction(one, tier=3, method="dft")
    chosen = choose_predictions({"a": [better, shared["a"]], "b": [shared["b"]]})
    assert chosen == shared
    # The higher of two that both share wins.
    both = make_prediction(two, tier=3, method="dft")
    chosen = choose_predictions({"a": [better, shared["a"]], "b": [both, shared["b"]]})
    assert chosen == {"a": better, "b": both}
    assert choose_predictions({}) == {}
    assert choose_predictions({"a": []}) == {}


def test_models_are_told_apart_by_digest_and_given_data_by_name(make_structure, make_prediction):
    structure = make_structure("a")
    made = candidate_of(structure, make_prediction(structure))
    assert made.potential_energy_digest == "b" * 64
    given = candidate_of(structure, make_prediction(structure, tier=3, method="dft"))
    assert given.potential_energy_digest is None
