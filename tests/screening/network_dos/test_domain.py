from __future__ import annotations

import json

import numpy as np
import pytest

from screening.errors import ModelCorruptError
from screening.network_dos.domain import NOVELTY_RISK, Domain, disagreement, fit_domain


@pytest.fixture(scope="module")
def clouds():
    rng = np.random.default_rng(0)
    learned, held_out = rng.normal(size=(300, 8)), rng.normal(size=(300, 8))
    histograms = 1.0 + 0.1 * rng.random((300, 3, 20))
    return learned, held_out, histograms, [str(k) for k in range(300)]


@pytest.fixture(scope="module")
def domain(clouds) -> Domain:
    return fit_domain(*clouds)


def test_few_crystals_like_those_of_the_calibration_are_novel(domain) -> None:
    rng = np.random.default_rng(1)
    histograms = 1.0 + 0.1 * rng.random((2000, 3, 20))
    novelty = domain.novelty(rng.normal(size=(2000, 8)), histograms)
    assert 0.005 < (novelty > 1.0).mean() < 4.0 * NOVELTY_RISK


def test_distant_crystals_are_novel(domain, clouds) -> None:
    far = np.full((1, 8), 6.0)
    assert domain.novelty(far, clouds[2][:1])[0] > 2.0


def test_crystals_that_the_members_dispute_are_novel(domain, clouds) -> None:
    disputed = np.eye(20)[[[0, 10, 19]]]
    assert domain.novelty(clouds[0][:1], disputed)[0] > 2.0


def test_members_that_agree_dispute_nothing() -> None:
    histograms = np.random.default_rng(2).random((4, 1, 9)) * np.array([1.0, 5.0])[:, None]
    np.testing.assert_allclose(disagreement(histograms), 0.0, atol=1e-12)


def test_it_survives_storage_and_damage_is_refused(domain, clouds) -> None:
    arrays, values = domain.arrays(), json.loads(json.dumps(domain.as_dict()))
    again = Domain.from_stored(values, arrays)
    np.testing.assert_array_equal(again.novelty(*clouds[1:3]), domain.novelty(*clouds[1:3]))
    for damage in (
        {"domain/points": arrays["domain/points"][:, 1:]},
        {"domain/scales": 0.0 * arrays["domain/scales"]},
        {"domain/mean": arrays["domain/mean"] * np.nan},
        {"domain/points": arrays["domain/points"][:0]},
    ):
        with pytest.raises(ModelCorruptError):
            Domain.from_stored(values, arrays | damage)
    with pytest.raises(ModelCorruptError):
        Domain.from_stored(values | {"distance_limit": 0.0}, arrays)
    with pytest.raises(ModelCorruptError):
        Domain.from_stored({}, arrays)
