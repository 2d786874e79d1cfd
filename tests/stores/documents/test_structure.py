"""Structure documents: identity, sources, duplicates, energies."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from screening.errors import InconsistentDataError, SerializationError
from screening.structure import Crystal
from stores.documents.structure import RepairRecord, StructureDocument


def document(crystal, source="a.cif", **options):
    return StructureDocument.from_crystal(crystal, source=source, **options)


def test_round_trip(crystal):
    made = document(
        crystal,
        label="periclase",
        static_energy_ev_per_atom=-6.0,
        static_energy_source="PBE",
        notes=("x",),
    )
    assert StructureDocument.load(made.to_store()) == made
    assert made.key == crystal.material_id
    assert made.elements == ("Mg", "O")
    assert made.volume_angstrom3_per_atom == pytest.approx(4.21**3 / 8)
    assert made.structure.to_pymatgen() == crystal.structure


def test_crystal_comes_back_bit_for_bit(crystal):
    given = Crystal(**vars(crystal) | {"notes": ("a close contact",)})
    again = StructureDocument.load(document(given).to_store()).to_crystal()
    assert again == given
    assert again.structure.frac_coords.tobytes() == given.structure.frac_coords.tobytes()
    assert again.structure.lattice.matrix.tobytes() == given.structure.lattice.matrix.tobytes()


def test_notes_of_the_crystal_come_before_the_given_ones(crystal):
    given = Crystal(**vars(crystal) | {"notes": ("a", "b")})
    assert document(given, notes=("b", "c")).notes == ("a", "b", "c")


def test_merging_keeps_all_sources_and_the_first_energy(crystal):
    one = document(crystal, "a.cif", static_energy_ev_per_atom=-6.0, static_energy_source="PBE")
    two = document(
        crystal, "b.cif", label="p", static_energy_ev_per_atom=-6.1, static_energy_source="SCAN"
    )
    merged = one.merged_with(two)
    assert merged.sources == ("a.cif", "b.cif")
    assert merged.label == "p"
    assert merged.static_energy_ev_per_atom == -6.0
    assert [
        (e.static_energy_ev_per_atom, e.static_energy_source) for e in merged.other_energies
    ] == [(-6.1, "SCAN")]
    assert merged.merged_with(two) is merged
    assert merged.merged_with(one) is merged


def test_merging_takes_an_energy_where_there_was_none(crystal):
    one = document(crystal)
    two = document(crystal, static_energy_ev_per_atom=-6.1, static_energy_source="SCAN")
    merged = one.merged_with(two)
    assert (merged.static_energy_ev_per_atom, merged.static_energy_source) == (-6.1, "SCAN")
    assert merged.other_energies == ()


def test_merging_other_structures_is_refused(crystal):
    other = SimpleNamespace(**vars(crystal) | {"digest": "f" * 64})
    with pytest.raises(InconsistentDataError, match="another structure"):
        document(crystal).merged_with(document(other))


def test_merging_two_masters_is_refused(crystal):
    with pytest.raises(InconsistentDataError, match="duplicate of"):
        document(crystal, duplicate_of="x").merged_with(document(crystal, duplicate_of="y"))


def near(crystal, material_id, **options):
    digest = material_id[-1] * 64
    return document(
        SimpleNamespace(**vars(crystal) | {"material_id": material_id, "digest": digest}), **options
    )


def test_duplicates_are_sorted_and_said_once(crystal):
    one, two = near(crystal, "ps-1"), near(crystal, "ps-2")
    made = document(crystal).with_duplicate(two).with_duplicate(one)
    assert made.duplicates == ("ps-1", "ps-2")
    assert made.with_duplicate(one) is made


def test_energies_of_a_duplicate_reach_the_document_that_stands_for_it(crystal):
    one = near(crystal, "ps-1", static_energy_ev_per_atom=-6.0, static_energy_source="PBE")
    two = near(crystal, "ps-2", static_energy_ev_per_atom=-6.1, static_energy_source="SCAN")
    made = document(crystal).with_duplicate(one).with_duplicate(two)
    assert (made.static_energy_ev_per_atom, made.static_energy_source) == (-6.0, "PBE")
    assert [other.static_energy_source for other in made.other_energies] == ["SCAN"]
    assert made.with_duplicate(one).with_duplicate(two) is made


def repair(key="a", child="ps-1", relation="followed a mode", gain=1.5):
    return RepairRecord(
        repair_id=key * 64, material_id=child, relation=relation, gain_mev_per_atom=gain
    )


def test_repairs_are_sorted_and_said_once(crystal):
    one, two = repair("b"), repair("a", child="ps-2")
    made = document(crystal).with_repair(one).with_repair(two)
    assert made.repairs == (two, one)
    assert made.with_repair(one) is made
    assert StructureDocument.load(made.to_store()) == made


def test_merging_keeps_parent_and_repairs(crystal):
    imported = document(crystal, "b.cif")
    child = document(crystal).replaced(parent_id="ps-0", parent_relation="followed a mode")
    child = child.with_repair(repair())
    assert child.merged_with(imported).parent_id == "ps-0"
    merged = imported.merged_with(child)
    assert (merged.parent_id, merged.parent_relation) == ("ps-0", "followed a mode")
    assert merged.repairs == child.repairs
    other = child.replaced(parent_id="ps-9")
    assert child.merged_with(other).parent_id == "ps-0"  # who came first


def test_a_nonsensical_family_is_refused(crystal):
    with pytest.raises(SerializationError, match="go together"):
        document(crystal).replaced(parent_id="ps-0")
    with pytest.raises(SerializationError, match="its own parent"):
        document(crystal).replaced(parent_id=crystal.material_id, parent_relation="x")


def test_nonsense_is_refused(crystal):
    with pytest.raises(SerializationError, match="go together"):
        document(crystal, static_energy_ev_per_atom=-1.0)
    with pytest.raises(SerializationError, match="static_energy_ev_per_atom"):
        document(crystal, static_energy_ev_per_atom=math.nan, static_energy_source="PBE")
    with pytest.raises(SerializationError, match="duplicate of itself"):
        document(crystal, duplicate_of=crystal.material_id)
    with pytest.raises(SerializationError, match="n_atoms"):
        document(SimpleNamespace(**vars(crystal) | {"n_atoms": 3}))
