"""Model documents."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from screening.errors import SerializationError
from stores.documents.model import MetricRecord, ModelDocument

FIELDS = {"name": "chgnet", "version": "0.3.0", "kind": "potential", "model_digest": "e" * 64}


def test_round_trip():
    metric = MetricRecord(
        name="mae", quantity="free_energy_mev_per_atom", value=6.1, data_set="s", n_samples=103
    )
    made = ModelDocument.from_parts(
        **FIELDS, atomic_numbers=[8, 1, 8], metrics=[metric], calibration={"quantile": 1.3}
    )
    assert ModelDocument.load(made.to_store()) == made
    assert (made.key, made.atomic_numbers) == ("chgnet@0.3.0", (1, 8))


def test_from_a_calculator():
    calculator = SimpleNamespace(
        name="chgnet:0.3.0", digest="e" * 64, elements=frozenset({1}), notes=("soft",)
    )
    made = ModelDocument.from_calculator(calculator)
    assert (made.name, made.notes, made.atomic_numbers) == ("chgnet:0.3.0", ("soft",), (1,))


@pytest.mark.parametrize("bad", [{"kind": "x"}, {"calibration": {"q": float("inf")}}, {"name": ""}])
def test_nonsense_is_refused(bad):
    with pytest.raises(SerializationError):
        ModelDocument.from_parts(**FIELDS | bad)
