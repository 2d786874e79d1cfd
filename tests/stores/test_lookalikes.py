"""Importing what a random search found: what looks alike is one material, where that is asked."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from screening.errors import SettingError
from screening.structure import canonical_crystal
from stores.connect import open_database
from stores.documents import StructureDocument
from stores.importers import Parsed, ReadStructure, import_paths, import_structures
from stores.importers.lookalikes import Lookalikes
from stores.query import by_field

LIMIT = 0.35
ROCKSALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)
CAESIUM_CHLORIDE = Structure(Lattice.cubic(3.5), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def shaken(seed, amplitude_angstrom=0.05):
    """Return rocksalt without symmetry: another crystal atom by atom, alike to the eye."""
    moved = ROCKSALT.copy()
    steps = np.random.default_rng(seed).normal(size=(8, 3))
    steps *= amplitude_angstrom / np.linalg.norm(steps, axis=1, keepdims=True)
    for site, step in enumerate(steps):
        moved.translate_sites([site], step, frac_coords=False)
    return moved


@pytest.fixture
def folder(tmp_path):
    """Rocksalt, two shaken ones, and a polymorph."""
    made = tmp_path / "found"
    made.mkdir()
    crystals = [ROCKSALT, shaken(1), shaken(2), CAESIUM_CHLORIDE]
    for name, structure in zip("abcd", crystals, strict=True):
        (made / f"{name}.json").write_text(json.dumps(structure.as_dict()))
    return made


def of(database, material_id):
    stored = database.structures.query_one(by_field("material_id", material_id))
    return StructureDocument.load(stored)


def test_nothing_is_merged_unasked(database, folder):
    report = import_paths(database, [folder])
    assert len(report.new_material_ids) == 4
    assert report.duplicates == ()


def test_what_looks_alike_is_linked_like_a_duplicate(database, folder):
    report = import_paths(database, [folder], fingerprint_distance=LIMIT)
    rocksalt, other = report.new_material_ids
    assert report.material_ids == (rocksalt, other)
    assert rocksalt == canonical_crystal(ROCKSALT).material_id
    assert [link.duplicate_of for link in report.duplicates] == [rocksalt, rocksalt]
    linked = sorted(link.material_id for link in report.duplicates)
    assert of(database, rocksalt).duplicates == tuple(linked)
    assert of(database, other).duplicates == ()
    for name in linked:
        twin = of(database, name)
        assert (twin.duplicate_of, twin.n_atoms) == (rocksalt, 8)
        head, _, distance = twin.notes[-1].rpartition(" ")
        assert head == f"looks like {rocksalt}: fingerprints at distance"
        assert 0.02 < float(distance) < LIMIT


def test_importing_again_changes_nothing(database, folder):
    first = import_paths(database, [folder], fingerprint_distance=LIMIT)
    before = sorted(map(repr, database.structures.query({})))
    for distance in (LIMIT, None):
        again = import_paths(database, [folder], fingerprint_distance=distance)
        assert again.material_ids == first.material_ids
        assert again.new_material_ids == ()
    assert sorted(map(repr, database.structures.query({}))) == before


def test_what_is_stored_counts_too_and_stays_what_it_was(database, folder):
    import_paths(database, [folder / "b.json", folder / "d.json"])
    report = import_paths(database, [folder], fingerprint_distance=LIMIT)
    stored = canonical_crystal(shaken(1)).material_id
    assert report.new_material_ids == ()
    assert {link.duplicate_of for link in report.duplicates} == {
        stored,
        canonical_crystal(CAESIUM_CHLORIDE).material_id,
    }
    assert len(of(database, stored).duplicates) == 2


def test_structures_with_forces_stand_alone(database):
    rocksalt, moved = canonical_crystal(ROCKSALT), canonical_crystal(shaken(1))
    items = [
        ReadStructure(rocksalt, Parsed(ROCKSALT), "a"),
        ReadStructure(moved, Parsed(shaken(1), force_data=object()), "b"),
    ]
    report = import_structures(database, items, fingerprint_distance=LIMIT)
    assert report.new_material_ids == (rocksalt.material_id, moved.material_id)


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan"), float("inf")])
def test_a_senseless_distance_is_refused(limit, folder):
    with open_database("memory://") as database, pytest.raises(SettingError, match="distance"):
        import_paths(database, [folder], fingerprint_distance=limit)


def test_the_nearest_is_taken_and_the_first_of_equals():
    crystals = [canonical_crystal(shaken(3, size)) for size in (0.06, 0.04, 0.05)]
    one = canonical_crystal(ROCKSALT)
    found, distance = Lookalikes(LIMIT).nearest(one, crystals)
    assert found is crystals[1]
    assert 0.0 < distance < LIMIT
    same = canonical_crystal(ROCKSALT)
    found, distance = Lookalikes(LIMIT).nearest(one, [crystals[0], same, one])
    assert found is same
    assert distance == pytest.approx(0.0, abs=1e-9)
    assert Lookalikes(distance + 1e-12).nearest(one, crystals) is None
    assert Lookalikes(LIMIT).nearest(one, []) is None


def test_fingerprints_are_made_once(monkeypatch):
    from screening.descriptors import fingerprint as room

    made, make = [], room.fingerprint
    monkeypatch.setattr(room, "fingerprint", lambda given: made.append(given) or make(given))
    lookalikes = Lookalikes(LIMIT)
    crystals = [canonical_crystal(shaken(seed)) for seed in (1, 2, 3)]
    for place, one in enumerate(crystals):
        lookalikes.nearest(one, crystals[:place])
    assert len(made) == 3
