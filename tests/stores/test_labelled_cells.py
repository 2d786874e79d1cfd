"""Labelled cells in every kind of database: the same back, once, and never something broken."""

from __future__ import annotations

import numpy as np
import pytest

from screening.digest import digest_of
from screening.errors import (
    CorruptDataError,
    DatabaseUnavailableError,
    NonFiniteForcesError,
    NotFoundError,
)
from stores import labelled_cells
from stores.connect import open_database
from stores.documents import FailureDocument, LabelledCellsDocument
from stores.labelled_cells import (
    CellSet,
    add_cell_set,
    cell_sets_of,
    cell_sets_where,
    store_cell_set,
)
from stores.query import by_field

NUMBERS = np.array([11, 11, 17, 17])


def cell_set(seeds=(0, 1), **changes):
    """Return one rattled cell of four atoms for each seed."""
    rngs = [np.random.default_rng(seed) for seed in seeds]
    fields = {
        "material_id": "ps-0123456789abcdef",
        "structure_digest": "a" * 64,
        "numbers": NUMBERS,
        "cells_angstrom": np.array([4.0 * np.eye(3) for _ in seeds]),
        "positions_angstrom": np.array([rng.normal(size=(4, 3)) for rng in rngs]),
        "forces_ev_per_angstrom": np.array([rng.normal(size=(4, 3)) for rng in rngs]),
        "calculator": "chgnet:0.3.0",
        "calculator_digest": "c" * 64,
        "settings": {"rattling": {"n_cells": 2}, "quantities": ["forces", "energy", "stress"]},
        "energies_ev": np.array([rng.normal() for rng in rngs]),
        "stresses_ev_per_angstrom3": np.array([rng.normal(size=(3, 3)) for rng in rngs]),
        "pairs": tuple(f"{seed // 2}" for seed in seeds),
        "wall_seconds": 1.5,
    }
    return CellSet(**fields | changes)


def same(one, other):
    arrays, others = one.arrays(), other.arrays()
    assert arrays.keys() == others.keys()
    for name, values in arrays.items():
        np.testing.assert_array_equal(values, others[name])
    return (one.key, one.pairs, one.settings, one.wall_seconds, one.material_id) == (
        other.key,
        other.pairs,
        other.settings,
        other.wall_seconds,
        other.material_id,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"energies_ev": None, "stresses_ev_per_angstrom3": None, "wall_seconds": None},
        {"material_id": None, "structure_digest": None, "pairs": ()},
    ],
    ids=["everything", "forces alone", "no crystal"],
)
def test_what_was_stored_comes_back_bit_for_bit(database_uri, changes):
    given = cell_set(**changes)
    with open_database(database_uri) as database:
        assert store_cell_set(database, given) == given.key
    with open_database(database_uri, read_only=True) as database:
        [found] = cell_sets_of(database, [given.key])
        if given.pairs:
            assert same(found, given)
        assert [one.group for one in found.labelled()] == ["NaCl", "NaCl"]


def test_storing_twice_changes_nothing_but_the_time(database):
    store_cell_set(database, cell_set())
    [first] = database.labelled_cells.query({})
    store_cell_set(database, cell_set())
    [second] = database.labelled_cells.query({})
    assert first["content_digest"] == second["content_digest"]
    assert len(database.blobs.digests()) == 1


def test_crystal_calculator_and_settings_tell_cells_apart(database):
    changes = [
        {},
        {"structure_digest": "b" * 64},
        {"calculator_digest": "d" * 64},
        {"settings": {"rattling": {"n_cells": 4}, "quantities": ["forces"]}},
    ]
    keys = {store_cell_set(database, cell_set(**one)) for one in changes}
    assert len(keys) == database.labelled_cells.count() == len(changes)
    assert [one.key for one in cell_sets_where(database, {})] == sorted(keys)


def test_the_document_says_how_large_the_forces_are(database):
    given = cell_set()
    store_cell_set(database, given)
    document = LabelledCellsDocument.load(database.labelled_cells.query_one({}))
    sizes = np.abs(given.forces_ev_per_angstrom)
    assert document.mean_force_ev_per_angstrom == pytest.approx(sizes.mean())
    assert document.largest_force_ev_per_angstrom == sizes.max()
    assert (document.n_cells, document.n_cell_atoms, document.chemsys) == (2, 4, "Cl-Na")


def test_later_cells_are_added_and_known_ones_replaced(database):
    _, n_new = add_cell_set(database, cell_set((0, 1)))
    assert n_new == 2
    renewed = cell_set((1, 2, 3))
    _, n_new = add_cell_set(database, renewed)
    assert n_new == 2
    assert add_cell_set(database, renewed)[1] == 0
    [found] = cell_sets_where(database, {})
    expected = cell_set((0, 1, 2, 3))
    np.testing.assert_array_equal(found.positions_angstrom, expected.positions_angstrom)
    np.testing.assert_array_equal(found.energies_ev, expected.energies_ev)
    assert found.pairs == ("0", "0", "1", "1")


def test_one_writer_at_a_time(database, monkeypatch):
    monkeypatch.setattr(labelled_cells, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(labelled_cells, "_LOOK_SECONDS", 0.01)
    given = cell_set()
    with (
        database.claims.acquire(f"labelled-cells:{given.key}"),
        pytest.raises(DatabaseUnavailableError, match="another process"),
    ):
        add_cell_set(database, given)
    assert database.labelled_cells.count() == 0
    add_cell_set(database, given)
    assert database.claims.attempts(f"labelled-cells:{given.key}") == 0


def test_no_label_that_is_not_finite_is_stored(database):
    forces = cell_set().forces_ev_per_angstrom.copy()
    forces[1, 2, 0] = np.nan
    with pytest.raises(NonFiniteForcesError):
        store_cell_set(database, cell_set(forces_ev_per_angstrom=forces))
    assert database.labelled_cells.count() == 0
    assert database.blobs.digests() == set()


def test_success_removes_the_failure(database):
    given = cell_set()
    failure = FailureDocument.from_error(
        ValueError("x"), stage="label", material_id=given.material_id, prediction_id=given.key
    )
    database.failures.update(failure.to_store())
    store_cell_set(database, given)
    assert database.failures.count() == 0


def test_other_or_missing_arrays_are_noticed(database):
    given = cell_set()
    store_cell_set(database, given)
    other = database.blobs.put(cell_set((5, 6, 7)).arrays())
    stored = LabelledCellsDocument.load(database.labelled_cells.query_one({}))
    wrong = stored.replaced(blob=stored.blob.model_copy(update={"sha256": other.sha256}))
    database.labelled_cells.update(wrong.to_store())
    with pytest.raises(CorruptDataError, match="shape"):
        list(cell_sets_of(database, [given.key]))
    gone = stored.replaced(blob=stored.blob.model_copy(update={"sha256": "0" * 64}))
    database.labelled_cells.update(gone.to_store())
    with pytest.raises(NotFoundError):
        list(cell_sets_of(database, [given.key]))


def test_a_changed_document_is_noticed(database):
    given = cell_set()
    store_cell_set(database, given)
    stored = LabelledCellsDocument.load(database.labelled_cells.query_one({}))
    moved = stored.replaced(calculator_digest=digest_of("another"))
    database.labelled_cells.update(moved.to_store())
    with pytest.raises(CorruptDataError, match="key"):
        list(cell_sets_where(database, by_field("material_id", given.material_id)))


def test_pairs_of_two_sets_of_one_crystal_do_not_meet():
    names = {
        cell.pair
        for one in (cell_set(), cell_set(calculator_digest="d" * 64))
        for cell in one.labelled()
    }
    assert len(names) == 2


def test_arrays_of_labelled_cells_are_no_orphans(database):
    store_cell_set(database, cell_set())
    referenced = [row["blob"]["sha256"] for row in database.labelled_cells.query({}, ["blob"])]
    assert database.blobs.missing(referenced) == set()
    assert database.blobs.orphans(referenced, min_age_s=0.0) == set()
