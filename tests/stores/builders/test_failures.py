"""Clearing failures that a later success has made history."""

from __future__ import annotations

from screening.errors import RelaxationError
from stores.builders.failures import clear_failures
from stores.builders.vibrational import build_vibrational
from stores.documents.failure import FailureDocument


def failure(material_id, prediction_id):
    return FailureDocument.from_error(
        RelaxationError("x"),
        stage="predict",
        material_id=material_id,
        method="potential-phonons",
        prediction_id=prediction_id,
    )


def test_a_prediction_clears_exactly_its_own_failure(db, make_structure, make_prediction):
    structure = make_structure("m")
    done = make_prediction(structure)
    own, foreign = failure("m", done.prediction_id), failure("m", "0" * 64)
    imported = FailureDocument.from_error(RuntimeError("x"), stage="import", subject="m.cif")
    db.put(own, foreign, imported, done)
    assert clear_failures(db) == (own.key,)
    assert {one["failure_id"] for one in db.failures.query()} == {foreign.key, imported.key}
    assert clear_failures(db) == ()


def test_what_a_kill_left_is_cleared_by_the_next_build(db, make_structure, make_prediction):
    structures = [make_structure(name) for name in ("m", "n")]
    predictions = [make_prediction(one) for one in structures]
    left = [failure(one.material_id, one.prediction_id) for one in predictions]
    db.put(*structures, *predictions, *left)
    build_vibrational(db, ["m"])
    assert [one["material_id"] for one in db.failures.query()] == ["n"]
    build_vibrational(db)
    assert db.failures.count() == 0


def test_more_failures_than_one_chunk(db, make_structure, make_prediction):
    predictions = [make_prediction(make_structure(f"m{i}")) for i in range(210)]
    db.put(*predictions, *(failure(one.material_id, one.prediction_id) for one in predictions))
    assert len(clear_failures(db)) == 210
    assert db.failures.count() == 0
