"""Parts of documents: what goes in comes out, and nonsense does not go in."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from stores.documents.records import (
    SpreadRecord,
    StabilityRecord,
    StructureRecord,
    ThermodynamicsRecord,
)


def test_structure_comes_back_bit_for_bit(crystal):
    again = StructureRecord.from_pymatgen(crystal.structure).to_pymatgen()
    assert again.lattice.matrix.tobytes() == crystal.structure.lattice.matrix.tobytes()
    assert again.frac_coords.tobytes() == crystal.structure.frac_coords.tobytes()
    assert [site.specie.symbol for site in again] == ["Mg", "O"]


def test_structure_leaves_decorations_behind(crystal):
    decorated = crystal.structure.copy()
    decorated.add_oxidation_state_by_element({"Mg": 2, "O": -2})
    decorated.add_site_property("magmom", [1.0, 2.0])
    record = StructureRecord.from_pymatgen(decorated)
    assert record == StructureRecord.from_pymatgen(crystal.structure)


def test_thermal_curves_come_back(make_prediction):
    result = make_prediction().thermodynamics
    again = ThermodynamicsRecord.from_result(result).to_result()
    for name in result.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(again, name), getattr(result, name))
    assert not again.free_energy_mev_per_atom.flags.writeable


def test_index_of_a_temperature(make_prediction):
    record = ThermodynamicsRecord.from_result(make_prediction().thermodynamics)
    assert record.index_of(300.0) == 1
    assert record.index_of(300.1) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"temperatures_k": (0.0, 300.0)},
        {"temperatures_k": (0.0, 300.0, 300.0)},
        {"temperatures_k": ()},
        {"dropped_weight": 1.1},
        {"entropy_mev_per_k_per_atom": (0.0, float("nan"), 0.1)},
    ],
)
def test_nonsense_curves_are_refused(make_prediction, changes):
    plain = ThermodynamicsRecord.from_result(make_prediction().thermodynamics).model_dump()
    with pytest.raises(ValidationError):
        ThermodynamicsRecord(**plain | changes)


def test_negative_spread_is_refused(make_prediction):
    plain = SpreadRecord.from_result(make_prediction().spread).model_dump()
    with pytest.raises(ValidationError, match="negative"):
        SpreadRecord(**plain | {"free_energy_std_mev_per_atom": (0.0, -0.1, 0.1)})


def test_stability_comes_back(make_prediction):
    result = make_prediction().stability
    again = StabilityRecord.from_result(result).to_result()
    assert again.verdicts == result.verdicts
    np.testing.assert_array_equal(again.lowest_frequency_q_point, result.lowest_frequency_q_point)
