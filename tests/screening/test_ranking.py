"""Ranking of polymorphs: order, ties, candidates, transitions, probabilities, exclusions.

The synthetic curves have S = a T and F = -a T^2 / 2, so that every crossing is known in closed
form and cubic Hermite interpolation is exact.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from screening.errors import InconsistentDataError, NonFiniteInputError, SettingError
from screening.prediction import Thermodynamics, ThermodynamicsSpread, Verdict, frozen_array
from screening.ranking import (
    Candidate,
    EnergyKind,
    Exclusion,
    Flag,
    RankingSettings,
    rank_polymorphs,
)

GRID_K = tuple(float(t) for t in range(0, 1001, 50))


def curves(slope=1e-3, *, grid=GRID_K, offset=0.0, valid=True, dropped=0.0):
    t = np.array(grid)
    return Thermodynamics(
        temperatures_k=frozen_array(t),
        free_energy_mev_per_atom=frozen_array(offset - slope * t**2 / 2),
        entropy_mev_per_k_per_atom=frozen_array(slope * t),
        heat_capacity_mev_per_k_per_atom=frozen_array(slope * t),
        internal_energy_mev_per_atom=frozen_array(offset + slope * t**2 / 2),
        zero_point_energy_mev_per_atom=offset,
        low_mode_policy="drop",
        cutoff_thz=0.1,
        dropped_weight=dropped,
        imaginary_weight=0.0,
        valid=valid,
    )


def spread(std_mev):
    flat = frozen_array(np.full(len(GRID_K), std_mev))
    return ThermodynamicsSpread(flat, flat, flat, 0.1, 3)


def phase(name, energy_mev=0.0, slope=1e-3, **changes):
    fields = {
        "material_id": name,
        "label": None,
        "space_group_symbol": "P1",
        "formula": "TiO2",
        "static_energy_ev_per_atom": -8.0 + energy_mev / 1000,
        "static_energy_source": "dft",
        "thermodynamics": curves(slope),
        "verdict": Verdict.STABLE,
    }
    return Candidate(**fields | changes)


def by_id(ranking):
    return {one.material_id: one for one in ranking.polymorphs}


def test_transition_temperature_is_the_closed_form():
    # 5 meV = (2e-4 - 1e-4) T^2 / 2
    ranking = rank_polymorphs([phase("low", 0, 1e-4), phase("high", 5, 2e-4)])
    (transition,) = ranking.transitions
    assert transition.temperature_k == pytest.approx(math.sqrt(1e5), abs=1e-6)
    assert (transition.below_id, transition.above_id) == ("low", "high")
    assert transition.temperature_std_k is None
    assert ranking.order[0] == ("low", "high")
    assert ranking.order[-1] == ("high", "low")
    assert by_id(ranking)["high"].ranks == tuple(2 if t < math.sqrt(1e5) else 1 for t in GRID_K)


def test_free_energy_is_static_plus_vibration():
    ranking = rank_polymorphs([phase("a", 0), phase("b", 3, 2e-3)])
    b = by_id(ranking)["b"]
    np.testing.assert_allclose(
        b.free_energy_ev_per_atom, -7.997 - 2e-3 * np.array(GRID_K) ** 2 / 2000, rtol=0, atol=1e-12
    )
    np.testing.assert_allclose(
        b.relative_free_energy_mev_per_atom, 3 - 1e-3 * np.array(GRID_K) ** 2 / 2, atol=1e-9
    )
    assert b.relative_static_energy_mev_per_atom == pytest.approx(3, abs=1e-9)


def test_reference_is_the_lowest_static_energy_even_where_it_is_not_the_lowest_phase():
    ranking = rank_polymorphs([phase("static", 0, 0), phase("soft", 1, 1e-2)])
    assert ranking.reference_id == "static"
    assert ranking.order[-1][0] == "soft"


@pytest.mark.parametrize(("above_mev", "expected"), [(9.9, ("b",)), (10.1, ())])
def test_candidate_rule_is_below_ten_mev(above_mev, expected):
    ranking = rank_polymorphs([phase("a", 0), phase("b", above_mev)])
    assert tuple(one.material_id for one in ranking.candidates) == expected
    assert by_id(ranking)["b"].tied_with_lowest[0] is bool(expected)


def test_only_the_lowest_of_the_others_is_a_candidate():
    ranking = rank_polymorphs([phase("a", 0), phase("b", 2, 0), phase("c", 4, 1e-3)])
    found = {one.material_id: one for one in ranking.candidates}
    # c is below b from 4 - T^2/2000 = 2, T = 63 K on; relative to a it is 4 meV above.
    assert found["b"].highest_temperature_k == 50.0
    assert found["c"].lowest_temperature_k == 100.0
    assert found["c"].highest_temperature_k == 1000.0


def test_equal_curves_tie_and_do_not_cross():
    ranking = rank_polymorphs([phase("b"), phase("a")])
    assert ranking.crossings == ()
    assert all(names == ("a", "b") for names in ranking.order)
    assert all(all(one.tied_with_lowest) for one in ranking.polymorphs)


def test_curves_that_touch_zero_on_the_grid_cross_there_once():
    ranking = rank_polymorphs([phase("a", 0, 0), phase("b", 45, 1e-3)])  # zero at 300 K
    (crossing,) = ranking.crossings
    assert crossing.temperature_k == pytest.approx(300.0, abs=1e-6)


def test_curves_that_only_touch_do_not_cross():
    touching = curves(0)
    flat = np.abs(np.array(GRID_K) - 500.0) / 100
    touching = replace(touching, free_energy_mev_per_atom=frozen_array(flat))
    ranking = rank_polymorphs([phase("a", 0, 0), phase("b", 0, thermodynamics=touching)])
    assert ranking.crossings == ()


def test_crossings_above_the_lowest_are_not_transitions():
    ranking = rank_polymorphs([phase("a", 0, 5e-3), phase("b", 50, 0), phase("c", 55, 1e-4)])
    assert [(c.below_id, c.above_id) for c in ranking.crossings] == [("b", "c")]
    assert ranking.transitions == ()


def test_one_member_is_a_ranking():
    ranking = rank_polymorphs([phase("only")])
    assert ranking.reference_id == "only"
    assert ranking.candidates == ranking.crossings == ()
    assert by_id(ranking)["only"].ranks == (1,) * len(GRID_K)
    assert ranking.lowest_probability is None


def test_nothing_to_rank_is_an_empty_ranking_with_reasons():
    ranking = rank_polymorphs([phase("a", thermodynamics=None), phase("b", thermodynamics=None)])
    assert ranking.polymorphs == ()
    assert ranking.reference_id is None
    assert ranking.energy_kind is None
    assert ranking.order == ()
    assert {one.exclusion for one in ranking.excluded} == {Exclusion.NO_PREDICTION}


def test_every_exclusion_is_named():
    potential = {"potential_energy_ev_per_atom": -7.9, "potential_energy_source": "p"}
    none = {"static_energy_ev_per_atom": None, "static_energy_source": None}
    ranking = rank_polymorphs(
        [
            phase("ok", **potential),
            phase("ok2", **potential),
            phase("failed", thermodynamics=None, failure="RELAX_NOT_CONVERGED"),
            phase("nothing", thermodynamics=None),
            phase("invalid", thermodynamics=curves(valid=False, dropped=0.2)),
            phase("unpriced", **none),
            phase(
                "other",
                **none | {"potential_energy_ev_per_atom": -7, "potential_energy_source": "q"},
            ),
            phase(
                "short",
                thermodynamics=curves(grid=(1.0, 2.0)),
                **potential,
            ),
        ]
    )
    assert {one.material_id: one.exclusion for one in ranking.excluded} == {
        "failed": Exclusion.FAILED,
        "nothing": Exclusion.NO_PREDICTION,
        "invalid": Exclusion.INVALID_THERMODYNAMICS,
        "unpriced": Exclusion.MISSING_ENERGY,
        "other": Exclusion.OTHER_ENERGY_SOURCE,
        "short": Exclusion.TEMPERATURES_MISSING,
    }
    assert set(by_id(ranking)) == {"ok", "ok2"}


def test_given_energies_are_used_where_all_have_one_of_the_same_source():
    ranking = rank_polymorphs([phase("a"), phase("b", 1)])
    assert (ranking.energy_kind, ranking.energy_source) == (EnergyKind.GIVEN, "dft")
    assert ranking.flags == ()


@pytest.mark.parametrize(
    "second",
    [
        {"static_energy_ev_per_atom": None, "static_energy_source": None},
        {"static_energy_source": "other dft"},
    ],
)
def test_mixed_energies_fall_to_the_potential_for_all_and_are_flagged(second):
    first = {"potential_energy_ev_per_atom": -7.0, "potential_energy_source": "p"}
    other = {"potential_energy_ev_per_atom": -7.1, "potential_energy_source": "p"}
    ranking = rank_polymorphs([phase("a", 0, **first), phase("b", 1, **other | second)])
    assert (ranking.energy_kind, ranking.energy_source) == (EnergyKind.POTENTIAL, "p")
    assert ranking.reference_id == "b"
    assert Flag.GIVEN_ENERGIES_IGNORED in ranking.flags


def test_an_unusable_phase_without_energy_does_not_displace_given_energies():
    ranking = rank_polymorphs(
        [phase("a"), phase("b", thermodynamics=None, static_energy_ev_per_atom=None)]
    )
    assert ranking.energy_kind is EnergyKind.GIVEN


@pytest.mark.parametrize(("difference", "comparable"), [(1e-3, True), (1.1e-3, False)])
def test_dropped_weights_that_differ_are_not_comparable(difference, comparable):
    ranking = rank_polymorphs(
        [
            phase("a", 0, thermodynamics=curves(1e-4, dropped=1e-4)),
            phase("b", 5, thermodynamics=curves(2e-4, dropped=1e-4 + difference)),
        ]
    )
    assert by_id(ranking)["b"].comparable_to_reference is comparable
    assert ranking.transitions[0].comparable is comparable
    assert bool(ranking.candidates) is comparable
    assert ranking.not_comparable == (() if comparable else (("a", "b"),))
    assert (Flag.DROPPED_WEIGHTS_DIFFER in ranking.flags) is not comparable


def test_probability_is_gaussian_on_the_difference():
    # Difference 5 meV, spread of the difference 5 meV: one sigma.
    ranking = rank_polymorphs(
        [phase("a", 0, spread=spread(3.0)), phase("b", 5, spread=spread(4.0))]
    )
    below = by_id(ranking)["b"].probability_below_reference
    np.testing.assert_allclose(below, 0.15865525393145707, rtol=1e-9)
    np.testing.assert_allclose(ranking.lowest_probability, 1 - 0.15865525393145707, rtol=1e-9)


def test_transition_temperature_has_a_spread_where_the_committee_has():
    ranking = rank_polymorphs(
        [phase("a", 0, 1e-4, spread=spread(0.3)), phase("b", 5, 2e-4, spread=spread(0.4))]
    )
    (transition,) = ranking.transitions
    assert transition.temperature_std_k == pytest.approx(0.5 / (1e-4 * math.sqrt(1e5)), rel=1e-6)


def test_probability_without_spread_is_certain_or_even():
    ranking = rank_polymorphs([phase("a", 0, spread=spread(0.0)), phase("b", 0, spread=spread(0))])
    assert set(by_id(ranking)["b"].probability_below_reference) == {0.5}
    ranking = rank_polymorphs([phase("a", 0, spread=spread(0.0)), phase("b", 1, spread=spread(0))])
    assert set(ranking.lowest_probability) == {1.0}


def test_no_probability_where_a_spread_is_missing():
    ranking = rank_polymorphs([phase("a", 0, spread=spread(1.0)), phase("b", 5)])
    assert by_id(ranking)["b"].probability_below_reference is None
    assert ranking.lowest_probability is None


def test_no_probability_where_the_spread_of_the_static_energies_is_not_known():
    def by_potential(name, energy_mev, slope):
        return phase(
            name,
            slope=slope,
            static_energy_ev_per_atom=None,
            static_energy_source=None,
            potential_energy_ev_per_atom=-8 + energy_mev / 1000,
            potential_energy_source="p",
            spread=spread(0.3),
        )

    ranking = rank_polymorphs([by_potential("a", 0, 1e-4), by_potential("b", 5, 2e-4)])
    assert ranking.energy_kind is EnergyKind.POTENTIAL
    assert by_id(ranking)["b"].probability_below_reference is None
    assert ranking.lowest_probability is None
    (transition,) = ranking.transitions
    assert transition.temperature_std_k is None
    # What is known, the spread of the vibrations, stays.
    assert set(by_id(ranking)["b"].free_energy_std_mev_per_atom) == {0.3}


def test_the_tie_is_told():
    assert rank_polymorphs([phase("a")]).tie_mev_per_atom == 10.0
    chosen = RankingSettings(tie_mev_per_atom=1.0)
    assert rank_polymorphs([phase("a")], chosen).tie_mev_per_atom == 1.0


def test_common_temperatures_are_what_all_hold():
    coarse = tuple(float(t) for t in range(0, 1001, 100))
    ranking = rank_polymorphs([phase("a"), phase("b", thermodynamics=curves(grid=coarse))])
    assert tuple(ranking.temperatures_k) == coarse
    assert Flag.FEWER_TEMPERATURES in ranking.flags


def test_asked_for_temperatures_must_be_held():
    chosen = RankingSettings(temperatures_k=(300.0, 600.0))
    ranking = rank_polymorphs(
        [phase("a"), phase("b", thermodynamics=curves(grid=(0, 300.0)))], chosen
    )
    assert tuple(ranking.temperatures_k) == (300.0, 600.0)
    assert ranking.excluded[0].exclusion is Exclusion.TEMPERATURES_MISSING


def test_different_methods_are_flagged():
    ranking = rank_polymorphs([phase("a", method="m1"), phase("b", method="m2")])
    assert Flag.MIXED_METHODS in ranking.flags


def test_unstable_members_stay_and_are_flagged():
    ranking = rank_polymorphs([phase("a"), phase("b", 1, verdict=Verdict.UNSTABLE)])
    assert Flag.UNSTABLE_MEMBERS in ranking.flags
    assert by_id(ranking)["b"].verdict is Verdict.UNSTABLE


def fingerprint(ranking):
    return (
        ranking.order,
        ranking.candidates,
        ranking.crossings,
        ranking.excluded,
        ranking.flags,
        tuple(one.material_id for one in ranking.polymorphs),
        tuple(one.free_energy_ev_per_atom.tobytes() for one in ranking.polymorphs),
    )


def test_same_ranking_under_every_permutation():
    phases = [
        phase("a", 0, 1e-4),
        phase("b", 5, 2e-4),
        phase("c", 5, 2e-4),
        phase("d", 7, thermodynamics=None),
    ]
    assert len({fingerprint(rank_polymorphs(p)) for p in permutations(phases)}) == 1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 50), st.floats(0, 1e-3), st.sampled_from(["x", "y", None])),
        min_size=1,
        max_size=6,
    ),
    st.randoms(use_true_random=False),
)
def test_properties_of_any_ranking(table, random):
    phases = [
        phase(
            f"m{i}",
            energy,
            slope,
            static_energy_source=source,
            static_energy_ev_per_atom=None if source is None else -8 + energy / 1000,
            potential_energy_ev_per_atom=-7 + energy / 1000,
            potential_energy_source="p",
        )
        for i, (energy, slope, source) in enumerate(table)
    ]
    ranking = rank_polymorphs(phases)
    shuffled = list(phases)
    random.shuffle(shuffled)
    assert fingerprint(rank_polymorphs(shuffled)) == fingerprint(ranking)
    assert len(ranking.polymorphs) + len(ranking.excluded) == len(phases)
    energies = {
        one.material_id: one.relative_free_energy_mev_per_atom for one in ranking.polymorphs
    }
    for column, names in enumerate(ranking.order):
        values = [energies[name][column] for name in names]
        assert values == sorted(values)
    changes = [(one[0], two[0]) for one, two in zip(ranking.order, ranking.order[1:], strict=False)]
    for below, above in changes:
        if below != above and not np.any(energies[below] == energies[above]):
            assert any(t.below_id == below or t.above_id == above for t in ranking.transitions)


def test_inputs_are_refused():
    with pytest.raises(InconsistentDataError, match="one formula"):
        rank_polymorphs([])
    with pytest.raises(InconsistentDataError, match="one formula"):
        rank_polymorphs([phase("a"), phase("b", formula="SiO2")])
    with pytest.raises(InconsistentDataError, match="more than once"):
        rank_polymorphs([phase("a"), phase("a")])
    with pytest.raises(NonFiniteInputError):
        rank_polymorphs([phase("a", static_energy_ev_per_atom=math.nan)])
    broken = replace(curves(), free_energy_mev_per_atom=frozen_array([math.inf] * len(GRID_K)))
    with pytest.raises(NonFiniteInputError):
        rank_polymorphs([phase("a", thermodynamics=broken)])


@pytest.mark.parametrize(
    "bad",
    [
        {"tie_mev_per_atom": -1.0},
        {"candidate_mev_per_atom": math.nan},
        {"temperatures_k": ()},
        {"temperatures_k": (-1.0,)},
    ],
)
def test_settings_are_refused(bad):
    with pytest.raises(SettingError):
        RankingSettings(**bad)
