from dataclasses import replace

import numpy as np
import pytest

from screening.errors import InconsistentDataError, NonFiniteInputError
from screening.network_potential.polymorph_evaluation import (
    PolymorphPair,
    score_polymorphs,
    transition_lists,
)
from screening.prediction import Thermodynamics, frozen_array

GRID = (300.0, 1000.0)


def curves(free_energies, dropped_weight=0.0):
    values = frozen_array(free_energies)
    zeros = frozen_array(np.zeros(len(GRID)))
    return Thermodynamics(
        temperatures_k=frozen_array(GRID),
        free_energy_mev_per_atom=values,
        entropy_mev_per_k_per_atom=zeros,
        heat_capacity_mev_per_k_per_atom=zeros,
        internal_energy_mev_per_atom=zeros,
        zero_point_energy_mev_per_atom=0.0,
        low_mode_policy="drop",
        cutoff_thz=0.1,
        dropped_weight=dropped_weight,
        imaginary_weight=0.0,
        valid=True,
    )


def polymorph(name, predicted, reference, enthalpy_mev, group="AB", dropped=(0.0, 0.0)):
    return PolymorphPair(
        name,
        group,
        curves(predicted, dropped[0]),
        curves(reference, dropped[1]),
        None if enthalpy_mev is None else enthalpy_mev / 1000.0,
    )


def test_differences_are_scored_to_the_lowest_enthalpy():
    members = [
        polymorph("high", (12.0, 4.0), (10.0, 5.0), 20.0),
        polymorph("low", (5.0, 9.0), (4.0, 1.0), 0.0),
    ]
    at_300, at_1000 = score_polymorphs(members)
    assert at_300.scores.bias == pytest.approx((12.0 - 5.0) - (10.0 - 4.0))
    assert at_1000.scores.bias == pytest.approx((4.0 - 9.0) - (5.0 - 1.0))
    assert (at_300.sign_agreement, at_1000.sign_agreement) == (1.0, 0.0)
    assert score_polymorphs(members[::-1]) == (at_300, at_1000)


def test_without_enthalpies_errors_are_the_same_up_to_their_sign():
    members = [polymorph("a", (12.0, 4.0), (10.0, 5.0), None), polymorph("b", (5, 9), (4, 1), 0.0)]
    at_300, _ = score_polymorphs(members)
    assert at_300.scores.mae == pytest.approx(1.0)
    assert transition_lists(members) == ()


def test_a_composition_alone_has_no_difference():
    assert score_polymorphs([polymorph("a", (1, 1), (1, 1), 0.0)]) == ()


@pytest.mark.parametrize("side", [0, 1])
def test_other_dropped_modes_make_a_pair_not_comparable(side):
    dropped = [0.0, 0.0]
    dropped[side] = 1.1e-3
    members = [
        polymorph("a", (0.0, 0.0), (0.0, 0.0), 0.0),
        polymorph("b", (0.0, 0.0), (0.0, 0.0), 5.0, dropped=tuple(dropped)),
    ]
    at_300, _ = score_polymorphs(members)
    assert (at_300.scores, at_300.sign_agreement) == (None, None)
    assert (at_300.n_pairs, at_300.n_not_comparable) == (0, 1)
    lists = transition_lists(members)[0]
    named = lists.predicted, lists.reference
    assert named[side] == ()
    assert named[1 - side] == ("b",)


@pytest.mark.parametrize(("above", "named"), [(9.9, ("b",)), (10.1, ())])
def test_the_tolerance_is_ten_mev_per_atom(above, named):
    members = [polymorph("a", (0, 0), (0, 0), 0.0), polymorph("b", (0, 0), (0, 0), above)]
    for lists in transition_lists(members):
        assert lists.reference == lists.predicted == lists.common == named


def test_only_the_lowest_other_polymorph_is_named():
    members = [
        polymorph("a", (0, 0), (0, 0), 0.0),
        polymorph("b", (0, -9), (0, 0), 5.0),
        polymorph("c", (0, 0), (0, 0), 3.0),
        polymorph("other", (0, 0), (0, 0), 1.0, group="CD"),
        polymorph("unknown", (0, 0), (0, 0), None, group="EF"),
        polymorph("unknown too", (0, 0), (0, 0), 1.0, group="EF"),
    ]
    at_300, at_1000 = transition_lists(members)
    assert at_300.predicted == at_300.reference == at_300.common == ("c",)
    assert (at_1000.predicted, at_1000.reference, at_1000.common) == (("b",), ("c",), ())
    assert (at_300.n_compositions, at_300.n_without_enthalpy) == (1, 1)


def test_what_cannot_be_compared_is_refused():
    one = polymorph("a", (0, 0), (0, 0), 0.0)
    with pytest.raises(InconsistentDataError):
        replace(one, predicted=replace(one.predicted, temperatures_k=frozen_array((100.0, 200.0))))
    with pytest.raises(NonFiniteInputError):
        replace(one, static_enthalpy_ev_per_atom=float("inf"))
