"""The jobs themselves, where they meet what other hosts left behind."""

import time

from flows.catalogue import prediction_keys
from flows.jobs import screen_batch_job
from flows.predictors import cached_predictor
from stores.connect import open_database
from stores.query import by_field

LEASE_SECONDS = 1.0


def claimed_elsewhere(uri, name, maker):
    """Claim a material as a process of another host did."""
    predictor = cached_predictor(maker.calculator, maker.settings)
    with open_database(uri) as database:
        key = prediction_keys(database, [name], predictor)[name]
        database.claims.acquire(key, lease_seconds=LEASE_SECONDS)
        claims = database.collection("claims")
        stored = claims.query_one(by_field("key", key))
        claims.update({**stored, "owner": stored["owner"] | {"host": "elsewhere"}})
    return key


def test_a_batch_takes_over_what_an_ended_job_of_another_host_left(uri, names, maker):
    claimed_elsewhere(uri, names[0], maker)
    report = screen_batch_job.original(uri, names[:2], maker.calculator, maker.settings)
    assert report["outcomes"] == {"computed": 2}


def test_what_another_host_computes_is_left_to_it(uri, names, maker, monkeypatch):
    monkeypatch.setattr("flows.materials.WATCH_SECONDS", 3 * LEASE_SECONDS)
    key = claimed_elsewhere(uri, names[0], maker)
    renewals = iter(range(10**6))

    def renewing(seconds):
        with open_database(uri) as database:
            claims = database.collection("claims")
            claims.update(claims.query_one(by_field("key", key)) | {"beat": next(renewals)})
        sleep(min(seconds, 0.1))

    sleep = time.sleep
    monkeypatch.setattr("stores.claims.time.sleep", renewing)
    report = screen_batch_job.original(uri, names[:1], maker.calculator, maker.settings)
    assert report["outcomes"] == {"busy_elsewhere": 1}
