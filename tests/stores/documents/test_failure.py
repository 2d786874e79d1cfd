"""Failure documents: every error has a code, a cause and a next step, and may be cleared."""

from __future__ import annotations

import pytest

from screening.errors import ERROR_CODES, InputError, RelaxationError, SerializationError
from stores.documents.failure import FailureDocument


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


def test_two_models_of_one_method_fail_each_by_itself():
    made = [
        FailureDocument.from_error(
            RelaxationError("no"),
            stage="predict",
            material_id="ps-1",
            method="potential-phonons",
            prediction_id=prediction_id,
        )
        for prediction_id in ("a" * 64, "b" * 64, None)
    ]
    assert len({one.failure_id for one in made}) == 3
    assert [FailureDocument.load(one.to_store()) for one in made] == made


def test_a_failure_of_another_prediction_is_not_this_one():
    made = FailureDocument.from_error(
        RelaxationError("no"), stage="predict", material_id="ps-1", prediction_id="a" * 64
    )
    with pytest.raises(SerializationError, match="failure_id"):
        made.replaced(prediction_id="b" * 64)


def test_the_message_gives_the_reasons_of_earlier_tiers_and_the_reason_its_own():
    earlier = ["potential-phonons: NONFINITE_FORCES: no number"]
    made = FailureDocument.from_error(
        RelaxationError("no minimum"),
        stage="predict",
        material_id="ps-1",
        method="dft-phonons",
        tier=3,
        earlier=earlier,
    )
    assert made.message == f"{earlier[0]}; dft-phonons: RELAX_NOT_CONVERGED: no minimum"
    assert (made.reason, made.tier) == ("no minimum", 3)
    alone = FailureDocument.from_error(RelaxationError("no minimum"), stage="s", subject="a")
    assert alone.message == alone.reason == "no minimum"
