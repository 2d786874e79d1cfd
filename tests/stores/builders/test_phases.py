"""One prediction per material, of one method for all where possible."""

from __future__ import annotations

import numpy as np

from stores.builders.phases import anchored_predictions, candidate_of, choose_predictions


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


def test_a_better_method_orders_the_phases_that_have_it(make_structure, make_prediction):
    names = ("a", "b", "c")
    structures = {name: make_structure(name) for name in names}
    cheap = {
        name: make_prediction(structures[name], shift_mev=shift)
        for name, shift in zip(names, (0.0, 5.0, 40.0), strict=True)
    }
    better = {
        name: make_prediction(structures[name], tier=3, method="dft", shift_mev=shift)
        for name, shift in (("a", 31.0), ("b", 30.0))
    }
    predictions = {n: [x[n] for x in (cheap, better) if n in x] for n in names}
    chosen, anchors = anchored_predictions(predictions)
    assert chosen == {"a": better["a"], "b": better["b"], "c": cheap["c"]}
    assert len(anchors) == 2
    found = {n: candidate_of(structures[n], chosen[n], anchors=anchors) for n in names}
    curve = {n: one.thermodynamics.free_energy_mev_per_atom for n, one in found.items()}
    assert np.allclose(curve["a"] - curve["b"], 1.0)  # the better method turned them round
    # The third keeps the distance from their mean that the shared method gave it.
    assert np.allclose(curve["c"] - (curve["a"] + curve["b"]) / 2, 40.0 - 2.5)
    assert [found[n].is_anchored for n in names] == [False, False, True]
    assert len({one.method for one in found.values()}) == 1


def test_one_phase_with_a_better_method_anchors_nothing(make_structure, make_prediction):
    one, two = make_structure("a"), make_structure("b")
    shared = {"a": make_prediction(one), "b": make_prediction(two)}
    better = make_prediction(one, tier=3, method="dft")
    assert anchored_predictions({"a": [shared["a"], better], "b": [shared["b"]]}) == (shared, ())
