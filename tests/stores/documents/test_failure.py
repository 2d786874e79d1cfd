"""Failure documents: every error has a code, a cause and a next step, and may be cleared."""

from __future__ import annotations

import pytest

from screening.errors import ERROR_CODES, InputError, RelaxationError, ScreeningError
from stores.documents.failure import FailureDocument
from stores.documents.prediction import PredictionDocument
from stores.documents.structure import StructureDocument


@pytest.mark.parametrize("kind", ERROR_CODES.values())
def test_every_error_round_trips(kind):
    error = kind("what", subject="ps-1", hint="do this")
    made = FailureDocument.from_error(error, material_id="ps-1", stage="relax", attempts=2)
    assert FailureDocument.load(made.to_store()) == made
    assert (made.code, made.message, made.next_step) == (kind.code, "what", "do this")
    assert (made.subject, made.attempts, made.cause) == ("ps-1", 2, None)


def raised(error, cause):
    try:
        raise error from cause
    except type(error) as caught:
        return caught


def test_cause_is_kept():
    error = raised(RelaxationError("no", subject="x"), ValueError("deep"))
    made = FailureDocument.from_error(error, stage="relax")
    assert made.cause == "ValueError: deep"
    assert made.subject == "x"


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("1/0"), InputError("abstract"), KeyboardInterrupt()]
)
def test_errors_without_a_code_are_unexpected(error):
    made = FailureDocument.from_error(error, material_id="ps-1", stage="predict")
    assert made.code == "UNEXPECTED"
    assert type(error).__name__ in made.message


def test_any_text_can_be_stored():
    made = FailureDocument.from_error(RuntimeError("\ud800\0" + "x" * 9000), stage="s", subject="a")
    assert len(made.message) <= 4000
    assert FailureDocument.load(made.to_store()) == made


def test_same_subject_stage_and_method_is_the_same_failure():
    def key(**options):
        return FailureDocument.from_error(RuntimeError("x"), **options).key

    assert key(stage="s", subject="a") == key(stage="s", subject="a", attempts=4)
    assert (
        len(
            {
                key(stage="s", subject="a"),
                key(stage="t", subject="a"),
                key(stage="s", subject="a", method="m"),
            }
        )
        == 3
    )


def test_a_prediction_clears_exactly_its_own_failure(make_prediction):
    done = PredictionDocument.from_prediction(make_prediction(), "ps-1")

    def failure(**options):
        return FailureDocument.from_error(ScreeningError("x"), stage="phonons", **options)

    assert failure(material_id="ps-1", prediction_id=done.prediction_id).cleared_by(done)
    assert failure(material_id="ps-1", method="potential-phonons").cleared_by(done)
    assert not failure(material_id="ps-1", prediction_id="0" * 64).cleared_by(done)
    assert not failure(material_id="ps-1", method="other").cleared_by(done)
    assert not failure(material_id="ps-2", method="potential-phonons").cleared_by(done)
    assert not failure(material_id="ps-1").cleared_by(done)


def test_a_structure_clears_the_failed_import_of_its_source(crystal):
    done = StructureDocument.from_crystal(crystal, source="a.cif")

    def failure(subject):
        return FailureDocument.from_error(RuntimeError("x"), stage="import", subject=subject)

    assert failure("a.cif").cleared_by(done)
    assert not failure("b.cif").cleared_by(done)
