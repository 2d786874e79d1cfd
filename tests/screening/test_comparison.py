"""What may be compared: the common grid and the energies in use."""

from __future__ import annotations

import numpy as np
import pytest

from screening.comparison import Candidate, EnergyKind, Exclusion, Flag, comparable_members
from screening.prediction import Thermodynamics, Verdict, frozen_array

GRID_K = (0.0, 100.0, 200.0, 300.0)


def phase(name, grid=GRID_K, given=None, potential=None, **changes):
    zeros = frozen_array(np.zeros(len(grid)))
    return Candidate(
        material_id=name,
        label=None,
        space_group_symbol="P1",
        formula="TiO2",
        static_energy_ev_per_atom=None if given is None else -8.0,
        static_energy_source=given,
        thermodynamics=Thermodynamics(
            frozen_array(grid), zeros, zeros, zeros, zeros, 0.0, "drop", 0.1, 0.0, 0.0, True
        ),
        verdict=Verdict.STABLE,
        potential_energy_ev_per_atom=None if potential is None else -7.0,
        potential_energy_source=potential,
        **changes,
    )


def test_an_odd_grid_is_set_aside_rather_than_shrinking_the_common_one():
    found = comparable_members(
        [phase("a", given="x"), phase("b", given="x"), phase("c", (300.0, 333.0), given="x")]
    )
    assert tuple(found.temperatures_k) == GRID_K
    assert [(one.material_id, one.exclusion) for one in found.excluded] == [
        ("c", Exclusion.TEMPERATURES_MISSING)
    ]


def test_grids_written_with_rounding_are_the_same():
    third = (0.1 + 0.2, 1.0)
    found = comparable_members([phase("a", (0.3, 1.0), "x"), phase("b", third, "x")])
    assert tuple(found.temperatures_k) == (0.3, 1.0)


@pytest.mark.parametrize(
    ("phases", "kind", "source", "members"),
    [
        ([("x", "p"), ("x", "p")], EnergyKind.GIVEN, "x", 2),
        ([("x", "p"), (None, "p")], EnergyKind.POTENTIAL, "p", 2),
        ([("x", "p"), ("y", "p")], EnergyKind.POTENTIAL, "p", 2),
        ([("x", None), ("x", None), (None, "p")], EnergyKind.GIVEN, "x", 2),
        ([("x", "p"), ("x", "p"), ("x", None), (None, "p")], EnergyKind.POTENTIAL, "p", 3),
        ([(None, "q"), (None, "p")], EnergyKind.POTENTIAL, "p", 1),
        ([(None, None)], None, None, 0),
    ],
)
def test_choice_of_energies(phases, kind, source, members):
    made = [phase(f"m{i}", given=g, potential=p) for i, (g, p) in enumerate(phases)]
    for some in (made, made[::-1]):
        found = comparable_members(some)
        assert (found.energy_kind, found.energy_source) == (kind, source)
        assert len(found.members) == members
        assert len(found.members) + len(found.excluded) == len(made)
        assert (Flag.ENERGIES_INCOMPLETE in found.flags) is (0 < members < len(made))
        ignored = kind is not EnergyKind.GIVEN and any(g for g, _ in phases)
        assert (Flag.GIVEN_ENERGIES_IGNORED in found.flags) is ignored


def test_two_models_of_one_name_are_two_sources():
    digests = {"a": "1" * 64, "b": "1" * 64, "c": "2" * 64}
    found = comparable_members(
        [phase(n, potential="mace:own", potential_energy_digest=d) for n, d in digests.items()]
    )
    assert [one.candidate.material_id for one in found.members] == ["a", "b"]
    assert found.energy_source == "mace:own"
    (other,) = found.excluded
    assert (other.material_id, other.exclusion) == ("c", Exclusion.OTHER_ENERGY_SOURCE)
    assert other.detail == "its energy is from another model named mace:own"
    assert Flag.ENERGIES_INCOMPLETE in found.flags


def test_what_relaxed_into_another_is_named_and_left_out():
    found = comparable_members([phase("a", given="x"), phase("b", given="x", relaxed_into="a")])
    assert [one.candidate.material_id for one in found.members] == ["a"]
    (other,) = found.excluded
    assert other.exclusion is Exclusion.RELAXED_INTO_ANOTHER
    assert other.detail == "relaxed into the same crystal as a"
    assert found.flags == ()
