"""Clearing failures that a later success has made history."""

from __future__ import annotations

from screening.errors import RelaxationError
from stores.builders.failures import clear_failures
from stores.documents.failure import FailureDocument


def test_success_clears_its_own_failures_only(db, make_structure, make_prediction):
    structure = make_structure("m")
    done = make_prediction(structure)
    own = FailureDocument.from_error(
        RelaxationError("x"), stage="relax", material_id="m", prediction_id=done.prediction_id
    )
    foreign = FailureDocument.from_error(
        RelaxationError("x"), stage="phonons", material_id="m", prediction_id="0" * 64
    )
    imported = FailureDocument.from_error(RuntimeError("x"), stage="import", subject="m.cif")
    db.put(own, foreign, imported)
    assert set(clear_failures(db, [done, structure])) == {own.key, imported.key}
    assert [one["failure_id"] for one in db.failures.query()] == [foreign.key]
    assert clear_failures(db, [done, structure]) == ()
