"""Hulls in the database."""

from __future__ import annotations

import pytest

from screening.hull import NoHull
from stores.builders.hull import build_hulls, hull_of
from stores.documents.hull import HullDocument
from stores.query import in_values


def phases_of(make_structure, energies):
    return [make_structure(name, formula, energy) for name, formula, energy in energies]


ENERGIES = [("ti", "Ti", -7.0), ("o", "O2", -4.0), ("tio2", "TiO2", -8.0), ("tio", "TiO", -7.0)]


def test_hull_of_documents(make_structure, make_prediction):
    phases = phases_of(make_structure, ENERGIES)
    predictions = {one.material_id: [make_prediction(one)] for one in phases}
    made = hull_of("O-Ti", phases, predictions)
    assert HullDocument.load(made.to_store()) == made
    assert made.available
    assert made.temperatures_k == (0.0, 300.0, 600.0, 1000.0, 1500.0)
    assert made.stable_300k_ids == ("o", "ti", "tio2")
    monoxide = next(one for one in made.phases if one.material_id == "tio")
    # On the line from Ti to TiO2: 1/4 Ti and 3/4 TiO2 by atoms.
    assert monoxide.energy_above_hull_mev_per_atom[1] == pytest.approx((-7 + 7.75) * 1000)
    parts = {one.material_id: one.atomic_fraction for one in monoxide.decomposition[1]}
    assert parts == {"ti": pytest.approx(0.25), "tio2": pytest.approx(0.75)}


def test_no_hull_is_a_document_with_its_reason(make_structure, make_prediction):
    phases = phases_of(make_structure, ENERGIES[1:])
    made = hull_of("O-Ti", phases, {one.material_id: [make_prediction(one)] for one in phases})
    assert HullDocument.load(made.to_store()) == made
    assert (made.available, made.reason) == (False, NoHull.MISSING_ELEMENT)
    assert made.detail is not None
    assert "Ti" in made.detail


def test_build_is_incremental(db, make_structure, make_prediction):
    phases = phases_of(make_structure, [*ENERGIES, ("si", "Si", -5.0), ("sio2", "SiO2", -7.5)])
    db.put(*phases, *(make_prediction(one) for one in phases))
    assert build_hulls(db).written == ("O-Si", "O-Ti")
    db.reset_counts()
    assert build_hulls(db).n_unchanged == 2
    assert db.n_written == 0
    # A new silicon phase touches only the system that holds silicon.
    extra = make_structure("si2", "Si", -4.9)
    db.put(extra, make_prediction(extra))
    assert build_hulls(db).written == ("O-Si",)
    assert build_hulls(db, ["O-Ti"]).n_unchanged == 1


def test_hulls_go_with_their_last_compound(db, make_structure, make_prediction):
    phases = phases_of(make_structure, ENERGIES)
    db.put(*phases, *(make_prediction(one) for one in phases))
    build_hulls(db)
    db.structures.remove_docs(in_values("material_id", ["tio", "tio2"]))
    assert build_hulls(db).removed == ("O-Ti",)
