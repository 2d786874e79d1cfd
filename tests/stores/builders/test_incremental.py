"""The shell of all builders: what is rebuilt, removed, recorded; and two at once."""

from __future__ import annotations

import threading

import pytest

import stores.builders as room
from screening.errors import CorruptDataError
from screening.ranking import RankingSettings
from stores.builders import build_hulls, build_polymorphs, build_vibrational
from stores.documents import FailureDocument, VibrationalDocument
from stores.documents.polymorphs import composition_key_of


def test_two_builders_at_once_write_each_document_once(tmp_path, make_structure, make_prediction):
    from stores.connect import open_database

    uri = f"sqlite:///{tmp_path}/two.db"
    with open_database(uri) as database:
        for i in range(150):
            structure = make_structure(f"m{i:03d}")
            database.structures.update(structure.to_store())
            database.predictions.update(make_prediction(structure).to_store())
        problems = []

        def build():
            try:
                with open_database(uri) as own:
                    build_vibrational(own)
            except Exception as error:  # noqa: BLE001 - reported to the test
                problems.append(error)

        threads = [threading.Thread(target=build) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert problems == []
        stored = [VibrationalDocument.load(one) for one in database.vibrational.query()]
        assert sorted(one.material_id for one in stored) == [f"m{i:03d}" for i in range(150)]
        assert build_vibrational(database).n_unchanged == 150


def test_more_documents_than_one_chunk(db, make_structure, make_prediction):
    for i in range(210):
        structure = make_structure(f"m{i:03d}")
        db.put(structure, make_prediction(structure))
    assert len(build_vibrational(db).written) == 210
    assert build_polymorphs(db).written == ("TiO2",)
    db.predictions.remove_docs({})
    assert len(build_vibrational(db).removed) == 210


def test_a_late_write_of_an_older_builder_is_found(db, make_structure, make_prediction):
    structure = make_structure("m")
    db.put(structure, make_prediction(structure))
    build_vibrational(db)
    older = db.vibrational.query_one()
    db.put(make_prediction(structure, tier=3, method="dft"))
    build_vibrational(db)
    db.vibrational.update([older])
    assert build_vibrational(db).written == ("m",)
    assert db.vibrational.query_one()["tier"] == 3


def about_failures(db):
    return sorted((one["stage"], one["subject"]) for one in db.failures.query())


def test_failures_go_with_what_they_are_about(db, make_structure):
    chosen = RankingSettings(temperatures_k=(300.0,))
    grid = composition_key_of("SiO2", chosen.temperatures_k)
    db.put(make_structure("kept", "SiO2"))
    for stage, subject in (
        ("build_vibrational", "gone"),
        ("build_polymorphs", "TiO2"),
        ("build_polymorphs", composition_key_of("TiO2", (300.0,))),
        ("build_polymorphs", grid),
        ("build_hulls", "Fe-O"),
    ):
        db.put(FailureDocument.from_error(CorruptDataError("x"), stage=stage, subject=subject))
    before = about_failures(db)
    # A build of a part leaves alone what it was not asked for.
    build_vibrational(db, ["kept"])
    build_polymorphs(db, ["SiO2"])
    build_hulls(db, ["O-Si"])
    assert about_failures(db) == before
    build_vibrational(db)
    build_polymorphs(db)
    build_hulls(db)
    # A ranking on a grid of its own is not what the default build looks at.
    assert about_failures(db) == [("build_polymorphs", grid)]
    build_polymorphs(db, settings=chosen)
    assert about_failures(db) == []


def test_names_are_loaded_on_use():
    assert sorted(room.__all__) == room.__all__
    for name in room.__all__:
        assert getattr(room, name).__name__ == name
    with pytest.raises(AttributeError):
        _ = room.nothing
