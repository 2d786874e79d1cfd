import pytest

from screening.predictors.interface import Predictor, Tier, prediction_key

PARTS = {
    "structure_digest": "a" * 64,
    "method": "potential-phonons",
    "method_version": 1,
    "model_digest": "b" * 64,
    "settings_digest": "c" * 64,
}


@pytest.mark.parametrize(
    ("part", "other"),
    [
        ("structure_digest", "d" * 64),
        ("method", "given-forces"),
        ("method_version", 2),
        ("model_digest", "d" * 64),
        ("settings_digest", "d" * 64),
    ],
)
def test_every_part_changes_the_key(part: str, other: object) -> None:
    assert prediction_key(**{**PARTS, part: other}) != prediction_key(**PARTS)


def test_parts_do_not_run_into_each_other() -> None:
    one = prediction_key(**{**PARTS, "method": "ab", "model_digest": "c"})
    other = prediction_key(**{**PARTS, "method": "a", "model_digest": "bc"})
    assert one != other


def test_key_is_pinned_across_releases() -> None:
    assert prediction_key(**PARTS) == (
        "1e6e6980d1eaef41ffcce6722d80b2f7c7f398c74a53a23236fb1a9ebd53bfd6"
    )


def test_tiers_are_the_stored_numbers() -> None:
    assert [int(tier) for tier in Tier] == [0, 1, 2, 3]


def test_an_object_without_predict_is_no_predictor() -> None:
    assert not isinstance(object(), Predictor)
