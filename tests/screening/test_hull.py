"""Hulls at temperature: distances worked out by hand, and every refusal."""

from __future__ import annotations

import numpy as np
import pytest

from screening.comparison import Candidate, Exclusion
from screening.errors import InconsistentDataError, SettingError
from screening.hull import Hull, HullRefusal, HullSettings, NoHull, build_hull
from screening.prediction import Thermodynamics, Verdict, frozen_array

GRID_K = (0.0, 300.0, 1000.0)


def curves(vibration_mev, valid=True):
    values = frozen_array(vibration_mev)
    zeros = frozen_array(np.zeros(len(values)))
    return Thermodynamics(
        temperatures_k=frozen_array(GRID_K[: len(values)]),
        free_energy_mev_per_atom=values,
        entropy_mev_per_k_per_atom=zeros,
        heat_capacity_mev_per_k_per_atom=zeros,
        internal_energy_mev_per_atom=values,
        zero_point_energy_mev_per_atom=float(values[0]),
        low_mode_policy="drop",
        cutoff_thz=0.1,
        dropped_weight=0.0,
        imaginary_weight=0.0,
        valid=valid,
    )


def phase(name, formula, energy_ev, vibration_mev=(0.0, 0.0, 0.0), **changes):
    fields = {
        "material_id": name,
        "label": None,
        "space_group_symbol": "P1",
        "formula": formula,
        "static_energy_ev_per_atom": energy_ev,
        "static_energy_source": "dft",
        "thermodynamics": curves(vibration_mev),
        "verdict": Verdict.STABLE,
    }
    return Candidate(**fields | changes)


ELEMENTS = [phase("mg", "Mg", -1.0), phase("o", "O2", -4.0)]


def test_distances_at_every_temperature():
    # Formation of MgO at 0 K: -3.5 - (-2.5) = -1 eV/atom; at 1000 K 100 meV/atom higher.
    hull = build_hull(
        "Mg-O",
        [
            *ELEMENTS,
            phase("mgo", "MgO", -3.5, (0.0, 0.0, 100.0)),
            phase("mgo-b", "MgO", -3.4, (0.0, 0.0, -50.0)),
        ],
    )
    assert isinstance(hull, Hull)
    assert tuple(hull.temperatures_k) == GRID_K
    phases = {one.material_id: one for one in hull.phases}
    np.testing.assert_allclose(
        phases["mgo"].formation_energy_mev_per_atom, [-1000, -1000, -900], atol=1e-6
    )
    np.testing.assert_allclose(phases["mgo"].energy_above_hull_mev_per_atom, [0, 0, 50], atol=1e-6)
    np.testing.assert_allclose(
        phases["mgo-b"].energy_above_hull_mev_per_atom, [100, 100, 0], atol=1e-6
    )
    assert phases["mgo"].decomposition[2] == (("mgo-b", pytest.approx(1.0)),)


def test_decomposition_into_two_phases_has_atomic_fractions():
    # MgO2 (3 atoms) above the line from MgO to O: 2/3 MgO, 1/3 O by atoms.
    hull = build_hull("Mg-O", [*ELEMENTS, phase("mgo", "MgO", -3.5), phase("mgo2", "MgO2", -3.6)])
    assert isinstance(hull, Hull)
    (peroxide,) = [one for one in hull.phases if one.material_id == "mgo2"]
    assert dict(peroxide.decomposition[0]) == {
        "mgo": pytest.approx(2 / 3),
        "o": pytest.approx(1 / 3),
    }
    on_line = (2 * -3.5 + -4.0) / 3
    np.testing.assert_allclose(
        peroxide.energy_above_hull_mev_per_atom, (-3.6 - on_line) * 1000, atol=1e-6
    )


def test_order_of_the_phases_has_no_influence():
    phases = [*ELEMENTS, phase("mgo", "MgO", -3.5), phase("mgo2", "MgO2", -3.6)]
    one, two = build_hull("Mg-O", phases), build_hull("Mg-O", phases[::-1])
    assert isinstance(one, Hull)
    assert isinstance(two, Hull)
    assert [p.decomposition for p in one.phases] == [p.decomposition for p in two.phases]
    for first, second in zip(one.phases, two.phases, strict=True):
        np.testing.assert_allclose(
            first.energy_above_hull_mev_per_atom, second.energy_above_hull_mev_per_atom, atol=1e-9
        )


@pytest.mark.parametrize(
    ("phases", "reason"),
    [
        ([phase("mgo", "MgO", -3.5), phase("mg", "Mg", -1.0)], NoHull.MISSING_ELEMENT),
        (ELEMENTS, NoHull.NO_COMPOUND),
        ([], NoHull.MISSING_ELEMENT),
        (
            [
                phase("mg", "Mg", -1.0, static_energy_source="other"),
                ELEMENTS[1],
                phase("mgo", "MgO", -3.5),
            ],
            NoHull.MISSING_ELEMENT,
        ),
        (
            [*ELEMENTS, phase("mgo", "MgO", -3.5, thermodynamics=curves((0.0,) * 3, valid=False))],
            NoHull.NO_COMPOUND,
        ),
    ],
)
def test_refusals_state_their_reason(phases, reason):
    refusal = build_hull("Mg-O", phases)
    assert isinstance(refusal, HullRefusal)
    assert refusal.reason is reason
    assert refusal.detail


def test_refusal_names_the_missing_element_and_what_was_left_out():
    phases = [
        phase("mg", "Mg", -1.0, thermodynamics=None),
        phase("o", "O2", -4.0),
        phase("mgo", "MgO", -3.5),
    ]
    refusal = build_hull("Mg-O", phases)
    assert isinstance(refusal, HullRefusal)
    assert "Mg" in refusal.detail
    assert refusal.excluded[0].exclusion is Exclusion.NO_PREDICTION


def test_no_common_temperature():
    refusal = build_hull(
        "Mg-O", [*ELEMENTS, phase("mgo", "MgO", -3.5)], HullSettings(temperatures_k=(77.0,))
    )
    assert isinstance(refusal, HullRefusal)
    assert refusal.reason is NoHull.NO_COMMON_TEMPERATURES


def test_foreign_phase_is_refused():
    with pytest.raises(InconsistentDataError, match="not within"):
        build_hull("Mg-O", [phase("si", "Si", -5.0)])


def test_empty_grid_is_refused():
    with pytest.raises(SettingError):
        HullSettings(temperatures_k=())
